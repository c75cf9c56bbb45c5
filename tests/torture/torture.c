/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nothing kills it: workers that store, find, take and shake hands are killed,
 * stopped and replaced while the cache is opened, purged, resized and its keys
 * rotate, threads and programs end in it and the clock jumps; no wrong byte,
 * nothing that comes back, nothing lost that there was room for, nobody held
 * up, nothing that grows.
 *
 *   torture [-t seconds] [-w workers] [-k ms between kills] [-z size] [-s seed]
 *
 * The seed decides whom, when and where; the scheduler still has its say.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adversary.h"
#include "clock.h"
#include "torture.h"

enum {
	USUAL_SECONDS = 8,
	USUAL_WORKERS = 8,
	USUAL_KILL_MS = 20,
	LEAST_MIB = 16, /* in which all slots have room */
	KEPT = 1000,    /* records that a resize must keep: half has room */
};

const char *torture_dir;
uint64_t full_bytes;

static struct torture_options options = {
	.seconds = USUAL_SECONDS,
	.workers = USUAL_WORKERS,
	.kill_every_ms = USUAL_KILL_MS,
	.size = "16M",
};
static char scratch[SCRATCH_LEN], dir[SCRATCH_LEN];

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double
ms(uint32_t us)
{
	return us / 1e3;
}

static void
print_recoveries(void)
{
	static uint32_t us[RECOVERIES];
	size_t i, n = atomic_load(&shared->n_recoveries);

	if (n > RECOVERIES)
		n = RECOVERIES;
	for (i = 0; i < n; i++)
		us[i] = atomic_load(&shared->recovery_us[i]);
	qsort(us, n, sizeof(us[0]), by_size);
	printf(
	    "  %zu recoveries, from a death in a lock (or asking for it) to the end "
	    "of the store",
	    n);
	if (n > 0)
		printf(": median %.3f ms, 99 %% %.3f ms, longest %.3f ms; "
		       "most CPU in one %.3f ms",
		    ms(us[n / 2]), ms(us[n - 1 - n / 100]), ms(us[n - 1]),
		    (double)atomic_load(&shared->longest_recovery_cpu_ns) /
			1e6);
	printf("\n");
}

static uint64_t
kills_at_points(void)
{
	uint64_t kills = 0;
	int i;

	for (i = 0; i < POINTS; i++)
		kills += atomic_load(&shared->killed_at[i]);
	return kills;
}

static void
print_points(void)
{
	int i;

	printf("  died or stopped at");
	for (i = 0; i < POINTS; i++)
		printf("%s %s %" PRIu64 "+%" PRIu64, i > 0 ? "," : "",
		    point_names[i], atomic_load(&shared->killed_at[i]),
		    atomic_load(&shared->stopped_at[i]));
	printf("\n");
}

static void
print_deeds(const struct torture_deeds *deeds)
{
	uint64_t at_points = kills_at_points();

	printf("  %" PRIu64 " deaths survived, %" PRIu64
	       " of them at points, and %" PRIu64 " exits and %" PRIu64
	       " execs, mostly among threads\n",
	    deeds->kills + at_points, at_points, atomic_load(&shared->exits),
	    atomic_load(&shared->execs));
	print_points();
	printf("  %" PRIu64 " stops, %" PRIu64 " jobs, %" PRIu64
	       " resizes, %" PRIu64 " purges, %" PRIu64 " opens, %" PRIu64
	       " forks in storms, %" PRIu64 " threads, %" PRIu64
	       " jumps of the clock, %" PRIu64 " rounds; the machine stood "
	       "still %" PRIu64 " times\n",
	    deeds->stops, deeds->jobs, atomic_load(&shared->resizes),
	    (uint64_t)atomic_load(&shared->purges_begun),
	    atomic_load(&shared->opens), atomic_load(&shared->forks),
	    atomic_load(&shared->threads), deeds->jumps, deeds->rounds,
	    deeds->standstills);
}

static void
print_tls(void)
{
	static const char *const names[TLS_KINDS] = { "TLS 1.2 IDs",
		"TLS 1.2 tickets", "TLS 1.3 single use", "TLS 1.3 stateless" };
	int i;

	printf("  %" PRIu64 " handshakes, %" PRIu64 " failed; resumed:",
	    atomic_load(&shared->handshakes), atomic_load(&shared->failed));
	for (i = 0; i < TLS_KINDS; i++)
		printf("%s %s %" PRIu64, i > 0 ? "," : "", names[i],
		    atomic_load(&shared->resumed[i]));
	printf("\n");
}

