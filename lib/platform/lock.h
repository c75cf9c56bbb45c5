/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A lock in shared memory that no process can hold others up with: robust
 * against its owner's death and taken with a deadline.  Knows nothing of what
 * it guards.
 */
#ifndef SC_PLATFORM_LOCK_H
#define SC_PLATFORM_LOCK_H

#include <pthread.h>
#include <stdatomic.h>

#include "status.h"

struct sc_lock {
	pthread_mutex_t mutex;
	atomic_uint turns;   /* how often it was taken and released: odd while
				it is held; a hint for those who wait or choose */
	atomic_uint stalled; /* somebody waited in vain: until it is had again,
				others only try */
};

enum {
	SC_LOCK_TRY = 0,
	/* The longest that a handshake waits.  An owner that only lacks a
	   processor has one by then, or the machine is hopelessly busy. */
	SC_LOCK_SERVING_MS = 40,
	SC_LOCK_PATIENT_MS = 1000, /* opening, purging, visiting */
};

enum sc_lock_event {
	SC_LOCK_PLAIN,
	SC_LOCK_REPAIRED, /* its owner died in it: look at what it guards */
	SC_LOCK_TIMED_OUT,
};

/* Lay out a new lock in zeroed shared memory. */
enum sesscache_status sc_lock_init(struct sc_lock *lock) SESSCACHE_MUST_CHECK;

/*
 * Take the lock, waiting wait_ms at most.  *event says how it went, for the
 * counters.  Returns SESSCACHE_OK, SESSCACHE_EBUSY, or SESSCACHE_ECORRUPT if
 * the memory holds no lock.
 */
enum sesscache_status sc_lock_take(struct sc_lock *lock, unsigned wait_ms,
    enum sc_lock_event *event) SESSCACHE_MUST_CHECK;

void sc_lock_release(struct sc_lock *lock);

/* Lock a mutex of this process, waiting wait_ms at most; 0 or an errno. */
int sc_lock_local(pthread_mutex_t *mutex, unsigned wait_ms);

/* Whether a try would probably succeed. */
static inline bool
sc_lock_seems_free(struct sc_lock *lock)
{
	return (atomic_load_explicit(&lock->turns, memory_order_relaxed) & 1) ==
	    0 &&
	    atomic_load_explicit(&lock->stalled, memory_order_relaxed) == 0;
}

#endif
