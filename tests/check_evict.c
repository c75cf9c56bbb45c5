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
#include "store/shard.h"
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

/* A lookup that found it; of a ticket, if spent says so. */
static void
hit(uint64_t seq, bool spent)
{
	ck_done(sc_store_enter(store, 0, SC_LOCK_PATIENT_MS));
	sc_store_hit(store, 0, seq, spent);
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

/* --- tickets that were used ---------------------------------------------- */

/* Some of both queues, the youngest last; their numbers are from 1 on. */
static uint64_t
put_tickets(uint64_t n)
{
	uint64_t last = 0;

	while (n-- > 0)
		last = put(SC_RECORD_TICKET |
		    (n % 2 == 0 ? (unsigned)SC_RECORD_REGULAR : 0u));
	return last;
}

START_TEST(spent_tickets_go_first_and_no_other_goes_for_them)
{
	enum { SPENT = 200 };
	uint64_t seq, last, first, spent = 0, unspent = 0;

	put_tickets(200);
	while (evicted() == 0)
		put_tickets(2);
	last = put_tickets(300);
	first = last - SPENT;
	flush_at(NOW);
	for (seq = first; seq < last; seq++) {
		if (seq % 4 < 2)
			hit(seq, true);
	}
	put_tickets(600);
	flush_at(NOW);
	for (seq = first; seq < last; seq++) {
		if (seq % 4 < 2)
			spent += is_there(seq);
		else
			unspent += is_there(seq);
	}
	ck_assert_uint_eq(spent, 0);
	ck_assert_uint_eq(unspent, SPENT / 2);
}
END_TEST

START_TEST(spent_tickets_stay_while_there_is_room)
{
	uint64_t seq, last = put_tickets(200);

	for (seq = 1; seq <= last; seq++)
		hit(seq, true);
	put_tickets(200);
	flush_at(NOW);
	for (seq = 1; seq <= last; seq++)
		ck_assert(is_there(seq));
	ck_assert_uint_eq(evicted(), 0);
}
END_TEST

START_TEST(spent_tickets_leave_room_for_others)
{
	uint64_t before, oldest, seq, last;

	last = fill(SC_RECORD_TICKET);
	flush_at(NOW);
	for (oldest = 1; !is_there(oldest); oldest++)
		ck_assert_uint_lt(oldest, last);
	/* Of the youngest, all: what is stored next takes their room. */
	for (seq = last - 500; seq <= last; seq++)
		hit(seq, true);
	before = evicted();
	put_many(SC_RECORD_TICKET, 400);
	flush_at(NOW);
	ck_assert_uint_ge(evicted() - before, 400);
	for (seq = oldest + 100; seq < last - 500; seq++)
		ck_assert_msg(is_there(seq), "%lu, not spent, is gone",
		    (unsigned long)seq);
}
END_TEST

START_TEST(ticket_that_is_spent_at_once_never_reaches_the_tree)
{
	uint64_t seq, before, newcomers;

	fill(SC_RECORD_TICKET);
	put_many(SC_RECORD_TICKET, 1000);
	flush_at(NOW);
	before = evicted();
	newcomers = counted(SC_COUNT_EVICTED_NEWCOMERS);
	seq = put(SC_RECORD_TICKET | SC_RECORD_REGULAR);
	hit(seq, true);
	put(SC_RECORD_TICKET);
	while (evicted() == before)
		put(SC_RECORD_TICKET);
	ck_assert(!is_there(seq));
	ck_assert(is_there(seq + 1));
	ck_assert_uint_eq(records_in(SESSCACHE_REGULAR), 0);
	ck_assert_uint_eq(counted(SC_COUNT_EVICTED_REGULARS), 1);
	ck_assert_uint_ge(counted(SC_COUNT_EVICTED_NEWCOMERS), newcomers);
}
END_TEST

START_TEST(ticket_that_was_stored_anew_is_not_spent)
{
	const uint64_t first = 1500, end = 1520;
	uint64_t seq;

	put_many(SC_RECORD_TICKET, 2000);
	for (seq = first; seq < end; seq++)
		hit(seq, true);
	for (seq = first; seq < end; seq += 2)
		put_as(seq, SC_RECORD_TICKET, LATER, NOW);
	flush_at(NOW);
	ck_assert_uint_eq(evicted(), 0);
	fill(SC_RECORD_TICKET);
	flush_at(NOW);
	for (seq = first; seq < end; seq++)
		ck_assert_msg(is_there(seq) == (seq % 2 == first % 2), "%lu",
		    (unsigned long)seq);
}
END_TEST

START_TEST(session_that_may_be_used_again_is_not_spent)
{
	enum sesscache_queue queue;
	uint64_t last, seq;

	fill(0);
	put_many(0, 1000);
	last = put(0);
	flush_at(NOW);
	/* As if its number had been that of a ticket. */
	for (seq = last - 20; seq < last; seq++)
		hit(seq, seq % 2 == 0);
	put_many(0, 400);
	for (seq = last - 20; seq < last; seq++)
		ck_assert(find(seq, &queue) && queue == SESSCACHE_NEWCOMER);
	put_many(0, last);
	for (seq = last - 20; seq < last; seq++)
		ck_assert(find(seq, &queue) && queue == SESSCACHE_REGULAR);
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

/* --- TLS 1.3 at a server ------------------------------------------------- */

enum {
	HOUR_MS = 3600 * 1000,
	USERS = 7000, /* at most, of the server */
	SHORTEST_MS = 100,
	DOUBLINGS = 16, /* of the time from one visit to the next */
	START_MS = 1000 * 1000,
};

/* One who comes back, after a time that may be any. */
struct user {
	uint64_t next_ms;
	uint8_t id[SESSCACHE_ID_LEN];
	bool has_id;
	bool old; /* TLS 1.2 */
	uint64_t fifo_at;
	uint64_t fifo_ms;
};

enum spending { KEPT, FIRST_TO_GO, TAKEN };

/* A server whose cache holds a part of the sessions that are alive. */
struct site {
	struct sc_cache *cache;
	struct sc_spent *spent; /* NULL: as it is */
	enum spending spending;
	unsigned old_percent; /* of clients on TLS 1.2 */
	unsigned tickets;     /* for a full handshake */
	uint64_t dice;
	struct user users[USERS];
	unsigned order[USERS]; /* a heap: who comes next */
	unsigned n;
	uint64_t fifo_stores;
	uint64_t fifo_room;
	unsigned visits, resumed, resumed_by_fifo;
};

static void
sift(struct site *site, unsigned at)
{
	unsigned *order = site->order;
	unsigned least = at, child, other;

	for (;;) {
		for (child = 2 * at + 1; child <= 2 * at + 2 && child < site->n;
		     child++) {
			if (site->users[order[child]].next_ms <
			    site->users[order[least]].next_ms)
				least = child;
		}
		if (least == at)
			break;
		other = order[at];
		order[at] = order[least];
		order[least] = other;
		at = least;
	}
}

/* Any order of magnitude as likely as any other: a tenth of a second to two
 * hours. */
static uint64_t
pause_ms(struct site *site)
{
	uint64_t base = (uint64_t)SHORTEST_MS
	    << (test_random(&site->dice) % DOUBLINGS);

	return base + test_random(&site->dice) % base;
}

static void
site_store(struct site *site, uint8_t *id, unsigned flags, uint64_t now_ms)
{
	static const uint8_t bytes[BODY];
	const struct sc_record_in in = { .id = id,
		.id_len = SESSCACHE_ID_LEN,
		.data = bytes,
		.data_len = sizeof(bytes),
		.ttl_seconds = HOUR_MS / 1000,
		.flags = flags };

	ck_done(sc_cache_new_id(site->cache, id));
	ck_done(sc_cache_put(site->cache, &in, (uint32_t)(now_ms / 1000)));
}

/* A full handshake: sessions for a client, who keeps the last. */
static void
site_greet(struct site *site, uint8_t *id, bool old, uint64_t now_ms)
{
	unsigned i;

	for (i = 0; i < (old ? 1 : site->tickets); i++)
		site_store(site, id, old ? 0u : (unsigned)SC_RECORD_TICKET,
		    now_ms);
}

static bool
site_resumes(struct site *site, struct user *user)
{
	const uint32_t now = (uint32_t)(user->next_ms / 1000);
	uint8_t buf[BODY];
	struct sc_lookup lookup = { .id = user->id,
		.id_len = sizeof(user->id),
		.buf = buf,
		.size = sizeof(buf) };
	enum sesscache_status status;

	if (!user->has_id)
		return false;
	if (site->spending == TAKEN && !user->old)
		status = sc_cache_take(site->cache, &lookup, now);
	else
		status = sc_cache_get(site->cache, &lookup, now);
	if (site->spending == KEPT) /* nobody noted that it was used */
		sc_spent_done(site->spent, atomic_load(&site->spent->pushed));
	return status == SESSCACHE_OK;
}

/* What a queue in the order of arrival says to the same visit. */
static bool
fifo_resumes(struct site *site, struct user *user)
{
	bool resumes = user->fifo_at != 0 &&
	    site->fifo_stores - user->fifo_at < site->fifo_room &&
	    user->next_ms - user->fifo_ms < HOUR_MS;

	if (!resumes || !user->old) {
		site->fifo_stores += resumes || user->old ? 1 : site->tickets;
		user->fifo_at = site->fifo_stores;
		user->fifo_ms = user->next_ms;
	}
	return resumes;
}

static void
site_visit(struct site *site, struct user *user, bool counts)
{
	bool by_fifo = fifo_resumes(site, user);
	bool resumes = site_resumes(site, user);

	if (!resumes)
		site_greet(site, user->id, user->old, user->next_ms);
	else if (!user->old)
		site_store(site, user->id, SC_RECORD_TICKET | SC_RECORD_REGULAR,
		    user->next_ms);
	user->has_id = true;
	if (counts) {
		site->visits++;
		site->resumed += resumes;
		site->resumed_by_fifo += by_fifo;
	}
}

static void
site_run(struct site *site, uint64_t end_ms)
{
	uint8_t id[SESSCACHE_ID_LEN];
	struct user *user;
	bool old;

	for (;;) {
		user = &site->users[site->order[0]];
		if (user->next_ms >= end_ms)
			break;
		/* For each that comes back there is one who never does. */
		old = test_random(&site->dice) % 100 < site->old_percent;
		site_greet(site, id, old, user->next_ms);
		site->fifo_stores += old ? 1 : site->tickets;
		site_visit(site, user, user->next_ms >= START_MS + HOUR_MS);
		user->next_ms += pause_ms(site);
		sift(site, 0);
	}
}

/* How many fit if none is used. */
static uint64_t
room_of(struct site *site)
{
	uint8_t id[SESSCACHE_ID_LEN];
	struct sesscache_stats stats;
	uint32_t created_at;
	uint64_t removed;

	do {
		site_store(site, id, SC_RECORD_TICKET, START_MS);
		ck_done(sc_cache_stats(site->cache, &stats, &created_at));
	} while (stats.evicted_newcomers == 0);
	ck_done(sc_cache_clear(site->cache, START_MS / 1000, &removed));
	return stats.records;
}

static const struct {
	const char *name;
	unsigned old_percent;
	unsigned tickets;
	unsigned users; /* for so many sessions alive */
} sites[] = {
	{ "web, 5 %", 0, 1, 6000 },
	{ "web, 10 %", 0, 1, 3000 },
	{ "web, two tickets, 10 %", 0, 2, 3000 },
	{ "mixed web, 5 %", 30, 1, 6000 },
};

/* Of all visits. */
static unsigned
permille(const struct site *site, unsigned resumed)
{
	return site->visits > 0 ? resumed * 1000 / site->visits : 0;
}

/* Permille of the visits that resume. */
static unsigned
try_site(struct site *site, int which, enum spending spending)
{
	const struct sc_store_config config = { .dir = test_dir("site"),
		.size_bytes = MIB,
		.shards = 1,
		.init = init_nothing,
		.make_room = sc_evict };
	struct sc_store_opened opened;
	unsigned i;

	memset(site, 0, sizeof(*site));
	site->cache = test_cache("site", MIB, 1);
	ck_done(sc_store_open(&store, &config, &opened));
	site->spent = &store->shard[0].area->spent;
	site->spending = spending;
	site->old_percent = sites[which].old_percent;
	site->tickets = sites[which].tickets;
	site->dice = 2024;
	site->fifo_room = room_of(site);
	site->n = sites[which].users;
	for (i = 0; i < site->n; i++) {
		site->users[i].next_ms = START_MS +
		    test_random(&site->dice) % pause_ms(site);
		site->users[i].old = i * 37 % 100 < sites[which].old_percent;
		site->order[i] = i;
	}
	for (i = site->n / 2; i-- > 0;)
		sift(site, i);
	site_run(site, START_MS + HOUR_MS + test_times(HOUR_MS, HOUR_MS / 20));
	sc_store_close(store);
	sc_cache_close(site->cache);
	test_remove_tree(test_dir("site"));
	return permille(site, site->resumed);
}

START_TEST(clients_of_tls_1_3_resume_more_often_if_spent_tickets_go_first)
{
	static struct site site;
	unsigned kept, gone, taken, fifo;

	kept = try_site(&site, _i, KEPT);
	taken = try_site(&site, _i, TAKEN);
	gone = try_site(&site, _i, FIRST_TO_GO);
	fifo = permille(&site, site.resumed_by_fifo);
	if (getenv("SC_TEST_VERBOSE") != NULL)
		printf("%s: of %u visits %u permille resumed; if none is "
		       "spent %u, if all are taken %u, from a FIFO %u\n",
		    sites[_i].name, site.visits, gone, kept, taken, fifo);
	ck_assert_msg(gone >= kept + 15, "%s: %u, not spent %u", sites[_i].name,
	    gone, kept);
	ck_assert_msg(gone >= fifo + 20, "%s: %u, from a FIFO %u",
	    sites[_i].name, gone, fifo);
	ck_assert_msg(gone + 10 >= taken, "%s: %u, taken %u", sites[_i].name,
	    gone, taken);
}
END_TEST

static int
expect_queue(const struct sc_scanned *scanned, void *arg)
{
	unsigned *seen = arg;

	ck_assert_int_eq(scanned->queue,
	    (scanned->flags & SC_RECORD_REGULAR) != 0 ? SESSCACHE_REGULAR :
							SESSCACHE_NEWCOMER);
	ck_assert_uint_lt(scanned->flags, 4);
	seen[scanned->flags]++;
	return 0;
}

START_TEST(ticket_of_a_resumed_connection_is_a_regular_at_once)
{
	struct site site = { .cache = test_cache("site", MIB, 1) };
	uint8_t id[SESSCACHE_ID_LEN];
	unsigned flags, seen[4] = { 0 };

	for (flags = 0; flags < 4; flags++)
		site_store(&site, id, flags, START_MS);
	ck_done(sc_cache_scan(site.cache, expect_queue, seen));
	for (flags = 0; flags < 4; flags++)
		ck_assert_uint_eq(seen[flags], 1);
	sc_cache_close(site.cache);
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
	TCase *tc;

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
	tcase_add_test(tc, spent_tickets_go_first_and_no_other_goes_for_them);
	tcase_add_test(tc, spent_tickets_stay_while_there_is_room);
	tcase_add_test(tc, spent_tickets_leave_room_for_others);
	tcase_add_test(tc, ticket_that_is_spent_at_once_never_reaches_the_tree);
	tcase_add_test(tc, ticket_that_was_stored_anew_is_not_spent);
	tcase_add_test(tc, session_that_may_be_used_again_is_not_spent);
	tcase_add_loop_test(tc, expired_records_go_before_room_is_needed, 0, 2);
	tcase_add_test(tc, expired_regular_is_not_spared);
	tcase_add_test(tc, record_that_cannot_be_read_goes);
	tcase_add_loop_test(tc, regulars_resume_more_often_than_from_a_fifo, 0,
	    N_OF(days));
	tc = tcase_create("TLS 1.3");
	tcase_add_unchecked_fixture(tc, test_root_make, test_root_remove);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc,
	    clients_of_tls_1_3_resume_more_often_if_spent_tickets_go_first, 0,
	    N_OF(sites));
	tcase_add_test(tc, ticket_of_a_resumed_connection_is_a_regular_at_once);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
