/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Buffers for one record on its way, one set a thread, and memory for what no
 * core dump may show.  Not on the stack: an asynchronous job of OpenSSL has 32
 * KiB of it.  Not thread-local as a whole: the C library takes that off every
 * thread's stack.
 */
#ifndef SC_CACHE_SCRATCH_H
#define SC_CACHE_SCRATCH_H

#include <stddef.h>

#include "status.h"

enum {
	SC_SCRATCH_RECORD = 31 * 1024,  /* bytes of the longest sealed record */
	SC_SCRATCH_SESSION = 30 * 1024, /* and of the longest session */
};

struct sc_scratch {
	uint8_t found[SC_SCRATCH_RECORD];
	uint8_t stored[SC_SCRATCH_RECORD];
	uint8_t session[SC_SCRATCH_SESSION]; /* the front's */
};

/*
 * This thread's buffers, allocated when it first asks, freed when it ends;
 * NULL if there is no memory, with a sentence.  Nobody may keep anything in
 * them over a call to the cache.
 */
struct sc_scratch *sc_scratch(void);

/*
 * Zeroed pages that are left out of core dumps; NULL if there are none, with a
 * sentence.  Freeing wipes them, and accepts NULL.
 */
void *sc_private_new(size_t len);
void sc_private_free(void *pages, size_t len);

#endif
