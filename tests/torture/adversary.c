/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See adversary.h.  It never waits for anybody: it looks at each process once
 * in a millisecond.
 *
 * Time goes in rounds.  First a calm part, in which nothing may be lost:
 * workers die and stop, keys rotate, the cache is opened and closed.  Then a
 * lossy one: it is filled until it evicts, resized and purged as well.  Then it
 * gets its size back and is purged, and from there on all is known again.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "adversary.h"
#include "torture.h"

enum {
	CALM_MS = 2000,
	LOSSY_MS = 3000,
	STOP_EVERY_MS = 600,
	JUMP_EVERY_MS = 300,
	JUMP_MOST_S = 43200, /* from the time of day, back or forth */
	STOP_MOST_MS = 2000,
	SPARE_MS = 3000,    /* for which some workers are not killed */
	SPARED = 2,         /* so many: they see how long calls last */
	LAST_RESORT_S = 60, /* for all to end, or a job */
	HANDSHAKE_SIDES = 400,
	MAX_STOPPED = 2,
	STANDSTILL_MS = 500, /* in which this process did not run */
	STOPPED_SIDES = 32,  /* one in so many that are stopped is killed */
};

enum phase { CALM, LOSSY, RESTORING, EMPTYING };

static struct {
	const struct torture_options *options;
	struct torture_deeds *deeds;
	uint64_t now_ms;
	uint64_t kill_at_ms, stop_at_ms, jump_at_ms, job_at_ms, phase_ends_ms;
	uint64_t job_began_ms, spare_until_ms;
	uint64_t births;
	unsigned spared; /* the first of them */
	enum phase phase;
	bool failed;
	struct {
		struct actor *actor; /* NULL: none */
		uint64_t until_ms;
	} stopped[MAX_STOPPED];
} adv;

static bool
is_worker(const struct actor *actor)
{
	return actor >= shared->workers &&
	    actor < shared->workers + MAX_WORKERS;
}

static void
fail(const char *what, const struct actor *actor, long long number)
{
	const char *who = "a worker";

	if (actor == &shared->job)
		who = "a job";
	else if (actor == &shared->observer)
		who = "the observer";
	else if (actor == &shared->stranger)
		who = "a stranger";
	dprintf(2, "torture: %s %s: process %d: %lld\n", who, what,
	    (int)actor->pid, number);
	adv.failed = true;
}

/* --- starting ------------------------------------------------------------ */

/* What a newborn does at first; its dice are its own. */
static void
be_born(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	dice_seed(adv.options->seed * UINT64_C(1000003) + adv.births);
}

static void
work(void *arg)
{
	(void)arg;
	be_born();
	while (!atomic_load(&shared->stop)) {
		if (roll(HANDSHAKE_SIDES) == 0)
			tls_work();
		else
			work_raw();
	}
}

static void
do_job(void *arg)
{
	be_born();
	job_run(*(enum job *)arg);
}

/* What it is to do at a point goes to the child with the rest of memory. */
static void
start(struct actor *actor, child_body *body, void *arg)
{
	adv.births++;
	self = actor;
	actor->pid = child_start(body, arg);
	self = NULL;
	point_plan_nothing();
}

static unsigned
stop_or_die(void)
{
	return roll(4) == 0 ? 20 + roll(STOP_MOST_MS) : 0;
}

static void
start_worker(struct actor *worker)
{
	static const enum point points[] = { POINT_GATE, POINT_WRITE,
		POINT_COMMIT, POINT_EVICT, POINT_HELD, POINT_FORK };
	enum point point = points[roll(sizeof(points) / sizeof(points[0]))];
	unsigned most = point == POINT_FORK ? 4 : 300;

	if (roll(4) == 0)
		point_plan(point, 1 + roll(most),
		    point == POINT_FORK ? 0 : stop_or_die());
	start(worker, work, NULL);
}

/* In each of its parts; it passes up to thousands of records. */
static void
plan_resize(void)
{
	static const enum point points[] = { POINT_RESIZE, POINT_COLLECT,
		POINT_EMPTIED, POINT_REFILL, POINT_FILLED };
	enum point point = points[roll(sizeof(points) / sizeof(points[0]))];
	bool many = point == POINT_COLLECT || point == POINT_REFILL;

	point_plan(point, 1 + roll(many ? 1u << roll(14) : 5), stop_or_die());
}

static void
plan_job(enum job job)
{
	switch (job) {
	case JOB_ROTATE:
		point_plan(POINT_ROTATE, 1 + roll(12), stop_or_die());
		break;
	case JOB_OPEN:
		point_plan(POINT_OPEN, 1 + roll(12), stop_or_die());
		break;
	case JOB_PURGE:
		point_plan(POINT_PURGE, 1 + roll(12), stop_or_die());
		break;
	case JOB_RESIZE:
	case JOB_FULL:
		plan_resize();
		break;
	case JOB_STORM:
	case JOB_THREADS:
		break; /* they have plans of their own */
	}
}

