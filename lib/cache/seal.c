/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See seal.h.
 */
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

#include "cache/bytes.h"
#include "cache/seal.h"

enum {
	NONCE = 12,
	OF_LEN = 2 + 8, /* bytes of shard and sequence number */
	OPENERS = 2,    /* the last epoch and this one */
};

struct cipher {
	uint32_t epoch; /* 0: none */
	EVP_CIPHER_CTX *ctx;
};

/* The ciphers of a thread, for the owner it last worked for. */
struct ciphers {
	uint64_t owner;
	struct cipher sealer;
	struct cipher openers[OPENERS];
	unsigned oldest; /* of the openers */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end;
static _Thread_local struct ciphers local;

/* --- keys ---------------------------------------------------------------- */

enum sesscache_status
sc_seal_random(void *buf, size_t len)
{
	if (len <= INT_MAX && RAND_priv_bytes(buf, (int)len) == 1)
		return SESSCACHE_OK;
	OPENSSL_cleanse(buf, len);
	return sc_fail(SESSCACHE_ESYS, "libcrypto has no random bytes");
}

static struct sc_epoch *
slot(const struct sc_seal *seal, uint32_t number)
{
	return &seal->keys->epochs[number % SC_EPOCHS];
}

static void
destroy(struct sc_epoch *epoch)
{
	atomic_store(&epoch->number, 0); /* first: nobody takes half a key */
	OPENSSL_cleanse(epoch->key, sizeof(epoch->key));
}

static enum sesscache_status
start_epoch(struct sc_epoch *epoch, uint32_t number, uint32_t now)
{
	enum sesscache_status status;

	destroy(epoch);
	status = sc_seal_random(epoch->key, sizeof(epoch->key));
	if (status != SESSCACHE_OK)
		return status;
	epoch->started_at = now;
	atomic_store(&epoch->last_expiry, now);
	atomic_store(&epoch->number, number);
	return SESSCACHE_OK;
}

enum sesscache_status
sc_seal_init(struct sc_keys *keys)
{
	enum sesscache_status status;

	status = sc_lock_init(&keys->lock);
	if (status == SESSCACHE_OK)
		status = sc_lock_init(&keys->ring.lock);
	if (status == SESSCACHE_OK)
		status = sc_seal_random(&keys->address, sizeof(keys->address));
	if (status == SESSCACHE_OK)
		status = start_epoch(&keys->epochs[1], 1, 0);
	atomic_store(&keys->current, 1);
	return status;
}

enum sesscache_status
sc_seal_revive(struct sc_keys *keys)
{
	uint32_t current = atomic_load(&keys->current);
	enum sesscache_status status;
	uint32_t i, number;
	bool sound = current != 0;

	for (i = 0; i < SC_EPOCHS; i++) {
		number = atomic_load(&keys->epochs[i].number);
		if (number != 0 && number % SC_EPOCHS != i)
			sound = false;
		if (number != 0 && current % SC_EPOCHS == i &&
		    number != current)
			sound = false;
	}
	if (!sound)
		return sc_fail(SESSCACHE_ECORRUPT,
		    "the keys of the cache are damaged");
	status = sc_lock_init(&keys->lock);
	if (status == SESSCACHE_OK) /* that a ring is damaged, its users see */
		status = sc_lock_init(&keys->ring.lock);
	return status;
}

static enum sesscache_status
lock(const struct sc_seal *seal, unsigned wait_ms)
{
	enum sc_lock_event event;

	/* Whoever died in it left at worst a number 0: a key that is gone. */
	return sc_lock_take(&seal->keys->lock, wait_ms, &event);
}

/* The next number whose low bits are not 0 as a whole: 0 means no key. */
static uint32_t
number_after(uint32_t number)
{
	return number == UINT32_MAX ? SC_EPOCHS : number + 1;
}

static void
tend_locked(const struct sc_seal *seal, uint32_t now)
{
	uint32_t current = atomic_load(&seal->keys->current);
	uint32_t next = number_after(current);
	struct sc_epoch *epoch;
	unsigned i;

	for (i = 0; i < SC_EPOCHS; i++) {
		epoch = &seal->keys->epochs[i];
		if (atomic_load(&epoch->number) != 0 &&
		    atomic_load(&epoch->number) != current &&
		    atomic_load(&epoch->last_expiry) <= now)
			destroy(epoch);
	}
	epoch = slot(seal, current);
	if (atomic_load(&epoch->number) == current &&
	    now - epoch->started_at < seal->epoch_seconds)
		return;
	/* Lifetimes much longer than an epoch hold all slots: go on then. */
	if (atomic_load(&slot(seal, next)->number) == 0 &&
	    start_epoch(slot(seal, next), next, now) == SESSCACHE_OK)
		atomic_store(&seal->keys->current, next);
}

void
sc_seal_tend(const struct sc_seal *seal, uint32_t now)
{
	uint32_t due = atomic_load_explicit(&seal->keys->next_tend,
	    memory_order_relaxed);
	uint32_t pause = seal->epoch_seconds / 8 + 1;

	/* Also if the clock stands before what the last one meant to wait. */
	if (now < due && due - now <= pause)
		return;
	if (lock(seal, SC_LOCK_TRY) != SESSCACHE_OK)
		return;
	tend_locked(seal, now);
	atomic_store(&seal->keys->next_tend, now + pause);
	sc_lock_release(&seal->keys->lock);
}

enum sesscache_status
sc_seal_destroy(const struct sc_seal *seal, uint32_t now)
{
	enum sesscache_status status;
	uint32_t next;
	unsigned i;

	status = lock(seal, SC_LOCK_PATIENT_MS);
	if (status != SESSCACHE_OK)
		return status;
	next = number_after(atomic_load(&seal->keys->current));
	for (i = 0; i < SC_EPOCHS; i++)
		destroy(&seal->keys->epochs[i]);
	status = start_epoch(slot(seal, next), next, now);
	atomic_store(&seal->keys->current, next);
	sc_lock_release(&seal->keys->lock);
	return status;
}

uint32_t
sc_seal_epoch(const struct sc_seal *seal, uint32_t expires_at)
{
	uint32_t number = atomic_load_explicit(&seal->keys->current,
	    memory_order_relaxed);
	_Atomic uint32_t *last = &slot(seal, number)->last_expiry;
	uint32_t before = atomic_load_explicit(last, memory_order_relaxed);

	while (before < expires_at &&
	    !atomic_compare_exchange_weak(last, &before, expires_at))
		continue;
	return number;
}

bool
sc_seal_has_key(const struct sc_seal *seal, uint8_t epoch)
{
	uint32_t number = atomic_load_explicit(&slot(seal, epoch)->number,
	    memory_order_relaxed);

	return number != 0 && (uint8_t)number == epoch;
}

/* --- ciphers ------------------------------------------------------------- */

static void
free_ciphers(void *arg)
{
	struct ciphers *ciphers = arg;
	int i;

	EVP_CIPHER_CTX_free(ciphers->sealer.ctx);
	for (i = 0; i < OPENERS; i++)
		EVP_CIPHER_CTX_free(ciphers->openers[i].ctx);
	memset(ciphers, 0, sizeof(*ciphers));
}

static void
make_key(void)
{
	(void)pthread_key_create(&thread_end, free_ciphers);
}

static void
use(const struct sc_seal *seal)
{
	if (local.owner == seal->owner)
		return;
	pthread_once(&once, make_key);
	free_ciphers(&local);
	pthread_setspecific(thread_end, &local);
	local.owner = seal->owner;
}

static enum sesscache_status
crypto_failed(void)
{
	return sc_fail(SESSCACHE_ESYS, "libcrypto cannot do AES-256-GCM");
}

/* Give a cipher the key of an epoch; SESSCACHE_MISS if that is gone. */
static enum sesscache_status
take_key(const struct sc_seal *seal, struct cipher *cipher, uint32_t number,
    int encrypt)
{
	struct sc_epoch *epoch = slot(seal, number);
	enum sesscache_status status;
	uint8_t key[sizeof(epoch->key)];

	cipher->epoch = 0;
	if (cipher->ctx == NULL)
		cipher->ctx = EVP_CIPHER_CTX_new();
	if (cipher->ctx == NULL)
		return sc_fail(SESSCACHE_ENOMEM, "out of memory");
	status = lock(seal, SC_LOCK_SERVING_MS);
	if (status != SESSCACHE_OK)
		return status;
	if (atomic_load(&epoch->number) == number)
		memcpy(key, epoch->key, sizeof(key));
	else
		status = SESSCACHE_MISS;
	sc_lock_release(&seal->keys->lock);
	if (status == SESSCACHE_OK &&
	    EVP_CipherInit_ex(cipher->ctx, EVP_aes_256_gcm(), NULL, key, NULL,
		encrypt) != 1)
		status = crypto_failed();
	OPENSSL_cleanse(key, sizeof(key));
	if (status == SESSCACHE_OK)
		cipher->epoch = number;
	return status;
}

static enum sesscache_status
find_opener(const struct sc_seal *seal, uint32_t number, struct cipher **cipher)
{
	int i;

	for (i = 0; i < OPENERS; i++) {
		*cipher = &local.openers[i];
		if ((*cipher)->epoch == number)
			return SESSCACHE_OK;
	}
	*cipher = &local.openers[local.oldest];
	local.oldest = (local.oldest + 1) % OPENERS;
	return take_key(seal, *cipher, number, 0);
}

/* The number of an epoch that has a key, known by its low bits; or 0. */
static uint32_t
full_number(const struct sc_seal *seal, uint8_t epoch)
{
	uint32_t number = atomic_load(&slot(seal, epoch)->number);

	return (uint8_t)number == epoch ? number : 0;
}

bool
sc_seal_is_ready(const struct sc_seal *seal, uint8_t epoch)
{
	uint32_t number = full_number(seal, epoch);
	bool ready = false;
	int i;

	for (i = 0; local.owner == seal->owner && i < OPENERS; i++)
		ready = ready || local.openers[i].epoch == number;
	return ready && number != 0;
}

enum sesscache_status
sc_seal_get_ready(const struct sc_seal *seal, uint8_t epoch)
{
	uint32_t number = full_number(seal, epoch);
	struct cipher *cipher;

	use(seal);
	return number == 0 ? SESSCACHE_MISS :
			     find_opener(seal, number, &cipher);
}

/*
 * Nonce, tag to check (NULL: sealing), associated data.  Each call into
 * libcrypto looks parameters up by name: the fewer the better.
 */
static bool
begin(EVP_CIPHER_CTX *ctx, const struct sc_seal_of *of, uint8_t *tag)
{
	uint8_t nonce[NONCE] = { 0 }, bound[OF_LEN + SC_RECORD_HEAD_MAX];
	OSSL_PARAM params[] = { OSSL_PARAM_END, OSSL_PARAM_END };
	int len;

	(void)sc_write_int(nonce, of->shard, 2);
	(void)sc_write_int(nonce + 4, of->write_number, 8);
	(void)sc_write_int(bound, of->shard, 2);
	(void)sc_write_int(bound + 2, of->seq, 8);
	memcpy(bound + OF_LEN, of->head.bytes, of->head.len);
	if (tag != NULL)
		params[0] = OSSL_PARAM_construct_octet_string(
		    OSSL_CIPHER_PARAM_AEAD_TAG, tag, SC_RECORD_TAG);
	return EVP_CipherInit_ex2(ctx, NULL, NULL, nonce, -1, params) == 1 &&
	    EVP_CipherUpdate(ctx, NULL, &len, bound,
		OF_LEN + (int)of->head.len) == 1;
}

enum sesscache_status
sc_seal_close(const struct sc_seal *seal, uint32_t epoch,
    const struct sc_seal_of *of, const uint8_t *data, size_t data_len,
    uint8_t *out)
{
	enum sesscache_status status = SESSCACHE_OK;
	EVP_CIPHER_CTX *ctx;
	int len = 0, rest = 0;

	use(seal);
	/* A key that was destroyed seals nothing more that would ever open. */
	if (local.sealer.epoch != epoch ||
	    atomic_load(&slot(seal, epoch)->number) != epoch)
		status = take_key(seal, &local.sealer, epoch, 1);
	if (status == SESSCACHE_MISS) { /* destroyed just now: a race lost */
		atomic_store(&seal->keys->next_tend, 0);
		status = sc_fail(SESSCACHE_EBUSY, "the keys are changing");
	}
	if (status != SESSCACHE_OK)
		return status;
	ctx = local.sealer.ctx;
	if (data_len > INT_MAX || !begin(ctx, of, NULL) ||
	    EVP_CipherUpdate(ctx, out, &len, data, (int)data_len) != 1 ||
	    EVP_CipherFinal_ex(ctx, out + len, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SC_RECORD_TAG,
		out + data_len) != 1)
		return crypto_failed();
	return SESSCACHE_OK;
}

enum sesscache_status
sc_seal_open(const struct sc_seal *seal, uint8_t epoch,
    const struct sc_seal_of *of, const uint8_t *sealed, size_t sealed_len,
    uint8_t *out)
{
	uint32_t number = full_number(seal, epoch);
	size_t data_len = sealed_len - SC_RECORD_TAG;
	uint8_t tag[SC_RECORD_TAG];
	enum sesscache_status status;
	struct cipher *cipher;
	int len = 0, rest = 0;

	if (number == 0)
		return SESSCACHE_MISS;
	use(seal);
	status = find_opener(seal, number, &cipher);
	if (status != SESSCACHE_OK)
		return status;
	memcpy(tag, sealed + data_len, sizeof(tag));
	if (data_len > INT_MAX || !begin(cipher->ctx, of, tag) ||
	    EVP_CipherUpdate(cipher->ctx, out, &len, sealed, (int)data_len) !=
		1)
		return crypto_failed();
	if (EVP_CipherFinal_ex(cipher->ctx, out + len, &rest) != 1) {
		OPENSSL_cleanse(out, data_len);
		return sc_fail(SESSCACHE_ECORRUPT, "a record does not open");
	}
	return SESSCACHE_OK;
}

/* --- blobs --------------------------------------------------------------- */

/* Key, nonce, associated data. */
static bool
begin_blob(EVP_CIPHER_CTX *ctx, const struct sc_seal_blob *blob, int encrypt)
{
	uint8_t nonce[NONCE] = { 0 };
	int len;

	(void)sc_write_int(nonce + 4, blob->number, 8);
	return EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, blob->key, nonce,
		   encrypt) == 1 &&
	    EVP_CipherUpdate(ctx, NULL, &len, nonce, NONCE) == 1 &&
	    EVP_CipherUpdate(ctx, NULL, &len, (const uint8_t *)blob->label,
		(int)strlen(blob->label)) == 1;
}

