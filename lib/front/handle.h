/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is behind struct sesscache: a cache of this process and the settings
 * it was opened with.  Private to front/.
 */
#ifndef SC_FRONT_HANDLE_H
#define SC_FRONT_HANDLE_H

#include <stdatomic.h>

#include "cache/cache.h"
#include "front/settings.h"

struct sesscache {
	struct sc_cache *cache;
	struct sesscache_options options;
	atomic_uint refs; /* the opener's, and one per attached SSL_CTX */
};

/* One more owner; each is released with sesscache_close(). */
void sc_handle_ref(struct sesscache *handle);

/*
 * Seconds on CLOCK_BOOTTIME: does not jump, and is the same in all processes,
 * in whatever time namespace they are when they open a cache.
 */
uint32_t sc_now(void);

/*
 * Write one line to where the settings say (standard error, or syslog) if
 * their level includes this one.
 */
void sc_log(const struct sesscache_options *options, enum sc_log level,
    const char *format, ...) __attribute__((__format__(__printf__, 3, 4)));

#endif
