/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who goes when room is needed: newcomers and regulars, marks, the hand.
 * Records here are heads without a body worth sealing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/evict.h"
#include "cache/record.h"
#include "store/store.h"
#include "support.h"

enum {
	MIB = 1 << 20,
	NOW = 1000,
	LATER = 100000, /* when records expire */
	BODY = 150,     /* bytes: so that some thousand of them fit */
	MOST = 20000,   /* records that fit, at most */
};

static struct sc_store *store;

static enum sesscache_status
init_nothing(void *part)
{
	(void)part;
	return SESSCACHE_OK;
}

static void
setup(void)
{
	struct sc_store_config config;
	struct sc_store_opened opened;

	test_dir_make();
	config = (struct sc_store_config){ .dir = test_dir(""),
		.size_bytes = MIB,
		.create = true,
		.shards = 1,
		.init = init_nothing,
		.make_room = sc_evict };
	ck_done(sc_store_open(&store, &config, &opened));
}

static void
teardown(void)
{
	sc_store_close(store);
	store = NULL;
	test_dir_remove();
}

/* --- a store of one shard ------------------------------------------------ */

static void
put_as(uint64_t seq, unsigned flags, uint32_t expires_at, uint32_t now)
{
	struct sc_record record = { .flags = flags,
		.epoch = 1,
		.expires_at = expires_at,
		.ttl_seconds = 1,
		.write_number = seq };
	uint8_t bytes[SC_RECORD_HEAD_MAX + BODY] = { 0 };
	size_t len = sc_record_encode(&record, seq, bytes);
	const struct sc_stored stored = {
		.queue = (flags & SC_RECORD_REGULAR) != 0 ? SESSCACHE_REGULAR :
							    SESSCACHE_NEWCOMER,
		.seq = seq,
		.record = { bytes, len + BODY }
	};
	enum sesscache_status status;
	int i;

	for (i = 0; i < 3; i++) {
		ck_done(sc_store_enter(store, 0, SC_LOCK_PATIENT_MS));
		status = sc_store_put(store, 0, &stored);
		sc_store_leave(store, 0);
		if (status == SESSCACHE_OK)
			break;
		ck_done(sc_store_flush(store, 0, SC_FLUSH_FULL, now));
	}
	ck_done(status);
}

/* A new one; returns its number. */
static uint64_t
put(unsigned flags)
{
	uint64_t seq = sc_store_next_seq(store, 0);

	put_as(seq, flags, LATER, NOW);
	return seq;
}

static void
flush_at(uint32_t now)
{
	ck_done(sc_store_flush(store, 0, SC_FLUSH_ALL, now));
	ck_done(sc_store_flush(store, 0, SC_FLUSH_ALL, now));
}

static bool
find(uint64_t seq, enum sesscache_queue *queue)
{
	uint8_t buf[SC_RECORD_HEAD_MAX + BODY];
	enum sesscache_status status;
	size_t len;

	ck_done(sc_store_enter(store, 0, SC_LOCK_PATIENT_MS));
	status = sc_store_read(store, 0, seq, buf, sizeof(buf), &len, queue);
	sc_store_leave(store, 0);
	ck_assert_msg(status == SESSCACHE_OK || status == SESSCACHE_MISS, "%s",
	    sesscache_detail());
	return status == SESSCACHE_OK;
}

static bool
is_there(uint64_t seq)
{
	enum sesscache_queue queue;

	return find(seq, &queue);
}

static void
mark(uint64_t seq)
{
	ck_done(sc_store_enter(store, 0, SC_LOCK_PATIENT_MS));
	sc_store_mark(store, 0, seq);
	sc_store_leave(store, 0);
}

static bool
is_marked(uint64_t seq)
{
	bool marked;

	ck_done(sc_store_enter(store, 0, SC_LOCK_PATIENT_MS));
	marked = sc_store_is_marked(store, 0, seq);
	sc_store_leave(store, 0);
	return marked;
}

static uint64_t
counted(enum sc_count what)
{
	return sc_store_counted(store, 0, what);
}

static uint64_t
evicted(void)
{
	return counted(SC_COUNT_EVICTED_NEWCOMERS) +
	    counted(SC_COUNT_EVICTED_REGULARS);
}

static uint64_t
records_in(enum sesscache_queue queue)
{
	struct sc_tree_usage usage;

	ck_done(sc_store_enter(store, 0, SC_LOCK_PATIENT_MS));
	ck_done(sc_store_usage(store, 0, &usage));
	sc_store_leave(store, 0);
	return usage.records[queue];
}

