/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which sessions may resume: the terms that they must meet, and what was
 * learned of where others landed.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/landings.h"
#include "cache/terms.h"
#include "support.h"

enum { NOW = 1000, UNTIL = 1100, A = 21, B = 22, C = 23 };

static struct sc_landings *landings;

static void
setup(void)
{
	landings = calloc(1, sizeof(*landings));
	ck_assert_ptr_nonnull(landings);
}

static void
teardown(void)
{
	free(landings);
	landings = NULL;
}

/* --- terms --------------------------------------------------------------- */

#define AUTH SC_RECORD_AUTH
#define EMS SC_RECORD_EMS

enum answer { YES, NO, WANTS };

static const struct {
	const char *name;
	struct sc_said said;
	struct sc_terms terms;
	enum answer want;
} term_cases[] = {
	{ "no TLS session", { { 0, 0 }, 0, 64 }, { .refused = 0 }, YES },
	{ "the same", { { 1, 2 }, 0, 64 }, { .open = { 1, 2 } }, YES },
	{ "any landed", { { 1, 2 }, 0, 64 }, { .open = { 1, 0 } }, YES },
	{ "no landed", { { 1, 0 }, 0, 64 }, { .open = { 1, 2 } }, NO },
	{ "another landed", { { 1, 3 }, 0, 64 }, { .open = { 1, 2 } }, NO },
	{ "another asked", { { 3, 2 }, 0, 64 }, { .open = { 1, 2 } }, NO },
	{ "no asked", { { 0, 2 }, 0, 64 }, { .open = { 1, 2 } }, NO },
	{ "asked for none", { { 1, 2 }, 0, 64 }, { .auth = { 1, 2 } }, NO },
	{ "high bits", { { 1 + (UINT64_C(1) << 63), 2 }, 0, 64 },
	    { .open = { 1, 2 } }, NO },
	{ "high bits of a ticket", { { 1, 2 }, 0, 24 },
	    { .open = { 1 + (UINT64_C(1) << 24), 2 } }, YES },
	{ "low bits of a ticket", { { 1, 2 }, 0, 24 },
	    { .open = { 1 + (UINT64_C(1) << 23), 2 } }, NO },
	{ "ticket for none", { { 0, 2 }, 0, 24 }, { .open = { 0, 2 } }, NO },
	{ "auth", { { 3, 4 }, AUTH, 64 },
	    { .open = { 1, 2 }, .auth = { 3, 4 } }, YES },
	{ "auth, any landed", { { 3, 4 }, AUTH, 64 },
	    { .open = { 1, 2 }, .auth = { 3, 0 } }, YES },
	{ "auth, another landed", { { 3, 4 }, AUTH, 64 },
	    { .open = { 3, 4 }, .auth = { 3, 5 } }, NO },
	{ "auth on terms of the others", { { 1, 2 }, AUTH, 64 },
	    { .open = { 1, 2 }, .auth = { 3, 4 } }, NO },
	{ "no auth on its terms", { { 3, 4 }, 0, 64 },
	    { .open = { 1, 2 }, .auth = { 3, 4 } }, NO },
	{ "auth not worked out", { { 3, 4 }, AUTH, 64 }, { .open = { 1, 2 } },
	    WANTS },
	{ "auth not worked out, of a ticket", { { 3, 4 }, AUTH, 24 },
	    { .open = { 1, 2 } }, WANTS },
	{ "auth where none is looked for", { { 3, 4 }, AUTH, 64 },
	    { .refused = 0 }, NO },
	{ "refused flag", { { 1, 2 }, EMS, 64 },
	    { .open = { 1, 2 }, .refused = EMS }, NO },
	{ "refused flag with auth not worked out", { { 1, 2 }, AUTH | EMS, 64 },
	    { .open = { 1, 2 }, .refused = EMS }, NO },
	{ "other flags", { { 1, 2 }, SC_RECORD_TICKET | SC_RECORD_ONCE, 64 },
	    { .open = { 1, 2 }, .refused = EMS }, YES },
};

