/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that is stopped for minutes: inside a lookup, a store, a dump, and
 * wherever else it may be in the cache.  Meanwhile others store ten times what
 * the cache holds.  The size still bounds it, they miss or skip in time and
 * are counted, and all of it serves again when the stopped one goes on, or is
 * killed.
 *
 * No test waits for minutes.  What a long stop can do is done when every
 * deadline has passed and every record, page and journal has had another in
 * its place many times; nothing in the library looks at how long it took.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/seal.h"
#include "process.h"
#include "store/shard.h"
#include "support.h"
#include "wrap.h"

#define SIZE "2200K"
#define LARGER "2300K"

enum {
	SIZE_BYTES = 2200 << 10,
	LARGER_BYTES = 2300 << 10,
	SHARDS = 4,
	OTHERS = 2, /* processes that go on */
	TURNOVERS = 10,
	DATA_BYTES = 600, /* as sessions with a client certificate have */
	NEWER = SHARDS * 3 * (SC_JOURNAL_BYTES / DATA_BYTES),
	FILL = 5000,      /* records: more than fit */
	SAMPLES = 64,     /* that each of the others remembers */
	AFTERWARDS = 400, /* records that each of them stores then */
	WAIT_SECONDS = 60,
	HANG_MS = 1000 * (1 + 4 * SANITIZED),
};

/* --- where a process stops ----------------------------------------------- */

enum place {
	NOWHERE,
	READ,    /* in a read transaction, inside the gate */
	FOUND,   /* what was found is about to be decrypted */
	SEALED,  /* what is to be stored was encrypted */
	JOURNAL, /* before and after a journal has it, inside the gate */
	REMOVAL, /* the same of a removal */
	WRITE,   /* in a write transaction */
	EVICT,
	COMMIT, /* before and after it */
	FLUSH,  /* before a journal is written out: no lock is held */
	VISIT,  /* in the caller's function, which is shown a record */
	COUNT,  /* inside the gate */
	DROP,   /* a record of all */
	KEYS,   /* some keys are destroyed, others not made yet */
	ROTATE, /* ticket keys, with their lock held */
	RESIZE, /* before and after a file was emptied */
	OPEN,   /* with the lock of the directory */
	MAP,    /* the same, and inside the gate */
};

static struct {
	enum place place;
	unsigned left;
} plan;

/* What the processes of a test share. */
static struct {
	atomic_uint reached, ready, phase, turned, finished, gone_on;
	atomic_uint_least64_t longest_ns; /* of any call of the others */
	atomic_uint skipped;              /* of these calls: SESSCACHE_EBUSY */
	uint64_t held;                    /* records, while it is stopped */
	struct sesscache_stats before, after;
} * shared;

static char scratch[SCRATCH_LEN], dir[SCRATCH_LEN];
static uint64_t capacity; /* records that the cache holds */

static void
at(enum place place)
{
	if (plan.left == 0 || plan.place != place)
		return;
	plan.left--;
	if (plan.left != 0)
		return;
	atomic_fetch_add(&shared->reached, 1);
	(void)raise(SIGSTOP);
}

/* Stop before and after a call. */
#define LED(type, f, place, parameters, ...) \
	type REAL(f) parameters; \
	type WRAP(f) parameters; \
	type WRAP(f) parameters \
	{ \
		type result_; \
\
		at(place); \
		result_ = REAL(f)(__VA_ARGS__); \
		at(place); \
		return result_; \
	}

LED(int, mdb_get, READ,
    (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *data), txn, dbi, key,
    data)
LED(enum sesscache_status, sc_seal_open, FOUND,
    (const struct sc_seal *seal, uint8_t epoch, const struct sc_seal_of *of,
	const uint8_t *sealed, size_t len, uint8_t *out),
    seal, epoch, of, sealed, len, out)
LED(enum sesscache_status, sc_seal_close, SEALED,
    (const struct sc_seal *seal, uint32_t epoch, const struct sc_seal_of *of,
	const uint8_t *data, size_t len, uint8_t *out),
    seal, epoch, of, data, len, out)
LED(enum sesscache_status, sc_tree_put, WRITE,
    (struct sc_write * write, enum sesscache_queue queue, uint64_t seq,
	struct sc_span record),
    write, queue, seq, record)
