/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache: sealed records under IDs, with lifetimes and terms; what threads
 * and processes may count on; what it keeps; what cannot be read any more.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/record.h"
#include "store/store.h"
#include "support.h"

enum {
	MIB = 1 << 20,
	NOW = 1000,
	TTL = 300,
	MAX_DATA = 30 * 1024,
};

static struct sc_cache *cache;
static uint8_t got[MAX_DATA];

static void
setup(void)
{
	test_dir_make();
	cache = test_cache("cache", 4 * MIB, 4);
}

static void
teardown(void)
{
	sc_cache_close(cache);
	cache = NULL;
	test_dir_remove();
}

static void
open_again(uint64_t size_bytes, uint32_t shards)
{
	sc_cache_close(cache);
	test_remove_tree(test_dir("cache"));
	cache = test_cache("cache", size_bytes, shards);
}

/* --- calls --------------------------------------------------------------- */

struct id {
	uint8_t bytes[SESSCACHE_ID_MAX_LEN];
	size_t len;
};

static struct id
new_id(void)
{
	struct id id = { .len = SESSCACHE_ID_LEN };

	ck_done(sc_cache_new_id(cache, id.bytes));
	return id;
}

/* An ID of somebody else's. */
static struct id
foreign_id(uint64_t number, size_t len)
{
	struct id id = { .len = len };

	test_fill(id.bytes, len, number);
	return id;
}

/* The same, for all kinds of IDs that a loop runs over. */
static const size_t id_lens[] = { 0 /* ours */, 1, 15, 16, 17, 31, 32, 33, 63,
	64 };

static struct id
id_of_kind(int kind)
{
	return id_lens[kind] == 0 ? new_id() : foreign_id(9, id_lens[kind]);
}

static struct sc_record_in
record_in(const struct id *id, const void *data, size_t len)
{
	return (struct sc_record_in){ .id = id->bytes,
		.id_len = id->len,
		.data = data,
		.data_len = len,
		.ttl_seconds = TTL };
}

static enum sesscache_status
put(const struct id *id, const void *data, size_t len)
{
	const struct sc_record_in in = record_in(id, data, len);

	return sc_cache_put(cache, &in, NOW);
}

static enum sesscache_status
add(const struct id *id, const void *data, size_t len)
{
	const struct sc_record_in in = record_in(id, data, len);

	return sc_cache_add(cache, &in, NOW);
}

static struct sc_lookup
lookup_of(const struct id *id)
{
	return (struct sc_lookup){ .id = id->bytes,
		.id_len = id->len,
		.buf = got,
		.size = sizeof(got) };
}

static enum sesscache_status
get_at(const struct id *id, uint32_t now, size_t *len)
{
	struct sc_lookup lookup = lookup_of(id);
	enum sesscache_status status;

	status = sc_cache_get(cache, &lookup, now);
	*len = lookup.len;
	return status;
}

static enum sesscache_status
take(const struct id *id)
{
	struct sc_lookup lookup = lookup_of(id);

	return sc_cache_take(cache, &lookup, NOW);
}

static enum sesscache_status
remove_id(const struct id *id)
{
	return sc_cache_remove(cache, id->bytes, id->len);
}

/* Whether an ID has just these bytes. */
static bool
holds(const struct id *id, const void *data, size_t len)
{
	size_t got_len = 0;

	return get_at(id, NOW, &got_len) == SESSCACHE_OK && got_len == len &&
	    memcmp(got, data, len) == 0;
}

static bool
is_gone(const struct id *id)
{
	size_t len;

	return get_at(id, NOW, &len) == SESSCACHE_MISS;
}

static struct sesscache_stats
stats_now(void)
{
	struct sesscache_stats stats;
	uint32_t created_at;

	ck_done(sc_cache_stats(cache, &stats, &created_at));
	ck_assert_uint_eq(created_at, 1);
	return stats;
}

/* Everything that is in a journal goes to the trees. */
static int
visit_nothing(const struct sc_scanned *scanned, void *arg)
{
	(void)scanned;
	++*(unsigned *)arg;
	return 0;
}

static unsigned
count_by_scan(void)
{
	unsigned n = 0;

	ck_done(sc_cache_scan(cache, visit_nothing, &n));
	return n;
}

/* --- records ------------------------------------------------------------- */

static const size_t lengths[] = { 0, 1, 100, 160, 1536, 1900, 1975, 2000, 4000,
	4069, 4070, 4096, 8000, 16384, MAX_DATA };

START_TEST(record_of_any_length_comes_back_under_any_id)
{
	const struct id id = id_of_kind(_i);
	uint8_t data[MAX_DATA];
	int i, flushed;

	for (i = 0; i < N_OF(lengths); i++) {
		test_fill(data, lengths[i], (uint64_t)i);
		ck_done(put(&id, data, lengths[i]));
		for (flushed = 0; flushed < 2; flushed++) {
			ck_assert_msg(holds(&id, data, lengths[i]),
			    "%zu bytes under %zu, flushed %d", lengths[i],
			    id.len, flushed);
			ck_assert_uint_eq(count_by_scan(), 1);
		}
	}
	ck_assert_uint_eq(stats_now().records, 1);
}
END_TEST

START_TEST(removed_record_is_a_miss)
{
	const struct id id = id_of_kind(_i);
	int flushed;

	for (flushed = 0; flushed < 2; flushed++) {
		ck_done(put(&id, "abc", 3));
		if (flushed != 0)
			ck_assert_uint_eq(count_by_scan(), 1);
		ck_done(remove_id(&id));
		ck_assert(is_gone(&id));
		ck_status(remove_id(&id), SESSCACHE_MISS);
		ck_status(take(&id), SESSCACHE_MISS);
		ck_assert_uint_eq(stats_now().records, 0);
		ck_assert_uint_eq(count_by_scan(), 0);
	}
}
END_TEST

START_TEST(record_is_taken_once)
{
	const struct id id = id_of_kind(_i);
	int flushed;

	for (flushed = 0; flushed < 2; flushed++) {
		ck_done(put(&id, "abc", 3));
		if (flushed != 0)
			ck_assert_uint_eq(count_by_scan(), 1);
		ck_done(take(&id));
		ck_assert_mem_eq(got, "abc", 3);
		ck_status(take(&id), SESSCACHE_MISS);
		ck_assert(is_gone(&id));
	}
	ck_assert_uint_eq(stats_now().taken, 2);
}
END_TEST

