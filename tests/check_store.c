/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store: records under numbers, over journals, trees and files; its bound,
 * its sizes, and what is left when a process dies or stops.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/shard.h"
#include "support.h"

enum {
	MIB = 1 << 20,
	NOW = 1000,
	TRIES = 500, /* of what a slow machine may find busy */
	USUAL = 160, /* bytes of a record */
};

static struct sc_store *store;
static uint8_t got[SC_TREE_MAX_RECORD];

/* --- a store ------------------------------------------------------------- */

/* The oldest record of both queues. */
static enum sesscache_status
drop_oldest(struct sc_room *room, uint32_t now)
{
	enum sesscache_status status = SESSCACHE_OK;
	uint64_t seq[2];
	struct sc_span head;
	int q;

	(void)now;
	while (status == SESSCACHE_OK && sc_room_wanted(room)) {
		for (q = 0; q < 2; q++) {
			seq[q] = 0;
			if (sc_room_first(room, (enum sesscache_queue)q,
				&seq[q], &head) != SESSCACHE_OK)
				seq[q] = UINT64_MAX;
		}
		q = seq[1] < seq[0];
		status = seq[q] == UINT64_MAX ?
		    SESSCACHE_MISS :
		    sc_room_delete(room, (enum sesscache_queue)q, seq[q],
			SC_COUNT_EVICTED_NEWCOMERS);
	}
	return status == SESSCACHE_MISS ? SESSCACHE_OK : status;
}

static int killed_in[2] = { -1, -1 }; /* where to stop, and be killed */

/* Spent records, whichever; then the oldest. */
static enum sesscache_status
drop_spent(struct sc_room *room, uint32_t now)
{
	enum sesscache_status status = SESSCACHE_OK;
	enum sesscache_queue queue;
	struct sc_span head;
	uint64_t seq;
	uint8_t byte;

	while (status == SESSCACHE_OK && sc_room_wanted(room)) {
		status = sc_room_spent(room, &queue, &seq, &head);
		if (status != SESSCACHE_OK)
			break;
		status = sc_room_delete(room, queue, seq,
		    SC_COUNT_EVICTED_REGULARS);
		if (killed_in[0] >= 0 && write(killed_in[1], "s", 1) == 1)
			(void)!read(killed_in[0], &byte, 1);
	}
	return status == SESSCACHE_OK || status == SESSCACHE_MISS ?
	    drop_oldest(room, now) :
	    status;
}

static enum sesscache_status
init_nothing(void *part)
{
	(void)part;
	return SESSCACHE_OK;
}

static struct sc_store_config
usual_config(void)
{
	return (struct sc_store_config){ .dir = test_dir(""),
		.size_bytes = MIB,
		.create = true,
		.shards = 1,
		.init = init_nothing,
		.make_room = drop_oldest };
}

static enum sesscache_status
open_as(const struct sc_store_config *config, struct sc_store_opened *opened)
{
	struct sc_store_opened unused;

	return sc_store_open(&store, config, opened != NULL ? opened : &unused);
}

static void
open_usual(uint64_t size_bytes, uint32_t shards)
{
	struct sc_store_config config = usual_config();

	config.size_bytes = size_bytes;
	config.shards = shards;
	ck_done(open_as(&config, NULL));
}

static void
close_store(void)
{
	sc_store_close(store);
	store = NULL;
}

static void
setup(void)
{
	test_dir_make();
	open_usual(MIB, 1);
}

static void
setup_spent(void)
{
	struct sc_store_config config = usual_config();

	test_dir_make();
	config.make_room = drop_spent;
	ck_done(open_as(&config, NULL));
}

static void
teardown(void)
{
	close_store();
	test_dir_remove();
}

/* The bytes of a record: of its number, its version and its length. */
static void
fill_record(uint8_t *bytes, size_t len, uint64_t seq, uint64_t version)
{
	test_fill(bytes, len, seq * 1000003 + version * 101 + len);
	if (len > 0) /* no alias unless put_aliased() says so */
		bytes[0] &= 0x7f;
}

static enum sesscache_status
put_once(unsigned shard, const struct sc_stored *stored)
{
	enum sesscache_status status;

	status = sc_store_enter(store, shard, SC_LOCK_PATIENT_MS);
	if (status != SESSCACHE_OK)
		return status;
	status = sc_store_put(store, shard, stored);
	sc_store_leave(store, shard);
	return status;
}

static enum sesscache_status
put_stored(unsigned shard, const struct sc_stored *stored)
{
	enum sesscache_status status = SESSCACHE_EBUSY, flushed;
	int i;

	for (i = 0; i < TRIES && status == SESSCACHE_EBUSY; i++) {
		if (!sc_store_is_short(stored->record.len)) {
			status = sc_store_put_long(store, shard, stored, NOW,
			    NULL, NULL);
			continue;
		}
		status = put_once(shard, stored);
		if (status != SESSCACHE_EBUSY)
			break;
		flushed = sc_store_flush(store, shard, SC_FLUSH_FULL, NOW);
		if (flushed != SESSCACHE_OK && flushed != SESSCACHE_EBUSY)
			return flushed;
	}
	return status;
}

static enum sesscache_status
put(unsigned shard, enum sesscache_queue queue, uint64_t seq, uint64_t version,
    size_t len)
{
	static uint8_t bytes[SC_TREE_MAX_RECORD];
	const struct sc_stored stored = { .queue = queue,
		.seq = seq,
		.record = { bytes, len } };

	fill_record(bytes, len, seq, version);
	return put_stored(shard, &stored);
}

/* A record that its alias leads to, as the cache writes them. */
static enum sesscache_status
put_aliased(uint64_t seq, uint64_t alias, uint64_t replaces, size_t len)
{
	static uint8_t bytes[SC_TREE_MAX_RECORD];
	const struct sc_stored stored = { .seq = seq,
		.alias = alias,
		.replaces = replaces,
		.record = { bytes, len } };
	int i;

	fill_record(bytes, len, seq, 0);
	bytes[0] |= SC_RECORD_ALIASED;
	for (i = 0; i < 8; i++)
		bytes[1 + i] = (uint8_t)(alias >> (8 * (7 - i)));
	return put_stored(0, &stored);
}

static enum sesscache_status
find_alias(uint64_t alias, uint64_t *seq)
{
	enum sesscache_status status;

	ck_done(sc_store_enter(store, 0, SC_LOCK_PATIENT_MS));
	status = sc_store_find_alias(store, 0, alias, seq);
	sc_store_leave(store, 0);
	return status;
}

static enum sesscache_status
read_record(unsigned shard, uint64_t seq, size_t *len,
    enum sesscache_queue *queue)
{
	enum sesscache_status status;

	status = sc_store_enter(store, shard, SC_LOCK_PATIENT_MS);
	if (status != SESSCACHE_OK)
		return status;
	status = sc_store_read(store, shard, seq, got, sizeof(got), len, queue);
	sc_store_leave(store, shard);
	return status;
}

static bool
has(unsigned shard, uint64_t seq, uint64_t version, size_t len)
{
	static uint8_t want[SC_TREE_MAX_RECORD];
	enum sesscache_queue queue;
	size_t got_len = 0;

	fill_record(want, len, seq, version);
	return read_record(shard, seq, &got_len, &queue) == SESSCACHE_OK &&
	    got_len == len && memcmp(got, want, len) == 0;
}

static bool
is_gone(unsigned shard, uint64_t seq)
{
	enum sesscache_queue queue;
	size_t len;

	return read_record(shard, seq, &len, &queue) == SESSCACHE_MISS;
}

static void
remove_record(unsigned shard, uint64_t seq)
{
	enum sesscache_status status = SESSCACHE_EBUSY;
	int i;

	for (i = 0; i < 3 && status == SESSCACHE_EBUSY; i++) {
		ck_done(sc_store_enter(store, shard, SC_LOCK_PATIENT_MS));
		status = sc_store_remove(store, shard, seq);
		sc_store_leave(store, shard);
		if (status == SESSCACHE_EBUSY)
			ck_done(
			    sc_store_flush(store, shard, SC_FLUSH_FULL, NOW));
	}
	ck_done(status);
}

/* Both journals. */
static void
flush(unsigned shard)
{
	ck_done(sc_store_flush(store, shard, SC_FLUSH_ALL, NOW));
	ck_done(sc_store_flush(store, shard, SC_FLUSH_ALL, NOW));
}

static struct sc_tree_usage
usage_of(unsigned shard)
{
	struct sc_tree_usage usage;

	ck_done(sc_store_enter(store, shard, SC_LOCK_PATIENT_MS));
	ck_done(sc_store_usage(store, shard, &usage));
	sc_store_leave(store, shard);
	return usage;
}

/* --- records ------------------------------------------------------------- */

/* Around the pieces of the tree, the pages, and what the journal takes. */
static const size_t lengths[] = { 0, 1, 8, 9, 160, 1999, 2000, 2001, 2002, 3999,
	4000, 4001, 4095, 4096, 4097, 5999, 6000, 12032, 16384, 30 * 1024,
	SC_TREE_MAX_RECORD - 1, SC_TREE_MAX_RECORD };

