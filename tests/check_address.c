/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Session IDs that are addresses, and hashes of those that are not.
 */
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/address.h"
#include "cache/bytes.h"
#include "support.h"

static struct sc_address_keys keys[2];
static const struct sc_address ours = { &keys[0], 1 };
static const struct sc_address theirs = { &keys[1], 2 };

static const struct sc_place places[] = {
	{ 0, 1 },
	{ 0, 2 },
	{ 1, 1 },
	{ 63, 12345 },
	{ 0, UINT64_MAX },
	{ 65535, UINT64_MAX },
	{ 0x1234, UINT64_C(0x0102030405060708) },
};

START_TEST(id_leads_back_to_its_place)
{
	uint8_t id[SESSCACHE_ID_LEN], again[SESSCACHE_ID_LEN];
	struct sc_place place = { 9, 9 };

	ck_done(sc_address_encode(&ours, places[_i], id));
	ck_done(sc_address_encode(&ours, places[_i], again));
	ck_assert_mem_eq(id, again, sizeof(id));
	ck_done(sc_address_decode(&ours, id, sizeof(id), &place));
	ck_assert_uint_eq(place.shard, places[_i].shard);
	ck_assert_uint_eq(place.seq, places[_i].seq);
	ck_status(sc_address_decode(&theirs, id, sizeof(id), &place),
	    SESSCACHE_MISS);
	/* The thread's ciphers are of the right keys again. */
	ck_done(sc_address_decode(&ours, id, sizeof(id), &place));
}
END_TEST

