/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sesscache stat --watch: a line every few seconds with what happened since
 * the line before.  The first line tells about the time since the cache was
 * made.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "stat.h"

#define LINES_PER_TITLE 20

static uint64_t
now_milliseconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* What a counter grew by a second; 0 if it began anew meanwhile. */
static double
per_second(uint64_t before, uint64_t after, uint64_t milliseconds)
{
	return after < before ?
	    0 :
	    (double)(after - before) * 1000 / (double)milliseconds;
}

static uint64_t
grown(uint64_t before, uint64_t after)
{
	return after < before ? 0 : after - before;
}

static void
show_line(const struct sesscache_stats *before,
    const struct sesscache_stats *after, uint64_t milliseconds, uint64_t line)
{
	uint64_t hits = grown(before->hits, after->hits);
	uint64_t misses = grown(before->misses, after->misses);

	if (line % LINES_PER_TITLE == 0)
		printf("%10s %6s %10s %10s %6s %10s %10s %10s %8s\n", "records",
		    "fill%", "stored/s", "hits/s", "hit%", "misses/s",
		    "foreign/s", "evicted/s", "busy/s");
	printf("%10" PRIu64 " %6.1f %10.0f %10.0f %6.1f %10.0f %10.0f %10.0f "
	       "%8.0f\n",
	    after->records, 100 * ratio(after->used_bytes, after->size_bytes),
	    per_second(before->stored, after->stored, milliseconds),
	    per_second(before->hits, after->hits, milliseconds),
	    100 * ratio(hits, hits + misses),
	    per_second(before->misses, after->misses, milliseconds),
	    per_second(before->foreign, after->foreign, milliseconds),
	    per_second(before->evicted_newcomers + before->evicted_regulars,
		after->evicted_newcomers + after->evicted_regulars,
		milliseconds),
	    per_second(before->busy, after->busy, milliseconds));
}

static void
wait_seconds(uint64_t seconds)
{
	struct timespec left = { .tv_sec = (time_t)seconds };

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

/* From when the cache was made to now; at least a second. */
static uint64_t
age_milliseconds(const struct sesscache_stats *stats)
{
	uint64_t now = (uint64_t)time(NULL);

	return now > stats->created_at ? (now - stats->created_at) * 1000 :
					 1000;
}

enum tool_exit
stat_run_watch(struct tool *tool, const struct stat_watch *watch)
{
	struct sesscache_stats before = { .stored = 0 }, after;
	enum tool_exit end = TOOL_DONE;
	enum sesscache_status status;
	uint64_t line, last = 0, now, milliseconds;

	for (line = 0; watch->count == 0 || line < watch->count; line++) {
		if (line > 0)
			wait_seconds(watch->interval_seconds);
		status = sesscache_stats(tool->cache, &after);
		if (status == SESSCACHE_EBUSY) { /* what one watches for */
			(void)complain_status("no counters now", status);
			continue;
		}
		if (status != SESSCACHE_OK) {
			end = complain_status("cannot read the counters",
			    status);
			break;
		}
		now = now_milliseconds();
		milliseconds = last == 0 ? age_milliseconds(&after) :
		    now > last           ? now - last :
					   1;
		if (watch->form == STAT_JSON)
			stat_json(&after, tool->dir);
		else
			show_line(&before, &after, milliseconds, line);
		if (fflush(stdout) != 0)
			break;
		before = after;
		last = now;
	}
	return end;
}
