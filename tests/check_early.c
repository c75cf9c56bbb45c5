/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Early data (RFC 8446, section 8): a first flight that was recorded and is
 * played again, to whichever worker, at once or later and whatever became of
 * the cache meanwhile, is accepted as early data once at most; what is refused
 * goes on as a full handshake.  And what single use means without early data.
 *
 * The clock stands still, see clock.h: OpenSSL refuses early data that is ten
 * seconds late, which would hide what is tested here.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "clock.h"
#include "process.h"
#include "support.h"
#include "tls.h"

enum {
	MAX_EARLY_BYTES = 1024,
	FLIGHT_BYTES = 8192,
	MAX_ROUNDS = 100, /* of a handshake that makes no progress */
	WORKERS = 2,      /* that get a flight at once */
	MAX_FLIGHTS = 100,
	RECORD_HEADER = 5, /* bytes, of a TLS record */
	TLS_ALERT = 21,    /* the type of a record */
	LIFETIME = 3600,   /* seconds: what the setting timeout says */
};

static const char early_text[] = "early";
static const char server_name[] = "example.org";

/* When an application calls SSL_CTX_set_max_early_data(), or its brother. */
enum when {
	BEFORE_ATTACH,
	AFTER_ATTACH,
	PER_CONNECTION, /* after SSL_new() */
	IN_CLIENT_HELLO_CALLBACK,
	IN_SERVER_NAME_CALLBACK,
	NEVER,
};

/* How a worker is set up. */
struct setup {
	const char *name;
	enum when when;
	const char *tickets;
	const char *single_use;
	uint64_t options; /* that the application sets */
	const char *groups;
};

/* A process that serves, or what might be one. */
struct worker {
	const struct setup *setup;
	struct sesscache *cache;
	SSL_CTX *ctx;
};

/* What a client sends before it has heard anything. */
struct flight {
	uint8_t bytes[FLIGHT_BYTES];
	int len;
};

enum outcome {
	FAILED,   /* the connection is over */
	FULL,     /* a full handshake, as far as it gets */
	RESUMED,  /* without its early data */
	ACCEPTED, /* as early data */
};

static const struct setup usual = { "usual", BEFORE_ATTACH, "auto", "auto", 0,
	NULL };

static struct tls_identity identity;
static SSL_CTX *client;
static struct worker worker; /* the first of a test */

/* --- workers -------------------------------------------------------------- */

