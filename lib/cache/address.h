/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Session IDs that say where their record is, hashes of those that do not and
 * of what sessions belong to, and key names of tickets.  Knows keys and
 * numbers, not records.
 *
 * An ID is two blocks of AES-128: the place, encrypted twice, once as a first
 * and once as a second half.  Whoever cannot encrypt cannot guess either half,
 * and an ID that was not made under this key is recognised by its halves not
 * agreeing, without a look at any record, in the same time whether or not it
 * is near to a real one.  Nothing of an ID needs to be stored.
 */
#ifndef SC_CACHE_ADDRESS_H
#define SC_CACHE_ADDRESS_H

#include "status.h"

struct sc_address_keys {
	uint8_t place[16];
	uint8_t alias[16];
	uint8_t realm[16]; /* of sc_address_hash() */
	uint8_t name[16];
};

struct sc_address {
	const struct sc_address_keys *keys; /* borrowed */
	uint64_t owner; /* another for other keys: threads keep contexts */
};

struct sc_place {
	unsigned shard;
	uint64_t seq;
};

/* Returns SESSCACHE_OK, or SESSCACHE_ESYS if libcrypto fails. */
enum sesscache_status sc_address_encode(const struct sc_address *address,
    struct sc_place place, uint8_t id[SESSCACHE_ID_LEN]) SESSCACHE_MUST_CHECK;

/* SESSCACHE_OK; SESSCACHE_MISS: not an ID of ours; SESSCACHE_ESYS. */
enum sesscache_status sc_address_decode(const struct sc_address *address,
    const uint8_t *id, size_t id_len, struct sc_place *place)
    SESSCACHE_MUST_CHECK;

/* A keyed hash of any ID, never 0, and a number to choose the shard by. */
enum sesscache_status sc_address_alias(const struct sc_address *address,
    const uint8_t *id, size_t id_len, uint64_t *alias, unsigned *shard)
    SESSCACHE_MUST_CHECK;

/* A keyed hash of up to 64 KiB, under a key of its own, and never 0. */
enum sesscache_status sc_address_hash(const struct sc_address *address,
    const uint8_t *bytes, size_t len, uint64_t *number) SESSCACHE_MUST_CHECK;

enum { SC_ADDRESS_NAME = 32 /* bytes: two blocks, each for itself */ };

/* What a ticket's key name and IV say, unreadable outside; and reading it. */
enum sesscache_status sc_address_name(const struct sc_address *address,
    const uint8_t plain[SC_ADDRESS_NAME], uint8_t name[SC_ADDRESS_NAME])
    SESSCACHE_MUST_CHECK;
enum sesscache_status sc_address_read_name(const struct sc_address *address,
    const uint8_t name[SC_ADDRESS_NAME], uint8_t plain[SC_ADDRESS_NAME])
    SESSCACHE_MUST_CHECK;

/* Compare two IDs in a time that depends on their length alone. */
bool sc_address_is_same(const uint8_t *id, const uint8_t *other, size_t len);

#endif
