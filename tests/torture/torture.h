/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the torture share: memory that all of its processes see,
 * which outlives any of them, and the rules of touching it.
 *
 * A process may be killed between any two instructions.  So whatever it owns
 * it names first in its actor, and whoever reaps it gives that back.
 */
#ifndef TESTS_TORTURE_H
#define TESTS_TORTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "points.h"
#include "process.h"

enum {
	MAX_WORKERS = 64,
	SLOTS = 1024, /* all fit one shard, thin as removals leave its pages,
	                 while processes are stopped in the others */
	RACES = 64,
	TICKETS = 64,
	DER_MAX = 4096, /* bytes of a client's session */
	WINS = 1 << 20,
	RECOVERIES = 1 << 16,
	LONGEST_MS = 1000, /* that a call may take */
};

/* One process that the adversary knows. */
struct actor {
	pid_t pid;                 /* 0: none */
	atomic_uint stops;         /* counts when it is stopped, and goes on */
	_Atomic uint64_t begun_ns; /* its call under way; 0: none */
	_Atomic uint64_t delay_ns; /* waited for a processor before that */
	atomic_uint begun_stops;
	atomic_int holds;                /* locks */
	_Atomic uint64_t pause_until_ns; /* it stopped itself; 0: it did not */
	atomic_uint owns_slot;           /* + 1; 0: none */
	atomic_uint owns_race;
	atomic_uint owns_ticket;
};

enum state {
	GONE, /* must be a miss */
	LIVE, /* must be there, unless something was lost since */
	OPEN, /* its worker was killed in a store: this version, the one before
	         it, or a miss */
	ENDING, /* its worker was killed in a removal: there, or a miss */
};

struct slot {
	atomic_int owner; /* a worker's number + 1; 0: nobody */
	enum state state;
	bool before;     /* in OPEN: there is a version before */
	bool missed;     /* in GONE: nobody removed it, it was not found */
	unsigned losses; /* before it was stored */
	unsigned purges; /* begun when it was known to be there */
	struct record record;
};

/* A record that everybody may take, and one alone must get. */
struct race {
	atomic_uint version; /* odd while it changes */
	atomic_int owner;
	uint8_t id[SESSCACHE_ID_LEN];
};

/* A client's session that any worker may offer to its server. */
struct ticket {
	atomic_uint version; /* odd while it changes */
	atomic_int owner;
	unsigned kind;
	unsigned purges; /* begun when its handshake was over */
	uint32_t serial;
	uint32_t len; /* bytes of der; 0: none */
	uint8_t der[DER_MAX];
};

enum { TLS_KINDS = 4 };

struct shared {
	atomic_bool stop;
	atomic_bool pressure; /* fill the cache, so that it must evict */
	/* Odd while sessions may be lost: under pressure, purges, resizes. */
	atomic_uint losses;
	atomic_uint purges_begun;
	atomic_uint purges_done; /* number of the last one that went through */
	atomic_int job_status;
	_Atomic uint64_t calls, busy, longest_ns, longest_open_ns;
	_Atomic uint64_t handshakes, failed, resumed[TLS_KINDS];
	_Atomic uint64_t wins, forks, opens, resizes, threads;
	_Atomic uint64_t execs, exits; /* while threads were in calls */
	_Atomic uint64_t most_bytes;   /* that the files ever took */
	_Atomic uint64_t death_ns;     /* the last one with a lock held */
	_Atomic int64_t day_seconds;   /* by which the time of day is off */
	_Atomic uint64_t killed_at[POINTS], stopped_at[POINTS];
	atomic_uint n_recoveries;
	_Atomic uint32_t recovery_us[RECOVERIES];
	_Atomic uint64_t longest_recovery_cpu_ns;
	atomic_uint serial; /* of what one alone may have */
	_Atomic uint32_t won[WINS];
	struct actor workers[MAX_WORKERS];
	struct actor job, observer, stranger;
	struct slot slots[SLOTS];
	struct race races[RACES];
	struct ticket tickets[TICKETS];
};

extern struct shared *shared;
extern const char *torture_dir;
extern uint64_t full_bytes; /* the bound on the files */

/* Of the thread, and of the process; copied by fork(). */
extern _Thread_local struct actor *self;
extern struct sesscache *cache;      /* for all but single use */
extern struct sesscache *cache_once; /* the same cache, "single-use" on */

void dice_seed(uint64_t seed);
unsigned roll(unsigned sides);

/* --- calls, timed -------------------------------------------------------- */

struct timing {
	uint64_t begun_ns;
	uint64_t begun_cpu_ns;
	unsigned losses;
};

/*
 * Around each call of the library.  What counts is the time on the clock, less
 * that in which the process was ready and had no processor (/proc counts it);
 * a call in which it was stopped does not count.  The end asserts that it was
 * short, and that the status is one that may be.
 */
struct timing call_begin(void);
enum sesscache_status call_end(struct timing timing,
    enum sesscache_status status);
/* The same for a store: one that repaired a dead owner's lock is noted. */
enum sesscache_status store_end(struct timing timing,
    enum sesscache_status status);

/* An actor, or a thread of this process, dies next; it may hold a lock. */
void death_note(void);

/* Of another process: ms that its call has taken so far; 0: in none. */
uint64_t call_age_ms(struct actor *actor);

/* Own an entry, or not; a dead owner's entries are given back. */
bool own(atomic_uint *note, unsigned i, atomic_int *owner);
void disown(atomic_uint *note, atomic_int *owner);
void actor_give_back(struct actor *actor);

/* A number for what one alone may have, and the proof that it was one. */
uint32_t win_serial(void);
void win(uint32_t serial);

/* --- parts --------------------------------------------------------------- */

/* Raw calls: on slots whose state is known, on races, and to fill up. */
void work_raw(void);
/* After the last worker: every slot is as it is known. */
uint64_t slots_check(struct sesscache *at);
void slots_check_all_gone(struct sesscache *at);

/* Handshakes of all kinds; the contexts are made once, then inherited. */
void tls_make(void);
void tls_work(void);

/* What one process at a time does beside the workers. */
enum job {
	JOB_ROTATE,
	JOB_OPEN,
	JOB_STORM,
	JOB_THREADS,
	JOB_PURGE,
	JOB_RESIZE,
	JOB_FULL,
};
void job_run(enum job job);

/* One session from its beginning to its end. */
void live_once(void);

/*
 * Threads that live so, and end with no word to the library; then their
 * process ends, or becomes another program, while they are in calls.
 */
void live_in_threads(unsigned n);

/*
 * A process that never had the cache: its children open it as strangers, and
 * die in that.
 */
void bring_strangers(void *arg);

/*
 * A process that lives long, and works as all do, sometimes in a new thread:
 * nothing may grow in it, nor the files.
 */
void observe(void *arg);
uint64_t files_bytes(void);

/* Of this process: descriptors, and maps of the cache's files. */
unsigned count_fds(void);
unsigned count_maps(uint64_t *kb);

#endif