LED(enum sesscache_status, sc_room_delete, EVICT,
    (struct sc_room * room, enum sesscache_queue queue, uint64_t seq,
	enum sc_count why),
    room, queue, seq, why)
LED(enum sesscache_status, sc_tree_commit, COMMIT, (struct sc_write * write),
    write)
LED(enum sesscache_status, sc_store_flush, FLUSH,
    (struct sc_store * store, unsigned shard, enum sc_flush what, uint32_t now),
    store, shard, what, now)
LED(enum sesscache_status, sc_store_usage, COUNT,
    (struct sc_store * store, unsigned shard, struct sc_tree_usage *usage),
    store, shard, usage)
LED(enum sesscache_status, sc_tree_delete, DROP,
    (struct sc_write * write, enum sesscache_queue queue, uint64_t seq), write,
    queue, seq)
LED(int, RAND_priv_bytes, KEYS, (unsigned char *buf, int len), buf, len)
LED(enum sesscache_status, sc_seal_close_blob, ROTATE,
    (const struct sc_seal_blob *blob, const uint8_t *data, size_t len,
	uint8_t *out),
    blob, data, len, out)
LED(enum sesscache_status, sc_shard_open, OPEN,
    (struct sc_store * store, unsigned shard), store, shard)
LED(enum sesscache_status, sc_tree_open, make ? RESIZE : MAP,
    (struct sc_tree * *out, const char *path, uint64_t bytes, bool make,
	size_t area_bytes),
    out, path, bytes, make, area_bytes)

void REAL(sc_journal_put)(struct sc_journal *journal,
    enum sesscache_queue queue, uint64_t seq, uint64_t alias,
    struct sc_span record);
void WRAP(sc_journal_put)(struct sc_journal *journal,
    enum sesscache_queue queue, uint64_t seq, uint64_t alias,
    struct sc_span record);
void REAL(sc_journal_remove)(struct sc_journal *journal, uint64_t seq);
void WRAP(sc_journal_remove)(struct sc_journal *journal, uint64_t seq);

void
WRAP(sc_journal_put)(struct sc_journal *journal, enum sesscache_queue queue,
    uint64_t seq, uint64_t alias, struct sc_span record)
{
	at(JOURNAL);
	REAL(sc_journal_put)(journal, queue, seq, alias, record);
	at(JOURNAL);
}

void
WRAP(sc_journal_remove)(struct sc_journal *journal, uint64_t seq)
{
	at(REMOVAL);
	REAL(sc_journal_remove)(journal, seq);
	at(REMOVAL);
}

/* --- what it is doing ---------------------------------------------------- */

/* What others cannot have meanwhile. */
enum held { NOTHING, GATE, REST };

struct instant {
	const char *name;
	void (*act)(struct sesscache *cache);
	enum place place;
	unsigned nth; /* time that it comes there */
	enum held held;
};

static const struct instant nobody = { .name = "nobody is stopped" };
static const struct instant *instant = &nobody; /* of the test that runs */

static void
plan_it(void)
{
	plan.place = instant->place;
	plan.left = instant->nth;
}

/* A record, in the tree: newer ones have filled the journals since. */
static void
make_old(struct sesscache *cache, struct record *record)
{
	struct record newer;
	int i;

	memset(record, 0, sizeof(*record));
	record->data_len = DATA_BYTES;
	record_make(cache, record);
	for (i = 0; i < NEWER; i++) {
		newer = *record;
		record_make(cache, &newer);
	}
}

static void
look(struct sesscache *cache, bool take)
{
	enum sesscache_status status;
	uint8_t data[RECORD_MAX_LEN];
	struct record record;
	size_t len = 0;

	make_old(cache, &record);
	plan_it();
	status = (take ? sesscache_take : sesscache_get)(cache, record.id,
	    record.id_len, data, sizeof(data), &len);
	MUST(status == SESSCACHE_OK || status == SESSCACHE_MISS);
	MUST(status == SESSCACHE_MISS || record_is(&record, data, len));
	MUST(!take || record_get(cache, &record) == SESSCACHE_MISS);
}

static void
get(struct sesscache *cache)
{
	look(cache, false);
}

static void
take(struct sesscache *cache)
{
	look(cache, true);
}

