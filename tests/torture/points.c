/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See points.h.
 */
#include <signal.h>
#include <unistd.h>

#include "cache/seal.h"
#include "store/journal.h"
#include "store/shard.h"
#include "torture.h"
#include "wrap.h"

#if defined(__SANITIZE_THREAD__)
#define SANITIZED_THREADS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZED_THREADS 1
#endif
#endif
#ifdef SANITIZED_THREADS
#include <errno.h>
#include <sanitizer/tsan_interface.h>
#endif

const char *const point_names[POINTS] = {
	[POINT_GATE] = "gate",
	[POINT_WRITE] = "write",
	[POINT_COMMIT] = "commit",
	[POINT_EVICT] = "evict",
	[POINT_HELD] = "held",
	[POINT_ROTATE] = "rotate",
	[POINT_OPEN] = "open",
	[POINT_RESIZE] = "resize",
	[POINT_COLLECT] = "collect",
	[POINT_EMPTIED] = "emptied",
	[POINT_REFILL] = "refill",
	[POINT_FILLED] = "filled",
	[POINT_PURGE] = "purge",
	[POINT_FORK] = "fork",
};

static _Thread_local struct {
	enum point point;
	unsigned left; /* 0: nothing is planned */
	unsigned stop_ms;
} plan;

static _Thread_local uint64_t repaired_ns; /* when it was asked for; 0: none */
static _Thread_local bool remaking;        /* a shard */
static atomic_bool held;

void
point_plan(enum point point, unsigned nth, unsigned stop_ms)
{
	plan.point = point;
	plan.left = nth;
	plan.stop_ms = stop_ms;
}

void
point_plan_nothing(void)
{
	plan.left = 0;
}

bool
point_is_held(void)
{
	return atomic_load(&held);
}

uint64_t
point_repaired(void)
{
	uint64_t asked_ns = repaired_ns;

	repaired_ns = 0;
	return asked_ns;
}

/* The others of its process are to end it. */
static void
stay_here(enum point point)
{
	atomic_fetch_add(&shared->killed_at[point], 1);
	atomic_store(&held, true);
	for (;;)
		(void)pause();
}

/* The adversary continues it when the time has come, and again until then. */
static void
stop_here(enum point point)
{
	uint64_t until_ns = clock_ns() + plan.stop_ms * UINT64_C(1000000);

	atomic_fetch_add(&shared->stopped_at[point], 1);
	atomic_fetch_add(&self->stops, 1);
	atomic_store(&self->pause_until_ns, until_ns);
	while (clock_ns() < until_ns)
		raise(SIGSTOP);
	atomic_store(&self->pause_until_ns, 0);
	atomic_fetch_add(&self->stops, 1);
}

static void
at(enum point point)
{
	if (plan.left == 0 || plan.point != point)
		return;
	plan.left--;
	if (plan.left != 0)
		return;
	if (plan.stop_ms == POINT_FOR_EVER)
		stay_here(point);
	if (plan.stop_ms != 0) {
		stop_here(point);
		return;
	}
	atomic_fetch_add(&shared->killed_at[point], 1);
	if (atomic_load(&self->holds) > 0)
		death_note();
	(void)kill(getpid(), SIGKILL);
}

/* NOLINTBEGIN(bugprone-macro-parentheses): these are declarations */
#define LED(type, f, parameters) \
	type REAL(f) parameters; \
	type WRAP(f) parameters
/* NOLINTEND(bugprone-macro-parentheses) */

LED(enum sesscache_status, sc_lock_take,
    (struct sc_lock *, unsigned, enum sc_lock_event *));
LED(void, sc_lock_release, (struct sc_lock *));
LED(void, sc_journal_put,
    (struct sc_journal *, enum sesscache_queue, uint64_t, uint64_t,
	struct sc_span));
LED(void, sc_journal_remove, (struct sc_journal *, uint64_t));
LED(enum sesscache_status, sc_tree_put,
    (struct sc_write *, enum sesscache_queue, uint64_t, struct sc_span));
LED(enum sesscache_status, sc_tree_commit, (struct sc_write *));
LED(enum sesscache_status, sc_room_delete,
    (struct sc_room *, enum sesscache_queue, uint64_t, enum sc_count));
LED(enum sesscache_status, sc_seal_close_blob,
    (const struct sc_seal_blob *, const uint8_t *, size_t, uint8_t *));
LED(enum sesscache_status, sc_shard_open, (struct sc_store *, unsigned));
LED(enum sesscache_status, sc_tree_open,
    (struct sc_tree **, const char *, uint64_t, bool, size_t));
LED(enum sesscache_status, sc_store_drop,
    (struct sc_store *, unsigned, uint64_t *));
LED(void, sc_tree_forget, (struct sc_tree *));
LED(enum sesscache_status, sc_tree_read_before,
    (struct sc_tree *, uint32_t, enum sesscache_queue, uint64_t *, uint8_t *,
	size_t, size_t *));
LED(enum sesscache_status, sc_shard_remake,
    (struct sc_store *, unsigned, uint64_t, bool));

enum sesscache_status
WRAP(sc_lock_take)(struct sc_lock *lock, unsigned wait_ms,
    enum sc_lock_event *event)
{
	uint64_t asked_ns = clock_ns();
	enum sesscache_status status = REAL(sc_lock_take)(lock, wait_ms, event);