/* Store until the first one has to go; returns the last number. */
static uint64_t
fill(unsigned flags)
{
	uint64_t seq = 0;
	int i;

	for (i = 0; i < MOST && evicted() == 0; i++)
		seq = put(flags);
	ck_assert_uint_gt(evicted(), 0);
	return seq;
}

static void
put_many(unsigned flags, uint64_t n)
{
	while (n-- > 0)
		put(flags);
}

/* --- newcomers ----------------------------------------------------------- */

START_TEST(newcomers_push_out_the_oldest_newcomers)
{
	uint64_t last, seq, oldest;

	fill(0);
	put_many(0, test_times(10000, 2000));
	last = put(0);
	for (oldest = 1; !is_there(oldest); oldest++)
		ck_assert_uint_lt(oldest, last);
	ck_assert_uint_gt(oldest, 1000);
	for (seq = oldest; seq <= last; seq++)
		ck_assert_msg(is_there(seq), "%lu of %lu..%lu is gone",
		    (unsigned long)seq, (unsigned long)oldest,
		    (unsigned long)last);
	ck_assert_uint_eq(counted(SC_COUNT_EVICTED_NEWCOMERS), oldest - 1);
	ck_assert_uint_eq(counted(SC_COUNT_EVICTED_REGULARS), 0);
	ck_assert_uint_eq(counted(SC_COUNT_PROMOTED), 0);
}
END_TEST

START_TEST(resumed_newcomer_becomes_a_regular_under_its_number)
{
	const uint64_t resumed = 1 + (uint64_t)_i * 40;
	enum sesscache_queue queue;
	uint64_t last;

	put_many(0, 200);
	mark(resumed);
	last = fill(0);
	put_many(0, 1000);
	ck_assert(find(resumed, &queue));
	ck_assert_int_eq(queue, SESSCACHE_REGULAR);
	ck_assert(!is_marked(resumed));
	ck_assert(!is_there(resumed + 1));
	ck_assert(is_there(last));
	ck_assert_uint_eq(counted(SC_COUNT_PROMOTED), 1);
	ck_assert_uint_eq(records_in(SESSCACHE_REGULAR), 1);
}
END_TEST

START_TEST(spent_ticket_among_the_newcomers_just_goes)
{
	put(SC_RECORD_TICKET);
	mark(1);
	fill(0);
	put_many(0, 100);
	ck_assert(!is_there(1));
	ck_assert_uint_eq(counted(SC_COUNT_PROMOTED), 0);
}
END_TEST

START_TEST(flood_of_one_shot_clients_leaves_the_regulars)
{
	enum { REGULARS = 1000 };
	enum sesscache_queue queue;
	uint64_t seq;

	put_many(SC_RECORD_REGULAR, REGULARS);
	fill(0);
	put_many(0, test_times(30000, 4000));
	for (seq = 1; seq <= REGULARS; seq++)
		ck_assert_msg(find(seq, &queue) && queue == SESSCACHE_REGULAR,
		    "%lu", (unsigned long)seq);
	ck_assert_uint_eq(counted(SC_COUNT_EVICTED_REGULARS), 0);
}
END_TEST

START_TEST(regulars_have_half_of_the_room_at_most_while_newcomers_come)
{
	uint64_t regulars, newcomers;
	unsigned i, n = test_times(20000, 6000);

	for (i = 0; i < n; i++)
		put(i % 2 == 0 ? (unsigned)SC_RECORD_REGULAR : 0u);
	flush_at(NOW);
	regulars = records_in(SESSCACHE_REGULAR);
	newcomers = records_in(SESSCACHE_NEWCOMER);
	ck_assert_uint_le(regulars, newcomers + 200);
	ck_assert_uint_le(newcomers, regulars + 200);
}
END_TEST

/* --- regulars ------------------------------------------------------------ */

START_TEST(hand_spares_a_resumed_regular_once)
{
	const uint64_t resumed = 20;
	uint64_t last, i;

	put_many(SC_RECORD_REGULAR, 200);
	mark(resumed);
	last = fill(SC_RECORD_REGULAR);
	while (is_there(resumed + 10))
		last = put(SC_RECORD_REGULAR);
	ck_assert_msg(is_there(resumed), "it was not spared");
	ck_assert(!is_marked(resumed));
	ck_assert(!is_there(resumed - 1));
	ck_assert(!is_there(resumed + 1));
	ck_assert_uint_eq(records_in(SESSCACHE_NEWCOMER), 0);
	/* When the hand has passed enough to come again, that one goes. */
	for (i = 0; i < 2 * last; i++)
		mark(put(SC_RECORD_REGULAR));
	ck_assert_msg(!is_there(resumed), "it stays for ever");
}
END_TEST

