/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * After a death: a process kills itself at a chosen instant, with the locks
 * that it has there.  The next store of another process succeeds at once: at
 * the first try, without a wait, and with no more work than two journals are.
 *
 * The linker leads calls between the objects of the library here ("--wrap"),
 * so that the code under test is the code that ships.
 */
#include <check.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/seal.h"
#include "process.h"
#include "store/shard.h"
#include "store/verify.h"
#include "support.h"
#include "tls.h"
#include "wrap.h"

enum {
	KNOWN = 128,       /* records that are in the tree */
	FILL = 256,        /* records between two looks at what was evicted */
	FILLS = 400,       /* of an empty cache, at most */
	DEEDS = 1000,      /* puts in which the instant must come */
	STORES = 200,      /* of an heir: they fill both journals */
	LONG_BYTES = 5000, /* of a record that bypasses them */
	MOST_COMMITS = 18, /* of one store: two journals, in nine each */
	HANG_MS = 100,     /* of CPU: some hundred times what a store takes */
	HEIRS = 2,
};

enum when { BEFORE, AFTER };

/* What one process does, and where it dies in that. */
struct death {
	const char *name;
	child_body *deed;
	const char *call; /* of this function, the n-th */
	enum when when;
	unsigned nth;
	unsigned locks; /* that somebody must repair */
	unsigned files; /* of a small cache; 0: the large one */
};

/* What the others see of it. */
struct outcome {
	atomic_uint reached;
	unsigned puts;
	unsigned refused;
	unsigned waits;
	unsigned commits, most_commits; /* of one store */
	uint64_t first_ns, longest_ns;
	uint64_t first_cpu_ns, longest_cpu_ns;
};

static char scratch[SCRATCH_LEN];
static struct tls_identity identity;
static uint32_t *first_us;      /* shared: of all tests, one after another */
static struct outcome *outcome; /* shared */
static const struct death *planned;
static unsigned left;             /* calls until it dies; 0: it does not */
static bool watched;              /* this process is an heir */
static const struct death *death; /* that this test is about */
static struct sesscache *cache;
static struct record known[KNOWN];

/* --- where the linker leads ---------------------------------------------- */

static void
at(const char *call, enum when when)
{
	if (left == 0 || when != planned->when ||
	    strcmp(call, planned->call) != 0)
		return;
	left--;
	if (left != 0)
		return;
	atomic_store(&outcome->reached, 1);
	(void)kill(getpid(), SIGKILL);
}

/* X(type, name, parameters, arguments) of what has a result, and what not. */
/* clang-format off */
#define CALLS(X) \
	X(enum sesscache_status, sc_tree_read, (struct sc_tree *tree, \
	    uint32_t commits, uint64_t seq, uint8_t *buf, size_t size, \
	    size_t *len, enum sesscache_queue *queue), \
	    (tree, commits, seq, buf, size, len, queue)) \
	X(enum sesscache_status, sc_tree_read_before, (struct sc_tree *tree, \
	    uint32_t commits, enum sesscache_queue queue, uint64_t *seq, \
	    uint8_t *buf, size_t size, size_t *len), \
	    (tree, commits, queue, seq, buf, size, len)) \
	X(enum sesscache_status, sc_tree_begin, (struct sc_tree *tree, \
	    struct sc_write **out), (tree, out)) \
	X(enum sesscache_status, sc_tree_put, (struct sc_write *write, \
	    enum sesscache_queue queue, uint64_t seq, struct sc_span record), \
	    (write, queue, seq, record)) \
	X(enum sesscache_status, sc_tree_delete, (struct sc_write *write, \
	    enum sesscache_queue queue, uint64_t seq), (write, queue, seq)) \
	X(enum sesscache_status, sc_room_delete, (struct sc_room *room, \
	    enum sesscache_queue queue, uint64_t seq, enum sc_count why), \
	    (room, queue, seq, why)) \
	X(enum sesscache_status, sc_seal_close_blob, \
	    (const struct sc_seal_blob *blob, const uint8_t *plain, \
	    size_t len, uint8_t *sealed), (blob, plain, len, sealed)) \
	X(enum sesscache_status, sc_verify_file, (int fd, uint64_t bytes), \
	    (fd, bytes)) \
	X(enum sesscache_status, sc_tree_open, (struct sc_tree **out, \
	    const char *path, uint64_t bytes, bool make, size_t area_bytes), \
	    (out, path, bytes, make, area_bytes))