START_TEST(record_of_any_length_is_read_from_journal_and_tree)
{
	const size_t len = lengths[_i];
	const uint64_t seq = sc_store_next_seq(store, 0);

	ck_done(put(0, SESSCACHE_NEWCOMER, seq, 1, len));
	ck_assert_msg(has(0, seq, 1, len), "%zu bytes, at once", len);
	flush(0);
	ck_assert_msg(has(0, seq, 1, len), "%zu bytes, flushed", len);
	remove_record(0, seq);
	ck_assert_msg(is_gone(0, seq), "%zu bytes, removed", len);
	flush(0);
	ck_assert_msg(is_gone(0, seq), "%zu bytes, removed, flushed", len);
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_NEWCOMER], 0);
}
END_TEST

START_TEST(record_replaces_one_of_any_other_length)
{
	const uint64_t seq = sc_store_next_seq(store, 0);
	uint64_t version = 0;
	int i;

	for (i = 0; i < N_OF(lengths); i++) {
		ck_done(put(0, SESSCACHE_NEWCOMER, seq, ++version, lengths[i]));
		ck_done(put(0, SESSCACHE_REGULAR, seq, ++version, lengths[_i]));
		ck_assert_msg(has(0, seq, version, lengths[_i]),
		    "%zu after %zu bytes", lengths[_i], lengths[i]);
		flush(0);
		ck_assert_msg(has(0, seq, version, lengths[_i]),
		    "%zu after %zu bytes, flushed", lengths[_i], lengths[i]);
	}
	remove_record(0, seq);
	flush(0);
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_NEWCOMER], 0);
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_REGULAR], 0);
}
END_TEST

START_TEST(buffer_that_is_too_small_gets_nothing)
{
	const uint64_t seq = sc_store_next_seq(store, 0);
	enum sesscache_queue queue;
	uint8_t small[4] = { 1, 2, 3, 4 };
	size_t len;
	int flushed;

	ck_done(put(0, SESSCACHE_NEWCOMER, seq, 1, lengths[_i] + 5));
	for (flushed = 0; flushed < 2; flushed++) {
		ck_done(sc_store_enter(store, 0, SC_LOCK_TRY));
		ck_status(sc_store_read(store, 0, seq, small, sizeof(small),
			      &len, &queue),
		    SESSCACHE_ETOOBIG);
		sc_store_leave(store, 0);
		flush(0);
	}
}
END_TEST

START_TEST(usage_counts_records_wherever_they_are)
{
	uint64_t first, seq = 0;
	int i;

	first = sc_store_next_seq(store, 0);
	for (i = 0; i < 100; i++) {
		seq = i == 0 ? first : sc_store_next_seq(store, 0);
		ck_done(put(0, SESSCACHE_NEWCOMER, seq, 1, USUAL));
	}
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_NEWCOMER], 100);
	flush(0);
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_NEWCOMER], 100);
	/* Neither flushed: a removal, and a record that replaces one. */
	remove_record(0, first);
	ck_done(put(0, SESSCACHE_REGULAR, seq, 2, USUAL));
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_NEWCOMER], 98);
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_REGULAR], 1);
	flush(0);
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_NEWCOMER], 98);
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_REGULAR], 1);
}
END_TEST

START_TEST(usage_counts_records_not_their_pieces)
{
	int i;

	for (i = 0; i < 5; i++)
		ck_done(put(0, SESSCACHE_NEWCOMER, sc_store_next_seq(store, 0),
		    1, 10000));
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_NEWCOMER], 5);
}
END_TEST

/* A model of what the store should hold, and a run of random operations. */
enum { MODEL = 300 };

struct model {
	uint64_t version; /* 0: no record */
	size_t len;
};

static size_t
random_length(uint64_t *state)
{
	uint64_t n = test_random(state);

	if (n % 16 < 11)
		return (n >> 8) % 400;
	return n % 16 < 15 ? (n >> 8) % 4200 : (n >> 8) % 12000;
}

static void
check_model(const struct model *model, uint64_t step)
{
	uint64_t seq;

	for (seq = 1; seq < MODEL; seq++) {
		if (model[seq].version == 0)
			ck_assert_msg(is_gone(0, seq), "step %lu: %lu is there",
			    (unsigned long)step, (unsigned long)seq);
		else
			ck_assert_msg(has(0, seq, model[seq].version,
					  model[seq].len),
			    "step %lu: %lu is not what was stored",
			    (unsigned long)step, (unsigned long)seq);
	}
}

START_TEST(random_operations_leave_what_a_model_says)
{
	struct model model[MODEL] = { { 0 } };
	uint64_t state = (uint64_t)_i + 77, step, seq, what;
	unsigned steps = test_times(4000, 400);

	for (step = 1; step <= steps; step++) {
		what = test_random(&state) % 100;
		seq = 1 + test_random(&state) % (MODEL - 1);
		if (what < 60) {
			model[seq].version = step;
			model[seq].len = random_length(&state);
			ck_done(put(0,
			    what < 40 ? SESSCACHE_NEWCOMER : SESSCACHE_REGULAR,
			    seq, step, model[seq].len));
		} else if (what < 96) {
			model[seq].version = 0;
			remove_record(0, seq);
		} else {
			ck_done(sc_store_flush(store, 0,
			    what == 99 ? SC_FLUSH_FULL : SC_FLUSH_ALL, NOW));
		}
		if (step % 100 == 0)
			check_model(model, step);
	}
	flush(0);
	check_model(model, step);
}
END_TEST

static bool
says_no(void *arg)
{
	++*(int *)arg;
	return false;
}

START_TEST(long_record_is_not_stored_where_absent_says_no)
{
	static const uint8_t bytes[10000];
	const struct sc_stored stored = { .seq = 7,
		.record = { bytes, sizeof(bytes) } };
	int asked = 0;

	ck_done(put(0, SESSCACHE_NEWCOMER, 5, 1, USUAL));
	ck_status(sc_store_put_long(store, 0, &stored, NOW, says_no, &asked),
	    SESSCACHE_EXISTS);
	ck_assert_int_eq(asked, 1);
	ck_assert(is_gone(0, 7));
	ck_assert(has(0, 5, 1, USUAL));
	flush(0);
	ck_assert(is_gone(0, 7));
	ck_assert(has(0, 5, 1, USUAL));
}
END_TEST

START_TEST(write_numbers_are_never_given_twice)
{
	enum { N = 2000 };
	uint64_t before = 0, number, state = 5;
	int i;

	for (i = 0; i < N; i++) {
		number = sc_store_next_write(store, 0,
		    test_random(&state) % (2 * N));
		ck_assert_uint_gt(number, before);
		before = number;
	}
	number = sc_store_next_write(store, 0, before + 1000);
	ck_assert_uint_eq(number, before + 1000);
}
END_TEST

/* --- aliases ------------------------------------------------------------- */

static const struct {
	const char *name;
	size_t first_len, second_len;
	bool flush_first, flush_second;
} alias_cases[] = {
	{ "short, short", USUAL, USUAL, false, false },
	{ "short, flushed, short", USUAL, USUAL, true, false },
	{ "short, flushed, short, flushed", USUAL, USUAL, true, true },
	{ "short, long", USUAL, 9000, false, false },
	{ "short, flushed, long", USUAL, 9000, true, false },
	{ "long, short", 9000, USUAL, false, false },
	{ "long, short, flushed", 9000, USUAL, false, true },
	{ "long, long", 9000, 9001, false, false },
};

START_TEST(alias_leads_to_the_newest_record)
{
	const char *name = alias_cases[_i].name;
	uint64_t seq = 0;

	ck_done(put_aliased(10, 0xabc, 0, alias_cases[_i].first_len));
	ck_status(find_alias(0xabc, &seq), SESSCACHE_OK);
	ck_assert_uint_eq(seq, 10);
	if (alias_cases[_i].flush_first)
		flush(0);
	ck_done(put_aliased(11, 0xabc, 10, alias_cases[_i].second_len));
	if (alias_cases[_i].flush_second)
		flush(0);
	ck_status(find_alias(0xabc, &seq), SESSCACHE_OK);
	ck_assert_msg(seq == 11, "%s: leads to %lu", name, (unsigned long)seq);
	ck_assert_msg(is_gone(0, 10), "%s: the old one is there", name);
	remove_record(0, 11);
	flush(0);
	ck_assert_msg(find_alias(0xabc, &seq) == SESSCACHE_MISS,
	    "%s: leads to what was removed", name);
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_NEWCOMER], 0);
}
END_TEST

START_TEST(alias_of_an_orphan_stays_with_its_heir)
{
	uint64_t seq = 0;

	/* Two IDs of one hash: the later one takes the alias over. */
	ck_done(put_aliased(10, 0xabc, 0, USUAL));
	ck_done(put_aliased(11, 0xabc, 0, USUAL));
	flush(0);
	remove_record(0, 10);
	flush(0);
	ck_done(find_alias(0xabc, &seq));
	ck_assert_uint_eq(seq, 11);
}
END_TEST

