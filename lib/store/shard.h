/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of store/ share: the layout of the control file, and of the
 * area in each shard's own file.
 */
#ifndef SC_STORE_SHARD_H
#define SC_STORE_SHARD_H

#include <pthread.h>

#include "platform/dir.h"
#include "platform/fork.h"
#include "platform/host.h"
#include "store/journal.h"
#include "store/spent.h"
#include "store/store.h"

#define SC_CONTROL_MAGIC "sesscache-ctl\r\n\032"

enum {
	SC_FORMAT = 3,
	SC_BYTE_ORDER = 0x01020304,
	SC_CONTROL_CACHE_AT = 4096,
	SC_CONTROL_SHARDS_AT = SC_CONTROL_CACHE_AT + SC_STORE_CACHE_BYTES,
};

/*
 * The control file, in the layout of this machine: locks cannot be in any
 * other.  Until the sum, nothing changes after it was made.
 */
struct sc_control {
	char magic[16];
	uint32_t format;
	uint32_t byte_order;
	char boot_id[SC_BOOT_ID_LEN];
	uint32_t lmdb_format;
	uint32_t page_bytes;
	uint32_t lock_bytes;
	uint32_t state_bytes;
	uint32_t shards;
	uint8_t instance[16];
	uint64_t sum;
	_Atomic uint64_t size_bytes; /* of all files; changed by a resize */
};

/* One shard, in the control file. */
struct sc_state {
	_Alignas(64) struct sc_lock gate;
	_Atomic uint64_t hits; /* guarded by the gate, and beside it: one cache
				  line to fetch from another processor */
	_Alignas(64) struct sc_lock work;
	_Alignas(64) _Atomic uint64_t next_seq;
	_Atomic uint64_t last_write;
	_Alignas(64) _Atomic uint32_t commits; /* write transactions */
	_Atomic uint32_t generation; /* how often the file was made anew */
	_Atomic uint32_t broken;     /* the file is damaged, or half made */
	_Atomic uint32_t deaths;     /* in its locks, since it was verified */
	_Atomic uint64_t file_bytes;
	_Alignas(64) _Atomic uint64_t counts[SC_COUNTS];
};

/* The area in the shard's own file, guarded by the gate unless it says. */
struct sc_area {
	uint8_t instance[16]; /* of the control file it belongs to */
	uint32_t shard;
	_Atomic uint32_t active; /* which journal takes what comes */
	struct sc_hand hand;     /* guarded by the work lock */
	struct sc_spent spent;   /* pushed inside the gate, taken with the
				    work lock */
	struct sc_journal journals[2];
	_Atomic uint8_t marks[]; /* one bit a record, by sequence number */
};

/* One shard, in this process. */
struct sc_shard {
	struct sc_tree *tree;
	struct sc_state *state; /* in the control file */
	struct sc_area *area;   /* in the tree's file */
	uint64_t mark_bits;     /* of the area */
	uint32_t generation;    /* the one that is mapped */
	bool late;              /* not open yet: the gate could not be had */
	atomic_uint refused;    /* calls, because it is damaged */
	pthread_mutex_t work;   /* held with the work lock; fork() waits */
};

struct sc_store {
	struct sc_dir dir;
	int control_fd;
	dev_t dev; /* of the control file: who it is */
	ino_t ino;
	struct sc_control *control;
	size_t control_bytes;
	unsigned shards;
	unsigned refs; /* guarded by the fork lock, as the list */
	struct sc_store *next;
	struct sc_fork_hook hook;
	pthread_mutex_t remap; /* held while a map changes; fork() waits */
	sc_make_room *make_room;
	atomic_bool may_mend; /* somebody opened it who may make it, too */
	struct sc_shard shard[SC_STORE_MAX_SHARDS];
};

/* The alias of a record, from its first bytes; 0: it has none. */
uint64_t sc_shard_alias(struct sc_span head);

/* Bytes of the area of a file of this size. */
size_t sc_shard_area_bytes(uint64_t file_bytes);

/* What this process has of a shard's file; there may be nothing. */
void sc_shard_close(struct sc_shard *sh);

/* Take the area of the tree that is mapped now. */
void sc_shard_take_area(struct sc_shard *sh);

/* The name of a shard's file. */
void sc_shard_name(char name[32], unsigned shard);

/*
 * Open a shard's file, as the control file describes it.  SESSCACHE_EBUSY: a
 * process is stopped in its gate; then it may be opened late.
 */
enum sesscache_status sc_shard_open(struct sc_store *store, unsigned shard)
    SESSCACHE_MUST_CHECK;

/*
 * The same inside the gate, for a process that has it not open: once, and once
 * again whenever another process has made it anew.
 */
enum sesscache_status sc_shard_open_late(struct sc_store *store, unsigned shard)
    SESSCACHE_MUST_CHECK;

/*
 * Make a shard's file anew with this size; keep: with the newest records that
 * fit.  The caller holds the directory's lock.  Statuses as sc_store_open().
 */
enum sesscache_status sc_shard_remake(struct sc_store *store, unsigned shard,
    uint64_t file_bytes, bool keep) SESSCACHE_MUST_CHECK;

/*
 * Outside the gate: make a damaged shard anew, empty, while the cache serves.
 * SESSCACHE_OK: it is whole.  SESSCACHE_EBUSY: this handle may not, or somebody
 * else is opening the cache or writing there, for whom it does not wait.
 * Otherwise as sc_store_open().
 */
enum sesscache_status sc_shard_mend(struct sc_store *store, unsigned shard)
    SESSCACHE_MUST_CHECK;

/*
 * With a lock of the shard: if some have died in its locks, the file may be
 * what kills them, and is verified.  SESSCACHE_OK or SESSCACHE_ECORRUPT.
 */
enum sesscache_status sc_shard_suspect(struct sc_store *store, unsigned shard)
    SESSCACHE_MUST_CHECK;

/* Inside the gate: map the shard's file as it is now. */
enum sesscache_status sc_shard_remap(struct sc_store *store, unsigned shard)
    SESSCACHE_MUST_CHECK;

/* Take and release the work lock. */
enum sesscache_status sc_shard_work(struct sc_store *store, unsigned shard,
    unsigned wait_ms) SESSCACHE_MUST_CHECK;
void sc_shard_rest(struct sc_store *store, unsigned shard);

/* Take it if nobody has it; that somebody has is not counted. */
bool sc_shard_try_work(struct sc_store *store, unsigned shard);

/* Whether a directory still is that of this store. */
bool sc_store_is_in(const struct sc_store *store, const struct sc_dir *dir);

/* In a child of fork(): start its round over the shards elsewhere. */
void sc_shard_in_child(void);

/* Inside the gate, after its owner died there: count what it may have done. */
void sc_shard_repaired(struct sc_store *store, unsigned shard);

/*
 * Note that a file turned out to be damaged, and name it in the sentence of the
 * failure; returns the status.
 */
enum sesscache_status sc_shard_check(struct sc_store *store, unsigned shard,
    enum sesscache_status status) SESSCACHE_MUST_CHECK;

#endif
