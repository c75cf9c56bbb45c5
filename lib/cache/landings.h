/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a place has lately led, which is what a client asked for, when that
 * was elsewhere than sessions said: the others of the same kind are not resumed then, which
 * spares their connections.  Knows hashes and times.
 *
 * In shared memory, read and written by all processes without a lock.  What
 * two of them, or one that dies, leave half written costs a full handshake, or
 * an entry that has to be learned again.  There is room for so many: when a
 * bucket is full, none of the sessions that fall into it resumes until there
 * is room again.  Sessions with client authentication have a table of their
 * own, and of that, clients who showed no certificate get one half of each
 * bucket: clients that nobody knows cannot fill it.  Where that half is full,
 * nothing is learned from them.
 */
#ifndef SC_CACHE_LANDINGS_H
#define SC_CACHE_LANDINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	SC_LANDINGS_BUCKETS = 128, /* a power of two */
	SC_LANDINGS_ENTRIES = 4,   /* of a bucket */
	SC_LANDINGS_OF_NOBODY = 2, /* of these */
};

struct sc_landing {
	_Atomic uint64_t place;
	_Atomic uint64_t landed; /* where it leads; 0: here and there */
	_Atomic uint32_t until;  /* free from then on */
};

struct sc_landings_bucket {
	struct sc_landing entries[SC_LANDINGS_ENTRIES];
	_Atomic uint32_t full_until; /* some entry found no room */
};

/* In the control file; ready when zeroed. */
struct sc_landings {
	struct sc_landings_bucket open[SC_LANDINGS_BUCKETS];
	struct sc_landings_bucket auth[SC_LANDINGS_BUCKETS];
};

/*
 * Note until when a session of this place may only resume if it says where
 * that leads; of its flags SC_RECORD_AUTH and SC_RECORD_NOBODY matter.  None
 * may if landed is 0, or is another one than was noted before.
 */
void sc_landings_note(struct sc_landings *landings, uint64_t place,
    unsigned flags, uint64_t landed, uint32_t now, uint32_t until);

/* Whether a session of this place that says where it landed may resume. */
bool sc_landings_allow(const struct sc_landings *landings, uint64_t place,
    unsigned flags, uint64_t landed, uint32_t now);

#endif
