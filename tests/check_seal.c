/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sealing: what opens and what does not, epochs, the destruction of keys,
 * nonces, and the ciphers of threads.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/seal.h"
#include "support.h"

enum { EPOCH = 100 /* seconds */, DATA = 50, SEALED = DATA + SC_RECORD_TAG };

static struct sc_keys *keys;
static struct sc_seal seal;
static uint64_t owner;
static uint8_t head[] = "the head of a record";
static uint8_t data[DATA] = "secret";

static void
setup(void)
{
	keys = calloc(1, sizeof(*keys));
	ck_assert_ptr_nonnull(keys);
	ck_done(sc_seal_init(keys));
	seal = (struct sc_seal){ keys, ++owner, EPOCH };
}

static void
teardown(void)
{
	free(keys);
}

static struct sc_seal_of
usual_of(void)
{
	return (struct sc_seal_of){ .shard = 3,
		.seq = 77,
		.write_number = 78,
		.head = { head, sizeof(head) } };
}

/* Seal in the epoch of now something that lives so long. */
static uint8_t
seal_at(uint32_t now, uint32_t ttl_seconds, uint8_t sealed[SEALED])
{
	const struct sc_seal_of of = usual_of();
	uint32_t epoch;

	sc_seal_tend(&seal, now);
	epoch = sc_seal_epoch(&seal, now + ttl_seconds);
	ck_done(sc_seal_close(&seal, epoch, &of, data, sizeof(data), sealed));
	return (uint8_t)epoch;
}

static enum sesscache_status
open_it(uint8_t epoch, const uint8_t sealed[SEALED])
{
	const struct sc_seal_of of = usual_of();
	uint8_t out[DATA];
	enum sesscache_status status;

	status = sc_seal_open(&seal, epoch, &of, sealed, SEALED, out);
	ck_assert(
	    status != SESSCACHE_OK || memcmp(out, data, sizeof(data)) == 0);
	return status;
}

static bool
is_zero(const uint8_t *bytes, size_t len)
{
	size_t i;

	for (i = 0; i < len && bytes[i] == 0; i++)
		continue;
	return i == len;
}

/* --- what opens ---------------------------------------------------------- */

static const size_t lengths[] = { 0, 1, 15, 16, 17, 160, 4096, 31000 };

START_TEST(what_is_sealed_opens)
{
	const struct sc_seal_of of = usual_of();
	const size_t len = lengths[_i];
	uint8_t *bytes = malloc(len + 1), *out = malloc(len + 1);
	uint8_t *sealed = malloc(len + SC_RECORD_TAG);
	uint32_t epoch;

	ck_assert(bytes != NULL && out != NULL && sealed != NULL);
	test_fill(bytes, len, 1);
	sc_seal_tend(&seal, 1);
	epoch = sc_seal_epoch(&seal, 50);
	ck_done(sc_seal_close(&seal, epoch, &of, bytes, len, sealed));
	ck_assert(len < 15 || memcmp(sealed, bytes, len) != 0);
	ck_done(sc_seal_open(&seal, (uint8_t)epoch, &of, sealed,
	    len + SC_RECORD_TAG, out));
	ck_assert(len == 0 || memcmp(out, bytes, len) == 0);
	free(bytes);
	free(out);
	free(sealed);
}
END_TEST

