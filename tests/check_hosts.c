/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Servers of many names and of many contexts: whoever was there resumes at the
 * first return, whatever strangers do meanwhile and whenever contexts are made.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "process.h"
#include "sesscache.h"
#include "support.h"
#include "tls.h"
#include "visit.h"

enum {
	NAMES = 6000,
	STRANGERS = 20000,
	RETURNS = 40, /* to contexts that come and go */
	THREADS = 4,
	NAME_BYTES = 32,
};

static struct tls_identity server_identity, host_identity, other_identity;

static void
make_identities(void)
{
	test_root_make();
	ck_assert(tls_identity_new(&server_identity, "front.example", 0));
	ck_assert(tls_identity_new(&host_identity, "host.example", 0));
	ck_assert(tls_identity_new(&other_identity, "other.example", 0));
}

static void
free_identities(void)
{
	tls_identity_free(&server_identity);
	tls_identity_free(&host_identity);
	tls_identity_free(&other_identity);
	test_root_remove();
}

static struct sesscache *
open_cache(const struct way *way)
{
	return cache_open(test_dir("cache"), "size", "64M", "tickets",
	    way->tickets, "log", "error", NULL);
}

static SSL_CTX *
attached(struct sesscache *cache, const struct way *way,
    const struct tls_identity *identity)
{
	SSL_CTX *ctx = tls_server_new(identity, way->version);

	MUST(ctx != NULL);
	MUST(sesscache_attach(cache, ctx) == SESSCACHE_OK);
	return ctx;
}

/* --- many names ----------------------------------------------------------- */

/* Every name leads there. */
static int
go_there(SSL *ssl, int *alert, void *arg)
{
	(void)alert;
	MUST(SSL_set_SSL_CTX(ssl, arg) == arg);
	return SSL_TLSEXT_ERR_OK;
}

static const struct {
	int way;
	bool switched; /* between two contexts */
	unsigned strangers;
} crowds[] = {
	{ 0, false, 0 },
	{ 2, true, 0 },
	{ 3, true, STRANGERS },
};

/* A sanitizer learns nothing more from many. */
static unsigned
how_many(unsigned count)
{
	return test_times(TEST_SANITIZED ? count / 10 : count, count / 60);
}

static void
come(SSL_CTX *server, SSL_CTX *client, const char *kind, unsigned number,
    SSL_SESSION **session, bool again)
{
	char name[NAME_BYTES];
	struct visit seen;

	(void)snprintf(name, sizeof(name), "%s%u.example", kind, number);
	seen = visit(server, client, name, session);
	if (!visit_is_served(&seen) || seen.reused != again)
		assert_visit(&seen, again, name);
}

static void
assert_crowd(SSL_CTX *server, SSL_CTX *client, unsigned strangers)
{
	unsigned names = how_many(NAMES);
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): it is pointers */
	SSL_SESSION **sessions = calloc(names, sizeof(*sessions));
	SSL_SESSION *session;

	MUST(sessions != NULL);
	for (unsigned i = 0; i < names; i++)
		come(server, client, "known", i, &sessions[i], false);
	for (unsigned i = 0; i < strangers; i++) {
		session = NULL;
		come(server, client, "stranger", i, &session, false);
		SSL_SESSION_free(session);
	}
	for (unsigned i = 0; i < names; i++) {
		come(server, client, "known", i, &sessions[i], true);
		SSL_SESSION_free(sessions[i]);
	}
	free(sessions);
}

START_TEST(every_name_resumes_at_its_first_return)
{
	const struct way *way = &ways[crowds[_i].way];
	struct sesscache *cache = open_cache(way);
	SSL_CTX *front = attached(cache, way, &server_identity);
	SSL_CTX *host = attached(cache, way, &host_identity);
	SSL_CTX *client = visit_client(way, NULL);

	if (crowds[_i].switched) {
		(void)SSL_CTX_set_tlsext_servername_callback(front, go_there);
		(void)SSL_CTX_set_tlsext_servername_arg(front, host);
	}
	assert_crowd(front, client, how_many(crowds[_i].strangers));
	SSL_CTX_free(client);
	SSL_CTX_free(host);
	SSL_CTX_free(front);
	sesscache_close(cache);
}
END_TEST

/* --- contexts that come and go -------------------------------------------- */

/* What each connection needs to make a context of its own. */
struct maker {
	struct sesscache *cache;
	const struct way *way;
	bool by_name; /* in the server-name callback, not before the SSL */
	SSL_CTX *front;
	pthread_t thread;
	int resumed;
	int served;
};

static int
make_host(SSL *ssl, int *alert, void *arg)
{
	const struct maker *maker = arg;
	SSL_CTX *ctx = attached(maker->cache, maker->way, &host_identity);

	(void)alert;
	MUST(SSL_set_SSL_CTX(ssl, ctx) == ctx);
	SSL_CTX_free(ctx); /* the connection has a reference */
	return SSL_TLSEXT_ERR_OK;
}

static void *
return_often(void *arg)
{
	struct maker *maker = arg;
	SSL_CTX *client = visit_client(maker->way, NULL);
	SSL_SESSION *session = NULL;
	struct visit seen;
	SSL_CTX *server;

	for (unsigned i = 0; i < test_times(RETURNS, 10); i++) {
		server = maker->front;
		if (!maker->by_name)
			server = attached(maker->cache, maker->way,
			    &host_identity);
		seen = visit(server, client, "host.example", &session);
		maker->served += visit_is_served(&seen);
		maker->resumed += seen.reused;
		if (!maker->by_name)
			SSL_CTX_free(server);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	return NULL;
}

static void
assert_made(struct sesscache *cache, const struct way *way, bool by_name,
    int threads)
{
	int want = (int)test_times(RETURNS, 10);
	struct maker makers[THREADS];
	struct maker first = { .cache = cache, .way = way, .by_name = by_name };

	first.front = attached(cache, way, &server_identity);
	(void)SSL_CTX_set_tlsext_servername_callback(first.front, make_host);
	(void)SSL_CTX_set_tlsext_servername_arg(first.front, &first);
	for (int i = 0; i < threads; i++) {
		makers[i] = first;
		MUST(pthread_create(&makers[i].thread, NULL, return_often,
			 &makers[i]) == 0);
	}
	for (int i = 0; i < threads; i++)
		MUST(pthread_join(makers[i].thread, NULL) == 0);
	for (int i = 0; i < threads; i++) {
		ck_assert_msg(makers[i].served == want, "%s: served %d of %d",
		    way->name, makers[i].served, want);
		ck_assert_msg(makers[i].resumed == want - 1,
		    "%s: resumed %d of %d", way->name, makers[i].resumed,
		    want - 1);
	}
	SSL_CTX_free(first.front);
}

static const struct {
	bool by_name;
	int threads;
} makings[] = { { false, 1 }, { true, 1 }, { false, THREADS },
	{ true, THREADS } };

/* While a context of another name is there, all the time. */
START_TEST(context_of_each_connection_finds_the_sessions_of_the_last)
{
	struct sesscache *cache = open_cache(WAY);
	SSL_CTX *other = attached(cache, WAY, &other_identity);

	assert_made(cache, WAY, makings[CASE].by_name, makings[CASE].threads);
	SSL_CTX_free(other);
	sesscache_close(cache);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("hosts");
	TCase *tc = tcase_create("hosts");

	tcase_add_unchecked_fixture(tc, make_identities, free_identities);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, every_name_resumes_at_its_first_return, 0,
	    N_OF(crowds));
	tcase_add_loop_test(tc,
	    context_of_each_connection_finds_the_sessions_of_the_last, 0,
	    N_WAYS * N_OF(makings));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
