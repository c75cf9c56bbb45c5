/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See lock.h.
 */
#include <errno.h>
#include <sched.h>
#include <time.h>

#include "platform/lock.h"

enum {
	SPINS = 200, /* a few microseconds: an owner is in for half of one */
	YIELDS = 4,  /* to a stalled owner that may only lack a processor */
	WAITS = 3,   /* while others have their turns, which is no stall */
};

/*
 * ThreadSanitizer (gcc 12, clang 14) and helgrind (3.19) do not know
 * pthread_mutex_clocklock(): they would see nobody take the lock.  Under them
 * (for helgrind, SC_TIMEDLOCK is defined by hand), and only there, the wait is
 * on the clock that may jump.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SC_TIMEDLOCK 1
#endif
#endif
#if defined(SC_TIMEDLOCK) || defined(__SANITIZE_THREAD__)
#define WAIT_CLOCK CLOCK_REALTIME
#define wait_until(mutex, deadline) pthread_mutex_timedlock(mutex, deadline)
#else
#define WAIT_CLOCK CLOCK_MONOTONIC
#define wait_until(mutex, deadline) \
	pthread_mutex_clocklock(mutex, WAIT_CLOCK, deadline)
#endif

enum sesscache_status
sc_lock_init(struct sc_lock *lock)
{
	pthread_mutexattr_t attr;
	int rc;

	rc = pthread_mutexattr_init(&attr);
	if (rc != 0)
		return sc_fail(SESSCACHE_ENOMEM, "cannot make a lock");
	rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (rc == 0)
		rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (rc == 0)
		rc = pthread_mutex_init(&lock->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	atomic_init(&lock->turns, 0);
	atomic_init(&lock->stalled, 0);
	if (rc != 0) {
		errno = rc;
		return sc_fail(SESSCACHE_ESYS,
		    "this system has no robust process-shared mutexes");
	}
	return SESSCACHE_OK;
}

static inline unsigned
turns(struct sc_lock *lock)
{
	return atomic_load_explicit(&lock->turns, memory_order_relaxed);
}

static inline void
pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

/* A try, and some more while the owner is probably about to leave. */
static int
spin(struct sc_lock *lock)
{
	int rc = pthread_mutex_trylock(&lock->mutex);
	int i;

	for (i = 0; rc == EBUSY && i < SPINS; i++) {
		pause_briefly();
		if ((turns(lock) & 1) != 0)
			continue;
		rc = pthread_mutex_trylock(&lock->mutex);
	}
	return rc;
}

static int
wait_for(pthread_mutex_t *mutex, unsigned wait_ms)
{
	struct timespec deadline;

	clock_gettime(WAIT_CLOCK, &deadline);
	deadline.tv_sec += wait_ms / 1000;
	deadline.tv_nsec += (long)(wait_ms % 1000) * 1000000L;
	if (deadline.tv_nsec >= 1000000000L) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000L;
	}
	return wait_until(mutex, &deadline);
}

/* Of a stalled lock: no wait, only the chance for its owner to go on. */
static int
yield(struct sc_lock *lock)
{
	int i, rc = pthread_mutex_trylock(&lock->mutex);

	for (i = 0; rc == EBUSY && i < YIELDS; i++) {
		sched_yield();
		rc = pthread_mutex_trylock(&lock->mutex);
	}
	return rc;
}

static int
acquire(struct sc_lock *lock, unsigned wait_ms)
{
	unsigned before;
	int i, rc;

	if (wait_ms == SC_LOCK_TRY)
		return pthread_mutex_trylock(&lock->mutex);
	if (wait_ms <= SC_LOCK_SERVING_MS && atomic_load(&lock->stalled) != 0)
		return yield(lock);
	rc = spin(lock);
	for (i = 0; rc == EBUSY || (rc == ETIMEDOUT && i < WAITS); i++) {
		before = turns(lock);
		rc = wait_for(&lock->mutex, wait_ms);
		if (rc == ETIMEDOUT && turns(lock) == before) {
			atomic_store(&lock->stalled, 1);
			break;
		}
	}
	return rc;
}

enum sesscache_status
sc_lock_take(struct sc_lock *lock, unsigned wait_ms, enum sc_lock_event *event)
{
	int rc = acquire(lock, wait_ms);

	*event = SC_LOCK_PLAIN;
	if (rc == EOWNERDEAD) {
		pthread_mutex_consistent(&lock->mutex);
		*event = SC_LOCK_REPAIRED;
		rc = 0;
	}
	if (rc == ETIMEDOUT && atomic_load(&lock->stalled) != 0)
		*event = SC_LOCK_TIMED_OUT;
	if (rc == ETIMEDOUT || rc == EBUSY)
		return sc_fail(SESSCACHE_EBUSY,
		    "a lock of the cache was not to be had within %u ms",
		    wait_ms);
	if (rc != 0)
		return sc_fail(SESSCACHE_ECORRUPT,
		    "a lock of the cache is damaged (error %d)", rc);
	if (atomic_load_explicit(&lock->stalled, memory_order_relaxed) != 0)
		atomic_store(&lock->stalled, 0);
	/* Odd from now on, whatever a dead owner left. */
	atomic_store_explicit(&lock->turns, (turns(lock) + 1) | 1,
	    memory_order_relaxed);
	return SESSCACHE_OK;
}

void
sc_lock_release(struct sc_lock *lock)
{
	atomic_store_explicit(&lock->turns, turns(lock) + 1,
	    memory_order_relaxed);
	pthread_mutex_unlock(&lock->mutex);
}

int
sc_lock_local(pthread_mutex_t *mutex, unsigned wait_ms)
{
	int rc = pthread_mutex_trylock(mutex);

	return rc == EBUSY ? wait_for(mutex, wait_ms) : rc;
}