/* Store until the instant was there; what was stored then is right or gone. */
static void
store(struct sesscache *cache)
{
	struct record record = { .data_len = DATA_BYTES };
	unsigned before = atomic_load(&shared->reached);
	enum sesscache_status status;
	uint8_t data[RECORD_MAX_LEN];
	int i;

	plan_it();
	for (i = 0; i < FILL && atomic_load(&shared->reached) == before; i++) {
		record_new_id(cache, &record);
		status = sesscache_put(cache, record.id, record.id_len, data,
		    record_bytes(&record, data), 0);
		MUST(status == SESSCACHE_OK || status == SESSCACHE_EBUSY);
		status = record_get(cache, &record);
		MUST(status == SESSCACHE_OK || status == SESSCACHE_MISS);
	}
}

static int
visit(const struct sesscache_info *info, void *arg)
{
	unsigned *visited = arg;

	at(VISIT);
	MUST(info->id_len <= SESSCACHE_ID_MAX_LEN);
	MUST(info->problem == NULL);
	MUST(++*visited < FILL);
	return 0;
}

static void
dump(struct sesscache *cache)
{
	enum sesscache_status status;
	unsigned visited = 0;

	plan_it();
	status = sesscache_each(cache, visit, &visited);
	MUST(status == SESSCACHE_OK || status == SESSCACHE_EBUSY);
	MUST(visited > 0);
}

static void
count(struct sesscache *cache)
{
	struct sesscache_stats stats;

	plan_it();
	MUST(sesscache_stats(cache, &stats) == SESSCACHE_OK);
	MUST(stats.used_bytes <= stats.size_bytes);
}

static void
purge(struct sesscache *cache)
{
	enum sesscache_status status;

	plan_it();
	status = sesscache_purge(cache, NULL, NULL);
	MUST(status == SESSCACHE_OK || status == SESSCACHE_EBUSY);
}

static void
rotate(struct sesscache *cache)
{
	plan_it();
	MUST(sesscache_rotate_keys(cache) == SESSCACHE_OK);
}

static void
resize(struct sesscache *cache)
{
	struct sesscache *again = NULL;

	(void)cache;
	plan_it();
	MUST(cache_try(&again, dir, "size", LARGER, NULL) == SESSCACHE_OK);
	sesscache_close(again);
}

static void
open_it(struct sesscache *cache)
{
	(void)cache;
	plan_it();
	cache = cache_open(dir, NULL);
	sesscache_close(cache);
}

static const struct instant instants[] = {
	{ "a lookup that reads", get, READ, 1, GATE },
	{ "a lookup that decrypts", get, FOUND, 1, NOTHING },
	{ "a removal", take, REMOVAL, 1, GATE },
	{ "what was taken", take, FOUND, 1, NOTHING },
	{ "a store, before it", store, SEALED, 2, NOTHING },
	{ "a store, noting", store, JOURNAL, 1, GATE },
	{ "a store, noted", store, JOURNAL, 2, GATE },
	{ "a store, writing", store, WRITE, 3, REST },
	{ "a store, evicting", store, EVICT, 4, REST },
	{ "a store, before the commit", store, COMMIT, 1, GATE },
	{ "a store, after the commit", store, COMMIT, 2, GATE },
	{ "a dump, showing", dump, VISIT, 10, NOTHING },
	{ "a dump, reading", dump, FOUND, 100, NOTHING },
	{ "a dump, between shards", dump, FLUSH, 5, NOTHING },
	{ "stats", count, COUNT, 4, GATE },
	{ "a purge, of keys", purge, KEYS, 1, REST },
	{ "a purge, of records", purge, DROP, 99, REST },
	{ "new ticket keys", rotate, ROTATE, 1, REST },
	{ "a resize, begun", resize, RESIZE, 1, GATE },
	{ "a resize, of one file", resize, RESIZE, 2, GATE },
	{ "an opener", open_it, OPEN, 1, NOTHING },
	{ "an opener, mapping", open_it, MAP, 1, GATE },
};

static void
be_stopped(void *arg)
{
	struct sesscache *cache = NULL;

	(void)arg;
	(void)signal(SIGALRM, SIG_DFL); /* not that of Check */
	alarm(2 * WAIT_SECONDS);
	if (instant->act != open_it)
		cache = cache_open(dir, NULL);
	instant->act(cache);
	sesscache_close(cache);
}

