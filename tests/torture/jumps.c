/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time of day, as someone who sets it back and forth shows it to all of
 * the processes at once, to OpenSSL as well: the functions of libc are defined
 * here once more, and the dynamic linker finds those of the program first.
 */
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "torture.h"

int
clock_gettime(clockid_t id, struct timespec *now)
{
	int failed = (int)syscall(SYS_clock_gettime, id, now);

	if (id == CLOCK_REALTIME && failed == 0 && shared != NULL)
		now->tv_sec += atomic_load(&shared->day_seconds);
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
day_jump(int64_t seconds)
{
	atomic_store(&shared->day_seconds, seconds);
}