START_TEST(eviction_takes_aliases_along)
{
	uint64_t alias, seq = 0;
	uint64_t n = test_times(20000, 5000);

	for (alias = 1; alias <= n; alias++)
		ck_done(
		    put_aliased(sc_store_next_seq(store, 0), alias, 0, USUAL));
	ck_done(find_alias(n, &seq));
	ck_assert_uint_eq(seq, n);
	ck_status(find_alias(1, &seq), SESSCACHE_MISS);
	ck_assert_uint_gt(sc_store_counted(store, 0,
			      SC_COUNT_EVICTED_NEWCOMERS),
	    0);
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_FAILED), 0);
}
END_TEST

/* --- marks --------------------------------------------------------------- */

START_TEST(mark_is_of_one_record_and_cleared_when_it_is_made_anew)
{
	ck_done(put(0, SESSCACHE_NEWCOMER, 3, 1, USUAL));
	ck_done(put(0, SESSCACHE_NEWCOMER, 4, 1, USUAL));
	ck_done(sc_store_enter(store, 0, SC_LOCK_TRY));
	ck_assert(!sc_store_is_marked(store, 0, 3));
	sc_store_mark(store, 0, 3);
	sc_store_mark(store, 0, 3);
	ck_assert(sc_store_is_marked(store, 0, 3));
	ck_assert(!sc_store_is_marked(store, 0, 4));
	sc_store_leave(store, 0);
	flush(0);
	ck_assert(sc_store_is_marked(store, 0, 3));
	ck_done(put(0, SESSCACHE_NEWCOMER, 3, 2, _i == 0 ? USUAL : 9000));
	ck_assert(!sc_store_is_marked(store, 0, 3));
}
END_TEST

/* --- the bound ----------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t shards;
	uint64_t size_bytes;
	size_t min_len, max_len;
	bool in_order;
} bound_cases[] = {
	{ "usual records", 1, MIB, 150, 170, true },
	{ "usual records, small shards", 2, MIB + 65536, 150, 170, true },
	{ "empty records", 1, MIB, 0, 0, true },
	{ "any order", 1, MIB, 150, 170, false },
	{ "a page each", 1, MIB, 1900, 2100, true },
	{ "up to 4K", 1, MIB, 0, 4096, false },
	{ "all long", 1, MIB, SC_TREE_MAX_RECORD, SC_TREE_MAX_RECORD, true },
	{ "long, small shards", 2, MIB + 65536, 20000, SC_TREE_MAX_RECORD,
	    true },
	{ "any length", 1, MIB, 0, SC_TREE_MAX_RECORD, false },
};

/* Store many times what fits; nothing may fail, nor the files grow. */
START_TEST(files_keep_to_the_size_and_every_store_finds_room)
{
	const char *name = bound_cases[_i].name;
	size_t span = bound_cases[_i].max_len - bound_cases[_i].min_len + 1;
	uint64_t state = 3, seq = 0, stored_bytes = 0;
	uint64_t enough = test_times(10, 2) * bound_cases[_i].size_bytes;
	struct test_sizes sizes;
	size_t len = 0;
	unsigned shard = 0;
	int i;

	close_store();
	test_remove_tree(test_dir(""));
	open_usual(bound_cases[_i].size_bytes, bound_cases[_i].shards);
	for (i = 0; stored_bytes < enough; i++) {
		len = bound_cases[_i].min_len + test_random(&state) % span;
		shard = (unsigned)i % bound_cases[_i].shards;
		seq = sc_store_next_seq(store, shard);
		if (!bound_cases[_i].in_order && seq > 500)
			seq -= test_random(&state) % 400;
		ck_assert_msg(put(shard, SESSCACHE_NEWCOMER, seq, (uint64_t)i,
				  len) == SESSCACHE_OK,
		    "%s: store %d of %zu bytes: %s", name, i, len,
		    sesscache_detail());
		ck_assert_msg(has(shard, seq, (uint64_t)i, len),
		    "%s: store %d of %zu bytes is not there", name, i, len);
		stored_bytes += len + 30;
		if (i % 500 != 0)
			continue;
		sizes = test_measure(test_dir(""));
		ck_assert_msg(sizes.bytes <= bound_cases[_i].size_bytes &&
			sizes.disk_bytes <= bound_cases[_i].size_bytes,
		    "%s: %lu bytes, %lu on disk", name,
		    (unsigned long)sizes.bytes,
		    (unsigned long)sizes.disk_bytes);
	}
	flush(shard);
	ck_assert(has(shard, seq, (uint64_t)i - 1, len));
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_FAILED), 0);
}
END_TEST

/* As tickets of one use do: what goes is anywhere, each on another page. */
START_TEST(full_store_takes_removals_anywhere)
{
	const bool aliased = _i == 1;
	uint64_t state = 4, seq = 0, n = test_times(40000, 12000), i;

	close_store();
	test_remove_tree(test_dir(""));
	open_usual(4 * MIB, 1);
	for (i = 0; i < n; i++) {
		seq = sc_store_next_seq(store, 0);
		if (aliased) /* a hash, as the cache makes them */
			ck_done(put_aliased(seq, test_random(&state) | 1, 0,
			    USUAL));
		else
			ck_done(put(0, SESSCACHE_NEWCOMER, seq, 0, USUAL));
		if (i > n / 2)
			remove_record(0, seq - test_random(&state) % 8000);
	}
	flush(0);
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_FAILED), 0);
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_BUSY), 0);
}
END_TEST

START_TEST(full_store_can_be_emptied)
{
	uint64_t removed, total = 0;
	size_t len = bound_cases[_i].max_len;
	unsigned i, n = (unsigned)(2 * MIB / (len + 100));

	for (i = 0; i < n; i++)
		ck_done(put(0, i % 3 ? SESSCACHE_NEWCOMER : SESSCACHE_REGULAR,
		    sc_store_next_seq(store, 0), 1, len));
	flush(0);
	do {
		ck_done(sc_store_drop(store, 0, &removed));
		total += removed;
	} while (removed > 0);
	ck_assert_uint_gt(total, 0);
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_NEWCOMER], 0);
	ck_assert_uint_eq(usage_of(0).records[SESSCACHE_REGULAR], 0);
	ck_done(
	    put(0, SESSCACHE_NEWCOMER, sc_store_next_seq(store, 0), 1, len));
}
END_TEST

/* --- sizes --------------------------------------------------------------- */

static enum sesscache_status
resize_to(uint64_t size_bytes)
{
	struct sc_store_config config = usual_config();
	struct sc_store_opened opened;
	struct sc_store *other = NULL;
	enum sesscache_status status;

	config.size_bytes = size_bytes;
	config.resize = true;
	status = sc_store_open(&other, &config, &opened);
	ck_assert_int_eq(opened.resized, status == SESSCACHE_OK);
	sc_store_close(other);
	return status;
}

/* A mixture, with what is still in the journals; returns the last number. */
static uint64_t
store_mixture(uint64_t first, uint64_t n)
{
	uint64_t seq;

	for (seq = first; seq < first + n; seq++) {
		if (seq % 7 == 3)
			ck_done(put_aliased(seq, seq + 5000, 0, USUAL));
		else
			ck_done(put(0,
			    seq % 5 == 0 ? SESSCACHE_REGULAR :
					   SESSCACHE_NEWCOMER,
			    seq, 0, seq % 50 == 0 ? 7000 : USUAL));
	}
	return first + n - 1;
}

static bool
has_of_mixture(uint64_t seq)
{
	enum sesscache_queue queue;
	uint64_t found = 0;
	size_t len = 0;

	if (seq % 7 != 3)
		return has(0, seq, 0, seq % 50 == 0 ? 7000 : USUAL) &&
		    read_record(0, seq, &len, &queue) == SESSCACHE_OK &&
		    (queue == SESSCACHE_REGULAR) == (seq % 5 == 0);
	return find_alias(seq + 5000, &found) == SESSCACHE_OK && found == seq &&
	    read_record(0, seq, &len, &queue) == SESSCACHE_OK && len == USUAL;
}

START_TEST(growing_keeps_everything)
{
	uint64_t seq;

	store_mixture(1, 1500);
	ck_assert(has_of_mixture(1)); /* it fits: nothing was evicted */
	ck_done(sc_store_enter(store, 0, SC_LOCK_TRY));
	sc_store_mark(store, 0, 77);
	sc_store_leave(store, 0);
	ck_done(resize_to(3 * MIB));
	ck_assert_uint_eq(sc_store_size(store), 3 * MIB);
	for (seq = 1; seq <= 1500; seq++)
		ck_assert_msg(has_of_mixture(seq), "%lu", (unsigned long)seq);
	ck_assert(sc_store_is_marked(store, 0, 77));
	ck_assert(!sc_store_is_marked(store, 0, 78));
	ck_assert_uint_le(test_measure(test_dir("")).bytes, 3 * MIB);
	/* There is room for twice as many now. */
	store_mixture(1501, 2500);
	for (seq = 1; seq <= 4000; seq++)
		ck_assert_msg(has_of_mixture(seq), "%lu", (unsigned long)seq);
}
END_TEST

