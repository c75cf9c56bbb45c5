/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads, and how their process may end under them: by _exit() or exec()
 * while they are in calls, one of them in a lock for certain; or its first
 * thread ends before the others.
 */
#include <pthread.h>
#include <unistd.h>

#include "torture.h"

enum {
	MOST_THREADS = 8,
	LIVES = 40,       /* of a thread, at most */
	USE_MS = 30,      /* before the process ends, at most */
	HELD_MS = 100,    /* for a thread to come to where it stays */
	MOST_PASSED = 40, /* points before that */
};

enum ending { JOIN_ALL, EXIT, EXEC, LEAVE, ENDINGS };

void
live_once(void)
{
	struct record record = { .version = 1 };
	uint8_t data[RECORD_MAX_LEN];
	size_t len;
	enum sesscache_status status;
	struct timing timing;

	record_new_id(cache, &record);
	len = record_bytes(&record, data);
	timing = call_begin();
	status = store_end(timing,
	    sesscache_put(cache, record.id, record.id_len, data, len, 0));
	if (status != SESSCACHE_OK)
		return;
	timing = call_begin();
	status = call_end(timing,
	    sesscache_take(cache, record.id, record.id_len, data, sizeof(data),
		&len));
	MUST(status != SESSCACHE_OK || record_is(&record, data, len));
	MUST(status != SESSCACHE_MISS || timing.losses % 2 != 0 ||
	    atomic_load(&shared->losses) != timing.losses);
}

struct life {
	pthread_t thread;
	unsigned seed;
	bool stays; /* in a lock */
};

static void
plan_to_stay(void)
{
	static const enum point points[] = { POINT_GATE, POINT_WRITE,
		POINT_COMMIT, POINT_HELD };

	point_plan(points[roll(sizeof(points) / sizeof(points[0]))],
	    1 + roll(MOST_PASSED), POINT_FOR_EVER);
}

/* It ends where it is, with what the library keeps for it. */
static void *
live_many(void *arg)
{
	const struct life *life = arg;
	struct actor nobody = { .pid = gettid() };
	unsigned i, n;

	self = &nobody;
	dice_seed(life->seed);
	atomic_fetch_add(&shared->threads, 1);
	n = 1 + roll(LIVES);
	if (life->stays)
		plan_to_stay();
	for (i = 0; life->stays || i < n; i++)
		live_once();
	pthread_exit(NULL);
}

static void
begin(struct life *life, bool stays)
{
	life->seed = roll(1u << 30);
	life->stays = stays;
	MUST(pthread_create(&life->thread, NULL, live_many, life) == 0);
}

static void
wait_for_the_one_that_stays(void)
{
	unsigned i;

	for (i = 0; i < HELD_MS && !point_is_held(); i++)
		pause_ms(1);
}

/* Of a process whose threads go on. */
static void
end_process(enum ending ending)
{
	wait_for_the_one_that_stays();
	pause_ms(roll(USE_MS));
	death_note();
	if (ending == EXEC) {
		atomic_fetch_add(&shared->execs, 1);
		(void)execl("/bin/true", "true", (char *)NULL);
	}
	atomic_fetch_add(&shared->exits, 1);
	_exit(0);
}

void
live_in_threads(unsigned n)
{
	enum ending ending = (enum ending)roll(SANITIZED ? LEAVE : ENDINGS);
	bool abrupt = ending == EXIT || ending == EXEC;
	static struct life lives[MOST_THREADS];
	unsigned i;

	for (i = 0; i < n; i++)
		begin(&lives[i], abrupt && i == 0);
	if (abrupt)
		end_process(ending);
	if (ending == LEAVE)
		pthread_exit(NULL);
	for (i = 0; i < n; i++)
		MUST(pthread_join(lives[i].thread, NULL) == 0);
}
