/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See tree.h.  The only file that knows LMDB.
 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "platform/host.h"
#include "store/tree.h"

#if MDB_VERSION_MAJOR != 0
#error "verify.c knows the files of LMDB 0.9 only"
#endif

enum {
	CHUNK = 2000,   /* bytes: two pieces and their headers fill a page */
	CHUNK_BITS = 4, /* of a key: the piece */
	QUEUES = 2,
	/* The header of a page, if a large value follows: see verify.c. */
	RUN_FLAGS_AT = sizeof(size_t) + 2,
	RUN_HEADER = sizeof(size_t) + 8,
	RUN = 0x04, /* its flags */
	META_PAGES = 2,
	ENV_FLAGS = MDB_NOSUBDIR | MDB_NOLOCK | MDB_WRITEMAP | MDB_NOSYNC |
	    MDB_NOTLS | MDB_NORDAHEAD,
};

static char area_key[] = "area"; /* LMDB's keys are not const */

struct sc_write {
	MDB_txn *txn;
	struct sc_tree *tree;
	MDB_cursor *cursors[QUEUES]; /* opened when first needed */
};

struct sc_tree {
	MDB_env *env;
	MDB_dbi queues[QUEUES]; /* records, or their first pieces */
	MDB_dbi pieces;         /* the others */
	MDB_dbi aliases;
	MDB_dbi main;
	MDB_txn *reader; /* kept between reads; NULL: make one */
	uint32_t reader_commits;
	bool reader_live; /* else it is reset */
	bool lost;        /* the map, and LMDB cannot get it back */
	dev_t dev;        /* of the file */
	ino_t ino;
	void *area;
	size_t area_len;
	struct sc_write write;
};

static enum sesscache_status
from_lmdb(int rc, const char *what)
{
	switch (rc) {
	case MDB_SUCCESS:
		return SESSCACHE_OK;
	case MDB_NOTFOUND:
		return SESSCACHE_MISS;
	case MDB_MAP_FULL:
		return sc_fail(SESSCACHE_ENOSPC, "%s: %s", what,
		    mdb_strerror(rc));
	case MDB_VERSION_MISMATCH:
		return sc_fail(SESSCACHE_EFORMAT, "%s: %s", what,
		    mdb_strerror(rc));
	case ENOMEM:
		return sc_fail(SESSCACHE_ENOMEM, "%s: out of memory", what);
	case ENOSPC:
		errno = rc;
		return sc_fail(SESSCACHE_ENOSPC, "%s: %s", what, strerror(rc));
	default:
		break;
	}
	if (rc > 0) {
		errno = rc;
		return sc_fail(SESSCACHE_ESYS, "%s: %s", what, strerror(rc));
	}
	return sc_fail(SESSCACHE_ECORRUPT, "%s: %s", what, mdb_strerror(rc));
}

unsigned
sc_tree_format(void)
{
	return MDB_VERSION_MAJOR;
}

/* Keys are native integers: MDB_INTEGERKEY compares them as such. */
static uint64_t
to_key(uint64_t seq, unsigned chunk)
{
	return seq << CHUNK_BITS | chunk;
}

static uint64_t
key_seq(uint64_t key)
{
	return key >> CHUNK_BITS;
}

static MDB_val
key_val(uint64_t *key)
{
	return (MDB_val){ sizeof(*key), key };
}

static uint64_t
val_u64(const MDB_val *val)
{
	uint64_t n = 0;

	if (val->mv_size == sizeof(n))
		memcpy(&n, val->mv_data, sizeof(n));
	return n;
}

/* Of a call whose arguments are ours: what LMDB finds invalid is the file. */
static int
blame_file(int rc)
{
	return rc == EINVAL ? MDB_CORRUPTED : rc;
}

/* --- opening ------------------------------------------------------------- */

static int
open_trees(struct sc_tree *tree, bool make, size_t area_bytes)
{
	static const char *const names[QUEUES] = { "newcomers", "regulars" };
	unsigned flags = MDB_INTEGERKEY | (make ? MDB_CREATE : 0);
	MDB_val key = { 4, area_key }, area = { area_bytes, NULL };
	MDB_txn *txn = NULL;
	int i, rc;

	rc = mdb_txn_begin(tree->env, NULL, make ? 0 : MDB_RDONLY, &txn);
	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &tree->main);
	for (i = 0; rc == 0 && i < QUEUES; i++)
		rc = mdb_dbi_open(txn, names[i], flags, &tree->queues[i]);
	if (rc == 0)
		rc = mdb_dbi_open(txn, "pieces", flags, &tree->pieces);
	if (rc == 0)
		rc = mdb_dbi_open(txn, "aliases", flags, &tree->aliases);
	if (rc == 0 && make)
		rc = mdb_put(txn, tree->main, &key, &area, MDB_RESERVE);
	if (rc == 0 && make)
		memset(area.mv_data, 0, area_bytes);
	if (rc == 0)
		rc = mdb_txn_commit(txn);
	else
		mdb_txn_abort(txn);
	return rc;
}

