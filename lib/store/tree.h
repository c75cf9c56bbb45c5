/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One shard's file: an LMDB environment with two trees of records keyed by
 * sequence number, a tree of aliases, and an area of plain shared memory that
 * lives in the same file.  The only door to LMDB.  Locks nothing: its callers
 * hold the shard's locks.
 *
 * A record longer than a page holds well is kept in pieces of CHUNK bytes
 * under (sequence number, piece): every page of the trees is then one page,
 * and no store can fail for want of adjoining free ones.
 */
#ifndef SC_STORE_TREE_H
#define SC_STORE_TREE_H

#include "status.h"

struct stat;
struct sc_tree;
struct sc_write; /* one write transaction */

struct sc_span {
	const uint8_t *bytes;
	size_t len;
};

enum { SC_TREE_MAX_RECORD = 31 * 1024 }; /* bytes: 16 pieces hold it */

/* The major version of the format of LMDB's files. */
unsigned sc_tree_format(void);

/*
 * Open the environment in a file that is there, path leading to it.  make:
 * the file is empty; lay it out with an area of this size, zeroed.  All of
 * its bytes are allocated then.  Returns SESSCACHE_OK, SESSCACHE_ENOMEM,
 * SESSCACHE_ENOSPC, SESSCACHE_ESYS, SESSCACHE_EFORMAT or SESSCACHE_ECORRUPT.
 */
enum sesscache_status sc_tree_open(struct sc_tree **out, const char *path,
    uint64_t bytes, bool make, size_t area_bytes) SESSCACHE_MUST_CHECK;
void sc_tree_close(struct sc_tree *tree);

int sc_tree_fd(const struct sc_tree *tree);

/* false: the process has closed its descriptor, and may have used it anew. */
bool sc_tree_stat(const struct sc_tree *tree, struct stat *st);

/* Map the file anew, after another process has made it anew. */
enum sesscache_status sc_tree_remap(struct sc_tree *tree, uint64_t bytes)
    SESSCACHE_MUST_CHECK;

/* The area, valid until the next remap; *len is its size. */
void *sc_tree_area(const struct sc_tree *tree, size_t *len);

/*
 * Reading.  commits counts the write transactions of the file by all
 * processes: while it is the same, what the last read found out is reused.
 */

/*
 * Copy a record to buf; the status is SESSCACHE_OK, SESSCACHE_MISS,
 * SESSCACHE_ETOOBIG (it has more than size bytes) or SESSCACHE_ECORRUPT.
 */
enum sesscache_status sc_tree_read(struct sc_tree *tree, uint32_t commits,
    uint64_t seq, uint8_t *buf, size_t size, size_t *len,
    enum sesscache_queue *queue) SESSCACHE_MUST_CHECK;

enum sesscache_status sc_tree_find_alias(struct sc_tree *tree, uint32_t commits,
    uint64_t alias, uint64_t *seq) SESSCACHE_MUST_CHECK;

/*
 * The first record of a queue at or after *seq, as sc_tree_read(); *seq
 * becomes its number.
 */
enum sesscache_status sc_tree_read_from(struct sc_tree *tree, uint32_t commits,
    enum sesscache_queue queue, uint64_t *seq, uint8_t *buf, size_t size,
    size_t *len) SESSCACHE_MUST_CHECK;

/* The last record of a queue before *seq; likewise. */
enum sesscache_status sc_tree_read_before(struct sc_tree *tree,
    uint32_t commits, enum sesscache_queue queue, uint64_t *seq, uint8_t *buf,
    size_t size, size_t *len) SESSCACHE_MUST_CHECK;

/* How full it is. */
struct sc_tree_usage {
	uint64_t records[2]; /* by queue */
	uint64_t pages_used;
	uint64_t alias_pages; /* of these */
	uint64_t pages;       /* of the whole file */
	uint64_t page_bytes;
};
enum sesscache_status sc_tree_usage(struct sc_tree *tree, uint32_t commits,
    struct sc_tree_usage *usage) SESSCACHE_MUST_CHECK;

/*
 * In a child of fork(): forget what reading has found out, which another
 * thread of the parent may have been changing.
 */
void sc_tree_forget(struct sc_tree *tree);

/*
 * Writing, one transaction at a time.  After SESSCACHE_OK of begin, exactly
 * one of commit and abort; commit consumes it even if it fails.  After any
 * failure inside, abort.
 */
enum sesscache_status sc_tree_begin(struct sc_tree *tree, struct sc_write **out)
    SESSCACHE_MUST_CHECK;
enum sesscache_status sc_tree_commit(struct sc_write *write)
    SESSCACHE_MUST_CHECK;
void sc_tree_abort(struct sc_write *write);

enum sesscache_status sc_tree_put(struct sc_write *write,
    enum sesscache_queue queue, uint64_t seq, struct sc_span record)
    SESSCACHE_MUST_CHECK;

/* Delete from a queue; SESSCACHE_OK, or SESSCACHE_MISS if it is not there. */
enum sesscache_status sc_tree_delete(struct sc_write *write,
    enum sesscache_queue queue, uint64_t seq) SESSCACHE_MUST_CHECK;

enum sesscache_status sc_tree_put_alias(struct sc_write *write, uint64_t alias,
    uint64_t seq) SESSCACHE_MUST_CHECK;

/* Delete an alias if it leads to seq; it is no failure if not. */
enum sesscache_status sc_tree_delete_alias(struct sc_write *write,
    uint64_t alias, uint64_t seq) SESSCACHE_MUST_CHECK;

/*
 * The first record of a queue at or after *seq: its number, and its first
 * bytes, borrowed until the next write.  SESSCACHE_OK or SESSCACHE_MISS.
 */
enum sesscache_status sc_tree_first(struct sc_write *write,
    enum sesscache_queue queue, uint64_t *seq, struct sc_span *head)
    SESSCACHE_MUST_CHECK;

/* The highest sequence number of a queue, or 0. */
enum sesscache_status sc_tree_last(struct sc_write *write,
    enum sesscache_queue queue, uint64_t *seq) SESSCACHE_MUST_CHECK;

/* Move a record from one queue to the other. */
enum sesscache_status sc_tree_move(struct sc_write *write,
    enum sesscache_queue from, enum sesscache_queue to, uint64_t seq)
    SESSCACHE_MUST_CHECK;

/* The record of this number; likewise. */
enum sesscache_status sc_tree_peek(struct sc_write *write,
    enum sesscache_queue queue, uint64_t seq, struct sc_span *head)
    SESSCACHE_MUST_CHECK;

enum sesscache_status sc_tree_written(struct sc_write *write,
    struct sc_tree_usage *usage) SESSCACHE_MUST_CHECK;

#endif
