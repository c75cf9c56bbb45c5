/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Workers that are killed and stopped at any moment, for some seconds
 * (TORTURE_SECONDS): no wrong byte, no record that comes back, none lost that
 * there was room for (unless TORTURE_SIZE makes the cache smaller), nobody
 * held up for long, nothing that leaks.
 *
 * The oracle is in shared memory: what must be under each ID.  A worker owns
 * a slot while it works on it; the slot of a worker that was killed is open to
 * both outcomes until somebody looks.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

enum {
	WORKERS = 6,
	SLOTS = 4096,
	RACES = 64,
	MAX_WINS = 1 << 24,
	USUAL_SECONDS = 8,
	KILL_EVERY_MS = 7,
	STOP_EVERY_MS = 1500,
	STOP_MS = 1000,
	LONGEST_MS = 1000, /* that any call may take on a busy host */
};

#define ROOMY_SIZE "32M"

enum state {
	GONE, /* must be a miss */
	LIVE, /* must be there */
	OPEN, /* its worker was killed in a store: this version, the one before
	         it, or a miss */
	ENDING, /* its worker was killed in a removal: there, or a miss */
};

struct slot {
	atomic_int owner; /* a worker's number + 1; 0: nobody */
	enum state state;
	bool before; /* in OPEN: there is a version before */
	struct record record;
};

/* A record that everybody may take, and one alone must get. */
struct race {
	atomic_uint version; /* odd while it changes */
	atomic_int owner;
	uint8_t id[SESSCACHE_ID_LEN];
};

struct worker {
	atomic_uint stops; /* counts when it is stopped, and when it goes on */
	atomic_uint slot;  /* that it owns, + 1; 0: none */
	atomic_uint race;  /* likewise */
	pid_t pid;
};

struct oracle {
	atomic_bool stop;
	_Atomic uint64_t calls, busy, longest_ns, wins;
	atomic_uint serial; /* of the races */
	struct worker workers[WORKERS];
	struct slot slots[SLOTS];
	struct race races[RACES];
	atomic_uchar won[MAX_WINS];
};

static struct oracle *oracle;
static struct sesscache *cache;
static char scratch[SCRATCH_LEN], dir[SCRATCH_LEN];
static bool roomy; /* nothing need be evicted */

/* Of the process. */
static struct worker *self;
static uint64_t dice;

static unsigned
roll(unsigned sides)
{
	dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (unsigned)(dice >> 33) % sides;
}

/* --- calls, timed -------------------------------------------------------- */

struct timing {
	uint64_t begun_ns;
	unsigned stops;
};

static struct timing
begin(void)
{
	return (struct timing){ clock_ns(), atomic_load(&self->stops) };
}

/* Count a call and its time, unless this process itself was stopped. */
static enum sesscache_status
end(struct timing timing, enum sesscache_status status)
{
	uint64_t took_ns = clock_ns() - timing.begun_ns;
	uint64_t longest_ns = atomic_load(&oracle->longest_ns);

	atomic_fetch_add(&oracle->calls, 1);
	if (status == SESSCACHE_EBUSY)
		atomic_fetch_add(&oracle->busy, 1);
	while (atomic_load(&self->stops) == timing.stops &&
	    took_ns > longest_ns &&
	    !atomic_compare_exchange_weak(&oracle->longest_ns, &longest_ns,
		took_ns))
		continue;
	MUST(status >= 0 || status == SESSCACHE_EBUSY);
	return status;
}