static void
start_job(enum job job, bool unharmed)
{
	static enum job argument;

	argument = job;
	atomic_store(&shared->job_status, SESSCACHE_EBUSY);
	if (!unharmed && (job == JOB_RESIZE || roll(2) == 0))
		plan_job(job);
	start(&shared->job, do_job, &argument);
	adv.job_began_ms = adv.now_ms;
	adv.deeds->jobs++;
}

/* --- ending -------------------------------------------------------------- */

static struct actor *
find(pid_t pid)
{
	struct actor *worker;

	if (pid == shared->job.pid)
		return &shared->job;
	if (pid == shared->observer.pid)
		return &shared->observer;
	if (pid == shared->stranger.pid)
		return &shared->stranger;
	for (worker = shared->workers; worker < shared->workers + MAX_WORKERS;
	     worker++) {
		if (worker->pid == pid)
			return worker;
	}
	return NULL;
}

/* Whoever exits by itself has found something, unless all are to end. */
static bool
ended_well(const struct actor *actor, int status)
{
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGKILL &&
		    (is_worker(actor) || actor == &shared->job);
	return status == 0 &&
	    (actor == &shared->job || atomic_load(&shared->stop));
}

static void
bury(struct actor *actor, int status)
{
	int i;

	if (!ended_well(actor, status))
		fail("ended with status", actor, status);
	for (i = 0; i < MAX_STOPPED; i++) {
		if (adv.stopped[i].actor == actor)
			adv.stopped[i].actor = NULL;
	}
	actor_give_back(actor);
	actor->pid = 0;
	if (is_worker(actor) && !atomic_load(&shared->stop))
		start_worker(actor);
	else if (actor == &shared->job)
		adv.job_at_ms = adv.now_ms + roll(100);
}

static void
bury_all(void)
{
	struct actor *actor;
	int status = 0;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			break;
		actor = find(pid);
		MUST(actor != NULL);
		/* cppcheck-suppress nullPointerRedundantCheck ; MUST() */
		bury(actor, status);
	}
}

/* --- killing and stopping ------------------------------------------------ */

static bool
is_spared(const struct actor *worker)
{
	unsigned n = adv.options->workers;
	unsigned i = (unsigned)(worker - shared->workers);

	return n > SPARED && (i + n - adv.spared) % n < SPARED;
}

static bool
is_stopped(const struct actor *actor)
{
	int i;

	for (i = 0; i < MAX_STOPPED; i++) {
		if (adv.stopped[i].actor == actor)
			return true;
	}
	return atomic_load(&actor->pause_until_ns) != 0;
}

/* A call may begin when its process is about to be stopped. */
static void
watch(struct actor *actor)
{
	uint64_t age_ms = call_age_ms(actor);
	uint64_t until_ns = atomic_load(&actor->pause_until_ns);

	if (actor->pid == 0)
		return;
	if (age_ms > LONGEST_MS && !is_stopped(actor))
		fail("has been in a call for ms", actor, (long long)age_ms);
	if (until_ns != 0 && clock_ns() >= until_ns)
		(void)kill(actor->pid, SIGCONT);
}

/* Few are killed while they are stopped: others are to wait for them. */
static void
kill_one(void)
{
	struct actor *victim = &shared->workers[roll(adv.options->workers)];

	if (roll(16) == 0 && (adv.phase == CALM || adv.phase == LOSSY))
		victim = &shared->job;
	if (victim->pid == 0 || (is_worker(victim) && is_spared(victim)) ||
	    (is_stopped(victim) && roll(STOPPED_SIDES) != 0))
		return;
	if (atomic_load(&victim->holds) > 0)
		death_note();
	(void)kill(victim->pid, SIGKILL);
	adv.deeds->kills++;
}

/* A call that a stop falls into sees the number change before it ends. */
static void
stop_one(void)
{
	struct actor *victim = &shared->workers[roll(adv.options->workers)];
	int i;

	for (i = 0; i < MAX_STOPPED && adv.stopped[i].actor != NULL; i++)
		continue;
	if (i == MAX_STOPPED || victim->pid == 0 || is_stopped(victim))
		return;
	adv.stopped[i].actor = victim;
	adv.stopped[i].until_ms = adv.now_ms + roll(STOP_MOST_MS);
	atomic_fetch_add(&victim->stops, 1);
	(void)kill(victim->pid, SIGSTOP);
	adv.deeds->stops++;
}

static void
continue_those(bool all)
{
	struct actor *actor;
	int i;

	for (i = 0; i < MAX_STOPPED; i++) {
		actor = adv.stopped[i].actor;
		if (actor == NULL ||
		    (!all && adv.now_ms < adv.stopped[i].until_ms))
			continue;
		adv.stopped[i].actor = NULL;
		atomic_fetch_add(&actor->stops, 1);
		(void)kill(actor->pid, SIGCONT);
	}
}

/* The whole machine may have, as a virtual one does: what is under way took as
 * long as that. */
static void
excuse_all(void)
{
	unsigned i;

	for (i = 0; i < adv.options->workers; i++)
		atomic_fetch_add(&shared->workers[i].stops, 1);
	atomic_fetch_add(&shared->job.stops, 1);
	atomic_fetch_add(&shared->observer.stops, 1);
	adv.deeds->standstills++;
}