START_TEST(record_is_added_only_where_none_lives)
{
	const struct id id = id_of_kind(_i);
	struct sc_record_in in = record_in(&id, "second", 6);
	uint8_t big[9000];
	size_t len;

	test_fill(big, sizeof(big), 1);
	ck_done(add(&id, "first", 5));
	ck_status(add(&id, "second", 6), SESSCACHE_EXISTS);
	ck_status(add(&id, big, sizeof(big)), SESSCACHE_EXISTS);
	ck_assert_uint_eq(count_by_scan(), 1);
	ck_status(add(&id, "second", 6), SESSCACHE_EXISTS);
	ck_status(add(&id, big, sizeof(big)), SESSCACHE_EXISTS);
	ck_assert(holds(&id, "first", 5));
	/* The first one's time is over: it does not count. */
	ck_done(sc_cache_add(cache, &in, NOW + TTL));
	ck_done(get_at(&id, NOW + TTL, &len));
	ck_assert_mem_eq(got, "second", 6);
	ck_done(remove_id(&id));
	ck_done(add(&id, big, sizeof(big)));
	ck_status(add(&id, "third", 5), SESSCACHE_EXISTS);
	ck_assert(holds(&id, big, sizeof(big)));
}
END_TEST

START_TEST(record_replaces_another_and_leaves_nothing_of_it)
{
	const struct id id = id_of_kind(_i);
	uint8_t big[9000];
	int flushed;

	for (flushed = 0; flushed < 2; flushed++) {
		test_fill(big, sizeof(big), 1);
		ck_done(put(&id, "first", 5));
		if (flushed != 0)
			ck_assert_uint_eq(count_by_scan(), 1);
		ck_done(put(&id, "second", 6));
		ck_assert(holds(&id, "second", 6));
		ck_done(put(&id, big, sizeof(big)));
		ck_assert(holds(&id, big, sizeof(big)));
		ck_done(put(&id, "third", 5));
		ck_assert(holds(&id, "third", 5));
		ck_done(remove_id(&id));
		ck_assert(is_gone(&id));
		ck_assert_uint_eq(count_by_scan(), 0);
		ck_assert(is_gone(&id));
	}
}
END_TEST

START_TEST(buffer_that_is_too_small_leaves_the_record)
{
	const struct id id = id_of_kind(_i);
	struct sc_lookup lookup = lookup_of(&id);
	uint8_t small[4] = { 1, 2, 3, 4 };

	ck_done(put(&id, "abcdef", 6));
	lookup.buf = small;
	lookup.size = 3;
	ck_status(sc_cache_get(cache, &lookup, NOW), SESSCACHE_ETOOBIG);
	ck_assert_uint_eq(lookup.len, 6);
	ck_status(sc_cache_take(cache, &lookup, NOW), SESSCACHE_ETOOBIG);
	ck_assert_uint_eq(lookup.len, 6);
	ck_assert_mem_eq(small, "\1\2\3\4", 4);
	ck_assert(holds(&id, "abcdef", 6));
	lookup.buf = NULL;
	lookup.size = 0;
	ck_status(sc_cache_get(cache, &lookup, NOW), SESSCACHE_ETOOBIG);
	ck_done(put(&id, NULL, 0));
	ck_done(sc_cache_get(cache, &lookup, NOW));
	ck_assert_uint_eq(lookup.len, 0);
}
END_TEST

START_TEST(record_lives_for_its_lifetime)
{
	const struct id id = id_of_kind(_i);
	struct sc_lookup lookup = lookup_of(&id);
	size_t len;
	int flushed;

	for (flushed = 0; flushed < 2; flushed++) {
		ck_done(put(&id, "abc", 3));
		if (flushed != 0)
			ck_assert_uint_eq(count_by_scan(), 1);
		ck_done(sc_cache_get(cache, &lookup, NOW + TTL - 1));
		ck_assert_uint_eq(lookup.created_at, NOW);
		ck_assert_uint_eq(lookup.expires_at, NOW + TTL);
		ck_status(get_at(&id, NOW + TTL, &len), SESSCACHE_MISS);
		ck_assert_uint_eq(len, 0);
		/* And it was removed: the clock does not bring it back. */
		ck_assert(is_gone(&id));
	}
	ck_assert_uint_eq(stats_now().expired, 2);
}
END_TEST

START_TEST(lifetime_past_the_end_of_time_ends_there)
{
	const struct id id = id_of_kind(_i);
	struct sc_record_in in = record_in(&id, "abc", 3);
	size_t len;

	in.ttl_seconds = UINT32_MAX;
	ck_done(sc_cache_put(cache, &in, NOW));
	ck_done(get_at(&id, UINT32_MAX - 1, &len));
	ck_status(get_at(&id, UINT32_MAX, &len), SESSCACHE_MISS);
}
END_TEST

START_TEST(record_is_found_by_what_it_asked_alone)
{
	static const uint64_t hashes[] = { 0, 1, 2, UINT64_MAX };
	const struct id id = id_of_kind(_i);
	struct sc_record_in in = record_in(&id, "abc", 3);
	struct sc_lookup lookup = lookup_of(&id);
	int of, asked;

	for (of = 0; of < N_OF(hashes); of++) {
		in.scope.asked = hashes[of];
		ck_done(sc_cache_put(cache, &in, NOW));
		for (asked = 0; asked < N_OF(hashes); asked++) {
			if (asked == of)
				continue;
			lookup.terms.open.asked = hashes[asked];
			ck_status(sc_cache_get(cache, &lookup, NOW),
			    SESSCACHE_MISS);
			ck_status(sc_cache_take(cache, &lookup, NOW),
			    SESSCACHE_MISS);
			ck_assert_uint_eq(lookup.len, 0);
			ck_assert(!lookup.taken && !lookup.terms.wants_auth);
		}
		lookup.terms.open.asked = hashes[of];
		ck_done(sc_cache_get(cache, &lookup, NOW));
		ck_done(sc_cache_take(cache, &lookup, NOW));
	}
}
END_TEST

/* --- terms --------------------------------------------------------------- */

enum { ASKED = 11, LANDED = 22 };

static void
put_session(const struct id *id, struct sc_scope scope, unsigned flags)
{
	struct sc_record_in in = record_in(id, "session", 7);

	in.scope = scope;
	in.flags = flags;
	ck_done(sc_cache_put(cache, &in, NOW));
}