static enum sesscache_status
put(const struct record *record)
{
	uint8_t data[RECORD_MAX_LEN];
	size_t len = record_bytes(record, data);
	struct timing timing = begin();

	return end(timing,
	    sesscache_put(cache, record->id, record->id_len, data, len, 0));
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

static enum sesscache_status
get(struct slot *slot, bool take)
{
	struct record *record = &slot->record;
	enum sesscache_status status;
	uint8_t data[RECORD_MAX_LEN];
	struct timing timing;
	size_t len = 0;

	timing = begin();
	status = end(timing,
	    (take ? sesscache_take : sesscache_get)(cache, record->id,
		record->id_len, data, sizeof(data), &len));
	MUST(status != SESSCACHE_OK ||
	    is_version(record, slot->state == OPEN && slot->before, data, len));
	return status;
}

static enum sesscache_status
erase(const struct record *record)
{
	struct timing timing = begin();

	return end(timing, sesscache_remove(cache, record->id, record->id_len));
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

/* The state says what may be, from before the call until it is known. */
static void
store(struct slot *slot)
{
	enum state old = slot->state;
	enum sesscache_status status;

	if (old == GONE && (slot->record.id_len == 0 || roll(4) != 0))
		choose_id(&slot->record);
	slot->before = old == LIVE;
	keep_order();
	slot->state = OPEN;
	keep_order();
	slot->record.version++;
	status = put(&slot->record);
	if (status != SESSCACHE_OK)
		slot->record.version--; /* nothing was done */
	keep_order();
	slot->state = status == SESSCACHE_OK ? LIVE : old;
}

static void
use(struct slot *slot)
{
	enum sesscache_status status;

	switch (roll(4)) {
	case 0:
		store(slot);
		return;
	case 1:
		slot->state = ENDING;
		keep_order();
		status = get(slot, true);
		break;
	case 2:
		slot->state = ENDING;
		keep_order();
		status = erase(&slot->record);
		break;
	default:
		status = get(slot, false);
		break;
	}
	MUST(status != SESSCACHE_MISS || !roomy);
	if (status == SESSCACHE_MISS ||
	    (status == SESSCACHE_OK && slot->state == ENDING))
		slot->state = GONE;
	else
		slot->state = LIVE;
}

/* What a killed worker left: whatever is found there must stay so. */
static void
settle(struct slot *slot)
{
	enum sesscache_status status = get(slot, false);

	if (status != SESSCACHE_EBUSY)
		slot->state = status == SESSCACHE_OK ? LIVE : GONE;
}

static void
look_at_gone(struct slot *slot)
{
	enum sesscache_status status = SESSCACHE_MISS;

	if (slot->record.id_len != 0)
		status = roll(2) == 0 ? get(slot, roll(2) == 0) :
					erase(&slot->record);
	MUST(status == SESSCACHE_MISS || status == SESSCACHE_EBUSY);
}

static void
work_on_slot(void)
{
	unsigned i = roll(SLOTS);
	struct slot *slot = &oracle->slots[i];
	int nobody = 0, me = (int)(self - oracle->workers) + 1;

	atomic_store(&self->slot, i + 1);
	if (atomic_compare_exchange_strong(&slot->owner, &nobody, me)) {
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
		atomic_store(&slot->owner, 0);
	}
	atomic_store(&self->slot, 0);
}

/* --- races --------------------------------------------------------------- */

/* The data of such a record: its serial number, and the ID. */
enum { RACE_LEN = 4 + SESSCACHE_ID_LEN };

static void
offer(struct race *race)
{
	uint8_t data[RACE_LEN], id[SESSCACHE_ID_LEN];
	uint32_t serial = atomic_fetch_add(&oracle->serial, 1) % MAX_WINS;
	struct timing timing;

	MUST(sesscache_new_id(cache, id) == SESSCACHE_OK);
	memcpy(data, &serial, 4);
	memcpy(data + 4, id, sizeof(id));
	timing = begin();
	if (end(timing,
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
	timing = begin();
	status = end(timing,
	    sesscache_take(cache, id, sizeof(id), data, sizeof(data), &len));
	if (status != SESSCACHE_OK)
		return;
	MUST(len == RACE_LEN && memcmp(data + 4, id, sizeof(id)) == 0);
	memcpy(&serial, data, 4);
	MUST(atomic_fetch_add(&oracle->won[serial % MAX_WINS], 1) == 0);
	atomic_fetch_add(&oracle->wins, 1);
}

static void
work_on_race(void)
{
	unsigned i = roll(RACES);
	struct race *race = &oracle->races[i];
	int nobody = 0, me = (int)(self - oracle->workers) + 1;

	if (roll(3) != 0) {
		run_race(race);
		return;
	}
	atomic_store(&self->race, i + 1);
	if (atomic_compare_exchange_strong(&race->owner, &nobody, me)) {
		run_race(race);
		offer(race);
		atomic_store(&race->owner, 0);
	}
	atomic_store(&self->race, 0);
}

/* --- workers ------------------------------------------------------------- */

/* One in four opens the directory on its own. */
static void
work(void *arg)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	self = arg;
	dice = clock_ns() ^ (uint64_t)getpid() << 40;
	if (roll(4) == 0) {
		sesscache_close(cache);
		cache = cache_open(dir, NULL);
	}
	while (!atomic_load(&oracle->stop)) {
		if (roll(4) == 0)
			work_on_race();
		else
			work_on_slot();
	}
}

/* What a dead worker owned is anybody's. */
static void
inherit_from(struct worker *worker)
{
	int number = (int)(worker - oracle->workers) + 1, owner = number;
	unsigned slot = atomic_load(&worker->slot);
	unsigned race = atomic_load(&worker->race);

	if (slot != 0)
		atomic_compare_exchange_strong(&oracle->slots[slot - 1].owner,
		    &owner, 0);
	owner = number;
	if (race != 0)
		atomic_compare_exchange_strong(&oracle->races[race - 1].owner,
		    &owner, 0);
	atomic_store(&worker->slot, 0);
	atomic_store(&worker->race, 0);
}

static void
replace(struct worker *worker)
{
	int status = 0;

	MUST(kill(worker->pid, SIGKILL) == 0);
	MUST(waitpid(worker->pid, &status, 0) == worker->pid);
	/* Else it found something wrong, and said so. */
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	inherit_from(worker);
	worker->pid = child_start(work, worker);
}

/* A call that a stop falls into sees the number change before it ends. */
static void
signal_worker(struct worker *worker, int signal)
{
	atomic_fetch_add(&worker->stops, 1);
	MUST(kill(worker->pid, signal) == 0);
}

/* Kill one every few milliseconds; now and then stop one for a second. */
static uint64_t
torture(unsigned seconds)
{
	uint64_t now_ms = clock_ns() / 1000000, end_ms, stop_ms, kills = 0;
	struct worker *stopped = NULL, *worker;

	dice = now_ms;
	end_ms = now_ms + 1000 * (uint64_t)seconds;
	stop_ms = now_ms + STOP_EVERY_MS;
	for (; now_ms < end_ms; now_ms = clock_ns() / 1000000) {
		pause_ms(KILL_EVERY_MS);
		worker = &oracle->workers[roll(WORKERS)];
		if (stopped == NULL && now_ms >= stop_ms) {
			stopped = worker;
			signal_worker(stopped, SIGSTOP);
			stop_ms = now_ms + STOP_MS;
		} else if (stopped != NULL && now_ms >= stop_ms) {
			signal_worker(stopped, SIGCONT);
			stopped = NULL;
			stop_ms = now_ms + STOP_EVERY_MS;
		} else if (worker != stopped) {
			replace(worker);
			kills++;
		}
	}
	if (stopped != NULL)
		signal_worker(stopped, SIGCONT);
	return kills;
}

/* --- what must be in the end --------------------------------------------- */

static uint64_t
bytes_on_disk(void)
{
	char path[SCRATCH_LEN];
	struct dirent *entry;
	DIR *list = opendir(dir);
	uint64_t bytes = 0;
	struct stat st;

	MUST(list != NULL);
	/* cppcheck-suppress nullPointerRedundantCheck ; MUST() ends it */
	for (entry = readdir(list); entry != NULL; entry = readdir(list)) {
		path_join(path, dir, entry->d_name);
		if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_blocks * 512;
	}
	closedir(list);
	return bytes;
}

static uint64_t
check_slots(void)
{
	enum sesscache_status status;
	struct slot *slot;
	uint64_t live = 0;

	for (slot = oracle->slots; slot < oracle->slots + SLOTS; slot++) {
		MUST(atomic_load(&slot->owner) == 0);
		if (slot->record.id_len == 0 || slot->state == OPEN)
			continue;
		status = record_get(cache, &slot->record);
		MUST(status == SESSCACHE_OK || status == SESSCACHE_MISS);
		MUST(status == SESSCACHE_OK || slot->state != LIVE || !roomy);
		MUST(status == SESSCACHE_MISS || slot->state != GONE);
		live += status == SESSCACHE_OK;
	}
	return live;
}

static void
check_counts(uint64_t kills, uint64_t live)
{
	uint64_t busy = atomic_load(&oracle->busy);
	struct sesscache_stats stats;

	MUST(sesscache_stats(cache, &stats) == SESSCACHE_OK);
	printf("%" PRIu64 " calls, %" PRIu64 " busy, longest %" PRIu64
	       " ms; %" PRIu64 " kills, %" PRIu64 " repaired, %" PRIu64
	       " stalled; %" PRIu64 " records, %" PRIu64 " live, %" PRIu64
	       " evicted, %" PRIu64 " KiB used; %" PRIu64 " races won\n",
	    atomic_load(&oracle->calls), busy,
	    atomic_load(&oracle->longest_ns) / 1000000, kills, stats.repaired,
	    stats.stalled, stats.records, live,
	    stats.evicted_newcomers + stats.evicted_regulars,
	    stats.used_bytes / 1024, atomic_load(&oracle->wins));
	fflush(stdout);
	MUST(atomic_load(&oracle->wins) > 0);
	MUST(atomic_load(&oracle->longest_ns) < LONGEST_MS * UINT64_C(1000000));
	MUST(stats.failed == 0);
	MUST(stats.unreadable == 0);
	MUST(stats.evicted_newcomers + stats.evicted_regulars == 0 || !roomy);
	MUST(stats.used_bytes <= stats.size_bytes / 2 || !roomy);
	MUST(bytes_on_disk() <= stats.size_bytes);
	/* What nobody knows of: a worker was killed before it told, or could
	 * not remove what it replaced. */
	MUST(stats.records <= live + RACES + kills + busy);
}

/* After a purge nothing comes back, and there is room as at first. */
static void
check_purge(void)
{
	struct sesscache_stats stats;
	struct slot *slot;

	MUST(sesscache_purge(cache, NULL, NULL) == SESSCACHE_OK);
	for (slot = oracle->slots; slot < oracle->slots + SLOTS; slot++) {
		MUST(slot->record.id_len == 0 ||
		    record_get(cache, &slot->record) == SESSCACHE_MISS);
	}
	MUST(sesscache_stats(cache, &stats) == SESSCACHE_OK);
	MUST(stats.records == 0);
	printf("%" PRIu64 " KiB used after the purge\n",
	    stats.used_bytes / 1024);
	MUST(stats.used_bytes < stats.size_bytes / 4);
}

static unsigned
seconds_wanted(void)
{
	const char *text = getenv("TORTURE_SECONDS");
	unsigned long seconds = text != NULL ? strtoul(text, NULL, 10) : 0;

	return seconds > 0 ? (unsigned)seconds : USUAL_SECONDS;
}

static void
run(void *arg)
{
	const char *size = getenv("TORTURE_SIZE");
	struct worker *worker;
	uint64_t kills, live;

	(void)arg;
	roomy = size == NULL;
	oracle = shared_new(sizeof(*oracle));
	cache = cache_open(dir, "size", roomy ? ROOMY_SIZE : size, NULL);
	for (worker = oracle->workers; worker < oracle->workers + WORKERS;
	     worker++)
		worker->pid = child_start(work, worker);
	kills = torture(seconds_wanted());
	atomic_store(&oracle->stop, true);
	for (worker = oracle->workers; worker < oracle->workers + WORKERS;
	     worker++)
		MUST(child_ended_well(worker->pid));
	live = check_slots();
	check_counts(kills, live);
	check_purge();
	sesscache_close(cache);
	fflush(stdout);
}

/* In a child, so that the directory is removed however it ends. */
int
main(void)
{
	int status = -1;
	pid_t child;

	scratch_make(scratch, "check_torture");
	path_join(dir, scratch, "cache");
	child = child_start(run, NULL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	scratch_remove(scratch);
	return status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