static int
allow_at_hello(SSL *ssl, int *alert, void *arg)
{
	(void)alert, (void)arg;
	(void)SSL_set_max_early_data(ssl, MAX_EARLY_BYTES);
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int
allow_at_name(SSL *ssl, int *alert, void *arg)
{
	(void)alert, (void)arg;
	(void)SSL_set_max_early_data(ssl, MAX_EARLY_BYTES);
	return SSL_TLSEXT_ERR_OK;
}

/* What the application does before it attaches, and after. */
static void
configure(SSL_CTX *ctx, const struct setup *setup, bool is_attached)
{
	if (setup->when == (is_attached ? AFTER_ATTACH : BEFORE_ATTACH))
		(void)SSL_CTX_set_max_early_data(ctx, MAX_EARLY_BYTES);
	if (setup->when == IN_CLIENT_HELLO_CALLBACK && is_attached)
		SSL_CTX_set_client_hello_cb(ctx, allow_at_hello, NULL);
	if (setup->when == IN_SERVER_NAME_CALLBACK && is_attached)
		(void)SSL_CTX_set_tlsext_servername_callback(ctx,
		    allow_at_name);
	if (!is_attached)
		(void)SSL_CTX_set_options(ctx, setup->options);
	if (!is_attached && setup->groups != NULL)
		MUST(SSL_CTX_set1_groups_list(ctx, setup->groups) == 1);
}

static void
worker_open(struct worker *out, const struct setup *setup)
{
	out->setup = setup;
	out->cache = cache_open(test_dir("cache"), "size", "1M", "tickets",
	    setup->tickets, "single-use", setup->single_use, NULL);
	out->ctx = tls_server_new(&identity, TLS1_3_VERSION);
	MUST(out->ctx != NULL);
	configure(out->ctx, setup, false);
	MUST(sesscache_attach(out->cache, out->ctx) == SESSCACHE_OK);
	configure(out->ctx, setup, true);
}

static struct sesscache_stats
stats_of(const struct worker *of)
{
	struct sesscache_stats stats;
	enum sesscache_status status = SESSCACHE_EBUSY;

	for (int i = 0; i < MAX_ROUNDS && status == SESSCACHE_EBUSY; i++)
		status = sesscache_stats(of->cache, &stats);
	MUST(status == SESSCACHE_OK);
	return stats;
}

/* Nothing that was refused may have been an error of the cache. */
static void
worker_close(struct worker *of)
{
	struct sesscache_stats stats = stats_of(of);

	MUST(stats.failed == 0 && stats.unreadable == 0);
	SSL_CTX_free(of->ctx);
	sesscache_close(of->cache);
	of->ctx = NULL;
	of->cache = NULL;
}

static void
make_world(void)
{
	test_root_make();
	ck_assert(tls_identity_new(&identity, "server", 0));
}

static void
remove_world(void)
{
	tls_identity_free(&identity);
	test_root_remove();
}

static void
setup_test(void)
{
	test_dir_make();
	test_clock_stop();
	client = tls_client_new(NULL, TLS1_3_VERSION);
	ck_assert_ptr_nonnull(client);
	ERR_clear_error();
}

static void
teardown_test(void)
{
	SSL_CTX_free(client);
	test_dir_remove();
}

/* --- connections ---------------------------------------------------------- */

static void
prepare(SSL *ssl, const struct worker *of)
{
	if (of->setup->when == PER_CONNECTION)
		MUST(SSL_set_max_early_data(ssl, MAX_EARLY_BYTES) == 1);
}

/*
 * Let the server read early data, which is what begins its handshake.  *over
 * says that there is no more to come.
 */
static enum outcome
read_early(SSL *ssl, bool *over)
{
	enum outcome outcome;
	char text[sizeof(early_text)];
	size_t len = 0;
	int result;

	ERR_clear_error();
	result = SSL_read_early_data(ssl, text, sizeof(text), &len);
	*over = result == SSL_READ_EARLY_DATA_FINISH;
	if (result == SSL_READ_EARLY_DATA_SUCCESS) {
		MUST(len == strlen(early_text));
		MUST(memcmp(text, early_text, len) == 0);
		MUST(SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_ACCEPTED);
		outcome = ACCEPTED;
	} else if (*over || SSL_get_error(ssl, result) == SSL_ERROR_WANT_READ) {
		outcome = SSL_session_reused(ssl) ? RESUMED : FULL;
	} else {
		outcome = FAILED;
	}
	return outcome;
}

/* The server's turn, however far it is; what it made of it. */
static enum outcome
serve(SSL *ssl, bool *over)
{
	enum outcome outcome;
	int result;

	if (*over) {
		ERR_clear_error();
		result = SSL_do_handshake(ssl);
		outcome = SSL_session_reused(ssl) ? RESUMED : FULL;
		if (result != 1 &&
		    SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ)
			outcome = FAILED;
	} else {
		outcome = read_early(ssl, over);
	}
	return outcome;
}

/* Both sides to the end; what the server made of it. */
static enum outcome
complete(struct tls_pair *pair)
{
	enum outcome outcome = FULL, got;
	bool over = false;

	for (int i = 0; i < MAX_ROUNDS && outcome != FAILED &&
	     !(over && SSL_is_init_finished(pair->client));
	     i++) {
		(void)SSL_do_handshake(pair->client);
		got = serve(pair->server, &over);
		outcome = outcome == ACCEPTED && got != FAILED ? ACCEPTED : got;
	}
	if (!tls_pair_handshake(pair) ||
	    !tls_send(pair->client, pair->server, "question") ||
	    !tls_send(pair->server, pair->client, "answer"))
		outcome = FAILED;
	return outcome;
}

static void
write_early(SSL *ssl)
{
	size_t written = 0;

	MUST(SSL_write_early_data(ssl, early_text, strlen(early_text),
		 &written) == 1);
	MUST(written == strlen(early_text));
}

/*
 * One connection that offers a session (NULL: none), with early data or not.
 * *next (may be NULL) is replaced with the client's newest session.
 */
static enum outcome
converse(const struct worker *with, const SSL_SESSION *offered, bool is_early,
    SSL_SESSION **next)
{
	/* A copy: the client gives up what it offers if that fails. */
	SSL_SESSION *copy = offered != NULL ? SSL_SESSION_dup(offered) : NULL;
	struct tls_pair pair;
	enum outcome outcome;

	MUST(tls_pair_new(&pair, with->ctx, client, copy, server_name));
	SSL_SESSION_free(copy);
	prepare(pair.server, with);
	if (is_early)
		write_early(pair.client);
	outcome = complete(&pair);
	/* Neither side may believe what the other does not. */
	MUST((SSL_get_early_data_status(pair.client) ==
		 SSL_EARLY_DATA_ACCEPTED) == (outcome == ACCEPTED));
	if (next != NULL) {
		SSL_SESSION_free(*next);
		*next = SSL_get1_session(pair.client);
	}
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	return outcome;
}

/* A session of a full handshake. */
static SSL_SESSION *
new_session(const struct worker *with)
{
	SSL_SESSION *session = NULL;

	MUST(converse(with, NULL, false, &session) == FULL);
	return session;
}

/* --- flights -------------------------------------------------------------- */

static void
use_memory(SSL *ssl)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

	MUST(in != NULL && out != NULL);
	SSL_set_bio(ssl, in, out);
}

/* A client that has sent its first flight, and waits. */
static SSL *
begin_flight(const SSL_SESSION *session, bool is_early)
{
	SSL_SESSION *copy = SSL_SESSION_dup(session);
	SSL *ssl = SSL_new(client);

	MUST(copy != NULL && ssl != NULL);
	use_memory(ssl);
	SSL_set_connect_state(ssl);
	MUST(SSL_set_tlsext_host_name(ssl, server_name) == 1);
	MUST(SSL_set_session(ssl, copy) == 1);
	SSL_SESSION_free(copy);
	if (is_early)
		write_early(ssl);
	else
		MUST(SSL_do_handshake(ssl) <= 0);
	return ssl;
}

/* What one side has sent and nobody has taken yet. */
static void
collect(SSL *from, struct flight *out)
{
	out->len = BIO_read(SSL_get_wbio(from), out->bytes, FLIGHT_BYTES);
	MUST(out->len > 0 && out->len < FLIGHT_BYTES);
}

