/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See clock.h.
 */
#include "api/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLOCK_OFFSETS "/proc/self/timens_offsets"

static const int64_t ns_per_second = 1000000000;

/* By how much the clock of this time namespace is ahead of the system's. */
static atomic_int_least64_t ahead_ns;

/* Its line is a name, seconds and nanoseconds. */
static void
note_offset(const char *line)
{
	int64_t seconds;
	char *rest;

	seconds = strtoll(line + strcspn(line, " "), &rest, 10);
	atomic_store(&ahead_ns,
	    seconds * ns_per_second + strtoll(rest, NULL, 10));
}

enum sesscache_status
sc_clock_find(void)
{
	int fd = open(CLOCK_OFFSETS, O_RDONLY | O_CLOEXEC);
	char text[256] = "";
	const char *line;

	if (fd < 0 && errno == ENOENT)
		return SESSCACHE_OK; /* a kernel without time namespaces */
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0) {
		if (fd >= 0)
			close(fd);
		return sc_fail(SESSCACHE_ESYS,
		    "cannot read " CLOCK_OFFSETS ": %s", strerror(errno));
	}
	close(fd);
	line = strstr(text, "boottime");
	if (line != NULL)
		note_offset(line);
	return SESSCACHE_OK;
}

uint32_t
sc_now(void)
{
	struct timespec now;
	int64_t ns;

	clock_gettime(CLOCK_BOOTTIME, &now);
	ns = (int64_t)now.tv_sec * ns_per_second + now.tv_nsec -
	    atomic_load_explicit(&ahead_ns, memory_order_relaxed);
	/* One more: 0 is before everything that was ever stored. */
	return (uint32_t)(ns / ns_per_second) + 1;
}
