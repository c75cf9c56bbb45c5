/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The session cache proper: sealed records under session IDs, over shards, and
 * the keys of tickets.  Knows IDs, bytes, lifetimes and what a session belongs
 * to; must not know TLS, LMDB, the clock or the environment.  Times ("now") are
 * seconds on a clock that does not jump, the same in every process of the host.
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
	uint32_t timeout_seconds;             /* one epoch of the seal keys */
	uint32_t ticket_key_lifetime_seconds; /* 0: without end */
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

void sc_cache_close(struct sc_cache *cache);

enum sesscache_status sc_cache_new_id(struct sc_cache *cache,
    uint8_t id[SESSCACHE_ID_LEN]) SESSCACHE_MUST_CHECK;

/* What a record is, besides its bytes; a ticket may have the last two. */
enum {
	SC_RECORD_TICKET = 0x01,  /* spent by its first use: TLS 1.3 */
	SC_RECORD_REGULAR = 0x02, /* of a client that came back */
	SC_RECORD_ONCE = 0x04,    /* for one use: whoever gets it takes it */
	SC_RECORD_AUTH = 0x08,    /* its client was asked to authenticate, or
				     has */
	SC_RECORD_EMS = 0x10,     /* may hold an extended master secret, RFC
				     7627 */
	SC_RECORD_FLAGS = 0x1f,   /* all of these */
	SC_TICKET_CONTEXT = 0x20, /* of a ticket alone: the session ID context
				     is the library's */
	SC_RECORD_NOBODY = 0x40,  /* of a refusal alone: its client showed no
				     certificate, though asked */
};

/*
 * What a TLS session belongs to, as keyed hashes: what its client asked for,
 * which is the policy of the SSL_CTX that the handshake began with and the
 * server name; and where that led, which is the policy in force when the
 * client was authenticated.
 */
struct sc_scope {
	uint64_t asked;  /* 0: none */
	uint64_t landed; /* 0: none */
};

/*
 * What a session must say to be resumed now, and what it says.  In terms a
 * landed of 0 means any; asked must be the same, also when it is 0, which is
 * that of a record that is no TLS session.
 */
struct sc_terms {
	struct sc_scope open; /* in: of one without client authentication */
	struct sc_scope auth; /* in: of one with; asked 0: not worked out */
	uint64_t named;       /* in: what else one with may have asked; 0:
				 nothing */
	uint64_t place;       /* in: what a landing elsewhere is remembered
				 under; 0: nothing is */
	unsigned refused;     /* in: SC_RECORD_... that it may not have */
	unsigned flags;       /* out: SC_RECORD_... */
	struct sc_scope said; /* out: of asked what was wanted, whole */
	bool wants_auth;      /* out: a miss, and not counted as one, only
				 because auth.asked is 0 while open.asked is
				 not: work it out and look again */
};

struct sc_record_in {
	const uint8_t *id;
	size_t id_len;
	const uint8_t *data;
	size_t data_len;
	uint32_t ttl_seconds;
	struct sc_scope scope; /* 0, 0: no TLS session */
	unsigned flags;        /* SC_RECORD_... */
};

enum sesscache_status sc_cache_put(struct sc_cache *cache,
    const struct sc_record_in *in, uint32_t now) SESSCACHE_MUST_CHECK;
enum sesscache_status sc_cache_add(struct sc_cache *cache,
    const struct sc_record_in *in, uint32_t now) SESSCACHE_MUST_CHECK;

struct sc_lookup {
	const uint8_t *id;
	size_t id_len;
	struct sc_terms terms; /* out: flags and landed, if it is found */
	bool counted_later;    /* the caller counts the hit, by SC_EVENT_HIT or
				  SC_EVENT_UNDECODABLE */
	uint8_t *buf;
	size_t size;         /* bytes of buf */
	size_t len;          /* out: bytes of the record */
	uint32_t created_at; /* out */
	uint32_t expires_at; /* out */
	bool taken;          /* out: this call removed it, as sc_cache_take()
				or because it has SC_RECORD_ONCE */
};

/*
 * The record under an ID; sc_cache_take() removes it, and so does
 * sc_cache_get() one that has SC_RECORD_ONCE: of several callers one gets it.
 * One whose terms are not met stays, and is SESSCACHE_MISS.  Statuses as
 * sesscache_get().
 */
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
	uint8_t *data; /* NULL if the record did not open; else the visit's to
			  overwrite */
	size_t data_len;
	size_t record_len;
	uint32_t created_at;
	uint32_t expires_at;
	enum sesscache_queue queue;
	bool used;
	unsigned flags; /* SC_RECORD_... */
	struct sc_scope scope;
	const char *problem; /* NULL: none */
};

/* Returns 0 to go on.  May call the cache: no lock is held. */
typedef int sc_scan_visit(const struct sc_scanned *scanned, void *arg);

