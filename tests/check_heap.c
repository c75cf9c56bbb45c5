/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No heap allocation in a lookup, nor in a store but for the one that writes
 * a journal out.  A program of its own: its malloc() comes before the C
 * library's, and what checks the heap would be misled.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

enum { SKIPPED = 77 };

#if !defined(__GLIBC__) || TEST_SANITIZED

int
main(void)
{
	return SKIPPED;
}

#else

enum { NOW = 1000, TTL = 300, ROUNDS = 500 };

/* What glibc calls its own, for just this use. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);
/* NOLINTEND(bugprone-reserved-identifier) */

static atomic_ulong allocations;

void *
malloc(size_t size)
{
	atomic_fetch_add(&allocations, 1);
	return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	atomic_fetch_add(&allocations, 1);
	return __libc_calloc(count, size);
}

void *
realloc(void *memory, size_t size)
{
	atomic_fetch_add(&allocations, 1);
	return __libc_realloc(memory, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	atomic_fetch_add(&allocations, 1);
	return __libc_memalign(alignment, size);
}

void *memalign(size_t alignment, size_t size);

void *
memalign(size_t alignment, size_t size)
{
	return aligned_alloc(alignment, size);
}

int
posix_memalign(void **out, size_t alignment, size_t size)
{
	*out = aligned_alloc(alignment, size);
	return *out != NULL ? 0 : ENOMEM;
}

void
free(void *memory)
{
	__libc_free(memory);
}

static struct sc_cache *cache;

static void
setup(void)
{
	test_dir_make();
	cache = test_cache("cache", 1 << 20, 1);
}

static void
teardown(void)
{
	sc_cache_close(cache);
	test_dir_remove();
}

static const struct {
	const char *name;
	size_t len;
	bool ours;
} cases[] = {
	{ "TLS 1.3", 130, true },
	{ "TLS 1.2", 160, true },
	{ "with a client certificate", 1536, true },
	{ "under the ID of others", 160, false },
};

static void
make_id(uint8_t id[SESSCACHE_ID_LEN], unsigned number, bool ours)
{
	if (ours)
		ck_done(sc_cache_new_id(cache, id));
	else
		test_fill(id, SESSCACHE_ID_LEN, number);
}

static enum sesscache_status
put(const uint8_t *id, size_t len)
{
	static const uint8_t data[2000];
	const struct sc_record_in in = { .id = id,
		.id_len = SESSCACHE_ID_LEN,
		.data = data,
		.data_len = len,
		.ttl_seconds = TTL };

	return sc_cache_put(cache, &in, NOW);
}

static enum sesscache_status
look_up(const uint8_t *id, bool take)
{
	static uint8_t buf[2000];
	struct sc_lookup lookup = { .id = id,
		.id_len = SESSCACHE_ID_LEN,
		.buf = buf,
		.size = sizeof(buf) };

	return take ? sc_cache_take(cache, &lookup, NOW) :
		      sc_cache_get(cache, &lookup, NOW);
}

/* Once, so that what a thread keeps is there; then full, so that all evict. */
static void
warm_up(size_t len, bool ours)
{
	uint8_t id[SESSCACHE_ID_LEN];
	unsigned i;

	for (i = 0; i < (2u << 20) / (len + 50); i++) {
		make_id(id, i + 100000, ours);
		ck_done(put(id, len));
		ck_done(look_up(id, i % 7 == 0));
	}
}

START_TEST(lookup_allocates_nothing)
{
	uint8_t ids[ROUNDS][SESSCACHE_ID_LEN], foreign[SESSCACHE_ID_LEN];
	unsigned long before;
	unsigned i;

	warm_up(cases[_i].len, cases[_i].ours);
	for (i = 0; i < ROUNDS; i++) {
		make_id(ids[i], i, cases[_i].ours);
		ck_done(put(ids[i], cases[_i].len));
	}
	test_fill(foreign, sizeof(foreign), 4711);
	before = atomic_load(&allocations);
	for (i = ROUNDS - 100; i < ROUNDS; i++) {
		if (look_up(ids[i], false) != SESSCACHE_OK ||
		    look_up(foreign, false) != SESSCACHE_MISS)
			break;
	}
	before = atomic_load(&allocations) - before;
	ck_assert_uint_eq(i, ROUNDS);
	ck_assert_msg(before == 0, "%s: %lu allocations", cases[_i].name,
	    before);
}
END_TEST

START_TEST(store_allocates_only_where_a_journal_is_written_out)
{
	static uint8_t ids[ROUNDS][SESSCACHE_ID_LEN];
	unsigned i, with = 0, at_most;
	unsigned long before;
	enum sesscache_status status = SESSCACHE_OK;

	warm_up(cases[_i].len, cases[_i].ours);
	for (i = 0; i < ROUNDS; i++)
		make_id(ids[i], i, cases[_i].ours);
	for (i = 0; i < ROUNDS && status == SESSCACHE_OK; i++) {
		before = atomic_load(&allocations);
		status = put(ids[i], cases[_i].len);
		with += atomic_load(&allocations) != before;
	}
	ck_done(status);
	/* A journal takes 64 records, or some 12,000 bytes of them. */
	at_most = ROUNDS / (cases[_i].len < 170 ? 40u : 6u) + 2;
	ck_assert_msg(with <= at_most, "%s: %u of %u stores allocate, not %u",
	    cases[_i].name, with, (unsigned)ROUNDS, at_most);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("heap");
	TCase *tc = tcase_create("heap");

	tcase_add_unchecked_fixture(tc, test_root_make, test_root_remove);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, lookup_allocates_nothing, 0, N_OF(cases));
	tcase_add_loop_test(tc,
	    store_allocates_only_where_a_journal_is_written_out, 0,
	    N_OF(cases));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}

#endif
