/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers of the tickets of one shard that were used, in shared memory: what
 * an eviction takes first.  A ring; knows no records and no locks.
 *
 * One pushes at a time, inside the gate; one takes at a time, with the work
 * lock.  A ring that is full overwrites its oldest: their records are the
 * nearest to be evicted for their age, while a young one that nobody takes
 * is in the way for longest.
 *
 * It lives in a file, and is no more than a hint: whoever takes a number must
 * look at the record, for it may have gone, or be another one by now, and the
 * memory may have been written over.
 */
#ifndef SC_STORE_SPENT_H
#define SC_STORE_SPENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * While a journal fills, about as many tickets are used as it takes records.
 * But there are times when no room is needed: with 256 entries the hit ratio
 * was a point lower.
 */
enum { SC_SPENT_ENTRIES = 1024 };

struct sc_spent {
	_Atomic uint32_t pushed; /* so far, as the next two, modulo 2^32 */
	_Atomic uint32_t ripe;   /* may be taken up to here */
	_Atomic uint32_t taken;
	_Atomic uint64_t seqs[SC_SPENT_ENTRIES];
};

void sc_spent_push(struct sc_spent *spent, uint64_t seq);

/* Let all be taken that were pushed until now; inside the gate. */
void sc_spent_ripen(struct sc_spent *spent);

/* How many could be taken. */
uint32_t sc_spent_waiting(const struct sc_spent *spent);

/*
 * Taking, in two steps, so that what a transaction took that failed is taken
 * again.  *at is where the last one was, at first sc_spent_first(); false:
 * none is left.
 */
uint32_t sc_spent_first(const struct sc_spent *spent);
bool sc_spent_next(const struct sc_spent *spent, uint32_t *at, uint64_t *seq);
void sc_spent_done(struct sc_spent *spent, uint32_t at);

#endif
