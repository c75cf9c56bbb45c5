/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Integers as bytes, the highest first.  Knows no bounds: the caller does.
 */
#ifndef SC_CACHE_BYTES_H
#define SC_CACHE_BYTES_H

#include <stdint.h>

/* Returns what follows the bytes that were written. */
static inline uint8_t *
sc_write_int(uint8_t *at, uint64_t n, int bytes)
{
	while (bytes-- > 0)
		*at++ = (uint8_t)(n >> (8 * bytes));
	return at;
}

static inline uint64_t
sc_read_int(const uint8_t *at, int bytes)
{
	uint64_t n = 0;

	while (bytes-- > 0)
		n = n << 8 | *at++;
	return n;
}

#endif
