/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a ticket under shared keys says of itself, in its key name and its IV.
 * Knows neither keys nor what is in the ticket.
 *
 *	name	key 4 | expires at 4 | host 2 | cipher 2 | asked 3 | flags 1
 *	IV	landed 8 | random 8
 *
 * Integers are big-endian; host is 0, and reserved for caches of several
 * hosts.  Both are one block of AES-128 under the name key: nobody outside can
 * read or make them, and OpenSSL's MAC of a ticket covers both.  Before it is
 * verified, they only choose what the MAC is to be verified with.
 *
 * Of asked there is room for the low 24 bits.  They are enough, for comparing
 * them only avoids resumptions that the check of landed would refuse.
 *
 * An IV must not repeat under one key and must not be foreseen.  The random
 * half sees to the first up to some 2^32 tickets a key, the encryption to the
 * second.
 */
#ifndef SC_CACHE_TICKET_H
#define SC_CACHE_TICKET_H

#include "cache/address.h"
#include "cache/cache.h"
#include "cache/terms.h"

struct sc_ticket_words {
	uint32_t key; /* its name in the ring */
	uint32_t expires_at;
	uint16_t cipher;
	struct sc_said said;
};

/* Returns SESSCACHE_OK, or SESSCACHE_ESYS if libcrypto fails. */
enum sesscache_status sc_ticket_write(const struct sc_address *address,
    const struct sc_ticket *ticket, uint32_t key, uint8_t name[SC_TICKET_NAME],
    uint8_t iv[SC_TICKET_IV]) SESSCACHE_MUST_CHECK;

/* Likewise, or SESSCACHE_MISS: this is not a ticket of ours. */
enum sesscache_status sc_ticket_read(const struct sc_address *address,
    const uint8_t name[SC_TICKET_NAME], const uint8_t iv[SC_TICKET_IV],
    struct sc_ticket_words *words) SESSCACHE_MUST_CHECK;

#endif