START_TEST(shrinking_keeps_the_newest)
{
	uint64_t seq, last, oldest;

	close_store();
	test_remove_tree(test_dir(""));
	open_usual(4 * MIB, 1);
	last = store_mixture(1, 8000);
	ck_done(resize_to(MIB));
	ck_assert_uint_le(test_measure(test_dir("")).bytes, MIB);
	for (oldest = 1; oldest < last && !has_of_mixture(oldest); oldest++)
		continue;
	ck_assert_msg(last - oldest > 1200, "%lu are left",
	    (unsigned long)(last - oldest));
	for (seq = oldest; seq <= last; seq++)
		ck_assert_msg(has_of_mixture(seq), "%lu", (unsigned long)seq);
	/* And it goes on. */
	last = store_mixture(last + 1, 3000);
	for (seq = last - 500; seq <= last; seq++)
		ck_assert_msg(has_of_mixture(seq), "%lu", (unsigned long)seq);
	ck_assert_uint_le(test_measure(test_dir("")).bytes, MIB);
}
END_TEST

START_TEST(full_store_of_long_records_shrinks)
{
	uint64_t seq;

	close_store();
	test_remove_tree(test_dir(""));
	open_usual(4 * MIB, 1);
	for (seq = 1; seq <= 300; seq++)
		ck_done(put(0, SESSCACHE_NEWCOMER, seq, 0, 30000));
	ck_done(resize_to(MIB));
	for (seq = 296; seq <= 300; seq++)
		ck_assert_msg(has(0, seq, 0, 30000), "%lu", (unsigned long)seq);
	ck_done(put(0, SESSCACHE_NEWCOMER, 301, 0, 30000));
	ck_assert(has(0, 301, 0, 30000));
}
END_TEST

START_TEST(size_that_is_too_small_changes_nothing)
{
	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	ck_status(resize_to(MIB / 2), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "size 524288"));
	ck_assert(has(0, 1, 0, USUAL));
	ck_assert_uint_eq(sc_store_size(store), MIB);
}
END_TEST

/* A worker that was killed in it leaves some shards of another size. */
START_TEST(resize_that_came_to_no_end_is_ended_by_the_next_opener)
{
	struct sc_store_config config = usual_config();
	struct sc_store_opened opened;
	struct sc_store *other = NULL;
	uint64_t whole;

	close_store();
	test_remove_tree(test_dir(""));
	open_usual(4 * MIB, 2);
	whole = test_measure(test_dir("")).bytes;
	ck_done(sc_shard_remake(store, 0, MIB, true));
	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	ck_assert_uint_lt(test_measure(test_dir("")).bytes, whole - MIB / 2);
	config.size_bytes = 4 * MIB;
	config.resize = _i == 1;
	ck_done(sc_store_open(&other, &config, &opened));
	sc_store_close(other);
	ck_assert(!opened.resized); /* it has the size that it had */
	ck_assert_uint_eq(test_measure(test_dir("")).bytes, whole);
	ck_assert_uint_eq(sc_store_size(store), 4 * MIB);
	ck_assert(has(0, 1, 0, USUAL));
}
END_TEST

struct pipes {
	int to_child[2];
	int to_parent[2];
};

static void
make_pipes(struct pipes *pipes)
{
	ck_assert_int_eq(pipe(pipes->to_child), 0);
	ck_assert_int_eq(pipe(pipes->to_parent), 0);
}

static void
close_pipes(struct pipes *pipes)
{
	(void)close(pipes->to_child[0]), (void)close(pipes->to_child[1]);
	(void)close(pipes->to_parent[0]), (void)close(pipes->to_parent[1]);
}

static bool
tell(const int ends[2])
{
	return write(ends[1], "x", 1) == 1;
}

static bool
hear(const int ends[2])
{
	char c;

	return read(ends[0], &c, 1) == 1;
}

/* Look at every stage of the resizes below, with what was opened before. */
static int
watch_resizes(void *arg)
{
	struct pipes *pipes = arg;
	uint64_t seq;
	int stage;

	for (stage = 0; stage < 4; stage++) {
		if (!has_of_mixture(1000) ||
		    put(0, SESSCACHE_NEWCOMER, 2000 + (uint64_t)stage, 0,
			USUAL) != SESSCACHE_OK)
			return 10 + stage;
		for (seq = 2000; seq <= 2000 + (uint64_t)stage; seq++) {
			if (!has(0, seq, 0, USUAL))
				return 20 + stage;
		}
		if (!tell(pipes->to_parent) || !hear(pipes->to_child))
			return 30 + stage;
	}
	return 0;
}

START_TEST(processes_that_have_it_mapped_follow_a_resize)
{
	static const uint64_t sizes[] = { 3 * MIB, 2 * MIB, MIB };
	struct pipes pipes;
	uint64_t stage;
	pid_t child;

	store_mixture(1, 1500);
	make_pipes(&pipes);
	child = test_fork(watch_resizes, &pipes);
	for (stage = 0; stage < 4; stage++) {
		ck_assert(hear(pipes.to_parent));
		ck_assert_msg(has(0, 2000 + stage, 0, USUAL), "stage %lu",
		    (unsigned long)stage);
		if (stage < 3)
			ck_done(resize_to(sizes[stage]));
		ck_assert(tell(pipes.to_child));
	}
	ck_assert_int_eq(test_wait(child), 0);
	close_pipes(&pipes);
}
END_TEST

/* --- what was used and is spent ------------------------------------------ */

static struct sc_spent ring;

/* Empty, its counts near their end. */
static void
make_ring(uint32_t count)
{
	memset(&ring, 0, sizeof(ring));
	atomic_store(&ring.pushed, count);
	atomic_store(&ring.ripe, count);
	atomic_store(&ring.taken, count);
}

static uint64_t
take_one(void)
{
	uint32_t at = sc_spent_first(&ring);
	uint64_t seq = 0;

	if (sc_spent_next(&ring, &at, &seq))
		sc_spent_done(&ring, at);
	return seq;
}

static const uint32_t ring_starts[] = { 0, 5, UINT32_MAX - 3,
	UINT32_MAX - SC_SPENT_ENTRIES, UINT32_MAX / 2 };

START_TEST(spent_ring_gives_what_is_ripe_in_its_order)
{
	uint64_t pushed = 0, taken = 0;
	int i;

	make_ring(ring_starts[_i]);
	ck_assert_uint_eq(take_one(), 0);
	while (pushed < 3 * SC_SPENT_ENTRIES) {
		for (i = 0; i < 7; i++)
			sc_spent_push(&ring, ++pushed);
		ck_assert_uint_eq(sc_spent_waiting(&ring), 0);
		sc_spent_ripen(&ring);
		ck_assert_uint_eq(sc_spent_waiting(&ring), 7);
		sc_spent_push(&ring, ++pushed); /* is not ripe */
		while (taken + 1 < pushed)
			ck_assert_uint_eq(take_one(), ++taken);
		ck_assert_uint_eq(take_one(), 0);
		sc_spent_ripen(&ring);
		ck_assert_uint_eq(take_one(), ++taken);
	}
}
END_TEST

START_TEST(full_spent_ring_forgets_its_oldest)
{
	uint64_t seq;

	make_ring(ring_starts[_i]);
	for (seq = 1; seq <= SC_SPENT_ENTRIES + 100; seq++)
		sc_spent_push(&ring, seq);
	sc_spent_ripen(&ring);
	ck_assert_uint_eq(sc_spent_waiting(&ring), SC_SPENT_ENTRIES);
	for (seq = 101; seq <= SC_SPENT_ENTRIES + 100; seq++)
		ck_assert_uint_eq(take_one(), seq);
	ck_assert_uint_eq(take_one(), 0);
}
END_TEST

START_TEST(what_was_taken_and_not_done_is_taken_again)
{
	uint32_t at;
	uint64_t seq;

	make_ring(ring_starts[_i]);
	for (seq = 1; seq <= 20; seq++)
		sc_spent_push(&ring, seq);
	sc_spent_ripen(&ring);
	at = sc_spent_first(&ring);
	while (sc_spent_next(&ring, &at, &seq))
		;
	ck_assert_uint_eq(seq, 20);
	ck_assert_uint_eq(take_one(), 1);
}
END_TEST

