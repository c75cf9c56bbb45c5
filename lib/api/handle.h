/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is behind struct sesscache: a cache of this process and the settings
 * it was opened with.  Private to the library.
 */
#ifndef SC_API_HANDLE_H
#define SC_API_HANDLE_H

#include <stdatomic.h>

#include "api/clock.h"
#include "api/log.h"
#include "api/options.h"
#include "cache/cache.h"

struct sesscache {
	struct sc_cache *cache;
	struct sesscache_options options;
	atomic_bool said_tickets; /* the log has what was decided about them */
	atomic_bool said_auth;    /* and what client certificates cost */
	atomic_uint refs; /* the opener's, and one per attached SSL_CTX */
};

/* One more owner; each is released with sesscache_close(). */
void sc_handle_ref(struct sesscache *handle);

#endif
