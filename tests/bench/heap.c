/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counts the heap allocations of the process, those of the libraries too: the
 * program's own malloc() comes before the C library's for all of them.  Where
 * a sanitizer has taken that place, nothing is counted.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include "bench.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#if defined(__GLIBC__) && !defined(SANITIZED)

#define COUNTED true

/* What glibc calls its own, for just this use. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
/* NOLINTEND(bugprone-reserved-identifier) */

static atomic_uint_least64_t allocations;

static void
count_one(void)
{
	/* One thread a process: no need to pay for a locked instruction. */
	atomic_store_explicit(&allocations,
	    atomic_load_explicit(&allocations, memory_order_relaxed) + 1,
	    memory_order_relaxed);
}

void *
malloc(size_t size)
{
	count_one();
	return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	count_one();
	return __libc_calloc(count, size);
}

void *
realloc(void *memory, size_t size)
{
	count_one();
	return __libc_realloc(memory, size);
}

void *
memalign(size_t alignment, size_t size)
{
	count_one();
	return __libc_memalign(alignment, size);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	count_one();
	return __libc_memalign(alignment, size);
}

int
posix_memalign(void **out, size_t alignment, size_t size)
{
	void *memory;

	count_one();
	memory = __libc_memalign(alignment, size);
	if (memory != NULL)
		*out = memory;
	return memory != NULL ? 0 : ENOMEM;
}

uint64_t
bench_heap_allocations(void)
{
	return atomic_load_explicit(&allocations, memory_order_relaxed);
}

#else

#define COUNTED false

uint64_t
bench_heap_allocations(void)
{
	return 0;
}

#endif

bool
bench_heap_is_counted(void)
{
	return COUNTED;
}
