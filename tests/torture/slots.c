/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw calls, and an oracle that knows what must be under each ID.  A worker
 * owns a slot while it works on it; the slot of a worker that was killed is
 * open to both outcomes until somebody looks.  The bytes of a record follow
 * from its ID and version, so that a wrong one is seen.
 *
 * What may be missing is counted: "losses" is odd while anything may go.  What
 * must be missing, too: "purges" numbers those that began, and those that went
 * through.
 */
#include <string.h>

#include "torture.h"

enum {
	FILL_LEN = 1500,     /* bytes of a record that only takes room */
	REOPEN_SIDES = 4000, /* one call in so many */
};

/* --- one record ---------------------------------------------------------- */

static enum sesscache_status
put(const struct record *record, bool only_new)
{
	uint8_t data[RECORD_MAX_LEN];
	size_t len = record_bytes(record, data);
	struct timing timing = call_begin();

	return store_end(timing,
	    (only_new ? sesscache_add : sesscache_put)(cache, record->id,
		record->id_len, data, len, 0));
}

/* Whether the bytes are those of the record, or of the version before it. */
static bool
is_version(struct record *record, bool before, const uint8_t *data, size_t len)
{
	struct record older = *record;

	if (record_is(record, data, len))
		return true;
	older.version--;
	if (!before || !record_is(&older, data, len))
		return false;
	*record = older;
	return true;
}

/* Of what was there when purge number "purges" was the newest. */
static bool
is_purged(unsigned purges, unsigned done)
{
	return (int)(done - purges) > 0;
}

static enum sesscache_status
get(struct slot *slot, bool take)
{
	unsigned done = atomic_load(&shared->purges_done);
	struct record *record = &slot->record;
	enum sesscache_status status;
	uint8_t data[RECORD_MAX_LEN];
	struct timing timing;
	size_t len = 0;

	timing = call_begin();
	status = call_end(timing,
	    (take ? sesscache_take : sesscache_get)(cache, record->id,
		record->id_len, data, sizeof(data), &len));
	if (status == SESSCACHE_OK) {
		MUST(is_version(record, slot->state == OPEN && slot->before,
		    data, len));
		MUST(slot->state == OPEN || !is_purged(slot->purges, done));
	}
	return status;
}

static enum sesscache_status
erase(const struct record *record)
{
	struct timing timing = call_begin();

	return call_end(timing,
	    sesscache_remove(cache, record->id, record->id_len));
}

/* --- one slot ------------------------------------------------------------ */

/* An ID of the cache's own, or any: one in eight. */
static void
choose_id(struct record *record)
{
	size_t i;

	if (roll(8) != 0) {
		record_new_id(cache, record);
		return;
	}
	record->id_len = 16 + roll(SESSCACHE_ID_MAX_LEN - 16 + 1);
	for (i = 0; i < record->id_len; i++)
		record->id[i] = (uint8_t)roll(256);
}

/* The worker may be killed anywhere: the compiler moves no store across. */
static void
keep_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

/* Whether a live record may be missing: something was lost since. */
static bool
may_miss(const struct slot *slot)
{
	return slot->losses % 2 != 0 ||
	    atomic_load(&shared->losses) != slot->losses;
}

/* The state says what may be, from before the call until it is known. */
static void
store(struct slot *slot)
{
	unsigned losses = atomic_load(&shared->losses);
	enum state old = slot->state;
	enum sesscache_status status;

	if (old == GONE && (slot->record.id_len == 0 || roll(4) != 0))
		choose_id(&slot->record);
	slot->before = old == LIVE;
	keep_order();
	slot->state = OPEN;
	keep_order();
	slot->record.version++;
	status = put(&slot->record, old == GONE && roll(2) == 0);
	MUST(status == SESSCACHE_OK || status == SESSCACHE_EBUSY);
	if (status == SESSCACHE_OK) {
		slot->losses = losses;
		slot->purges = atomic_load(&shared->purges_begun);
	} else {
		slot->record.version--; /* nothing was done */
	}
	keep_order();
	slot->state = status == SESSCACHE_OK ? LIVE : old;
}

/* Only if there is none: there is, unless it was lost. */
static void
add(struct slot *slot)
{
	unsigned losses = atomic_load(&shared->losses);
	enum sesscache_status status;

	slot->before = true;
	keep_order();
	slot->state = OPEN;
	keep_order();
	slot->record.version++;
	status = put(&slot->record, true);
	if (status == SESSCACHE_OK) {
		MUST(may_miss(slot));
		slot->losses = losses;
		slot->purges = atomic_load(&shared->purges_begun);
	} else {
		MUST(status == SESSCACHE_EXISTS || status == SESSCACHE_EBUSY);
		slot->record.version--;
	}
	keep_order();
	slot->state = LIVE;
}

static void
look_up(struct slot *slot, unsigned how)
{
	enum sesscache_status status;
	bool ending = how != 0;

	if (ending)
		slot->state = ENDING;
	keep_order();
	status = how == 2 ? erase(&slot->record) : get(slot, ending);
	MUST(status != SESSCACHE_MISS || may_miss(slot));
	keep_order();
	slot->missed = status == SESSCACHE_MISS;
	keep_order();
	if (status == SESSCACHE_MISS || (status == SESSCACHE_OK && ending))
		slot->state = GONE;
	else
		slot->state = LIVE;
}

static void
use(struct slot *slot)
{
	switch (roll(8)) {
	case 0:
	case 1:
		store(slot);
		break;
	case 2:
		add(slot);
		break;
	case 3:
		look_up(slot, 1);
		break;
	case 4:
		look_up(slot, 2);
		break;
	default:
		look_up(slot, 0);
		break;
	}
}

