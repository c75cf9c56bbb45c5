/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring of session IDs in shared memory.  Any process adds and picks without
 * a lock, so that the pool is never what a cell measures: each slot has a
 * version that is odd while it is written.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define WORDS (BENCH_ID_LEN / sizeof(uint64_t))
#define PICK_TRIES 64
#define CACHE_LINE 64 /* bytes */

struct slot {
	_Alignas(CACHE_LINE) atomic_uint version;
	atomic_uint_least64_t words[WORDS];
};

struct bench_pool {
	size_t capacity;
	size_t bytes;
	_Alignas(CACHE_LINE) atomic_size_t added; /* ever; the next slot */
	struct slot slots[];
};

struct bench_pool *
bench_pool_new(size_t capacity)
{
	size_t bytes = sizeof(struct bench_pool) +
	    capacity * sizeof(struct slot);
	struct bench_pool *pool;

	pool = bench_shared_alloc(bytes);
	if (pool != NULL) {
		pool->capacity = capacity;
		pool->bytes = bytes;
	}
	return pool;
}

void
bench_pool_free(struct bench_pool *pool)
{
	if (pool != NULL)
		bench_shared_free(pool, pool->bytes);
}

static void
slot_write(struct slot *slot, const uint8_t id[BENCH_ID_LEN])
{
	unsigned version = atomic_load(&slot->version);
	uint64_t words[WORDS];
	size_t i;

	/* Who meets another writer leaves the slot to it. */
	if (version % 2 == 0 &&
	    atomic_compare_exchange_strong(&slot->version, &version,
		version + 1)) {
		memcpy(words, id, sizeof words);
		atomic_thread_fence(memory_order_release);
		for (i = 0; i < WORDS; i++)
			atomic_store_explicit(&slot->words[i], words[i],
			    memory_order_relaxed);
		atomic_store_explicit(&slot->version, version + 2,
		    memory_order_release);
	}
}

/* False if the slot was empty, or written meanwhile. */
static bool
slot_read(struct slot *slot, uint8_t id[BENCH_ID_LEN])
{
	uint64_t words[WORDS];
	unsigned before, after;
	size_t i;

	before = atomic_load_explicit(&slot->version, memory_order_acquire);
	for (i = 0; i < WORDS; i++)
		words[i] = atomic_load_explicit(&slot->words[i],
		    memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	after = atomic_load_explicit(&slot->version, memory_order_relaxed);
	memcpy(id, words, sizeof words);
	return before != 0 && before % 2 == 0 && before == after;
}

void
bench_pool_add(struct bench_pool *pool, const uint8_t id[BENCH_ID_LEN])
{
	size_t index = atomic_fetch_add_explicit(&pool->added, 1,
	    memory_order_relaxed);

	slot_write(&pool->slots[index % pool->capacity], id);
}

size_t
bench_pool_count(const struct bench_pool *pool)
{
	size_t added = atomic_load_explicit(&pool->added, memory_order_relaxed);

	return added < pool->capacity ? added : pool->capacity;
}

/*
 * From any slot, used or not: to ask how many are used would fetch a cache
 * line from whoever adds.
 */
bool
bench_pool_pick(struct bench_pool *pool, uint8_t id[BENCH_ID_LEN])
{
	uint64_t slots = pool->capacity;
	bool picked = false;
	unsigned tries;
	uint64_t index;

	for (tries = 0; tries < PICK_TRIES && slots > 0 && !picked; tries++) {
		/* The high half: a multiplication instead of a division. */
		index = ((bench_random() >> 32) * slots) >> 32;
		picked = slot_read(&pool->slots[index], id);
	}
	return picked;
}

void
bench_pool_read(struct bench_pool *pool, size_t index, uint8_t id[BENCH_ID_LEN])
{
	size_t added = atomic_load(&pool->added);
	size_t oldest = added - bench_pool_count(pool);

	(void)slot_read(&pool->slots[(oldest + index) % pool->capacity], id);
}

/*
 * Close the gaps in slots: those that were read in this order are written
 * from the first slot on, and the pool's capacity becomes their number.
 */
static void
compact(struct bench_pool *pool, uint8_t (*ids)[BENCH_ID_LEN], size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		slot_write(&pool->slots[i], ids[i]);
	pool->capacity = count;
	atomic_store(&pool->added, count);
}

void
bench_pool_filter(struct bench_pool *pool,
    bool (*keep)(const uint8_t *id, void *arg), void *arg)
{
	size_t total = bench_pool_count(pool);
	uint8_t(*ids)[BENCH_ID_LEN];
	size_t kept = 0;
	size_t i;

	ids = calloc(total + 1, BENCH_ID_LEN);
	for (i = 0; ids != NULL && i < total; i++) {
		bench_pool_read(pool, i, ids[kept]);
		if (keep(ids[kept], arg))
			kept++;
	}
	compact(pool, ids, kept);
	free(ids);
}

struct newest {
	size_t skip; /* so many of the oldest */
};

static bool
is_newest(const uint8_t *id, void *arg)
{
	struct newest *newest = arg;
	bool keep = newest->skip == 0;

	(void)id;
	if (!keep)
		newest->skip--;
	return keep;
}

void
bench_pool_keep_newest(struct bench_pool *pool, size_t count)
{
	struct newest newest = { 0 };

	if (bench_pool_count(pool) > count)
		newest.skip = bench_pool_count(pool) - count;
	bench_pool_filter(pool, is_newest, &newest);
}