START_TEST(session_resumes_if_it_meets_the_terms)
{
	const struct sc_said *said = &term_cases[_i].said;
	struct sc_terms terms = term_cases[_i].terms;
	enum answer answer = NO;

	terms.wants_auth = true; /* of the lookup before */
	if (sc_terms_are_met(&terms, said, landings, NOW))
		answer = YES;
	else if (terms.wants_auth)
		answer = WANTS;
	ck_assert_msg(answer == term_cases[_i].want, "%s: got %d, want %d",
	    term_cases[_i].name, answer, term_cases[_i].want);
	if (answer == YES) {
		ck_assert(!terms.wants_auth);
		ck_assert_uint_eq(terms.flags, said->flags);
		ck_assert_uint_eq(terms.said.landed, said->scope.landed);
	}
}
END_TEST

START_TEST(what_others_learned_is_looked_up_by_the_place)
{
	const uint64_t place = UINT64_C(5) << 32 | 1;
	const struct sc_said ticket = { { 1, A }, 0, 24 };
	struct sc_terms terms = { .open = { 1, 0 }, .place = place };

	ck_assert(sc_terms_are_met(&terms, &ticket, landings, NOW));
	sc_landings_note(landings, place, 0, B, NOW, UNTIL);
	ck_assert(!sc_terms_are_met(&terms, &ticket, landings, NOW));
	ck_assert(!terms.wants_auth);
	terms.place = UINT64_C(6) << 32 | 1;
	ck_assert(sc_terms_are_met(&terms, &ticket, landings, NOW));
}
END_TEST

START_TEST(what_is_no_session_lands_nowhere)
{
	const struct sc_said said = { { 0, 0 }, 0, 64 };
	struct sc_terms terms = { .refused = 0 };

	sc_landings_note(landings, 0, 0, B, NOW, UNTIL);
	ck_assert(sc_terms_are_met(&terms, &said, landings, NOW));
}
END_TEST

/* --- landings ------------------------------------------------------------ */

static bool
allows(uint64_t asked, unsigned flags, uint64_t landed, uint32_t now)
{
	return sc_landings_allow(landings, asked, flags, landed, now);
}

START_TEST(only_sessions_that_say_where_it_leads_resume)
{
	ck_assert(allows(1, 0, A, NOW));
	sc_landings_note(landings, 1, 0, B, NOW, UNTIL);
	ck_assert(!allows(1, 0, A, NOW));
	ck_assert(!allows(1, 0, 0, NOW));
	ck_assert(allows(1, 0, B, NOW));
	ck_assert(allows(2, 0, A, NOW));
	ck_assert(!allows(1, 0, A, UNTIL - 1));
	ck_assert(allows(1, 0, A, UNTIL));
}
END_TEST

START_TEST(none_resumes_where_it_leads_here_and_there)
{
	sc_landings_note(landings, 1, 0, B, NOW, UNTIL);
	sc_landings_note(landings, 1, 0, B, NOW, UNTIL);
	ck_assert(allows(1, 0, B, NOW));
	sc_landings_note(landings, 1, 0, C, NOW, UNTIL + 1);
	ck_assert(!allows(1, 0, B, NOW));
	ck_assert(!allows(1, 0, C, UNTIL)); /* the later of the two */
	ck_assert(!allows(1, 0, 0, NOW));
	sc_landings_note(landings, 1, 0, C, NOW, UNTIL);
	ck_assert(!allows(1, 0, C, UNTIL));
	ck_assert(allows(1, 0, A, UNTIL + 1));
}
END_TEST

START_TEST(none_resumes_where_it_leads_is_not_known)
{
	sc_landings_note(landings, 1, 0, 0, NOW, UNTIL);
	ck_assert(!allows(1, 0, A, NOW));
	ck_assert(!allows(1, 0, 0, NOW));
	sc_landings_note(landings, 1, 0, A, NOW, UNTIL);
	ck_assert(!allows(1, 0, A, NOW));
}
END_TEST

