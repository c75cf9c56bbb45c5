/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Baseline (a), LMDB as one would use it for sessions at first: one
 * environment with LMDB's own lock and reader table, the record under its
 * session ID, and a second tree that keeps the order, so that the oldest goes
 * when the cache is full, in the transaction that stores the newest.
 *
 * It does less than the library: nothing is sealed, nothing expires, and no
 * size is kept but the number of records.  Otherwise it is done well: a read
 * transaction is renewed, not begun; records are written in place; the order
 * is appended to.
 */
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "bench.h"

#define PATH_BYTES 4096
#define FILE_MODE 0600
#define SEQ_BYTES sizeof(uint64_t)
/*
 * Room in the map, times what the records need: a reader that is preempted in
 * its transaction keeps pages from being used again.
 */
#define MAP_FACTOR 40
#define RECORD_OVERHEAD 300 /* bytes in both trees, rather too many */

struct state {
	char path[PATH_BYTES];
	size_t max_records;
	size_t map_bytes;
	MDB_env *env;
	MDB_txn *reader; /* reset, unless in a lookup */
	MDB_dbi records; /* ID -> sequence number, record */
	MDB_dbi order;   /* sequence number -> ID */
};

static const char *last_error_text = "";

static int
note_error(int rc)
{
	if (rc != MDB_SUCCESS && rc != MDB_NOTFOUND)
		last_error_text = mdb_strerror(rc);
	return rc;
}

static const char *
detail(void)
{
	return last_error_text;
}

static enum bench_answer
to_answer(int rc)
{
	enum bench_answer answer = BENCH_FAILED;

	if (rc == MDB_SUCCESS)
		answer = BENCH_DONE;
	else if (rc == MDB_NOTFOUND)
		answer = BENCH_MISS;
	return answer;
}

/* No more than half of what the file system has. */
static size_t
map_bytes(const struct bench_shape *shape)
{
	size_t bytes = shape->records * (shape->record_len + RECORD_OVERHEAD) *
	    MAP_FACTOR;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct statvfs vfs;

	if (statvfs(shape->dir, &vfs) == 0 &&
	    bytes > vfs.f_bavail * vfs.f_frsize / 2)
		bytes = vfs.f_bavail * vfs.f_frsize / 2;
	return bytes / page * page;
}

static void
leave(void *arg)
{
	struct state *state = arg;

	mdb_txn_abort(state->reader);
	state->reader = NULL;
	mdb_env_close(state->env);
	state->env = NULL;
}

static int
open_trees(struct state *state)
{
	MDB_txn *txn = NULL;
	int rc;

	rc = mdb_txn_begin(state->env, NULL, 0, &txn);
	if (rc != 0)
		goto out;
	rc = mdb_dbi_open(txn, "records", MDB_CREATE, &state->records);
	if (rc != 0)
		goto out;
	rc = mdb_dbi_open(txn, "order", MDB_CREATE | MDB_INTEGERKEY,
	    &state->order);
	if (rc != 0)
		goto out;
	rc = mdb_txn_commit(txn);
	txn = NULL; /* commit consumes txn even when it fails */
out:
	mdb_txn_abort(txn);
	return rc;
}

static int
enter(void *arg)
{
	struct state *state = arg;
	int rc;

	rc = mdb_env_create(&state->env);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(state->env, 2);
	if (rc == 0)
		rc = mdb_env_set_mapsize(state->env, state->map_bytes);
	if (rc == 0)
		rc = mdb_env_open(state->env, state->path,
		    MDB_WRITEMAP | MDB_NOSYNC | MDB_NOSUBDIR, FILE_MODE);
	if (rc == 0)
		rc = open_trees(state);
	if (rc == 0)
		rc = mdb_txn_begin(state->env, NULL, MDB_RDONLY,
		    &state->reader);
	if (rc == 0) {
		mdb_txn_reset(state->reader);
	} else {
		leave(state);
		rc = bench_fail("lmdb: %s: %s", state->path, mdb_strerror(rc));
	}
	return rc;
}

static int
make(void **out, const struct bench_shape *shape, const char *name)
{
	struct state *state;
	int rc = -1;

	state = calloc(1, sizeof *state);
	if (state != NULL) {
		(void)snprintf(state->path, sizeof state->path, "%s/%s",
		    shape->dir, name);
		state->max_records = shape->records;
		state->map_bytes = map_bytes(shape);
		rc = 0;
	}
	*out = state;
	return rc;
}

static int
make_main(void **out, const struct bench_shape *shape)
{
	return make(out, shape, "lmdb");
}

static int
make_free_ids(void **out, const struct bench_shape *shape)
{
	return make(out, shape, "lmdb-free-ids");
}

static void
destroy(void *arg)
{
	struct state *state = arg;
	char lock_path[PATH_BYTES + sizeof "-lock"];

	if (state != NULL) {
		(void)snprintf(lock_path, sizeof lock_path, "%s-lock",
		    state->path);
		(void)unlink(state->path);
		(void)unlink(lock_path);
		free(state);
	}
}

