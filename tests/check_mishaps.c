/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a connection may lose in the middle of a handshake: memory runs out, or
 * the application gives up a context.  It fails no handshake, lets nobody
 * resume who would be refused, and teaches nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "openssl/quiet.h"
#include "policy.h"
#include "process.h"
#include "sesscache.h"
#include "street.h"
#include "support.h"
#include "tls.h"
#include "visit.h"
#include "wrap.h"

enum {
	MOST = 10000, /* allocations of one handshake */
	EACH = 100,   /* of which each fails, and then one in so many */
};

/* --- memory --------------------------------------------------------------- */

/* Of what is allocated while a callback of ours runs, by whomever. */
static struct {
	bool counting;
	bool ever_after;
	bool failed;
	unsigned depth; /* of our callbacks within one another */
	unsigned count;
	unsigned nth; /* the one that fails; 0: none */
} heap;

static bool
is_refused(void)
{
	bool now;

	if (!heap.counting || heap.depth == 0 || heap.nth == 0)
		return false;
	heap.count++;
	now = heap.count == heap.nth ||
	    (heap.ever_after && heap.count > heap.nth);
	heap.failed = heap.failed || now;
	return now;
}

void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *memory, size_t size);
void *WRAP(malloc)(size_t size);
void *WRAP(calloc)(size_t count, size_t size);
void *WRAP(realloc)(void *memory, size_t size);

void *
WRAP(malloc)(size_t size)
{
	return is_refused() ? NULL : REAL(malloc)(size);
}

void *
WRAP(calloc)(size_t count, size_t size)
{
	return is_refused() ? NULL : REAL(calloc)(count, size);
}

void *
WRAP(realloc)(void *memory, size_t size)
{
	return is_refused() ? NULL : REAL(realloc)(memory, size);
}

static void *
openssl_malloc(size_t size, const char *file, int line)
{
	(void)file, (void)line;
	return malloc(size);
}

static void *
openssl_realloc(void *memory, size_t size, const char *file, int line)
{
	(void)file, (void)line;
	return realloc(memory, size);
}

static void
openssl_free(void *memory, const char *file, int line)
{
	(void)file, (void)line;
	free(memory);
}

void REAL(sc_quiet_begin)(struct sc_quiet *quiet);
void REAL(sc_quiet_end)(const struct sc_quiet *quiet);
void WRAP(sc_quiet_begin)(struct sc_quiet *quiet);
void WRAP(sc_quiet_end)(const struct sc_quiet *quiet);

void
WRAP(sc_quiet_begin)(struct sc_quiet *quiet)
{
	REAL(sc_quiet_begin)(quiet);
	heap.depth++;
}

void
WRAP(sc_quiet_end)(const struct sc_quiet *quiet)
{
	heap.depth--;
	REAL(sc_quiet_end)(quiet);
}

static void
heap_start(unsigned nth, bool ever_after)
{
	heap.nth = nth;
	heap.ever_after = ever_after;
	heap.count = 0;
	heap.failed = false;
	heap.counting = true;
}

/* Whether an allocation failed. */
static bool
heap_stop(void)
{
	heap.counting = false;
	return heap.failed;
}

static const struct journey {
	const char *name;
	bool offers;   /* a session */
	bool member;   /* has a certificate */
	bool strays;   /* goes to a host that is not attached */
	bool mislands; /* its session is of the open host */
	street_event *after;
} journeys[] = {
	{ .name = "first visit" },
	{ "first visit of a member", .member = true },
	{ "return", .offers = true },
	{ "return of a member", .offers = true, .member = true },
	{ "return to a stray host", .offers = true, .strays = true },
	{ "return without the info callback", .offers = true,
	    .after = street_take_info },
	{ "mis-landing", .offers = true, .mislands = true },
	{ "mis-landing without the info callback", .offers = true,
	    .mislands = true, .after = street_take_info },
};

/* Where it belongs. */
static SSL_CTX *
home_of(const struct street *street, const struct journey *journey)
{
	if (journey->member)
		return street->strict;
	return journey->strays ? street->stray : street->open;
}

/*
 * Without any memory no ticket can be made that nobody opens; then OpenSSL ends
 * the handshake in which one was promised.
 */
static bool
may_fail(const struct way *way, bool ever_after)
{
	return ever_after && way->stateless;
}