static void
record(const SSL_SESSION *session, bool is_early, struct flight *out)
{
	SSL *ssl = begin_flight(session, is_early);

	collect(ssl, out);
	SSL_free(ssl);
}

static void
deliver(SSL *to, const struct flight *flight)
{
	MUST(BIO_write(SSL_get_rbio(to), flight->bytes, flight->len) ==
	    flight->len);
}

static SSL *
new_connection(const struct worker *with)
{
	SSL *ssl = SSL_new(with->ctx);

	MUST(ssl != NULL);
	use_memory(ssl);
	SSL_set_accept_state(ssl);
	prepare(ssl, with);
	return ssl;
}

/* What a connection makes of a flight; it answers, as far as it can. */
static enum outcome
hear(SSL *ssl, const struct flight *flight)
{
	struct flight answer;
	enum outcome outcome;
	bool over;

	deliver(ssl, flight);
	outcome = read_early(ssl, &over);
	collect(ssl, &answer);
	MUST((answer.bytes[0] == TLS_ALERT) == (outcome == FAILED));
	return outcome;
}

static enum outcome
play(const struct worker *to, const struct flight *flight)
{
	SSL *ssl = new_connection(to);
	enum outcome outcome = hear(ssl, flight);

	SSL_free(ssl);
	ERR_clear_error();
	return outcome;
}

/* A flight that nobody has heard yet. */
static void
new_flight(const struct worker *with, struct flight *out)
{
	SSL_SESSION *session = new_session(with);

	MUST(SSL_SESSION_get_max_early_data(session) == MAX_EARLY_BYTES);
	record(session, true, out);
	SSL_SESSION_free(session);
}

/* --- what may go wrong in other processes --------------------------------- */

struct told {
	const struct setup *setup;
	const struct flight *flight;
	enum outcome outcome; /* in shared memory */
};

static void
play_in_child(void *arg)
{
	struct told *told = arg;
	struct worker own;

	worker_open(&own, told->setup);
	told->outcome = play(&own, told->flight);
	worker_close(&own);
}

/* A process of its own, which opens the cache and closes it again. */
static enum outcome
play_elsewhere(const struct setup *setup, const struct flight *flight)
{
	struct told *told = shared_new(sizeof(*told));

	told->setup = setup;
	told->flight = flight;
	MUST(child_does(play_in_child, told));
	return told->outcome;
}

/* --- that it works, and once ---------------------------------------------- */

/* Whatever is allowed, and whenever the application says so. */
static const char *const tickets[] = { "auto", "off", "shared" };
static const char *const single_uses[] = { "auto", "on", "off" };
static const enum when whens[] = { BEFORE_ATTACH, AFTER_ATTACH,
	PER_CONNECTION };

enum { COMBINATIONS = 27 };

static struct setup
combination(int index)
{
	struct setup setup = usual;

	setup.when = whens[index % N_OF(whens)];
	setup.tickets = tickets[index / 3 % N_OF(tickets)];
	setup.single_use = single_uses[index / 9];
	return setup;
}

START_TEST(early_data_is_accepted_on_every_resumption)
{
	const struct setup setup = combination(_i);
	SSL_SESSION *session;

	worker_open(&worker, &setup);
	session = new_session(&worker);
	for (int i = 0; i < 3; i++) {
		ck_assert_uint_eq(SSL_SESSION_get_max_early_data(session),
		    MAX_EARLY_BYTES);
		ck_assert_int_eq(converse(&worker, session, true, &session),
		    ACCEPTED);
	}
	SSL_SESSION_free(session);
	worker_close(&worker);
}
END_TEST

START_TEST(flight_is_accepted_once_one_worker_after_the_other)
{
	const struct setup setup = combination(_i);
	struct worker other;
	struct flight flight;

	worker_open(&worker, &setup);
	worker_open(&other, &setup);
	new_flight(&worker, &flight);
	ck_assert_int_eq(play(&other, &flight), ACCEPTED);
	ck_assert_int_eq(play(&worker, &flight), FULL);
	ck_assert_int_eq(play(&other, &flight), FULL);
	ck_assert_int_eq(play_elsewhere(&setup, &flight), FULL);
	new_flight(&other, &flight);
	ck_assert_int_eq(play_elsewhere(&setup, &flight), ACCEPTED);
	ck_assert_int_eq(play(&worker, &flight), FULL);
	worker_close(&worker);
	worker_close(&other);
}
END_TEST

static const struct setup safe_setups[] = {
	{ "single use off, no option", BEFORE_ATTACH, "auto", "off", 0, NULL },
	{ "no anti-replay", BEFORE_ATTACH, "auto", "auto",
	    SSL_OP_NO_ANTI_REPLAY, NULL },
	{ "no anti-replay, then attach", AFTER_ATTACH, "shared", "auto",
	    SSL_OP_NO_ANTI_REPLAY, NULL },
	{ "no anti-replay, each", PER_CONNECTION, "shared", "on",
	    SSL_OP_NO_ANTI_REPLAY, NULL },
	{ "no tickets", BEFORE_ATTACH, "auto", "auto", SSL_OP_NO_TICKET, NULL },
	{ "no tickets, single use off", AFTER_ATTACH, "auto", "off",
	    SSL_OP_NO_TICKET, NULL },
	{ "no tickets, each", PER_CONNECTION, "shared", "auto",
	    SSL_OP_NO_TICKET, NULL },
};