START_TEST(record_says_its_flags_and_where_it_landed)
{
	const struct id id = id_of_kind(_i);
	struct sc_lookup lookup = lookup_of(&id);

	lookup.terms.open = (struct sc_scope){ ASKED, LANDED };
	lookup.terms.auth = (struct sc_scope){ ASKED + 1, 0 };
	put_session(&id, (struct sc_scope){ ASKED, LANDED },
	    SC_RECORD_TICKET | SC_RECORD_EMS);
	ck_done(sc_cache_get(cache, &lookup, NOW));
	ck_assert_uint_eq(lookup.terms.said.landed, LANDED);
	ck_assert_uint_eq(lookup.terms.flags, SC_RECORD_TICKET | SC_RECORD_EMS);
	put_session(&id, (struct sc_scope){ ASKED + 1, LANDED + 1 },
	    SC_RECORD_AUTH);
	ck_done(sc_cache_get(cache, &lookup, NOW));
	ck_assert_uint_eq(lookup.terms.said.landed, LANDED + 1);
	ck_assert_uint_eq(lookup.terms.flags, SC_RECORD_AUTH);
	ck_assert(!lookup.taken);
}
END_TEST

START_TEST(record_that_does_not_meet_the_terms_stays)
{
	const struct id id = id_of_kind(_i);
	struct sc_lookup lookup = lookup_of(&id);
	struct sesscache_stats stats;

	put_session(&id, (struct sc_scope){ ASKED, LANDED },
	    SC_RECORD_EMS | SC_RECORD_ONCE);
	lookup.terms.open = (struct sc_scope){ ASKED, LANDED + 1 };
	ck_status(sc_cache_get(cache, &lookup, NOW), SESSCACHE_MISS);
	ck_status(sc_cache_take(cache, &lookup, NOW), SESSCACHE_MISS);
	lookup.terms.open.landed = LANDED;
	lookup.terms.refused = SC_RECORD_EMS;
	ck_status(sc_cache_get(cache, &lookup, NOW), SESSCACHE_MISS);
	lookup.terms.refused = 0;
	lookup.terms.place = ASKED;
	sc_cache_mislanded(cache, ASKED, 0, LANDED + 1, NOW);
	ck_status(sc_cache_get(cache, &lookup, NOW), SESSCACHE_MISS);
	ck_assert(!lookup.taken);
	stats = stats_now();
	ck_assert_uint_eq(stats.realm_refused, 4);
	ck_assert_uint_eq(stats.misses + stats.foreign, 4);
	ck_assert_uint_eq(stats.records, 1);
}
END_TEST

START_TEST(lookup_may_have_to_come_again_with_terms_of_authentication)
{
	const struct id id = id_of_kind(_i);
	struct sc_lookup lookup = lookup_of(&id);
	struct sesscache_stats stats;

	put_session(&id, (struct sc_scope){ ASKED + 1, LANDED },
	    SC_RECORD_AUTH | SC_RECORD_ONCE);
	lookup.terms.open.asked = ASKED;
	ck_status(sc_cache_get(cache, &lookup, NOW), SESSCACHE_MISS);
	ck_assert(lookup.terms.wants_auth && !lookup.taken);
	stats = stats_now();
	ck_assert_uint_eq(stats.misses + stats.foreign, 0);
	ck_assert_uint_eq(stats.realm_refused, 0);
	lookup.terms.auth.asked = ASKED + 1;
	ck_done(sc_cache_get(cache, &lookup, NOW));
	ck_assert(lookup.taken && !lookup.terms.wants_auth);
	lookup.terms.auth.asked = 0;
	ck_status(sc_cache_get(cache, &lookup, NOW), SESSCACHE_MISS);
	ck_assert(!lookup.terms.wants_auth && !lookup.taken);
}
END_TEST

START_TEST(record_for_one_use_is_taken_by_whoever_gets_it)
{
	const struct id id = id_of_kind(_i);
	struct sc_lookup lookup = lookup_of(&id);
	uint8_t small[3];
	int flushed;

	lookup.terms.open.asked = ASKED;
	for (flushed = 0; flushed < 2; flushed++) {
		put_session(&id, (struct sc_scope){ ASKED, LANDED },
		    SC_RECORD_ONCE | SC_RECORD_TICKET);
		if (flushed != 0)
			ck_assert_uint_eq(count_by_scan(), 1);
		lookup.buf = small;
		lookup.size = sizeof(small);
		ck_status(sc_cache_get(cache, &lookup, NOW), SESSCACHE_ETOOBIG);
		ck_assert(!lookup.taken);
		lookup.buf = got;
		lookup.size = sizeof(got);
		ck_done(sc_cache_get(cache, &lookup, NOW));
		ck_assert(lookup.taken);
		ck_assert_mem_eq(got, "session", 7);
		ck_assert(is_gone(&id));
	}
	ck_assert_uint_eq(stats_now().taken, 2);
	ck_assert_uint_eq(stats_now().hits, 0);
	ck_assert_uint_eq(stats_now().records, 0);
}
END_TEST

START_TEST(hit_may_be_counted_later)
{
	const struct id id = id_of_kind(_i);
	struct sc_lookup lookup = lookup_of(&id);
	struct sesscache_stats stats;

	ck_done(put(&id, "abc", 3));
	lookup.counted_later = true;
	ck_done(sc_cache_get(cache, &lookup, NOW));
	ck_done(sc_cache_get(cache, &lookup, NOW));
	ck_assert_uint_eq(stats_now().hits, 0);
	sc_cache_count(cache, SC_EVENT_HIT);
	sc_cache_count(cache, SC_EVENT_UNDECODABLE);
	lookup.counted_later = false;
	ck_done(sc_cache_get(cache, &lookup, NOW));
	stats = stats_now();
	ck_assert_uint_eq(stats.hits, 2);
	ck_assert_uint_eq(stats.undecodable, 1);
	ck_assert_uint_eq(stats.misses + stats.foreign + stats.taken, 0);
}
END_TEST

static int
must_be_used(const struct sc_scanned *scanned, void *arg)
{
	ck_assert(scanned->used);
	ck_assert_uint_eq(scanned->scope.asked, ASKED);
	ck_assert_uint_eq(scanned->scope.landed, LANDED);
	++*(unsigned *)arg;
	return 0;
}

START_TEST(hit_that_is_counted_later_marks_the_record)
{
	const struct id id = id_of_kind(_i);
	struct sc_lookup lookup = lookup_of(&id);
	unsigned n = 0;

	put_session(&id, (struct sc_scope){ ASKED, LANDED }, SC_RECORD_TICKET);
	lookup.counted_later = true;
	lookup.terms.open.asked = ASKED;
	ck_done(sc_cache_get(cache, &lookup, NOW));
	ck_done(sc_cache_scan(cache, must_be_used, &n));
	ck_assert_uint_eq(n, 1);
}
END_TEST

