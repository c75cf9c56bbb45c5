/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of a record: what is written is read, and nothing else is taken
 * for one.
 */
#include <stdlib.h>
#include <string.h>

#include "cache/record.h"
#include "store/store.h"
#include "support.h"

enum { SEQ = 1000, BODY = SC_RECORD_TAG + 5 };

static const uint8_t an_id[SESSCACHE_ID_MAX_LEN] = "an ID of 64 bytes at most";

/* --- what is written is read --------------------------------------------- */

static const struct {
	const char *name;
	struct sc_record record;
	size_t head_len;
} round_trips[] = {
	{ "plain",
	    { .epoch = 1,
		.expires_at = 2,
		.ttl_seconds = 3,
		.write_number = SEQ },
	    11 },
	{ "all ones",
	    { .flags = SC_RECORD_TICKET | SC_RECORD_REGULAR,
		.epoch = 255,
		.expires_at = UINT32_MAX,
		.ttl_seconds = UINT32_MAX,
		.write_number = SEQ },
	    11 },
	{ "written again", { .write_number = SEQ + 127 }, 11 },
	{ "written later", { .write_number = SEQ + 128 }, 12 },
	{ "written much later", { .write_number = SEQ + (UINT64_C(1) << 55) },
	    18 },
	{ "for one use, authenticated, maybe with an extended secret",
	    { .flags = SC_RECORD_ONCE | SC_RECORD_AUTH | SC_RECORD_EMS,
		.write_number = SEQ },
	    11 },
	{ "that asked and landed",
	    { .flags = SC_RECORD_FLAGS,
		.write_number = SEQ,
		.scope = { UINT64_MAX, 1 } },
	    27 },
	{ "that only asked", { .write_number = SEQ, .scope = { 1, 0 } }, 27 },
	{ "that only landed", { .write_number = SEQ, .scope = { 0, 1 } }, 27 },
	{ "aliased",
	    { .write_number = SEQ, .alias = 7, .id = an_id, .id_len = 1 }, 21 },
	{ "aliased, longest",
	    { .write_number = SEQ + (UINT64_C(1) << 55),
		.alias = UINT64_MAX,
		.id = an_id,
		.id_len = SESSCACHE_ID_MAX_LEN,
		.scope = { 1, 2 } },
	    SC_RECORD_HEAD_MAX },
};

static size_t
encode(const struct sc_record *from, uint8_t *bytes)
{
	struct sc_record record = *from;
	size_t len = sc_record_encode(&record, SEQ, bytes);

	ck_assert_uint_eq(len, record.head_len);
	memset(bytes + len, 0x77, BODY);
	return len;
}

START_TEST(what_is_written_is_read)
{
	const struct sc_record *want = &round_trips[_i].record;
	const char *name = round_trips[_i].name;
	uint8_t bytes[SC_RECORD_HEAD_MAX + BODY];
	struct sc_record record;
	unsigned flags = 0;
	uint32_t expires_at = 0;
	size_t len = encode(want, bytes);

	ck_assert_msg(len == round_trips[_i].head_len, "%s: %zu bytes", name,
	    len);
	ck_done(sc_record_decode(&record, SEQ, bytes, len + BODY));
	ck_assert_uint_eq(record.flags, want->flags);
	ck_assert_uint_eq(record.alias, want->alias);
	ck_assert_uint_eq(record.epoch, want->epoch);
	ck_assert_uint_eq(record.expires_at, want->expires_at);
	ck_assert_uint_eq(record.ttl_seconds, want->ttl_seconds);
	ck_assert_uint_eq(record.write_number, want->write_number);
	ck_assert_uint_eq(record.scope.asked, want->scope.asked);
	ck_assert_uint_eq(record.scope.landed, want->scope.landed);
	ck_assert_uint_eq(record.id_len, want->id_len);
	ck_assert(
	    want->id == NULL || memcmp(record.id, want->id, want->id_len) == 0);
	ck_assert_uint_eq(record.head_len, len);
	ck_assert_uint_eq(record.sealed_len, BODY);
	ck_assert(sc_record_peek(bytes, len, &flags, &expires_at));
	ck_assert_uint_eq(expires_at, want->expires_at);
	ck_assert_uint_eq(flags & SC_RECORD_FLAGS, want->flags);
}
END_TEST