/* --- what the others do -------------------------------------------------- */

static void
await(atomic_uint *number, unsigned least)
{
	uint64_t until_ns = clock_ns() + WAIT_SECONDS * UINT64_C(1000000000);

	while (atomic_load(number) < least && clock_ns() < until_ns)
		pause_ms(1);
	MUST(atomic_load(number) >= least);
}

struct other {
	struct sesscache *cache;
	struct record kept[SAMPLES], gone[SAMPLES];
	unsigned n_gone; /* that there ever were */
};

/* Note how long a call took, and whether it was skipped. */
static enum sesscache_status
note(uint64_t begun_ns, enum sesscache_status status)
{
	uint64_t ns = clock_ns() - begun_ns;
	uint64_t longest = atomic_load(&shared->longest_ns);

	while (longest < ns &&
	    !atomic_compare_exchange_weak(&shared->longest_ns, &longest, ns))
		continue;
	if (status == SESSCACHE_EBUSY)
		atomic_fetch_add(&shared->skipped, 1);
	return status;
}

static enum sesscache_status
get_once(struct sesscache *cache, const struct record *record)
{
	uint64_t begun_ns = clock_ns();
	enum sesscache_status status;
	uint8_t data[RECORD_MAX_LEN];
	size_t len = 0;

	status = note(begun_ns,
	    sesscache_get(cache, record->id, record->id_len, data, sizeof(data),
		&len));
	MUST(status == SESSCACHE_OK || status == SESSCACHE_EBUSY ||
	    status == SESSCACHE_MISS);
	MUST(status != SESSCACHE_OK || record_is(record, data, len));
	return status;
}

/* Nothing can be stored then, nor found. */
static bool
no_keys(void)
{
	return instant->place == KEYS;
}

/* Is there, or it is busy; while there are no keys, or all goes: or gone. */
static void
must_be(struct sesscache *cache, const struct record *record)
{
	MUST(
	    get_once(cache, record) != SESSCACHE_MISS || instant->act == purge);
}

static bool
put_once(struct sesscache *cache, struct record *record)
{
	uint64_t begun_ns;
	enum sesscache_status status;
	uint8_t data[RECORD_MAX_LEN];
	size_t len;

	record_new_id(cache, record);
	len = record_bytes(record, data);
	begun_ns = clock_ns();
	status = note(begun_ns,
	    sesscache_put(cache, record->id, record->id_len, data, len, 0));
	MUST(status == SESSCACHE_OK || status == SESSCACHE_EBUSY);
	return status == SESSCACHE_OK;
}

static void
remove_once(struct other *other, const struct record *record)
{
	uint64_t begun_ns = clock_ns();
	enum sesscache_status status;

	status = note(begun_ns,
	    sesscache_remove(other->cache, record->id, record->id_len));
	if (status == SESSCACHE_OK)
		other->gone[other->n_gone++ % SAMPLES] = *record;
	else
		MUST(status == SESSCACHE_EBUSY || status == SESSCACHE_MISS);
}

/* Its share of the turnover, in the shards that can be had. */
static void
turn_over(struct other *other)
{
	unsigned long i, done = 0, share = TURNOVERS * capacity / OTHERS;
	struct record record = { .data_len = DATA_BYTES };

	for (i = 0; done < share && i < 2 * share; i++) {
		if (i % 8 == 0) /* of any shard */
			(void)get_once(other->cache,
			    &other->kept[i / 8 % SAMPLES]);
		if (!put_once(other->cache, &record) && !no_keys())
			continue;
		done++;
		/* Found, unless the others were quick. */
		(void)get_once(other->cache, &record);
		if (i % 8 == 1)
			remove_once(other, &record);
	}
	MUST(done == share);
}

/* The samples are the last that were stored. */
static void
keep_newest(struct other *other)
{
	unsigned i, done = 0;

	for (i = 0; done < SAMPLES && i < 2 * SAMPLES; i++)
		done += put_once(other->cache, &other->kept[done]);
	MUST(done == SAMPLES || no_keys());
}