/* Begin or renew the reader, unless nothing was written since its last use. */
static int
read_begin(struct sc_tree *tree, uint32_t commits)
{
	int rc;

	if (tree->reader_live && tree->reader_commits == commits)
		return 0;
	if (tree->reader == NULL) {
		rc = mdb_txn_begin(tree->env, NULL, MDB_RDONLY, &tree->reader);
	} else {
		if (tree->reader_live)
			mdb_txn_reset(tree->reader);
		rc = mdb_txn_renew(tree->reader);
	}
	tree->reader_live = rc == 0;
	tree->reader_commits = commits;
	return rc;
}

static void
read_end(struct sc_tree *tree)
{
	if (tree->reader_live)
		mdb_txn_reset(tree->reader);
	tree->reader_live = false;
}

static int
find_area(struct sc_tree *tree)
{
	MDB_val key = { 4, area_key }, area;
	int rc;

	rc = read_begin(tree, 0);
	if (rc == 0)
		rc = mdb_get(tree->reader, tree->main, &key, &area);
	read_end(tree);
	if (rc == MDB_NOTFOUND)
		return MDB_CORRUPTED;
	if (rc != 0)
		return rc;
	tree->area = area.mv_data;
	tree->area_len = area.mv_size;
	return 0;
}

/*
 * Where the map begins.  LMDB does not say: without MDB_FIXEDMAP, me_mapaddr is
 * NULL.  But the area is too large for a node, so that it follows the header of
 * a page, which holds the number of that page.  NULL: the header is damaged.
 */
static void *
map_base(const struct sc_tree *tree, size_t map_bytes, size_t page_bytes)
{
	uint8_t *page = (uint8_t *)tree->area - RUN_HEADER;
	uint16_t flags;
	size_t number;

	if ((uintptr_t)page % page_bytes != 0)
		return NULL;
	memcpy(&number, page, sizeof(number));
	memcpy(&flags, page + RUN_FLAGS_AT, sizeof(flags));
	if (flags != RUN || number < META_PAGES ||
	    number >= map_bytes / page_bytes ||
	    tree->area_len > map_bytes - number * page_bytes - RUN_HEADER)
		return NULL;
	page -= number * page_bytes;
	return (uintptr_t)page % sc_host_page_size() == 0 ? page : NULL;
}

/*
 * The map holds only ciphertext, but core dumps have its keys, in libcrypto's
 * memory.  LMDB makes a new map when it opens a file or changes the map's size:
 * call this after both.
 */
static enum sesscache_status
hide_map(struct sc_tree *tree)
{
	enum sesscache_status status;
	MDB_envinfo info;
	MDB_stat st;
	void *base;
	int rc;

	rc = mdb_env_info(tree->env, &info);
	if (rc == 0)
		rc = mdb_env_stat(tree->env, &st);
	if (rc != 0)
		return from_lmdb(rc, "a data file");
	base = map_base(tree, info.me_mapsize, st.ms_psize);
	status = base == NULL ? from_lmdb(MDB_CORRUPTED, "a data file") :
				sc_host_hide(base, info.me_mapsize);
	if (status != SESSCACHE_OK)
		tree->area = NULL; /* so that nobody uses the map */
	return status;
}

/*
 * LMDB 0.9 forgets close-on-exec.  Every page is allocated before the map is
 * first written to: a full file system is an error here, not a SIGBUS later.
 */
static int
prepare_file(struct sc_tree *tree, uint64_t bytes)
{
	struct stat st;
	int fd, rc;

	rc = mdb_env_get_fd(tree->env, &fd);
	if (rc == 0 && fstat(fd, &st) != 0)
		rc = errno;
	if (rc != 0)
		return rc;
	tree->dev = st.st_dev;
	tree->ino = st.st_ino;
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	do
		rc = posix_fallocate(fd, 0, (off_t)bytes);
	while (rc == EINTR);
	return rc;
}

