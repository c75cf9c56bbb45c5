/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens to a cache besides its use: keys rotate, processes come and go,
 * it is purged and resized.  Each is a process that may be killed in it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "torture.h"

enum {
	STORM_CHILDREN = 100,
	STORM_AT_ONCE = 8,
	OPENS = 8,
	ROTATIONS = 20,
	KILL_SIDES = 8, /* one child of a storm in so many */
	EXEC_SIDES = 8, /* the same, and when */
	THREADS = 4,
	STRANGER_SIDES = 500, /* one stranger in so many ms is killed */
	STRANGER_MS = 100,    /* from one to the next, at most */
	OPEN_POINTS = 14,     /* that an open passes; some do not die */
	STOP_MS = 1000,       /* of a stranger, at most */
};

/* Which statuses the cache may answer; odd losses allow more. */
static void
expect(enum sesscache_status status)
{
	atomic_store(&shared->job_status, status);
	MUST(status == SESSCACHE_OK || status == SESSCACHE_EBUSY ||
	    (status == SESSCACHE_ECORRUPT &&
		atomic_load(&shared->losses) % 2 != 0));
}

static void
rotate(void)
{
	int i;

	for (i = 0; i < ROTATIONS; i++)
		expect(sesscache_rotate_keys(cache));
}

static void
open_and_close(void)
{
	struct sesscache *fresh;
	int i;

	sesscache_close(cache);
	sesscache_close(cache_once);
	for (i = 0; i < OPENS; i++) {
		expect(cache_try(&fresh, torture_dir, NULL));
		atomic_fetch_add(&shared->opens, 1);
		sesscache_close(fresh);
	}
}

static void
purge(void)
{
	unsigned number = atomic_fetch_add(&shared->purges_begun, 1) + 1;
	enum sesscache_status status = sesscache_purge(cache, NULL, NULL);

	expect(status);
	if (status == SESSCACHE_OK)
		atomic_store(&shared->purges_done, number);
}

/* What a resize that was killed before left, too, has this size now, unless
 * somebody is stopped in a shard: then the job is to be done again. */
static void
check_size(struct sesscache *at, uint64_t bytes)
{
	struct sesscache_stats stats = { .size_bytes = bytes };
	enum sesscache_status status = sesscache_stats(at, &stats);
	uint64_t taken = files_bytes();

	MUST(status == SESSCACHE_OK || status == SESSCACHE_EBUSY);
	MUST(stats.size_bytes == bytes);
	MUST(taken <= bytes);
	if (taken < bytes - bytes / 16)
		atomic_store(&shared->job_status, SESSCACHE_EBUSY);
}

/* In a process that has it open; then the handle is to the new size. */
static void
resize(uint64_t bytes)
{
	enum sesscache_status status;
	struct sesscache *fresh;
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	status = cache_try(&fresh, torture_dir, "size", text, NULL);
	expect(status);
	if (status == SESSCACHE_OK) {
		atomic_fetch_add(&shared->resizes, 1);
		check_size(fresh, bytes);
	}
	sesscache_close(fresh);
}

/* --- fork storms --------------------------------------------------------- */

static void
become_another(void)
{
	atomic_fetch_add(&shared->execs, 1);
	(void)execl("/bin/true", "true", (char *)NULL);
}

/* A short life; it may end in exec(): at once, among threads, or after all. */
static void
live(void *arg)
{
	static struct actor nobody;
	unsigned when = roll(EXEC_SIDES);

	(void)arg;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	nobody.pid = getpid();
	self = &nobody;
	if (when == 0)
		become_another();
	else if (when == 1)
		live_in_threads(1 + roll(2));
	live_once();
	if (when == 2)
		become_another();
}

static void
bury_one(void)
{
	int status = 0;

	while (wait(&status) < 0 && errno == EINTR)
		continue;
	MUST(status == 0 ||
	    (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
}

static void
storm(void)
{
	int i, alive = 0;

	for (i = 0; i < STORM_CHILDREN; i++) {
		(void)roll(2); /* children begin with the dice as they lie */
		if (roll(KILL_SIDES) == 0)
			point_plan(roll(2) == 0 ? POINT_FORK : POINT_GATE,
			    1 + roll(3), 0);
		(void)child_start(live, NULL);
		point_plan_nothing();
		atomic_fetch_add(&shared->forks, 1);
		if (++alive < STORM_AT_ONCE)
			continue;
		bury_one();
		alive--;
	}
	for (; alive > 0; alive--)
		bury_one();
}

/* --- strangers ----------------------------------------------------------- */

static void
open_alone(void)
{
	struct record record = { .version = 1 };
	enum sesscache_status status;
	struct sesscache *own;

	status = cache_try(&own, torture_dir, NULL);
	expect(status);
	if (status != SESSCACHE_OK)
		return;
	atomic_fetch_add(&shared->opens, 1);
	record_new_id(own, &record);
	status = record_put(own, &record);
	if (status == SESSCACHE_OK)
		status = record_take(own, &record);
	MUST(status >= 0 || status == SESSCACHE_EBUSY ||
	    status == SESSCACHE_ECORRUPT);
	sesscache_close(own);
}

/* Nothing is left of what it opened, be that in vain or not. */
static void
open_as_stranger(void *arg)
{
	unsigned fds = count_fds();
	uint64_t kb;

	(void)arg;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	open_alone();
	MUST(count_fds() == fds);
	MUST(count_maps(&kb) == 0);
}

/* Until it ends; it may be killed anywhere. */
static void
attend(pid_t stranger)
{
	uint64_t until_ns;
	int status = 0;

	while (waitpid(stranger, &status, WNOHANG) == 0) {
		until_ns = atomic_load(&self->pause_until_ns);
		if (until_ns != 0 && clock_ns() >= until_ns)
			(void)kill(stranger, SIGCONT);
		if (roll(STRANGER_SIDES) == 0)
			(void)kill(stranger, SIGKILL);
		pause_ms(1);
	}
	atomic_store(&self->pause_until_ns, 0);
	MUST(status == 0 ||
	    (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
}

void
bring_strangers(void *arg)
{
	pid_t stranger;

	self = arg;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!atomic_load(&shared->stop)) {
		(void)roll(2);
		if (roll(4) != 0)
			point_plan(roll(8) == 0 ? POINT_EMPTIED : POINT_OPEN,
			    1 + roll(OPEN_POINTS),
			    roll(8) == 0 ? 1 + roll(STOP_MS) : 0);
		stranger = child_start(open_as_stranger, NULL);
		point_plan_nothing();
		attend(stranger);
		pause_ms(roll(STRANGER_MS));
	}
}

void
job_run(enum job job)
{
	switch (job) {
	case JOB_ROTATE:
		rotate();
		break;
	case JOB_OPEN:
		open_and_close();
		break;
	case JOB_STORM:
		storm();
		break;
	case JOB_THREADS:
		live_in_threads(THREADS);
		break;
	case JOB_PURGE:
		purge();
		break;
	case JOB_RESIZE:
		resize(full_bytes / 2 + full_bytes / 16 * roll(9));
		break;
	case JOB_FULL:
		resize(full_bytes);
		break;
	}
}