START_TEST(damaged_spent_ring_comes_to_an_end_and_works_again)
{
	uint64_t state = (uint64_t)_i + 1, seq = 0;
	uint32_t at;
	unsigned n;

	test_fill(&ring, sizeof(ring), state);
	if (_i % 2 == 0) { /* counts that are near each other */
		atomic_store(&ring.ripe,
		    atomic_load(&ring.pushed) +
			(uint32_t)(test_random(&state) % 9) - 4);
		atomic_store(&ring.taken,
		    atomic_load(&ring.pushed) +
			(uint32_t)(test_random(&state) % 9) - 4);
	}
	ck_assert_uint_le(sc_spent_waiting(&ring), SC_SPENT_ENTRIES);
	at = sc_spent_first(&ring);
	for (n = 0; sc_spent_next(&ring, &at, &seq); n++)
		ck_assert_uint_lt(n, SC_SPENT_ENTRIES);
	if (n > 0)
		sc_spent_done(&ring, at);
	sc_spent_push(&ring, 77);
	sc_spent_ripen(&ring);
	for (n = 0; seq != 77 && n <= SC_SPENT_ENTRIES; n++)
		seq = take_one();
	ck_assert_uint_eq(seq, 77);
	ck_assert_uint_eq(take_one(), 0);
}
END_TEST

static void
hit(uint64_t seq)
{
	ck_done(sc_store_enter(store, 0, SC_LOCK_PATIENT_MS));
	sc_store_hit(store, 0, seq, true);
	sc_store_leave(store, 0);
}

static uint64_t
oldest_gone(void)
{
	return sc_store_counted(store, 0, SC_COUNT_EVICTED_NEWCOMERS);
}

/* Until something had to go; returns the last number. */
static uint64_t
put_until_full(uint64_t first)
{
	uint64_t seq = first;

	while (oldest_gone() == 0)
		ck_done(put(0, SESSCACHE_NEWCOMER, seq++, 0, USUAL));
	flush(0);
	return seq - 1;
}

START_TEST(spent_records_are_counted_once_and_go_once)
{
	uint64_t seq, last = put_until_full(1);
	int i;

	for (i = 0; i < 3; i++) {
		for (seq = last - 50; seq < last; seq++)
			hit(seq);
	}
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_HITS), 150);
	ck_assert_uint_eq(atomic_load(&store->shard[0].area->spent.pushed), 50);
	for (seq = last + 1; seq <= last + 300; seq++)
		ck_done(put(0, SESSCACHE_REGULAR, seq, 0, USUAL));
	for (seq = last - 50; seq < last; seq++)
		ck_assert_msg(is_gone(0, seq), "%lu", (unsigned long)seq);
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_EVICTED_REGULARS),
	    50);
	ck_assert(has(0, last - 51, 0, USUAL));
}
END_TEST

START_TEST(numbers_written_into_the_spent_ring_harm_no_record)
{
	uint64_t seq, last = put_until_full(1), state = 7, gone;
	struct sc_area *area = store->shard[0].area;
	struct sc_spent *spent = &area->spent;
	int i, round;

	/* All look used, as in a file that somebody wrote over. */
	if (_i == 1)
		memset((void *)(uintptr_t)area->marks, 0xff,
		    (size_t)(store->shard[0].mark_bits / 8));
	for (round = 0; round < 20; round++) {
		for (i = 0; i < SC_SPENT_ENTRIES; i++) {
			seq = test_random(&state);
			/* A record's, if it is cut off where its key ends. */
			if (i % 2 == 0)
				seq = last - seq % 1000 +
				    (UINT64_C(1) << (56 + i % 8));
			else if (i % 4 == 1 && _i == 0)
				seq = last - seq % 1000; /* of one not used */
			else
				seq |= UINT64_C(1) << 57;
			atomic_store(&spent->seqs[i], seq);
		}
		atomic_store(&spent->pushed, (uint32_t)test_random(&state));
		atomic_store(&spent->ripe, (uint32_t)test_random(&state));
		atomic_store(&spent->taken, (uint32_t)test_random(&state));
		for (i = 0; i < 100; i++)
			ck_done(put(0, SESSCACHE_NEWCOMER, ++last, 0, USUAL));
	}
	flush(0);
	gone = oldest_gone();
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_EVICTED_REGULARS),
	    0);
	for (seq = gone + 1; seq <= last; seq++)
		ck_assert_msg(has(0, seq, 0, USUAL), "%lu", (unsigned long)seq);
}
END_TEST

START_TEST(spent_records_are_known_after_a_resize)
{
	uint64_t seq, last = put_until_full(1), before;

	for (seq = last - 20; seq < last; seq++)
		hit(seq);
	ck_done(resize_to(_i == 0 ? 2 * MIB : MIB + MIB / 2));
	ck_done(resize_to(MIB + MIB / 4));
	before = oldest_gone();
	for (seq = last + 1; oldest_gone() == before; seq++)
		ck_done(put(0, SESSCACHE_NEWCOMER, seq, 0, USUAL));
	for (seq = last - 20; seq < last; seq++)
		ck_assert_msg(is_gone(0, seq), "%lu", (unsigned long)seq);
	ck_assert(has(0, last - 21, 0, USUAL));
}
END_TEST

/* Spent records of any length lie anywhere, and no store finds no room. */
START_TEST(every_store_finds_room_while_spent_records_go)
{
	size_t span = bound_cases[_i].max_len - bound_cases[_i].min_len + 1;
	/* Of those that are there, also where all are long. */
	const uint64_t most = bound_cases[_i].min_len > 4096 ? 10 : 200;
	uint64_t state = 5, seq = 0, stored_bytes = 0;
	enum sesscache_status status;
	size_t len;

	while (stored_bytes < 6 * (uint64_t)MIB) {
		len = bound_cases[_i].min_len +
		    (size_t)(test_random(&state) % span);
		status = put(0, SESSCACHE_NEWCOMER, ++seq, 0, len);
		ck_assert_msg(status == SESSCACHE_OK, "%s, record %lu: %s",
		    bound_cases[_i].name, (unsigned long)seq,
		    sesscache_detail());
		stored_bytes += len + 100;
		if (seq > most && test_random(&state) % 8 != 0)
			hit(seq - test_random(&state) % most);
	}
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_FAILED), 0);
	ck_assert_uint_gt(sc_store_counted(store, 0, SC_COUNT_EVICTED_REGULARS),
	    0);
}
END_TEST

/* --- opening ------------------------------------------------------------- */

START_TEST(directory_that_is_open_gives_the_same_store)
{
	struct sc_store_config config = usual_config();
	struct sc_store *first = store;
	struct sc_store_opened opened;

	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	ck_done(open_as(&config, &opened));
	ck_assert_ptr_eq(store, first);
	ck_assert(!opened.created);
	sc_store_close(first);
	ck_assert(has(0, 1, 0, USUAL));
}
END_TEST

static int
read_on_its_own(void *arg)
{
	struct sc_store_config config = usual_config();
	const struct sc_store *parents = arg;

	/* As a process would that has nothing from its parent. */
	sc_store_close(store);
	return open_as(&config, NULL) == SESSCACHE_OK &&
		store->control != parents->control && has(0, 1, 0, USUAL) &&
		has(0, 2, 0, 9000) &&
		put(0, SESSCACHE_REGULAR, 3, 0, USUAL) == SESSCACHE_OK ?
	    0 :
	    1;
}

START_TEST(processes_share_what_they_open_on_their_own)
{
	struct sc_store parents = { .control = NULL };

	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	ck_done(put(0, SESSCACHE_NEWCOMER, 2, 0, 9000));
	ck_assert_int_eq(test_wait(test_fork(read_on_its_own, &parents)), 0);
	ck_assert(has(0, 3, 0, USUAL));
}
END_TEST

START_TEST(everything_is_there_after_all_have_closed)
{
	uint64_t seq, last = store_mixture(1, 1000);
	struct sc_store_config config = usual_config();
	struct sc_store_opened opened;

	close_store();
	ck_done(open_as(&config, &opened));
	ck_assert(!opened.created);
	ck_assert_str_eq(opened.repaired, "");
	for (seq = 1; seq <= last; seq++)
		ck_assert_msg(has_of_mixture(seq), "%lu", (unsigned long)seq);
	ck_assert_uint_ge(sc_store_next_write(store, 0, 1), 1);
}
END_TEST

START_TEST(nothing_is_made_without_create)
{
	struct sc_store_config config = usual_config();

	close_store();
	test_remove_tree(test_dir(""));
	config.create = false;
	ck_status(open_as(&config, NULL), SESSCACHE_MISS);
	ck_assert_ptr_null(store);
	ck_assert_int_ne(access(test_dir(""), F_OK), 0);
	ck_assert_int_eq(mkdir(test_dir(""), 0700), 0);
	ck_status(open_as(&config, NULL), SESSCACHE_MISS);
	ck_assert_uint_eq(test_measure(test_dir("")).bytes, 0);
}
END_TEST

static void
overwrite(const char *name, off_t at, size_t len, uint8_t byte)
{
	uint8_t bytes[4096];
	int fd = open(test_dir(name), O_RDWR | O_CLOEXEC);

	memset(bytes, byte, sizeof(bytes));
	ck_assert_int_ge(fd, 0);
	while (len > 0) {
		size_t n = len < sizeof(bytes) ? len : sizeof(bytes);

		ck_assert_int_eq(pwrite(fd, bytes, n, at), (ssize_t)n);
		len -= n;
		at += (off_t)n;
	}
	ck_assert_int_eq(close(fd), 0);
}

