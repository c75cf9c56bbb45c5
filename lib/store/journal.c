/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See journal.h.  A process may die between any two instructions here: an
 * entry counts only once the count says so, and what it says is complete
 * then.  The order of the stores within a thread is all that this takes: the
 * next owner of the gate comes after them.
 */
#include <string.h>

#include "store/journal.h"

/* Let the compiler move no store across. */
static inline void
keep_order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

static inline bool
is_dead(const struct sc_journal_entry *entry)
{
	return atomic_load_explicit(&entry->dead, memory_order_relaxed) != 0;
}

/* Whether it leads to bytes of the journal: it may have been damaged. */
static inline bool
is_whole(const struct sc_journal_entry *entry)
{
	return entry->offset <= SC_JOURNAL_BYTES &&
	    entry->len <= SC_JOURNAL_BYTES - entry->offset &&
	    entry->queue <= SESSCACHE_REGULAR;
}

static void
clear_records(struct sc_journal *journal)
{
	journal->count = 0;
	keep_order();
	journal->bytes = 0;
	journal->aliases = 0;
	journal->lowest = UINT64_MAX;
}

void
sc_journal_clear(struct sc_journal *journal)
{
	journal->removals = 0;
	clear_records(journal);
}

bool
sc_journal_is_sound(const struct sc_journal *journal)
{
	uint32_t i;

	if (journal->count > SC_JOURNAL_ENTRIES ||
	    journal->removals > SC_JOURNAL_REMOVALS ||
	    journal->bytes > SC_JOURNAL_BYTES)
		return false;
	for (i = 0; i < journal->count; i++) {
		if (!is_whole(&journal->entries[i]))
			return false;
	}
	return true;
}

bool
sc_journal_has_room(const struct sc_journal *journal, size_t len)
{
	return journal->count < SC_JOURNAL_ENTRIES &&
	    journal->bytes <= SC_JOURNAL_BYTES &&
	    len <= SC_JOURNAL_BYTES - journal->bytes;
}

bool
sc_journal_can_remove(const struct sc_journal *journal)
{
	return journal->removals < SC_JOURNAL_REMOVALS;
}

/* Of the first entries, those of this number are no longer valid. */
static void
kill_entries(struct sc_journal *journal, uint64_t seq, uint32_t count)
{
	uint32_t i;

	if (seq < journal->lowest)
		return;
	for (i = 0; i < count; i++) {
		if (journal->seqs[i] == seq)
			atomic_store_explicit(&journal->entries[i].dead, 1,
			    memory_order_relaxed);
	}
}

void
sc_journal_put(struct sc_journal *journal, enum sesscache_queue queue,
    uint64_t seq, uint64_t alias, struct sc_span record)
{
	struct sc_journal_entry *entry = &journal->entries[journal->count];

	memcpy(journal->data + journal->bytes, record.bytes, record.len);
	entry->alias = alias;
	entry->offset = journal->bytes;
	entry->len = (uint32_t)record.len;
	entry->queue = (uint8_t)queue;
	atomic_store_explicit(&entry->dead, 0, memory_order_relaxed);
	journal->seqs[journal->count] = seq;
	if (seq < journal->lowest)
		journal->lowest = seq;
	if (alias != 0)
		journal->aliases++;
	journal->bytes += (uint32_t)record.len;
	keep_order();
	journal->count++;
	/* Only now: until here the older one was the record. */
	kill_entries(journal, seq, journal->count - 1);
}

void
sc_journal_remove(struct sc_journal *journal, uint64_t seq)
{
	/* The removal counts from here on; an entry found dead before its
	 * removal is noted is no more than a removal that took effect. */
	journal->removed[journal->removals] = seq;
	keep_order();
	journal->removals++;
	kill_entries(journal, seq, sc_journal_count(journal));
}

void
sc_journal_give_up_all(struct sc_journal *journal)
{
	uint32_t i;

	for (i = 0; i < sc_journal_count(journal); i++) {
		if (atomic_load_explicit(&journal->entries[i].dead,
			memory_order_relaxed) == 0 &&
		    sc_journal_can_remove(journal))
			sc_journal_remove(journal, journal->seqs[i]);
	}
	clear_records(journal);
}

void
sc_journal_forget(struct sc_journal *journal, uint64_t seq)
{
	uint32_t i;

	kill_entries(journal, seq, sc_journal_count(journal));
	for (i = 0; i < sc_journal_removals(journal); i++) {
		if (journal->removed[i] == seq)
			journal->removed[i] = 0; /* no record has number 0 */
	}
}

bool
sc_journal_give_up(struct sc_journal *journal, uint64_t seq)
{
	enum sesscache_queue queue;
	struct sc_span record;

	if (sc_journal_find(journal, seq, &record, &queue) != SC_JOURNAL_FOUND)
		return false;
	kill_entries(journal, seq, sc_journal_count(journal));
	return true;
}

enum sc_journal_answer
sc_journal_find(const struct sc_journal *journal, uint64_t seq,
    struct sc_span *record, enum sesscache_queue *queue)
{
	const struct sc_journal_entry *entry;
	uint32_t i;

	i = seq < journal->lowest ? 0 : sc_journal_count(journal);
	for (; i > 0; i--) {
		entry = &journal->entries[i - 1];
		if (journal->seqs[i - 1] != seq || is_dead(entry) ||
		    !is_whole(entry))
			continue;
		record->bytes = journal->data + entry->offset;
		record->len = entry->len;
		*queue = (enum sesscache_queue)entry->queue;
		return SC_JOURNAL_FOUND;
	}
	for (i = 0; i < sc_journal_removals(journal); i++) {
		if (journal->removed[i] == seq)
			return SC_JOURNAL_REMOVED;
	}
	return SC_JOURNAL_UNKNOWN;
}

bool
sc_journal_find_alias(const struct sc_journal *journal, uint64_t alias,
    uint64_t *seq)
{
	uint32_t i;

	i = journal->aliases == 0 ? 0 : sc_journal_count(journal);
	for (; i > 0; i--) {
		if (journal->entries[i - 1].alias == alias &&
		    !is_dead(&journal->entries[i - 1])) {
			*seq = journal->seqs[i - 1];
			return true;
		}
	}
	return false;
}

unsigned
sc_journal_order(const struct sc_journal *journal,
    uint8_t order[SC_JOURNAL_ENTRIES])
{
	unsigned i, at, n = sc_journal_count(journal);

	for (i = 0; i < n; i++) {
		for (at = i;
		     at > 0 && journal->seqs[order[at - 1]] > journal->seqs[i];
		     at--)
			order[at] = order[at - 1];
		order[at] = (uint8_t)i;
	}
	return n;
}
