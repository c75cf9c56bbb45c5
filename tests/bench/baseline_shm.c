/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Baseline (b), what the caches of web servers do: a hash table of fixed
 * slots in shared memory with a list from the most to the least recently used
 * session, all of it under one process-shared robust mutex.
 *
 * It does less than the library: nothing is sealed, nothing expires, nothing
 * outlives the processes, the slots are exactly as long as the records of the
 * run, and after a process died inside the lock the table starts empty.
 * Otherwise it is done well: no allocation, a slot begins on a cache line with
 * all that a search needs, and who finds the lock taken spins a while, twice
 * as long each time, before he sleeps.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define CACHE_LINE 64 /* bytes */
#define NONE UINT32_MAX
#define SPIN_MAX 2048 /* pauses before the last try */
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

struct slot {
	_Alignas(CACHE_LINE) uint8_t id[BENCH_ID_LEN];
	uint32_t next_in_bucket; /* also in the list of the unused */
	uint32_t newer;          /* in the order of use */
	uint32_t older;
	uint32_t data_len;
	uint8_t data[];
};

struct table {
	pthread_mutex_t lock;
	_Alignas(CACHE_LINE) uint32_t newest;
	uint32_t oldest;
	uint32_t unused; /* the first of them */
	uint32_t slots;
	uint32_t bucket_shift; /* 64 less the bits of a bucket's number */
	size_t slot_bytes;
	size_t total_bytes;
	size_t slots_offset;
	uint32_t buckets[];
};

static struct slot *
slot_at(struct table *table, uint32_t index)
{
	return (struct slot *)(void *)((uint8_t *)table + table->slots_offset +
	    table->slot_bytes * index);
}

/* IDs are random already: eight bytes of one are as good as a hash. */
static uint32_t *
bucket_of(struct table *table, const uint8_t *id)
{
	uint64_t word;

	memcpy(&word, id, sizeof word);
	return &table->buckets[(word * GOLDEN) >> table->bucket_shift];
}

/* --- the lock -------------------------------------------------------------- */

static void
pause_briefly(unsigned times)
{
	while (times-- > 0)
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#else
		atomic_signal_fence(memory_order_seq_cst);
#endif
}

static void
empty(struct table *table)
{
	size_t buckets = (size_t)1 << (64 - table->bucket_shift);
	uint32_t i;

	memset(table->buckets, 0xff, buckets * sizeof(uint32_t)); /* NONE */
	for (i = 0; i < table->slots; i++)
		slot_at(table, i)->next_in_bucket = i + 1 < table->slots ?
		    i + 1 :
		    NONE;
	table->unused = 0;
	table->newest = NONE;
	table->oldest = NONE;
}

static bool
lock(struct table *table)
{
	unsigned spin = 1;
	int rc;

	rc = pthread_mutex_trylock(&table->lock);
	while (rc == EBUSY && spin < SPIN_MAX) {
		pause_briefly(spin);
		spin *= 2;
		rc = pthread_mutex_trylock(&table->lock);
	}
	if (rc == EBUSY)
		rc = pthread_mutex_lock(&table->lock);
	if (rc == EOWNERDEAD) {
		empty(table);
		rc = pthread_mutex_consistent(&table->lock);
	}
	return rc == 0;
}

static void
unlock(struct table *table)
{
	(void)pthread_mutex_unlock(&table->lock);
}

/* --- the table, under the lock --------------------------------------------- */

/* Where the number of the slot with this ID stands; it may be NONE. */
static uint32_t *
find(struct table *table, const uint8_t *id)
{
	uint32_t *link = bucket_of(table, id);

	while (*link != NONE &&
	    memcmp(slot_at(table, *link)->id, id, BENCH_ID_LEN) != 0)
		link = &slot_at(table, *link)->next_in_bucket;
	return link;
}

static void
unlink_from_order(struct table *table, struct slot *slot)
{
	if (slot->newer != NONE)
		slot_at(table, slot->newer)->older = slot->older;
	else
		table->newest = slot->older;
	if (slot->older != NONE)
		slot_at(table, slot->older)->newer = slot->newer;
	else
		table->oldest = slot->newer;
}

static void
link_newest(struct table *table, uint32_t index, struct slot *slot)
{
	slot->newer = NONE;
	slot->older = table->newest;
	if (table->newest != NONE)
		slot_at(table, table->newest)->newer = index;
	else
		table->oldest = index;
	table->newest = index;
}

/* Take the slot that a link names out of the table, to be used again. */
static void
remove_at(struct table *table, uint32_t *link)
{
	uint32_t index = *link;
	struct slot *slot = slot_at(table, index);

	*link = slot->next_in_bucket;
	unlink_from_order(table, slot);
	slot->next_in_bucket = table->unused;
	table->unused = index;
}

