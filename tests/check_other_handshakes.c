/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handshakes over datagrams, and those that renegotiate: a session resumes
 * where it was made, no data passes where the server name leads elsewhere, and
 * the next handshake is a full one.
 */
#include <check.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "policy.h"
#include "process.h"
#include "sesscache.h"
#include "support.h"
#include "tls.h"
#include "visit.h"

enum {
	REQUIRED = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	TRUST_STAFF = 1 << STAFF,
	TRUST_PARTNERS = 1 << PARTNERS,
};

static const struct policy front_policy = { .leaf = FRONT };
static const struct policy open_policy = { .leaf = HOST_A };
static const struct policy other_policy = { .leaf = HOST_B };
static const struct policy strict_policy = { .leaf = HOST_A,
	.verify = REQUIRED,
	.trusted = TRUST_STAFF };
static const struct policy other_strict_policy = { .leaf = HOST_B,
	.verify = REQUIRED,
	.trusted = TRUST_STAFF };
static const struct policy wider_policy = { .leaf = HOST_A,
	.verify = REQUIRED,
	.trusted = TRUST_STAFF | TRUST_PARTNERS };
static const struct policy foreign_policy = { .leaf = HOST_A,
	.verify = REQUIRED,
	.trusted = TRUST_PARTNERS };

/* --- a server whose name leads to one of two contexts --------------------- */

struct server {
	struct sesscache *cache;
	SSL_CTX *front; /* that connections begin in */
	SSL_CTX *one;
	SSL_CTX *two;
	struct tls_host hosts[2]; /* where the name leads now */
};

static SSL_CTX *
new_context(const struct server *server, const struct policy *policy,
    const struct way *way)
{
	SSL_CTX *ctx = policy_server_new(policy, way->version);

	MUST(sesscache_attach(server->cache, ctx) == SESSCACHE_OK);
	return ctx;
}

static void
server_open(struct server *server, const struct way *way,
    const struct policy *one, const struct policy *two)
{
	memset(server, 0, sizeof(*server));
	server->cache = cache_open(test_dir("cache"), "size", "4M", "tickets",
	    way->tickets, NULL);
	server->front = new_context(server, &front_policy, way);
	server->one = new_context(server, one, way);
	server->two = new_context(server, two, way);
	server->hosts[0].name = POLICY_NAME;
	server->hosts[0].ctx = server->one;
	tls_serve_hosts(server->front, TLS_BY_NAME, server->hosts);
}

static void
server_close(struct server *server)
{
	SSL_CTX_free(server->front);
	SSL_CTX_free(server->one);
	SSL_CTX_free(server->two);
	sesscache_close(server->cache);
}

static SSL_CTX *
client_of(const struct way *way, enum who who)
{
	return visit_client(way, who != NO_ONE ? policy_identity(who) : NULL);
}

static const struct {
	const char *name;
	enum who client;
	const struct policy *one;
	const struct policy *two;
} moves[] = {
	{ "other names", NO_ONE, &open_policy, &other_policy },
	{ "one demands certificates", MEMBER, &open_policy, &strict_policy },
	{ "both demand certificates", MEMBER, &strict_policy,
	    &other_strict_policy },
};

/* --- datagrams ------------------------------------------------------------ */

static const struct way datagram_ways[] = {
	{ "DTLS 1.2 session ID", DTLS1_2_VERSION, "off", 0, false },
	{ "DTLS 1.2 ticket", DTLS1_2_VERSION, "shared", 0, true },
};

enum { MTU_BYTES = 1400 };

/* What a server does to see that a client is where it says. */
enum greeting { NO_COOKIE, COOKIE, COOKIE_BY_LISTEN, N_GREETINGS };

#define DATAGRAM_WAY (&datagram_ways[_i % N_OF(datagram_ways)])
#define GREETING ((enum greeting)(_i / N_OF(datagram_ways) % N_GREETINGS))
#define DATAGRAM_MOVE (&moves[_i / N_OF(datagram_ways) / N_GREETINGS])
#define N_DATAGRAMS (N_OF(datagram_ways) * N_GREETINGS * N_OF(moves))

static int
make_cookie(SSL *ssl, unsigned char *cookie, unsigned *len)
{
	(void)ssl;
	cookie[0] = 1;
	*len = 1;
	return 1;
}

static int
verify_cookie(SSL *ssl, const unsigned char *cookie, unsigned len)
{
	(void)ssl;
	return len == 1 && cookie[0] == 1;
}

