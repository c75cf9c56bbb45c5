/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See address.h.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/address.h"

enum { BLOCK = 16 };

_Static_assert(SC_ADDRESS_NAME % BLOCK == 0, "a name is whole blocks");

enum { ENCRYPT, DECRYPT, ALIAS, REALM, NAME, READ_NAME, CIPHERS };

/* The ciphers of a thread, for the owner it last worked for. */
struct ciphers {
	uint64_t owner;
	EVP_CIPHER_CTX *ctx[CIPHERS];
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end;
static _Thread_local struct ciphers local;

static void
free_ciphers(void *arg)
{
	struct ciphers *ciphers = arg;
	int i;

	for (i = 0; i < CIPHERS; i++) {
		EVP_CIPHER_CTX_free(ciphers->ctx[i]);
		ciphers->ctx[i] = NULL;
	}
	ciphers->owner = 0;
}

static void
make_key(void)
{
	(void)pthread_key_create(&thread_end, free_ciphers);
}

static bool
init_cipher(EVP_CIPHER_CTX **ctx, const uint8_t key[BLOCK], int encrypt)
{
	if (*ctx == NULL)
		*ctx = EVP_CIPHER_CTX_new();
	return *ctx != NULL &&
	    EVP_CipherInit_ex(*ctx, EVP_aes_128_ecb(), NULL, key, NULL,
		encrypt) == 1 &&
	    EVP_CIPHER_CTX_set_padding(*ctx, 0) == 1;
}

static enum sesscache_status
crypto_failed(void)
{
	return sc_fail(SESSCACHE_ESYS, "libcrypto cannot do AES-128");
}

static enum sesscache_status
use(const struct sc_address *address)
{
	const struct sc_address_keys *keys = address->keys;

	if (local.owner == address->owner)
		return SESSCACHE_OK;
	local.owner = 0;
	pthread_once(&once, make_key);
	pthread_setspecific(thread_end, &local);
	if (!init_cipher(&local.ctx[ENCRYPT], keys->place, 1) ||
	    !init_cipher(&local.ctx[DECRYPT], keys->place, 0) ||
	    !init_cipher(&local.ctx[ALIAS], keys->alias, 1) ||
	    !init_cipher(&local.ctx[REALM], keys->realm, 1) ||
	    !init_cipher(&local.ctx[NAME], keys->name, 1) ||
	    !init_cipher(&local.ctx[READ_NAME], keys->name, 0))
		return crypto_failed();
	local.owner = address->owner;
	return SESSCACHE_OK;
}

/* Whole blocks, each for itself. */
static enum sesscache_status
crypt_blocks(int which, const uint8_t *in, int len, uint8_t *out)
{
	int done = 0;

	if (EVP_CipherUpdate(local.ctx[which], out, &done, in, len) != 1 ||
	    done != len)
		return crypto_failed();
	return SESSCACHE_OK;
}

/* Twice the same place; the halves are told apart by their first byte. */
static void
write_place(struct sc_place place, uint8_t plain[SESSCACHE_ID_LEN])
{
	uint8_t *half = plain;
	int i, which;

	memset(plain, 0, SESSCACHE_ID_LEN);
	for (which = 0; which < 2; which++, half += BLOCK) {
		half[0] = (uint8_t)which;
		half[6] = (uint8_t)(place.shard >> 8);
		half[7] = (uint8_t)place.shard;
		for (i = 0; i < 8; i++)
			half[BLOCK - 1 - i] = (uint8_t)(place.seq >> (8 * i));
	}
}

/* All of it is always compared; CRYPTO_memcmp() goes byte by byte. */
static bool
is_same_place(const uint8_t a[SESSCACHE_ID_LEN],
    const uint8_t b[SESSCACHE_ID_LEN])
{
	uint64_t x[SESSCACHE_ID_LEN / 8], y[SESSCACHE_ID_LEN / 8];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) |
		   (x[3] ^ y[3])) == 0;
}