static const struct {
	const char *name;
	bool has_id;
	size_t id_len;
	bool has_data;
	size_t data_len;
	enum sesscache_status want;
	const char *says;
} bad_cases[] = {
	{ "no ID", false, 32, true, 1, SESSCACHE_EINVAL, "ID" },
	{ "ID of 0 bytes", true, 0, true, 1, SESSCACHE_EINVAL, "ID" },
	{ "ID of 65 bytes", true, 65, true, 1, SESSCACHE_EINVAL, "65" },
	{ "ID of many bytes", true, SIZE_MAX, true, 1, SESSCACHE_EINVAL, "ID" },
	{ "no data", true, 32, false, 1, SESSCACHE_EINVAL, "data" },
	{ "31.5 KiB", true, 32, true, 32256, SESSCACHE_ETOOBIG, "32256" },
	{ "far too long", true, 32, true, SIZE_MAX, SESSCACHE_ETOOBIG,
	    "bytes" },
};

START_TEST(bad_argument_is_named)
{
	static const uint8_t bytes[40000];
	struct sc_record_in in = {
		.id = bad_cases[_i].has_id ? bytes : NULL,
		.id_len = bad_cases[_i].id_len,
		.data = bad_cases[_i].has_data ? bytes : NULL,
		.data_len = bad_cases[_i].data_len,
		.ttl_seconds = TTL,
	};
	struct sc_lookup lookup = { .id = in.id,
		.id_len = in.id_len,
		.buf = got,
		.size = sizeof(got) };
	const char *name = bad_cases[_i].name;

	ck_assert_msg(sc_cache_put(cache, &in, NOW) == bad_cases[_i].want &&
		strstr(sesscache_detail(), bad_cases[_i].says) != NULL,
	    "%s: %s", name, sesscache_detail());
	ck_assert_msg(sc_cache_add(cache, &in, NOW) == bad_cases[_i].want,
	    "%s: %s", name, sesscache_detail());
	ck_assert_uint_eq(count_by_scan(), 0);
	if (bad_cases[_i].has_id && in.id_len == 32)
		return;
	ck_assert_msg(sc_cache_get(cache, &lookup, NOW) == bad_cases[_i].want &&
		sc_cache_take(cache, &lookup, NOW) == bad_cases[_i].want &&
		sc_cache_remove(cache, in.id, in.id_len) == bad_cases[_i].want,
	    "%s: %s", name, sesscache_detail());
}
END_TEST

/* --- IDs ----------------------------------------------------------------- */

START_TEST(new_ids_differ_and_are_ours)
{
	enum { N = 2000 };
	static struct id ids[N];
	int i, j;

	for (i = 0; i < N; i++) {
		ids[i] = new_id();
		for (j = i - 1; j >= 0 && j > i - 50; j--)
			ck_assert_mem_ne(ids[i].bytes, ids[j].bytes, 32);
	}
	ck_assert(is_gone(&ids[0]));
	ck_assert_uint_eq(stats_now().misses, 1);
	ck_assert_uint_eq(stats_now().foreign, 0);
}
END_TEST

START_TEST(id_that_was_touched_is_foreign)
{
	struct id id = new_id();

	ck_done(put(&id, "abc", 3));
	id.bytes[_i / 8] ^= (uint8_t)(1 << _i % 8);
	ck_assert(is_gone(&id));
	ck_assert_uint_eq(stats_now().foreign, 1);
	/* It may be stored under all the same, as anybody's. */
	ck_done(put(&id, "def", 3));
	ck_assert(holds(&id, "def", 3));
	id.bytes[_i / 8] ^= (uint8_t)(1 << _i % 8);
	ck_assert(holds(&id, "abc", 3));
}
END_TEST

START_TEST(foreign_ids_are_told_apart)
{
	enum { N = 300 };
	struct id id;
	unsigned i;

	for (i = 0; i < N; i++) {
		id = foreign_id(i, 1 + i % 64);
		if (id.len > 2)
			ck_done(put(&id, &i, sizeof(i)));
	}
	for (i = 0; i < N; i++) {
		id = foreign_id(i, 1 + i % 64);
		if (id.len > 2)
			ck_assert_msg(holds(&id, &i, sizeof(i)), "%u", i);
		id.len--; /* what another begins with is another */
		if (id.len > 2)
			ck_assert(is_gone(&id));
	}
}
END_TEST

/* The store under the cache; it is the same for all that open it. */
static struct sc_store *
open_store(void)
{
	const struct sc_store_config config = { .dir = test_dir("cache") };
	struct sc_store_opened opened;
	struct sc_store *store = NULL;

	ck_done(sc_store_open(&store, &config, &opened));
	return store;
}

/* Where the one record of the cache is, and its bytes as they lie there. */
struct lying {
	unsigned shard;
	uint64_t seq;
	size_t len;
	uint8_t bytes[SC_TREE_MAX_RECORD];
};

static bool
find_lying(struct sc_store *store, struct lying *lying)
{
	enum sesscache_status status = SESSCACHE_MISS;

	(void)count_by_scan();
	for (lying->shard = 0; lying->shard < sc_store_shards(store);
	     lying->shard++) {
		lying->seq = 0;
		ck_done(
		    sc_store_enter(store, lying->shard, SC_LOCK_PATIENT_MS));
		status = sc_store_next(store, lying->shard, SESSCACHE_NEWCOMER,
		    &lying->seq, lying->bytes, sizeof(lying->bytes),
		    &lying->len);
		sc_store_leave(store, lying->shard);
		if (status == SESSCACHE_OK)
			break;
	}
	return status == SESSCACHE_OK;
}

/* As it says in the record. */
static uint64_t
alias_of(const struct lying *lying)
{
	uint64_t alias = 0;
	int i;

	for (i = 1; i <= 8; i++)
		alias = alias << 8 | lying->bytes[i];
	return alias;
}

static void
put_lying(struct sc_store *store, const struct lying *lying, uint64_t alias)
{
	const struct sc_stored stored = { .seq = lying->seq,
		.alias = alias,
		.record = { lying->bytes, lying->len } };

	ck_done(sc_store_flush(store, lying->shard, SC_FLUSH_FULL, NOW));
	ck_done(sc_store_enter(store, lying->shard, SC_LOCK_PATIENT_MS));
	ck_done(sc_store_put(store, lying->shard, &stored));
	sc_store_leave(store, lying->shard);
}

