/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who goes when room is needed.  Newcomers are sessions of full handshakes,
 * regulars those of clients that came back.  One-shot clients thus push out
 * one another, not those who return.  Knows queues and marks, not sealing.
 */
#ifndef SC_CACHE_EVICT_H
#define SC_CACHE_EVICT_H

#include "store/store.h"

/* An sc_make_room. */
enum sesscache_status sc_evict(struct sc_room *room, uint32_t now)
    SESSCACHE_MUST_CHECK;

#endif