START_TEST(what_was_learned_is_forgotten_when_its_time_is_over)
{
	sc_landings_note(landings, 1, 0, A, NOW, UNTIL);
	sc_landings_note(landings, 1, 0, B, UNTIL, UNTIL + 100);
	ck_assert(!allows(1, 0, A, UNTIL));
	ck_assert(allows(1, 0, B, UNTIL));
}
END_TEST

/* The number-th of what falls into one bucket. */
static uint64_t
neighbour(uint64_t number)
{
	return 1 + number * SC_LANDINGS_BUCKETS * (UINT64_C(1) << 32);
}

START_TEST(full_bucket_means_misses_until_there_is_room)
{
	const uint64_t elsewhere = 1 + (UINT64_C(1) << 32);
	unsigned i;

	for (i = 0; i < SC_LANDINGS_ENTRIES; i++)
		sc_landings_note(landings, neighbour(i), 0, B, NOW, UNTIL);
	ck_assert(allows(neighbour(0), 0, B, NOW));
	ck_assert(allows(neighbour(100), 0, A, NOW));
	sc_landings_note(landings, neighbour(100), 0, B, NOW + 50, UNTIL + 50);
	for (i = 0; i <= 100; i++) {
		ck_assert(!allows(neighbour(i), 0, A, NOW + 50));
		ck_assert(!allows(neighbour(i), 0, B, UNTIL + 49));
	}
	ck_assert(allows(elsewhere, 0, A, NOW + 50));
	ck_assert(allows(neighbour(0), AUTH, A, NOW + 50));
	ck_assert(allows(neighbour(100), 0, A, UNTIL + 50));
	/* There is room before that, for what comes. */
	sc_landings_note(landings, neighbour(7), 0, C, UNTIL, UNTIL + 100);
	ck_assert(!allows(neighbour(7), 0, C, UNTIL));
	ck_assert(allows(neighbour(7), 0, C, UNTIL + 50));
	ck_assert(!allows(neighbour(7), 0, A, UNTIL + 50));
}
END_TEST

/* Clients that nobody knows can fill theirs. */
START_TEST(sessions_without_authentication_never_push_out_those_with)
{
	uint64_t state = 1;
	unsigned i;

	for (i = 0; i < SC_LANDINGS_ENTRIES; i++)
		sc_landings_note(landings, neighbour(i), AUTH, B, NOW, UNTIL);
	for (i = 0; i < 100000; i++)
		sc_landings_note(landings, test_random(&state), 0, B, NOW,
		    UNTIL);
	for (i = 0; i < SC_LANDINGS_ENTRIES; i++) {
		ck_assert(!allows(neighbour(i), AUTH, A, NOW));
		ck_assert(allows(neighbour(i), AUTH, B, NOW));
	}
	for (i = 0; i < 1000; i++) {
		ck_assert(!allows(test_random(&state), 0, A, NOW));
		ck_assert(allows(test_random(&state) | UINT64_C(1) << 33, AUTH,
		    A, NOW));
	}
}
END_TEST

/* Who was asked for a certificate and showed none is known to nobody either. */
START_TEST(clients_without_a_certificate_never_push_out_those_with_one)
{
	const unsigned nobody = AUTH | SC_RECORD_NOBODY;
	uint64_t state = 1;
	unsigned i;

	for (i = 0; i < 100000; i++)
		sc_landings_note(landings, test_random(&state), nobody, B, NOW,
		    UNTIL);
	for (i = 0; i < 1000; i++)
		ck_assert(allows(test_random(&state), AUTH, A, NOW));
	for (i = 0; i < SC_LANDINGS_ENTRIES - SC_LANDINGS_OF_NOBODY; i++) {
		sc_landings_note(landings, neighbour(i), AUTH, B, NOW, UNTIL);
		ck_assert(!allows(neighbour(i), AUTH, A, NOW));
		ck_assert(allows(neighbour(i), AUTH, B, NOW));
	}
	ck_assert(allows(neighbour(i), AUTH, A, NOW));
}
END_TEST