/* What a killed worker left: whatever is found there must stay so. */
static void
settle(struct slot *slot)
{
	unsigned losses = atomic_load(&shared->losses);
	enum sesscache_status status = get(slot, false);

	if (status == SESSCACHE_OK) {
		slot->losses = losses;
		slot->purges = atomic_load(&shared->purges_begun);
	}
	keep_order();
	slot->missed = true;
	keep_order();
	if (status != SESSCACHE_EBUSY)
		slot->state = status == SESSCACHE_OK ? LIVE : GONE;
}

/*
 * Nothing comes back.  What a purge has made unreadable is a miss, but may
 * still take room: then a removal finds it, once.
 */
static void
look_at_gone(struct slot *slot)
{
	enum sesscache_status status;

	if (slot->record.id_len == 0)
		return;
	if (roll(2) == 0) {
		status = get(slot, roll(2) == 0);
		MUST(status == SESSCACHE_MISS || status == SESSCACHE_EBUSY);
		return;
	}
	status = erase(&slot->record);
	MUST(status != SESSCACHE_OK || slot->missed);
	if (status == SESSCACHE_OK)
		slot->missed = false;
}

static void
work_on_slot(void)
{
	unsigned i = roll(SLOTS);
	struct slot *slot = &shared->slots[i];

	if (!own(&self->owns_slot, i, &slot->owner))
		return;
	switch (slot->state) {
	case GONE:
		look_at_gone(slot);
		store(slot);
		break;
	case LIVE:
		use(slot);
		break;
	case OPEN:
	case ENDING:
		settle(slot);
		break;
	}
	disown(&self->owns_slot, &slot->owner);
}

/* --- races --------------------------------------------------------------- */

/* The data of such a record: its serial number, and the ID. */
enum { RACE_LEN = 4 + SESSCACHE_ID_LEN };

static void
offer(struct race *race)
{
	uint8_t data[RACE_LEN], id[SESSCACHE_ID_LEN];
	uint32_t serial = win_serial();
	struct timing timing;

	MUST(sesscache_new_id(cache, id) == SESSCACHE_OK);
	memcpy(data, &serial, 4);
	memcpy(data + 4, id, sizeof(id));
	timing = call_begin();
	if (store_end(timing,
		sesscache_put(cache, id, sizeof(id), data, sizeof(data), 0)) !=
	    SESSCACHE_OK)
		return;
	atomic_fetch_or(&race->version, 1);
	memcpy(race->id, id, sizeof(id));
	atomic_fetch_add(&race->version, 1);
}

static void
run_race(struct race *race)
{
	uint8_t id[SESSCACHE_ID_LEN], data[RACE_LEN];
	unsigned version = atomic_load(&race->version);
	enum sesscache_status status;
	struct timing timing;
	uint32_t serial;
	size_t len = 0;

	memcpy(id, race->id, sizeof(id));
	if (version % 2 != 0 || version == 0 ||
	    atomic_load(&race->version) != version)
		return;
	timing = call_begin();
	status = call_end(timing,
	    sesscache_take(cache, id, sizeof(id), data, sizeof(data), &len));
	if (status != SESSCACHE_OK)
		return;
	MUST(len == RACE_LEN && memcmp(data + 4, id, sizeof(id)) == 0);
	memcpy(&serial, data, 4);
	win(serial);
}

static void
work_on_race(void)
{
	unsigned i = roll(RACES);
	struct race *race = &shared->races[i];

	run_race(race);
	if (roll(3) != 0 || !own(&self->owns_race, i, &race->owner))
		return;
	offer(race);
	disown(&self->owns_race, &race->owner);
}

/* --- all of it ----------------------------------------------------------- */

/* A session that never comes back. */
static void
fill(void)
{
	struct record record = { .data_len = FILL_LEN };

	record_new_id(cache, &record);
	(void)put(&record, false);
}

/* Another opener may be stopped while it has the directory: then later. */
static void
open_anew(void)
{
	struct sesscache *fresh = NULL;
	enum sesscache_status status;
	uint64_t begun_ns = clock_ns();

	status = cache_try(&fresh, torture_dir, NULL);
	MUST(status == SESSCACHE_OK || status == SESSCACHE_EBUSY);
	if (status != SESSCACHE_OK)
		return;
	atomic_fetch_add(&shared->opens, 1);
	begun_ns = clock_ns() - begun_ns;
	if (begun_ns > atomic_load(&shared->longest_open_ns))
		atomic_store(&shared->longest_open_ns, begun_ns);
	sesscache_close(cache);
	cache = fresh;
}

void
work_raw(void)
{
	if (roll(REOPEN_SIDES) == 0)
		open_anew();
	else if (atomic_load(&shared->pressure) && roll(2) == 0)
		fill();
	else if (roll(4) == 0)
		work_on_race();
	else
		work_on_slot();
}

uint64_t
slots_check(struct sesscache *at)
{
	enum sesscache_status status;
	struct slot *slot;
	uint64_t live = 0;

	for (slot = shared->slots; slot < shared->slots + SLOTS; slot++) {
		MUST(atomic_load(&slot->owner) == 0);
		if (slot->record.id_len == 0 || slot->state == OPEN)
			continue;
		status = record_get(at, &slot->record);
		MUST(status == SESSCACHE_OK || status == SESSCACHE_MISS);
		MUST(status == SESSCACHE_OK || slot->state != LIVE ||
		    may_miss(slot));
		MUST(status == SESSCACHE_MISS || slot->state != GONE);
		live += status == SESSCACHE_OK;
	}
	return live;
}

void
slots_check_all_gone(struct sesscache *at)
{
	struct slot *slot;

	for (slot = shared->slots; slot < shared->slots + SLOTS; slot++) {
		MUST(slot->record.id_len == 0 ||
		    record_get(at, &slot->record) == SESSCACHE_MISS);
	}
}