static void
cut(const char *name, off_t len)
{
	ck_assert_int_eq(truncate(test_dir(name), len), 0);
}

static void
swap_shards(const char *name, off_t len)
{
	(void)len;
	ck_assert_int_eq(rename(test_dir(name), test_dir("aside")), 0);
	ck_assert_int_eq(rename(test_dir("shard-01.lmdb-0"), test_dir(name)),
	    0);
	ck_assert_int_eq(rename(test_dir("aside"), test_dir("shard-01.lmdb-0")),
	    0);
}

static void
wipe(const char *name, off_t len)
{
	overwrite(name, 0, (size_t)len, 0);
}

static void
garble(const char *name, off_t len)
{
	overwrite(name, 0, (size_t)len, 0xa5);
}

static void
delete_it(const char *name, off_t len)
{
	(void)len;
	ck_assert_int_eq(unlink(test_dir(name)), 0);
}

static const struct {
	const char *name;
	const char *file;
	void (*damage)(const char *file, off_t arg);
	off_t arg;
	enum sesscache_status want; /* without create */
	bool all_gone;              /* else shard 1 stays */
} damage_cases[] = {
	{ "data file cut", "shard-00.lmdb-0", cut, 40960, SESSCACHE_ECORRUPT,
	    false },
	{ "data file empty", "shard-00.lmdb-0", cut, 0, SESSCACHE_ECORRUPT,
	    false },
	{ "data file longer", "shard-00.lmdb-0", cut, 64 * MIB,
	    SESSCACHE_ECORRUPT, false },
	{ "data file missing", "shard-00.lmdb-0", delete_it, 0,
	    SESSCACHE_ECORRUPT, false },
	{ "both meta pages zero", "shard-00.lmdb-0", wipe, 8192,
	    SESSCACHE_ECORRUPT, false },
	{ "both meta pages garbage", "shard-00.lmdb-0", garble, 8192,
	    SESSCACHE_ECORRUPT, false },
	{ "shards swapped", "shard-00.lmdb-0", swap_shards, 0,
	    SESSCACHE_ECORRUPT, true },
	{ "control file cut", "control", cut, 100, SESSCACHE_ECORRUPT, true },
	{ "control file cut in the shards", "control", cut, 8192,
	    SESSCACHE_ECORRUPT, true },
	{ "control file empty", "control", cut, 0, SESSCACHE_ECORRUPT, true },
	{ "control file garbage", "control", garble, 4096, SESSCACHE_ECORRUPT,
	    true },
	{ "control file missing", "control", delete_it, 0, SESSCACHE_MISS,
	    true },
};

START_TEST(damaged_file_is_made_anew_or_refused)
{
	const char *name = damage_cases[_i].name;
	struct sc_store_config config = usual_config();
	struct sc_store_opened opened;

	close_store();
	test_remove_tree(test_dir(""));
	open_usual(2 * MIB, 2);
	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	ck_done(put(1, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	flush(0);
	close_store();
	damage_cases[_i].damage(damage_cases[_i].file, damage_cases[_i].arg);

	config.create = false;
	ck_assert_msg(open_as(&config, NULL) == damage_cases[_i].want, "%s: %s",
	    name, sesscache_detail());
	ck_assert_ptr_null(store);
	ck_assert_msg(strstr(sesscache_detail(), damage_cases[_i].file) != NULL,
	    "%s: %s", name, sesscache_detail());

	config.create = true;
	config.size_bytes = 2 * MIB;
	config.shards = 2;
	ck_assert_msg(open_as(&config, &opened) == SESSCACHE_OK, "%s: %s", name,
	    sesscache_detail());
	ck_assert(opened.repaired[0] != '\0' || opened.created);
	ck_assert_msg(is_gone(0, 1), "%s", name);
	ck_assert_msg(has(1, 1, 0, USUAL) == !damage_cases[_i].all_gone, "%s",
	    name);
	ck_done(put(0, SESSCACHE_NEWCOMER, 5, 0, USUAL));
	flush(0);
	ck_assert_msg(has(0, 5, 0, USUAL), "%s", name);
	ck_assert_uint_le(test_measure(test_dir("")).bytes, 2 * MIB);
}
END_TEST

/* Fields of the control file that say for whom it is. */
static const struct {
	const char *name;
	size_t at, len;
	bool summed;
	enum sesscache_status want;
	bool remade;
} header_cases[] = {
	{ "magic", offsetof(struct sc_control, magic), 4, false,
	    SESSCACHE_ECORRUPT, true },
	{ "format", offsetof(struct sc_control, format), 1, false,
	    SESSCACHE_EFORMAT, false },
	{ "byte order", offsetof(struct sc_control, byte_order), 4, false,
	    SESSCACHE_EFORMAT, false },
	{ "boot ID", offsetof(struct sc_control, boot_id), 36, false,
	    SESSCACHE_ECORRUPT, true },
	{ "LMDB's format", offsetof(struct sc_control, lmdb_format), 1, false,
	    SESSCACHE_EFORMAT, false },
	{ "page size", offsetof(struct sc_control, page_bytes), 4, false,
	    SESSCACHE_EFORMAT, false },
	{ "shards", offsetof(struct sc_control, shards), 4, false,
	    SESSCACHE_ECORRUPT, true },
	{ "instance", offsetof(struct sc_control, instance), 4, false,
	    SESSCACHE_ECORRUPT, true },
	{ "sum", offsetof(struct sc_control, sum), 8, false, SESSCACHE_ECORRUPT,
	    true },
};

START_TEST(control_file_of_another_world_is_refused_or_made_anew)
{
	struct sc_store_config config = usual_config();
	struct sc_store_opened opened;
	const char *name = header_cases[_i].name;

	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	close_store();
	overwrite("control", (off_t)header_cases[_i].at, header_cases[_i].len,
	    0x5a);
	config.create = false;
	ck_assert_msg(open_as(&config, NULL) == header_cases[_i].want, "%s: %s",
	    name, sesscache_detail());
	config.create = true;
	if (!header_cases[_i].remade) {
		ck_assert_msg(open_as(&config, NULL) == header_cases[_i].want,
		    "%s", name);
		return;
	}
	ck_assert_msg(open_as(&config, &opened) == SESSCACHE_OK, "%s: %s", name,
	    sesscache_detail());
	ck_assert(opened.created);
	ck_assert(opened.repaired[0] != '\0');
	ck_assert(is_gone(0, 1));
}
END_TEST

/* Nobody has it, and no program to come will read it. */
START_TEST(control_file_of_an_older_format_is_made_anew_with_a_sentence)
{
	struct sc_store_config config = usual_config();
	struct sc_store_opened opened;

	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	close_store();
	overwrite("control", offsetof(struct sc_control, format), 1,
	    SC_FORMAT - 1);
	config.create = false;
	ck_status(open_as(&config, NULL), SESSCACHE_ECORRUPT);
	config.create = true;
	ck_done(open_as(&config, &opened));
	ck_assert(opened.created);
	ck_assert_ptr_nonnull(
	    strstr(opened.repaired, "has format 2, this program 3"));
	ck_assert(is_gone(0, 1));
	close_store();
	ck_done(open_as(&config, &opened));
	ck_assert(!opened.created);
	ck_assert_str_eq(opened.repaired, "");
}
END_TEST

static const struct {
	const char *name;
	const char *file;
	mode_t mode;
	bool is_link;
	const char *says;
} unsafe_cases[] = {
	{ "directory for others", "", 0755, false, "mode 0755" },
	{ "directory for all", "", 0777, false, "mode 0777" },
	{ "control file for others", "control", 0644, false, "control" },
	{ "data file for others", "shard-00.lmdb-0", 0660, false, "shard-00" },
	{ "control file a link", "control", 0, true, "control" },
	{ "data file a link", "shard-00.lmdb-0", 0, true, "shard-00" },
};

START_TEST(what_others_may_have_touched_is_refused)
{
	struct sc_store_config config = usual_config();
	const char *name = unsafe_cases[_i].name;
	const char *path = test_dir(unsafe_cases[_i].file);

	close_store();
	if (unsafe_cases[_i].is_link) {
		ck_assert_int_eq(rename(path, test_dir("real")), 0);
		ck_assert_int_eq(symlink(test_dir("real"), path), 0);
	} else {
		ck_assert_int_eq(chmod(path, unsafe_cases[_i].mode), 0);
	}
	ck_assert_msg(open_as(&config, NULL) == SESSCACHE_EUNSAFE, "%s: %s",
	    name, sesscache_detail());
	ck_assert_msg(strstr(sesscache_detail(), unsafe_cases[_i].says) != NULL,
	    "%s: %s", name, sesscache_detail());
	ck_assert_int_eq(chmod(test_dir(""), 0700), 0);
}
END_TEST

START_TEST(damage_that_is_found_while_serving_is_repaired_by_the_next_opener)
{
	struct sc_store_config config = usual_config();
	struct sc_store *first = store;
	struct sc_store_opened opened;

	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	ck_status(sc_shard_check(store, 0, SESSCACHE_ECORRUPT),
	    SESSCACHE_ECORRUPT);
	ck_done(open_as(&config, &opened));
	ck_assert_str_ne(opened.repaired, "");
	ck_done(put(0, SESSCACHE_NEWCOMER, 3, 0, USUAL));
	ck_assert(has(0, 3, 0, USUAL));
	ck_assert(is_gone(0, 1));
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_REMADE), 1);
	sc_store_close(first);
}
END_TEST