static void
assert_survived(const struct street *street, const struct journey *journey,
    bool ever_after, const struct visit *seen)
{
	if (journey->mislands)
		assert_never_served(seen, street_at(street, "without memory"));
	else if (!may_fail(street->way, ever_after))
		assert_visit(seen, seen->reused,
		    street_at(street, "without memory"));
}

/* One name for each time: what a mis-landing teaches is of its name. */
static const char *
name_of(unsigned nth, bool ever_after)
{
	static char name[32];

	(void)snprintf(name, sizeof(name), "%u-%d.example", nth, ever_after);
	return name;
}

/* Without a failure a mis-landing is one, and is learned. */
static bool
travel(const struct street *street, const struct journey *journey, unsigned nth,
    bool ever_after)
{
	SSL_CTX *client = journey->member ? street->member : street->nobody;
	const char *name = name_of(nth, ever_after);
	SSL_SESSION *session = NULL, *offered = NULL;
	struct visit seen;
	bool failed;

	street_lead.host = home_of(street, journey);
	seen = visit(street->front, client, name, &session);
	assert_full(&seen, street_at(street, "before"));
	if (journey->offers)
		offered = SSL_SESSION_dup(session);
	if (journey->mislands)
		street_lead.host = street->strict;
	street_lead.after = journey->after;
	heap_start(nth, ever_after);
	seen = visit(street->front, client, name, &offered);
	failed = heap_stop();
	assert_survived(street, journey, ever_after, &seen);
	street_lead.host = home_of(street, journey);
	street_lead.after = NULL;
	seen = visit(street->front, client, name, &session);
	assert_visit(&seen, journey->mislands ? failed && seen.reused : true,
	    street_at(street, "afterwards"));
	SSL_SESSION_free(offered);
	SSL_SESSION_free(session);
	return failed;
}

START_TEST(allocation_that_fails_costs_a_full_handshake_at_most)
{
	const struct journey *journey = &journeys[CASE];
	struct street street;
	unsigned nth;

	street_open(&street, WAY, journey->name, street_cache(WAY, "auto"));
	for (int ever_after = 0; ever_after < 2; ever_after++) {
		for (nth = 1; nth < MOST; nth += 1 + nth / EACH * 2) {
			if (!travel(&street, journey, nth, ever_after != 0))
				break;
		}
		ck_assert_msg(nth > 3 && nth < MOST, "%s: %u allocations",
		    journey->name, nth);
	}
	street_close(&street);
}
END_TEST

/* --- contexts that are given up ------------------------------------------- */

/* For one connection; the application's own references. */
static struct {
	struct sesscache *cache;
	const struct way *way;
	const struct policy *policy; /* of the host */
	SSL_CTX *front;
	SSL_CTX *middle;
} owned;

static void
let_go(SSL_CTX **ctx)
{
	SSL_CTX_free(*ctx);
	*ctx = NULL;
}

static void
free_front(SSL *ssl)
{
	(void)ssl;
	let_go(&owned.front);
}

static void
free_host(SSL *ssl)
{
	(void)ssl;
	let_go(&street_lead.host);
}

static void
free_all(SSL *ssl)
{
	free_front(ssl);
	free_host(ssl);
	let_go(&owned.middle);
}

/* The connection has the last reference, until it goes on elsewhere. */
static void
go_through_middle(SSL *ssl)
{
	MUST(policy_switch(ssl, owned.middle));
	let_go(&owned.middle);
}

static void
go_through_middle_unseen(SSL *ssl)
{
	go_through_middle(ssl);
	street_take_info(ssl);
}

static void
go_elsewhere(SSL *ssl)
{
	SSL_CTX *other = street_server(owned.cache, owned.way, owned.policy);

	MUST(policy_switch(ssl, other));
	let_go(&other);
	free_all(ssl);
}

static void
attach_connection(SSL *ssl)
{
	MUST(sesscache_attach_ssl(owned.cache, ssl) == SESSCACHE_OK);
}

static void
attach_and_free_front(SSL *ssl)
{
	attach_connection(ssl);
	free_front(ssl);
}

static void
attach_in_middle(SSL *ssl)
{
	go_through_middle(ssl);
	attach_connection(ssl);
}

