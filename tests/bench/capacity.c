/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many sessions a MiB holds, and whether the files keep to the size.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"

#define PATH_BYTES 4096
#define SIZE_BYTES (UINT64_C(16) * 1024 * 1024)
#define SESSIONS 200000
#define SESSION_LEN 130 /* bytes: one of TLS 1.3 without client certificate */
#define LOOK_EVERY 500  /* stores from one look at the files to the next */
#define BLOCK_BYTES 512 /* the unit of st_blocks */

/* Add the sizes of all files in a directory to what was the most so far. */
static int
look_at_files(const char *path, struct bench_capacity *capacity)
{
	uint64_t blocks = 0;
	uint64_t bytes = 0;
	struct dirent *item;
	struct stat meta;
	DIR *dir;

	dir = opendir(path);
	if (dir == NULL)
		return bench_fail("%s: cannot be read", path);
	/* cppcheck-suppress readdirCalled ; one thread */
	for (item = readdir(dir); item != NULL; item = readdir(dir)) {
		if (fstatat(dirfd(dir), item->d_name, &meta,
			AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(meta.st_mode)) {
			bytes += (uint64_t)meta.st_size;
			blocks += (uint64_t)meta.st_blocks * BLOCK_BYTES;
		}
	}
	(void)closedir(dir);
	if (bytes > capacity->most_bytes)
		capacity->most_bytes = bytes;
	if (blocks > capacity->most_blocks)
		capacity->most_blocks = blocks;
	return 0;
}

static int
store_all(void *state, const char *path, struct bench_pool *pool,
    struct bench_capacity *capacity)
{
	int rc = 0;

	while (capacity->stored < SESSIONS && rc == 0) {
		rc = bench_fill(&bench_sesscache, state, SESSION_LEN, pool,
		    LOOK_EVERY);
		if (rc == 0)
			rc = look_at_files(path, capacity);
		capacity->stored += LOOK_EVERY;
	}
	return rc;
}

/* From the newest to the oldest. */
static int
count_found(void *state, struct bench_pool *pool,
    struct bench_capacity *capacity)
{
	uint8_t buf[BENCH_RECORD_MAX];
	uint8_t id[BENCH_ID_LEN];
	enum bench_answer answer = BENCH_DONE;
	bool unbroken = true;
	size_t len = 0;
	size_t i;

	for (i = SESSIONS; i > 0 && answer != BENCH_FAILED; i--) {
		bench_pool_read(pool, i - 1, id);
		answer = bench_sesscache.get(state, id, buf, sizeof buf, &len);
		unbroken = unbroken && answer == BENCH_DONE;
		capacity->found += answer == BENCH_DONE ? 1 : 0;
		capacity->newest_run += unbroken ? 1 : 0;
	}
	return answer != BENCH_FAILED ?
	    0 :
	    bench_fail("sesscache: %s", bench_sesscache.detail());
}

int
bench_measure_capacity(const struct bench_options *options,
    struct bench_capacity *out)
{
	struct bench_shape shape = options->shape;
	char path[PATH_BYTES];
	struct bench_pool *pool;
	void *state = NULL;
	int rc = -1;

	memset(out, 0, sizeof *out);
	out->size_bytes = SIZE_BYTES;
	out->record_len = SESSION_LEN;
	shape.size_bytes = SIZE_BYTES;
	shape.record_len = SESSION_LEN;
	(void)snprintf(path, sizeof path, "%s/sesscache", shape.dir);
	pool = bench_pool_new(SESSIONS);
	if (pool != NULL)
		rc = bench_sesscache.make(&state, &shape);
	if (rc == 0)
		rc = store_all(state, path, pool, out);
	if (rc == 0)
		rc = count_found(state, pool, out);
	out->measured = rc == 0;
	bench_sesscache.destroy(state);
	bench_pool_free(pool);
	return rc;
}

bool
bench_capacity_is_bounded(const struct bench_capacity *capacity)
{
	return capacity->most_bytes <= capacity->size_bytes &&
	    capacity->most_blocks <= capacity->size_bytes;
}
