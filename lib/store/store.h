/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A crash-safe ordered map shared by processes: shards of records in two
 * queues, keyed by sequence number, within a bound on disk.  Knows nothing of
 * TLS, sealing or time; what must go when room is needed, a callback decides.
 *
 * Each shard has two locks.  The gate is held for half a microsecond by
 * lookups, and by stores, which go to a journal.  The work lock is held by
 * whoever writes a journal to the tree: lookups go on meanwhile, and a process
 * that is stopped there holds up nobody but the stores of one shard.  Order:
 * work lock, then gate.
 *
 * Safe for threads; the maps survive fork().
 */
#ifndef SC_STORE_STORE_H
#define SC_STORE_STORE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "platform/lock.h"
#include "store/tree.h"

struct sc_store;
struct sc_room; /* a shard while room is made in it */

enum {
	SC_STORE_MAX_SHARDS = 64,
	SC_STORE_CACHE_BYTES = 32768, /* of the control file, for the cache */
};

/* No shard reaches this sequence number in its life. */
#define SC_STORE_SEQ_END (UINT64_C(1) << 56)

/* Bytes of the smallest cache. */
#define SC_STORE_MIN_BYTES (UINT64_C(1) << 20)

enum sc_count {
	SC_COUNT_STORED,
	SC_COUNT_HITS, /* also by sc_store_hit() */
	SC_COUNT_MISSES,
	SC_COUNT_FOREIGN,
	SC_COUNT_TAKEN,
	SC_COUNT_REMOVED,
	SC_COUNT_EXPIRED,
	SC_COUNT_EVICTED_NEWCOMERS,
	SC_COUNT_EVICTED_REGULARS,
	SC_COUNT_PROMOTED,
	SC_COUNT_TOO_BIG,
	SC_COUNT_BUSY,
	SC_COUNT_STALLED,
	SC_COUNT_REPAIRED,
	SC_COUNT_UNREADABLE,
	SC_COUNT_FAILED,
	SC_COUNT_TICKETS_ISSUED,
	SC_COUNT_TICKETS_ACCEPTED,
	SC_COUNT_TICKETS_REFUSED,
	SC_COUNT_REALM_REFUSED,
	SC_COUNT_KEY_ROTATIONS,
	SC_COUNT_REMADE,
	SC_COUNT_UNDECODABLE,
	SC_COUNTS
};

/*
 * The first byte of a record is its owner's, but for this bit: eight bytes
 * follow it that are the record's alias, big-endian.
 */
enum { SC_RECORD_ALIASED = 0x80 };

/*
 * Make room: remove records until sc_room_wanted() says that it is enough.
 * Called within the transaction that needs it, with the work lock held.
 */
typedef enum sesscache_status sc_make_room(struct sc_room *room, uint32_t now);

struct sc_store_config {
	const char *dir;
	uint64_t size_bytes;
	bool resize;     /* to size_bytes, if it has another size */
	bool create;     /* make, resize or repair; else only open */
	uint32_t shards; /* 0: by CPUs and size */
	bool owner_given;
	uid_t owner_uid;
	gid_t owner_gid;
	/* Fill the cache's zeroed part of a new control file. */
	enum sesscache_status (*init)(void *part);
	/* Nobody else has the cache: make the locks of that part anew;
	 * SESSCACHE_ECORRUPT if it is damaged.  NULL: nothing to do. */
	enum sesscache_status (*revive)(void *part);
	sc_make_room *make_room;
};

struct sc_store_opened {
	bool created;
	bool resized;
	char repaired[160]; /* "" or why something was made anew */
};

/*
 * Statuses as sesscache_open().  A directory that is open in this process
 * already gives the same store, with one owner more.
 */
enum sesscache_status sc_store_open(struct sc_store **out,
    const struct sc_store_config *config, struct sc_store_opened *opened)
    SESSCACHE_MUST_CHECK;
void sc_store_close(struct sc_store *store);

unsigned sc_store_shards(const struct sc_store *store);
uint64_t sc_store_size(const struct sc_store *store); /* bytes, the bound */
void *sc_store_cache_part(const struct sc_store *store);
const uint8_t *sc_store_instance(const struct sc_store *store); /* 16 bytes */

/* A shard for the next record: in turn, those that are not busy first. */
unsigned sc_store_pick(struct sc_store *store);
/* One to count with what belongs to none. */
unsigned sc_store_any(const struct sc_store *store);
uint64_t sc_store_next_seq(struct sc_store *store, unsigned shard);
/* A number that no other write of the shard has, as near above seq as can be. */
uint64_t sc_store_next_write(struct sc_store *store, unsigned shard,
    uint64_t seq);

void sc_store_count(struct sc_store *store, unsigned shard, enum sc_count count,
    uint64_t n);
uint64_t sc_store_counted(const struct sc_store *store, unsigned shard,
    enum sc_count count);

/*
 * Enter a shard's gate, waiting wait_ms at most.  One that is damaged is made
 * anew, empty, if that can be now.  Returns SESSCACHE_OK, SESSCACHE_EBUSY
 * (counted), SESSCACHE_ECORRUPT, SESSCACHE_ENOMEM or SESSCACHE_ESYS (it was
 * made anew and cannot be mapped).
 */