START_TEST(options_of_the_application_make_no_replay)
{
	struct flight flight;

	worker_open(&worker, &safe_setups[_i]);
	new_flight(&worker, &flight);
	ck_assert_msg(play(&worker, &flight) == ACCEPTED, "%s: not accepted",
	    safe_setups[_i].name);
	ck_assert_msg(play(&worker, &flight) == FULL, "%s: replayed",
	    safe_setups[_i].name);
	worker_close(&worker);
}
END_TEST

/* It said so, twice. */
START_TEST(application_that_wants_replays_is_left_alone)
{
	static const enum when both[] = { BEFORE_ATTACH, AFTER_ATTACH };
	struct setup setup = usual;
	struct flight flight;

	setup.when = both[_i];
	setup.options = SSL_OP_NO_ANTI_REPLAY;
	setup.single_use = "off";
	worker_open(&worker, &setup);
	ck_assert_uint_eq(SSL_CTX_get_options(worker.ctx) & SSL_OP_NO_TICKET,
	    0);
	new_flight(&worker, &flight);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(play(&worker, &flight), ACCEPTED);
	worker_close(&worker);
}
END_TEST

START_TEST(options_that_are_cleared_after_attach_make_no_replay)
{
	struct flight flight;
	unsigned accepted = 0;

	worker_open(&worker, &usual);
	(void)SSL_CTX_clear_options(worker.ctx, SSL_OP_NO_TICKET);
	new_flight(&worker, &flight);
	for (int i = 0; i < 3; i++)
		accepted += play(&worker, &flight) == ACCEPTED;
	ck_assert_uint_le(accepted, 1);
	worker_close(&worker);
}
END_TEST

/* Where it may be too late for early data, but not for a replay. */
START_TEST(early_data_that_a_callback_allows_is_accepted_once_at_most)
{
	static const enum when late[] = { IN_CLIENT_HELLO_CALLBACK,
		IN_SERVER_NAME_CALLBACK };
	struct setup setup = combination(_i / N_OF(late) * N_OF(whens));
	SSL_SESSION *session;
	struct flight flight;
	unsigned accepted = 0;

	setup.when = late[_i % N_OF(late)];
	worker_open(&worker, &setup);
	session = new_session(&worker);
	record(session, true, &flight);
	for (int i = 0; i < 3; i++)
		accepted += play(&worker, &flight) == ACCEPTED;
	ck_assert_uint_le(accepted, 1);
	ck_assert_int_ne(converse(&worker, session, false, NULL), FAILED);
	SSL_SESSION_free(session);
	worker_close(&worker);
}
END_TEST

/* --- at once -------------------------------------------------------------- */

struct race {
	const struct setup *setup;
	pthread_barrier_t barrier;
	int flights_len;
	struct flight flights[MAX_FLIGHTS];
	enum outcome outcomes[WORKERS][MAX_FLIGHTS];
};

struct racer {
	struct race *race; /* in shared memory */
	int index;
};

static void
run_race(void *arg)
{
	struct racer *racer = arg;
	struct race *race = racer->race;
	struct worker own;

	worker_open(&own, race->setup);
	for (int i = 0; i < race->flights_len; i++) {
		(void)pthread_barrier_wait(&race->barrier);
		race->outcomes[racer->index][i] = play(&own, &race->flights[i]);
	}
	worker_close(&own);
}

static struct race *
new_race(const struct setup *setup)
{
	struct race *race = shared_new(sizeof(*race));
	pthread_barrierattr_t shared;

	MUST(pthread_barrierattr_init(&shared) == 0);
	MUST(pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED) ==
	    0);
	MUST(pthread_barrier_init(&race->barrier, &shared, WORKERS) == 0);
	(void)pthread_barrierattr_destroy(&shared);
	race->setup = setup;
	race->flights_len = (int)test_times(MAX_FLIGHTS, 10);
	if (race->flights_len > MAX_FLIGHTS)
		race->flights_len = MAX_FLIGHTS;
	worker_open(&worker, setup);
	for (int i = 0; i < race->flights_len; i++)
		new_flight(&worker, &race->flights[i]);
	worker_close(&worker);
	return race;
}

/* One of them got it; or none, where a lock was not to be had in time. */
static void
judge(const struct race *race)
{
	uint64_t lost = 0;
	int accepted, refused;

	for (int i = 0; i < race->flights_len; i++) {
		accepted = refused = 0;
		for (int j = 0; j < WORKERS; j++) {
			accepted += race->outcomes[j][i] == ACCEPTED;
			refused += race->outcomes[j][i] == FULL;
		}
		ck_assert_int_le(accepted, 1);
		ck_assert_int_eq(accepted + refused, WORKERS);
		lost += accepted == 0;
	}
	worker_open(&worker, race->setup);
	ck_assert_uint_le(lost, stats_of(&worker).busy);
	worker_close(&worker);
}

START_TEST(flight_is_accepted_once_by_two_workers_at_once)
{
	const struct setup setup = combination(_i);
	struct race *race = new_race(&setup);
	struct racer racers[WORKERS];
	pid_t pids[WORKERS];

	for (int i = 0; i < WORKERS; i++) {
		racers[i] = (struct racer){ race, i };
		pids[i] = child_start(run_race, &racers[i]);
	}
	for (int i = 0; i < WORKERS; i++)
		ck_assert(child_ended_well(pids[i]));
	judge(race);
}
END_TEST