/* All that was just stored, and nothing of what was removed. */
static void
verify(struct other *other)
{
	unsigned i;

	for (i = 0; i < SAMPLES; i++)
		must_be(other->cache, &other->kept[i]);
	for (i = 0; i < other->n_gone && i < SAMPLES; i++)
		MUST(get_once(other->cache, &other->gone[i]) != SESSCACHE_OK);
}

/* Store as many as it remembers; all must be there. */
static void
keep_more(struct other *other)
{
	unsigned i;

	for (i = 0; i < SAMPLES; i++) {
		other->kept[i] = (struct record){ .data_len = DATA_BYTES };
		record_make(other->cache, &other->kept[i]);
	}
	for (i = 0; i < SAMPLES; i++)
		record_must_be(other->cache, &other->kept[i]);
}

/* Store so many, and the last ones when the others have done so, too. */
static void
go_on(struct other *other)
{
	struct record record = { .data_len = DATA_BYTES };
	unsigned i;

	for (i = SAMPLES; i < AFTERWARDS; i++)
		record_make(other->cache, &record);
	atomic_fetch_add(&shared->gone_on, 1);
	await(&shared->gone_on, OTHERS);
	keep_more(other);
}

static void
expect_no_return(struct other *other)
{
	unsigned i;

	for (i = 0; i < other->n_gone && i < SAMPLES; i++)
		MUST(record_get(other->cache, &other->gone[i]) ==
		    SESSCACHE_MISS);
}

/* They have the cache open before it stops, as workers have. */
static void
be_other(void *arg)
{
	struct other other = { .cache = cache_open(dir, NULL) };
	const bool first = arg != NULL;
	struct sesscache_stats stats;

	keep_more(&other); /* and so have the keys */
	if (first)
		MUST(sesscache_stats(other.cache, &shared->before) == 0);
	atomic_fetch_add(&shared->ready, 1);
	await(&shared->phase, 1);
	turn_over(&other);
	atomic_fetch_add(&shared->turned, 1);
	await(&shared->turned, OTHERS);
	keep_newest(&other);
	verify(&other);
	if (first && instant->held != GATE) {
		MUST(sesscache_stats(other.cache, &stats) == SESSCACHE_OK);
		shared->held = stats.records;
	}
	atomic_fetch_add(&shared->finished, 1);
	await(&shared->phase, 2);
	go_on(&other);
	expect_no_return(&other);
	if (first)
		MUST(sesscache_stats(other.cache, &shared->after) == 0);
	sesscache_close(other.cache);
}

/* --- the tests ----------------------------------------------------------- */

static void
open_with_size(void *arg)
{
	(void)arg;
	sesscache_close(cache_open(dir, "size", SIZE, NULL));
}

static void
fill_cache(void *arg)
{
	struct sesscache *cache = cache_open(dir, "size", SIZE, "shards", "4",
	    NULL);
	struct record record = { .data_len = DATA_BYTES };
	int i;

	(void)arg;
	for (i = 0; i < FILL; i++)
		record_make(cache, &record);
	MUST(sesscache_stats(cache, &shared->before) == SESSCACHE_OK);
	MUST(shared->before.shards == SHARDS);
	MUST(shared->before.evicted_newcomers > 0);
	sesscache_close(cache);
}

static void
start_others(pid_t others[OTHERS])
{
	int i;

	memset(shared, 0, sizeof(*shared));
	for (i = 0; i < OTHERS; i++)
		others[i] = child_start(be_other, i == 0 ? shared : NULL);
	await(&shared->ready, OTHERS);
}

static void
end_others(const pid_t others[OTHERS])
{
	int i;

	atomic_store(&shared->phase, 2);
	for (i = 0; i < OTHERS; i++)
		MUST(child_ended_well(others[i]));
}

/* A cache, and how many records it holds where nobody is stopped. */
static void
setup(void)
{
	pid_t others[OTHERS];

	scratch_make(scratch, "stopped");
	path_join(dir, scratch, "cache");
	shared = shared_new(sizeof(*shared));
	MUST(child_does(fill_cache, NULL));
	capacity = shared->before.records;
	start_others(others);
	atomic_store(&shared->phase, 1);
	await(&shared->finished, OTHERS);
	end_others(others);
	capacity = shared->held;
}

static void
teardown(void)
{
	munmap(shared, sizeof(*shared));
	scratch_remove(scratch);
}