START_TEST(damage_that_is_found_while_serving_is_repaired_by_the_next_call)
{
	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	ck_status(sc_shard_check(store, 0, SESSCACHE_ECORRUPT),
	    SESSCACHE_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), test_dir("shard-00")));
	ck_done(put(0, SESSCACHE_NEWCOMER, 2, 0, USUAL));
	ck_assert(is_gone(0, 1));
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_REMADE), 1);
	/* Who is told of the damage late finds it whole. */
	ck_done(sc_shard_mend(store, 0));
	ck_assert(has(0, 2, 0, USUAL));
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_REMADE), 1);
}
END_TEST

/* --- processes that die or stop ------------------------------------------ */

/* Where in the store a child is when it is stopped. */
enum stop { IN_GATE, IN_WORK, IN_TRANSACTION, SEALED };

struct stopping {
	enum stop where;
	struct pipes pipes;
};

static int
stop_inside(void *arg)
{
	struct stopping *stopping = arg;
	struct sc_write *write = NULL;
	struct sc_span record = { (const uint8_t *)"unfinished", 10 };

	if (stopping->where == IN_GATE) {
		if (sc_store_enter(store, 0, SC_LOCK_TRY) != SESSCACHE_OK)
			return 1;
	} else if (sc_shard_work(store, 0, SC_LOCK_TRY) != SESSCACHE_OK) {
		return 2;
	}
	if (stopping->where == IN_TRANSACTION &&
	    (sc_tree_begin(store->shard[0].tree, &write) != SESSCACHE_OK ||
		sc_tree_put(write, SESSCACHE_NEWCOMER, 999, record) !=
		    SESSCACHE_OK))
		return 3;
	if (stopping->where == SEALED)
		atomic_fetch_xor(&store->shard[0].area->active, 1);
	if (!tell(stopping->pipes.to_parent))
		return 4;
	(void)hear(stopping->pipes.to_child);
	if (stopping->where == IN_GATE)
		sc_store_leave(store, 0);
	else
		sc_shard_rest(store, 0);
	return 0;
}

/* A child that holds the locks of a place until it is told, or killed. */
static pid_t
start_stopped(struct stopping *stopping, enum stop where)
{
	pid_t pid;

	stopping->where = where;
	make_pipes(&stopping->pipes);
	pid = test_fork(stop_inside, stopping);
	ck_assert(hear(stopping->pipes.to_parent));
	return pid;
}

START_TEST(process_that_is_killed_inside_loses_nothing)
{
	struct stopping stopping;
	uint64_t seq;
	pid_t pid;

	for (seq = 1; seq <= 100; seq++)
		ck_done(put(0, SESSCACHE_NEWCOMER, seq, 0, USUAL));
	pid = start_stopped(&stopping, (enum stop)_i);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(test_wait(pid), -1);
	close_pipes(&stopping.pipes);
	for (seq = 1; seq <= 100; seq++)
		ck_assert_msg(has(0, seq, 0, USUAL), "%lu", (unsigned long)seq);
	for (seq = 101; seq <= 300; seq++)
		ck_done(put(0, SESSCACHE_NEWCOMER, seq, 0, USUAL));
	flush(0);
	for (seq = 1; seq <= 300; seq++)
		ck_assert_msg(has(0, seq, 0, USUAL), "%lu", (unsigned long)seq);
	ck_assert(is_gone(0, 999));
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_REPAIRED), 1);
}
END_TEST

/* A child that stores until it comes to spent records, or to its end. */
static int
store_until_killed(void *arg)
{
	uint64_t first = *(uint64_t *)arg, seq;
	static const char end[64];

	for (seq = first; seq < first + 1000; seq++)
		ck_done(put(0, SESSCACHE_NEWCOMER, seq, 0, USUAL));
	return write(killed_in[1], end, sizeof(end)) < 0;
}

START_TEST(spent_records_go_though_who_took_them_was_killed)
{
	uint64_t seq, last = put_until_full(1), next = last + 1;
	struct pipes pipes;
	pid_t pid;
	int i;

	for (seq = last - 40; seq < last; seq++)
		hit(seq);
	make_pipes(&pipes);
	killed_in[0] = pipes.to_child[0];
	killed_in[1] = pipes.to_parent[1];
	pid = test_fork(store_until_killed, &next);
	killed_in[0] = -1;
	for (i = 0; i < _i; i++) { /* of the records of one transaction */
		ck_assert(hear(pipes.to_parent));
		ck_assert(tell(pipes.to_child));
	}
	ck_assert(hear(pipes.to_parent));
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(test_wait(pid), -1);
	close_pipes(&pipes);
	for (seq = last + 1000; seq < last + 1300; seq++)
		ck_done(put(0, SESSCACHE_NEWCOMER, seq, 0, USUAL));
	for (seq = last - 40; seq < last; seq++)
		ck_assert_msg(is_gone(0, seq), "%lu", (unsigned long)seq);
	ck_assert(has(0, last - 41, 0, USUAL));
	ck_assert(has(0, last, 0, USUAL));
}
END_TEST

START_TEST(process_that_stops_inside_holds_up_only_what_needs_its_lock)
{
	const bool in_gate = _i == IN_GATE;
	struct stopping stopping;
	enum sesscache_status status;
	uint64_t counted;
	pid_t pid;

	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	pid = start_stopped(&stopping, (enum stop)_i);
	if (!in_gate) { /* lookups, and stores while the journal takes them */
		ck_assert(has(0, 1, 0, USUAL));
		ck_done(put(0, SESSCACHE_NEWCOMER, 2, 0, USUAL));
	}
	status = sc_store_flush(store, 0, SC_FLUSH_ALL, NOW);
	ck_status(status, SESSCACHE_EBUSY);
	ck_status(sc_store_flush(store, 0, SC_FLUSH_ALL, NOW), SESSCACHE_EBUSY);
	counted = sc_store_counted(store, 0, SC_COUNT_BUSY);
	ck_assert_uint_ge(counted, 2);
	/* Only the first one waited. */
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_STALLED), 1);
	/* A fork meanwhile is not held up: the child can read. */
	ck_assert(tell(stopping.pipes.to_child));
	ck_assert_int_eq(test_wait(pid), 0);
	close_pipes(&stopping.pipes);
	flush(0);
	ck_assert(has(0, 1, 0, USUAL));
}
END_TEST

static int
return_zero(void *arg)
{
	(void)arg;
	return 0;
}

START_TEST(fork_is_not_held_up_by_a_process_that_stops_inside)
{
	struct stopping stopping;
	pid_t pid;

	ck_done(put(0, SESSCACHE_NEWCOMER, 1, 0, USUAL));
	pid = start_stopped(&stopping, IN_WORK);
	ck_status(sc_store_flush(store, 0, SC_FLUSH_ALL, NOW), SESSCACHE_EBUSY);
	ck_assert_int_eq(test_wait(test_fork(return_zero, NULL)), 0);
	ck_assert(tell(stopping.pipes.to_child));
	ck_assert_int_eq(test_wait(pid), 0);
	close_pipes(&stopping.pipes);
}
END_TEST

START_TEST(shard_whose_writer_was_killed_takes_records_again)
{
	struct stopping stopping;
	bool picked = false;
	pid_t pid;
	int i;

	close_store();
	test_remove_tree(test_dir(""));
	open_usual(4 * MIB, 4);
	pid = start_stopped(&stopping, (enum stop)_i);
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(test_wait(pid), -1);
	close_pipes(&stopping.pipes);
	for (i = 0; i < 1000 && !picked; i++)
		picked = sc_store_pick(store) == 0;
	ck_assert_msg(picked, "its shard is never picked again");
}
END_TEST

START_TEST(picks_go_round_all_shards)
{
	unsigned picks[4] = { 0 };
	int i;

	close_store();
	test_remove_tree(test_dir(""));
	open_usual(4 * MIB, 4);
	for (i = 0; i < 4000; i++)
		picks[sc_store_pick(store)]++;
	for (i = 0; i < 4; i++)
		ck_assert_uint_ge(picks[i], 900);
}
END_TEST

/* --- many at once -------------------------------------------------------- */

enum { WORKERS = 4, SHARED_SHARDS = 2 };

