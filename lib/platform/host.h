/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host is: its boot, processors, memory pages, random numbers.
 */
#ifndef SC_PLATFORM_HOST_H
#define SC_PLATFORM_HOST_H

#include "status.h"

#define SC_BOOT_ID_LEN 36

/*
 * The kernel's random name of this boot, without a NUL.  Returns SESSCACHE_OK
 * or SESSCACHE_ESYS (/proc is not mounted).
 */
enum sesscache_status sc_host_boot_id(char id[SC_BOOT_ID_LEN])
    SESSCACHE_MUST_CHECK;

/* Processors that are online, 1 at least. */
unsigned sc_host_cpus(void);

/* Bytes. */
size_t sc_host_page_size(void);

/* Fill buf from the kernel's generator; SESSCACHE_OK or SESSCACHE_ESYS. */
enum sesscache_status sc_host_random(void *buf, size_t len)
    SESSCACHE_MUST_CHECK;

/*
 * Leave memory out of core dumps, for as long as it is mapped here.  Returns
 * SESSCACHE_OK, SESSCACHE_ENOMEM or SESSCACHE_ESYS.
 */
enum sesscache_status sc_host_hide(void *at, size_t len) SESSCACHE_MUST_CHECK;

#endif
