/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See clock.h.  The functions of libc are defined here once more: the dynamic
 * linker finds those of the program first, for shared libraries as well.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

static struct timespec day, boot; /* where they stand */
static bool stopped;
static const _Atomic int64_t *off; /* seconds of the time of day; or NULL */

static int
ask_kernel(clockid_t id, struct timespec *now)
{
	return (int)syscall(SYS_clock_gettime, id, now);
}

int
clock_gettime(clockid_t id, struct timespec *now)
{
	int failed = 0;

	if (stopped && id == CLOCK_REALTIME)
		*now = day;
	else if (stopped && id == CLOCK_BOOTTIME)
		*now = boot;
	else
		failed = ask_kernel(id, now);
	if (off != NULL && id == CLOCK_REALTIME && failed == 0)
		now->tv_sec += atomic_load(off);
	return failed;
}

time_t
time(time_t *out)
{
	struct timespec now = { 0, 0 };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}

int
gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now = { 0, 0 };
	int failed = clock_gettime(CLOCK_REALTIME, &now);

	(void)zone;
	out->tv_sec = now.tv_sec;
	out->tv_usec = now.tv_nsec / 1000;
	return failed;
}

void
test_clock_stop(void)
{
	(void)ask_kernel(CLOCK_REALTIME, &day);
	(void)ask_kernel(CLOCK_BOOTTIME, &boot);
	stopped = true;
}

void
test_clock_boot(int64_t seconds)
{
	test_clock_stop();
	boot.tv_sec = seconds;
}

void
test_clock_follow(const _Atomic int64_t *seconds)
{
	off = seconds;
}

void
test_clock_pass(int64_t seconds)
{
	boot.tv_sec += seconds;
	day.tv_sec += seconds;
}

void
test_clock_set(int64_t seconds)
{
	day.tv_sec += seconds;
}

int64_t
test_clock_now(void)
{
	return (int64_t)boot.tv_sec;
}