/* Store, read back, remove: numbers that no other worker has. */
static int
work_hard(void *arg)
{
	unsigned worker = (unsigned)(uintptr_t)arg, shard, i;
	unsigned n = test_times(3000, 200);
	uint64_t base = UINT64_C(1) + worker * 1000000;
	bool removed;

	for (i = 0; i < n; i++) {
		shard = i % SHARED_SHARDS;
		if (put(shard, SESSCACHE_NEWCOMER, base + i, worker, USUAL) !=
		    SESSCACHE_OK)
			return 1;
		if (!has(shard, base + i, worker, USUAL))
			return 2;
		if (i % 3 == 0) {
			if (sc_store_enter(store, shard, SC_LOCK_PATIENT_MS) !=
			    SESSCACHE_OK)
				return 3;
			removed = sc_store_remove(store, shard, base + i) ==
			    SESSCACHE_OK;
			sc_store_leave(store, shard);
			if (removed && !is_gone(shard, base + i))
				return 4;
		}
	}
	return 0;
}

static int
open_and_work(void *arg)
{
	struct sc_store_config config = usual_config();

	if ((uintptr_t)arg % 2 == 0)
		return work_hard(arg);
	sc_store_close(store);
	config.create = (uintptr_t)arg % 4 == 1;
	return open_as(&config, NULL) == SESSCACHE_OK ? work_hard(arg) : 9;
}

START_TEST(processes_store_read_and_remove_at_once)
{
	pid_t pids[WORKERS];
	uintptr_t i;

	close_store();
	test_remove_tree(test_dir(""));
	open_usual(16 * MIB, SHARED_SHARDS);
	for (i = 0; i < WORKERS; i++)
		pids[i] = test_fork(open_and_work, (void *)i);
	for (i = 0; i < WORKERS; i++)
		ck_assert_int_eq(test_wait(pids[i]), 0);
	ck_assert_uint_eq(sc_store_counted(store, 0, SC_COUNT_FAILED), 0);
}
END_TEST

/* Open and close, as the tool and new workers do, while others write. */
static int
open_often(void *arg)
{
	struct sc_store_config config = usual_config();
	struct sc_store_opened opened;
	unsigned i, n = test_times(300, 20);

	sc_store_close(store);
	config.create = arg != NULL;
	for (i = 0; i < n; i++) {
		if (open_as(&config, &opened) != SESSCACHE_OK)
			return 1;
		if (opened.created || opened.repaired[0] != '\0')
			return 2;
		close_store();
	}
	return 0;
}

START_TEST(opening_is_not_disturbed_by_those_who_write)
{
	pid_t openers[2], writers[2];
	uintptr_t i;

	close_store();
	test_remove_tree(test_dir(""));
	open_usual(2 * MIB, SHARED_SHARDS);
	for (i = 0; i < 2; i++) {
		writers[i] = test_fork(work_hard, (void *)i);
		openers[i] = test_fork(open_often, (void *)i);
	}
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(test_wait(openers[i]), 0);
		ck_assert_int_eq(test_wait(writers[i]), 0);
	}
}
END_TEST

/* --- all of them --------------------------------------------------------- */

static TCase *
new_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_unchecked_fixture(tc, test_root_make, test_root_remove);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	suite_add_tcase(suite, tc);
	return tc;
}

static void
add_records(Suite *suite)
{
	TCase *tc = new_case(suite, "records");

	tcase_add_loop_test(tc,
	    record_of_any_length_is_read_from_journal_and_tree, 0,
	    N_OF(lengths));
	tcase_add_loop_test(tc, record_replaces_one_of_any_other_length, 0,
	    N_OF(lengths));
	tcase_add_loop_test(tc, buffer_that_is_too_small_gets_nothing, 0,
	    N_OF(lengths) - 2);
	tcase_add_test(tc, usage_counts_records_wherever_they_are);
	tcase_add_test(tc, usage_counts_records_not_their_pieces);
	tcase_add_loop_test(tc, random_operations_leave_what_a_model_says, 0,
	    4);
	tcase_add_test(tc, long_record_is_not_stored_where_absent_says_no);
	tcase_add_test(tc, write_numbers_are_never_given_twice);
	tcase_add_loop_test(tc, alias_leads_to_the_newest_record, 0,
	    N_OF(alias_cases));
	tcase_add_test(tc, alias_of_an_orphan_stays_with_its_heir);
	tcase_add_test(tc, eviction_takes_aliases_along);
	tcase_add_loop_test(tc,
	    mark_is_of_one_record_and_cleared_when_it_is_made_anew, 0, 2);
}

static void
add_sizes(Suite *suite)
{
	TCase *tc = new_case(suite, "sizes");

	tcase_add_loop_test(tc,
	    files_keep_to_the_size_and_every_store_finds_room, 0,
	    N_OF(bound_cases));
	tcase_add_loop_test(tc, full_store_takes_removals_anywhere, 0, 2);
	tcase_add_loop_test(tc, full_store_can_be_emptied, 0,
	    N_OF(bound_cases));
	tcase_add_test(tc, growing_keeps_everything);
	tcase_add_test(tc, shrinking_keeps_the_newest);
	tcase_add_test(tc, full_store_of_long_records_shrinks);
	tcase_add_test(tc, size_that_is_too_small_changes_nothing);
	tcase_add_loop_test(tc,
	    resize_that_came_to_no_end_is_ended_by_the_next_opener, 0, 2);
	tcase_add_test(tc, processes_that_have_it_mapped_follow_a_resize);
}

static void
add_spent(Suite *suite)
{
	TCase *tc = tcase_create("spent");

	tcase_add_unchecked_fixture(tc, test_root_make, test_root_remove);
	tcase_add_checked_fixture(tc, setup_spent, teardown);
	tcase_set_timeout(tc, 300);
	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, spent_ring_gives_what_is_ripe_in_its_order, 0,
	    N_OF(ring_starts));
	tcase_add_loop_test(tc, full_spent_ring_forgets_its_oldest, 0,
	    N_OF(ring_starts));
	tcase_add_loop_test(tc, what_was_taken_and_not_done_is_taken_again, 0,
	    N_OF(ring_starts));
	tcase_add_loop_test(tc,
	    damaged_spent_ring_comes_to_an_end_and_works_again, 0, 40);
	tcase_add_test(tc, spent_records_are_counted_once_and_go_once);
	tcase_add_loop_test(tc,
	    numbers_written_into_the_spent_ring_harm_no_record, 0, 2);
	tcase_add_loop_test(tc, spent_records_are_known_after_a_resize, 0, 2);
	tcase_add_loop_test(tc, every_store_finds_room_while_spent_records_go,
	    0, N_OF(bound_cases));
	tcase_add_loop_test(tc,
	    spent_records_go_though_who_took_them_was_killed, 0, 20);
}

static void
add_opening(Suite *suite)
{
	TCase *tc = new_case(suite, "opening");

	tcase_add_test(tc, directory_that_is_open_gives_the_same_store);
	tcase_add_test(tc, processes_share_what_they_open_on_their_own);
	tcase_add_test(tc, everything_is_there_after_all_have_closed);
	tcase_add_test(tc, nothing_is_made_without_create);
	tcase_add_loop_test(tc, damaged_file_is_made_anew_or_refused, 0,
	    N_OF(damage_cases));
	tcase_add_test(tc,
	    control_file_of_an_older_format_is_made_anew_with_a_sentence);
	tcase_add_loop_test(tc,
	    control_file_of_another_world_is_refused_or_made_anew, 0,
	    N_OF(header_cases));
	tcase_add_loop_test(tc, what_others_may_have_touched_is_refused, 0,
	    N_OF(unsafe_cases));
	tcase_add_test(tc,
	    damage_that_is_found_while_serving_is_repaired_by_the_next_opener);
	tcase_add_test(tc,
	    damage_that_is_found_while_serving_is_repaired_by_the_next_call);
}

static void
add_processes(Suite *suite)
{
	TCase *tc = new_case(suite, "processes");

	tcase_add_loop_test(tc, process_that_is_killed_inside_loses_nothing,
	    IN_GATE, SEALED + 1);
	tcase_add_loop_test(tc,
	    process_that_stops_inside_holds_up_only_what_needs_its_lock,
	    IN_GATE, IN_TRANSACTION + 1);
	tcase_add_test(tc, fork_is_not_held_up_by_a_process_that_stops_inside);
	tcase_add_loop_test(tc,
	    shard_whose_writer_was_killed_takes_records_again, IN_GATE,
	    IN_TRANSACTION + 1);
	tcase_add_test(tc, picks_go_round_all_shards);
	tcase_add_test(tc, processes_store_read_and_remove_at_once);
	tcase_add_test(tc, opening_is_not_disturbed_by_those_who_write);
}

int
main(void)
{
	Suite *suite = suite_create("store");

	add_records(suite);
	add_sizes(suite);
	add_spent(suite);
	add_opening(suite);
	add_processes(suite);
	return test_run(suite);
}
