/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clock of the cache.  Private to the library.
 */
#ifndef SC_API_CLOCK_H
#define SC_API_CLOCK_H

#include <stdint.h>

#include "status.h"

/*
 * Once a process, before sc_now(): find out by how much the clock of this time
 * namespace differs from the system's.  SESSCACHE_OK or SESSCACHE_ESYS.
 */
enum sesscache_status sc_clock_find(void) SESSCACHE_MUST_CHECK;

/*
 * Seconds on CLOCK_BOOTTIME: does not jump, and is the same in all processes,
 * in whatever time namespace they are when they open a cache.
 */
uint32_t sc_now(void);

#endif
