/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of one record: a head in the clear, and a sealed body.  Decoding
 * trusts nothing.  Knows no keys.
 *
 *	flags 1 | alias 8 (if aliased) | epoch 1 | expires at 4 | lifetime 4 |
 *	write number less sequence number 1..8 | asked 8, landed 8 (if any) |
 *	ID length 1, ID (if aliased) | sealed data
 *
 * Integers are big-endian; the difference is in groups of seven bits, the
 * lowest first, the top bit set on all but the last.
 */
#ifndef SC_CACHE_RECORD_H
#define SC_CACHE_RECORD_H

#include "cache/cache.h"

enum {
	SC_RECORD_HEAD_MAX = 1 + 8 + 1 + 4 + 4 + 8 + 16 + 1 +
	    SESSCACHE_ID_MAX_LEN,
	SC_RECORD_TAG = 16, /* bytes that sealing adds */
};

struct sc_record {
	unsigned flags; /* SC_RECORD_... of cache.h */
	uint64_t alias; /* 0: the ID is an address */
	uint8_t epoch;  /* the low bits of its number */
	uint32_t expires_at;
	uint32_t ttl_seconds;
	uint64_t write_number;
	struct sc_scope scope;
	const uint8_t *id; /* if aliased; borrowed */
	size_t id_len;
	size_t head_len;   /* bytes before the sealed data */
	size_t sealed_len; /* bytes, the tag included */
};

/* Write the head; returns its length, also in record->head_len. */
size_t sc_record_encode(struct sc_record *record, uint64_t seq,
    uint8_t head[SC_RECORD_HEAD_MAX]);

/* SESSCACHE_OK, or SESSCACHE_ECORRUPT if these bytes are no record. */
enum sesscache_status sc_record_decode(struct sc_record *record, uint64_t seq,
    const uint8_t *bytes, size_t len) SESSCACHE_MUST_CHECK;

/* The part of it that evicting needs, from the first bytes of a record. */
bool sc_record_peek(const uint8_t *bytes, size_t len, unsigned *flags,
    uint32_t *expires_at);

#endif
