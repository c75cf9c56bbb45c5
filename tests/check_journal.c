/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The journal of a shard: the newest word on a record, its bounds, and what
 * it makes of bytes that are no journal.
 */
#include <stdlib.h>
#include <string.h>

#include "store/journal.h"
#include "support.h"

static struct sc_journal journal;

static void
setup(void)
{
	memset(&journal, 0xa5, sizeof(journal));
	sc_journal_clear(&journal);
}

static void
put(uint64_t seq, uint64_t alias, const char *text)
{
	const struct sc_span record = { (const uint8_t *)text, strlen(text) };

	ck_assert(sc_journal_has_room(&journal, record.len));
	sc_journal_put(&journal, SESSCACHE_NEWCOMER, seq, alias, record);
}

static bool
says(uint64_t seq, const char *text)
{
	enum sesscache_queue queue;
	struct sc_span record;

	return sc_journal_find(&journal, seq, &record, &queue) ==
	    SC_JOURNAL_FOUND &&
	    record.len == strlen(text) &&
	    memcmp(record.bytes, text, record.len) == 0;
}

static enum sc_journal_answer
answer(uint64_t seq)
{
	enum sesscache_queue queue;
	struct sc_span record;

	return sc_journal_find(&journal, seq, &record, &queue);
}

START_TEST(cleared_journal_knows_nothing)
{
	uint64_t seq;

	ck_assert(sc_journal_is_empty(&journal));
	ck_assert(sc_journal_is_sound(&journal));
	ck_assert_int_eq(answer(0), SC_JOURNAL_UNKNOWN);
	ck_assert_int_eq(answer(UINT64_MAX), SC_JOURNAL_UNKNOWN);
	ck_assert(!sc_journal_find_alias(&journal, 1, &seq));
	put(1, 1, "a");
	sc_journal_remove(&journal, 2);
	ck_assert(!sc_journal_is_empty(&journal));
	sc_journal_clear(&journal);
	ck_assert(sc_journal_is_empty(&journal));
	ck_assert_int_eq(answer(1), SC_JOURNAL_UNKNOWN);
	ck_assert_int_eq(answer(2), SC_JOURNAL_UNKNOWN);
	ck_assert(!sc_journal_find_alias(&journal, 1, &seq));
}
END_TEST

START_TEST(last_word_on_a_record_counts)
{
	put(5, 0, "first");
	put(6, 0, "other");
	ck_assert(says(5, "first"));
	put(5, 0, "second");
	ck_assert(says(5, "second"));
	sc_journal_remove(&journal, 5);
	ck_assert_int_eq(answer(5), SC_JOURNAL_REMOVED);
	put(5, 0, "third");
	ck_assert(says(5, "third"));
	sc_journal_remove(&journal, 4); /* of none that it has */
	ck_assert_int_eq(answer(4), SC_JOURNAL_REMOVED);
	ck_assert(says(6, "other"));
	ck_assert_int_eq(answer(7), SC_JOURNAL_UNKNOWN);
}
END_TEST

START_TEST(forgotten_record_is_unknown)
{
	put(5, 9, "first");
	sc_journal_remove(&journal, 5);
	put(5, 9, "second");
	sc_journal_remove(&journal, 6);
	sc_journal_forget(&journal, 5);
	sc_journal_forget(&journal, 6);
	sc_journal_forget(&journal, 7);
	ck_assert_int_eq(answer(5), SC_JOURNAL_UNKNOWN);
	ck_assert_int_eq(answer(6), SC_JOURNAL_UNKNOWN);
}
END_TEST

/* An older version of it may be in the tree. */
START_TEST(record_that_was_given_up_is_removed)
{
	uint64_t seq = 0;

	put(1, 7, "a");
	put(2, 0, "b");
	put(3, 0, "c");
	sc_journal_remove(&journal, 2);
	sc_journal_give_up_all(&journal);
	for (seq = 1; seq <= 3; seq++)
		ck_assert_int_eq(answer(seq), SC_JOURNAL_REMOVED);
	ck_assert(!sc_journal_find_alias(&journal, 7, &seq));
	ck_assert_uint_eq(journal.removals, 3);
	ck_assert_uint_eq(journal.count, 0);
	for (seq = 1; sc_journal_can_remove(&journal); seq++)
		sc_journal_remove(&journal, 100 + seq);
	put(1, 0, "d");
	sc_journal_give_up_all(&journal); /* there is no room to say more */
	ck_assert(sc_journal_is_sound(&journal));
	ck_assert_uint_eq(journal.count, 0);
}
END_TEST