enum sesscache_status
sc_tree_open(struct sc_tree **out, const char *path, uint64_t bytes, bool make,
    size_t area_bytes)
{
	enum sesscache_status status;
	struct sc_tree *tree;
	int rc;

	*out = NULL;
	tree = calloc(1, sizeof(*tree));
	if (tree == NULL)
		return sc_fail(SESSCACHE_ENOMEM, "out of memory");
	rc = mdb_env_create(&tree->env);
	if (rc == 0)
		rc = mdb_env_set_maxdbs(tree->env, QUEUES + 2);
	if (rc == 0)
		rc = mdb_env_set_mapsize(tree->env, bytes);
	if (rc == 0)
		rc = mdb_env_open(tree->env, path, ENV_FLAGS, 0600);
	if (rc == 0)
		rc = prepare_file(tree, bytes);
	if (rc == 0)
		rc = blame_file(open_trees(tree, make, area_bytes));
	if (rc == 0)
		rc = blame_file(find_area(tree));
	if (rc == MDB_NOTFOUND)
		rc = MDB_CORRUPTED; /* a tree is missing */
	status = rc == 0 ? hide_map(tree) : from_lmdb(rc, "a data file");
	if (status != SESSCACHE_OK)
		sc_tree_close(tree);
	else
		*out = tree;
	return status;
}

void
sc_tree_close(struct sc_tree *tree)
{
	if (tree == NULL)
		return;
	if (tree->reader != NULL)
		mdb_txn_abort(tree->reader);
	if (tree->env != NULL)
		mdb_env_close(tree->env);
	free(tree);
}

int
sc_tree_fd(const struct sc_tree *tree)
{
	int fd = -1;

	mdb_env_get_fd(tree->env, &fd);
	return fd;
}

bool
sc_tree_stat(const struct sc_tree *tree, struct stat *st)
{
	return fstat(sc_tree_fd(tree), st) == 0 && st->st_dev == tree->dev &&
	    st->st_ino == tree->ino;
}

/*
 * Whether so much can be mapped: LMDB gives up the old map before it tries,
 * and would go on using it if that failed.  It would also cut whatever file
 * has the descriptor by then, in a process that closes what it does not know.
 */
static int
try_map(const struct sc_tree *tree, uint64_t bytes)
{
	struct stat st;
	void *map;

	if (!sc_tree_stat(tree, &st))
		return EBADF;
	map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, sc_tree_fd(tree), 0);
	if (map == MAP_FAILED)
		return errno;
	munmap(map, bytes);
	return 0;
}

enum sesscache_status
sc_tree_remap(struct sc_tree *tree, uint64_t bytes)
{
	int rc;

	read_end(tree);
	tree->area = NULL;
	rc = tree->lost ? ENOMEM : try_map(tree, bytes);
	if (rc == 0) {
		rc = mdb_env_set_mapsize(tree->env, bytes);
		tree->lost = rc != 0;
	}
	if (rc == 0)
		rc = blame_file(find_area(tree));
	return rc == 0 ? hide_map(tree) : from_lmdb(rc, "mapping a data file");
}

void *
sc_tree_area(const struct sc_tree *tree, size_t *len)
{
	*len = tree->area_len;
	return tree->area;
}

void
sc_tree_forget(struct sc_tree *tree)
{
	/* Whatever was half done, a reset and a renewal set all of it. */
	if (tree->reader != NULL)
		mdb_txn_reset(tree->reader);
	tree->reader_live = false;
}

/* --- reading ------------------------------------------------------------- */

/* Add a piece to what was gathered. */
static int
append(uint8_t *buf, size_t size, size_t *len, const MDB_val *piece)
{
	if (*len + piece->mv_size > size)
		return ERANGE;
	memcpy(buf + *len, piece->mv_data, piece->mv_size);
	*len += piece->mv_size;
	return 0;
}

/* The pieces after the first need a cursor, which LMDB allocates: only
 * records of CHUNK bytes or more pay for it. */
