/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See lock.h.
 */
#include <errno.h>
#include <time.h>

#include "platform/lock.h"

enum { SPINS = 200 }; /* a microsecond or two: an owner is in for half of one */

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
	atomic_init(&lock->held, 0);
	atomic_init(&lock->stalled, 0);
	if (rc != 0) {
		errno = rc;
		return sc_fail(SESSCACHE_ESYS,
		    "this system has no robust process-shared mutexes");
	}
	return SESSCACHE_OK;
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
		if (atomic_load_explicit(&lock->held, memory_order_relaxed))
			continue;
		rc = pthread_mutex_trylock(&lock->mutex);
	}
	return rc;
}

static int
wait_until(struct sc_lock *lock, unsigned wait_ms)
{
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += wait_ms / 1000;
	deadline.tv_nsec += (long)(wait_ms % 1000) * 1000000L;
	if (deadline.tv_nsec >= 1000000000L) {
		deadline.tv_sec++;
		deadline.tv_nsec -= 1000000000L;
	}
	return pthread_mutex_clocklock(&lock->mutex, CLOCK_MONOTONIC,
	    &deadline);
}

static int
acquire(struct sc_lock *lock, unsigned wait_ms)
{
	bool only_try = wait_ms == SC_LOCK_TRY ||
	    (wait_ms <= SC_LOCK_SERVING_MS && atomic_load(&lock->stalled) != 0);
	int rc;

	if (only_try)
		return pthread_mutex_trylock(&lock->mutex);
	rc = spin(lock);
	return rc == EBUSY ? wait_until(lock, wait_ms) : rc;
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
	if (rc == ETIMEDOUT) {
		atomic_store(&lock->stalled, 1);
		*event = SC_LOCK_TIMED_OUT;
	}
	if (rc == ETIMEDOUT || rc == EBUSY)
		return sc_fail(SESSCACHE_EBUSY,
		    "a lock of the cache was not to be had within %u ms",
		    wait_ms);
	if (rc != 0)
		return sc_fail(SESSCACHE_ECORRUPT,
		    "a lock of the cache is damaged (error %d)", rc);
	if (atomic_load_explicit(&lock->stalled, memory_order_relaxed) != 0)
		atomic_store(&lock->stalled, 0);
	atomic_store_explicit(&lock->held, 1, memory_order_relaxed);
	return SESSCACHE_OK;
}

void
sc_lock_release(struct sc_lock *lock)
{
	atomic_store_explicit(&lock->held, 0, memory_order_relaxed);
	pthread_mutex_unlock(&lock->mutex);
}
