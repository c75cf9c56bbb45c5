/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See landings.h.
 */
#include "cache/landings.h"

#include "cache/cache.h"

/* The low bits of a hash are in tickets; it is keyed, so any bits will do. */
static size_t
bucket_number(uint64_t place)
{
	return (size_t)(place >> 32) % SC_LANDINGS_BUCKETS;
}

static bool
is_live(const _Atomic uint32_t *until, uint32_t now)
{
	return atomic_load_explicit(until, memory_order_acquire) > now;
}

/* A live entry of what was place; NULL: there is none. */
static struct sc_landing *
find(struct sc_landings_bucket *bucket, uint64_t place, uint32_t now)
{
	struct sc_landing *entry;

	for (int i = 0; i < SC_LANDINGS_ENTRIES; i++) {
		entry = &bucket->entries[i];
		if (is_live(&entry->until, now) &&
		    atomic_load_explicit(&entry->place, memory_order_relaxed) ==
			place)
			return entry;
	}
	return NULL;
}

/* From the end, for those in front are nobody's as well. */
static struct sc_landing *
find_free(struct sc_landings_bucket *bucket, bool nobody, uint32_t now)
{
	int n = nobody ? SC_LANDINGS_OF_NOBODY : SC_LANDINGS_ENTRIES;

	for (int i = n - 1; i >= 0; i--) {
		if (!is_live(&bucket->entries[i].until, now))
			return &bucket->entries[i];
	}
	return NULL;
}

static void
extend(_Atomic uint32_t *until, uint32_t to)
{
	uint32_t before = atomic_load_explicit(until, memory_order_relaxed);

	while (before < to &&
	    !atomic_compare_exchange_weak_explicit(until, &before, to,
		memory_order_release, memory_order_relaxed))
		continue;
}

void
sc_landings_note(struct sc_landings *landings, uint64_t place, unsigned flags,
    uint64_t landed, uint32_t now, uint32_t until)
{
	struct sc_landings_bucket *table = (flags & SC_RECORD_AUTH) != 0 ?
	    landings->auth :
	    landings->open;
	bool nobody = (flags & SC_RECORD_AUTH) != 0 &&
	    (flags & SC_RECORD_NOBODY) != 0;
	struct sc_landings_bucket *bucket = &table[bucket_number(place)];
	struct sc_landing *entry = find(bucket, place, now);

	if (entry != NULL) {
		if (atomic_load_explicit(&entry->landed,
			memory_order_relaxed) != landed)
			atomic_store_explicit(&entry->landed, 0,
			    memory_order_relaxed);
		extend(&entry->until, until);
		return;
	}
	entry = find_free(bucket, nobody, now);
	if (entry == NULL) {
		if (!nobody)
			extend(&bucket->full_until, until);
		return;
	}
	/* The time last: with it the entry counts. */
	atomic_store_explicit(&entry->place, place, memory_order_relaxed);
	atomic_store_explicit(&entry->landed, landed, memory_order_relaxed);
	atomic_store_explicit(&entry->until, until, memory_order_release);
}

bool
sc_landings_allow(const struct sc_landings *landings, uint64_t place,
    unsigned flags, uint64_t landed, uint32_t now)
{
	const struct sc_landings_bucket *table = (flags & SC_RECORD_AUTH) != 0 ?
	    landings->auth :
	    landings->open;
	const struct sc_landings_bucket *bucket = &table[bucket_number(place)];
	const struct sc_landing *entry;
	uint64_t known;

	if (is_live(&bucket->full_until, now))
		return false;
	/* Two processes may have noted the same at once, in two entries. */
	for (int i = 0; i < SC_LANDINGS_ENTRIES; i++) {
		entry = &bucket->entries[i];
		if (!is_live(&entry->until, now) ||
		    atomic_load_explicit(&entry->place, memory_order_relaxed) !=
			place)
			continue;
		known = atomic_load_explicit(&entry->landed,
		    memory_order_relaxed);
		if (known == 0 || known != landed)
			return false;
	}
	return true;
}
