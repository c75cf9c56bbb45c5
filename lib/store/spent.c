/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See spent.h.  The three counts may have any value, and any process may die
 * between two instructions: all that is asked of a count is its distance from
 * another, and what is out of reach is moved to where the ring begins.
 */
#include "store/spent.h"

static uint32_t
load(const _Atomic uint32_t *count)
{
	return atomic_load_explicit(count, memory_order_relaxed);
}

void
sc_spent_push(struct sc_spent *spent, uint64_t seq)
{
	uint32_t at = load(&spent->pushed);

	atomic_store_explicit(&spent->seqs[at % SC_SPENT_ENTRIES], seq,
	    memory_order_relaxed);
	atomic_store_explicit(&spent->pushed, at + 1, memory_order_release);
}

void
sc_spent_ripen(struct sc_spent *spent)
{
	atomic_store_explicit(&spent->ripe, load(&spent->pushed),
	    memory_order_release);
}

/* How many are ripe and still in the ring, at the end of which *end is. */
static uint32_t
ripe_after(const struct sc_spent *spent, uint32_t taken, uint32_t *end)
{
	uint32_t pushed = atomic_load_explicit(&spent->pushed,
	    memory_order_acquire);
	uint32_t unripe = pushed - load(&spent->ripe);
	uint32_t left = pushed - taken;

	if (unripe > SC_SPENT_ENTRIES)
		unripe = 0; /* so many came since: all but the last are old */
	if (left > SC_SPENT_ENTRIES)
		left = SC_SPENT_ENTRIES; /* the others were overwritten */
	*end = pushed - unripe;
	return left > unripe ? left - unripe : 0;
}

uint32_t
sc_spent_waiting(const struct sc_spent *spent)
{
	uint32_t end;

	return ripe_after(spent, load(&spent->taken), &end);
}

uint32_t
sc_spent_first(const struct sc_spent *spent)
{
	return load(&spent->taken);
}

bool
sc_spent_next(const struct sc_spent *spent, uint32_t *at, uint64_t *seq)
{
	uint32_t end, n = ripe_after(spent, *at, &end);

	if (n == 0)
		return false;
	*seq = atomic_load_explicit(&spent->seqs[(end - n) % SC_SPENT_ENTRIES],
	    memory_order_relaxed);
	*at = end - n + 1;
	return true;
}

void
sc_spent_done(struct sc_spent *spent, uint32_t at)
{
	atomic_store_explicit(&spent->taken, at, memory_order_relaxed);
}