START_TEST(id_with_the_alias_of_another_does_not_get_its_record)
{
	const struct id mine = foreign_id(1, 20), other = foreign_id(2, 20);
	struct sc_store *store;
	struct lying lying;

	open_again(4 * MIB, 1);
	store = open_store();
	/* Let the record of the other lie under the alias of mine. */
	ck_done(put(&mine, "mine", 4));
	ck_assert(find_lying(store, &lying));
	ck_assert_mem_eq(lying.bytes + 18 + 2, mine.bytes, 20);
	memcpy(lying.bytes + 18 + 2, other.bytes, 20);
	lying.seq = sc_store_next_seq(store, 0);
	put_lying(store, &lying, alias_of(&lying));
	ck_assert(is_gone(&mine));
	ck_status(take(&mine), SESSCACHE_MISS);
	ck_status(remove_id(&mine), SESSCACHE_MISS);
	ck_done(add(&mine, "again", 5));
	ck_assert(holds(&mine, "again", 5));
	(void)count_by_scan();
	ck_assert(holds(&mine, "again", 5));
	sc_store_close(store);
}
END_TEST

/* --- what lies there is not trusted -------------------------------------- */

START_TEST(record_that_was_tampered_with_is_a_miss_counted_and_removed)
{
	struct sc_store *store;
	struct lying lying;
	uint64_t alias;
	struct id id;
	size_t at;

	open_again(4 * MIB, 1);
	id = _i % 2 == 0 ? new_id() : foreign_id(1, 20);
	store = open_store();
	ck_done(put(&id, "abcdefghijkl", 12));
	ck_assert(find_lying(store, &lying));
	alias = _i % 2 == 0 ? 0 : alias_of(&lying);
	for (at = 0; at < lying.len; at++) {
		lying.bytes[at] ^= (uint8_t)(1 << _i);
		put_lying(store, &lying, alias);
		ck_assert_msg(!holds(&id, "abcdefghijkl", 12), "byte %zu", at);
		/* It never comes between an ID and a new record. */
		ck_done(put(&id, "new", 3));
		ck_assert_msg(holds(&id, "new", 3), "byte %zu", at);
		ck_done(remove_id(&id));
		lying.bytes[at] ^= (uint8_t)(1 << _i);
	}
	put_lying(store, &lying, alias);
	ck_assert(holds(&id, "abcdefghijkl", 12));
	ck_assert_uint_gt(stats_now().unreadable, 10);
	sc_store_close(store);
}
END_TEST

static int
check_shown(const struct sc_scanned *scanned, void *arg)
{
	(void)arg;
	ck_assert_ptr_nonnull(scanned->id);
	ck_assert_uint_ge(scanned->id_len, 1);
	ck_assert_uint_le(scanned->id_len, SESSCACHE_ID_MAX_LEN);
	ck_assert_int_eq(scanned->data == NULL, scanned->problem != NULL);
	return 0;
}

START_TEST(scan_shows_no_more_of_a_damaged_record_than_there_is)
{
	struct sc_store *store = open_store();
	struct lying lying = { .shard = 0 };
	uint64_t state = 99;
	int i;

	for (i = 0; i < 60; i++) {
		lying.seq = 1 + (uint64_t)i;
		lying.len = test_random(&state) % 120;
		test_fill(lying.bytes, lying.len, test_random(&state));
		if (i % 2 == 0 && lying.len > 30) { /* nearly one */
			lying.bytes[0] = SC_RECORD_ALIASED;
			lying.bytes[18] = 1;
			lying.bytes[19] = (uint8_t)(i * 5);
		}
		put_lying(store, &lying, 0);
	}
	ck_done(sc_cache_scan(cache, check_shown, NULL));
	sc_store_close(store);
}
END_TEST

START_TEST(purge_destroys_the_keys)
{
	struct id id = new_id();
	struct sc_store *store = open_store();
	struct sesscache_stats stats;
	struct lying lying;
	uint64_t removed;
	unsigned i;

	ck_done(put(&id, "secret", 6));
	ck_assert(find_lying(store, &lying));
	for (i = 0; i < 500; i++) {
		id = new_id();
		ck_done(put(&id, "abc", 3));
	}
	ck_done(sc_cache_clear(cache, NOW, &removed));
	ck_assert_uint_eq(removed, 501);
	stats = stats_now();
	ck_assert_uint_eq(stats.records, 0);
	ck_assert_uint_eq(stats.removed, 501);
	ck_assert_uint_eq(count_by_scan(), 0);
	ck_assert(is_gone(&id));
	/* What was copied before, or lay in a free page, does not open. */
	put_lying(store, &lying, 0);
	ck_assert_uint_eq(count_by_scan(), 1);
	ck_done(sc_cache_scan(cache, check_shown, NULL));
	for (i = 0; i < 2; i++) {
		id = new_id();
		ck_done(put(&id, "after", 5));
		ck_assert(holds(&id, "after", 5));
	}
	sc_store_close(store);
}
END_TEST

START_TEST(keys_of_what_has_expired_are_destroyed)
{
	struct id id = new_id(), later = new_id();
	struct sc_record_in in = record_in(&later, "later", 5);
	struct sc_store *store = open_store();
	struct lying lying;
	uint32_t now;
	size_t len;

	ck_done(put(&id, "secret", 6));
	ck_assert(find_lying(store, &lying));
	/* Epochs are of 3,600 seconds. */
	for (now = NOW; now < NOW + 3 * 3600; now += 450) {
		ck_done(sc_cache_put(cache, &in, now));
		ck_done(get_at(&later, now, &len));
	}
	put_lying(store, &lying, 0);
	/* Not even with the clock put back: the key is gone. */
	ck_assert(is_gone(&id));
	sc_store_close(store);
}
END_TEST

START_TEST(removal_of_what_cannot_be_read_counts)
{
	const struct id id = new_id();
	struct sc_store *store = open_store();
	struct lying lying;
	uint64_t removed;

	ck_done(put(&id, "abc", 3));
	ck_assert(find_lying(store, &lying));
	ck_done(sc_cache_clear(cache, NOW, &removed));
	put_lying(store, &lying, 0); /* a record without a key */
	ck_done(remove_id(&id));
	lying.bytes[0] = 0x3c; /* a damaged one */
	put_lying(store, &lying, 0);
	ck_done(remove_id(&id));
	ck_status(remove_id(&id), SESSCACHE_MISS);
	sc_store_close(store);
}
END_TEST

/* --- scan, clear, stats -------------------------------------------------- */

struct seen {
	unsigned n;
	unsigned stop_after;
	bool of_regulars;
};

