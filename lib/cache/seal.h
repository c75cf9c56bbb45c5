/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AES-256-GCM under keys that live one epoch: a key is destroyed once
 * everything that was sealed under it has expired, so that what lingers in
 * free pages cannot be read.  The keys are in shared memory, the same for all
 * processes.  Knows bytes and times, not what is sealed.
 *
 * A nonce is used once for a key: it is the shard and the number of a write,
 * which no other write of the shard has.
 */
#ifndef SC_CACHE_SEAL_H
#define SC_CACHE_SEAL_H

#include <stdatomic.h>

#include "cache/address.h"
#include "cache/keyring.h"
#include "cache/record.h"
#include "store/store.h"

enum { SC_EPOCHS = 16 };

struct sc_epoch {
	_Atomic uint32_t number; /* 0: no key */
	uint32_t started_at;
	_Atomic uint32_t last_expiry; /* of what was sealed under it */
	uint8_t key[32];
};

/* The first of the cache's part of the control file: see cache.c. */
struct sc_keys {
	struct sc_lock lock;            /* for changing and copying keys */
	struct sc_address_keys address; /* never changes */
	uint32_t made_at;
	_Atomic uint32_t aliased;   /* some ID was not an address */
	_Atomic uint32_t current;   /* number of the epoch to seal in */
	_Atomic uint32_t next_tend; /* when to look after the keys again */
	struct sc_epoch epochs[SC_EPOCHS];
	struct sc_ring ring; /* has a lock of its own */
};

struct sc_seal {
	struct sc_keys *keys;
	uint64_t owner; /* as of struct sc_address */
	uint32_t epoch_seconds;
};

/* What is sealed with the data, and what makes its nonce. */
struct sc_seal_of {
	unsigned shard;
	uint64_t seq;
	uint64_t write_number;
	struct sc_span head; /* of the record */
};

/* Fill a zeroed part of a new control file; but for the time, it is ready. */
enum sesscache_status sc_seal_init(struct sc_keys *keys) SESSCACHE_MUST_CHECK;

/*
 * Of keys that nobody else has in use: make their locks anew.  Returns
 * SESSCACHE_OK, SESSCACHE_ECORRUPT if these cannot be keys, or as
 * sc_lock_init().
 */
enum sesscache_status sc_seal_revive(struct sc_keys *keys) SESSCACHE_MUST_CHECK;

/*
 * Make a key if one is due, destroy those that nothing live needs.  Costs two
 * loads if there is nothing to do, and never fails: it is done later then.
 */
void sc_seal_tend(const struct sc_seal *seal, uint32_t now);

/* Destroy all keys but a new one: whatever was sealed is lost. */
enum sesscache_status sc_seal_destroy(const struct sc_seal *seal, uint32_t now)
    SESSCACHE_MUST_CHECK;

/* The epoch to seal in something that expires then; noted with its key. */
uint32_t sc_seal_epoch(const struct sc_seal *seal, uint32_t expires_at);

/* Whether the key of what was sealed in an epoch, known by its low bits, is
 * there. */
bool sc_seal_has_key(const struct sc_seal *seal, uint8_t epoch);

/*
 * Whether this thread can open what was sealed in an epoch without asking for
 * its key; and asking for it: SESSCACHE_OK, SESSCACHE_MISS (the key is gone),
 * SESSCACHE_EBUSY, SESSCACHE_ENOMEM or SESSCACHE_ESYS.
 */
bool sc_seal_is_ready(const struct sc_seal *seal, uint8_t epoch);
enum sesscache_status sc_seal_get_ready(const struct sc_seal *seal,
    uint8_t epoch) SESSCACHE_MUST_CHECK;

/*
 * Seal data_len bytes into out, SC_RECORD_TAG more.  SESSCACHE_OK,
 * SESSCACHE_EBUSY, SESSCACHE_ECORRUPT (the lock is damaged) or SESSCACHE_ESYS.
 */
enum sesscache_status sc_seal_close(const struct sc_seal *seal, uint32_t epoch,
    const struct sc_seal_of *of, const uint8_t *data, size_t data_len,
    uint8_t *out) SESSCACHE_MUST_CHECK;

/*
 * Open sealed_len bytes into out, SC_RECORD_TAG less.  SESSCACHE_OK;
 * SESSCACHE_MISS: the key is gone; SESSCACHE_ECORRUPT: they do not open, and
 * out is wiped; SESSCACHE_EBUSY; SESSCACHE_ESYS.
 */
enum sesscache_status sc_seal_open(const struct sc_seal *seal, uint8_t epoch,
    const struct sc_seal_of *of, const uint8_t *sealed, size_t sealed_len,
    uint8_t *out) SESSCACHE_MUST_CHECK;

/* A few bytes that are sealed under a key of their own. */
struct sc_seal_blob {
	const uint8_t *key; /* SC_SEAL_BLOB_KEY bytes */
	const char *label;  /* what it is */
	uint64_t number;    /* a key never sees one twice */
};

enum { SC_SEAL_BLOB_KEY = 32, SC_SEAL_BLOB_TAG = 16 /* bytes */ };

/* Seal data_len bytes into out, SC_SEAL_BLOB_TAG more; SESSCACHE_OK,
 * SESSCACHE_ENOMEM or SESSCACHE_ESYS. */
enum sesscache_status sc_seal_close_blob(const struct sc_seal_blob *blob,
    const uint8_t *data, size_t data_len, uint8_t *out) SESSCACHE_MUST_CHECK;

/* Open them into out; also SESSCACHE_ECORRUPT: another key, number or label,
 * or they were touched, and out is wiped. */
enum sesscache_status sc_seal_open_blob(const struct sc_seal_blob *blob,
    const uint8_t *sealed, size_t data_len, uint8_t *out) SESSCACHE_MUST_CHECK;

/* Bytes for keys; SESSCACHE_OK or SESSCACHE_ESYS. */
enum sesscache_status sc_seal_random(void *buf, size_t len)
    SESSCACHE_MUST_CHECK;

/* Overwrite what was opened; the compiler cannot leave it out. */
void sc_seal_wipe(void *data, size_t len);

#endif
