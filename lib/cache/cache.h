/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session cache proper: sealed records under session IDs, over shards.
 * Knows IDs, bytes, lifetimes and realms; must not know TLS, LMDB, the clock
 * or the environment.  Times ("now") are seconds on a clock that does not
 * jump, the same in every process of the host.
 */
#ifndef SC_CACHE_CACHE_H
#define SC_CACHE_CACHE_H

#include <sys/types.h>

#include "sesscache.h"
#include "status.h"

struct sc_cache; /* shared by every handle of a process on one directory */

struct sc_cache_config {
	const char *dir;
	uint64_t size_bytes;
	bool resize;     /* to size_bytes, if the cache has another */
	bool create;     /* make, resize or repair; else only open */
	uint32_t shards; /* 0: by CPUs and size */
	bool owner_given;
	uid_t owner_uid;
	gid_t owner_gid;
	uint32_t timeout_seconds; /* one epoch of the seal keys */
};

/* What an open did beyond opening; for the log. */
struct sc_cache_opened {
	bool created;
	bool resized;
	char repaired[160]; /* "" or why something was made anew */
};

enum sesscache_status sc_cache_open(struct sc_cache **out,
    const struct sc_cache_config *config, uint32_t now,
    struct sc_cache_opened *opened) SESSCACHE_MUST_CHECK;

/* One more owner of an open cache; each is released with sc_cache_close(). */
void sc_cache_ref(struct sc_cache *cache);
void sc_cache_close(struct sc_cache *cache);

enum sesscache_status sc_cache_new_id(struct sc_cache *cache,
    uint8_t id[SESSCACHE_ID_LEN]) SESSCACHE_MUST_CHECK;

/* What a record is, besides its bytes. */
enum {
	SC_RECORD_TICKET = 0x01,  /* spent by its first use: TLS 1.3 */
	SC_RECORD_REGULAR = 0x02, /* of a client that came back */
};

struct sc_record_in {
	const uint8_t *id;
	size_t id_len;
	const uint8_t *data;
	size_t data_len;
	uint32_t ttl_seconds;
	uint64_t realm; /* a get must name the same one; 0: none */
	unsigned flags; /* SC_RECORD_... */
};

enum sesscache_status sc_cache_put(struct sc_cache *cache,
    const struct sc_record_in *in, uint32_t now) SESSCACHE_MUST_CHECK;
enum sesscache_status sc_cache_add(struct sc_cache *cache,
    const struct sc_record_in *in, uint32_t now) SESSCACHE_MUST_CHECK;

struct sc_lookup {
	const uint8_t *id;
	size_t id_len;
	uint64_t realm;
	uint8_t *buf;
	size_t size;         /* bytes of buf */
	size_t len;          /* out: bytes of the record */
	uint32_t created_at; /* out */
	uint32_t expires_at; /* out */
};

enum sesscache_status sc_cache_get(struct sc_cache *cache,
    struct sc_lookup *lookup, uint32_t now) SESSCACHE_MUST_CHECK;
enum sesscache_status sc_cache_take(struct sc_cache *cache,
    struct sc_lookup *lookup, uint32_t now) SESSCACHE_MUST_CHECK;
enum sesscache_status sc_cache_remove(struct sc_cache *cache, const uint8_t *id,
    size_t id_len) SESSCACHE_MUST_CHECK;

/* One record of a scan; everything borrowed until the visit returns. */
struct sc_scanned {
	const uint8_t *id;
	size_t id_len;
	const uint8_t *data; /* NULL if the record did not open */
	size_t data_len;
	size_t record_len;
	uint32_t created_at;
	uint32_t expires_at;
	enum sesscache_queue queue;
	bool used;
	unsigned flags;      /* SC_RECORD_... */
	const char *problem; /* NULL: none */
};

/* Returns 0 to go on.  May call the cache: no lock is held. */
typedef int sc_scan_visit(const struct sc_scanned *scanned, void *arg);

enum sesscache_status sc_cache_scan(struct sc_cache *cache,
    sc_scan_visit *visit, void *arg) SESSCACHE_MUST_CHECK;

/* Destroy the keys, then remove everything; *removed counts. */
enum sesscache_status sc_cache_clear(struct sc_cache *cache, uint32_t now,
    uint64_t *removed) SESSCACHE_MUST_CHECK;

/* Counters that callers above the cache raise. */
enum sc_event { SC_EVENT_TOO_BIG, SC_EVENT_FAILED };
void sc_cache_count(struct sc_cache *cache, enum sc_event event);

/* created_at is left at 0: the caller has the time of day. */
enum sesscache_status sc_cache_stats(struct sc_cache *cache,
    struct sesscache_stats *out, uint32_t *created_at) SESSCACHE_MUST_CHECK;

#endif
