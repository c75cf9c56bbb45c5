/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The newest stores and removals of one shard, in shared memory, before they
 * go to the tree together in one transaction.  Two journals take turns: one
 * takes what comes while the other is written out.  Knows no locks: whoever
 * calls holds the shard's gate.  Of the journal that is being written out,
 * sc_journal_order(), sc_journal_find(), sc_journal_give_up() and the reading
 * of entries need no gate.
 *
 * Why: a store then costs a copy, not a transaction; and TLS 1.2 session IDs,
 * chosen a round trip before their sessions are stored, reach the tree in
 * their order, so that its pages are filled and not split in halves.
 */
#ifndef SC_STORE_JOURNAL_H
#define SC_STORE_JOURNAL_H

#include <stdatomic.h>

#include "store/tree.h"

enum {
	SC_JOURNAL_ENTRIES = 64,
	SC_JOURNAL_REMOVALS = 64,
	SC_JOURNAL_BYTES = 12032,
	SC_JOURNAL_LONGEST = 4096, /* bytes: longer records bypass it */
};

struct sc_journal_entry {
	uint64_t alias; /* 0: none */
	uint32_t offset;
	uint32_t len;
	atomic_uint_least8_t dead; /* removed or replaced */
	uint8_t queue;
};

struct sc_journal {
	uint32_t count;
	uint32_t removals;
	uint32_t bytes;
	uint32_t aliases; /* entries that have one */
	uint64_t lowest;  /* sequence number of all entries */
	uint64_t seqs[SC_JOURNAL_ENTRIES];
	uint64_t removed[SC_JOURNAL_REMOVALS];
	struct sc_journal_entry entries[SC_JOURNAL_ENTRIES];
	uint8_t data[SC_JOURNAL_BYTES];
};

enum sc_journal_answer {
	SC_JOURNAL_UNKNOWN, /* ask the older journal, then the tree */
	SC_JOURNAL_FOUND,
	SC_JOURNAL_REMOVED,
};

void sc_journal_clear(struct sc_journal *journal);

/* Instead of its records there are removals: as far as there is room for
 * these, no older version of a record comes back. */
void sc_journal_give_up_all(struct sc_journal *journal);

/* Whether its counts are possible ones; else it is damaged. */
bool sc_journal_is_sound(const struct sc_journal *journal);

static inline bool
sc_journal_is_empty(const struct sc_journal *journal)
{
	return journal->count == 0 && journal->removals == 0;
}

/* Entries; never more than there can be, whatever the memory says. */
static inline uint32_t
sc_journal_count(const struct sc_journal *journal)
{
	return journal->count < SC_JOURNAL_ENTRIES ? journal->count :
						     SC_JOURNAL_ENTRIES;
}

/* The same of removals. */
static inline uint32_t
sc_journal_removals(const struct sc_journal *journal)
{
	return journal->removals < SC_JOURNAL_REMOVALS ? journal->removals :
							 SC_JOURNAL_REMOVALS;
}

/* Room for one more record of this length, or for one more removal. */
bool sc_journal_has_room(const struct sc_journal *journal, size_t len);
bool sc_journal_can_remove(const struct sc_journal *journal);

/* Add a record, in the place of one of the same number; there is room. */
void sc_journal_put(struct sc_journal *journal, enum sesscache_queue queue,
    uint64_t seq, uint64_t alias, struct sc_span record);

/* Note that a record is removed, wherever it is; there is room. */
void sc_journal_remove(struct sc_journal *journal, uint64_t seq);

/* Forget all that it says of a record. */
void sc_journal_forget(struct sc_journal *journal, uint64_t seq);

/* A record that is to be written out shall not be; whether there was one. */
bool sc_journal_give_up(struct sc_journal *journal, uint64_t seq);

/* What it says of a record; *record is borrowed until the gate is left. */
enum sc_journal_answer sc_journal_find(const struct sc_journal *journal,
    uint64_t seq, struct sc_span *record, enum sesscache_queue *queue);

/* The newest live record of an alias; *seq is its number. */
bool sc_journal_find_alias(const struct sc_journal *journal, uint64_t alias,
    uint64_t *seq);

/* Indices of the entries by ascending sequence number; how many. */
unsigned sc_journal_order(const struct sc_journal *journal,
    uint8_t order[SC_JOURNAL_ENTRIES]);

#endif