#define VOID_CALLS(X) \
	X(void, sc_lock_release, (struct sc_lock *lock), (lock)) \
	X(void, sc_journal_put, (struct sc_journal *journal, \
	    enum sesscache_queue queue, uint64_t seq, uint64_t alias, \
	    struct sc_span record), (journal, queue, seq, alias, record)) \
	X(void, sc_journal_remove, (struct sc_journal *journal, \
	    uint64_t seq), (journal, seq))
/* clang-format on */

/* NOLINTBEGIN(bugprone-macro-parentheses): these are declarations */
#define DECLARE(type, f, parameters) \
	type REAL(f) parameters; \
	type WRAP(f) parameters;
#define LEAD(type, f, parameters, arguments) \
	DECLARE(type, f, parameters) \
	type WRAP(f) parameters \
	{ \
		type result; \
\
		at(#f, BEFORE); \
		result = REAL(f) arguments; \
		at(#f, AFTER); \
		return result; \
	}
#define LEAD_VOID(type, f, parameters, arguments) \
	DECLARE(type, f, parameters) \
	type WRAP(f) parameters \
	{ \
		at(#f, BEFORE); \
		REAL(f) arguments; \
		at(#f, AFTER); \
	}
/* NOLINTEND(bugprone-macro-parentheses) */

CALLS(LEAD)
VOID_CALLS(LEAD_VOID)

DECLARE(enum sesscache_status, sc_tree_commit, (struct sc_write *))
DECLARE(enum sesscache_status, sc_cache_put,
    (struct sc_cache *, const struct sc_record_in *, uint32_t))
DECLARE(int, pthread_mutex_clocklock,
    (pthread_mutex_t *, clockid_t, const struct timespec *))
DECLARE(int, pthread_mutex_timedlock,
    (pthread_mutex_t *, const struct timespec *))

enum sesscache_status
WRAP(sc_tree_commit)(struct sc_write *write)
{
	enum sesscache_status status;

	at("sc_tree_commit", BEFORE);
	status = REAL(sc_tree_commit)(write);
	outcome->commits += watched;
	at("sc_tree_commit", AFTER);
	return status;
}

/* The library waits for a lock in no other way than these two. */
int
WRAP(pthread_mutex_clocklock)(pthread_mutex_t *mutex, clockid_t clock,
    const struct timespec *deadline)
{
	outcome->waits += watched;
	return REAL(pthread_mutex_clocklock)(mutex, clock, deadline);
}

int
WRAP(pthread_mutex_timedlock)(pthread_mutex_t *mutex,
    const struct timespec *deadline)
{
	outcome->waits += watched;
	return REAL(pthread_mutex_timedlock)(mutex, deadline);
}

/* --- how long a store takes ---------------------------------------------- */

static uint64_t
cpu_ns(void)
{
	struct timespec used;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

static void
note(uint64_t took_ns, uint64_t used_ns)
{
	if (outcome->puts++ == 0) {
		outcome->first_ns = took_ns;
		outcome->first_cpu_ns = used_ns;
	}
	if (took_ns > outcome->longest_ns)
		outcome->longest_ns = took_ns;
	if (used_ns > outcome->longest_cpu_ns)
		outcome->longest_cpu_ns = used_ns;
	if (outcome->commits > outcome->most_commits)
		outcome->most_commits = outcome->commits;
}

/* Each store comes here: one of the interface, and one for OpenSSL. */
enum sesscache_status
WRAP(sc_cache_put)(struct sc_cache *to, const struct sc_record_in *in,
    uint32_t now)
{
	enum sesscache_status status;
	uint64_t began_ns, began_cpu_ns;

	if (!watched)
		return REAL(sc_cache_put)(to, in, now);
	outcome->commits = 0;
	began_ns = clock_ns();
	began_cpu_ns = cpu_ns();
	status = REAL(sc_cache_put)(to, in, now);
	note(clock_ns() - began_ns, cpu_ns() - began_cpu_ns);
	outcome->refused += status != SESSCACHE_OK;
	return status;
}

/* --- what they die in ---------------------------------------------------- */

static void
put_many(void *arg)
{
	struct record record = { .version = 1 };
	int i;

	(void)arg;
	for (i = 0; i < DEEDS; i++)
		record_make(cache, &record);
}

static void
put_long(void *arg)
{
	struct record record = { .version = 1, .data_len = LONG_BYTES };

	(void)arg;
	record_make(cache, &record);
}

static void
get_one(void *arg)
{
	(void)arg;
	record_must_be(cache, &known[0]);
}

static void
take_all(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < KNOWN; i++)
		MUST(record_take(cache, &known[i]) == SESSCACHE_OK);
}

static void
purge(void *arg)
{
	(void)arg;
	MUST(sesscache_purge(cache, NULL, NULL) == SESSCACHE_OK);
}

static void
rotate(void *arg)
{
	(void)arg;
	MUST(sesscache_rotate_keys(cache) == SESSCACHE_OK);
}

static const char *const dirs[] = { "large", "one", "two" };

static struct sesscache *
open_with_size(const char *size)
{
	char dir[SCRATCH_LEN];

	path_join(dir, scratch, dirs[death->files]);
	return cache_open(dir, "shards", death->files == 2 ? "2" : "1",
	    size != NULL ? "size" : NULL, size, NULL);
}

static void
open_anew(void *arg)
{
	(void)arg;
	sesscache_close(cache);
	cache = open_with_size(NULL);
}

static void
shrink(void *arg)
{
	(void)arg;
	(void)open_with_size("3M");
}

static const struct death deaths[] = {
	{ "in the gate, before its record is there", put_many, "sc_journal_put",
	    BEFORE, 1, 1, 0 },
	{ "in the gate, its record is there", put_many, "sc_journal_put", AFTER,
	    1, 1, 0 },
	{ "in the gate, before a removal is there", take_all,
	    "sc_journal_remove", BEFORE, 1, 1, 0 },
	{ "in the gate, a removal is there", take_all, "sc_journal_remove",
	    AFTER, 1, 1, 0 },
	{ "in a lookup", get_one, "sc_tree_read", AFTER, 1, 1, 0 },
	{ "before a transaction", put_many, "sc_tree_begin", BEFORE, 1, 1, 0 },
	{ "in a new transaction", put_many, "sc_tree_begin", AFTER, 1, 1, 0 },
	{ "in an eviction", put_many, "sc_room_delete", AFTER, 3, 1, 0 },
	{ "in a write", put_many, "sc_tree_put", AFTER, 10, 1, 0 },
	{ "in removals", take_all, "sc_tree_delete", AFTER, 40, 1, 0 },
	{ "before a commit of removals", take_all, "sc_tree_commit", BEFORE, 1,
	    2, 0 },
	{ "before a commit", put_many, "sc_tree_commit", BEFORE, 1, 2, 0 },
	{ "after a commit", put_many, "sc_tree_commit", AFTER, 1, 2, 0 },
	{ "before a commit of a long record", put_long, "sc_tree_commit",
	    BEFORE, 1, 2, 0 },
	{ "after a commit of a long record", put_long, "sc_tree_commit", AFTER,
	    1, 2, 0 },
	{ "before new ticket keys", rotate, "sc_seal_close_blob", BEFORE, 1, 1,
	    0 },
	{ "with new ticket keys", rotate, "sc_lock_release", BEFORE, 1, 1, 0 },
	{ "in an open, the file is verified", open_anew, "sc_verify_file",
	    AFTER, 1, 0, 0 },
	{ "in an open, before the file is mapped", open_anew, "sc_tree_open",
	    BEFORE, 1, 1, 0 },
	{ "in an open, the file is mapped", open_anew, "sc_tree_open", AFTER, 1,
	    1, 0 },
	{ "in a purge, its keys are gone", purge, "sc_lock_release", BEFORE, 1,
	    0, 2 },
	{ "in a purge, before new ticket keys", purge, "sc_seal_close_blob",
	    BEFORE, 1, 1, 2 },
	{ "in a purge, in a transaction", purge, "sc_tree_delete", AFTER, 400,
	    1, 2 },
	{ "in a purge, before a commit", purge, "sc_tree_commit", BEFORE, 4, 2,
	    2 },
	{ "in a purge, after a commit", purge, "sc_tree_commit", AFTER, 4, 2,
	    2 },
	{ "in a resize, copying", shrink, "sc_tree_read_before", AFTER, 500, 2,
	    2 },
	{ "in a resize, the file is empty", shrink, "sc_tree_open", BEFORE, 1,
	    2, 2 },
	{ "in a resize, the file is laid out", shrink, "sc_tree_open", AFTER, 1,
	    2, 2 },
	{ "in a resize, filling the file", shrink, "sc_tree_put", AFTER, 500, 2,
	    2 },
	{ "in a resize, the file is filled", shrink, "sc_tree_commit", AFTER, 2,
	    2, 2 },
	{ "in a resize, the only file is empty", shrink, "sc_tree_open", BEFORE,
	    1, 2, 1 },
	{ "in a resize, filling the only file", shrink, "sc_tree_put", AFTER,
	    500, 2, 1 },
	{ "in a resize, the last file is empty", shrink, "sc_tree_open", BEFORE,
	    2, 2, 2 },
};

enum { TESTS = N_OF(deaths) * HEIRS };

/* --- who comes after them ------------------------------------------------ */

/* It had the cache before. */
static void
store_records(void *arg)
{
	struct record record = { .version = 2 };
	uint8_t data[RECORD_MAX_LEN];
	size_t len;
	int i;

	(void)arg;
	watched = true;
	for (i = 0; i < STORES; i++) {
		record_new_id(cache, &record);
		len = record_bytes(&record, data);
		MUST(sesscache_put(cache, record.id, record.id_len, data, len,
			 0) == SESSCACHE_OK);
		record_must_be(cache, &record);
	}
}

/* It opens it now, as a server does. */
static void
serve(void *arg)
{
	SSL_CTX *server = tls_server_new(&identity, TLS1_2_VERSION);
	SSL_CTX *client = tls_client_new(NULL, TLS1_2_VERSION);
	SSL_SESSION *session = NULL;

	watched = true;
	open_anew(arg);
	(void)SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
	MUST(sesscache_attach(cache, server) == SESSCACHE_OK);
	MUST(tls_visit(server, client, &session) == 0);
	MUST(outcome->puts == 1);
	MUST(tls_visit(server, client, &session) == 1);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
	sesscache_close(cache);
}

static const struct {
	const char *name;
	child_body *body;
} heirs[HEIRS] = {
	{ "the next store", store_records },
	{ "the next handshake", serve },
};

/* --- the tests ----------------------------------------------------------- */

static void
make_scratch(void)
{
	scratch_make(scratch, "check_recovery");
	first_us = shared_new(sizeof(*first_us) * TESTS);
	ck_assert(tls_identity_new(&identity, "recovery", 0));
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
remove_scratch(void)
{
	qsort(first_us, TESTS, sizeof(*first_us), by_size);
	printf("the first store after a death: median %" PRIu32
	       " us, longest %" PRIu32 " us\n",
	    first_us[TESTS / 2], first_us[TESTS - 1]);
	tls_identity_free(&identity);
	scratch_remove(scratch);
}

static struct sesscache_stats
stats_now(void)
{
	struct sesscache_stats stats;

	ck_done(sesscache_stats(cache, &stats));
	return stats;
}

static uint64_t
evicted_now(void)
{
	struct sesscache_stats stats = stats_now();

	return stats.evicted_newcomers + stats.evicted_regulars;
}

/* With known records that have left the journals, until it evicts. */
static void
fill(void)
{
	struct record record = { .version = 0 };
	uint64_t before = evicted_now();
	int i, fills = 0;

	for (i = 0; i < KNOWN; i++)
		record_make(cache, &known[i]);
	do {
		for (i = 0; i < FILL; i++)
			record_make(cache, &record);
	} while (evicted_now() == before && ++fills < FILLS);
	ck_assert_int_lt(fills, FILLS);
}

static void
prepare(int row)
{
	death = &deaths[row];
	outcome = shared_new(sizeof(*outcome));
	cache = open_with_size(death->files > 0 ? "4M" : "16M");
	fill();
}

static void
die(void *arg)
{
	planned = arg;
	left = planned->nth;
	planned->deed(NULL);
}

static int
stop_at_once(const struct sesscache_info *info, void *arg)
{
	(void)info, (void)arg;
	return 1;
}

/* Every lock is had, and a file that was half made is made anew. */
static void
touch_all(void)
{
	sesscache_close(open_with_size(NULL));
	ck_done(sesscache_each(cache, stop_at_once, NULL));
	ck_done(sesscache_rotate_keys(cache));
}

static void
expect_no_trouble(const struct sesscache_stats *before)
{
	struct sesscache_stats after = stats_now();

	ck_assert_uint_eq(after.repaired - before->repaired, death->locks);
	ck_assert_uint_eq(after.busy, before->busy);
	ck_assert_uint_eq(after.stalled, before->stalled);
	ck_assert_uint_eq(outcome->refused, 0);
	ck_assert_uint_eq(outcome->waits, 0);
	ck_assert_uint_le(outcome->most_commits, MOST_COMMITS);
	ck_assert_uint_lt(outcome->longest_cpu_ns / 1000000, HANG_MS);
}

static void
print_outcome(const char *heir)
{
	printf("%s after a death %s: %" PRIu64 " us, of CPU %" PRIu64
	       "; longest of %u: %" PRIu64 ", of CPU %" PRIu64
	       ", at most %u commits\n",
	    heir, death->name, outcome->first_ns / 1000,
	    outcome->first_cpu_ns / 1000, outcome->puts,
	    outcome->longest_ns / 1000, outcome->longest_cpu_ns / 1000,
	    outcome->most_commits);
}

START_TEST(after_a_death_at_any_instant_the_next_store_succeeds_at_once)
{
	int status, kind = _i % HEIRS;
	struct sesscache_stats before;

	prepare(_i / HEIRS);
	before = stats_now();
	status = child_end(child_start(die, (void *)(uintptr_t)death));
	ck_assert_msg(atomic_load(&outcome->reached) == 1 &&
		WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
	    "nobody died %s", death->name);
	ck_assert_msg(child_does(heirs[kind].body, NULL), "%s after a death %s",
	    heirs[kind].name, death->name);
	print_outcome(heirs[kind].name);
	first_us[_i] = (uint32_t)(outcome->first_ns / 1000);
	touch_all();
	expect_no_trouble(&before);
	sesscache_close(cache);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("recovery");
	TCase *tc = tcase_create("recovery");

	tcase_set_timeout(tc, 2 * CHILD_SECONDS);
	tcase_add_unchecked_fixture(tc, make_scratch, remove_scratch);
	tcase_add_loop_test(tc,
	    after_a_death_at_any_instant_the_next_store_succeeds_at_once, 0,
	    TESTS);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