/* The last key of the order, or 0. */
static int
last_seq(MDB_cursor *order, uint64_t *seq)
{
	MDB_val key, value;
	int rc;

	*seq = 0;
	rc = mdb_cursor_get(order, &key, &value, MDB_LAST);
	if (rc == 0)
		memcpy(seq, key.mv_data, SEQ_BYTES);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Remove the oldest record if there are too many. */
static int
evict(struct state *state, MDB_txn *txn, MDB_cursor *order)
{
	uint8_t id[BENCH_ID_LEN];
	MDB_val key, value;
	MDB_stat stat;
	int rc;

	rc = mdb_stat(txn, state->records, &stat);
	if (rc != 0 || stat.ms_entries <= state->max_records)
		goto out;
	rc = mdb_cursor_get(order, &key, &value, MDB_FIRST);
	if (rc != 0)
		goto out;
	memcpy(id, value.mv_data, sizeof id);
	rc = mdb_cursor_del(order, 0);
	if (rc != 0)
		goto out;
	key.mv_data = id;
	key.mv_size = sizeof id;
	rc = mdb_del(txn, state->records, &key, NULL);
out:
	return rc;
}

static int
insert(struct state *state, MDB_txn *txn, MDB_cursor *order, MDB_val *id,
    const uint8_t *data, size_t data_len)
{
	MDB_val key = { .mv_size = SEQ_BYTES };
	MDB_val value = { .mv_size = SEQ_BYTES + data_len };
	uint64_t seq;
	int rc;

	rc = last_seq(order, &seq);
	if (rc != 0)
		goto out;
	seq++;
	rc = mdb_put(txn, state->records, id, &value,
	    MDB_NOOVERWRITE | MDB_RESERVE);
	if (rc != 0)
		goto out;
	memcpy(value.mv_data, &seq, SEQ_BYTES);
	memcpy((uint8_t *)value.mv_data + SEQ_BYTES, data, data_len);
	key.mv_data = &seq;
	rc = mdb_cursor_put(order, &key, id, MDB_APPEND);
out:
	return rc;
}

static enum bench_answer
put(void *arg, const uint8_t *id, const uint8_t *data, size_t data_len)
{
	MDB_val key = { .mv_size = BENCH_ID_LEN, .mv_data = (void *)id };
	struct state *state = arg;
	MDB_cursor *order = NULL;
	MDB_txn *txn = NULL;
	int rc;

	rc = mdb_txn_begin(state->env, NULL, 0, &txn);
	if (rc != 0)
		goto out;
	rc = mdb_cursor_open(txn, state->order, &order);
	if (rc != 0)
		goto out;
	rc = insert(state, txn, order, &key, data, data_len);
	if (rc == 0)
		rc = evict(state, txn, order);
	mdb_cursor_close(order);
	if (rc != 0)
		goto out;
	rc = mdb_txn_commit(txn);
	txn = NULL; /* commit consumes txn even when it fails */
out:
	mdb_txn_abort(txn);
	return to_answer(note_error(rc));
}

/* Copy what a value holds after its sequence number. */
static int
copy_out(const MDB_val *value, uint8_t *buf, size_t size, size_t *len)
{
	int rc = MDB_BAD_VALSIZE;

	if (value->mv_size >= SEQ_BYTES && value->mv_size - SEQ_BYTES <= size) {
		*len = value->mv_size - SEQ_BYTES;
		memcpy(buf, (uint8_t *)value->mv_data + SEQ_BYTES, *len);
		rc = 0;
	}
	return rc;
}

static enum bench_answer
get(void *arg, const uint8_t *id, uint8_t *buf, size_t size, size_t *len)
{
	MDB_val key = { .mv_size = BENCH_ID_LEN, .mv_data = (void *)id };
	struct state *state = arg;
	MDB_val value;
	int rc;

	rc = mdb_txn_renew(state->reader);
	if (rc == 0) {
		rc = mdb_get(state->reader, state->records, &key, &value);
		if (rc == 0)
			rc = copy_out(&value, buf, size, len);
		mdb_txn_reset(state->reader);
	}
	return to_answer(note_error(rc));
}

static enum bench_answer
take(void *arg, const uint8_t *id, uint8_t *buf, size_t size, size_t *len)
{
	MDB_val key = { .mv_size = BENCH_ID_LEN, .mv_data = (void *)id };
	MDB_val seq_key = { .mv_size = SEQ_BYTES };
	struct state *state = arg;
	MDB_txn *txn = NULL;
	MDB_val value;
	uint64_t seq;
	int rc;

	rc = mdb_txn_begin(state->env, NULL, 0, &txn);
	if (rc != 0)
		goto out;
	rc = mdb_get(txn, state->records, &key, &value);
	if (rc == 0)
		rc = copy_out(&value, buf, size, len);
	if (rc != 0)
		goto out;
	memcpy(&seq, value.mv_data, SEQ_BYTES);
	seq_key.mv_data = &seq;
	rc = mdb_del(txn, state->records, &key, NULL);
	if (rc == 0)
		rc = mdb_del(txn, state->order, &seq_key, NULL);
	if (rc != 0)
		goto out;
	rc = mdb_txn_commit(txn);
	txn = NULL; /* commit consumes txn even when it fails */
out:
	mdb_txn_abort(txn);
	return to_answer(note_error(rc));
}

#define OPERATIONS \
	.stores = true, .enter = enter, .leave = leave, .destroy = destroy, \
	.put = put, .get = get, .take = take, .detail = detail

const struct bench_system bench_lmdb = {
	.name = "lmdb",
	.title = "(a) LMDB by session ID, a second tree for the order",
	.make = make_main,
	.new_id = bench_random_id,
	OPERATIONS,
};

const struct bench_system bench_lmdb_free_ids = {
	.name = "lmdb*",
	.title = "(a) with IDs that cost nothing",
	.alternative = true,
	.make = make_free_ids,
	.new_id = bench_cheap_id,
	OPERATIONS,
};