static int
look_at_one(const struct sc_scanned *scanned, void *arg)
{
	struct seen *seen = arg;
	unsigned number = 0;

	seen->n++;
	ck_assert_uint_eq(scanned->data_len, sizeof(number));
	memcpy(&number, scanned->data, sizeof(number));
	ck_assert_uint_eq(scanned->created_at, NOW);
	ck_assert_uint_eq(scanned->expires_at, NOW + TTL + number);
	ck_assert_uint_gt(scanned->record_len, scanned->data_len);
	ck_assert_int_eq(scanned->queue,
	    number % 3 == 0 ? SESSCACHE_REGULAR : SESSCACHE_NEWCOMER);
	ck_assert_int_eq(scanned->used, number % 5 == 0);
	ck_assert_uint_eq(scanned->flags,
	    (number % 3 == 0 ? (unsigned)SC_RECORD_REGULAR : 0u) |
		(number % 2 == 0 ? (unsigned)SC_RECORD_TICKET : 0u));
	ck_assert_ptr_null(scanned->problem);
	/* No lock is held: the cache may be used. */
	ck_assert_uint_eq(stats_now().records, 300);
	return seen->n == seen->stop_after;
}

static struct id
id_of_number(unsigned number)
{
	return number % 4 == 0 ? foreign_id(number, 3 + number % 60) : new_id();
}

START_TEST(scan_shows_each_record_as_it_is)
{
	struct seen seen = { .n = 0 };
	struct sc_record_in in;
	struct id id;
	unsigned i;
	size_t len;

	for (i = 0; i < 300; i++) {
		id = id_of_number(i);
		in = record_in(&id, &i, sizeof(i));
		in.ttl_seconds = TTL + i;
		in.flags = (i % 3 == 0 ? (unsigned)SC_RECORD_REGULAR : 0u) |
		    (i % 2 == 0 ? (unsigned)SC_RECORD_TICKET : 0u);
		ck_done(sc_cache_put(cache, &in, NOW));
		if (i % 5 == 0)
			ck_done(get_at(&id, NOW, &len));
	}
	/* A clock of TTL more: created_at is the expiry less the lifetime. */
	ck_done(sc_cache_scan(cache, look_at_one, &seen));
	ck_assert_uint_eq(seen.n, 300);
	seen = (struct seen){ .stop_after = 7 };
	ck_done(sc_cache_scan(cache, look_at_one, &seen));
	ck_assert_uint_eq(seen.n, 7);
}
END_TEST

static int
remove_shown(const struct sc_scanned *scanned, void *arg)
{
	ck_done(sc_cache_remove(cache, scanned->id, scanned->id_len));
	++*(unsigned *)arg;
	return 0;
}

START_TEST(visit_may_remove_what_it_is_shown)
{
	unsigned i, removed = 0;
	struct id id;

	for (i = 0; i < 400; i++) {
		id = id_of_number(i);
		ck_done(put(&id, &i, sizeof(i)));
	}
	ck_done(sc_cache_scan(cache, remove_shown, &removed));
	ck_assert_uint_eq(removed, 400);
	ck_assert_uint_eq(count_by_scan(), 0);
	ck_assert_uint_eq(stats_now().removed, 400);
}
END_TEST

START_TEST(stats_count_what_happened)
{
	const struct id id = new_id(), foreign = foreign_id(1, 32);
	struct sc_record_in in = record_in(&id, "abc", 3);
	struct sesscache_stats stats;
	size_t len;

	ck_done(put(&id, "abc", 3));
	ck_status(add(&id, "abc", 3), SESSCACHE_EXISTS);
	ck_done(get_at(&id, NOW, &len));
	ck_done(get_at(&id, NOW, &len));
	ck_assert(is_gone(&foreign));
	ck_done(take(&id));
	ck_assert(is_gone(&id));
	in.flags = SC_RECORD_REGULAR;
	ck_done(sc_cache_put(cache, &in, NOW));
	sc_cache_count(cache, SC_EVENT_TOO_BIG);
	sc_cache_count(cache, SC_EVENT_FAILED);
	sc_cache_count(cache, SC_EVENT_FAILED);
	stats = stats_now();
	ck_assert_uint_eq(stats.size_bytes, 4 * MIB);
	ck_assert_uint_gt(stats.used_bytes, 0);
	ck_assert_uint_le(stats.used_bytes, stats.size_bytes);
	ck_assert_uint_eq(stats.shards, 4);
	ck_assert_uint_eq(stats.records, 1);
	ck_assert_uint_eq(stats.newcomers, 0);
	ck_assert_uint_eq(stats.regulars, 1);
	ck_assert_uint_eq(stats.stored, 2);
	ck_assert_uint_eq(stats.hits, 2);
	ck_assert_uint_eq(stats.misses, 1);
	ck_assert_uint_eq(stats.foreign, 1);
	ck_assert_uint_eq(stats.taken, 1);
	ck_assert_uint_eq(stats.removed, 0);
	ck_assert_uint_eq(stats.too_big, 1);
	ck_assert_uint_eq(stats.failed, 2);
	ck_assert_uint_eq(stats.busy, 0);
	ck_assert_uint_eq(stats.unreadable, 0);
}
END_TEST

/* --- many at once -------------------------------------------------------- */

enum { CONTENDERS = 4, PRIZES = 200, WORKERS = 4 };

static struct id prizes[PRIZES];
static unsigned contest; /* which of them */

enum { TAKE, ADD, ADD_LONG, GET_FOR_ONE_USE, CONTESTS };

static enum sesscache_status
add_prize(unsigned i)
{
	const struct sc_record_in in = record_in(&prizes[i], "prize", 5);
	uint8_t big[5000] = { 0 };
	const struct sc_record_in in_long = record_in(&prizes[i], big,
	    sizeof(big));

	return sc_cache_add(cache, contest == ADD_LONG ? &in_long : &in, NOW);
}

static enum sesscache_status
try_for(unsigned i)
{
	uint8_t buf[64];
	struct sc_lookup lookup = { .id = prizes[i].bytes,
		.id_len = prizes[i].len,
		.buf = buf,
		.size = sizeof(buf) };

	if (contest == TAKE)
		return sc_cache_take(cache, &lookup, NOW);
	if (contest == GET_FOR_ONE_USE)
		return sc_cache_get(cache, &lookup, NOW);
	return add_prize(i);
}

