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

const char *const point_names[POINTS] = {
	[POINT_GATE] = "gate",
	[POINT_WRITE] = "write",
	[POINT_COMMIT] = "commit",
	[POINT_EVICT] = "evict",
	[POINT_HELD] = "held",
	[POINT_ROTATE] = "rotate",
	[POINT_OPEN] = "open",
	[POINT_RESIZE] = "resize",
	[POINT_PURGE] = "purge",
	[POINT_FORK] = "fork",
};

static struct {
	enum point point;
	unsigned left; /* 0: nothing is planned */
	unsigned stop_ms;
} plan;

static bool repaired;

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
point_repaired(void)
{
	bool was = repaired;

	repaired = false;
	return was;
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
	if (plan.stop_ms != 0) {
		stop_here(point);
		return;
	}
	atomic_fetch_add(&shared->killed_at[point], 1);
	(void)kill(getpid(), SIGKILL);
}

/*
 * The linker's names: a call of f() is one of __wrap_f(), and __real_f() is
 * what it would have been.
 */
#define REAL(f) __real_##f /* NOLINT(bugprone-reserved-identifier) */
#define WRAP(f) __wrap_##f /* NOLINT(bugprone-reserved-identifier) */

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

enum sesscache_status
WRAP(sc_lock_take)(struct sc_lock *lock, unsigned wait_ms,
    enum sc_lock_event *event)
{
	enum sesscache_status status = REAL(sc_lock_take)(lock, wait_ms, event);

	repaired = repaired ||
	    (status == SESSCACHE_OK && *event == SC_LOCK_REPAIRED);
	return status;
}

void
WRAP(sc_lock_release)(struct sc_lock *lock)
{
	at(POINT_HELD);
	REAL(sc_lock_release)(lock);
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
	at(POINT_WRITE);
	return status;
}

enum sesscache_status
WRAP(sc_tree_commit)(struct sc_write *write)
{
	enum sesscache_status status;

	at(POINT_COMMIT);
	status = REAL(sc_tree_commit)(write);
	at(POINT_COMMIT);
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

	at(make ? POINT_RESIZE : POINT_OPEN);
	status = REAL(sc_tree_open)(out, path, bytes, make, area_bytes);
	at(make ? POINT_RESIZE : POINT_OPEN);
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
