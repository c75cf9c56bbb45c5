/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handles: opening, closing, and the calls on records of any kind.
 */
#include "api/handle.h"

#include <stdlib.h>
#include <string.h>

/* --- handles ------------------------------------------------------------- */

static void
log_opened(const struct sesscache *handle, const struct sc_cache_opened *opened)
{
	const struct sesscache_options *options = &handle->options;

	if (opened->repaired[0] != '\0')
		sc_log(options, SC_LOG_WARN, "%s made anew: %s",
		    opened->created ? "the cache was" : "a shard was",
		    opened->repaired);
	else if (opened->created)
		sc_log(options, SC_LOG_INFO, "made a cache in %s",
		    options->dir);
	if (opened->resized)
		sc_log(options, SC_LOG_INFO, "resized %s to %llu bytes",
		    options->dir, (unsigned long long)options->size_bytes);
}

/* Settings that contradict each other, or lose what the other promises. */
static void
warn_of_settings(const struct sesscache_options *options)
{
	if (options->tickets == SC_TICKETS_SHARED &&
	    options->single_use == SC_SINGLE_USE_ON)
		sc_log(options, SC_LOG_WARN,
		    "tickets=shared has no effect with single-use=on: a ticket "
		    "for one use is in the cache");
	if (options->tickets != SC_TICKETS_OFF &&
	    options->timeout_seconds > options->ticket_key_lifetime_seconds)
		sc_log(options, SC_LOG_WARN,
		    "timeout is longer than ticket-key-lifetime: a ticket may "
		    "end before its session does");
}

static enum sesscache_status
open_cache(struct sesscache *handle)
{
	const struct sesscache_options *options = &handle->options;
	const struct sc_cache_config config = {
		.dir = options->dir,
		.size_bytes = options->size_bytes,
		.resize = options->size_given,
		.create = options->create,
		.shards = options->shards,
		.owner_given = options->owner_given,
		.owner_uid = options->owner_uid,
		.owner_gid = options->owner_gid,
		.timeout_seconds = options->timeout_seconds,
		.ticket_key_lifetime_seconds =
		    options->ticket_key_lifetime_seconds,
	};
	struct sc_cache_opened opened;
	enum sesscache_status status = sc_clock_find();

	if (status == SESSCACHE_OK)
		status = sc_cache_open(&handle->cache, &config, sc_now(),
		    &opened);
	if (status == SESSCACHE_OK) {
		log_opened(handle, &opened);
		warn_of_settings(options);
	}
	return status;
}

enum sesscache_status
sesscache_open(struct sesscache **out, const struct sesscache_options *options)
{
	struct sesscache_options *own = NULL;
	enum sesscache_status status = SESSCACHE_OK;
	struct sesscache *handle;

	if (out == NULL)
		return sc_fail(SESSCACHE_EINVAL, "out is NULL");
	*out = NULL;
	if (options == NULL) {
		status = sesscache_options_new(&own);
		if (status != SESSCACHE_OK)
			return status;
		options = own;
	}
	handle = calloc(1, sizeof(*handle));
	if (handle == NULL) {
		status = sc_fail(SESSCACHE_ENOMEM, "out of memory");
	} else {
		handle->options = *options;
		atomic_init(&handle->refs, 1);
		status = open_cache(handle);
	}
	if (status == SESSCACHE_OK)
		*out = handle;
	else
		free(handle);
	sesscache_options_free(own);
	return status;
}

void
sc_handle_ref(struct sesscache *handle)
{
	atomic_fetch_add(&handle->refs, 1);
}

void
sesscache_close(struct sesscache *handle)
{
	if (handle == NULL || atomic_fetch_sub(&handle->refs, 1) != 1)
		return;
	sc_cache_close(handle->cache);
	free(handle);
}

/* --- records ------------------------------------------------------------- */