START_TEST(alias_leads_to_its_newest_live_record)
{
	uint64_t seq = 0;

	put(5, 9, "a");
	put(6, 0, "b");
	ck_assert(sc_journal_find_alias(&journal, 9, &seq));
	ck_assert_uint_eq(seq, 5);
	put(7, 9, "c");
	ck_assert(sc_journal_find_alias(&journal, 9, &seq));
	ck_assert_uint_eq(seq, 7);
	sc_journal_remove(&journal, 7);
	ck_assert(sc_journal_find_alias(&journal, 9, &seq));
	ck_assert_uint_eq(seq, 5);
	sc_journal_remove(&journal, 5);
	ck_assert(!sc_journal_find_alias(&journal, 9, &seq));
}
END_TEST

START_TEST(journal_is_full_by_count_by_bytes_and_by_removals)
{
	static const uint8_t bytes[SC_JOURNAL_LONGEST];
	struct sc_span record = { bytes, sizeof(bytes) };
	uint64_t seq = 1;

	while (sc_journal_has_room(&journal, record.len))
		sc_journal_put(&journal, SESSCACHE_REGULAR, seq++, 0, record);
	ck_assert_uint_eq(seq - 1, SC_JOURNAL_BYTES / SC_JOURNAL_LONGEST);
	ck_assert(sc_journal_has_room(&journal,
	    SC_JOURNAL_BYTES % SC_JOURNAL_LONGEST));
	ck_assert(!sc_journal_has_room(&journal,
	    SC_JOURNAL_BYTES % SC_JOURNAL_LONGEST + 1));
	record.len = 0;
	while (sc_journal_has_room(&journal, 0))
		sc_journal_put(&journal, SESSCACHE_REGULAR, seq++, 0, record);
	ck_assert_uint_eq(seq - 1, SC_JOURNAL_ENTRIES);
	for (seq = 1000; sc_journal_can_remove(&journal); seq++)
		sc_journal_remove(&journal, seq);
	ck_assert_uint_eq(seq - 1000, SC_JOURNAL_REMOVALS);
	ck_assert(sc_journal_is_sound(&journal));
}
END_TEST

START_TEST(order_is_that_of_the_numbers)
{
	uint8_t order[SC_JOURNAL_ENTRIES];
	uint64_t state = (uint64_t)_i + 1;
	bool seen[SC_JOURNAL_ENTRIES] = { false };
	unsigned i, n;

	while (sc_journal_has_room(&journal, 1))
		put(1 + test_random(&state) % 40, 0, "x");
	n = sc_journal_order(&journal, order);
	ck_assert_uint_eq(n, SC_JOURNAL_ENTRIES);
	for (i = 0; i < n; i++) {
		ck_assert(!seen[order[i]]);
		seen[order[i]] = true;
		if (i == 0)
			continue;
		ck_assert_uint_le(journal.seqs[order[i - 1]],
		    journal.seqs[order[i]]);
		/* Of one number, the later one later. */
		if (journal.seqs[order[i - 1]] == journal.seqs[order[i]])
			ck_assert_uint_lt(order[i - 1], order[i]);
	}
}
END_TEST

static void
damage_count(void)
{
	journal.count = SC_JOURNAL_ENTRIES + 1;
}

static void
damage_removals(void)
{
	journal.removals = SC_JOURNAL_REMOVALS + 1;
}

static void
damage_bytes(void)
{
	journal.bytes = SC_JOURNAL_BYTES + 1;
}

static void
damage_offset(void)
{
	journal.entries[0].offset = SC_JOURNAL_BYTES + 1;
}

static void
damage_len(void)
{
	journal.entries[0].len = SC_JOURNAL_BYTES;
	journal.entries[0].offset = 1;
}

static void
damage_huge_len(void)
{
	journal.entries[0].len = UINT32_MAX;
}

static void
damage_queue(void)
{
	journal.entries[0].queue = 2;
}

static const struct {
	const char *name;
	void (*damage)(void);
} damages[] = {
	{ "count", damage_count },
	{ "removals", damage_removals },
	{ "bytes", damage_bytes },
	{ "offset", damage_offset },
	{ "length", damage_len },
	{ "huge length", damage_huge_len },
	{ "queue", damage_queue },
};

START_TEST(impossible_counts_are_not_sound)
{
	put(1, 0, "a");
	put(2, 0, "b");
	ck_assert(sc_journal_is_sound(&journal));
	damages[_i].damage();
	ck_assert_msg(!sc_journal_is_sound(&journal), "%s", damages[_i].name);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("journal");
	TCase *tc = tcase_create("journal");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, cleared_journal_knows_nothing);
	tcase_add_test(tc, last_word_on_a_record_counts);
	tcase_add_test(tc, forgotten_record_is_unknown);
	tcase_add_test(tc, record_that_was_given_up_is_removed);
	tcase_add_test(tc, alias_leads_to_its_newest_live_record);
	tcase_add_test(tc, journal_is_full_by_count_by_bytes_and_by_removals);
	tcase_add_loop_test(tc, order_is_that_of_the_numbers, 0, 20);
	tcase_add_loop_test(tc, impossible_counts_are_not_sound, 0,
	    N_OF(damages));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
