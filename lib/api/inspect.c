/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking into the cache: visiting, filtering, purging, counting.
 */
#include "api/inspect.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#ifndef SESSCACHE_VERSION
#define SESSCACHE_VERSION "0.1.0"
#endif

const char *
sesscache_version(void)
{
	return SESSCACHE_VERSION;
}

/* A moment of the cache's clock, as seconds since 1970. */
static uint64_t
time_of_day(uint32_t moment, uint32_t now)
{
	int64_t at = (int64_t)time(NULL) + (int64_t)moment - (int64_t)now;

	return at > 0 ? (uint64_t)at : 0;
}

struct visiting {
	sc_describe *describe;
	sesscache_visit *visit;
	void *arg;
	uint32_t now;
};

static int
visit_one(const struct sc_scanned *scanned, void *arg)
{
	const struct visiting *visiting = arg;
	struct sesscache_info info = {
		.id = scanned->id,
		.id_len = scanned->id_len,
		.data_len = scanned->data_len,
		.record_len = scanned->record_len,
		.queue = scanned->queue,
		.used = scanned->used,
		.problem = scanned->problem,
	};
	struct sc_session_text text = { .protocol = NULL };

	info.created_at = time_of_day(scanned->created_at, visiting->now);
	info.expires_at = time_of_day(scanned->expires_at, visiting->now);
	info.expired = scanned->expires_at <= visiting->now;
	if (scanned->data != NULL)
		visiting->describe(&text, scanned->data, scanned->data_len);
	info.protocol = text.protocol;
	info.cipher = text.cipher;
	if (text.server_name[0] != '\0')
		info.server_name = text.server_name;
	return visiting->visit(&info, visiting->arg);
}

enum sesscache_status
sc_inspect_each(struct sesscache *handle, sc_describe *describe,
    sesscache_visit *visit, void *arg)
{
	struct visiting visiting = { describe, visit, arg, sc_now() };

	if (handle == NULL || visit == NULL)
		return sc_fail(SESSCACHE_EINVAL, "the cache or visit is NULL");
	return sc_cache_scan(handle->cache, visit_one, &visiting);
}

bool
sesscache_filter_match(const struct sesscache_filter *filter,
    const struct sesscache_info *info, uint64_t now)
{
	if (filter == NULL)
		return true;
	if (filter->expired && !info->expired)
		return false;
	if (filter->older_than_seconds != 0 &&
	    (info->created_at > now ||
		now - info->created_at <= filter->older_than_seconds))
		return false;
	if (filter->server_name != NULL &&
	    (info->server_name == NULL ||
		strcasecmp(filter->server_name, info->server_name) != 0))
		return false;
	if (filter->id != NULL &&
	    (filter->id_len != info->id_len ||
		memcmp(filter->id, info->id, info->id_len) != 0))
		return false;
	return true;
}

struct purging {
	struct sesscache *handle;
	const struct sesscache_filter *filter;
	uint64_t now;
	uint64_t removed;
	enum sesscache_status status;
};

static int
purge_one(const struct sesscache_info *info, void *arg)
{
	struct purging *purging = arg;
	enum sesscache_status status;

	if (!sesscache_filter_match(purging->filter, info, purging->now))
		return 0;
	status = sc_cache_remove(purging->handle->cache, info->id,
	    info->id_len);
	if (status == SESSCACHE_OK)
		purging->removed++;
	if (status < 0)
		purging->status = status;
	return status < 0;
}

enum sesscache_status
sc_inspect_purge(struct sesscache *handle, sc_describe *describe,
    const struct sesscache_filter *filter, uint64_t *removed)
{
	struct purging purging = { handle, filter, (uint64_t)time(NULL), 0,
		SESSCACHE_OK };
	enum sesscache_status status;

	if (removed != NULL)
		*removed = 0;
	if (handle == NULL)
		return sc_fail(SESSCACHE_EINVAL, "the cache is NULL");
	if (filter == NULL)
		status = sc_cache_clear(handle->cache, sc_now(),
		    &purging.removed);
	else
		status = sc_inspect_each(handle, describe, purge_one, &purging);
	if (status == SESSCACHE_OK)
		status = purging.status;
	if (removed != NULL)
		*removed = purging.removed;
	return status;
}

enum sesscache_status
sesscache_stats(struct sesscache *handle, struct sesscache_stats *out)
{
	enum sesscache_status status;
	uint32_t created_at;

	if (handle == NULL || out == NULL)
		return sc_fail(SESSCACHE_EINVAL, "the cache or out is NULL");
	status = sc_cache_stats(handle->cache, out, &created_at);
	if (status == SESSCACHE_OK)
		out->created_at = time_of_day(created_at, sc_now());
	return status;
}

enum sesscache_status
sesscache_keys(struct sesscache *handle,
    struct sesscache_key keys[SESSCACHE_KEYS_MAX], size_t *n)
{
	struct sc_ticket_key found[SESSCACHE_KEYS_MAX];
	uint32_t now = sc_now();
	enum sesscache_status status;
	size_t i;

	if (handle == NULL || keys == NULL || n == NULL)
		return sc_fail(SESSCACHE_EINVAL,
		    "the cache, keys or n is NULL");
	status = sc_cache_keys(handle->cache, found, n, now);
	for (i = 0; status == SESSCACHE_OK && i < *n; i++) {
		keys[i].name = found[i].name;
		keys[i].state = found[i].state;
		keys[i].made_at = time_of_day(found[i].made_at, now);
		keys[i].retires_at = 0;
		if (found[i].retires_at != 0)
			keys[i].retires_at = time_of_day(found[i].retires_at,
			    now);
	}
	return status;
}

enum sesscache_status
sesscache_rotate_keys(struct sesscache *handle)
{
	return handle != NULL ? sc_cache_rotate_keys(handle->cache, sc_now()) :
				sc_fail(SESSCACHE_EINVAL, "the cache is NULL");
}