enum sesscache_status sc_store_enter(struct sc_store *store, unsigned shard,
    unsigned wait_ms) SESSCACHE_MUST_CHECK;
void sc_store_leave(struct sc_store *store, unsigned shard);

/* Inside the gate.  Statuses as sc_tree_read(). */
enum sesscache_status sc_store_read(struct sc_store *store, unsigned shard,
    uint64_t seq, uint8_t *buf, size_t size, size_t *len,
    enum sesscache_queue *queue) SESSCACHE_MUST_CHECK;
enum sesscache_status sc_store_find_alias(struct sc_store *store,
    unsigned shard, uint64_t alias, uint64_t *seq) SESSCACHE_MUST_CHECK;
/*
 * Mark a record as one that is used, and count a hit; or mark it and leave the
 * hit to the caller; or only mark it.  One that its first use spends is the
 * first to go: sc_room_spent().
 */
void sc_store_hit(struct sc_store *store, unsigned shard, uint64_t seq,
    bool spent);
void sc_store_use(struct sc_store *store, unsigned shard, uint64_t seq,
    bool spent);
void sc_store_mark(struct sc_store *store, unsigned shard, uint64_t seq);
bool sc_store_is_marked(struct sc_store *store, unsigned shard, uint64_t seq);

struct sc_stored {
	enum sesscache_queue queue;
	uint64_t seq;
	uint64_t alias;    /* 0: none */
	uint64_t replaces; /* number of a record to remove with it; 0: none */
	struct sc_span record;
};

/*
 * Inside the gate: store, or remove.  SESSCACHE_EBUSY: no room in the journal;
 * leave the gate, sc_store_flush(), and come again.
 */
enum sesscache_status sc_store_put(struct sc_store *store, unsigned shard,
    const struct sc_stored *stored) SESSCACHE_MUST_CHECK;
enum sesscache_status sc_store_remove(struct sc_store *store, unsigned shard,
    uint64_t seq) SESSCACHE_MUST_CHECK;

/* Whether sc_store_put() can ever take a record of this length. */
bool sc_store_is_short(size_t record_len);

/*
 * Outside the gate: write the journal to the tree, making room.  The status is
 * as that of sc_store_enter().
 */
enum sc_flush {
	SC_FLUSH_FULL, /* if it is full: another thread may have been first */
	SC_FLUSH_ALL,
};
enum sesscache_status sc_store_flush(struct sc_store *store, unsigned shard,
    enum sc_flush what, uint32_t now) SESSCACHE_MUST_CHECK;

/*
 * Outside the gate: store a record that is not short, and the journal with
 * it.  absent, if it is not NULL, is asked inside the gate just before the
 * commit; SESSCACHE_EXISTS if it says no.
 */
enum sesscache_status sc_store_put_long(struct sc_store *store, unsigned shard,
    const struct sc_stored *stored, uint32_t now, bool (*absent)(void *arg),
    void *arg) SESSCACHE_MUST_CHECK;

/*
 * Inside the gate, of what is in the tree (so flush first): the first record
 * of a queue at or after *seq.
 */
enum sesscache_status sc_store_next(struct sc_store *store, unsigned shard,
    enum sesscache_queue queue, uint64_t *seq, uint8_t *buf, size_t size,
    size_t *len) SESSCACHE_MUST_CHECK;
enum sesscache_status sc_store_usage(struct sc_store *store, unsigned shard,
    struct sc_tree_usage *usage) SESSCACHE_MUST_CHECK;

/*
 * Outside the gate: remove up to some hundred records, whichever; *removed
 * counts, and is 0 when none is left.
 */
enum sesscache_status sc_store_drop(struct sc_store *store, unsigned shard,
    uint64_t *removed) SESSCACHE_MUST_CHECK;

/* For sc_make_room. */
bool sc_room_wanted(struct sc_room *room);
uint64_t sc_room_records(struct sc_room *room, enum sesscache_queue queue);
enum sesscache_status sc_room_first(struct sc_room *room,
    enum sesscache_queue queue, uint64_t *seq, struct sc_span *head)
    SESSCACHE_MUST_CHECK;
/*
 * The next record that was used and that its use spends, by what
 * sc_store_hit() was told: look at it before it is deleted, for another may
 * have its number by now.  *head as that of sc_room_first().  SESSCACHE_MISS:
 * none, or enough for one transaction.
 */
enum sesscache_status sc_room_spent(struct sc_room *room,
    enum sesscache_queue *queue, uint64_t *seq, struct sc_span *head)
    SESSCACHE_MUST_CHECK;
enum sesscache_status sc_room_delete(struct sc_room *room,
    enum sesscache_queue queue, uint64_t seq, enum sc_count why)
    SESSCACHE_MUST_CHECK;
enum sesscache_status sc_room_promote(struct sc_room *room, uint64_t seq)
    SESSCACHE_MUST_CHECK;
bool sc_room_take_mark(struct sc_room *room, uint64_t seq); /* and clear it */

/* Where the hand is: a sequence number, and how many records it has passed. */
struct sc_hand {
	uint64_t seq;
	uint64_t passed;
};
struct sc_hand *sc_room_hand(struct sc_room *room);

#endif
