/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dice, clocks and ownership: what every process of the torture needs, and
 * what must be right though any of them may be killed or stopped anywhere.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "torture.h"

enum {
	MS = 1000000,      /* ns */
	LOOK_EVERY = 64,   /* calls, at the clock of the scheduler */
	WORTH_NS = 1 * MS, /* only longer calls are looked at closely */
};

struct shared *shared;
_Thread_local struct actor *self;
struct sesscache *cache, *cache_once;

static _Thread_local uint64_t dice;

void
dice_seed(uint64_t seed)
{
	dice = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	(void)roll(2);
	(void)roll(2);
}

unsigned
roll(unsigned sides)
{
	dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (unsigned)(dice >> 33) % sides;
}

/* --- calls --------------------------------------------------------------- */

/*
 * ns for which a process or thread was ready to run and had no processor;
 * UINT64_MAX if the kernel does not say.
 */
static uint64_t
delay_ns(pid_t pid)
{
	uint64_t delay = UINT64_MAX;
	char path[64], text[128], *second;
	ssize_t len;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return delay;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len <= 0)
		return delay;
	text[len] = '\0';
	second = strchr(text, ' '); /* after the time that it ran */
	if (second != NULL)
		delay = strtoull(second, NULL, 10);
	return delay;
}

/* What of this time the process could have used. */
static uint64_t
less_delay(uint64_t took_ns, uint64_t before_ns, uint64_t after_ns)
{
	uint64_t waited_ns = after_ns - before_ns;

	if (before_ns == UINT64_MAX || after_ns == UINT64_MAX)
		return took_ns;
	return waited_ns < took_ns ? took_ns - waited_ns : 0;
}

static void
note_longest(_Atomic uint64_t *longest_ns, uint64_t took_ns)
{
	uint64_t before = atomic_load(longest_ns);

	while (took_ns > before &&
	    !atomic_compare_exchange_weak(longest_ns, &before, took_ns))
		continue;
}

static _Thread_local unsigned since_look;

static void
look_at_scheduler(void)
{
	atomic_store(&self->delay_ns, delay_ns(gettid()));
	since_look = 0;
}

/* What this thread has used: no wait, and no other process, is in it. */
static uint64_t
cpu_ns(void)
{
	struct timespec used;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * 1000 * MS + (uint64_t)used.tv_nsec;
}

struct timing
call_begin(void)
{
	struct timing timing;

	if (since_look == 0 || since_look >= LOOK_EVERY)
		look_at_scheduler();
	since_look++;
	(void)point_repaired();
	timing.losses = atomic_load(&shared->losses);
	atomic_store(&self->begun_stops, atomic_load(&self->stops));
	timing.begun_cpu_ns = cpu_ns();
	timing.begun_ns = clock_ns();
	atomic_store(&self->begun_ns, timing.begun_ns);
	return timing;
}

/* How long the call took; 0 if it was stopped in it. */
static uint64_t
took_ns(struct timing timing)
{
	uint64_t took = clock_ns() - timing.begun_ns, before;

	atomic_store(&self->begun_ns, 0);
	if (took > WORTH_NS) {
		before = atomic_load(&self->delay_ns);
		look_at_scheduler();
		took = less_delay(took, before, atomic_load(&self->delay_ns));
	}
	if (atomic_load(&self->stops) != atomic_load(&self->begun_stops))
		took = 0;
	note_longest(&shared->longest_ns, took);
	MUST(took < LONGEST_MS * UINT64_C(1000000));
	return took;
}

/* While a resize may have been killed, a shard waits for the next opener. */
static bool
may_be(enum sesscache_status status, unsigned losses)
{
	bool lossy = losses % 2 != 0 || atomic_load(&shared->losses) % 2 != 0;

	return status >= 0 || status == SESSCACHE_EBUSY ||
	    (status == SESSCACHE_ECORRUPT && lossy);
}

enum sesscache_status
call_end(struct timing timing, enum sesscache_status status)
{
	(void)took_ns(timing);
	atomic_fetch_add(&shared->calls, 1);
	if (status == SESSCACHE_EBUSY)
		atomic_fetch_add(&shared->busy, 1);
	MUST(may_be(status, timing.losses));
	return status == SESSCACHE_ECORRUPT ? SESSCACHE_EBUSY : status;
}