static void
look_after_all(void)
{
	uint64_t before_ms = adv.now_ms;
	unsigned i;

	adv.now_ms = clock_ns() / 1000000;
	if (before_ms != 0 && adv.now_ms - before_ms > STANDSTILL_MS)
		excuse_all();
	continue_those(atomic_load(&shared->stop));
	bury_all();
	for (i = 0; i < adv.options->workers; i++)
		watch(&shared->workers[i]);
	watch(&shared->job);
	watch(&shared->observer);
	if (shared->job.pid != 0 &&
	    adv.now_ms > adv.job_began_ms + LAST_RESORT_S * 1000)
		fail("does not end, after seconds", &shared->job,
		    LAST_RESORT_S);
}

static void
do_harm(void)
{
	if (adv.now_ms >= adv.kill_at_ms) {
		kill_one();
		adv.kill_at_ms = adv.now_ms +
		    roll(2 * adv.options->kill_every_ms + 1);
	}
	if (adv.now_ms >= adv.stop_at_ms) {
		stop_one();
		adv.stop_at_ms = adv.now_ms + roll(2 * STOP_EVERY_MS);
	}
	if (adv.now_ms >= adv.jump_at_ms && !SANITIZED) {
		atomic_store(&shared->day_seconds,
		    roll(2) == 0 ?
			0 :
			(int64_t)roll(2 * JUMP_MOST_S) - JUMP_MOST_S);
		adv.deeds->jumps++;
		adv.jump_at_ms = adv.now_ms + roll(2 * JUMP_EVERY_MS);
	}
	if (adv.now_ms >= adv.spare_until_ms) {
		adv.spared = roll(adv.options->workers);
		adv.spare_until_ms = adv.now_ms + SPARE_MS;
	}
}

/* --- rounds -------------------------------------------------------------- */

static void
begin_phase(enum phase phase, unsigned ms)
{
	adv.phase = phase;
	adv.phase_ends_ms = adv.now_ms + ms;
	atomic_store(&shared->pressure, phase == LOSSY);
	if (phase == CALM || phase == LOSSY)
		atomic_fetch_add(&shared->losses, 1);
}

/* A job that must go through: again, until it has. */
static bool
insist(enum job job, bool begun)
{
	if (begun && atomic_load(&shared->job_status) == SESSCACHE_OK)
		return true;
	start_job(job, true);
	return false;
}

/* No job is under way. */
static void
go_on(void)
{
	static bool begun;

	switch (adv.phase) {
	case CALM:
		if (adv.now_ms >= adv.phase_ends_ms)
			begin_phase(LOSSY, LOSSY_MS);
		start_job((enum job)roll(JOB_THREADS + 1), false);
		break;
	case LOSSY:
		begun = false;
		if (adv.now_ms >= adv.phase_ends_ms)
			begin_phase(RESTORING, 0);
		else
			start_job(roll(3) != 0 ? JOB_RESIZE :
						 (enum job)roll(JOB_RESIZE),
			    false);
		break;
	case RESTORING:
		if (insist(JOB_FULL, begun))
			begin_phase(EMPTYING, 0);
		begun = adv.phase == RESTORING;
		break;
	case EMPTYING:
		if (insist(JOB_PURGE, begun)) {
			adv.deeds->rounds++;
			begin_phase(CALM, CALM_MS);
		}
		begun = adv.phase == EMPTYING;
		break;
	}
}

static bool
is_anybody_left(void)
{
	unsigned i;

	for (i = 0; i < adv.options->workers; i++) {
		if (shared->workers[i].pid != 0)
			return true;
	}
	return shared->job.pid != 0 || shared->observer.pid != 0 ||
	    shared->stranger.pid != 0;
}

static void
end_all(void)
{
	uint64_t last_ms = adv.now_ms + LAST_RESORT_S * 1000;

	atomic_store(&shared->stop, true);
	while (!adv.failed && is_anybody_left()) {
		look_after_all();
		if (adv.now_ms >= last_ms)
			fail("somebody does not end, after seconds",
			    &shared->job, LAST_RESORT_S);
		pause_ms(1);
	}
}

bool
torture(const struct torture_options *options, struct torture_deeds *deeds)
{
	uint64_t end_ms;
	unsigned i;

	adv.options = options;
	adv.deeds = deeds;
	adv.now_ms = clock_ns() / 1000000;
	end_ms = adv.now_ms + 1000 * (uint64_t)options->seconds;
	adv.phase_ends_ms = adv.now_ms + CALM_MS;
	dice_seed(options->seed);
	start(&shared->observer, observe, &shared->observer);
	for (i = 0; i < options->workers; i++)
		start_worker(&shared->workers[i]);
	while (!adv.failed && adv.now_ms < end_ms) {
		look_after_all();
		do_harm();
		if (shared->job.pid == 0 && adv.now_ms >= adv.job_at_ms)
			go_on();
		pause_ms(1);
	}
	end_all();
	if (!adv.failed && (waitpid(-1, NULL, 0) != -1 || errno != ECHILD))
		fail("is left", &shared->job, 0);
	return !adv.failed;
}
