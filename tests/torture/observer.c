/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that has the cache from the beginning to the end, as a server has,
 * and does all that workers do: its descriptors, its maps of the files, its
 * memory and its threads stay as they are, and so does what the files take.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "torture.h"

enum {
	LOOK_EVERY_MS = 20,
	SETTLE_MS = 1000,  /* for what has ended to be gone */
	GROWTH_KB = 98304, /* what its allocator may keep: a tree that is
	                      opened anew has 3 MB, in any of its arenas */
	WARM_LOOKS = 20,
	CALLS = 200, /* from one look to the next */
	THREADS = 16,
	CALLS_OF_THREAD = 4,
};

struct looks {
	unsigned fds;
	unsigned maps; /* of the files */
	uint64_t threads;
	uint64_t data_kb, resident_kb; /* of its own */
	uint64_t virtual_kb; /* without the files, whose size changes */
};

uint64_t
files_bytes(void)
{
	char path[SCRATCH_LEN];
	struct dirent *entry;
	DIR *list = opendir(torture_dir);
	uint64_t bytes = 0;
	struct stat st;

	MUST(list != NULL);
	/* cppcheck-suppress nullPointerRedundantCheck ; MUST() ends it */
	for (entry = readdir(list); entry != NULL; entry = readdir(list)) {
		path_join(path, torture_dir, entry->d_name);
		if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
			bytes += (uint64_t)st.st_blocks * 512;
	}
	closedir(list);
	return bytes;
}

unsigned
count_fds(void)
{
	DIR *list = opendir("/proc/self/fd");
	unsigned n = 0;

	MUST(list != NULL);
	/* cppcheck-suppress nullPointerRedundantCheck ; MUST() ends it */
	while (readdir(list) != NULL)
		n++;
	closedir(list);
	return n;
}

unsigned
count_maps(uint64_t *kb)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[1024], *dash;
	uint64_t first;
	unsigned n = 0;

	*kb = 0;
	MUST(file != NULL);
	/* cppcheck-suppress nullPointerRedundantCheck ; MUST() ends it */
	while (fgets(line, sizeof(line), file) != NULL) {
		if (strstr(line, torture_dir) == NULL)
			continue;
		first = strtoull(line, &dash, 16);
		*kb += (strtoull(dash + 1, NULL, 16) - first) / 1024;
		n++;
	}
	(void)fclose(file);
	return n;
}

/* The number in a line of status, which is in proc(5). */
static uint64_t
number_of(const char *status, const char *name)
{
	const char *line = strstr(status, name);

	MUST(line != NULL);
	/* cppcheck-suppress nullPointerArithmeticRedundantCheck ; the same */
	return strtoul(line + strlen(name), NULL, 10);
}

static struct looks
look(void)
{
	struct looks now = { .fds = count_fds() };
	char status[4096];
	uint64_t files_kb;
	FILE *file = fopen("/proc/self/status", "re");

	MUST(file != NULL);
	/* cppcheck-suppress nullPointerRedundantCheck ; MUST() ends it */
	status[fread(status, 1, sizeof(status) - 1, file)] = '\0';
	/* cppcheck-suppress nullPointerRedundantCheck ; MUST() ends it */
	(void)fclose(file);
	now.maps = count_maps(&files_kb);
	now.threads = number_of(status, "\nThreads:");
	now.data_kb = number_of(status, "\nVmData:");
	now.resident_kb = number_of(status, "\nRssAnon:");
	now.virtual_kb = number_of(status, "\nVmSize:") - files_kb;
	return now;
}

/*
 * The same once there are as many threads as before: the kernel still counts
 * one for a moment that has been joined.
 */
static struct looks
look_when_settled(uint64_t threads)
{
	struct looks now = look();
	unsigned ms;

	for (ms = 0; now.threads != threads && ms < SETTLE_MS; ms++) {
		pause_ms(1);
		now = look();
	}
	return now;
}

static void
expect_no_growth(const char *what, uint64_t first_kb, uint64_t now_kb)
{
	if (now_kb > first_kb + GROWTH_KB)
		fprintf(stderr,
		    "torture: %s grew from %" PRIu64 " to %" PRIu64 " KB\n",
		    what, first_kb, now_kb);
	MUST(now_kb <= first_kb + GROWTH_KB);
}

static void
compare(const struct looks *first, const struct looks *now)
{
	MUST(now->fds == first->fds);
	MUST(now->maps == first->maps);
	MUST(now->threads == first->threads);
	MUST(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	if (SANITIZED) /* whose memory grows */
		return;
	expect_no_growth("VmData", first->data_kb, now->data_kb);
	expect_no_growth("RssAnon", first->resident_kb, now->resident_kb);
	expect_no_growth("VmSize", first->virtual_kb, now->virtual_kb);
}

/* What workers seldom do, and operators do. */
static void
inspect(void)
{
	struct sesscache_key keys[SESSCACHE_KEYS_MAX];
	struct sesscache_stats stats;
	enum sesscache_status status;
	size_t n;

	status = sesscache_stats(cache, &stats);
	MUST(status >= 0 || status == SESSCACHE_EBUSY ||
	    status == SESSCACHE_ECORRUPT);
	status = sesscache_keys(cache, keys, &n);
	MUST(status >= 0 || status == SESSCACHE_EBUSY);
}

static void
serve(void)
{
	unsigned i;

	for (i = 0; i < CALLS && !atomic_load(&shared->stop); i++)
		work_raw();
	tls_work();
	inspect();
}

/* It ends with what the library keeps for it. */
static void *
serve_in_thread(void *arg)
{
	unsigned i;

	self = arg;
	dice_seed(clock_ns());
	for (i = 0; i < CALLS_OF_THREAD; i++)
		work_raw();
	pthread_exit(NULL);
}

static void
serve_in_threads(void)
{
	pthread_t thread;
	unsigned i;

	for (i = 0; i < THREADS; i++) {
		MUST(pthread_create(&thread, NULL, serve_in_thread, self) == 0);
		MUST(pthread_join(thread, NULL) == 0);
	}
}

static void
watch_files(void)
{
	uint64_t bytes = files_bytes();

	if (bytes > atomic_load(&shared->most_bytes))
		atomic_store(&shared->most_bytes, bytes);
	MUST(bytes <= full_bytes);
}

void
observe(void *arg)
{
	struct looks first = look(), now;
	unsigned n = 0;

	self = arg;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!atomic_load(&shared->stop)) {
		pause_ms(LOOK_EVERY_MS);
		serve();
		serve_in_threads();
		watch_files();
		now = look_when_settled(first.threads);
		if (++n <= WARM_LOOKS)
			first = now;
		compare(&first, &now);
	}
}
