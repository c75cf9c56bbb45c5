/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What does the cache add to a TLS handshake?  Handshakes within one thread,
 * over memory, with an SSL_CTX as OpenSSL has it and with one that is attached,
 * in blocks that take turns.  What is counted is the CPU time that the server
 * spends, from SSL_new() to SSL_free(); the client's is kept apart.  Exit
 * status 0: it ran; 1: it did not, or with --strict a target was missed;
 * 2: usage.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../tls.h"
#include "bench.h"
#include "sesscache.h"

#define EXIT_USAGE 2
#define BLOCK_DEFAULT 10 /* short: what disturbs one hits few */
#define BLOCK_MAX 100000
#define PAIRS_DEFAULT 500
#define PAIRS_MIN 10 /* fewer have no interval in which the median is */
#define PAIRS_MAX 10000
#define DIR_DEFAULT "/dev/shm"
#define SHORT_OPTIONS "b:d:hn:t:"
#define NS_PER_SECOND UINT64_C(1000000000)
#define CLOCK_READS 1000
#define MAX_STEPS 20 /* of a handshake that makes no progress */
#define BIO_BYTES (64 * 1024)
#define SERVER_NAME "www.example.com"
#define IDLE_SHARE 0.9 /* of a CPU, for a process that never waits */
#define TARGET 1.03    /* the server's time with the cache to that without */

enum { OPTION_STRICT = UCHAR_MAX + 1 };

static const struct option long_options[] = {
	{ "strict", no_argument, NULL, OPTION_STRICT },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* What is compared.  Both contexts have the same options of OpenSSL's. */
struct test {
	const char *name; /* for -t */
	const char *title;
	int version;
	bool tickets;           /* that hold the session themselves */
	bool resumes;           /* else full handshakes */
	bool judged;            /* held against the target */
	const char *tickets_is; /* settings of the cache; NULL: nothing is */
	const char *single_use; /* attached to either side */
};

static const struct test tests[] = {
	{ .name = "ticket2",
	    .title = "TLS 1.2 ticket: OpenSSL's keys, shared keys",
	    .version = TLS1_2_VERSION,
	    .tickets = true,
	    .resumes = true,
	    .judged = true,
	    .tickets_is = "shared",
	    .single_use = "off" },
	{ .name = "ticket3",
	    .title = "TLS 1.3 ticket: OpenSSL's keys, shared keys",
	    .version = TLS1_3_VERSION,
	    .tickets = true,
	    .resumes = true,
	    .judged = true,
	    .tickets_is = "shared",
	    .single_use = "off" },
	{ .name = "control2",
	    .title = "TLS 1.2 ticket: OpenSSL's keys, the same again",
	    .version = TLS1_2_VERSION,
	    .tickets = true,
	    .resumes = true },
	{ .name = "control3",
	    .title = "TLS 1.3 ticket: OpenSSL's keys, the same again",
	    .version = TLS1_3_VERSION,
	    .tickets = true,
	    .resumes = true },
	{ .name = "id2",
	    .title = "TLS 1.2 session ID: OpenSSL's cache, ours",
	    .version = TLS1_2_VERSION,
	    .resumes = true,
	    .tickets_is = "off",
	    .single_use = "off" },
	{ .name = "id3",
	    .title = "TLS 1.3 session: OpenSSL's cache, used once",
	    .version = TLS1_3_VERSION,
	    .resumes = true,
	    .tickets_is = "off",
	    .single_use = "on" },
	{ .name = "full2",
	    .title = "TLS 1.2 full: OpenSSL's cache, stored in ours",
	    .version = TLS1_2_VERSION,
	    .tickets_is = "off",
	    .single_use = "off" },
	{ .name = "full3",
	    .title = "TLS 1.3 full: OpenSSL's cache, stored in ours",
	    .version = TLS1_3_VERSION,
	    .tickets_is = "off",
	    .single_use = "on" },
};

#define TESTS (sizeof tests / sizeof tests[0])

struct options {
	const char *dir;
	size_t block; /* handshakes */
	size_t pairs; /* of blocks */
	bool tests[TESTS];
	bool strict;
};

enum party { SERVER, CLIENT, PARTIES };

/* One of the two contexts that are compared, and its client. */
struct side {
	struct sesscache *cache; /* NULL: not attached */
	SSL_CTX *server;
	SSL_CTX *client;
	SSL_SESSION *session;   /* the newest that the client has */
	uint64_t ns[PARTIES];   /* in the block that runs */
	double *block[PARTIES]; /* ns a handshake, of each block */
};

enum { PLAIN, ATTACHED, SIDES };

/* A number, and how sure it is. */
struct estimate {
	double median;
	double low; /* and high: with 95 % the median is between them */
	double high;
};

struct result {
	bool measured;
	double us[PARTIES][SIDES];      /* a handshake, medians */
	struct estimate ratio[PARTIES]; /* attached to plain */
	double quarter, three_quarters; /* of the ratios of the server */
};

struct stopwatch {
	uint64_t last_ns;
	uint64_t read_ns; /* what it takes to look at it */
};

static struct stopwatch stopwatch;

/* --- time ------------------------------------------------------------------ */

static uint64_t
thread_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* Time since the last look, without that of the look. */
static uint64_t
lap(void)
{
	uint64_t now = thread_ns();
	uint64_t ns = now - stopwatch.last_ns;

	stopwatch.last_ns = now;
	return ns > stopwatch.read_ns ? ns - stopwatch.read_ns : 0;
}

static void
calibrate_stopwatch(void)
{
	double reads[CLOCK_READS];
	size_t i;

	stopwatch.read_ns = 0;
	for (i = 0; i < CLOCK_READS; i++) {
		(void)lap();
		reads[i] = (double)lap();
	}
	bench_sort(reads, CLOCK_READS);
	stopwatch.read_ns = (uint64_t)reads[CLOCK_READS / 2];
}

/* --- one side -------------------------------------------------------------- */

/* The client keeps what it gets: a TLS 1.3 ticket is good for once. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct side *side = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(side->session);
	side->session = session;
	return 1; /* ours now */
}