static void
insert(struct table *table, const uint8_t *id, const uint8_t *data,
    size_t data_len)
{
	uint32_t *bucket = bucket_of(table, id);
	struct slot *slot;
	uint32_t index;

	if (table->unused == NONE)
		remove_at(table,
		    find(table, slot_at(table, table->oldest)->id));
	index = table->unused;
	slot = slot_at(table, index);
	table->unused = slot->next_in_bucket;
	memcpy(slot->id, id, BENCH_ID_LEN);
	memcpy(slot->data, data, data_len);
	slot->data_len = (uint32_t)data_len;
	slot->next_in_bucket = *bucket;
	*bucket = index;
	link_newest(table, index, slot);
}

/* --- the operations -------------------------------------------------------- */

static int
enter(void *state)
{
	(void)state;
	return 0;
}

static void
leave(void *state)
{
	(void)state;
}

static int
init_lock(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attributes;
	int rc;

	rc = pthread_mutexattr_init(&attributes);
	if (rc == 0) {
		rc = pthread_mutexattr_setpshared(&attributes,
		    PTHREAD_PROCESS_SHARED);
		if (rc == 0)
			rc = pthread_mutexattr_setrobust(&attributes,
			    PTHREAD_MUTEX_ROBUST);
		if (rc == 0)
			rc = pthread_mutex_init(mutex, &attributes);
		(void)pthread_mutexattr_destroy(&attributes);
	}
	return rc;
}

static size_t
round_up(size_t bytes)
{
	return (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static int
make(void **out, const struct bench_shape *shape)
{
	size_t slot_bytes = round_up(sizeof(struct slot) + shape->record_len);
	uint32_t shift = 63;
	struct table *table;
	size_t offset, total;
	int rc = -1;

	/* On average less than one slot a bucket. */
	while ((UINT64_C(1) << (64 - shift)) < shape->records)
		shift--;
	offset = round_up(
	    sizeof *table + ((size_t)1 << (64 - shift)) * sizeof(uint32_t));
	total = offset + slot_bytes * shape->records;
	table = bench_shared_alloc(total);
	if (table != NULL && init_lock(&table->lock) == 0) {
		table->slots = (uint32_t)shape->records;
		table->bucket_shift = shift;
		table->slot_bytes = slot_bytes;
		table->slots_offset = offset;
		table->total_bytes = total;
		empty(table);
		rc = 0;
	} else {
		bench_shared_free(table, total);
		table = NULL;
		(void)bench_fail("shm: no memory or no robust mutexes");
	}
	*out = table;
	return rc;
}

static void
destroy(void *arg)
{
	struct table *table = arg;

	if (table != NULL) {
		(void)pthread_mutex_destroy(&table->lock);
		bench_shared_free(table, table->total_bytes);
	}
}

static enum bench_answer
put(void *arg, const uint8_t *id, const uint8_t *data, size_t data_len)
{
	enum bench_answer answer = BENCH_FAILED;
	struct table *table = arg;
	uint32_t *link;

	if (data_len <= table->slot_bytes - sizeof(struct slot) &&
	    lock(table)) {
		link = find(table, id);
		if (*link != NONE)
			remove_at(table, link);
		insert(table, id, data, data_len);
		unlock(table);
		answer = BENCH_DONE;
	}
	return answer;
}

/* Copy a record, and make it the newest or remove it. */
static enum bench_answer
fetch(struct table *table, const uint8_t *id, bool remove, uint8_t *buf,
    size_t size, size_t *len)
{
	enum bench_answer answer = BENCH_FAILED;
	struct slot *slot;
	uint32_t *link;

	if (!lock(table))
		goto out;
	link = find(table, id);
	answer = BENCH_MISS;
	if (*link != NONE) {
		slot = slot_at(table, *link);
		*len = slot->data_len < size ? slot->data_len : size;
		memcpy(buf, slot->data, *len);
		if (remove) {
			remove_at(table, link);
		} else if (table->newest != *link) {
			unlink_from_order(table, slot);
			link_newest(table, *link, slot);
		}
		answer = BENCH_DONE;
	}
	unlock(table);
out:
	return answer;
}

static enum bench_answer
get(void *arg, const uint8_t *id, uint8_t *buf, size_t size, size_t *len)
{
	return fetch(arg, id, false, buf, size, len);
}

static enum bench_answer
take(void *arg, const uint8_t *id, uint8_t *buf, size_t size, size_t *len)
{
	return fetch(arg, id, true, buf, size, len);
}

#define OPERATIONS \
	.stores = true, .make = make, .enter = enter, .leave = leave, \
	.destroy = destroy, .put = put, .get = get, .take = take

const struct bench_system bench_shm = {
	.name = "shm",
	.title = "(b) a hash table with an LRU list under one robust mutex",
	.new_id = bench_random_id,
	OPERATIONS,
};

const struct bench_system bench_shm_free_ids = {
	.name = "shm*",
	.title = "(b) with IDs that cost nothing",
	.alternative = true,
	.new_id = bench_cheap_id,
	OPERATIONS,
};