/* --- whatever becomes of the cache ---------------------------------------- */

enum fate { RESTARTED, EVICTED, PURGED };

static const struct {
	const char *name;
	enum fate fate;
	bool ends; /* what is stored, too */
} fates[] = {
	{ "restarted", RESTARTED, false },
	{ "evicted", EVICTED, true },
	{ "purged", PURGED, true },
};

/* Store until everything that was there is gone. */
static void
evict_all(const struct worker *of)
{
	uint8_t id[SESSCACHE_ID_LEN], data[200];
	struct sesscache_stats stats = stats_of(of);
	uint64_t before = stats.stored + stats.records, put = 0;

	memset(data, 1, sizeof(data));
	while (stats.evicted_newcomers + stats.evicted_regulars <
		before + stats.records &&
	    put < 100000) {
		MUST(RAND_bytes(id, sizeof(id)) == 1);
		MUST(sesscache_put(of->cache, id, sizeof(id), data,
			 sizeof(data), 0) == SESSCACHE_OK);
		put++;
		if (put % 1000 == 0)
			stats = stats_of(of);
	}
	MUST(put < 100000);
}

static void
suffer(enum fate fate, const struct setup *setup)
{
	switch (fate) {
	case RESTARTED:
		worker_close(&worker);
		worker_open(&worker, setup);
		break;
	case EVICTED:
		evict_all(&worker);
		break;
	case PURGED:
		ck_done(sesscache_purge(worker.cache, NULL, NULL));
		break;
	}
}

START_TEST(flight_is_accepted_once_whatever_becomes_of_the_cache)
{
	const struct setup setup = combination(_i / N_OF(fates));
	const char *name = fates[_i % N_OF(fates)].name;
	enum fate fate = fates[_i % N_OF(fates)].fate;
	struct flight flight;

	worker_open(&worker, &setup);
	new_flight(&worker, &flight);
	ck_assert_msg(play(&worker, &flight) == ACCEPTED, "%s: at first", name);
	for (int i = 0; i < 2; i++) {
		suffer(fate, &setup);
		ck_assert_msg(play(&worker, &flight) == FULL, "%s", name);
		ck_assert_msg(play_elsewhere(&setup, &flight) == FULL, "%s",
		    name);
	}
	worker_close(&worker);
}
END_TEST

START_TEST(flight_that_nobody_heard_before_is_accepted_once_at_most)
{
	const struct setup setup = combination(_i / N_OF(fates));
	const char *name = fates[_i % N_OF(fates)].name;
	bool ends = fates[_i % N_OF(fates)].ends;
	struct flight flight;

	worker_open(&worker, &setup);
	new_flight(&worker, &flight);
	suffer(fates[_i % N_OF(fates)].fate, &setup);
	ck_assert_msg(play(&worker, &flight) == (ends ? FULL : ACCEPTED), "%s",
	    name);
	ck_assert_msg(play(&worker, &flight) == FULL, "%s", name);
	worker_close(&worker);
}
END_TEST

/* Nobody has the cache open between one and the next. */
START_TEST(flight_is_accepted_once_by_processes_that_follow_each_other)
{
	const struct setup setup = combination(_i);
	struct flight flight;

	worker_open(&worker, &setup);
	new_flight(&worker, &flight);
	worker_close(&worker);
	ck_assert_int_eq(play_elsewhere(&setup, &flight), ACCEPTED);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(play_elsewhere(&setup, &flight), FULL);
}
END_TEST

/* --- a retried hello ------------------------------------------------------ */

/* The client's first key share is another. */
static const struct setup retrying[] = {
	{ "auto", BEFORE_ATTACH, "auto", "auto", 0, "P-256" },
	{ "on", AFTER_ATTACH, "shared", "on", 0, "P-256" },
	{ "off", PER_CONNECTION, "off", "off", 0, "P-256" },
};

/* The answer of a client to a server that wants another hello. */
static void
answer_retry(SSL *from, SSL *to, struct flight *out)
{
	struct flight heard;

	collect(from, &heard);
	deliver(to, &heard);
	ck_assert_int_le(SSL_do_handshake(to), 0);
	collect(to, out);
}

START_TEST(session_resumes_without_early_data_after_a_retried_hello)
{
	SSL_SESSION *session, *next = NULL;

	worker_open(&worker, &retrying[_i]);
	session = new_session(&worker);
	ck_assert_int_eq(converse(&worker, session, true, &next), RESUMED);
	ck_assert_int_eq(converse(&worker, session, true, NULL), FULL);
	ck_assert_int_eq(converse(&worker, session, false, NULL), FULL);
	ck_assert_int_eq(converse(&worker, next, false, NULL), RESUMED);
	SSL_SESSION_free(session);
	SSL_SESSION_free(next);
	worker_close(&worker);
}
END_TEST

