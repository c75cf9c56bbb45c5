/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A leaf that every layer may include: how a failure gets its sentence.
 */
#ifndef SC_STATUS_H
#define SC_STATUS_H

#include "sesscache.h"

/*
 * Remember why this thread's call fails, as printf() would write it, and
 * return the status.  errno is left as it was.  The text names files,
 * settings and numbers, never IDs, keys or sessions.
 */
enum sesscache_status sc_fail(enum sesscache_status status, const char *format,
    ...) __attribute__((__format__(__printf__, 2, 3)));

/* Put "path/name: " before the sentence of the failure under way. */
enum sesscache_status sc_fail_in(enum sesscache_status status, const char *path,
    const char *name);

#endif
