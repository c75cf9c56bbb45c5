/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library itself, as a server would use it: opened once before fork(),
 * IDs from sesscache_new_id(), the default settings but for the size.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"
#include "sesscache.h"

#define PATH_BYTES 4096
#define OVERHEAD_GUESS 96 /* bytes beside each record, rather too many */
#define FILL_MAX 6        /* times the records that it should hold */
#define SIZE_MIN (UINT64_C(1024) * 1024)
#define PAGE_BYTES UINT64_C(4096)

struct state {
	struct sesscache *cache;
	char dir[PATH_BYTES];
};

static int
set_option(struct sesscache_options *options, const char *name,
    const char *value)
{
	int rc = 0;

	if (sesscache_options_set(options, name, value) != SESSCACHE_OK)
		rc = bench_fail("sesscache: %s", sesscache_detail());
	return rc;
}

/* A setting as name=value. */
static int
set_pair(struct sesscache_options *options, const char *pair)
{
	char name[64];
	const char *equals = strchr(pair, '=');
	int rc;

	if (equals == NULL || (size_t)(equals - pair) >= sizeof name) {
		rc = bench_fail("-o %s: not name=value", pair);
	} else {
		memcpy(name, pair, (size_t)(equals - pair));
		name[equals - pair] = '\0';
		rc = set_option(options, name, equals + 1);
	}
	return rc;
}

static int
set_all(struct sesscache_options *options, const struct bench_shape *shape,
    const char *dir)
{
	char size[32];
	size_t i;
	int rc;

	(void)snprintf(size, sizeof size, "%llu",
	    (unsigned long long)shape->size_bytes);
	rc = set_option(options, "dir", dir);
	if (rc == 0)
		rc = set_option(options, "size", size);
	for (i = 0; i < shape->n_settings && rc == 0; i++)
		rc = set_pair(options, shape->settings[i]);
	return rc;
}

static int
open_cache(struct state *state, const struct bench_shape *shape)
{
	struct sesscache_options *options = NULL;
	enum sesscache_status status;
	int rc = 0;

	status = sesscache_options_new(&options);
	if (status == SESSCACHE_OK) {
		rc = set_all(options, shape, state->dir);
		if (rc == 0)
			status = sesscache_open(&state->cache, options);
	}
	if (status != SESSCACHE_OK)
		rc = bench_fail("sesscache: %s", sesscache_detail());
	sesscache_options_free(options);
	return rc;
}

static void
destroy(void *arg)
{
	struct state *state = arg;

	if (state != NULL) {
		sesscache_close(state->cache);
		bench_remove_tree(state->dir);
		free(state);
	}
}

static int
make(void **out, const struct bench_shape *shape)
{
	struct state *state;
	int rc = -1;

	state = calloc(1, sizeof *state);
	if (state != NULL) {
		(void)snprintf(state->dir, sizeof state->dir, "%s/sesscache",
		    shape->dir);
		rc = open_cache(state, shape);
	}
	if (rc != 0) {
		destroy(state);
		state = NULL;
	}
	*out = state;
	return rc;
}

/* A handle that was opened before fork() is used as it is. */
static int
enter(void *state)
{
	(void)state;
	return 0;
}

static void
leave(void *state)
{
	(void)state;
}

static enum bench_answer
from_status(enum sesscache_status status)
{
	enum bench_answer answer = BENCH_FAILED;

	if (status == SESSCACHE_OK)
		answer = BENCH_DONE;
	else if (status == SESSCACHE_MISS)
		answer = BENCH_MISS;
	return answer;
}

static enum bench_answer
new_id(void *arg, uint8_t id[BENCH_ID_LEN])
{
	struct state *state = arg;

	return from_status(sesscache_new_id(state->cache, id));
}

static enum bench_answer
put(void *arg, const uint8_t *id, const uint8_t *data, size_t data_len)
{
	struct state *state = arg;

	return from_status(
	    sesscache_put(state->cache, id, BENCH_ID_LEN, data, data_len, 0));
}

static enum bench_answer
get(void *arg, const uint8_t *id, uint8_t *buf, size_t size, size_t *len)
{
	struct state *state = arg;

	return from_status(
	    sesscache_get(state->cache, id, BENCH_ID_LEN, buf, size, len));
}

static enum bench_answer
take(void *arg, const uint8_t *id, uint8_t *buf, size_t size, size_t *len)
{
	struct state *state = arg;

	return from_status(
	    sesscache_take(state->cache, id, BENCH_ID_LEN, buf, size, len));
}

_Static_assert(BENCH_ID_LEN == SESSCACHE_ID_LEN,
    "all systems have IDs of one length");

const struct bench_system bench_sesscache = {
	.name = "sesscache",
	.title = "this library",
	.stores = true,
	.make = make,
	.enter = enter,
	.leave = leave,
	.destroy = destroy,
	.new_id = new_id,
	.put = put,
	.get = get,
	.take = take,
	.detail = sesscache_detail,
};

/* Store until sessions are evicted; *records is what then is there. */
static int
fill_until_full(struct state *state, const struct bench_shape *shape,
    uint64_t *records)
{
	struct sesscache_stats stats = { 0 };
	struct bench_pool *pool;
	size_t stored = 0;
	int rc = 0;

	pool = bench_pool_new(1);
	if (pool == NULL)
		rc = bench_fail("out of memory");
	while (rc == 0 && stored < FILL_MAX * shape->records &&
	    stats.evicted_newcomers < shape->records / 4) {
		rc = bench_fill(&bench_sesscache, state, shape->record_len,
		    pool, shape->records / 4 + 1);
		stored += shape->records / 4 + 1;
		if (rc == 0 &&
		    sesscache_stats(state->cache, &stats) != SESSCACHE_OK)
			rc = bench_fail("sesscache: %s", sesscache_detail());
	}
	if (rc == 0 && stats.evicted_newcomers == 0)
		rc = bench_fail("sesscache: %llu bytes are not full after "
				"%zu sessions",
		    (unsigned long long)stats.size_bytes, stored);
	*records = stats.records;
	bench_pool_free(pool);
	return rc;
}

int
bench_sesscache_calibrate(struct bench_shape *shape)
{
	uint64_t records = 0;
	void *state = NULL;
	double scaled;
	int rc;

	shape->size_bytes = shape->records *
	    (shape->record_len + OVERHEAD_GUESS);
	if (shape->size_bytes < SIZE_MIN)
		shape->size_bytes = SIZE_MIN;
	rc = make(&state, shape);
	if (rc == 0)
		rc = fill_until_full(state, shape, &records);
	if (rc == 0 && records > 0) {
		scaled = (double)shape->size_bytes * (double)shape->records /
		    (double)records;
		shape->size_bytes = (uint64_t)scaled / PAGE_BYTES * PAGE_BYTES;
		if (shape->size_bytes < SIZE_MIN)
			shape->size_bytes = SIZE_MIN;
	}
	destroy(state);
	return rc;
}