/* Both hellos, played side by side to three connections. */
START_TEST(retried_hello_that_is_played_again_resumes_once)
{
	bool over[3] = { false, false, false };
	SSL *servers[3], *ssl;
	SSL_SESSION *session;
	struct flight first, second;

	worker_open(&worker, &retrying[_i]);
	session = new_session(&worker);
	ssl = begin_flight(session, true);
	collect(ssl, &first);
	for (int i = 0; i < N_OF(servers); i++) {
		servers[i] = new_connection(&worker);
		deliver(servers[i], &first);
		ck_assert_int_ne(serve(servers[i], &over[i]), ACCEPTED);
	}
	answer_retry(servers[0], ssl, &second);
	/* Those that came too late for what the first has taken. */
	for (int i = N_OF(servers) - 1; i >= 0; i--) {
		deliver(servers[i], &second);
		ck_assert_int_eq(serve(servers[i], &over[i]),
		    i == 0 ? RESUMED : FULL);
	}
	ck_assert_int_ne(play(&worker, &first), ACCEPTED);
	for (int i = 0; i < N_OF(servers); i++)
		SSL_free(servers[i]);
	SSL_free(ssl);
	SSL_SESSION_free(session);
	worker_close(&worker);
}
END_TEST

/* A client goes away after its first hello: what it offered is gone. */
START_TEST(retried_hello_that_is_never_answered_spends_the_session)
{
	struct setup setup = retrying[_i];
	struct flight flight;
	struct worker other;

	worker_open(&worker, &retrying[_i]);
	setup.groups = NULL;
	worker_open(&other, &setup);
	new_flight(&worker, &flight);
	ck_assert_int_ne(play(&worker, &flight), ACCEPTED);
	ck_assert_int_eq(play(&other, &flight), FULL);
	worker_close(&worker);
	worker_close(&other);
}
END_TEST

/* --- offers that are refused ---------------------------------------------- */

/* The last byte of a ClientHello is the last of the binders. */
static void
break_binder(struct flight *flight)
{
	int len = flight->bytes[3] << 8 | flight->bytes[4];

	MUST(flight->len > RECORD_HEADER + len);
	flight->bytes[RECORD_HEADER + len - 1] ^= 1;
}

START_TEST(wrong_binder_fails_the_handshake_and_allows_nothing)
{
	const struct setup setup = combination(_i);
	struct flight flight, broken;
	unsigned accepted = 0;

	worker_open(&worker, &setup);
	new_flight(&worker, &flight);
	broken = flight;
	break_binder(&broken);
	ck_assert_int_eq(play(&worker, &broken), FAILED);
	for (int i = 0; i < 3; i++)
		accepted += play(&worker, &flight) == ACCEPTED;
	ck_assert_uint_le(accepted, 1);
	ck_assert_int_ne(play(&worker, &broken), ACCEPTED);
	worker_close(&worker);
}
END_TEST

START_TEST(flight_that_comes_late_resumes_and_is_spent)
{
	const struct setup setup = combination(_i);
	struct flight flight;

	worker_open(&worker, &setup);
	new_flight(&worker, &flight);
	test_clock_pass(20);
	ck_assert_int_eq(play(&worker, &flight), RESUMED);
	ck_assert_int_eq(play(&worker, &flight), FULL);
	test_clock_set(-20);
	ck_assert_int_eq(play(&worker, &flight), FULL);
	worker_close(&worker);
}
END_TEST

static int
refuse(SSL *ssl, void *arg)
{
	(void)ssl;
	return *(bool *)arg ? 0 : 1;
}

START_TEST(flight_that_the_application_refuses_resumes_and_is_spent)
{
	const struct setup setup = combination(_i);
	struct flight flight;
	bool refusing = true;

	worker_open(&worker, &setup);
	SSL_CTX_set_allow_early_data_cb(worker.ctx, refuse, &refusing);
	new_flight(&worker, &flight);
	ck_assert_int_eq(play(&worker, &flight), RESUMED);
	refusing = false;
	ck_assert_int_eq(play(&worker, &flight), FULL);
	worker_close(&worker);
}
END_TEST

/* --- one SSL for several connections -------------------------------------- */

/* Make a used object a new connection, for which a flight is waiting. */
static void
use_again(SSL *ssl, const struct flight *flight)
{
	MUST(SSL_clear(ssl) == 1);
	use_memory(ssl);
	SSL_set_accept_state(ssl);
	ERR_clear_error();
	deliver(ssl, flight);
}

/* What a handshake that reads no early data makes of a flight. */
static enum outcome
accept_again(SSL *ssl, const struct flight *flight)
{
	bool over = true;

	use_again(ssl, flight);
	return serve(ssl, &over);
}

/* OpenSSL reads no early data where it has read some before SSL_clear(). */
START_TEST(used_object_accepts_a_flight_once_at_most)
{
	const struct setup setup = combination(_i);
	struct flight flight;
	struct tls_pair pair;
	bool over = false;

	worker_open(&worker, &setup);
	new_flight(&worker, &flight);
	ck_assert(tls_pair_new(&pair, worker.ctx, client, NULL, server_name));
	prepare(pair.server, &worker);
	ck_assert(tls_pair_handshake(&pair));
	use_again(pair.server, &flight);
	ck_assert_int_eq(read_early(pair.server, &over), ACCEPTED);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(accept_again(pair.server, &flight), FULL);
	use_again(pair.server, &flight);
	ck_assert_int_ne(read_early(pair.server, &over), ACCEPTED);
	ck_assert_int_eq(SSL_session_reused(pair.server), 0);
	tls_pair_free(&pair);
	ERR_clear_error();
	ck_assert_int_eq(play(&worker, &flight), FULL);
	worker_close(&worker);
}
END_TEST