static void
ask_for_cookies(SSL_CTX *ctx, enum greeting greeting)
{
	SSL_CTX_set_cookie_generate_cb(ctx, make_cookie);
	SSL_CTX_set_cookie_verify_cb(ctx, verify_cookie);
	if (greeting == COOKIE)
		(void)SSL_CTX_set_options(ctx, SSL_OP_COOKIE_EXCHANGE);
}

/* A ClientHello, and the same with the cookie; DTLSv1_listen() takes none that
 * is in fragments. */
static void
listen_first(const struct tls_pair *pair)
{
	BIO_ADDR *peer = BIO_ADDR_new();

	MUST(peer != NULL);
	(void)SSL_set_options(pair->client, SSL_OP_NO_QUERY_MTU);
	MUST(SSL_set_mtu(pair->client, MTU_BYTES) == MTU_BYTES);
	(void)SSL_do_handshake(pair->client);
	ck_assert_int_eq(DTLSv1_listen(pair->server, peer), 0);
	(void)SSL_do_handshake(pair->client);
	ck_assert_int_eq(DTLSv1_listen(pair->server, peer), 1);
	BIO_ADDR_free(peer);
}

/* As visit(). */
static struct visit
visit_by_datagrams(const struct server *server, SSL_CTX *client,
    enum greeting greeting, SSL_SESSION **session)
{
	SSL_SESSION *offered = NULL;
	struct tls_pair pair;
	struct visit seen;

	if (*session != NULL)
		offered = SSL_SESSION_dup(*session);
	MUST(tls_pair_new(&pair, server->front, client, offered, POLICY_NAME));
	if (greeting == COOKIE_BY_LISTEN)
		listen_first(&pair);
	seen = visit_pair(&pair);
	visit_end(&pair, &seen, session);
	SSL_SESSION_free(offered);
	return seen;
}

/* Without an alert it would wait for its timeout. */
static void
assert_told(const struct visit *seen, const char *where)
{
	assert_never_served(seen, where);
	ck_assert_msg(ERR_GET_REASON(seen->outcome.client_error) ==
		SSL_R_TLSV1_ALERT_INTERNAL_ERROR,
	    "%s: not told", where);
}