static void
read_next_seqs(uint64_t seqs[SHARDS])
{
	char path[SCRATCH_LEN];
	struct sc_state state;
	int i, fd;

	path_join(path, dir, "control");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	for (i = 0; i < SHARDS; i++) {
		MUST(pread(fd, &state, sizeof(state),
			 SC_CONTROL_SHARDS_AT + i * (off_t)sizeof(state)) ==
		    (ssize_t)sizeof(state));
		seqs[i] = state.next_seq;
	}
	close(fd);
}

/* Start it; it must come to a stop of its own. */
static pid_t
start_stopped(child_body *body)
{
	pid_t pid = child_start(body, NULL);
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert_msg(WIFSTOPPED(status), "%s: it ended with 0x%x",
	    instant->name, (unsigned)status);
	ck_assert_uint_eq(atomic_load(&shared->reached), 1);
	return pid;
}

static void
expect_bound(void)
{
	struct test_sizes sizes = test_measure(dir);
	uint64_t most = instant->act == resize ? LARGER_BYTES : SIZE_BYTES;

	ck_assert_uint_le(sizes.bytes, most);
	ck_assert_uint_le(sizes.disk_bytes, most);
}

static void
end_it(pid_t pid, bool killed)
{
	int status;

	if (killed) {
		child_kill(pid);
		return;
	}
	(void)kill(pid, SIGCONT);
	status = child_end(pid);
	ck_assert_msg(status == 0, "%s: went on and ended with 0x%x",
	    instant->name, (unsigned)status);
}

static void
expect_all_is_well(const uint64_t before[SHARDS])
{
	uint64_t after[SHARDS];
	int i;

	read_next_seqs(after);
	/* Its share, less the while for which a process shuns it. */
	for (i = 0; i < SHARDS; i++)
		ck_assert_msg(after[i] - before[i] >=
			OTHERS * AFTERWARDS / SHARDS / 8,
		    "%s: shard %d is not used again", instant->name, i);
	expect_bound();
	ck_assert_uint_lt(atomic_load(&shared->longest_ns) / 1000000, HANG_MS);
	ck_assert_uint_ge(shared->after.busy - shared->before.busy,
	    atomic_load(&shared->skipped));
	ck_assert_uint_eq(shared->after.failed, shared->before.failed);
	ck_assert_uint_eq(shared->after.unreadable, shared->before.unreadable);
	if (instant->held == GATE) /* or it stopped somewhere else */
		ck_assert_uint_gt(atomic_load(&shared->skipped), 0);
	else if (instant->act != purge)
		ck_assert_uint_ge(shared->held, capacity / 3 * 2);
	if (instant->act != purge)
		ck_assert_uint_ge(shared->after.records, capacity / 3 * 2);
}

static void
run(bool killed)
{
	uint64_t seqs[SHARDS];
	pid_t others[OTHERS], stopped;

	MUST(child_does(open_with_size, NULL)); /* a resize changed it */
	start_others(others);
	stopped = start_stopped(be_stopped);
	atomic_store(&shared->phase, 1);
	await(&shared->finished, OTHERS);
	expect_bound();
	end_it(stopped, killed);
	if (killed && instant->act == resize) /* the next opener repairs */
		MUST(child_does(open_with_size, NULL));
	read_next_seqs(seqs);
	end_others(others);
	expect_all_is_well(seqs);
}

START_TEST(process_that_is_stopped_holds_up_nobody_and_goes_on)
{
	instant = &instants[_i];
	run(false);
}
END_TEST

START_TEST(process_that_is_killed_where_it_was_stopped_leaves_all_well)
{
	instant = &instants[_i];
	run(true);
}
END_TEST

/* --- the tool, which nobody reads ---------------------------------------- */

static const struct instant tool = { .name = "the tool", .act = dump };

static int output[2]; /* of the tool: a pipe of one page */

static void
be_tool(void *arg)
{
	const char *build = getenv("top_builddir");
	char path[SCRATCH_LEN];

	(void)arg;
	path_join(path, build != NULL ? build : ".", "tools/sesscache");
	MUST(dup2(output[1], STDOUT_FILENO) == STDOUT_FILENO);
	MUST(close(output[0]) == 0 && close(output[1]) == 0);
	(void)execl(path, path, "-d", dir, "dump", "--json", (char *)NULL);
	MUST(false);
}

