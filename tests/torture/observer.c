/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that has the cache from the beginning to the end, as a server has:
 * its descriptors, its maps of the files and its memory stay as they are, and
 * so does what the files take.
 */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "torture.h"

enum {
	LOOK_EVERY_MS = 20,
	GROWTH_KB = 4096, /* of the heap: what its allocator may round up to */
	WARM_LOOKS = 20,
};

struct looks {
	unsigned fds;
	unsigned maps; /* of the files */
	uint64_t data_kb;
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

static unsigned
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

/* Lines of a file that contain a text. */
static unsigned
count_lines(const char *path, const char *text, char last[256])
{
	FILE *file = fopen(path, "re");
	char line[1024];
	unsigned n = 0;

	MUST(file != NULL);
	/* cppcheck-suppress nullPointerRedundantCheck ; MUST() ends it */
	while (fgets(line, sizeof(line), file) != NULL) {
		if (strstr(line, text) == NULL)
			continue;
		n++;
		(void)snprintf(last, 256, "%.255s", line);
	}
	(void)fclose(file);
	return n;
}

static struct looks
look(void)
{
	struct looks now = { .fds = count_fds() };
	char line[256] = "";

	now.maps = count_lines("/proc/self/maps", torture_dir, line);
	if (count_lines("/proc/self/status", "VmData:", line) == 1)
		now.data_kb = strtoul(line + strlen("VmData:"), NULL, 10);
	return now;
}

/* It is a server too. */
static void
serve(void)
{
	struct record record = { .version = 1 };
	struct sesscache_stats stats;
	uint8_t data[RECORD_MAX_LEN];
	enum sesscache_status status;
	struct timing timing;
	size_t len;

	record_new_id(cache, &record);
	len = record_bytes(&record, data);
	timing = call_begin();
	(void)store_end(timing,
	    sesscache_put(cache, record.id, record.id_len, data, len, 0));
	timing = call_begin();
	status = call_end(timing,
	    sesscache_get(cache, record.id, record.id_len, data, sizeof(data),
		&len));
	MUST(status != SESSCACHE_OK || record_is(&record, data, len));
	timing = call_begin();
	(void)call_end(timing,
	    sesscache_remove(cache, record.id, record.id_len));
	status = sesscache_stats(cache, &stats);
	MUST(status >= 0 || status == SESSCACHE_EBUSY ||
	    status == SESSCACHE_ECORRUPT);
}

void
observe(void *arg)
{
	struct looks first = { .fds = 0 }, now;
	unsigned n = 0;

	self = arg;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!atomic_load(&shared->stop)) {
		pause_ms(LOOK_EVERY_MS);
		serve();
		MUST(files_bytes() <= full_bytes);
		now = look();
		if (++n <= WARM_LOOKS)
			first = now;
		MUST(now.fds == first.fds);
		MUST(now.maps == first.maps);
		MUST(SANITIZED || now.data_kb <= first.data_kb + GROWTH_KB);
	}
}