START_TEST(what_was_touched_does_not_open_and_leaves_nothing)
{
	const struct sc_seal_of of = usual_of();
	uint8_t sealed[SEALED], out[DATA];
	uint8_t epoch = seal_at(1, 50, sealed);
	unsigned bit;

	for (bit = 0; bit < 8 * SEALED; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		memset(out, 1, sizeof(out));
		ck_status(sc_seal_open(&seal, epoch, &of, sealed, SEALED, out),
		    SESSCACHE_ECORRUPT);
		ck_assert(is_zero(out, sizeof(out)));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	ck_done(open_it(epoch, sealed));
}
END_TEST

static void
other_shard(struct sc_seal_of *of)
{
	of->shard ^= 1;
}

static void
other_seq(struct sc_seal_of *of)
{
	of->seq++;
}

static void
other_write_number(struct sc_seal_of *of)
{
	of->write_number++;
}

static void
other_head(struct sc_seal_of *of)
{
	static uint8_t other[sizeof(head)];

	memcpy(other, head, sizeof(head));
	other[sizeof(other) - 1] ^= 1;
	of->head.bytes = other;
}

static void
shorter_head(struct sc_seal_of *of)
{
	of->head.len--;
}

static const struct {
	const char *name;
	void (*change)(struct sc_seal_of *of);
} others[] = {
	{ "shard", other_shard },
	{ "sequence number", other_seq },
	{ "write number", other_write_number },
	{ "head", other_head },
	{ "shorter head", shorter_head },
};

START_TEST(what_is_sealed_opens_in_its_place_alone)
{
	struct sc_seal_of of = usual_of();
	uint8_t sealed[SEALED], out[DATA];
	uint8_t epoch = seal_at(1, 50, sealed);

	others[_i].change(&of);
	ck_assert_msg(sc_seal_open(&seal, epoch, &of, sealed, SEALED, out) ==
		SESSCACHE_ECORRUPT,
	    "%s", others[_i].name);
	ck_done(open_it(epoch, sealed));
}
END_TEST

START_TEST(each_write_has_a_nonce_of_its_own)
{
	enum { N = 64 };
	struct sc_seal_of of = usual_of();
	uint8_t sealed[N][SEALED];
	uint32_t epoch;
	int i, j;

	sc_seal_tend(&seal, 1);
	epoch = sc_seal_epoch(&seal, 50);
	for (i = 0; i < N; i++) {
		of.shard = (unsigned)i % 4;
		of.write_number = (uint64_t)(i / 4) << (i % 4 * 16);
		ck_done(sc_seal_close(&seal, epoch, &of, data, sizeof(data),
		    sealed[i]));
		for (j = 0; j < i; j++) {
			if (j / 4 == 0 && i / 4 == 0 && j % 4 == i % 4)
				continue;
			/* Equal keystreams would give equal bytes. */
			ck_assert_msg(memcmp(sealed[i], sealed[j], DATA) != 0,
			    "%d and %d", i, j);
		}
	}
}
END_TEST

/* --- epochs -------------------------------------------------------------- */

START_TEST(epoch_lasts_as_long_as_it_should)
{
	uint8_t sealed[SEALED];
	uint8_t first = seal_at(1000, EPOCH, sealed);

	ck_assert_uint_eq(seal_at(1000 + EPOCH - 1, EPOCH, sealed), first);
	/* Somewhat later at most: it is looked after now and then. */
	ck_assert_uint_ne(seal_at(1000 + EPOCH + EPOCH / 4, EPOCH, sealed),
	    first);
}
END_TEST

START_TEST(key_lives_as_long_as_what_it_sealed)
{
	uint8_t sealed[SEALED], later[SEALED];
	uint8_t epoch = seal_at(1000, 250, sealed);
	uint32_t now;

	for (now = 1000; now < 1250; now += 10) {
		(void)seal_at(now, 10, later);
		ck_assert(sc_seal_has_key(&seal, epoch));
		ck_done(open_it(epoch, sealed));
	}
	(void)seal_at(1250 + EPOCH, 10, later);
	ck_assert(!sc_seal_has_key(&seal, epoch));
	ck_status(open_it(epoch, sealed), SESSCACHE_MISS);
	/* Nor with the clock put back. */
	sc_seal_tend(&seal, 1000);
	ck_status(open_it(epoch, sealed), SESSCACHE_MISS);
}
END_TEST

static bool
holds_key(const uint8_t key[32])
{
	const uint8_t *at = (const uint8_t *)keys;
	size_t i;

	for (i = 0; i + 32 <= sizeof(*keys); i++) {
		if (memcmp(at + i, key, 32) == 0)
			return true;
	}
	return false;
}

START_TEST(destroyed_keys_are_nowhere_in_the_memory)
{
	uint8_t sealed[3][SEALED], copies[SC_EPOCHS][32], epochs[3],
	    later[SEALED];
	int i;

	for (i = 0; i < 3; i++)
		epochs[i] = seal_at(1000 + (uint32_t)i * 200, 5000, sealed[i]);
	for (i = 0; i < SC_EPOCHS; i++)
		memcpy(copies[i], keys->epochs[i].key, 32);
	ck_done(sc_seal_destroy(&seal, 2000));
	for (i = 0; i < 3; i++) {
		ck_assert(!sc_seal_has_key(&seal, epochs[i]));
		ck_status(open_it(epochs[i], sealed[i]), SESSCACHE_MISS);
	}
	for (i = 0; i < SC_EPOCHS; i++)
		ck_assert(is_zero(copies[i], 32) || !holds_key(copies[i]));
	/* And it goes on with a new one. */
	ck_done(open_it(seal_at(2000, 10, later), later));
}
END_TEST

START_TEST(lifetimes_of_many_epochs_never_lose_a_record)
{
	enum { N = 40 };
	static uint8_t sealed[N][SEALED];
	uint8_t epochs[N];
	int i;

	/* More epochs than there are slots for keys. */
	for (i = 0; i < N; i++)
		epochs[i] = seal_at(1000 + (uint32_t)i * EPOCH, 100000,
		    sealed[i]);
	for (i = 0; i < N; i++) {
		ck_assert_msg(sc_seal_has_key(&seal, epochs[i]), "%d", i);
		ck_done(open_it(epochs[i], sealed[i]));
	}
}
END_TEST

START_TEST(epochs_are_told_apart_past_the_low_bits_of_their_numbers)
{
	uint8_t first[SEALED], sealed[SEALED];
	uint8_t epoch = seal_at(1000, 10, first), last = epoch;
	uint32_t now = 1000;
	int i, changes = 0;

	for (i = 0; i < 600; i++) {
		now += EPOCH + EPOCH / 4;
		epoch = seal_at(now, 10, sealed);
		changes += epoch != last;
		last = epoch;
		ck_done(open_it(epoch, sealed));
		ck_assert_int_ne(open_it(epoch, first), SESSCACHE_OK);
	}
	ck_assert_int_eq(changes, 600);
}
END_TEST

START_TEST(number_of_an_epoch_wraps)
{
	uint8_t sealed[SEALED];
	uint32_t now = 1000;
	int i;

	(void)seal_at(now, 10, sealed);
	atomic_store(&keys->current, UINT32_MAX - 3);
	for (i = 0; i < 40; i++) {
		now += 2 * EPOCH;
		ck_done(open_it(seal_at(now, 10, sealed), sealed));
		ck_assert_uint_ne(atomic_load(&keys->current), 0);
	}
}
END_TEST

START_TEST(clock_that_goes_back_does_no_harm)
{
	uint8_t sealed[SEALED], other[SEALED];
	uint8_t epoch = seal_at(100000, 100, sealed);
	uint32_t now;

	for (now = 100000; now > 99000; now -= 50) {
		ck_done(open_it(seal_at(now, 100, other), other));
		ck_done(open_it(epoch, sealed));
	}
}
END_TEST

/* --- threads ------------------------------------------------------------- */

static void *
seal_and_open(void *arg)
{
	struct sc_seal_of of = usual_of();
	uint8_t sealed[SEALED], out[DATA];
	unsigned i, n = test_times(3000, 200);
	enum sesscache_status status;
	bool *failed = arg;
	uint32_t epoch;

	for (i = 0; i < n; i++) {
		of.write_number = i;
		sc_seal_tend(&seal, 1000 + i);
		epoch = sc_seal_epoch(&seal, 100000 + i);
		status = sc_seal_close(&seal, epoch, &of, data, sizeof(data),
		    sealed);
		if (status == SESSCACHE_EBUSY)
			continue; /* another one has just changed the keys */
		if (status != SESSCACHE_OK ||
		    sc_seal_open(&seal, (uint8_t)epoch, &of, sealed, SEALED,
			out) != SESSCACHE_OK ||
		    memcmp(out, data, sizeof(data)) != 0)
			*failed = true;
	}
	return NULL;
}

START_TEST(threads_have_ciphers_of_their_own)
{
	enum { N = 6 };
	pthread_t threads[N];
	bool failed[N] = { false };
	int i;

	for (i = 0; i < N; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
				     seal_and_open, &failed[i]),
		    0);
	for (i = 0; i < N; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert(!failed[i]);
	}
}
END_TEST