enum sesscache_status sc_cache_scan(struct sc_cache *cache,
    sc_scan_visit *visit, void *arg) SESSCACHE_MUST_CHECK;

enum { SC_TICKET_NAME = 16, SC_TICKET_IV = 16, SC_TICKET_KEY = 32 }; /* bytes */

/* One ticket under shared keys, and the keys that seal it. */
struct sc_ticket {
	struct sc_scope scope;     /* in when issued */
	struct sc_terms terms;     /* when opened */
	unsigned flags;            /* in when issued: SC_RECORD_AUTH, _EMS */
	uint16_t cipher;           /* in when issued, out when opened: the IANA
				      number of the suite */
	uint32_t expires_at;       /* in when issued, out when opened */
	bool renew;                /* out: not under the current key */
	const uint8_t *cipher_key; /* out: SC_TICKET_KEY bytes, borrowed until
				      this thread's next call */
	const uint8_t *mac_key;    /* out: likewise */
};

/*
 * The keys for a new ticket, and its key name and IV, which say what the
 * ticket is, unreadable outside.  A key that is due is made.  Returns
 * SESSCACHE_OK, SESSCACHE_EBUSY, SESSCACHE_ECORRUPT (a lock is damaged),
 * SESSCACHE_ENOMEM or SESSCACHE_ESYS (libcrypto failed).
 */
enum sesscache_status sc_cache_ticket_issue(struct sc_cache *cache,
    struct sc_ticket *ticket, uint8_t name[SC_TICKET_NAME],
    uint8_t iv[SC_TICKET_IV], uint32_t now) SESSCACHE_MUST_CHECK;

/*
 * The keys of a ticket that has this key name and IV, which are to be believed
 * once OpenSSL has verified the ticket's MAC.  As above, or SESSCACHE_MISS: the
 * name is not ours, its key is gone, the ticket has expired, or it does not
 * meet the terms.  The caller counts what is opened, by
 * SC_EVENT_TICKET_ACCEPTED.
 */
enum sesscache_status sc_cache_ticket_open(struct sc_cache *cache,
    struct sc_ticket *ticket, const uint8_t name[SC_TICKET_NAME],
    const uint8_t iv[SC_TICKET_IV], uint32_t now) SESSCACHE_MUST_CHECK;

enum { SC_HASH_MAX = 64 * 1024 /* bytes */ };

/*
 * A keyed hash of up to SC_HASH_MAX bytes, the same in all processes that have
 * the cache.  0: there are more, or libcrypto fails.
 */
uint64_t sc_cache_hash(struct sc_cache *cache, const uint8_t *bytes,
    size_t len);

/*
 * A session that was offered at this place, with or without SC_RECORD_AUTH in
 * flags, turned out to land elsewhere than it said: at landed_now.  For one
 * timeout from now sessions are offered there only if they say landed_now; none
 * is if that is 0, or if this call came before with another landed.  With
 * SC_RECORD_NOBODY it may come to nothing: see landings.h.
 */
void sc_cache_mislanded(struct sc_cache *cache, uint64_t place, unsigned flags,
    uint64_t landed_now, uint32_t now);

/* A ticket key as it may be shown. */
struct sc_ticket_key {
	uint32_t name;
	enum sesscache_key_state state;
	uint32_t made_at;
	uint32_t retires_at; /* 0: not known yet */
};

/* In the order of their states; statuses as sesscache_keys(). */
enum sesscache_status sc_cache_keys(struct sc_cache *cache,
    struct sc_ticket_key keys[SESSCACHE_KEYS_MAX], size_t *n, uint32_t now)
    SESSCACHE_MUST_CHECK;
enum sesscache_status sc_cache_rotate_keys(struct sc_cache *cache, uint32_t now)
    SESSCACHE_MUST_CHECK;

/* Destroy the keys, those of tickets too, then remove everything; *removed
 * counts. */
enum sesscache_status sc_cache_clear(struct sc_cache *cache, uint32_t now,
    uint64_t *removed) SESSCACHE_MUST_CHECK;

/* Counters that callers above the cache raise. */
enum sc_event {
	SC_EVENT_TOO_BIG,
	SC_EVENT_FAILED,
	SC_EVENT_REALM,  /* a session that may not resume here */
	SC_EVENT_TICKET, /* a ticket that was opened was not resumed */
	SC_EVENT_TICKET_ACCEPTED,
	SC_EVENT_HIT,         /* of a lookup with counted_later */
	SC_EVENT_UNDECODABLE, /* likewise, but it does not decode */
};
void sc_cache_count(struct sc_cache *cache, enum sc_event event);

/* created_at is left at 0: the caller has the time of day. */
enum sesscache_status sc_cache_stats(struct sc_cache *cache,
    struct sesscache_stats *out, uint32_t *created_at) SESSCACHE_MUST_CHECK;

#endif