START_TEST(spent_ticket_is_not_spared)
{
	const uint64_t spent = 20;

	put_many(SC_RECORD_REGULAR, spent - 1);
	put(SC_RECORD_REGULAR | SC_RECORD_TICKET);
	mark(spent);
	fill(SC_RECORD_REGULAR);
	while (is_there(spent + 1))
		put(SC_RECORD_REGULAR);
	ck_assert(!is_there(spent));
}
END_TEST

START_TEST(hand_returns_at_the_newest_half)
{
	uint64_t last, seq, half, n, gone;

	last = fill(SC_RECORD_REGULAR);
	flush_at(NOW);
	n = records_in(SESSCACHE_REGULAR);
	half = last - n / 2;
	/* All were resumed: the hand spares the older half, and returns. */
	for (seq = last - n; seq <= last; seq++)
		mark(seq);
	put_many(SC_RECORD_REGULAR, n / 4);
	gone = 0;
	for (seq = last - n; seq <= last; seq++) {
		if (is_there(seq))
			continue;
		gone++;
		/* Room for the newer half to have moved on a little. */
		ck_assert_msg(seq < half + n / 6, "%lu of %lu..%lu is gone",
		    (unsigned long)seq, (unsigned long)(last - n),
		    (unsigned long)last);
	}
	ck_assert_uint_gt(gone, n / 8);
}
END_TEST

START_TEST(regulars_go_oldest_first_if_none_was_resumed)
{
	uint64_t last, seq, oldest;

	fill(SC_RECORD_REGULAR);
	put_many(SC_RECORD_REGULAR, 3000);
	last = put(SC_RECORD_REGULAR);
	for (oldest = 1; !is_there(oldest); oldest++)
		ck_assert_uint_lt(oldest, last);
	ck_assert_uint_gt(oldest, 2000);
	for (seq = oldest; seq <= last; seq++)
		ck_assert(is_there(seq));
}
END_TEST

/* --- what has expired ---------------------------------------------------- */

START_TEST(expired_records_go_before_room_is_needed)
{
	const unsigned flags = _i == 0 ? 0 : (unsigned)SC_RECORD_REGULAR;
	uint64_t seq;

	for (seq = 1; seq <= 60; seq++)
		put_as(sc_store_next_seq(store, 0), flags, NOW + 10, NOW);
	put_many(flags, 100);
	flush_at(NOW + 9);
	ck_assert(is_there(1));
	mark(30);
	put_as(sc_store_next_seq(store, 0), 0, LATER, NOW + 10);
	flush_at(NOW + 10);
	for (seq = 1; seq <= 60; seq++)
		ck_assert_msg(!is_there(seq), "%lu", (unsigned long)seq);
	for (seq = 61; seq <= 161; seq++)
		ck_assert_msg(is_there(seq), "%lu", (unsigned long)seq);
	ck_assert_uint_eq(counted(SC_COUNT_EXPIRED), 60);
	ck_assert_uint_eq(evicted(), 0);
}
END_TEST

START_TEST(expired_regular_is_not_spared)
{
	put_as(sc_store_next_seq(store, 0), SC_RECORD_REGULAR, NOW + 10, NOW);
	put(SC_RECORD_REGULAR);
	mark(1);
	mark(2);
	while (counted(SC_COUNT_EXPIRED) == 0 && evicted() == 0)
		put_as(sc_store_next_seq(store, 0), SC_RECORD_REGULAR, LATER,
		    NOW + 20);
	ck_assert(!is_there(1));
	ck_assert(is_there(2));
	ck_assert_uint_eq(counted(SC_COUNT_EXPIRED), 1);
}
END_TEST

START_TEST(record_that_cannot_be_read_goes)
{
	uint8_t bytes[4] = { 0x80, 1, 2, 3 };
	const struct sc_stored stored = { .seq = sc_store_next_seq(store, 0),
		.record = { bytes, sizeof(bytes) } };

	ck_done(sc_store_enter(store, 0, SC_LOCK_PATIENT_MS));
	ck_done(sc_store_put(store, 0, &stored));
	sc_store_leave(store, 0);
	flush_at(NOW);
	put(0);
	flush_at(NOW);
	ck_assert(!is_there(stored.seq));
}
END_TEST

