/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Baseline (c), the floor of a lookup: mdb_get() of an integer key in a
 * transaction that stays open, and AES-256-GCM over what it finds, with a
 * context that is used again.  No lock, nothing shared but read-only pages.
 */
#include <lmdb.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define PATH_BYTES 4096
#define FILE_MODE 0600
#define KEY_BYTES 32
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define RECORD_OVERHEAD 200 /* bytes of the tree, rather too many */

struct state {
	char path[PATH_BYTES];
	uint64_t last; /* number, while it is filled */
	size_t map_bytes;
	MDB_env *env;
	MDB_txn *txn; /* of the filling, or one that only reads */
	MDB_dbi dbi;
	EVP_CIPHER_CTX *cipher;
};

/* What the key is does not matter for the time. */
static const uint8_t key_bytes[KEY_BYTES] = { 1, 2, 3, 4, 5, 6, 7, 8 };

static void
leave(void *arg)
{
	struct state *state = arg;

	/* What fills it commits; what only read has nothing to lose. */
	if (state->txn != NULL)
		(void)mdb_txn_commit(state->txn);
	state->txn = NULL;
	mdb_env_close(state->env);
	state->env = NULL;
	EVP_CIPHER_CTX_free(state->cipher);
	state->cipher = NULL;
}

static int
open_env(struct state *state, bool filling)
{
	unsigned reading = filling ? 0 : MDB_RDONLY;
	int rc;

	rc = mdb_env_create(&state->env);
	if (rc == 0)
		rc = mdb_env_set_mapsize(state->env, state->map_bytes);
	if (rc == 0)
		rc = mdb_env_open(state->env, state->path,
		    MDB_WRITEMAP | MDB_NOSYNC | MDB_NOSUBDIR | MDB_NOLOCK |
			reading,
		    FILE_MODE);
	if (rc == 0)
		rc = mdb_txn_begin(state->env, NULL, reading, &state->txn);
	if (rc == 0)
		rc = mdb_dbi_open(state->txn, NULL,
		    filling ? MDB_INTEGERKEY | MDB_CREATE : 0, &state->dbi);
	return rc;
}

/* The first to enter fills it, the others only read. */
static int
enter(void *arg)
{
	struct state *state = arg;
	bool filling = state->last == 0;
	int rc;

	state->cipher = EVP_CIPHER_CTX_new();
	rc = open_env(state, filling);
	if (rc == 0 &&
	    (state->cipher == NULL ||
		EVP_CipherInit_ex(state->cipher, EVP_aes_256_gcm(), NULL,
		    key_bytes, NULL, filling ? 1 : 0) != 1))
		rc = MDB_PANIC;
	if (rc != 0) {
		leave(state);
		rc = bench_fail("floor: %s", mdb_strerror(rc));
	}
	return rc;
}

static int
make(void **out, const struct bench_shape *shape)
{
	struct state *state;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	state = calloc(1, sizeof *state);
	if (state != NULL) {
		(void)snprintf(state->path, sizeof state->path, "%s/floor",
		    shape->dir);
		/* Twice the records: they are filled beyond what is kept. */
		state->map_bytes = 2 * shape->records *
		    (shape->record_len + RECORD_OVERHEAD) / page * page;
	}
	*out = state;
	return state != NULL ? 0 : -1;
}

static void
destroy(void *arg)
{
	struct state *state = arg;

	if (state != NULL) {
		(void)unlink(state->path);
		free(state);
	}
}

/* The number comes first; the end differs as that of a random ID does. */
static enum bench_answer
new_id(void *arg, uint8_t id[BENCH_ID_LEN])
{
	struct state *state = arg;
	enum bench_answer answer;

	answer = bench_cheap_id(NULL, id);
	state->last++;
	memcpy(id, &state->last, sizeof state->last);
	return answer;
}

static void
set_nonce(uint8_t nonce[NONCE_BYTES], const uint8_t *id)
{
	memset(nonce, 0, NONCE_BYTES);
	memcpy(nonce, id, sizeof(uint64_t));
}

static bool
seal(struct state *state, const uint8_t *id, const uint8_t *data,
    size_t data_len, uint8_t *out)
{
	uint8_t nonce[NONCE_BYTES];
	int len = 0;

	set_nonce(nonce, id);
	return EVP_CipherInit_ex(state->cipher, NULL, NULL, NULL, nonce, 1) ==
	    1 &&
	    EVP_CipherUpdate(state->cipher, out, &len, data, (int)data_len) ==
	    1 &&
	    EVP_CipherFinal_ex(state->cipher, out + data_len, &len) == 1 &&
	    EVP_CIPHER_CTX_ctrl(state->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES,
		out + data_len) == 1;
}

static bool
unseal(struct state *state, const uint8_t *id, const MDB_val *value,
    uint8_t *buf)
{
	uint8_t *sealed = value->mv_data;
	size_t data_len = value->mv_size - TAG_BYTES;
	uint8_t nonce[NONCE_BYTES];
	int len = 0;

	set_nonce(nonce, id);
	return EVP_CipherInit_ex(state->cipher, NULL, NULL, NULL, nonce, 0) ==
	    1 &&
	    EVP_CipherUpdate(state->cipher, buf, &len, sealed, (int)data_len) ==
	    1 &&
	    EVP_CIPHER_CTX_ctrl(state->cipher, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES,
		sealed + data_len) == 1 &&
	    EVP_CipherFinal_ex(state->cipher, buf + data_len, &len) == 1;
}

/* An ID need not be aligned, an integer key must. */
static void
set_key(MDB_val *key, uint64_t *number, const uint8_t *id)
{
	memcpy(number, id, sizeof *number);
	key->mv_data = number;
	key->mv_size = sizeof *number;
}

static enum bench_answer
put(void *arg, const uint8_t *id, const uint8_t *data, size_t data_len)
{
	MDB_val value = { .mv_size = data_len + TAG_BYTES };
	enum bench_answer answer = BENCH_FAILED;
	struct state *state = arg;
	uint64_t number;
	MDB_val key;
	int rc;

	set_key(&key, &number, id);
	rc = mdb_put(state->txn, state->dbi, &key, &value,
	    MDB_APPEND | MDB_RESERVE);
	if (rc == 0 && seal(state, id, data, data_len, value.mv_data))
		answer = BENCH_DONE;
	return answer;
}

static enum bench_answer
get(void *arg, const uint8_t *id, uint8_t *buf, size_t size, size_t *len)
{
	enum bench_answer answer = BENCH_FAILED;
	struct state *state = arg;
	MDB_val key, value;
	uint64_t number;
	int rc;

	set_key(&key, &number, id);
	rc = mdb_get(state->txn, state->dbi, &key, &value);
	if (rc == MDB_NOTFOUND) {
		answer = BENCH_MISS;
	} else if (rc == 0 && value.mv_size >= TAG_BYTES &&
	    value.mv_size - TAG_BYTES <= size &&
	    unseal(state, id, &value, buf)) {
		*len = value.mv_size - TAG_BYTES;
		answer = BENCH_DONE;
	}
	return answer;
}

const struct bench_system bench_floor = {
	.name = "floor",
	.title = "(c) a bare mdb_get() and AES-256-GCM, no lock",
	.make = make,
	.enter = enter,
	.leave = leave,
	.destroy = destroy,
	.new_id = new_id,
	.put = put,
	.get = get,
};