/* What the first handshake kept for its second hello is not for the next. */
START_TEST(used_object_forgets_what_a_retried_hello_had_taken)
{
	struct flight flight, plain;
	SSL_SESSION *session;
	SSL *ssl;

	worker_open(&worker, &retrying[_i]);
	session = new_session(&worker);
	record(session, true, &flight);
	record(session, false, &plain);
	SSL_SESSION_free(session);
	ssl = new_connection(&worker);
	ck_assert_int_ne(hear(ssl, &flight), ACCEPTED);
	ck_assert_int_eq(SSL_set1_groups_list(ssl, "X25519:P-256"), 1);
	ck_assert_int_eq(accept_again(ssl, &plain), FULL);
	ck_assert_int_eq(accept_again(ssl, &flight), FULL);
	SSL_free(ssl);
	ck_assert_int_ne(play(&worker, &flight), ACCEPTED);
	worker_close(&worker);
}
END_TEST

/* A client drops what it thinks has ended; this one offers it. */
static void
make_young(SSL_SESSION *session)
{
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
	(void)SSL_SESSION_set_time_ex(session, time(NULL));
#else
	(void)SSL_SESSION_set_time(session, (long)time(NULL));
#endif
}

/*
 * OpenSSL 4.0 takes from the age that a client sends, a sum modulo 2^32, what
 * was added to it, and stays at 0 where the sum has run over (see
 * ossl_time_subtract() in tls_parse_ctos_psk()): one ticket of 3,600 is too
 * young to it after 20 minutes, and resumes without its early data.
 */
static unsigned
refusals_by_openssl(void)
{
	return OPENSSL_VERSION_NUMBER >= 0x40000000L ? 1 : 0;
}

/*
 * The end of early data is to OpenSSL the start of another handshake, which
 * must not make the session a new one; also where the time of day stands still.
 */
START_TEST(session_of_early_data_ends_with_its_lifetime)
{
	const struct setup setup = combination(_i / 2);
	unsigned left = _i % 2 == 0 ? refusals_by_openssl() : 0;
	enum outcome outcome;
	SSL_SESSION *session;

	worker_open(&worker, &setup);
	session = new_session(&worker);
	for (int i = 0; i < 3; i++) {
		test_clock_pass(LIFETIME / 3 - 1);
		if (_i % 2 == 1)
			test_clock_set(-(LIFETIME / 3 - 1));
		outcome = converse(&worker, session, true, &session);
		if (outcome == RESUMED && left > 0)
			left--;
		else
			ck_assert_int_eq(outcome, ACCEPTED);
	}
	test_clock_pass(4);
	make_young(session);
	ck_assert_int_eq(converse(&worker, session, true, &session), FULL);
	SSL_SESSION_free(session);
	worker_close(&worker);
}
END_TEST

/* --- tickets -------------------------------------------------------------- */

struct collection {
	SSL_SESSION *sessions[8];
	int len;
};

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	struct collection *to = SSL_get_app_data(ssl);
	bool wanted = to != NULL && to->len < N_OF(to->sessions);

	if (wanted)
		to->sessions[to->len++] = session;
	return wanted;
}

static void
get_tickets(const struct worker *from, struct collection *out)
{
	struct tls_pair pair;

	(void)SSL_CTX_set_session_cache_mode(client,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client, keep_session);
	MUST(tls_pair_new(&pair, from->ctx, client, NULL, server_name));
	prepare(pair.server, from);
	SSL_set_app_data(pair.client, out);
	MUST(complete(&pair) == FULL);
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
}

START_TEST(each_ticket_of_a_client_is_accepted_once)
{
	const struct setup setup = combination(_i);
	struct collection got = { { NULL }, 0 };
	struct flight flight;

	worker_open(&worker, &setup);
	(void)SSL_CTX_set_num_tickets(worker.ctx, 2);
	get_tickets(&worker, &got);
	ck_assert_int_eq(got.len, 2);
	for (int i = 0; i < got.len; i++) {
		record(got.sessions[i], true, &flight);
		ck_assert_int_eq(play(&worker, &flight), ACCEPTED);
		ck_assert_int_eq(play(&worker, &flight), FULL);
	}
	for (int i = 0; i < got.len; i++) {
		record(got.sessions[i], true, &flight);
		ck_assert_int_eq(play(&worker, &flight), FULL);
		SSL_SESSION_free(got.sessions[i]);
	}
	worker_close(&worker);
}
END_TEST

/* Another first flight of the same ticket is no other ticket. */
START_TEST(ticket_is_accepted_once_however_many_flights_offer_it)
{
	const struct setup setup = combination(_i);
	struct flight flights[3];
	SSL_SESSION *session;

	worker_open(&worker, &setup);
	session = new_session(&worker);
	for (int i = 0; i < N_OF(flights); i++)
		record(session, true, &flights[i]);
	for (int i = 0; i < N_OF(flights); i++)
		ck_assert_int_eq(play(&worker, &flights[i]),
		    i == 0 ? ACCEPTED : FULL);
	ck_assert_int_eq(converse(&worker, session, false, NULL), FULL);
	SSL_SESSION_free(session);
	worker_close(&worker);
}
END_TEST

