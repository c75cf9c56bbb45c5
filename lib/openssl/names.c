/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See names.h.
 */
#include "openssl/names.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

enum {
	SETS = 2048, /* a power of two */
	WAYS = 2,
};

/*
 * Written by any process at any time, without a lock: what two of them have
 * written half each belongs to no key.
 */
struct slot {
	_Atomic uint64_t realm;
	_Atomic uint64_t check; /* key ^ realm */
};

struct table {
	struct slot slots[SETS][WAYS];
};

/* A table that was left is kept: another thread may be reading it. */
static _Atomic(struct table *) table;

bool
sc_names_open(bool anew)
{
	void *map;

	if (atomic_load(&table) != NULL && !anew)
		return true;
	map = mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return false;
	atomic_store(&table, map);
	return true;
}

static uint64_t
read_slot(struct slot *slot, uint64_t key)
{
	uint64_t realm = atomic_load_explicit(&slot->realm,
	    memory_order_relaxed);
	uint64_t check = atomic_load_explicit(&slot->check,
	    memory_order_relaxed);

	return (realm ^ check) == key ? realm : 0;
}

static void
write_slot(struct slot *slot, uint64_t key, uint64_t realm)
{
	atomic_store_explicit(&slot->realm, realm, memory_order_relaxed);
	atomic_store_explicit(&slot->check, key ^ realm, memory_order_relaxed);
}

uint64_t
sc_names_find(uint64_t key)
{
	struct slot *set = atomic_load(&table)->slots[key % SETS];
	uint64_t realm = 0;

	for (int i = 0; i < WAYS && realm == 0; i++)
		realm = read_slot(&set[i], key);
	return realm;
}

void
sc_names_learn(uint64_t key, uint64_t realm)
{
	struct slot *set = atomic_load(&table)->slots[key % SETS];
	uint64_t known;

	for (int i = 0; i < WAYS; i++) {
		known = read_slot(&set[i], key);
		if (known != 0) {
			if (known != realm)
				write_slot(&set[i], key, realm);
			return;
		}
	}
	/* The newest comes first, the older of the two goes. */
	for (int i = WAYS - 1; i > 0; i--) {
		atomic_store_explicit(&set[i].realm,
		    atomic_load_explicit(&set[i - 1].realm,
			memory_order_relaxed),
		    memory_order_relaxed);
		atomic_store_explicit(&set[i].check,
		    atomic_load_explicit(&set[i - 1].check,
			memory_order_relaxed),
		    memory_order_relaxed);
	}
	write_slot(&set[0], key, realm);
}