static void
print_summary(const struct torture_deeds *deeds, bool well)
{
	struct sesscache_stats stats = { .repaired = 0 };

	(void)!sesscache_stats(cache, &stats);
	printf("torture: %u s, %u workers, size %s, seed %" PRIu64 "\n",
	    options.seconds, options.workers, options.size, options.seed);
	print_deeds(deeds);
	printf("  %" PRIu64 " calls, %" PRIu64
	       " busy, longest %.1f ms, longest open %.1f ms; %" PRIu64
	       " records won by one alone\n",
	    atomic_load(&shared->calls), atomic_load(&shared->busy),
	    (double)atomic_load(&shared->longest_ns) / 1e6,
	    (double)atomic_load(&shared->longest_open_ns) / 1e6,
	    atomic_load(&shared->wins));
	print_tls();
	print_recoveries();
	printf("  files: %" PRIu64 " bytes at most, size %" PRIu64 "\n",
	    atomic_load(&shared->most_bytes), full_bytes);
	printf("  %" PRIu64 " repaired, %" PRIu64 " files made anew, %" PRIu64
	       " stalled, %" PRIu64 " evicted, %" PRIu64 " unreadable\n",
	    stats.repaired, stats.remade, stats.stalled,
	    stats.evicted_newcomers + stats.evicted_regulars, stats.unreadable);
	printf("  violations: %s\n", well ? "none" : "see above");
	fflush(stdout);
}

static void
resize(uint64_t bytes)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRIu64, bytes);
	sesscache_close(cache_open(dir, "size", text, NULL));
	MUST(files_bytes() <= bytes);
}

/* Of an empty cache, when nobody else has it. */
static void
check_resizes(struct sesscache *at)
{
	static struct record kept[KEPT];
	int i;

	for (i = 0; i < KEPT; i++)
		record_make(at, &kept[i]);
	resize(full_bytes / 2);
	resize(full_bytes);
	for (i = 0; i < KEPT; i++)
		record_must_be(at, &kept[i]);
}

/* What must be when all have gone: and a torture that did nothing is none. */
static void
check_in_the_end(void)
{
	struct sesscache *last;
	struct sesscache_stats stats;
	uint64_t resumed = 0;
	int i;

	/* Whoever opens it repairs what a killed resize left. */
	last = cache_open(dir, "size", options.size, NULL);
	MUST(files_bytes() > full_bytes - full_bytes / 16);
	(void)slots_check(last);
	MUST(atomic_load(&shared->wins) > 0);
	for (i = 0; i < TLS_KINDS; i++)
		resumed += atomic_load(&shared->resumed[i]);
	MUST(resumed > 0);
	MUST(sesscache_purge(last, NULL, NULL) == SESSCACHE_OK);
	slots_check_all_gone(last);
	MUST(sesscache_stats(last, &stats) == SESSCACHE_OK);
	MUST(stats.records == 0);
	MUST(stats.size_bytes == full_bytes);
	MUST(stats.used_bytes < stats.size_bytes / 4);
	check_resizes(last);
	sesscache_close(last);
}

/* Before anybody opens it, by a process of its own. */
static void
make_cache(void *arg)
{
	(void)arg;
	sesscache_close(cache_open(dir, "size", options.size, NULL));
}

static void
run(void *arg)
{
	struct torture_deeds deeds = { .kills = 0 };
	struct sesscache_stats stats;
	bool well;

	(void)arg;
	shared = shared_new(sizeof(*shared));
	test_clock_follow(&shared->day_seconds);
	dice_seed(options.seed);
	MUST(child_does(make_cache, NULL));
	shared->stranger.pid = child_start(bring_strangers, &shared->stranger);
	cache = cache_open(dir, "size", options.size, NULL);
	cache_once = cache_open(dir, "single-use", "on", NULL);
	MUST(sesscache_stats(cache, &stats) == SESSCACHE_OK);
	full_bytes = stats.size_bytes;
	MUST(full_bytes >= (uint64_t)LEAST_MIB << 20);
	tls_make();
	well = torture(&options, &deeds);
	print_summary(&deeds, well);
	MUST(well);
	check_in_the_end();
}

static unsigned
number(const char *text, unsigned least, unsigned most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end != '\0' || value < least || value > most) {
		fprintf(stderr, "torture: %s: not from %u to %u\n", text, least,
		    most);
		exit(2);
	}
	return (unsigned)value;
}

static void
read_option(int option)
{
	switch (option) {
	case 't':
		options.seconds = number(optarg, 1, 1000000);
		break;
	case 'w':
		options.workers = number(optarg, 1, MAX_WORKERS);
		break;
	case 'k':
		options.kill_every_ms = number(optarg, 1, 100000);
		break;
	case 'z':
		options.size = optarg;
		break;
	case 's':
		options.seed = strtoull(optarg, NULL, 10);
		break;
	default:
		exit(2);
	}
}

static void
read_options(int argc, char **argv)
{
	int option;

	options.seed = clock_ns();
	for (;;) {
		option = getopt(argc, argv, "t:w:k:z:s:");
		if (option == -1)
			break;
		read_option(option);
	}
}

/* In a child, so that the directory is removed however it ends. */
int
main(int argc, char **argv)
{
	int status = -1;
	pid_t child;

	read_options(argc, argv);
	scratch_make(scratch, "torture");
	path_join(dir, scratch, "cache");
	torture_dir = dir;
	child = child_start(run, NULL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	scratch_remove(scratch);
	if (status != 0)
		fprintf(stderr, "torture: failed; again with -s %" PRIu64 "\n",
		    options.seed);
	return status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