START_TEST(id_that_was_touched_is_not_ours)
{
	uint8_t id[SESSCACHE_ID_LEN];
	struct sc_place place;
	unsigned bit;

	ck_done(sc_address_encode(&ours, places[_i], id));
	for (bit = 0; bit < 8 * sizeof(id); bit++) {
		id[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_status(sc_address_decode(&ours, id, sizeof(id), &place),
		    SESSCACHE_MISS);
		id[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(id_of_another_length_is_not_ours)
{
	uint8_t id[SESSCACHE_ID_MAX_LEN] = { 0 };
	struct sc_place place;
	size_t len;

	ck_done(sc_address_encode(&ours, places[0], id));
	for (len = 0; len <= sizeof(id); len++) {
		if (len != SESSCACHE_ID_LEN)
			ck_status(sc_address_decode(&ours, id, len, &place),
			    SESSCACHE_MISS);
	}
}
END_TEST

START_TEST(random_ids_are_not_ours)
{
	uint8_t id[SESSCACHE_ID_LEN];
	struct sc_place place;
	unsigned i, n = test_times(20000, 1000);

	for (i = 0; i < n; i++) {
		test_fill(id, sizeof(id), i);
		ck_status(sc_address_decode(&ours, id, sizeof(id), &place),
		    SESSCACHE_MISS);
	}
}
END_TEST

START_TEST(ids_of_neighbours_have_nothing_in_common)
{
	uint8_t id[2][SESSCACHE_ID_LEN];
	struct sc_place place = { 3, 0 };
	unsigned i, same;
	uint64_t seq;

	for (seq = 1; seq < 200; seq++) {
		place.seq = seq;
		ck_done(sc_address_encode(&ours, place, id[0]));
		place.seq = seq + 1;
		ck_done(sc_address_encode(&ours, place, id[1]));
		for (i = same = 0; i < sizeof(id[0]); i++)
			same += id[0][i] == id[1][i];
		ck_assert_uint_lt(same, 8);
	}
}
END_TEST

START_TEST(alias_is_of_all_bytes_of_an_id_and_of_the_keys)
{
	uint8_t id[SESSCACHE_ID_MAX_LEN];
	uint64_t alias, again, other;
	unsigned shard, shard_again;
	size_t len, at;

	test_fill(id, sizeof(id), 5);
	for (len = 1; len <= sizeof(id); len++) {
		ck_done(sc_address_alias(&ours, id, len, &alias, &shard));
		ck_done(sc_address_alias(&ours, id, len, &again, &shard_again));
		ck_assert_uint_ne(alias, 0);
		ck_assert_uint_eq(alias, again);
		ck_assert_uint_eq(shard, shard_again);
		ck_done(sc_address_alias(&theirs, id, len, &other, &shard));
		ck_assert_uint_ne(alias, other);
		ck_done(sc_address_alias(&ours, id, len - 1, &other, &shard));
		ck_assert_uint_ne(alias, other);
		for (at = 0; at < len; at++) {
			id[at] ^= 1;
			ck_done(
			    sc_address_alias(&ours, id, len, &other, &shard));
			ck_assert_uint_ne(alias, other);
			id[at] ^= 1;
		}
	}
}
END_TEST

START_TEST(hash_is_of_all_bytes_and_no_alias)
{
	static uint8_t bytes[65536 + 16];
	static const size_t lens[] = { 0, 1, 12, 13, 14, 255, 256, 65535, 65536,
		65552 };
	uint64_t hashes[N_OF(lens)], other, alias;
	unsigned shard;
	int i, j;

	for (i = 0; i < N_OF(lens); i++) {
		ck_done(sc_address_hash(&ours, bytes, lens[i], &hashes[i]));
		ck_assert_uint_ne(hashes[i], 0);
		for (j = 0; j < i; j++)
			ck_assert_uint_ne(hashes[i], hashes[j]);
		ck_done(sc_address_hash(&theirs, bytes, lens[i], &other));
		ck_assert_uint_ne(hashes[i], other);
		ck_done(
		    sc_address_alias(&ours, bytes, lens[i], &alias, &shard));
		ck_assert_uint_ne(hashes[i], alias);
	}
}
END_TEST

/* AES-128-CBC with no IV, of the length and the bytes; its last block counts. */
static uint64_t
mac_of(const uint8_t key[16], const uint8_t *bytes, size_t len)
{
	static uint8_t plain[2048], sealed[2048];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	size_t whole = (3 + len + 15) / 16 * 16;
	uint8_t iv[16] = { 0 };
	uint64_t mac;
	int done = 0;

	ck_assert_uint_le(whole, sizeof(plain));
	memset(plain, 0, sizeof(plain));
	memcpy(sc_write_int(plain, len, 3), bytes, len);
	ck_assert_int_eq(EVP_EncryptInit_ex(ctx, EVP_aes_128_cbc(), NULL, key,
			     iv),
	    1);
	ck_assert_int_eq(EVP_EncryptUpdate(ctx, sealed, &done, plain,
			     (int)whole),
	    1);
	EVP_CIPHER_CTX_free(ctx);
	memcpy(&mac, sealed + whole - 16, sizeof(mac));
	return mac;
}

/* Whatever was hashed before, and however many pieces it is hashed in. */
START_TEST(hash_is_a_mac_of_these_bytes_alone)
{
	uint8_t bytes[1024];
	uint64_t seed = 3, hash, alias;
	unsigned shard;

	test_fill(bytes, sizeof(bytes), 2);
	for (int i = 0; i < 2000; i++) {
		size_t len = i <= (int)sizeof(bytes) ?
		    (size_t)i :
		    test_random(&seed) % sizeof(bytes);

		ck_done(sc_address_hash(&ours, bytes, len, &hash));
		ck_assert_uint_eq(hash, mac_of(keys[0].realm, bytes, len));
		ck_done(sc_address_alias(&ours, bytes, len, &alias, &shard));
		ck_assert_uint_eq(alias, mac_of(keys[0].alias, bytes, len));
	}
}
END_TEST

/* A name and an IV: neither depends on the other. */
START_TEST(halves_of_a_name_are_read_as_they_were_made)
{
	uint8_t plain[SC_ADDRESS_NAME], name[SC_ADDRESS_NAME];
	uint8_t other[SC_ADDRESS_NAME], back[SC_ADDRESS_NAME];

	test_fill(plain, sizeof(plain), 3);
	ck_done(sc_address_name(&ours, plain, name));
	ck_done(sc_address_read_name(&ours, name, back));
	ck_assert_mem_eq(plain, back, sizeof(plain));
	ck_done(sc_address_read_name(&theirs, name, back));
	ck_assert_mem_ne(plain, back, sizeof(plain));
	plain[SC_ADDRESS_NAME - 1] ^= 1;
	ck_done(sc_address_name(&ours, plain, other));
	ck_assert_mem_eq(name, other, SC_ADDRESS_NAME / 2);
	ck_assert_mem_ne(name + SC_ADDRESS_NAME / 2,
	    other + SC_ADDRESS_NAME / 2, SC_ADDRESS_NAME / 2);
}
END_TEST

START_TEST(aliases_go_to_all_shards)
{
	unsigned i, shard, counts[16] = { 0 };
	uint64_t alias;

	for (i = 0; i < 1600; i++) {
		ck_done(sc_address_alias(&ours, (const uint8_t *)&i, sizeof(i),
		    &alias, &shard));
		counts[shard & 15]++;
	}
	for (i = 0; i < 16; i++)
		ck_assert_uint_gt(counts[i], 50);
}
END_TEST

/* By turns for two owners, while other threads do the same. */
static void *
encode_and_decode(void *arg)
{
	bool *failed = arg;
	const struct sc_address *address;
	struct sc_place place = { 1, 0 }, back;
	uint8_t id[SESSCACHE_ID_LEN];
	unsigned i, n = test_times(2000, 100);

	for (i = 1; i <= n; i++) {
		address = i % 50 < 25 ? &ours : &theirs;
		place.seq = i;
		if (sc_address_encode(address, place, id) != SESSCACHE_OK ||
		    sc_address_decode(address, id, sizeof(id), &back) !=
			SESSCACHE_OK ||
		    back.seq != i)
			*failed = true;
	}
	return NULL;
}

START_TEST(threads_have_ciphers_of_their_own)
{
	enum { N = 8 };
	pthread_t threads[N];
	bool failed[N] = { false };
	int i;

	for (i = 0; i < N; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
				     encode_and_decode, &failed[i]),
		    0);
	for (i = 0; i < N; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert(!failed[i]);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("address");
	TCase *tc = tcase_create("address");

	test_fill(keys, sizeof(keys), 1);
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, id_leads_back_to_its_place, 0, N_OF(places));
	tcase_add_loop_test(tc, id_that_was_touched_is_not_ours, 0,
	    N_OF(places));
	tcase_add_test(tc, id_of_another_length_is_not_ours);
	tcase_add_test(tc, random_ids_are_not_ours);
	tcase_add_test(tc, ids_of_neighbours_have_nothing_in_common);
	tcase_add_test(tc, alias_is_of_all_bytes_of_an_id_and_of_the_keys);
	tcase_add_test(tc, hash_is_of_all_bytes_and_no_alias);
	tcase_add_test(tc, hash_is_a_mac_of_these_bytes_alone);
	tcase_add_test(tc, halves_of_a_name_are_read_as_they_were_made);
	tcase_add_test(tc, aliases_go_to_all_shards);
	tcase_add_test(tc, threads_have_ciphers_of_their_own);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