static const struct ending {
	const char *name;
	street_event *start;  /* the connection is made */
	street_event *hello;  /* the client-hello callback */
	street_event *before; /* the server-name callback switches */
	street_event *after;
	street_event *between; /* the first flights */
	bool late;             /* the front is not attached before */
	bool resumes;
	bool slow; /* only at its second return, if it has a ticket */
} endings[] = {
	{ "first, at once", .start = free_front, .resumes = true },
	{ "first, in the client-hello callback", .hello = free_front,
	    .resumes = true },
	{ "first, in the server-name callback", .before = free_front,
	    .resumes = true },
	{ "all, in the server-name callback", .after = free_all,
	    .resumes = true },
	{ "all, between flights", .between = free_all, .resumes = true },
	{ "one between, by name", .before = go_through_middle,
	    .resumes = true },
	/* It must land where that switch led. */
	{ "one between, by hello", .hello = go_through_middle },
	{ "one between, no info callback", .start = street_take_info,
	    .hello = go_through_middle, .resumes = true, .slow = true },
	{ "one between, info callback taken there",
	    .hello = go_through_middle_unseen, .resumes = true },
	{ "that of the handshake, between flights", .between = go_elsewhere },
	{ "first, when the connection is attached",
	    .start = attach_and_free_front, .late = true, .resumes = true },
	{ "one between, where the connection is attached",
	    .hello = attach_in_middle, .late = true },
};

static int
on_hello(SSL *ssl, int *alert, void *arg)
{
	const struct ending *ending = arg;

	(void)alert;
	street_happen(ending->hello, ssl);
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* The contexts of one connection, which goes to a host of this policy. */
static void
own_contexts(const struct ending *ending, const struct policy *policy)
{
	struct sesscache *cache = owned.cache;

	owned.policy = policy;
	owned.front = street_server(ending->late ? NULL : cache, owned.way,
	    &street_front_policy);
	if (ending->late)
		(void)SSL_CTX_clear_options(owned.front, SSL_OP_NO_TICKET);
	owned.middle = street_server(cache, owned.way, &street_front_policy);
	street_lead.host = street_server(cache, owned.way, policy);
	street_lead.before = ending->before;
	street_lead.after = ending->after;
	SSL_CTX_set_client_hello_cb(owned.front, on_hello,
	    (void *)(uintptr_t)ending);
	(void)SSL_CTX_set_tlsext_servername_callback(owned.front,
	    street_on_name);
	(void)SSL_CTX_set_tlsext_servername_callback(owned.middle,
	    street_on_name);
}

static struct visit
live_and_end(const struct ending *ending, const struct policy *policy,
    SSL_CTX *client, SSL_SESSION **session)
{
	struct tls_pair pair;
	struct visit seen;

	own_contexts(ending, policy);
	MUST(tls_pair_new(&pair, owned.front, client, *session, POLICY_NAME));
	street_happen(ending->start, pair.server);
	(void)SSL_do_handshake(pair.client);
	(void)SSL_do_handshake(pair.server);
	street_happen(ending->between, pair.server);
	seen = visit_pair(&pair);
	visit_end(&pair, &seen, session);
	free_all(NULL);
	return seen;
}

START_TEST(context_that_is_given_up_lives_as_long_as_its_connection)
{
	const struct ending *ending = &endings[CASE];
	SSL_CTX *client = visit_client(WAY, NULL);
	SSL_SESSION *session = NULL;
	struct visit seen;
	const char *where = visit_at(WAY, ending->name, "");

	memset(&street_lead, 0, sizeof(street_lead));
	owned.way = WAY;
	owned.cache = street_cache(WAY, "auto");
	for (int i = 0; i < 3; i++) {
		seen = live_and_end(ending, &street_open_policy, client,
		    &session);
		assert_visit(&seen,
		    ending->slow && i == 1 ? seen.reused :
					     ending->resumes && i > 0,
		    where);
	}
	for (int i = 0; i < 2; i++) {
		seen = live_and_end(ending, &street_strict_policy, client,
		    &session);
		assert_never_served(&seen, where);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	sesscache_close(owned.cache);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mishaps");
	TCase *tc = tcase_create("mishaps");

	MUST(CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc,
		 openssl_free) == 1);
	tcase_set_timeout(tc, 300);
	tcase_add_unchecked_fixture(tc, policy_world_make, policy_world_remove);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_add_loop_test(tc,
	    allocation_that_fails_costs_a_full_handshake_at_most, 0,
	    N_WAYS * N_OF(journeys));
	tcase_add_loop_test(tc,
	    context_that_is_given_up_lives_as_long_as_its_connection, 0,
	    N_WAYS * N_OF(endings));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