void
death_note(void)
{
	atomic_store(&shared->death_ns, clock_ns());
}

/* Since the lock was asked for, or its owner died, whichever was later. */
static void
note_recovery(uint64_t asked_ns)
{
	uint64_t died_ns = atomic_load(&shared->death_ns);
	uint64_t now_ns = clock_ns();
	uint64_t since_ns = died_ns > asked_ns ? died_ns : asked_ns;
	uint64_t late_ns = now_ns > since_ns ? now_ns - since_ns : 0;
	unsigned i = atomic_fetch_add(&shared->n_recoveries, 1);

	atomic_store(&shared->recovery_us[i % RECOVERIES],
	    (uint32_t)(late_ns / 1000));
}

enum sesscache_status
store_end(struct timing timing, enum sesscache_status status)
{
	uint64_t asked_ns = point_repaired();

	if (asked_ns != 0 && status == SESSCACHE_OK &&
	    atomic_load(&self->stops) == atomic_load(&self->begun_stops)) {
		note_recovery(asked_ns);
		note_longest(&shared->longest_recovery_cpu_ns,
		    cpu_ns() - timing.begun_cpu_ns);
	}
	(void)took_ns(timing);
	timing.begun_ns = clock_ns();
	return call_end(timing, status);
}

uint64_t
call_age_ms(struct actor *actor)
{
	uint64_t begun_ns = atomic_load(&actor->begun_ns), age_ns, before_ns;
	unsigned stops = atomic_load(&actor->stops);

	if (begun_ns == 0 || actor->pid == 0 ||
	    stops != atomic_load(&actor->begun_stops))
		return 0;
	before_ns = atomic_load(&actor->delay_ns);
	age_ns = clock_ns() - begun_ns;
	if (age_ns / MS < LONGEST_MS)
		return age_ns / MS;
	age_ns = less_delay(age_ns, before_ns, delay_ns(actor->pid));
	/* Else it has begun another one meanwhile. */
	return atomic_load(&actor->begun_ns) == begun_ns &&
		atomic_load(&actor->stops) == stops ?
	    age_ns / MS :
	    0;
}

/* --- ownership ----------------------------------------------------------- */

static int
number_of(const struct actor *actor)
{
	return (int)(actor - shared->workers) + 1;
}

bool
own(atomic_uint *note, unsigned i, atomic_int *owner)
{
	int nobody = 0;

	atomic_store(note, i + 1);
	if (atomic_compare_exchange_strong(owner, &nobody, number_of(self)))
		return true;
	atomic_store(note, 0);
	return false;
}

void
disown(atomic_uint *note, atomic_int *owner)
{
	atomic_store(owner, 0);
	atomic_store(note, 0);
}

static void
give_back(const struct actor *actor, atomic_int *owner)
{
	int number = number_of(actor);

	(void)atomic_compare_exchange_strong(owner, &number, 0);
}

void
actor_give_back(struct actor *actor)
{
	unsigned slot = atomic_exchange(&actor->owns_slot, 0);
	unsigned race = atomic_exchange(&actor->owns_race, 0);
	unsigned ticket = atomic_exchange(&actor->owns_ticket, 0);

	if (slot != 0)
		give_back(actor, &shared->slots[slot - 1].owner);
	if (race != 0)
		give_back(actor, &shared->races[race - 1].owner);
	if (ticket != 0)
		give_back(actor, &shared->tickets[ticket - 1].owner);
	atomic_store(&actor->begun_ns, 0);
	atomic_store(&actor->holds, 0);
	atomic_store(&actor->pause_until_ns, 0);
}

/* --- what one alone may have --------------------------------------------- */

uint32_t
win_serial(void)
{
	return atomic_fetch_add(&shared->serial, 1) + 1;
}

void
win(uint32_t serial)
{
	MUST(atomic_exchange(&shared->won[serial % WINS], serial) != serial);
	atomic_fetch_add(&shared->wins, 1);
}