	if (status == SESSCACHE_OK && *event == SC_LOCK_REPAIRED &&
	    repaired_ns == 0)
		repaired_ns = asked_ns;
	if (status == SESSCACHE_OK && self != NULL)
		atomic_fetch_add(&self->holds, 1);
	return status;
}

void
WRAP(sc_lock_release)(struct sc_lock *lock)
{
	at(POINT_HELD);
	REAL(sc_lock_release)(lock);
	if (self != NULL)
		atomic_fetch_sub(&self->holds, 1);
}

void
WRAP(sc_journal_put)(struct sc_journal *journal, enum sesscache_queue queue,
    uint64_t seq, uint64_t alias, struct sc_span record)
{
	at(POINT_GATE);
	REAL(sc_journal_put)(journal, queue, seq, alias, record);
	at(POINT_GATE);
}

void
WRAP(sc_journal_remove)(struct sc_journal *journal, uint64_t seq)
{
	at(POINT_GATE);
	REAL(sc_journal_remove)(journal, seq);
	at(POINT_GATE);
}

enum sesscache_status
WRAP(sc_tree_put)(struct sc_write *write, enum sesscache_queue queue,
    uint64_t seq, struct sc_span record)
{
	enum sesscache_status status;

	status = REAL(sc_tree_put)(write, queue, seq, record);
	at(remaking ? POINT_REFILL : POINT_WRITE);
	return status;
}

enum sesscache_status
WRAP(sc_tree_commit)(struct sc_write *write)
{
	enum sesscache_status status;

	at(remaking ? POINT_REFILL : POINT_COMMIT);
	status = REAL(sc_tree_commit)(write);
	at(remaking ? POINT_FILLED : POINT_COMMIT);
	return status;
}

enum sesscache_status
WRAP(sc_room_delete)(struct sc_room *room, enum sesscache_queue queue,
    uint64_t seq, enum sc_count why)
{
	enum sesscache_status status;

	status = REAL(sc_room_delete)(room, queue, seq, why);
	at(POINT_EVICT);
	return status;
}

/* Only ticket keys are sealed so, and only under their lock. */
enum sesscache_status
WRAP(sc_seal_close_blob)(const struct sc_seal_blob *blob, const uint8_t *plain,
    size_t len, uint8_t *sealed)
{
	enum sesscache_status status;

	at(POINT_ROTATE);
	status = REAL(sc_seal_close_blob)(blob, plain, len, sealed);
	at(POINT_ROTATE);
	return status;
}

enum sesscache_status
WRAP(sc_shard_open)(struct sc_store *store, unsigned shard)
{
	at(POINT_OPEN);
	return REAL(sc_shard_open)(store, shard);
}

enum sesscache_status
WRAP(sc_tree_open)(struct sc_tree **out, const char *path, uint64_t bytes,
    bool make, size_t area_bytes)
{
	enum sesscache_status status;

	at(make ? POINT_EMPTIED : POINT_OPEN);
	status = REAL(sc_tree_open)(out, path, bytes, make, area_bytes);
	at(make ? POINT_EMPTIED : POINT_OPEN);
	return status;
}

enum sesscache_status
WRAP(sc_store_drop)(struct sc_store *store, unsigned shard, uint64_t *removed)
{
	enum sesscache_status status;

	at(POINT_PURGE);
	status = REAL(sc_store_drop)(store, shard, removed);
	at(POINT_PURGE);
	return status;
}

void
WRAP(sc_tree_forget)(struct sc_tree *tree)
{
	at(POINT_FORK);
	REAL(sc_tree_forget)(tree);
}

enum sesscache_status
WRAP(sc_tree_read_before)(struct sc_tree *tree, uint32_t commits,
    enum sesscache_queue queue, uint64_t *seq, uint8_t *buf, size_t size,
    size_t *len)
{
	if (remaking)
		at(POINT_COLLECT);
	return REAL(
	    sc_tree_read_before)(tree, commits, queue, seq, buf, size, len);
}

enum sesscache_status
WRAP(sc_shard_remake)(struct sc_store *store, unsigned shard,
    uint64_t file_bytes, bool keep)
{
	enum sesscache_status status;

	at(POINT_RESIZE);
	remaking = true;
	status = REAL(sc_shard_remake)(store, shard, file_bytes, keep);
	remaking = false;
	at(POINT_RESIZE);
	return status;
}

/*
 * The library calls it only under ThreadSanitizer and helgrind (see lock.c).
 * The first (clang 14) does not see that it takes a dead owner's lock: it would
 * report that one who does not have it unlocks it, and races of what it guards.
 */
LED(int, pthread_mutex_timedlock, (pthread_mutex_t *, const struct timespec *));

int
WRAP(pthread_mutex_timedlock)(pthread_mutex_t *mutex,
    const struct timespec *until)
{
	int rc = REAL(pthread_mutex_timedlock)(mutex, until);

#ifdef SANITIZED_THREADS
	if (rc == EOWNERDEAD) {
		__tsan_mutex_pre_lock(mutex, 0);
		__tsan_mutex_post_lock(mutex, 0, 0);
	}
#endif
	return rc;
}