/* The store finds the alias without knowing more of a record. */
START_TEST(alias_is_where_the_store_looks_for_it)
{
	const struct sc_record record = { .write_number = SEQ,
		.alias = UINT64_C(0x0102030405060708),
		.id = an_id,
		.id_len = 5 };
	uint8_t bytes[SC_RECORD_HEAD_MAX + BODY];
	static const uint8_t want[] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	encode(&record, bytes);
	ck_assert_uint_ne(bytes[0] & SC_RECORD_ALIASED, 0);
	ck_assert_mem_eq(bytes + 1, want, sizeof(want));
}
END_TEST

START_TEST(what_was_cut_is_no_record)
{
	const char *name = round_trips[_i].name;
	uint8_t bytes[SC_RECORD_HEAD_MAX + BODY], *copy;
	size_t len = encode(&round_trips[_i].record, bytes), cut;
	struct sc_record record;
	uint32_t expires_at;
	unsigned flags;

	for (cut = 0; cut < len + SC_RECORD_TAG; cut++) {
		copy = malloc(cut + 1); /* of its size: no byte behind it */
		ck_assert_ptr_nonnull(copy);
		memcpy(copy + 1, bytes, cut);
		ck_assert_msg(sc_record_decode(&record, SEQ, copy + 1, cut) ==
			SESSCACHE_ECORRUPT,
		    "%s, cut to %zu", name, cut);
		(void)sc_record_peek(copy + 1, cut, &flags, &expires_at);
		free(copy);
	}
	ck_done(sc_record_decode(&record, SEQ, bytes, len + SC_RECORD_TAG));
}
END_TEST

/* --- decoding trusts nothing --------------------------------------------- */

/* Flags; epoch, expiry and lifetime; difference. */
#define FIXED 1, 0, 0, 0, 2, 0, 0, 0, 3
#define ZEROES8 0, 0, 0, 0, 0, 0, 0, 0
#define TAG16 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1

static const struct {
	const char *name;
	enum sesscache_status want;
	size_t len;
	uint8_t bytes[64];
} decode_cases[] = {
	{ "nothing", SESSCACHE_ECORRUPT, 0, { 0 } },
	{ "no data", SESSCACHE_OK, 27, { 0, FIXED, 0, TAG16 } },
	{ "a tag too short", SESSCACHE_ECORRUPT, 26, { 0, FIXED, 0, TAG16 } },
	{ "unknown flag 32", SESSCACHE_ECORRUPT, 27,
	    { 0x20, FIXED, 0, TAG16 } },
	{ "all known flags", SESSCACHE_OK, 27, { 0x1f, FIXED, 0, TAG16 } },
	{ "endless difference", SESSCACHE_ECORRUPT, 40,
	    { 0, FIXED, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		TAG16 } },
	{ "longest difference", SESSCACHE_OK, 34,
	    { 0, FIXED, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
		TAG16 } },
	{ "neither asked nor landed", SESSCACHE_ECORRUPT, 43,
	    { 0x40, FIXED, 0, ZEROES8, ZEROES8, TAG16 } },
	{ "asked", SESSCACHE_OK, 43,
	    { 0x40, FIXED, 0, 0, 0, 0, 0, 0, 0, 0, 1, ZEROES8, TAG16 } },
	{ "landed", SESSCACHE_OK, 43,
	    { 0x40, FIXED, 0, ZEROES8, 0, 0, 0, 0, 0, 0, 0, 1, TAG16 } },
	{ "asked, and no more", SESSCACHE_ECORRUPT, 35,
	    { 0x40, FIXED, 0, 0, 0, 0, 0, 0, 0, 0, 1, TAG16 } },
	{ "alias of 0", SESSCACHE_ECORRUPT, 37,
	    { 0x80, 0, 0, 0, 0, 0, 0, 0, 0, FIXED, 0, 1, 'a', TAG16 } },
	{ "alias", SESSCACHE_OK, 37,
	    { 0x80, 0, 0, 0, 0, 0, 0, 0, 1, FIXED, 0, 1, 'a', TAG16 } },
	{ "ID of 0 bytes", SESSCACHE_ECORRUPT, 37,
	    { 0x80, 0, 0, 0, 0, 0, 0, 0, 1, FIXED, 0, 0, 'a', TAG16 } },
	{ "ID of more than there is", SESSCACHE_ECORRUPT, 37,
	    { 0x80, 0, 0, 0, 0, 0, 0, 0, 1, FIXED, 0, 18, 'a', TAG16 } },
	{ "ID that leaves no tag", SESSCACHE_ECORRUPT, 37,
	    { 0x80, 0, 0, 0, 0, 0, 0, 0, 1, FIXED, 0, 2, 'a', TAG16 } },
	{ "ID of 255 bytes", SESSCACHE_ECORRUPT, 37,
	    { 0x80, 0, 0, 0, 0, 0, 0, 0, 1, FIXED, 0, 255, 'a', TAG16 } },
};