/* How many of the prizes somebody won; more than PRIZES: a failure. */
static unsigned
contend(unsigned first)
{
	enum sesscache_status status;
	unsigned i, tries, won = 0;

	for (i = 0; i < PRIZES; i++) {
		status = SESSCACHE_EBUSY;
		for (tries = 0; tries < 500 && status == SESSCACHE_EBUSY;
		     tries++)
			status = try_for((i + first) % PRIZES);
		if (status == SESSCACHE_OK)
			won++;
		else if (status != SESSCACHE_MISS && status != SESSCACHE_EXISTS)
			return PRIZES + 1;
	}
	return won;
}

static void *
contend_in_thread(void *arg)
{
	return (void *)(uintptr_t)contend(*(unsigned *)arg);
}

static void
prepare_contest(int which)
{
	struct sc_record_in in;
	unsigned i;

	contest = (unsigned)which;
	for (i = 0; i < PRIZES; i++) {
		prizes[i] = i % 2 == 0 ? new_id() : foreign_id(i, 24);
		in = record_in(&prizes[i], "prize", 5);
		in.flags = contest == GET_FOR_ONE_USE ? SC_RECORD_ONCE : 0;
		if (contest == TAKE || contest == GET_FOR_ONE_USE)
			ck_done(sc_cache_put(cache, &in, NOW));
	}
}

START_TEST(exactly_one_thread_wins)
{
	pthread_t threads[CONTENDERS];
	unsigned i, total = 0, firsts[CONTENDERS];
	void *won;

	prepare_contest(_i);
	for (i = 0; i < CONTENDERS; i++) {
		firsts[i] = i % 2 * (PRIZES / 2);
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
				     contend_in_thread, &firsts[i]),
		    0);
	}
	for (i = 0; i < CONTENDERS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &won), 0);
		total += (unsigned)(uintptr_t)won;
	}
	ck_assert_uint_eq(total, PRIZES);
}
END_TEST

static int
contend_in_child(void *arg)
{
	return (int)contend(*(unsigned *)arg);
}

START_TEST(exactly_one_process_wins)
{
	pid_t pids[CONTENDERS];
	unsigned i, first;
	int total = 0;

	prepare_contest(_i);
	for (i = 0; i < CONTENDERS; i++) {
		first = i % 2 * (PRIZES / 2);
		pids[i] = test_fork(contend_in_child, &first);
	}
	for (i = 0; i < CONTENDERS; i++)
		total += test_wait(pids[i]);
	ck_assert_int_eq(total, PRIZES);
}
END_TEST

static unsigned rounds;

/* Everything at once; what is read must be what somebody stored under it. */
static void *
mingle(void *arg)
{
	static char error[] = "an error", wrong[] = "wrong bytes";
	uint64_t state = (uint64_t)(uintptr_t)arg + 1, n;
	uint8_t data[300], buf[300];
	struct sc_lookup lookup;
	enum sesscache_status status;
	struct sc_record_in in;
	unsigned i, at;

	for (i = 0; i < rounds; i++) {
		n = test_random(&state);
		at = (unsigned)(n >> 8) % PRIZES;
		in = record_in(&prizes[at], data, 20 + (n >> 32) % 280);
		memset(data, (int)at, sizeof(data));
		lookup = (struct sc_lookup){ .id = in.id,
			.id_len = in.id_len,
			.buf = buf,
			.size = sizeof(buf) };
		if (n % 10 < 3)
			status = sc_cache_put(cache, &in, NOW);
		else if (n % 10 < 4)
			status = sc_cache_remove(cache, in.id, in.id_len);
		else if (n % 10 < 5)
			status = sc_cache_take(cache, &lookup, NOW);
		else
			status = sc_cache_get(cache, &lookup, NOW);
		if (status < 0 && status != SESSCACHE_EBUSY)
			return error;
		if (n % 10 >= 4 && status == SESSCACHE_OK &&
		    (lookup.len < 20 || memcmp(buf, data, lookup.len) != 0))
			return wrong;
	}
	return NULL;
}

static void *
mingle_forking(void *arg)
{
	static char child[] = "a child failed";
	unsigned i;
	pid_t pid;

	for (i = 0; i < 10; i++) {
		pid = fork();
		if (pid == 0)
			_exit(mingle(arg) != NULL ? 1 : 0);
		if (pid < 0 || test_wait(pid) != 0)
			return child;
	}
	return NULL;
}

START_TEST(threads_and_forks_never_read_what_was_not_stored)
{
	pthread_t threads[WORKERS];
	unsigned i;
	void *problem;
	bool forks = _i == 1;

	prepare_contest(1);
	rounds = test_times(forks ? 1500 : 6000, 200);
	for (i = 0; i < WORKERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
				     forks && i == 0 ? mingle_forking : mingle,
				     (void *)(uintptr_t)i),
		    0);
	for (i = 0; i < WORKERS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &problem), 0);
		ck_assert_msg(problem == NULL, "%s", (const char *)problem);
	}
	ck_assert_uint_eq(stats_now().unreadable, 0);
	ck_assert_uint_eq(stats_now().failed, 0);
}
END_TEST

static int
mingle_in_child(void *arg)
{
	return mingle(arg) != NULL;
}

START_TEST(processes_never_read_what_was_not_stored)
{
	pid_t pids[WORKERS];
	uintptr_t i;

	prepare_contest(1);
	rounds = test_times(6000, 200);
	for (i = 0; i < WORKERS; i++)
		pids[i] = test_fork(mingle_in_child, (void *)i);
	for (i = 0; i < WORKERS; i++)
		ck_assert_int_eq(test_wait(pids[i]), 0);
	ck_assert_uint_eq(stats_now().unreadable, 0);
}
END_TEST

/* --- what it keeps ------------------------------------------------------- */

static const struct {
	uint32_t shards;
	size_t len;
	bool ours;
	unsigned least_per_mib; /* of the newest, all there */
} keep_cases[] = {
	{ 0, 130, true, 5000 },
	{ 1, 130, true, 5000 },
	{ 8, 130, true, 4500 },
	{ 4, 150, false, 2000 },
	{ 4, 1536, true, 400 },
};

static uint64_t
newest_found(struct id *ids, unsigned n)
{
	uint64_t found = 0;
	size_t len;

	while (
	    found < n && get_at(&ids[n - 1 - found], NOW, &len) == SESSCACHE_OK)
		found++;
	return found;
}