enum sesscache_status
sc_seal_close_blob(const struct sc_seal_blob *blob, const uint8_t *data,
    size_t data_len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	enum sesscache_status status = SESSCACHE_OK;
	int len = 0, rest = 0;

	if (ctx == NULL)
		status = sc_fail(SESSCACHE_ENOMEM, "out of memory");
	else if (data_len > INT_MAX || !begin_blob(ctx, blob, 1) ||
	    EVP_CipherUpdate(ctx, out, &len, data, (int)data_len) != 1 ||
	    EVP_CipherFinal_ex(ctx, out + len, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SC_SEAL_BLOB_TAG,
		out + data_len) != 1)
		status = crypto_failed();
	EVP_CIPHER_CTX_free(ctx);
	return status;
}

enum sesscache_status
sc_seal_open_blob(const struct sc_seal_blob *blob, const uint8_t *sealed,
    size_t data_len, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	enum sesscache_status status = SESSCACHE_OK;
	uint8_t tag[SC_SEAL_BLOB_TAG];
	int len = 0, rest = 0;

	memcpy(tag, sealed + data_len, sizeof(tag));
	if (ctx == NULL)
		status = sc_fail(SESSCACHE_ENOMEM, "out of memory");
	else if (data_len > INT_MAX || !begin_blob(ctx, blob, 0) ||
	    EVP_CipherUpdate(ctx, out, &len, sealed, (int)data_len) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) !=
		1)
		status = crypto_failed();
	else if (EVP_CipherFinal_ex(ctx, out + len, &rest) != 1)
		status = sc_fail(SESSCACHE_ECORRUPT, "%s: they do not open",
		    blob->label);
	if (status != SESSCACHE_OK)
		OPENSSL_cleanse(out, data_len);
	EVP_CIPHER_CTX_free(ctx);
	return status;
}

void
sc_seal_wipe(void *data, size_t len)
{
	OPENSSL_cleanse(data, len);
}