START_TEST(decode_trusts_nothing)
{
	struct sc_record record;
	enum sesscache_status status;

	status = sc_record_decode(&record, SEQ, decode_cases[_i].bytes,
	    decode_cases[_i].len);
	ck_assert_msg(status == decode_cases[_i].want, "%s: got %d, want %d",
	    decode_cases[_i].name, status, decode_cases[_i].want);
}
END_TEST

START_TEST(id_of_65_bytes_is_no_record)
{
	uint8_t bytes[120] = { 0x80, 0, 0, 0, 0, 0, 0, 0, 1, FIXED, 0, 64 };
	struct sc_record record;

	ck_done(sc_record_decode(&record, SEQ, bytes, sizeof(bytes)));
	bytes[19] = 65;
	ck_status(sc_record_decode(&record, SEQ, bytes, sizeof(bytes)),
	    SESSCACHE_ECORRUPT);
}
END_TEST

/* Whatever it is: every length that it gives is within the bytes. */
START_TEST(random_bytes_are_read_within_their_bounds)
{
	uint64_t state = (uint64_t)_i * 7919 + 3;
	unsigned i, n = test_times(20000, 1000);
	struct sc_record record;
	uint32_t expires_at;
	uint8_t *bytes;
	unsigned flags;
	size_t len;

	for (i = 0; i < n; i++) {
		len = test_random(&state) % 160;
		bytes = malloc(len + 1);
		ck_assert_ptr_nonnull(bytes);
		test_fill(bytes, len, test_random(&state));
		if (len > 0 && i % 2 == 0) /* else mostly unknown flags */
			bytes[0] &= 0xdf;
		(void)sc_record_peek(bytes, len, &flags, &expires_at);
		if (sc_record_decode(&record, SEQ, bytes, len) ==
		    SESSCACHE_OK) {
			ck_assert_uint_eq(record.head_len + record.sealed_len,
			    len);
			ck_assert_uint_ge(record.sealed_len, SC_RECORD_TAG);
			ck_assert_uint_ge(record.write_number, SEQ);
			ck_assert(record.id == NULL ||
			    (record.id >= bytes &&
				record.id + record.id_len <=
				    bytes + record.head_len));
		}
		free(bytes);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("record");
	TCase *tc = tcase_create("record");

	tcase_add_loop_test(tc, what_is_written_is_read, 0, N_OF(round_trips));
	tcase_add_test(tc, alias_is_where_the_store_looks_for_it);
	tcase_add_loop_test(tc, what_was_cut_is_no_record, 0,
	    N_OF(round_trips));
	tcase_add_loop_test(tc, decode_trusts_nothing, 0, N_OF(decode_cases));
	tcase_add_test(tc, id_of_65_bytes_is_no_record);
	tcase_add_loop_test(tc, random_bytes_are_read_within_their_bounds, 0,
	    4);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