/* --- a day at a server --------------------------------------------------- */

enum { CLIENTS = 1500 };

/* What a queue in the order of arrival would have kept. */
struct fifo {
	uint64_t born[CLIENTS]; /* when each client's session was stored */
	uint64_t stores;
	uint64_t room;
};

struct day {
	uint64_t session[CLIENTS]; /* numbers of the regulars' sessions */
	struct fifo fifo;
	unsigned visits, resumed, resumed_by_fifo;
};

/* A client that comes back, with TLS 1.2: a miss makes a new session. */
static void
visit(struct day *day, unsigned client, bool count)
{
	struct fifo *fifo = &day->fifo;
	bool hit = day->session[client] != 0 && is_there(day->session[client]);
	bool fifo_hit = fifo->born[client] != 0 &&
	    fifo->stores - fifo->born[client] < fifo->room;

	if (hit)
		mark(day->session[client]);
	else
		day->session[client] = put(0);
	if (!fifo_hit)
		fifo->born[client] = ++fifo->stores;
	if (count) {
		day->visits++;
		day->resumed += hit;
		day->resumed_by_fifo += fifo_hit;
	}
}

static const struct {
	const char *name;
	unsigned one_shots;    /* for each visit of a regular */
	unsigned in_a_flood;   /* the same, for a tenth of the time */
	unsigned more_percent; /* resumptions, than a FIFO's of the visits */
} days[] = {
	{ "web", 1, 1, 10 },
	{ "busy web", 4, 4, 40 },
	{ "with floods", 1, 20, 20 },
};

START_TEST(regulars_resume_more_often_than_from_a_fifo)
{
	static struct day day;
	uint64_t state = 2024;
	unsigned i, j, n, rounds = test_times(30000, 4000);
	bool in_flood;

	memset(&day, 0, sizeof(day));
	fill(0);
	day.fifo.room = records_in(SESSCACHE_NEWCOMER);
	ck_assert_uint_gt(day.fifo.room, 2 * CLIENTS);
	for (i = 0; i < rounds; i++) {
		in_flood = i % 10000 >= 9000;
		n = in_flood ? days[_i].in_a_flood : days[_i].one_shots;
		for (j = 0; j < n; j++) {
			put(0);
			day.fifo.stores++;
		}
		visit(&day, (unsigned)(test_random(&state) % CLIENTS),
		    i > rounds / 4);
	}
	ck_assert_msg(day.resumed * 100 >= day.resumed_by_fifo * 100 +
		    day.visits * (rounds < 30000 ? 0 : days[_i].more_percent),
	    "%s: of %u visits %u resumed, from a FIFO %u", days[_i].name,
	    day.visits, day.resumed, day.resumed_by_fifo);
	if (getenv("SC_TEST_VERBOSE") != NULL)
		printf("%s: of %u visits %u resumed, from a FIFO %u\n",
		    days[_i].name, day.visits, day.resumed,
		    day.resumed_by_fifo);
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

int
main(void)
{
	Suite *suite = suite_create("evict");
	SRunner *runner;
	TCase *tc;
	int failed;

	tc = new_case(suite, "policy");
	tcase_add_test(tc, newcomers_push_out_the_oldest_newcomers);
	tcase_add_loop_test(tc,
	    resumed_newcomer_becomes_a_regular_under_its_number, 0, 5);
	tcase_add_test(tc, spent_ticket_among_the_newcomers_just_goes);
	tcase_add_test(tc, flood_of_one_shot_clients_leaves_the_regulars);
	tcase_add_test(tc,
	    regulars_have_half_of_the_room_at_most_while_newcomers_come);
	tcase_add_test(tc, hand_spares_a_resumed_regular_once);
	tcase_add_test(tc, spent_ticket_is_not_spared);
	tcase_add_test(tc, hand_returns_at_the_newest_half);
	tcase_add_test(tc, regulars_go_oldest_first_if_none_was_resumed);
	tcase_add_loop_test(tc, expired_records_go_before_room_is_needed, 0, 2);
	tcase_add_test(tc, expired_regular_is_not_spared);
	tcase_add_test(tc, record_that_cannot_be_read_goes);
	tcase_add_loop_test(tc, regulars_resume_more_often_than_from_a_fifo, 0,
	    N_OF(days));
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