static int
set_client(struct side *side, int version)
{
	int rc = 0;

	side->client = tls_client_new(NULL, version);
	if (side->client == NULL ||
	    SSL_CTX_set_app_data(side->client, side) != 1)
		rc = bench_fail("no context for a client");
	if (rc == 0) {
		(void)SSL_CTX_set_session_cache_mode(side->client,
		    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
		SSL_CTX_sess_set_new_cb(side->client, on_session);
	}
	return rc;
}

static enum sesscache_status
set_cache_options(struct sesscache_options *options, const struct test *test,
    const char *dir)
{
	enum sesscache_status status;

	status = sesscache_options_set(options, "dir", dir);
	if (status == SESSCACHE_OK)
		status = sesscache_options_set(options, "tickets",
		    test->tickets_is);
	if (status == SESSCACHE_OK)
		status = sesscache_options_set(options, "single-use",
		    test->single_use);
	return status;
}

static int
attach(struct side *side, const struct test *test, const char *dir)
{
	struct sesscache_options *options = NULL;
	enum sesscache_status status;
	int rc = 0;

	status = sesscache_options_new(&options);
	if (status == SESSCACHE_OK)
		status = set_cache_options(options, test, dir);
	if (status == SESSCACHE_OK)
		status = sesscache_open(&side->cache, options);
	if (status == SESSCACHE_OK)
		status = sesscache_attach(side->cache, side->server);
	if (status != SESSCACHE_OK)
		rc = bench_fail("sesscache: %s", sesscache_detail());
	sesscache_options_free(options);
	return rc;
}

static int
side_open(struct side *side, const struct test *test,
    const struct tls_identity *identity, const struct options *options)
{
	int party, rc = 0;

	side->server = tls_server_new(identity, test->version);
	if (side->server == NULL)
		rc = bench_fail("no context for a server");
	else if (!test->tickets)
		(void)SSL_CTX_set_options(side->server, SSL_OP_NO_TICKET);
	if (rc == 0)
		rc = set_client(side, test->version);
	for (party = 0; party < PARTIES && rc == 0; party++) {
		side->block[party] = calloc(options->pairs, sizeof(double));
		if (side->block[party] == NULL)
			rc = bench_fail("no memory for %zu blocks",
			    options->pairs);
	}
	return rc;
}

static void
side_close(struct side *side)
{
	int party;

	for (party = 0; party < PARTIES; party++)
		free(side->block[party]);
	SSL_SESSION_free(side->session);
	SSL_CTX_free(side->client);
	SSL_CTX_free(side->server);
	sesscache_close(side->cache);
}

/* --- one handshake --------------------------------------------------------- */

static bool
set_up_client(SSL *client, const struct side *side, const struct test *test)
{
	bool done = client != NULL &&
	    SSL_set_tlsext_host_name(client, SERVER_NAME) == 1;

	if (done && test->resumes && side->session != NULL)
		done = SSL_set_session(client, side->session) == 1;
	return done;
}

static bool
join(SSL *server, SSL *client)
{
	BIO *ends[PARTIES] = { NULL, NULL };

	if (server == NULL || client == NULL ||
	    BIO_new_bio_pair(&ends[SERVER], BIO_BYTES, &ends[CLIENT],
		BIO_BYTES) != 1)
		return false;
	SSL_set_bio(server, ends[SERVER], ends[SERVER]);
	SSL_set_bio(client, ends[CLIENT], ends[CLIENT]);
	SSL_set_accept_state(server);
	SSL_set_connect_state(client);
	return true;
}

/* One party as far as it gets: 1 when it is done, 0 when it waits, or -1. */
static int
step(SSL *ssl, uint64_t *ns)
{
	int result = SSL_do_handshake(ssl);

	if (result != 1)
		result = SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ ? 0 :
									     -1;
	*ns += lap();
	return result;
}

/* Client and server in turns; then the client reads its tickets. */
static bool
talk(SSL *server, SSL *client, struct side *side)
{
	int done[PARTIES] = { 0, 0 };
	char byte;
	int i;

	for (i = 0; i < MAX_STEPS && done[SERVER] + done[CLIENT] < 2; i++) {
		done[CLIENT] = step(client, &side->ns[CLIENT]);
		done[SERVER] = step(server, &side->ns[SERVER]);
		if (done[SERVER] < 0 || done[CLIENT] < 0)
			break;
	}
	(void)SSL_read(client, &byte, 1);
	side->ns[CLIENT] += lap();
	return done[SERVER] == 1 && done[CLIENT] == 1;
}

/* Returns 1 for a resumption, 0 for a full handshake, or -1. */
static int
shake_hands(struct side *side, const struct test *test)
{
	SSL *server = NULL, *client;
	int reused = -1;

	(void)lap();
	client = SSL_new(side->client);
	if (!set_up_client(client, side, test))
		goto out;
	side->ns[CLIENT] += lap();
	server = SSL_new(side->server);
	side->ns[SERVER] += lap();
	if (!join(server, client))
		goto out;
	(void)lap(); /* the BIOs are nobody's */
	if (!talk(server, client, side))
		goto out;
	reused = SSL_session_reused(server);
	/* Else OpenSSL would hold the session for broken. */
	(void)SSL_shutdown(client);
	side->ns[CLIENT] += lap();
	(void)SSL_shutdown(server);
out:
	SSL_free(server);
	side->ns[SERVER] += lap();
	SSL_free(client);
	side->ns[CLIENT] += lap();
	return reused;
}

/* --- a test ---------------------------------------------------------------- */

/* Returns 0 if all handshakes were of the kind that is measured. */
static int
run_block(struct side *side, const struct test *test, size_t count)
{
	int reused = 0, rc = 0;
	size_t i;

	side->ns[SERVER] = 0;
	side->ns[CLIENT] = 0;
	for (i = 0; i < count && rc == 0; i++) {
		reused = shake_hands(side, test);
		if (reused < 0)
			rc = bench_fail("%s: a handshake failed: %s",
			    test->name,
			    ERR_reason_error_string(ERR_peek_error()));
		else if ((reused == 1) != test->resumes)
			rc = bench_fail("%s: a session was%s resumed",
			    test->name, reused == 1 ? "" : " not");
	}
	return rc;
}

/* The first handshake is a full one, whatever is measured then. */
static int
warm_up(struct side *side, const struct test *test, size_t count)
{
	int rc = 0;

	if (shake_hands(side, test) != 0)
		rc = bench_fail("%s: the first handshake failed", test->name);
	if (rc == 0 && test->resumes && side->session == NULL)
		rc = bench_fail("%s: the client has no session", test->name);
	if (rc == 0)
		rc = run_block(side, test, count);
	return rc;
}

static int
run_pairs(struct side sides[SIDES], const struct test *test,
    const struct options *options)
{
	struct side *side;
	size_t i, turn;
	int party, rc = 0;

	for (i = 0; i < options->pairs && rc == 0; i++) {
		for (turn = 0; turn < SIDES && rc == 0; turn++) {
			/* AB BA AB BA: what drifts favours nobody. */
			side = &sides[(i + turn) % SIDES];
			rc = run_block(side, test, options->block);
			for (party = 0; party < PARTIES; party++)
				side->block[party][i] = (double)
							    side->ns[party] /
				    (double)options->block;
		}
	}
	return rc;
}

/*
 * The median, and by order statistics an interval that holds the true one
 * with 95 %: whatever the distribution is.
 */
static struct estimate
estimate(const double *sorted, size_t count)
{
	double half = 0.98 * sqrt((double)count); /* 1.96 * sqrt(n / 4) */
	double middle = (double)(count - 1) / 2.0;

	return (struct estimate){
		.median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
		.low = sorted[(size_t)fmax(0.0, floor(middle - half))],
		.high = sorted[(
		    size_t)fmin((double)(count - 1), ceil(middle + half))],
	};
}

/* The blocks are sorted by this. */
static void
summarize_party(struct result *result, struct side sides[SIDES],
    enum party party, double *ratios, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		ratios[i] = sides[ATTACHED].block[party][i] /
		    sides[PLAIN].block[party][i];
	bench_sort(ratios, count);
	result->ratio[party] = estimate(ratios, count);
	for (i = 0; i < SIDES; i++) {
		bench_sort(sides[i].block[party], count);
		result->us[party][i] =
		    estimate(sides[i].block[party], count).median / 1e3;
	}
}

static void
summarize(struct result *result, struct side sides[SIDES], double *ratios,
    size_t count)
{
	summarize_party(result, sides, CLIENT, ratios, count);
	summarize_party(result, sides, SERVER, ratios, count);
	result->quarter = ratios[count / 4];
	result->three_quarters = ratios[count - 1 - count / 4];
	result->measured = true;
}

static int
open_sides(struct side sides[SIDES], const struct test *test,
    const struct tls_identity *identity, const struct options *options)
{
	int i, rc = 0;

	for (i = 0; i < SIDES && rc == 0; i++)
		rc = side_open(&sides[i], test, identity, options);
	if (rc == 0 && test->tickets_is != NULL)
		rc = attach(&sides[ATTACHED], test, options->dir);
	for (i = 0; i < SIDES && rc == 0; i++)
		rc = warm_up(&sides[i], test, options->block);
	return rc;
}

static int
measure(const struct test *test, const struct tls_identity *identity,
    const struct options *options, struct result *result)
{
	struct side sides[SIDES] = { 0 };
	double *ratios = calloc(options->pairs, sizeof *ratios);
	int i, rc;

	if (ratios == NULL)
		return bench_fail("no memory for %zu pairs", options->pairs);
	rc = open_sides(sides, test, identity, options);
	if (rc == 0)
		rc = run_pairs(sides, test, options);
	if (rc == 0)
		summarize(result, sides, ratios, options->pairs);
	for (i = 0; i < SIDES; i++)
		side_close(&sides[i]);
	free(ratios);
	bench_remove_tree(options->dir);
	return rc;
}

/* --- the report ------------------------------------------------------------ */

static void
print_head(const struct options *options)
{
	char model[BENCH_MODEL_BYTES];

	bench_cpu_model(model);
	(void)printf("sesscache %s, %s; %ld CPUs, %s\n", sesscache_version(),
	    OpenSSL_version(OPENSSL_VERSION), sysconf(_SC_NPROCESSORS_ONLN),
	    model);
	(void)printf("%zu pairs of blocks of %zu handshakes, in turns; one "
		     "thread, P-256, CPU time;\nus: medians; more: median of "
		     "the pairs, 95 %% sure, then the middle half of them\n",
	    options->pairs, options->block);
}

static double
percent(double ratio)
{
	return (ratio - 1.0) * 100.0;
}

static void
print_row(const char *title, const struct result *result, enum party party)
{
	const struct estimate *ratio = &result->ratio[party];

	(void)printf("%-46s %7.1f %7.1f %+7.2f %+6.2f to %+6.2f", title,
	    result->us[party][PLAIN], result->us[party][ATTACHED],
	    percent(ratio->median), percent(ratio->low), percent(ratio->high));
	if (party == SERVER)
		(void)printf(" %+6.2f to %+6.2f", percent(result->quarter),
		    percent(result->three_quarters));
	(void)putchar('\n');
}

static void
print_table(const struct result results[TESTS], enum party party)
{
	size_t i;

	(void)printf("\n%-46s %7s %7s %7s %15s%s\n",
	    party == SERVER ? "Server, us a handshake" : "The client with it",
	    "without", "with", "more %", "95 %",
	    party == SERVER ? "            50 %" : "");
	for (i = 0; i < TESTS; i++)
		if (results[i].measured)
			print_row(tests[i].title, &results[i], party);
}

/* Returns whether a target was missed. */
static bool
print_targets(const struct result results[TESTS])
{
	const struct estimate *ratio;
	bool missed = false;
	size_t i;

	(void)printf("\n%-44s %10s %10s\n", "target, server's time", "wanted",
	    "measured");
	for (i = 0; i < TESTS; i++) {
		ratio = &results[i].ratio[SERVER];
		if (!tests[i].judged)
			continue;
		(void)printf("%-44s <= %7g ", tests[i].title, TARGET);
		if (!results[i].measured) {
			(void)printf("%10s  not measured\n", "");
			continue;
		}
		missed = missed || ratio->median > TARGET;
		(void)printf("%10.4f  %s%s, 95 %%: %.4f to %.4f\n",
		    ratio->median, ratio->median > TARGET ? "missed" : "met",
		    ratio->low <= TARGET && ratio->high > TARGET ?
			" (not sure)" :
			"",
		    ratio->low, ratio->high);
	}
	return missed;
}

static void
print_busy(double share)
{
	if (share < IDLE_SHARE)
		(void)printf("\nThe machine was busy: this had %.0f %% of a "
			     "CPU, and shared its caches.\n",
		    share * 100.0);
}

/* --- the run --------------------------------------------------------------- */

static void
progress(const char *name)
{
	if (isatty(STDERR_FILENO) != 0)
		(void)fprintf(stderr, "\r%-10s\r", name);
}

static int
measure_all(const struct options *options, struct result results[TESTS])
{
	struct tls_identity identity = { NULL, NULL };
	int rc = 0;
	size_t i;

	if (!tls_identity_new(&identity, SERVER_NAME, 0))
		rc = bench_fail("no certificate");
	for (i = 0; i < TESTS && rc == 0; i++) {
		progress(tests[i].name);
		if (options->tests[i])
			rc = measure(&tests[i], &identity, options,
			    &results[i]);
	}
	progress("");
	tls_identity_free(&identity);
	return rc;
}

static int
run(const char *dir, const void *arg)
{
	struct options options = *(const struct options *)arg;
	struct result results[TESTS] = { 0 };
	uint64_t began_ns = bench_now_ns(), cpu_ns = bench_cpu_ns();
	char cache[PATH_MAX];
	bool missed = false;
	int rc;

	(void)snprintf(cache, sizeof cache, "%s/cache", dir);
	options.dir = cache;
	calibrate_stopwatch();
	rc = measure_all(&options, results);
	if (rc == 0) {
		cpu_ns = bench_cpu_ns() - cpu_ns;
		print_head(&options);
		print_table(results, SERVER);
		print_table(results, CLIENT);
		print_busy(
		    (double)cpu_ns / (double)(bench_now_ns() - began_ns));
		missed = print_targets(results);
		if (fflush(stdout) != 0)
			rc = -1;
	}
	return rc == 0 && !(missed && options.strict) ? EXIT_SUCCESS :
							EXIT_FAILURE;
}

/* --- the command line ------------------------------------------------------ */

static void
print_usage(FILE *file)
{
	(void)fprintf(file,
	    "usage: bench_tls [-h] [-b COUNT] [-d DIR] [-n COUNT] [-t TESTS] "
	    "[--strict]\n"
	    "  -b COUNT  of handshakes in a block (%d)\n"
	    "  -d DIR    where the cache is made (%s)\n"
	    "  -n COUNT  of pairs of blocks (%d)\n"
	    "  -t TESTS  (ticket2,ticket3,control2,control3,id2,id3,full2,"
	    "full3)\n"
	    "  --strict  exit with 1 if a target is missed\n",
	    BLOCK_DEFAULT, DIR_DEFAULT, PAIRS_DEFAULT);
}

static int
parse_tests(char *text, struct options *options)
{
	char *rest = NULL, *word;
	bool found;
	int rc = 0;
	size_t i;

	memset(options->tests, 0, sizeof options->tests);
	for (word = strtok_r(text, ",", &rest); word != NULL && rc == 0;
	     word = strtok_r(NULL, ",", &rest)) {
		found = false;
		for (i = 0; i < TESTS; i++) {
			if (strcmp(word, tests[i].name) == 0) {
				options->tests[i] = true;
				found = true;
			}
		}
		if (!found)
			rc = bench_fail("-t %s: no such test", word);
	}
	return rc;
}

static int
parse_option(int option, struct options *options)
{
	int rc = 0;

	switch (option) {
	case 'b':
		rc = bench_number('b', optarg, 1, BLOCK_MAX, &options->block);
		break;
	case 'd':
		options->dir = optarg;
		break;
	case 'n':
		rc = bench_number('n', optarg, PAIRS_MIN, PAIRS_MAX,
		    &options->pairs);
		break;
	case 't':
		rc = parse_tests(optarg, options);
		break;
	case OPTION_STRICT:
		options->strict = true;
		break;
	default:
		rc = -1;
	}
	return rc;
}

int
main(int argc, char **argv)
{
	struct options options = { .dir = DIR_DEFAULT,
		.block = BLOCK_DEFAULT,
		.pairs = PAIRS_DEFAULT };
	int exit_status = EXIT_SUCCESS;
	bool help = false;
	int option, rc = 0;

	memset(options.tests, true, sizeof options.tests);
	option = getopt_long(argc, argv, SHORT_OPTIONS, long_options, NULL);
	while (option != -1 && rc == 0 && !help) {
		help = option == 'h';
		if (!help)
			rc = parse_option(option, &options);
		option = getopt_long(argc, argv, SHORT_OPTIONS, long_options,
		    NULL);
	}
	if (rc == 0 && !help && optind < argc)
		rc = bench_fail("%s: not an option", argv[optind]);
	if (rc != 0) {
		print_usage(stderr);
		exit_status = EXIT_USAGE;
	} else if (help) {
		print_usage(stdout);
	} else {
		exit_status = bench_in_scratch(options.dir, run, &options);
	}
	return exit_status;
}
