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
#include "cache/bytes.h"

enum { BLOCK = 16, HASHED_AT_ONCE = 16 * BLOCK };

_Static_assert(SC_ADDRESS_NAME % BLOCK == 0, "a name is whole blocks");

enum { ENCRYPT, DECRYPT, ALIAS, REALM, NAME, READ_NAME, CIPHERS };

/* The ciphers of a thread, for the owner it last worked for. */
struct ciphers {
	uint64_t owner;
	EVP_CIPHER_CTX *ctx[CIPHERS];
	uint8_t last[CIPHERS][BLOCK]; /* block that CBC goes on from */
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
init_cipher(int which, const EVP_CIPHER *cipher, const uint8_t key[BLOCK],
    int encrypt)
{
	EVP_CIPHER_CTX **ctx = &local.ctx[which];
	uint8_t *iv = memset(local.last[which], 0, BLOCK);

	if (*ctx == NULL)
		*ctx = EVP_CIPHER_CTX_new();
	return *ctx != NULL &&
	    EVP_CipherInit_ex(*ctx, cipher, NULL, key, iv, encrypt) == 1 &&
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
	if (!init_cipher(ENCRYPT, EVP_aes_128_ecb(), keys->place, 1) ||
	    !init_cipher(DECRYPT, EVP_aes_128_ecb(), keys->place, 0) ||
	    !init_cipher(ALIAS, EVP_aes_128_cbc(), keys->alias, 1) ||
	    !init_cipher(REALM, EVP_aes_128_cbc(), keys->realm, 1) ||
	    !init_cipher(NAME, EVP_aes_128_ecb(), keys->name, 1) ||
	    !init_cipher(READ_NAME, EVP_aes_128_ecb(), keys->name, 0))
		return crypto_failed();
	local.owner = address->owner;
	return SESSCACHE_OK;
}

/* Whole blocks. */
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

/*
 * Whole blocks by CBC, in place.  The first one begins anew: what the context
 * would add to it is taken out before, as to set an IV costs more than this.
 */
static enum sesscache_status
chain_blocks(int which, uint8_t *blocks, size_t len, bool first)
{
	uint8_t *last = local.last[which];
	enum sesscache_status status;
	int i;

	for (i = 0; first && i < BLOCK; i++)
		blocks[i] ^= last[i];
	status = crypt_blocks(which, blocks, (int)len, blocks);
	if (status == SESSCACHE_OK)
		memcpy(last, blocks + len - BLOCK, BLOCK);
	else
		local.owner = 0;
	return status;
}

/* CBC-MAC; with the length in the first block nothing is another's prefix. */
static enum sesscache_status
hash(const struct sc_address *address, int which, const uint8_t *bytes,
    size_t len, uint8_t block[BLOCK])
{
	enum sesscache_status status = use(address);
	uint8_t blocks[HASHED_AT_ONCE];
	size_t at = 0, n, filled = 3;
	bool first = true;

	(void)sc_write_int(blocks, len, 3);
	do {
		n = sizeof(blocks) - filled;
		if (n > len - at)
			n = len - at;
		memcpy(blocks + filled, bytes + at, n);
		at += n;
		filled += n;
		n = (BLOCK - filled % BLOCK) % BLOCK;
		memset(blocks + filled, 0, n);
		filled += n;
		if (status == SESSCACHE_OK)
			status = chain_blocks(which, blocks, filled, first);
		memcpy(block, blocks + filled - BLOCK, BLOCK);
		first = false;
		filled = 0;
	} while (at < len);
	return status;
}

static uint64_t
number_of(const uint8_t block[BLOCK])
{
	uint64_t number;

	memcpy(&number, block, sizeof(number));
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