static int
gather_rest(struct sc_tree *tree, uint64_t seq, uint8_t *buf, size_t size,
    size_t *len)
{
	uint64_t number = to_key(seq, 1);
	MDB_val key = key_val(&number), val;
	MDB_cursor *cursor = NULL;
	MDB_cursor_op op = MDB_SET_KEY;
	int rc;

	rc = mdb_cursor_open(tree->reader, tree->pieces, &cursor);
	if (rc != 0)
		return rc;
	do {
		rc = mdb_cursor_get(cursor, &key, &val, op);
		if (rc == 0 && val_u64(&key) != number++)
			rc = MDB_CORRUPTED;
		if (rc == 0)
			rc = append(buf, size, len, &val);
		op = MDB_NEXT;
	} while (rc == 0 && val.mv_size == CHUNK);
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

/* A record, given its first piece. */
static int
gather(struct sc_tree *tree, uint64_t seq, const MDB_val *first, uint8_t *buf,
    size_t size, size_t *len)
{
	int rc;

	*len = 0;
	rc = append(buf, size, len, first);
	if (rc == 0 && first->mv_size >= CHUNK)
		rc = gather_rest(tree, seq, buf, size, len);
	return rc;
}

static enum sesscache_status
from_read(int rc)
{
	if (rc == ERANGE)
		return SESSCACHE_ETOOBIG;
	return from_lmdb(blame_file(rc), "reading a data file");
}

enum sesscache_status
sc_tree_read(struct sc_tree *tree, uint32_t commits, uint64_t seq, uint8_t *buf,
    size_t size, size_t *len, enum sesscache_queue *queue)
{
	uint64_t first = to_key(seq, 0);
	MDB_val key = key_val(&first), val;
	int rc;

	rc = read_begin(tree, commits);
	if (rc != 0)
		return from_read(rc);
	*queue = SESSCACHE_NEWCOMER;
	rc = mdb_get(tree->reader, tree->queues[*queue], &key, &val);
	if (rc == MDB_NOTFOUND) {
		*queue = SESSCACHE_REGULAR;
		rc = mdb_get(tree->reader, tree->queues[*queue], &key, &val);
	}
	if (rc == 0)
		rc = gather(tree, seq, &val, buf, size, len);
	return from_read(rc);
}

enum sesscache_status
sc_tree_find_alias(struct sc_tree *tree, uint32_t commits, uint64_t alias,
    uint64_t *seq)
{
	MDB_val key = key_val(&alias), val;
	int rc;

	rc = read_begin(tree, commits);
	if (rc == 0)
		rc = mdb_get(tree->reader, tree->aliases, &key, &val);
	if (rc == 0)
		*seq = val_u64(&val);
	return from_read(rc);
}

enum sesscache_status
sc_tree_read_from(struct sc_tree *tree, uint32_t commits,
    enum sesscache_queue queue, uint64_t *seq, uint8_t *buf, size_t size,
    size_t *len)
{
	uint64_t first = to_key(*seq, 0);
	MDB_val key = key_val(&first), val;
	MDB_cursor *cursor = NULL;
	int rc;

	rc = read_begin(tree, commits);
	if (rc == 0)
		rc = mdb_cursor_open(tree->reader, tree->queues[queue],
		    &cursor);
	if (rc != 0)
		return from_read(rc);
	rc = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
	if (rc == 0 && val_u64(&key) < first)
		rc = MDB_CORRUPTED; /* or a scan would go round for ever */
	if (rc == 0) {
		*seq = key_seq(val_u64(&key));
		rc = gather(tree, *seq, &val, buf, size, len);
	}
	mdb_cursor_close(cursor);
	return from_read(rc);
}

/* Move the cursor to the last record before a number. */
static int
step_before(MDB_cursor *cursor, uint64_t seq, MDB_val *key, MDB_val *val)
{
	uint64_t at = to_key(seq, 0);
	int rc;

	*key = key_val(&at);
	rc = mdb_cursor_get(cursor, key, val, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(cursor, key, val, MDB_LAST);
	else if (rc == 0)
		rc = mdb_cursor_get(cursor, key, val, MDB_PREV);
	return rc;
}

enum sesscache_status
sc_tree_read_before(struct sc_tree *tree, uint32_t commits,
    enum sesscache_queue queue, uint64_t *seq, uint8_t *buf, size_t size,
    size_t *len)
{
	MDB_cursor *cursor = NULL;
	MDB_val key, val;
	int rc;

	rc = read_begin(tree, commits);
	if (rc == 0)
		rc = mdb_cursor_open(tree->reader, tree->queues[queue],
		    &cursor);
	if (rc != 0)
		return from_read(rc);
	rc = step_before(cursor, *seq, &key, &val);
	if (rc == 0) {
		*seq = key_seq(val_u64(&key));
		rc = gather(tree, *seq, &val, buf, size, len);
	}
	mdb_cursor_close(cursor);
	return from_read(rc);
}

static int
add_pages(MDB_txn *txn, MDB_dbi dbi, MDB_stat *st, uint64_t *pages)
{
	int rc = mdb_stat(txn, dbi, st);

	if (rc == 0)
		*pages += st->ms_branch_pages + st->ms_leaf_pages +
		    st->ms_overflow_pages;
	return rc;
}

static int
usage_of(struct sc_tree *tree, MDB_txn *txn, struct sc_tree_usage *usage)
{
	const MDB_dbi others[] = { 0 /* LMDB's list of free pages */,
		tree->main, tree->pieces };
	MDB_envinfo info;
	MDB_stat st;
	size_t i;
	int rc = 0, q;

	usage->pages_used = 2; /* the meta pages */
	usage->alias_pages = 0;
	for (i = 0; rc == 0 && i < sizeof(others) / sizeof(others[0]); i++)
		rc = add_pages(txn, others[i], &st, &usage->pages_used);
	for (q = 0; rc == 0 && q < QUEUES; q++) {
		rc = add_pages(txn, tree->queues[q], &st, &usage->pages_used);
		if (rc == 0)
			usage->records[q] = st.ms_entries;
	}
	if (rc == 0)
		rc = add_pages(txn, tree->aliases, &st, &usage->alias_pages);
	if (rc == 0)
		rc = mdb_env_info(tree->env, &info);
	if (rc != 0)
		return rc;
	usage->pages_used += usage->alias_pages;
	usage->page_bytes = st.ms_psize;
	usage->pages = info.me_mapsize / st.ms_psize;
	return 0;
}

enum sesscache_status
sc_tree_usage(struct sc_tree *tree, uint32_t commits,
    struct sc_tree_usage *usage)
{
	int rc;

	rc = read_begin(tree, commits);
	if (rc == 0)
		rc = usage_of(tree, tree->reader, usage);
	return from_read(rc);
}

/* --- writing ------------------------------------------------------------- */

static enum sesscache_status
from_write(int rc)
{
	return from_lmdb(blame_file(rc), "writing a data file");
}

enum sesscache_status
sc_tree_begin(struct sc_tree *tree, struct sc_write **out)
{
	int rc;

	*out = NULL;
	rc = mdb_txn_begin(tree->env, NULL, 0, &tree->write.txn);
	if (rc == 0) {
		tree->write.tree = tree;
		*out = &tree->write;
	}
	return from_write(rc);
}

/* The transaction, which is over for its owner with the next call. */
static MDB_txn *
finish(struct sc_write *write)
{
	MDB_txn *txn = write->txn;
	int i;

	for (i = 0; i < QUEUES; i++) {
		if (write->cursors[i] != NULL)
			mdb_cursor_close(write->cursors[i]);
		write->cursors[i] = NULL;
	}
	write->txn = NULL; /* commit consumes it even when it fails */
	return txn;
}

enum sesscache_status
sc_tree_commit(struct sc_write *write)
{
	return from_write(mdb_txn_commit(finish(write)));
}

void
sc_tree_abort(struct sc_write *write)
{
	if (write != NULL && write->txn != NULL)
		mdb_txn_abort(finish(write));
}

static int
cursor_of(struct sc_write *write, enum sesscache_queue queue,
    MDB_cursor **cursor)
{
	int rc = 0;

	if (write->cursors[queue] == NULL)
		rc = mdb_cursor_open(write->txn, write->tree->queues[queue],
		    &write->cursors[queue]);
	*cursor = write->cursors[queue];
	return rc;
}

/* At the end, if that is its place. */
static int
put_piece(struct sc_write *write, MDB_dbi dbi, uint64_t number, MDB_val *piece)
{
	MDB_val key = key_val(&number);
	int rc;

	rc = mdb_put(write->txn, dbi, &key, piece, MDB_APPEND);
	if (rc == MDB_KEYEXIST)
		rc = mdb_put(write->txn, dbi, &key, piece, 0);
	return rc;
}

enum sesscache_status
sc_tree_put(struct sc_write *write, enum sesscache_queue queue, uint64_t seq,
    struct sc_span record)
{
	MDB_dbi dbi = write->tree->queues[queue];
	unsigned chunk = 0;
	MDB_val piece;
	size_t at = 0;
	int rc;

	do {
		piece.mv_size = record.len - at;
		if (piece.mv_size > CHUNK)
			piece.mv_size = CHUNK;
		/* LMDB copies from it and does not write to it. */
		piece.mv_data = (void *)(uintptr_t)(record.bytes + at);
		at += piece.mv_size;
		rc = put_piece(write, dbi, to_key(seq, chunk++), &piece);
		dbi = write->tree->pieces;
	} while (rc == 0 && piece.mv_size == CHUNK);
	return from_write(rc);
}

enum sesscache_status
sc_tree_delete(struct sc_write *write, enum sesscache_queue queue, uint64_t seq)
{
	MDB_dbi dbi = write->tree->queues[queue];
	unsigned chunk = 0;
	uint64_t number;
	MDB_val key, val;
	size_t len;
	int rc;

	do {
		number = to_key(seq, chunk++);
		key = key_val(&number);
		rc = mdb_get(write->txn, dbi, &key, &val);
		len = rc == 0 ? val.mv_size : 0;
		if (rc == 0)
			rc = mdb_del(write->txn, dbi, &key, NULL);
		dbi = write->tree->pieces;
	} while (rc == 0 && len >= CHUNK);
	if (rc == MDB_NOTFOUND && chunk > 1)
		rc = 0; /* its last pieces were missing: they are gone now */
	return from_write(rc);
}

enum sesscache_status
sc_tree_put_alias(struct sc_write *write, uint64_t alias, uint64_t seq)
{
	MDB_val key = key_val(&alias), val = key_val(&seq);

	return from_write(
	    mdb_put(write->txn, write->tree->aliases, &key, &val, 0));
}

enum sesscache_status
sc_tree_delete_alias(struct sc_write *write, uint64_t alias, uint64_t seq)
{
	MDB_val key = key_val(&alias), val;
	int rc;

	rc = mdb_get(write->txn, write->tree->aliases, &key, &val);
	if (rc == 0 && val_u64(&val) == seq)
		rc = mdb_del(write->txn, write->tree->aliases, &key, NULL);
	return rc == MDB_NOTFOUND ? SESSCACHE_OK : from_write(rc);
}

enum sesscache_status
sc_tree_first(struct sc_write *write, enum sesscache_queue queue, uint64_t *seq,
    struct sc_span *head)
{
	uint64_t at = to_key(*seq, 0);
	MDB_val key = key_val(&at), val;
	MDB_cursor *cursor;
	int rc;

	rc = cursor_of(write, queue, &cursor);
	if (rc == 0)
		rc = mdb_cursor_get(cursor, &key, &val, MDB_SET_RANGE);
	if (rc == 0) {
		*seq = key_seq(val_u64(&key));
		*head = (struct sc_span){ val.mv_data, val.mv_size };
	}
	return from_write(rc);
}

enum sesscache_status
sc_tree_last(struct sc_write *write, enum sesscache_queue queue, uint64_t *seq)
{
	MDB_cursor *cursor;
	MDB_val key, val;
	int rc;

	*seq = 0;
	rc = cursor_of(write, queue, &cursor);
	if (rc == 0)
		rc = mdb_cursor_get(cursor, &key, &val, MDB_LAST);
	if (rc == 0)
		*seq = key_seq(val_u64(&key));
	return rc == MDB_NOTFOUND ? SESSCACHE_OK : from_write(rc);
}

enum sesscache_status
sc_tree_move(struct sc_write *write, enum sesscache_queue from,
    enum sesscache_queue to, uint64_t seq)
{
	uint64_t number = to_key(seq, 0);
	MDB_val key = key_val(&number), val;
	uint8_t piece[CHUNK];
	int rc;

	rc = mdb_get(write->txn, write->tree->queues[from], &key, &val);
	if (rc == 0 && val.mv_size > sizeof(piece))
		rc = MDB_CORRUPTED;
	if (rc != 0)
		return from_write(rc);
	/* The put may reuse the page that the piece is on. */
	memcpy(piece, val.mv_data, val.mv_size);
	val.mv_data = piece;
	rc = mdb_del(write->txn, write->tree->queues[from], &key, NULL);
	if (rc == 0)
		rc = mdb_put(write->txn, write->tree->queues[to], &key, &val,
		    0);
	explicit_bzero(piece, val.mv_size); /* the stack is dumped */
	return from_write(rc);
}

enum sesscache_status
sc_tree_peek(struct sc_write *write, enum sesscache_queue queue, uint64_t seq,
    struct sc_span *head)
{
	uint64_t at = to_key(seq, 0);
	MDB_val key = key_val(&at), val;
	int rc;

	rc = mdb_get(write->txn, write->tree->queues[queue], &key, &val);
	if (rc == 0)
		*head = (struct sc_span){ val.mv_data, val.mv_size };
	return from_write(rc);
}

enum sesscache_status
sc_tree_written(struct sc_write *write, struct sc_tree_usage *usage)
{
	return from_write(usage_of(write->tree, write->txn, usage));
}