static enum sesscache_status
check_handle(const struct sesscache *handle)
{
	return handle != NULL ? SESSCACHE_OK :
				sc_fail(SESSCACHE_EINVAL, "the cache is NULL");
}

enum sesscache_status
sesscache_new_id(struct sesscache *handle, uint8_t id[SESSCACHE_ID_LEN])
{
	enum sesscache_status status = check_handle(handle);

	if (status == SESSCACHE_OK && id == NULL)
		status = sc_fail(SESSCACHE_EINVAL, "id is NULL");
	if (status == SESSCACHE_OK)
		status = sc_cache_new_id(handle->cache, id);
	return status;
}

typedef enum sesscache_status store_fn(struct sc_cache *cache,
    const struct sc_record_in *in, uint32_t now);

static enum sesscache_status
store(struct sesscache *handle, const struct sc_record_in *given, store_fn *fn)
{
	enum sesscache_status status = check_handle(handle);
	struct sc_record_in in = *given;

	if (status != SESSCACHE_OK)
		return status;
	if (in.data_len > handle->options.max_session_bytes) {
		sc_cache_count(handle->cache, SC_EVENT_TOO_BIG);
		return sc_fail(SESSCACHE_ETOOBIG,
		    "%zu bytes are more than the setting max-session, %u",
		    in.data_len, handle->options.max_session_bytes);
	}
	if (in.ttl_seconds == 0)
		in.ttl_seconds = handle->options.timeout_seconds;
	return fn(handle->cache, &in, sc_now());
}

enum sesscache_status
sesscache_put(struct sesscache *handle, const uint8_t *id, size_t id_len,
    const uint8_t *data, size_t data_len, uint32_t ttl_seconds)
{
	const struct sc_record_in in = { .id = id,
		.id_len = id_len,
		.data = data,
		.data_len = data_len,
		.ttl_seconds = ttl_seconds };

	return store(handle, &in, sc_cache_put);
}

enum sesscache_status
sesscache_add(struct sesscache *handle, const uint8_t *id, size_t id_len,
    const uint8_t *data, size_t data_len, uint32_t ttl_seconds)
{
	const struct sc_record_in in = { .id = id,
		.id_len = id_len,
		.data = data,
		.data_len = data_len,
		.ttl_seconds = ttl_seconds };

	return store(handle, &in, sc_cache_add);
}

typedef enum sesscache_status lookup_fn(struct sc_cache *cache,
    struct sc_lookup *lookup, uint32_t now);

static enum sesscache_status
look_up(struct sesscache *handle, struct sc_lookup *lookup, size_t *len,
    lookup_fn *fn)
{
	enum sesscache_status status = check_handle(handle);

	if (status != SESSCACHE_OK)
		return status;
	if (len == NULL || (lookup->buf == NULL && lookup->size > 0))
		return sc_fail(SESSCACHE_EINVAL, "buf or len is NULL");
	status = fn(handle->cache, lookup, sc_now());
	*len = lookup->len;
	return status;
}

enum sesscache_status
sesscache_get(struct sesscache *handle, const uint8_t *id, size_t id_len,
    uint8_t *buf, size_t size, size_t *len)
{
	struct sc_lookup lookup = { .id = id,
		.id_len = id_len,
		.buf = buf,
		.size = size };

	return look_up(handle, &lookup, len, sc_cache_get);
}

enum sesscache_status
sesscache_take(struct sesscache *handle, const uint8_t *id, size_t id_len,
    uint8_t *buf, size_t size, size_t *len)
{
	struct sc_lookup lookup = { .id = id,
		.id_len = id_len,
		.buf = buf,
		.size = size };

	return look_up(handle, &lookup, len, sc_cache_take);
}

enum sesscache_status
sesscache_remove(struct sesscache *handle, const uint8_t *id, size_t id_len)
{
	enum sesscache_status status = check_handle(handle);

	return status == SESSCACHE_OK ?
	    sc_cache_remove(handle->cache, id, id_len) :
	    status;
}