/* Where there is room, what they find out counts. */
START_TEST(clients_without_a_certificate_are_learned_from)
{
	const unsigned nobody = AUTH | SC_RECORD_NOBODY;

	sc_landings_note(landings, 1, nobody, B, NOW, UNTIL);
	ck_assert(!allows(1, AUTH, A, NOW));
	ck_assert(allows(1, AUTH, B, NOW));
	sc_landings_note(landings, 1, nobody, C, NOW, UNTIL);
	ck_assert(!allows(1, AUTH, B, NOW));
}
END_TEST

START_TEST(other_flags_make_no_difference)
{
	sc_landings_note(landings, 1, AUTH | EMS, B, NOW, UNTIL);
	ck_assert(!allows(1, AUTH | SC_RECORD_TICKET, A, NOW));
	ck_assert(allows(1, EMS, A, NOW));
}
END_TEST

/* Half written, or written over: a full handshake at the worst. */
START_TEST(random_bytes_cost_a_miss_at_the_worst)
{
	uint64_t state = (uint64_t)_i + 1;
	unsigned i;

	test_fill(landings, sizeof(*landings), (uint64_t)_i + 1);
	for (i = 0; i < 1000; i++) {
		(void)allows(test_random(&state), i, test_random(&state), NOW);
		sc_landings_note(landings, test_random(&state), i,
		    test_random(&state), NOW, UNTIL);
	}
	sc_landings_note(landings, 1, 0, B, NOW, UNTIL);
	ck_assert(!allows(1, 0, A, NOW));
}
END_TEST

/* --- threads ------------------------------------------------------------- */

enum { THREADS = 4 };

/* Each knows where what it asks leads; all notice it, in any order. */
static void *
note_and_look(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg;
	unsigned i, n = test_times(200000, 2000);
	uint64_t asked;

	for (i = 0; i < n; i++) {
		asked = neighbour(test_random(&state) % 6);
		if (i % 8 == 0)
			sc_landings_note(landings, asked, 0, asked, NOW + i,
			    NOW + i + 3);
		else
			(void)allows(asked, 0, A, NOW + i);
	}
	return NULL;
}

START_TEST(threads_note_and_look_at_once)
{
	pthread_t threads[THREADS];
	uintptr_t i;

	for (i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
				     note_and_look, (void *)(i + 1)),
		    0);
	for (i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	sc_landings_note(landings, neighbour(0), 0, B, NOW + 10000000,
	    NOW + 10000001);
	ck_assert(!allows(neighbour(0), 0, A, NOW + 10000000));
	ck_assert(allows(neighbour(0), 0, B, NOW + 10000000));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("landings");
	TCase *tc = tcase_create("terms");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, session_resumes_if_it_meets_the_terms, 0,
	    N_OF(term_cases));
	tcase_add_test(tc, what_others_learned_is_looked_up_by_the_place);
	tcase_add_test(tc, what_is_no_session_lands_nowhere);
	suite_add_tcase(suite, tc);
	tc = tcase_create("landings");
	tcase_set_timeout(tc, 300);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, only_sessions_that_say_where_it_leads_resume);
	tcase_add_test(tc, none_resumes_where_it_leads_here_and_there);
	tcase_add_test(tc, none_resumes_where_it_leads_is_not_known);
	tcase_add_test(tc, what_was_learned_is_forgotten_when_its_time_is_over);
	tcase_add_test(tc, full_bucket_means_misses_until_there_is_room);
	tcase_add_test(tc,
	    sessions_without_authentication_never_push_out_those_with);
	tcase_add_test(tc,
	    clients_without_a_certificate_never_push_out_those_with_one);
	tcase_add_test(tc, clients_without_a_certificate_are_learned_from);
	tcase_add_test(tc, other_flags_make_no_difference);
	tcase_add_loop_test(tc, random_bytes_cost_a_miss_at_the_worst, 0, 4);
	tcase_add_test(tc, threads_note_and_look_at_once);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