START_TEST(newest_are_kept_and_the_files_keep_to_the_size)
{
	enum { MIBS = 16 };
	const size_t len = keep_cases[_i].len;
	unsigned i, n = test_times(200000, 20000), mibs = MIBS, kept;
	struct test_sizes sizes;
	uint8_t data[2000];
	struct id *ids;

	if (n < 200000)
		mibs = keep_cases[_i].shards > 1 ? 2 : 1;
	open_again((uint64_t)mibs * MIB,
	    n < 200000 ? 1 : keep_cases[_i].shards);
	ids = calloc(n, sizeof(*ids));
	ck_assert_ptr_nonnull(ids);
	test_fill(data, sizeof(data), 1);
	for (i = 0; i < n; i++) {
		ids[i] = keep_cases[_i].ours ? new_id() : foreign_id(i, 32);
		ck_done(put(&ids[i], data, len));
		if (i % 1000 != 0)
			continue;
		sizes = test_measure(test_dir("cache"));
		ck_assert_uint_le(sizes.bytes, (uint64_t)mibs * MIB);
		ck_assert_uint_le(sizes.disk_bytes, (uint64_t)mibs * MIB);
	}
	kept = (unsigned)newest_found(ids, n);
	/* A small file gives up more to what does not depend on its size. */
	ck_assert_msg(kept >= keep_cases[_i].least_per_mib * mibs * 2 / 3 &&
		(n < 200000 || kept >= keep_cases[_i].least_per_mib * mibs),
	    "%u of %zu bytes are left in %u MiB", kept, len, mibs);
	ck_assert_uint_eq(stats_now().failed, 0);
	ck_assert_uint_eq(stats_now().busy, 0);
	free(ids);
}
END_TEST

/* --- handles on one cache ------------------------------------------------ */

START_TEST(owners_share_one_cache)
{
	struct sc_cache *other = test_cache("cache", 4 * MIB, 4);
	const struct id id = new_id();
	size_t len;

	ck_done(put(&id, "abc", 3));
	sc_cache_close(cache);
	cache = other;
	ck_done(get_at(&id, NOW, &len));
}
END_TEST

START_TEST(one_thread_may_use_several_caches)
{
	struct sc_cache *first = cache;
	struct sc_cache *second = test_cache("second", 4 * MIB, 4);
	struct id ids[20];
	unsigned i;

	for (i = 0; i < 20; i++) {
		cache = i % 2 == 0 ? first : second;
		ids[i] = i % 3 == 0 ? foreign_id(i, 20) : new_id();
		ck_done(put(&ids[i], &i, sizeof(i)));
	}
	for (i = 0; i < 20; i++) {
		cache = i % 2 == 0 ? first : second;
		ck_assert(holds(&ids[i], &i, sizeof(i)));
		cache = i % 2 == 0 ? second : first;
		ck_assert(is_gone(&ids[i]));
	}
	sc_cache_close(second);
	cache = first;
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
	int ids = N_OF(id_lens);

	tcase_add_loop_test(tc, record_of_any_length_comes_back_under_any_id, 0,
	    ids);
	tcase_add_loop_test(tc, removed_record_is_a_miss, 0, ids);
	tcase_add_loop_test(tc, record_is_taken_once, 0, ids);
	tcase_add_loop_test(tc, record_is_added_only_where_none_lives, 0, ids);
	tcase_add_loop_test(tc,
	    record_replaces_another_and_leaves_nothing_of_it, 0, ids);
	tcase_add_loop_test(tc, buffer_that_is_too_small_leaves_the_record, 0,
	    ids);
	tcase_add_loop_test(tc, record_lives_for_its_lifetime, 0, ids);
	tcase_add_loop_test(tc, lifetime_past_the_end_of_time_ends_there, 0, 2);
	tcase_add_loop_test(tc, record_is_found_by_what_it_asked_alone, 0, ids);
	tcase_add_loop_test(tc, bad_argument_is_named, 0, N_OF(bad_cases));
	tcase_add_test(tc, new_ids_differ_and_are_ours);
	tcase_add_loop_test(tc, id_that_was_touched_is_foreign, 0,
	    8 * SESSCACHE_ID_LEN);
	tcase_add_test(tc, foreign_ids_are_told_apart);
	tcase_add_test(tc,
	    id_with_the_alias_of_another_does_not_get_its_record);
}

static void
add_terms(Suite *suite)
{
	TCase *tc = new_case(suite, "terms");
	int ids = N_OF(id_lens);

	tcase_add_loop_test(tc, record_says_its_flags_and_where_it_landed, 0,
	    ids);
	tcase_add_loop_test(tc, record_that_does_not_meet_the_terms_stays, 0,
	    ids);
	tcase_add_loop_test(tc,
	    lookup_may_have_to_come_again_with_terms_of_authentication, 0, ids);
	tcase_add_loop_test(tc, record_for_one_use_is_taken_by_whoever_gets_it,
	    0, ids);
	tcase_add_loop_test(tc, hit_may_be_counted_later, 0, ids);
	tcase_add_loop_test(tc, hit_that_is_counted_later_marks_the_record, 0,
	    ids);
}

static void
add_secrets(Suite *suite)
{
	TCase *tc = new_case(suite, "secrets");

	tcase_add_loop_test(tc,
	    record_that_was_tampered_with_is_a_miss_counted_and_removed, 0, 8);
	tcase_add_test(tc,
	    scan_shows_no_more_of_a_damaged_record_than_there_is);
	tcase_add_test(tc, purge_destroys_the_keys);
	tcase_add_test(tc, keys_of_what_has_expired_are_destroyed);
	tcase_add_test(tc, removal_of_what_cannot_be_read_counts);
}

static void
add_views(Suite *suite)
{
	TCase *tc = new_case(suite, "views");

	tcase_add_test(tc, scan_shows_each_record_as_it_is);
	tcase_add_test(tc, visit_may_remove_what_it_is_shown);
	tcase_add_test(tc, stats_count_what_happened);
	tcase_add_test(tc, owners_share_one_cache);
	tcase_add_test(tc, one_thread_may_use_several_caches);
}

static void
add_contests(Suite *suite)
{
	TCase *tc = new_case(suite, "contests");

	tcase_add_loop_test(tc, exactly_one_thread_wins, 0, CONTESTS);
	tcase_add_loop_test(tc, exactly_one_process_wins, 0, CONTESTS);
	tcase_add_loop_test(tc,
	    threads_and_forks_never_read_what_was_not_stored, 0,
	    TEST_SANITIZED ? 1 : 2);
	tcase_add_test(tc, processes_never_read_what_was_not_stored);
	tcase_add_loop_test(tc, newest_are_kept_and_the_files_keep_to_the_size,
	    0, N_OF(keep_cases));
}

int
main(void)
{
	Suite *suite = suite_create("cache");

	add_records(suite);
	add_terms(suite);
	add_secrets(suite);
	add_views(suite);
	add_contests(suite);
	return test_run(suite);
}