START_TEST(thread_may_seal_for_several_owners)
{
	struct sc_seal first = seal;
	struct sc_keys *first_keys = keys;
	uint8_t sealed[2][SEALED], epochs[2];
	int i;

	epochs[0] = seal_at(1, 50, sealed[0]);
	setup();
	epochs[1] = seal_at(1, 50, sealed[1]);
	for (i = 0; i < 4; i++) {
		ck_done(open_it(epochs[1], sealed[1]));
		ck_status(open_it(epochs[0], sealed[0]), SESSCACHE_ECORRUPT);
	}
	free(keys);
	keys = first_keys;
	seal = first;
	ck_done(open_it(epochs[0], sealed[0]));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("seal");
	TCase *tc = tcase_create("seal");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, what_is_sealed_opens, 0, N_OF(lengths));
	tcase_add_test(tc, what_was_touched_does_not_open_and_leaves_nothing);
	tcase_add_loop_test(tc, what_is_sealed_opens_in_its_place_alone, 0,
	    N_OF(others));
	tcase_add_test(tc, each_write_has_a_nonce_of_its_own);
	tcase_add_test(tc, epoch_lasts_as_long_as_it_should);
	tcase_add_test(tc, key_lives_as_long_as_what_it_sealed);
	tcase_add_test(tc, destroyed_keys_are_nowhere_in_the_memory);
	tcase_add_test(tc, lifetimes_of_many_epochs_never_lose_a_record);
	tcase_add_test(tc,
	    epochs_are_told_apart_past_the_low_bits_of_their_numbers);
	tcase_add_test(tc, number_of_an_epoch_wraps);
	tcase_add_test(tc, clock_that_goes_back_does_no_harm);
	tcase_add_test(tc, threads_have_ciphers_of_their_own);
	tcase_add_test(tc, thread_may_seal_for_several_owners);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