START_TEST(client_over_datagrams_resumes_or_is_told_that_the_name_has_moved)
{
	const char *name = DATAGRAM_MOVE->name;
	SSL_CTX *client = client_of(DATAGRAM_WAY, DATAGRAM_MOVE->client);
	SSL_SESSION *session = NULL;
	struct server server;
	struct visit seen;

	server_open(&server, DATAGRAM_WAY, DATAGRAM_MOVE->one,
	    DATAGRAM_MOVE->two);
	ask_for_cookies(server.front, GREETING);
	for (int i = 0; i < 3; i++) {
		seen = visit_by_datagrams(&server, client, GREETING, &session);
		assert_visit(&seen, i > 0,
		    visit_at(DATAGRAM_WAY, name, "at one"));
	}
	server.hosts[0].ctx = server.two;
	seen = visit_by_datagrams(&server, client, GREETING, &session);
	assert_told(&seen, visit_at(DATAGRAM_WAY, name, "moved"));
	for (int i = 0; i < 2; i++) {
		seen = visit_by_datagrams(&server, client, GREETING, &session);
		assert_visit(&seen, i > 0,
		    visit_at(DATAGRAM_WAY, name, "at two"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	server_close(&server);
}
END_TEST

/* --- renegotiation -------------------------------------------------------- */

static const struct way again_ways[] = {
	{ "TLS 1.2 session ID", TLS1_2_VERSION, "off", 0, false },
	{ "TLS 1.2 ticket", TLS1_2_VERSION, "shared", 0, true },
};

#define AGAIN_WAY (&again_ways[_i % N_OF(again_ways)])
#define BY_CLIENT (_i / N_OF(again_ways) % 2 == 1)
#define AGAIN_CASE (_i / N_OF(again_ways) / 2)
#define N_AGAIN(cases) (N_OF(again_ways) * 2 * N_OF(cases))

static void
allow_clients(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_options(ctx, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
}

/* The client offers the session that the connection has. */
static void
start_again(const struct tls_pair *pair, bool by_client)
{
	if (by_client) {
		MUST(SSL_renegotiate_abbreviated(pair->client) == 1);
		(void)SSL_do_handshake(pair->client);
	} else {
		MUST(SSL_renegotiate(pair->server) == 1);
		(void)SSL_do_handshake(pair->server);
	}
}

static struct visit
visit_again(const struct tls_pair *pair, bool by_client)
{
	struct visit seen = { .reused = false };
	char before[64], after[64], byte;
	size_t len = SSL_get_peer_finished(pair->server, before,
	    sizeof(before));

	start_again(pair, by_client);
	for (int i = 0; i < 8; i++) {
		(void)SSL_read(pair->server, &byte, 1);
		(void)SSL_read(pair->client, &byte, 1);
	}
	MUST(SSL_get_peer_finished(pair->server, after, sizeof(after)) == len);
	seen.outcome.server_done = SSL_is_init_finished(pair->server) == 1 &&
	    memcmp(before, after, len) != 0;
	seen.outcome.client_done = SSL_is_init_finished(pair->client) == 1;
	seen.asked = tls_send(pair->client, pair->server, "question");
	seen.answered = tls_send(pair->server, pair->client, "answer");
	seen.reused = SSL_session_reused(pair->server) == 1;
	ERR_clear_error();
	return seen;
}

static void
connect_pair(struct tls_pair *pair, SSL_CTX *server, SSL_CTX *client,
    const char *where)
{
	struct visit seen;

	MUST(tls_pair_new(pair, server, client, NULL, POLICY_NAME));
	seen = visit_pair(pair);
	assert_full(&seen, where);
}

START_TEST(renegotiation_resumes_where_the_name_stays)
{
	const char *name = moves[AGAIN_CASE].name;
	SSL_CTX *client = client_of(AGAIN_WAY, moves[AGAIN_CASE].client);
	struct server server;
	struct tls_pair pair;
	struct visit seen;

	server_open(&server, AGAIN_WAY, moves[AGAIN_CASE].one,
	    moves[AGAIN_CASE].two);
	allow_clients(server.front);
	connect_pair(&pair, server.front, client,
	    visit_at(AGAIN_WAY, name, "first"));
	for (int i = 0; i < 2; i++) {
		seen = visit_again(&pair, BY_CLIENT);
		assert_resumed(&seen, visit_at(AGAIN_WAY, name, "again"));
	}
	tls_pair_free(&pair);
	SSL_CTX_free(client);
	server_close(&server);
}
END_TEST

START_TEST(renegotiation_passes_nothing_where_the_name_has_moved)
{
	const char *name = moves[AGAIN_CASE].name;
	SSL_CTX *client = client_of(AGAIN_WAY, moves[AGAIN_CASE].client);
	SSL_SESSION *session;
	struct server server;
	struct tls_pair pair;
	struct visit seen;

	server_open(&server, AGAIN_WAY, moves[AGAIN_CASE].one,
	    moves[AGAIN_CASE].two);
	allow_clients(server.front);
	connect_pair(&pair, server.front, client,
	    visit_at(AGAIN_WAY, name, "first"));
	session = SSL_SESSION_dup(SSL_get_session(pair.client));
	server.hosts[0].ctx = server.two;
	seen = visit_again(&pair, BY_CLIENT);
	assert_never_served(&seen, visit_at(AGAIN_WAY, name, "moved"));
	ck_assert(!seen.outcome.server_done && !seen.outcome.client_done);
	tls_pair_free(&pair);
	for (int i = 0; i < 2; i++) {
		seen = visit(server.front, client, POLICY_NAME, &session);
		assert_visit(&seen, i > 0, visit_at(AGAIN_WAY, name, "next"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	server_close(&server);
}
END_TEST

static const struct {
	const char *name;
	const struct policy *before;
	const struct policy *after;
	bool refused; /* the client */
} changes[] = {
	{ "certificates demanded", &open_policy, &strict_policy, false },
	{ "certificates demanded of others", &open_policy, &foreign_policy,
	    true },
	{ "one authority more", &strict_policy, &wider_policy, false },
	{ "another authority", &strict_policy, &foreign_policy, true },
	{ "certificates no more demanded", &strict_policy, &open_policy,
	    false },
};

START_TEST(renegotiation_under_another_policy_resumes_nothing)
{
	const char *name = changes[AGAIN_CASE].name;
	const struct policy *after = changes[AGAIN_CASE].after;
	SSL_CTX *client = client_of(AGAIN_WAY, MEMBER);
	struct server server;
	struct tls_pair pair;
	struct visit seen;

	server_open(&server, AGAIN_WAY, changes[AGAIN_CASE].before, after);
	allow_clients(server.one);
	connect_pair(&pair, server.one, client,
	    visit_at(AGAIN_WAY, name, "first"));
	policy_apply(server.one, after, false);
	MUST(policy_switch(pair.server, server.one));
	seen = visit_again(&pair, BY_CLIENT);
	if (changes[AGAIN_CASE].refused) {
		assert_never_served(&seen, visit_at(AGAIN_WAY, name, "again"));
	} else {
		assert_full(&seen, visit_at(AGAIN_WAY, name, "again"));
		ck_assert(SSL_get_verify_result(pair.server) == X509_V_OK);
		ck_assert_int_eq(policy_asks(after),
		    SSL_get0_peer_certificate(pair.server) != NULL);
	}
	tls_pair_free(&pair);
	SSL_CTX_free(client);
	server_close(&server);
}
END_TEST

static int
believe(int verified, X509_STORE_CTX *store)
{
	(void)verified;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

static int
doubt(int verified, X509_STORE_CTX *store)
{
	(void)verified;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static void
pass_lists(SSL *ssl)
{
	SSL_set_verify(ssl, REQUIRED, believe);
	MUST(X509_VERIFY_PARAM_set_flags(SSL_get0_param(ssl),
		 X509_V_FLAG_CRL_CHECK) == 1);
}

static void
refuse_all(SSL *ssl)
{
	SSL_set_verify(ssl, REQUIRED, doubt);
}

static void
miss_lists(SSL *ssl)
{
	SSL_set_verify(ssl, REQUIRED, NULL);
	MUST(X509_VERIFY_PARAM_set_flags(SSL_get0_param(ssl),
		 X509_V_FLAG_CRL_CHECK) == 1);
}

static const struct {
	const char *name;
	void (*ask)(SSL *ssl); /* the second time */
	bool refused;
} demands[] = {
	{ "another callback", refuse_all, true },
	{ "another callback and lists", miss_lists, true },
	{ "lists, and who believes", pass_lists, false },
};

/* It may show the certificate again, but has to. */
START_TEST(client_that_is_asked_again_is_verified_again)
{
	enum { WAYS = N_OF(again_ways) };
	const char *name = demands[_i / WAYS].name;
	SSL_CTX *client = client_of(AGAIN_WAY, MEMBER);
	SSL_SESSION *session;
	struct server server;
	struct tls_pair pair;
	struct visit seen;

	server_open(&server, AGAIN_WAY, &open_policy, &open_policy);
	connect_pair(&pair, server.one, client,
	    visit_at(AGAIN_WAY, name, "first"));
	SSL_set_verify(pair.server, REQUIRED, believe);
	seen = visit_again(&pair, false);
	assert_full(&seen, visit_at(AGAIN_WAY, name, "asked"));
	session = SSL_get1_session(pair.client);
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	MUST(tls_pair_new(&pair, server.one, client, session, POLICY_NAME));
	seen = visit_pair(&pair);
	assert_resumed(&seen, visit_at(AGAIN_WAY, name, "back"));
	demands[_i / WAYS].ask(pair.server);
	seen = visit_again(&pair, false);
	if (demands[_i / WAYS].refused)
		assert_never_served(&seen,
		    visit_at(AGAIN_WAY, name, "asked again"));
	else
		assert_full(&seen, visit_at(AGAIN_WAY, name, "asked again"));
	tls_pair_free(&pair);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	server_close(&server);
}
END_TEST

/* --- all of it ------------------------------------------------------------ */

int
main(void)
{
	Suite *suite = suite_create("other handshakes");
	TCase *tc = tcase_create("other handshakes");

	tcase_add_unchecked_fixture(tc, policy_world_make, policy_world_remove);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_add_loop_test(tc,
	    client_over_datagrams_resumes_or_is_told_that_the_name_has_moved, 0,
	    N_DATAGRAMS);
	tcase_add_loop_test(tc, renegotiation_resumes_where_the_name_stays, 0,
	    N_AGAIN(moves));
	tcase_add_loop_test(tc,
	    renegotiation_passes_nothing_where_the_name_has_moved, 0,
	    N_AGAIN(moves));
	tcase_add_loop_test(tc,
	    renegotiation_under_another_policy_resumes_nothing, 0,
	    N_AGAIN(changes));
	tcase_add_loop_test(tc, client_that_is_asked_again_is_verified_again, 0,
	    N_OF(again_ways) * N_OF(demands));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