START_TEST(ticket_without_single_use_resumes_often_until_early_data_takes_it)
{
	struct setup setup = combination(_i);
	struct flight flight;
	SSL_SESSION *session;

	setup.single_use = "off";
	worker_open(&worker, &setup);
	session = new_session(&worker);
	record(session, true, &flight);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(converse(&worker, session, false, NULL),
		    RESUMED);
	ck_assert_int_eq(play(&worker, &flight), ACCEPTED);
	ck_assert_int_eq(play(&worker, &flight), FULL);
	ck_assert_int_eq(converse(&worker, session, true, NULL), FULL);
	SSL_SESSION_free(session);
	worker_close(&worker);
}
END_TEST

/* Without early data. */
static const struct {
	struct setup setup;
	bool is_single;
} uses[] = {
	{ { "on", NEVER, "auto", "on", 0, NULL }, true },
	{ { "on, off", NEVER, "off", "on", 0, NULL }, true },
	{ { "on, shared", NEVER, "shared", "on", 0, NULL }, true },
	{ { "auto", NEVER, "auto", "auto", 0, NULL }, false },
	{ { "auto, off", NEVER, "off", "auto", 0, NULL }, false },
	{ { "auto, shared", NEVER, "shared", "auto", 0, NULL }, false },
	{ { "off, off", NEVER, "off", "off", 0, NULL }, false },
	{ { "off, shared", NEVER, "shared", "off", 0, NULL }, false },
};

START_TEST(ticket_resumes_once_where_single_use_is_on)
{
	SSL_SESSION *session, *next = NULL;
	enum outcome again = uses[_i].is_single ? FULL : RESUMED;

	worker_open(&worker, &uses[_i].setup);
	session = new_session(&worker);
	ck_assert_uint_eq(SSL_SESSION_get_max_early_data(session), 0);
	ck_assert_int_eq(converse(&worker, session, false, &next), RESUMED);
	for (int i = 0; i < 2; i++)
		ck_assert_msg(converse(&worker, session, false, NULL) == again,
		    "%s", uses[_i].setup.name);
	ck_assert_int_eq(converse(&worker, next, false, NULL), RESUMED);
	SSL_SESSION_free(session);
	SSL_SESSION_free(next);
	worker_close(&worker);
}
END_TEST

/* For every combination of settings; under valgrind for single-use=auto. */
static void
add_combination_tests(TCase *tc)
{
	int count = test_in_valgrind() ? COMBINATIONS / 3 : COMBINATIONS;
	static const TTest *const *const tests[] = {
		&early_data_is_accepted_on_every_resumption,
		&flight_is_accepted_once_one_worker_after_the_other,
		&flight_is_accepted_once_by_two_workers_at_once,
		&flight_is_accepted_once_by_processes_that_follow_each_other,
		&wrong_binder_fails_the_handshake_and_allows_nothing,
		&flight_that_comes_late_resumes_and_is_spent,
		&flight_that_the_application_refuses_resumes_and_is_spent,
		&used_object_accepts_a_flight_once_at_most,
		&each_ticket_of_a_client_is_accepted_once,
		&ticket_is_accepted_once_however_many_flights_offer_it,
	};

	for (int i = 0; i < N_OF(tests); i++)
		tcase_add_loop_test(tc, *tests[i], 0, count);
	tcase_add_loop_test(tc, session_of_early_data_ends_with_its_lifetime, 0,
	    count * 2);
	tcase_add_loop_test(tc,
	    flight_is_accepted_once_whatever_becomes_of_the_cache, 0,
	    count * N_OF(fates));
	tcase_add_loop_test(tc,
	    flight_that_nobody_heard_before_is_accepted_once_at_most, 0,
	    count * N_OF(fates));
}

static void
add_other_tests(TCase *tc)
{
	tcase_add_loop_test(tc, options_of_the_application_make_no_replay, 0,
	    N_OF(safe_setups));
	tcase_add_loop_test(tc, application_that_wants_replays_is_left_alone, 0,
	    2);
	tcase_add_test(tc,
	    options_that_are_cleared_after_attach_make_no_replay);
	tcase_add_loop_test(tc,
	    early_data_that_a_callback_allows_is_accepted_once_at_most, 0,
	    2 * COMBINATIONS / N_OF(whens));
	tcase_add_loop_test(tc,
	    session_resumes_without_early_data_after_a_retried_hello, 0,
	    N_OF(retrying));
	tcase_add_loop_test(tc, retried_hello_that_is_played_again_resumes_once,
	    0, N_OF(retrying));
	tcase_add_loop_test(tc,
	    retried_hello_that_is_never_answered_spends_the_session, 0,
	    N_OF(retrying));
	tcase_add_loop_test(tc,
	    used_object_forgets_what_a_retried_hello_had_taken, 0,
	    N_OF(retrying));
	tcase_add_loop_test(tc,
	    ticket_without_single_use_resumes_often_until_early_data_takes_it,
	    0, COMBINATIONS / N_OF(single_uses));
	tcase_add_loop_test(tc, ticket_resumes_once_where_single_use_is_on, 0,
	    N_OF(uses));
}

int
main(void)
{
	Suite *suite = suite_create("early data");
	TCase *tc = tcase_create("early data");

	tcase_add_unchecked_fixture(tc, make_world, remove_world);
	tcase_add_checked_fixture(tc, setup_test, teardown_test);
	tcase_set_timeout(tc, 120);
	add_combination_tests(tc);
	add_other_tests(tc);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
