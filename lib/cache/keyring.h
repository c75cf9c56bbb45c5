/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ring of ticket keys: the next one, the current one, and the previous
 * one, which still opens what was sealed under it.  Whichever process first
 * finds that a key is due makes it, once for all.  Knows keys and times, not
 * tickets.
 *
 * The ring lies sealed in shared memory, in one of two copies, each under a
 * key that seals nothing else: a change is written to the other copy, which
 * then becomes the one that counts, and the former is wiped.  Whoever dies on
 * the way leaves one that is whole.  Reading takes no lock.
 *
 * A key is current for its lifetime, then previous for as long, then wiped.
 */
#ifndef SC_CACHE_KEYRING_H
#define SC_CACHE_KEYRING_H

#include <stdatomic.h>

#include "cache/cache.h"
#include "store/store.h"

struct sc_ring_key {
	uint32_t name; /* 0: there is none */
	uint32_t made_at;
	uint32_t current_at; /* when it became the current one */
	uint32_t retires_at; /* when it is to be gone; 0: of the next one */
	uint8_t cipher[SC_TICKET_KEY];
	uint8_t mac[SC_TICKET_KEY];
};

/* What is sealed; enum sesscache_key_state says which key is which. */
struct sc_ring_body {
	struct sc_ring_key keys[SESSCACHE_KEYS_MAX];
};

enum {
	SC_RING_KEY = 32,
	SC_RING_SEALED = sizeof(struct sc_ring_body) + 16,
};

/* Read while others may write: by words, and nothing is believed of them
 * before they opened. */
struct sc_ring_copy {
	_Atomic uint64_t key[SC_RING_KEY / 8];
	_Atomic uint64_t sealed[SC_RING_SEALED / 8];
};

/* In the control file; a zeroed one with a lock is ready. */
struct sc_ring {
	struct sc_lock lock;   /* for changing it */
	_Atomic uint64_t turn; /* another after each change; its lowest bit
				  says which copy counts */
	struct sc_ring_copy copies[2];
};

struct sc_keyring {
	struct sc_ring *ring;
	struct sc_store *store; /* to count */
	uint64_t owner; /* another for another ring: threads keep a copy */
	uint32_t lifetime_seconds;
};

/*
 * Make what is due.  Costs a load if nothing is, and never fails: it is done
 * later then.
 */
void sc_keyring_tend(const struct sc_keyring *keyring, uint32_t now);

/*
 * The key to seal under, borrowed until this thread's next call.  Returns
 * SESSCACHE_OK, SESSCACHE_EBUSY, SESSCACHE_ECORRUPT (the lock is damaged),
 * SESSCACHE_ENOMEM or SESSCACHE_ESYS.
 */
enum sesscache_status sc_keyring_current(const struct sc_keyring *keyring,
    uint32_t now, const struct sc_ring_key **key) SESSCACHE_MUST_CHECK;

/*
 * The key of a name, to open with; *renew: it is not, or no longer, one to
 * seal under.  As above, or SESSCACHE_MISS: there is none.
 */
enum sesscache_status sc_keyring_find(const struct sc_keyring *keyring,
    uint32_t name, uint32_t now, const struct sc_ring_key **key, bool *renew)
    SESSCACHE_MUST_CHECK;

/*
 * Make the next key the current one, whether or not it is due; or replace all
 * keys, so that nothing opens that was sealed before.  Statuses as those of
 * sc_keyring_current().
 */
enum sesscache_status sc_keyring_rotate(const struct sc_keyring *keyring,
    uint32_t now) SESSCACHE_MUST_CHECK;
enum sesscache_status sc_keyring_replace(const struct sc_keyring *keyring,
    uint32_t now) SESSCACHE_MUST_CHECK;

/*
 * The keys as they are, nothing done: names and times only.  SESSCACHE_OK,
 * also if none was made yet; SESSCACHE_ECORRUPT if they do not open.
 */
enum sesscache_status sc_keyring_list(const struct sc_keyring *keyring,
    struct sc_ticket_key keys[SESSCACHE_KEYS_MAX], size_t *n, uint32_t now)
    SESSCACHE_MUST_CHECK;

#endif
