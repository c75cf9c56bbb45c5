/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a session, stored or in a ticket, may be resumed where it is
 * offered.  Knows hashes and flags, not what they are of.
 */
#ifndef SC_CACHE_TERMS_H
#define SC_CACHE_TERMS_H

#include "cache/cache.h"
#include "cache/landings.h"

/* What a session says of itself. */
struct sc_said {
	struct sc_scope scope;
	unsigned flags;      /* SC_RECORD_... */
	unsigned asked_bits; /* how many low bits of scope.asked are known */
};

/*
 * Whether a session meets the terms and, by what was learned of others, will
 * land where it says.  Sets wants_auth, and if it may resume, flags and landed.
 */
bool sc_terms_are_met(struct sc_terms *terms, const struct sc_said *said,
    const struct sc_landings *landings, uint32_t now);

#endif
