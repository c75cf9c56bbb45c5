/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See terms.h.
 */
#include "cache/terms.h"

static bool
is_same_asked(uint64_t wanted, const struct sc_said *said)
{
	if (said->asked_bits >= 64)
		return wanted == said->scope.asked;
	/* 0 is no hash, though some hashes have such low bits. */
	return wanted != 0 &&
	    ((wanted ^ said->scope.asked) << (64 - said->asked_bits)) == 0;
}

bool
sc_terms_are_met(struct sc_terms *terms, const struct sc_said *said,
    const struct sc_landings *landings, uint32_t now)
{
	bool is_auth = (said->flags & SC_RECORD_AUTH) != 0;
	const struct sc_scope *wanted = is_auth ? &terms->auth : &terms->open;
	uint64_t asked = wanted->asked;

	terms->wants_auth = false;
	if ((said->flags & terms->refused) != 0)
		return false;
	if (is_auth && wanted->asked == 0 && terms->open.asked != 0) {
		terms->wants_auth = true;
		return false;
	}
	if (is_auth && terms->named != 0 && is_same_asked(terms->named, said))
		asked = terms->named;
	if (!is_same_asked(asked, said) ||
	    (wanted->landed != 0 && wanted->landed != said->scope.landed))
		return false;
	if (terms->place != 0 &&
	    !sc_landings_allow(landings, terms->place, said->flags,
		said->scope.landed, now))
		return false;
	terms->flags = said->flags;
	terms->said.asked = asked;
	terms->said.landed = said->scope.landed;
	return true;
}