enum sesscache_status
sc_address_encode(const struct sc_address *address, struct sc_place place,
    uint8_t id[SESSCACHE_ID_LEN])
{
	enum sesscache_status status;
	uint8_t plain[SESSCACHE_ID_LEN];

	write_place(place, plain);
	status = use(address);
	if (status == SESSCACHE_OK)
		status = crypt_blocks(ENCRYPT, plain, sizeof(plain), id);
	return status;
}

enum sesscache_status
sc_address_decode(const struct sc_address *address, const uint8_t *id,
    size_t id_len, struct sc_place *place)
{
	uint8_t plain[SESSCACHE_ID_LEN], genuine[SESSCACHE_ID_LEN];
	enum sesscache_status status;
	int i;

	if (id_len != SESSCACHE_ID_LEN)
		return SESSCACHE_MISS;
	status = use(address);
	if (status == SESSCACHE_OK)
		status = crypt_blocks(DECRYPT, id, sizeof(plain), plain);
	if (status != SESSCACHE_OK)
		return status;
	place->shard = (unsigned)plain[6] << 8 | plain[7];
	place->seq = 0;
	for (i = 8; i < BLOCK; i++)
		place->seq = place->seq << 8 | plain[i];
	write_place(*place, genuine);
	if (!is_same_place(plain, genuine))
		return SESSCACHE_MISS;
	return SESSCACHE_OK;
}

/* CBC-MAC; with the length in the first block nothing is another's prefix. */
static enum sesscache_status
hash(const struct sc_address *address, int which, const uint8_t *bytes,
    size_t len, uint8_t block[BLOCK])
{
	enum sesscache_status status;
	size_t at = 0, i = 3; /* of bytes, and of the block */

	memset(block, 0, BLOCK);
	block[0] = (uint8_t)len;
	block[1] = (uint8_t)(len >> 8);
	block[2] = (uint8_t)(len >> 16);
	status = use(address);
	do {
		for (; i < BLOCK && at < len; i++, at++)
			block[i] ^= bytes[at];
		i = 0;
		if (status == SESSCACHE_OK)
			status = crypt_blocks(which, block, BLOCK, block);
	} while (at < len);
	return status;
}

static uint64_t
number_of(const uint8_t block[BLOCK])
{
	uint64_t number = 0;
	int i;

	for (i = 0; i < 8; i++)
		number = number << 8 | block[i];
	return number == 0 ? 1 : number;
}

enum sesscache_status
sc_address_alias(const struct sc_address *address, const uint8_t *id,
    size_t id_len, uint64_t *alias, unsigned *shard)
{
	uint8_t block[BLOCK];
	enum sesscache_status status;

	status = hash(address, ALIAS, id, id_len, block);
	*alias = number_of(block);
	*shard = block[8];
	return status;
}

enum sesscache_status
sc_address_hash(const struct sc_address *address, const uint8_t *bytes,
    size_t len, uint64_t *number)
{
	uint8_t block[BLOCK];
	enum sesscache_status status;

	status = hash(address, REALM, bytes, len, block);
	*number = number_of(block);
	return status;
}

enum sesscache_status
sc_address_name(const struct sc_address *address,
    const uint8_t plain[SC_ADDRESS_NAME], uint8_t name[SC_ADDRESS_NAME])
{
	enum sesscache_status status = use(address);

	return status == SESSCACHE_OK ?
	    crypt_blocks(NAME, plain, SC_ADDRESS_NAME, name) :
	    status;
}

enum sesscache_status
sc_address_read_name(const struct sc_address *address,
    const uint8_t name[SC_ADDRESS_NAME], uint8_t plain[SC_ADDRESS_NAME])
{
	enum sesscache_status status = use(address);

	return status == SESSCACHE_OK ?
	    crypt_blocks(READ_NAME, name, SC_ADDRESS_NAME, plain) :
	    status;
}

bool
sc_address_is_same(const uint8_t *id, const uint8_t *other, size_t len)
{
	return CRYPTO_memcmp(id, other, len) == 0;
}