/* It writes from within its visit, until the pipe is full. */
static pid_t
start_tool(void)
{
	uint64_t until_ns = clock_ns() + WAIT_SECONDS * UINT64_C(1000000000);
	int bytes = 0, most;
	pid_t pid;

	MUST(pipe(output) == 0);
	most = fcntl(output[1], F_SETPIPE_SZ, 1);
	pid = child_start(be_tool, NULL);
	MUST(close(output[1]) == 0);
	while (bytes < most && clock_ns() < until_ns) {
		pause_ms(1);
		MUST(ioctl(output[0], FIONREAD, &bytes) == 0);
	}
	ck_assert_int_gt(most, 0);
	ck_assert_int_eq(bytes, most);
	return pid;
}

/* Now somebody reads: how many records it showed. */
static unsigned
count_output(void)
{
	static const char word[] = "\"id\"";
	unsigned matched = 0, records = 0;
	char byte;

	while (read(output[0], &byte, 1) == 1) {
		matched = byte == word[matched] ? matched + 1 : byte == '"';
		if (matched == sizeof(word) - 1) {
			records++;
			matched = 0;
		}
	}
	return records;
}

START_TEST(dump_whose_output_nobody_reads_holds_up_nobody)
{
	const bool killed = _i == 1;
	uint64_t seqs[SHARDS];
	pid_t others[OTHERS], stopped;

	instant = &tool;
	start_others(others);
	stopped = start_tool();
	atomic_store(&shared->phase, 1);
	await(&shared->finished, OTHERS);
	expect_bound();
	if (killed)
		child_kill(stopped);
	else
		ck_assert_uint_gt(count_output(), 0);
	ck_assert(killed || child_ended_well(stopped));
	close(output[0]);
	read_next_seqs(seqs);
	end_others(others);
	expect_all_is_well(seqs);
}
END_TEST

/* --- who comes meanwhile ------------------------------------------------- */

/* A worker, so that no opener is alone. */
static void
have_it_open(void *arg)
{
	(void)arg;
	(void)cache_open(dir, NULL);
	atomic_fetch_add(&shared->ready, 1);
	for (;;)
		pause();
}

static const struct {
	const char *name;
	enum sesscache_status want;
} openings[] = {
	{ "a lookup that decrypts", SESSCACHE_OK },
	{ "a lookup that reads", SESSCACHE_OK },
	{ "a store, writing", SESSCACHE_OK },
	{ "an opener", SESSCACHE_EBUSY },
};

static void
open_meanwhile(void *arg)
{
	const enum sesscache_status *want = arg;
	struct sesscache *cache;

	(void)signal(SIGALRM, SIG_DFL); /* not that of Check */
	alarm(WAIT_SECONDS);
	MUST(cache_try(&cache, dir, NULL) == *want);
	sesscache_close(cache);
}

START_TEST(who_opens_meanwhile_has_an_answer)
{
	enum sesscache_status want = openings[_i].want;
	pid_t worker, stopped;

	for (instant = instants; strcmp(instant->name, openings[_i].name) != 0;)
		instant++;
	memset(shared, 0, sizeof(*shared));
	worker = child_start(have_it_open, NULL);
	await(&shared->ready, 1);
	stopped = start_stopped(be_stopped);
	ck_assert_msg(child_does(open_meanwhile, &want), "%s", instant->name);
	end_it(stopped, false);
	want = SESSCACHE_OK;
	ck_assert(child_does(open_meanwhile, &want));
	child_kill(worker);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stopped");
	TCase *tc = tcase_create("instants");

	tcase_set_timeout(tc, 4 * WAIT_SECONDS);
	tcase_add_unchecked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc,
	    process_that_is_stopped_holds_up_nobody_and_goes_on, 0,
	    N_OF(instants));
	tcase_add_loop_test(tc,
	    process_that_is_killed_where_it_was_stopped_leaves_all_well, 0,
	    N_OF(instants));
	tcase_add_loop_test(tc, dump_whose_output_nobody_reads_holds_up_nobody,
	    0, 2);
	tcase_add_loop_test(tc, who_opens_meanwhile_has_an_answer, 0,
	    N_OF(openings));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
