/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The library beside what an application does with its SSL_CTX and its SSL:
 * callbacks of its own, objects that are used again, sessions that it removes,
 * contexts that are client and server.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "api/handle.h"
#include "openssl/session.h"
#include "ownkey.h"
#include "process.h"
#include "sesscache.h"
#include "support.h"
#include "tls.h"
#include "visit.h"

enum { REQUIRED = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT };

enum who { FRONT, HOST_A, HOST_B, REMOTE, CLIENT, N_WHO };

static struct tls_identity identities[N_WHO];

static void
make_identities(void)
{
	static const char *const names[N_WHO] = { "front", "a.example",
		"b.example", "remote.example", "client" };

	test_root_make();
	for (int i = 0; i < N_WHO; i++)
		ck_assert(tls_identity_new(&identities[i], names[i], 0));
}

static void
free_identities(void)
{
	for (int i = 0; i < N_WHO; i++)
		tls_identity_free(&identities[i]);
	test_root_remove();
}

static struct sesscache *
open_cache(const char *tickets, const char *single_use)
{
	return cache_open(test_dir("cache"), "size", "4M", "tickets", tickets,
	    "single-use", single_use, "log", "error", NULL);
}

/* With the cache, or as OpenSSL is alone if it is NULL. */
static SSL_CTX *
server_of(struct sesscache *cache, const struct way *way, enum who who,
    const char *realm)
{
	SSL_CTX *ctx = tls_server_new(&identities[who], way->version);
	enum sesscache_status status = SESSCACHE_OK;

	MUST(ctx != NULL);
	MUST(SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"own",
		 3) == 1);
	if (cache == NULL && !way->stateless)
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	else if (cache != NULL && realm != NULL)
		status = sesscache_attach_realm(cache, ctx, realm);
	else if (cache != NULL)
		status = sesscache_attach(cache, ctx);
	MUST(status == SESSCACHE_OK);
	return ctx;
}

static struct sesscache_stats
stats_of(struct sesscache *cache)
{
	struct sesscache_stats stats;

	MUST(sesscache_stats(cache, &stats) == SESSCACHE_OK);
	return stats;
}

static int
accept_all(int preverified, X509_STORE_CTX *store)
{
	(void)preverified;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

/* --- info callbacks that call each other ---------------------------------- */

typedef void info_callback(const SSL *ssl, int where, int ret);

static struct {
	int first; /* times that the first of the application's ran */
	int chained;
	int depth;            /* of calls of the second within one another */
	info_callback *older; /* what the second calls; NULL: nothing */
} infos;

static void
on_first(const SSL *ssl, int where, int ret)
{
	(void)ssl, (void)where, (void)ret;
	infos.first++;
}

static void
on_chained(const SSL *ssl, int where, int ret)
{
	(void)ret;
	infos.chained++;
	MUST(infos.depth == 0); /* or it never ends */
	infos.depth++;
	if (infos.older != NULL)
		infos.older(ssl, where, ret);
	infos.depth--;
}

static void
chain_to_context(SSL_CTX *ctx)
{
	infos.older = SSL_CTX_get_info_callback(ctx);
	SSL_CTX_set_info_callback(ctx, on_chained);
}

/* Of a connection, from its first callback on. */
static int
chain_to_connection(SSL *ssl, int *alert, void *arg)
{
	(void)alert, (void)arg;
	if (SSL_get_info_callback(ssl) != on_chained)
		infos.older = SSL_get_info_callback(ssl);
	if (infos.older == NULL)
		infos.older = SSL_CTX_get_info_callback(SSL_get_SSL_CTX(ssl));
	SSL_set_info_callback(ssl, on_chained);
	return SSL_CLIENT_HELLO_SUCCESS;
}

static void
chain_in_hello(SSL_CTX *ctx)
{
	SSL_CTX_set_client_hello_cb(ctx, chain_to_connection, NULL);
}

static void
chain_in_name(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, chain_to_connection);
}

static const struct {
	const char *name;
	bool first; /* one of the application's from before the attach */
	void (*chain)(SSL_CTX *ctx);
} chains[] = {
	{ "one before", true, NULL },
	{ "on the context", false, chain_to_context },
	{ "on the context, and one before", true, chain_to_context },
	{ "in the client-hello callback", false, chain_in_hello },
	{ "in the client-hello callback, and one before", true,
	    chain_in_hello },
	{ "in the server-name callback", false, chain_in_name },
	{ "in the server-name callback, and one before", true, chain_in_name },
};

struct events {
	int first;
	int chained;
};

/* Of a full handshake, and of the resumption after it. */
static void
count_events(struct sesscache *cache, const struct way *way, int which,
    struct events events[2])
{
	SSL_CTX *client = visit_client(way, NULL);
	SSL_CTX *ctx = tls_server_new(&identities[HOST_A], way->version);
	SSL_SESSION *session = NULL;
	struct visit seen;

	memset(&infos, 0, sizeof(infos));
	if (chains[which].first)
		SSL_CTX_set_info_callback(ctx, on_first);
	if (cache != NULL)
		ck_done(sesscache_attach(cache, ctx));
	else if (!way->stateless)
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	if (chains[which].chain != NULL)
		chains[which].chain(ctx);
	for (int i = 0; i < 2; i++) {
		infos.first = infos.chained = 0;
		seen = visit(ctx, client, "a.example", &session);
		assert_visit(&seen, i > 0,
		    visit_at(way, chains[which].name,
			cache != NULL ? "attached" : "plain"));
		events[i].first = infos.first;
		events[i].chained = infos.chained;
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(ctx);
	SSL_CTX_free(client);
}

START_TEST(info_callbacks_that_call_each_other_run_once_for_each_event)
{
	struct sesscache *cache = open_cache(WAY->tickets, "auto");
	struct events plain[2], events[2];

	count_events(NULL, WAY, CASE, plain);
	count_events(cache, WAY, CASE, events);
	for (int i = 0; i < 2; i++) {
		ck_assert_msg(plain[i].first + plain[i].chained > 0,
		    "no event");
		ck_assert_msg(events[i].first == plain[i].first &&
			events[i].chained == plain[i].chained,
		    "%s: %s: handshake %d: %d and %d events, plain %d and %d",
		    WAY->name, chains[CASE].name, i, events[i].first,
		    events[i].chained, plain[i].first, plain[i].chained);
	}
	sesscache_close(cache);
}
END_TEST

/* --- callbacks that are set while a name is looked up --------------------- */

/* Where a name leads, and what the application does on the way. */
static struct {
	SSL_CTX *host;
	void (*take)(SSL *ssl); /* a callback away; NULL: nothing */
} lead;

static void
take_info(SSL *ssl)
{
	SSL_set_info_callback(ssl, on_first);
}

static void
drop_info(SSL *ssl)
{
	SSL_set_info_callback(ssl, NULL);
}

static void
take_info_of_context(SSL *ssl)
{
	SSL_CTX_set_info_callback(SSL_get_SSL_CTX(ssl), on_first);
}

static void
on_message(int write_p, int version, int content_type, const void *buf,
    size_t len, SSL *ssl, void *arg)
{
	(void)write_p, (void)version, (void)content_type, (void)buf, (void)len;
	(void)ssl, (void)arg;
}

static void
take_messages(SSL *ssl)
{
	SSL_set_msg_callback(ssl, on_message);
}

static void
take_both(SSL *ssl)
{
	take_info(ssl);
	take_messages(ssl);
}

static int
lead_there(SSL *ssl, int *alert, void *arg)
{
	(void)alert, (void)arg;
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(lead.host),
	    SSL_CTX_get_verify_callback(lead.host));
	if (lead.take != NULL)
		lead.take(ssl);
	MUST(SSL_set_SSL_CTX(ssl, lead.host) == lead.host);
	return SSL_TLSEXT_ERR_OK;
}

static const struct {
	const char *name;
	void (*take)(SSL *ssl);
} takings[] = {
	{ "no callback", NULL },
	{ "an info callback", take_info },
	{ "no info callback any more", drop_info },
	{ "an info callback of the context", take_info_of_context },
	{ "a message callback", take_messages },
	{ "both", take_both },
};

/* One name, and the two hosts that it may lead to. */
struct move {
	const struct way *way;
	const char *what;
	SSL_CTX *front;
	SSL_CTX *open;
	SSL_CTX *strict;
	SSL_SESSION *session; /* of the open one */
};

static void
move_open(struct move *move, struct sesscache *cache, const struct way *way,
    int which)
{
	SSL_CTX *client = visit_client(way, NULL);
	struct visit seen;

	memset(move, 0, sizeof(*move));
	move->way = way;
	move->what = takings[which].name;
	move->front = server_of(cache, way, FRONT, NULL);
	move->open = server_of(cache, way, HOST_A, NULL);
	move->strict = server_of(cache, way, HOST_B, NULL);
	SSL_CTX_set_verify(move->strict, REQUIRED, accept_all);
	(void)SSL_CTX_set_tlsext_servername_callback(move->front, lead_there);
	lead.host = move->open;
	lead.take = takings[which].take;
	for (int i = 0; i < 3; i++) {
		seen = visit(move->front, client, "a.example", &move->session);
		assert_visit(&seen, i > 0, visit_at(way, move->what, "open"));
	}
	SSL_CTX_free(client);
}

static void
move_close(struct move *move)
{
	SSL_SESSION_free(move->session);
	SSL_CTX_free(move->front);
	SSL_CTX_free(move->open);
	SSL_CTX_free(move->strict);
}

/* The name leads to the strict host: the first may be closed, for that. */
static void
assert_moved(const struct move *move, bool known, const char *step)
{
	const char *where = visit_at(move->way, move->what, step);
	SSL_CTX *nobody = visit_client(move->way, NULL);
	SSL_CTX *client = visit_client(move->way, &identities[CLIENT]);
	SSL_SESSION *session = SSL_SESSION_dup(move->session);
	struct visit seen;

	lead.host = move->strict;
	for (int i = 0; i < 3; i++) {
		seen = visit_with(move->front, nobody, "a.example",
		    move->session);
		assert_never_served(&seen, where);
		if (known || i > 0)
			assert_refused(&seen,
			    SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, where);
	}
	for (int i = 0; i < 3; i++) {
		seen = visit(move->front, client, "a.example", &session);
		assert_visit(&seen, i > 0, where);
		ck_assert(seen.peer);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(nobody);
}

static void
move_in_child(void *arg)
{
	assert_moved(arg, false, "in a child");
}

START_TEST(callback_that_is_set_for_a_name_opens_no_door)
{
	struct sesscache *cache = open_cache(WAY->tickets, "auto");
	struct move move;

	move_open(&move, cache, WAY, CASE);
	ck_assert(child_does(move_in_child, &move));
	assert_moved(&move, false, "moved");
	assert_moved(&move, true, "still moved");
	move_close(&move);
	sesscache_close(cache);
}
END_TEST

/* --- what a refused connection leaves behind ------------------------------ */

/* The ticket that a client was sent last, whatever became of it. */
static struct {
	unsigned char bytes[PARCEL_BYTES];
	size_t len; /* 0: none */
} caught;

/* RFC 5077, section 3.3: a type, 3 bytes of length, 4 of hint, 2 of length. */
static void
catch_ticket(int write_p, int version, int content_type, const void *buf,
    size_t len, SSL *ssl, void *arg)
{
	enum { TICKET_AT = 10 };
	const unsigned char *message = buf;

	(void)version, (void)ssl, (void)arg;
	if (write_p != 0 || content_type != SSL3_RT_HANDSHAKE ||
	    len <= TICKET_AT || message[0] != SSL3_MT_NEWSESSION_TICKET)
		return;
	MUST(len - TICKET_AT <= sizeof(caught.bytes));
	caught.len = len - TICKET_AT;
	memcpy(caught.bytes, message + TICKET_AT, caught.len);
}

/* Tries the old session, then whatever tickets came of it: none resumes. */
static void
attack(const struct move *move, bool known)
{
	SSL_CTX *client = visit_client(move->way, NULL);
	SSL_SESSION *next = SSL_SESSION_dup(move->session);
	struct visit seen;

	lead.host = move->strict;
	SSL_CTX_set_msg_callback(client, catch_ticket);
	for (int i = 0; i < 4; i++) {
		caught.len = 0;
		seen = visit_with(move->front, client, "a.example", next);
		assert_never_served(&seen,
		    visit_at(move->way, move->what, "attack"));
		if (known || i > 0)
			assert_refused(&seen,
			    SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
			    visit_at(move->way, move->what, "known"));
		if (caught.len > 0) {
			SSL_SESSION_free(next);
			next = tls_session_with_ticket(move->session,
			    caught.bytes, caught.len);
			ck_assert_ptr_nonnull(next);
		}
	}
	SSL_SESSION_free(next);
	SSL_CTX_free(client);
}

/* The keys rotate after the name has moved, or they do not. */
START_TEST(refused_connection_mints_no_ticket)
{
	struct sesscache *cache = open_cache(WAY->tickets, "auto");
	struct move move;

	move_open(&move, cache, WAY, CASE / 2);
	if (CASE % 2 == 1)
		ck_done(sesscache_rotate_keys(cache));
	attack(&move, false);
	assert_moved(&move, true, "moved");
	attack(&move, true);
	move_close(&move);
	sesscache_close(cache);
}
END_TEST

/* --- one SSL for many connections ----------------------------------------- */

enum { USES = 6 };

/* A server whose SSL is cleared and used again. */
struct reuse {
	const struct way *way;
	const char *what;
	SSL_CTX *client;
	SSL_CTX *front;
	struct tls_host hosts[3];
	SSL *ssl;
};

static const char *const realms[3][3] = {
	{ NULL, NULL, NULL },
	{ "front", "a", "b" },
	{ "all", "all", "all" },
};

static void
reuse_open(struct reuse *reuse, struct sesscache *cache, const struct way *way,
    const char *const realm[3])
{
	memset(reuse, 0, sizeof(*reuse));
	reuse->way = way;
	reuse->what = cache == NULL ? "plain" :
	    realm[0] == NULL        ? "attached" :
				      realm[0];
	reuse->client = visit_client(way, NULL);
	reuse->front = server_of(cache, way, FRONT, realm[0]);
	reuse->hosts[0].name = "a.example";
	reuse->hosts[0].ctx = server_of(cache, way, HOST_A, realm[1]);
	reuse->hosts[1].name = "b.example";
	reuse->hosts[1].ctx = server_of(cache, way, HOST_B, realm[2]);
	/* An SSL stays with the context of its last connection. */
	tls_serve_hosts(reuse->front, TLS_BY_NAME, reuse->hosts);
	for (int i = 0; i < 2; i++)
		tls_serve_hosts(reuse->hosts[i].ctx, TLS_BY_NAME, reuse->hosts);
	reuse->ssl = SSL_new(reuse->front);
	MUST(reuse->ssl != NULL);
}

static void
reuse_close(struct reuse *reuse)
{
	SSL_free(reuse->ssl);
	SSL_CTX_free(reuse->client);
	SSL_CTX_free(reuse->front);
	SSL_CTX_free(reuse->hosts[0].ctx);
	SSL_CTX_free(reuse->hosts[1].ctx);
}

static bool
serves(const SSL *ssl, enum who who)
{
	const X509 *cert = SSL_get_certificate(ssl);

	return cert != NULL && X509_cmp(cert, identities[who].cert) == 0;
}

/* One connection of the same SSL; -1: not served. */
static int
use_again(struct reuse *reuse, int host, SSL_SESSION **session)
{
	SSL_SESSION *offered = *session != NULL ? SSL_SESSION_dup(*session) :
						  NULL;
	struct tls_pair pair;
	struct visit seen;
	int result = -1;

	MUST(tls_pair_new(&pair, reuse->front, reuse->client, offered,
	    reuse->hosts[host].name));
	/* In the place of the one that was made for it, at the same end. */
	MUST(SSL_clear(reuse->ssl) == 1);
	(void)BIO_up_ref(SSL_get_rbio(pair.server));
	SSL_set_bio(reuse->ssl, SSL_get_rbio(pair.server),
	    SSL_get_rbio(pair.server));
	SSL_set_accept_state(reuse->ssl);
	SSL_free(pair.server);
	pair.server = reuse->ssl;
	seen = visit_pair(&pair);
	if (visit_is_served(&seen)) {
		result = seen.reused;
		SSL_SESSION_free(*session);
		*session = SSL_get1_session(pair.client);
		tls_pair_shutdown(&pair);
	}
	SSL_free(pair.client);
	SSL_SESSION_free(offered);
	ERR_clear_error();
	return result;
}

/* Sessions of two hosts in turns; how many resumed. */
static int
use_often(struct reuse *reuse)
{
	SSL_SESSION *sessions[2] = { NULL };
	struct visit seen;
	int resumed = 0, result;

	for (int i = 0; i < 2; i++) {
		seen = visit(reuse->front, reuse->client, reuse->hosts[i].name,
		    &sessions[i]);
		assert_full(&seen, visit_at(reuse->way, reuse->what, "new"));
	}
	for (int i = 0; i < USES; i++) {
		result = use_again(reuse, i % 2, &sessions[i % 2]);
		ck_assert_msg(result >= 0, "%s",
		    visit_at(reuse->way, reuse->what, "not served"));
		ck_assert_msg(serves(reuse->ssl, i % 2 == 0 ? HOST_A : HOST_B),
		    "%s", visit_at(reuse->way, reuse->what, "another host"));
		resumed += result;
	}
	SSL_SESSION_free(sessions[0]);
	SSL_SESSION_free(sessions[1]);
	return resumed;
}

START_TEST(object_that_is_cleared_resumes_as_a_new_one)
{
	struct sesscache *cache = open_cache(WAY->tickets, "auto");
	struct reuse reuse;
	int want, got;

	reuse_open(&reuse, NULL, WAY, realms[0]);
	want = use_often(&reuse);
	reuse_close(&reuse);
	ck_assert_int_eq(want, USES);
	reuse_open(&reuse, cache, WAY, realms[CASE]);
	got = use_often(&reuse);
	ck_assert_msg(got == want, "%s: %s: resumed %d times, plain %d",
	    WAY->name, reuse.what, got, want);
	reuse_close(&reuse);
	sesscache_close(cache);
}
END_TEST

START_TEST(object_that_is_cleared_keeps_realms_apart)
{
	struct sesscache *cache = open_cache(WAY->tickets, "auto");
	SSL_SESSION *session, *copy;
	struct reuse reuse;
	int result;

	reuse_open(&reuse, cache, WAY, realms[1]);
	for (int i = 0; i < 4; i++) {
		session = NULL;
		ck_assert_int_eq(use_again(&reuse, i % 2, &session), 0);
		copy = SSL_SESSION_dup(session);
		result = use_again(&reuse, 1 - i % 2, &copy);
		ck_assert_msg(result <= 0 ||
			serves(reuse.ssl, i % 2 == 0 ? HOST_A : HOST_B),
		    "%s: a session of the other host resumed", WAY->name);
		SSL_SESSION_free(copy);
		result = use_again(&reuse, i % 2, &session);
		ck_assert_msg(result == 1, "%s: at home: %d", WAY->name,
		    result);
		SSL_SESSION_free(session);
	}
	reuse_close(&reuse);
	sesscache_close(cache);
}
END_TEST

/* Also if the application sets its info callback for each use. */
START_TEST(object_that_is_cleared_takes_a_ticket_for_one_use_once)
{
	struct sesscache *cache = open_cache("auto", "on");
	SSL_SESSION *session = NULL, *copy;
	struct reuse reuse;
	int result;

	if (WAY->version == TLS1_3_VERSION) {
		reuse_open(&reuse, cache, WAY, realms[0]);
		if (CASE / 2 == 1) /* one context for all names */
			(void)
			    SSL_CTX_set_tlsext_servername_callback(reuse.front,
				NULL);
		ck_assert_int_eq(use_again(&reuse, 0, &session), 0);
		/* No new ticket makes it forget the old one. */
		ck_assert_int_eq(SSL_set_num_tickets(reuse.ssl, 0), 1);
		for (int i = 0; i < 4; i++) {
			if (CASE % 2 == 1)
				SSL_set_info_callback(reuse.ssl, on_first);
			copy = SSL_SESSION_dup(session);
			result = use_again(&reuse, 0, &copy);
			ck_assert_msg(result == (i == 0), "%s: use %d: %d",
			    WAY->name, i, result);
			SSL_SESSION_free(copy);
		}
		SSL_SESSION_free(session);
		reuse_close(&reuse);
	}
	sesscache_close(cache);
}
END_TEST

/* --- sessions that the application removes -------------------------------- */

static void
leave_failure(void)
{
	ERR_raise(ERR_LIB_SSL, SSL_R_BAD_PACKET);
}

static void
leave_end(void)
{
	ERR_raise(ERR_LIB_SSL, SSL_R_UNEXPECTED_EOF_WHILE_READING);
}

/* What lies in the error queue, of which the library must make nothing. */
static void (*const errors[])(
    void) = { ERR_clear_error, leave_failure, leave_end };

/* When the application removes a session. */
enum when { DURING, AFTER, WHEN_RESUMED, N_WHEN };

static SSL_CTX *
server_of_one_ticket(struct sesscache *cache, const struct way *way)
{
	SSL_CTX *ctx = server_of(cache, way, HOST_A, NULL);

	MUST(SSL_CTX_set_num_tickets(ctx, 1) == 1);
	return ctx;
}

/* A connection up to its end, which the caller makes. */
static void
connect_pair(struct tls_pair *pair, SSL_CTX *server, SSL_CTX *client,
    SSL_SESSION *session, bool resumed)
{
	struct visit seen;

	MUST(tls_pair_new(pair, server, client, session, "a.example"));
	seen = visit_pair(pair);
	assert_visit(&seen, resumed, "before the end");
}

static void
log_out(SSL_CTX *server, SSL_CTX *client, enum when when, void (*leave)(void),
    SSL_SESSION **session)
{
	SSL_SESSION *own;
	struct tls_pair pair;

	connect_pair(&pair, server, client, *session, *session != NULL);
	SSL_SESSION_free(*session);
	*session = SSL_SESSION_dup(SSL_get_session(pair.client));
	own = SSL_get1_session(pair.server);
	if (when != AFTER) {
		leave();
		(void)SSL_CTX_remove_session(server, own);
	}
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	if (when == AFTER) {
		leave();
		(void)SSL_CTX_remove_session(server, own);
	}
	SSL_SESSION_free(own);
	ERR_clear_error();
}

static void
assert_logged_out(const struct way *way, enum when when, void (*leave)(void))
{
	struct sesscache *cache = open_cache(way->tickets, "auto");
	SSL_CTX *server = server_of_one_ticket(cache, way);
	SSL_CTX *client = visit_client(way, NULL);
	SSL_SESSION *session = NULL;
	struct visit seen;
	uint64_t removed;

	if (when == WHEN_RESUMED)
		seen = visit(server, client, "a.example", &session);
	removed = stats_of(cache).removed;
	log_out(server, client, when, leave, &session);
	ck_assert_uint_gt(stats_of(cache).removed, removed);
	for (int i = 0; i < 2; i++) {
		seen = visit_with(server, client, "a.example", session);
		assert_full(&seen, visit_at(way, "removed", "offered"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	sesscache_close(cache);
}

START_TEST(session_that_the_application_removes_is_gone)
{
	if (WAY->stateless)
		return;
	for (int i = 0; i < N_OF(errors); i++) {
		test_remove_tree(test_dir("cache"));
		assert_logged_out(WAY, (enum when)CASE, errors[i]);
	}
}
END_TEST

/* How a connection ends without a word. */
static void
end_rudely(struct tls_pair *pair, int how)
{
	char byte;

	switch (how) {
	case 0: /* freed */
		break;
	case 1: /* the client ends TCP */
		(void)BIO_shutdown_wr(SSL_get_wbio(pair->client));
		(void)SSL_read(pair->server, &byte, 1);
		break;
	case 2: /* and is waited for */
		(void)BIO_shutdown_wr(SSL_get_wbio(pair->client));
		(void)SSL_shutdown(pair->server);
		(void)SSL_shutdown(pair->server);
		break;
	}
}

enum { RUDE_WAYS = 3 };

START_TEST(rude_close_takes_no_session_whatever_error_is_left)
{
	struct sesscache *cache = open_cache(WAY->tickets, "auto");
	SSL_CTX *server = server_of_one_ticket(cache, WAY);
	SSL_CTX *client = visit_client(WAY, NULL);
	SSL_SESSION *session;
	struct tls_pair pair;
	struct visit seen;

	for (int i = 0; i < N_OF(errors); i++) {
		connect_pair(&pair, server, client, NULL, false);
		session = SSL_SESSION_dup(SSL_get_session(pair.client));
		end_rudely(&pair, CASE);
		ERR_clear_error();
		errors[i]();
		tls_pair_free(&pair);
		ERR_clear_error();
		seen = visit_with(server, client, "a.example", session);
		assert_resumed(&seen, visit_at(WAY, "rude", "offered"));
		SSL_SESSION_free(session);
	}
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	sesscache_close(cache);
}
END_TEST

/* --- what hangs on a session ---------------------------------------------- */

/* It is of a process: a session from the cache brings none. */
START_TEST(application_data_of_a_session_are_not_carried)
{
	static char mark[] = "of the application";
	struct sesscache *cache = open_cache(WAY->tickets, "auto");
	SSL_CTX *server = server_of_one_ticket(cache, WAY);
	SSL_CTX *client = visit_client(WAY, NULL);
	int at = SSL_SESSION_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	SSL_SESSION *session;
	struct tls_pair pair;

	ck_assert_int_ge(at, 0);
	connect_pair(&pair, server, client, NULL, false);
	ck_assert_int_eq(SSL_SESSION_set_ex_data(SSL_get_session(pair.server),
			     at, mark),
	    1);
	session = SSL_get1_session(pair.client);
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	connect_pair(&pair, server, client, session, true);
	ck_assert_ptr_null(
	    SSL_SESSION_get_ex_data(SSL_get_session(pair.server), at));
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	sesscache_close(cache);
}
END_TEST

/* --- ticket keys of the application --------------------------------------- */

static void
set_nothing(SSL_CTX *ctx)
{
	(void)ctx;
}

static const struct {
	const char *name;
	const char *tickets;
	void (*before)(SSL_CTX *ctx); /* the attach */
	void (*after)(SSL_CTX *ctx);
	bool own; /* the application's is asked, and only that one */
} owners[] = {
	{ "nobody's", "auto", set_nothing, set_nothing, false },
	{ "before", "auto", own_key_set, set_nothing, false },
	{ "before", "shared", own_key_set, set_nothing, false },
	{ "after", "auto", set_nothing, own_key_set, true },
	{ "after", "shared", set_nothing, own_key_set, true },
	{ "both", "auto", own_key_set, own_key_set, true },
	{ "own, before", "own", own_key_set, set_nothing, true },
	{ "own, after", "own", set_nothing, own_key_set, true },
#ifndef OPENSSL_NO_DEPRECATED_3_0
	{ "of the old kind, before", "auto", own_key_set_by_old_callback,
	    set_nothing, false },
	{ "own, of the old kind, before", "own", own_key_set_by_old_callback,
	    set_nothing, true },
	{ "own, of the old kind, after", "own", set_nothing,
	    own_key_set_by_old_callback, true },
#endif
};

/* In any process: who seals and opens the tickets of a context. */
static void
must_be_owned(const char *dir, int which, const struct tls_identity *identity,
    int version)
{
	struct sesscache *cache = cache_open(dir, "size", "4M", "tickets",
	    owners[which].tickets, NULL);
	SSL_CTX *server = tls_server_new(identity, version);
	SSL_CTX *client = tls_client_new(NULL, version);
	SSL_SESSION *session = NULL;
	uint64_t issued = stats_of(cache).tickets_issued;

	MUST(server != NULL && client != NULL);
	owners[which].before(server);
	MUST(sesscache_attach(cache, server) == SESSCACHE_OK);
	owners[which].after(server);
	own_key_make();
	for (int i = 0; i < 3; i++)
		MUST(tls_visit(server, client, &session) == (i > 0));
	MUST((own_key.sealed + own_key.opened > 0) == owners[which].own);
	MUST((stats_of(cache).tickets_issued > issued) != owners[which].own);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	sesscache_close(cache);
}

static void
must_all_be_owned(const char *dir, int which)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct tls_identity identity;

	MUST(tls_identity_new(&identity, "a.example", 0));
	for (int i = 0; i < N_OF(versions); i++)
		must_be_owned(dir, which, &identity, versions[i]);
	tls_identity_free(&identity);
}

struct owning {
	const char *dir;
	int which;
};

static void
be_owned(void *arg)
{
	const struct owning *owning = arg;

	must_all_be_owned(owning->dir, owning->which);
}

/* The same from the beginning, with memory functions of the application's. */
static void
be_owned_in_own_memory(void *arg)
{
	const struct owning *owning = arg;
	char which[16];

	(void)snprintf(which, sizeof(which), "%d", owning->which);
	(void)execl("/proc/self/exe", "check_callbacks", owning->dir, which,
	    (char *)NULL);
	MUST(errno == 0);
}

START_TEST(ticket_keys_are_of_who_set_them_last_unless_they_stay_its_own)
{
	struct owning owning = { test_dir("cache"), _i };

	ck_assert_msg(child_does(be_owned, &owning), "%s, %s", owners[_i].name,
	    owners[_i].tickets);
	ck_assert_msg(child_does(be_owned_in_own_memory, &owning),
	    "%s, %s, in memory of its own", owners[_i].name,
	    owners[_i].tickets);
}
END_TEST

/* Blocks that do not begin where malloc() says. */
enum { BLOCK_HEAD = 32 };

static void *
own_malloc(size_t size, const char *file, int line)
{
	char *block = malloc(size + BLOCK_HEAD);

	(void)file, (void)line;
	/* cppcheck-suppress memleak; it is freed by own_free() */
	return block != NULL ? block + BLOCK_HEAD : NULL;
}

static void *
own_realloc(void *at, size_t size, const char *file, int line)
{
	char *old = at != NULL ? (char *)at - BLOCK_HEAD : NULL;
	char *block = realloc(old, size + BLOCK_HEAD);

	(void)file, (void)line;
	/* cppcheck-suppress memleak; likewise */
	return block != NULL ? block + BLOCK_HEAD : NULL;
}

static void
own_free(void *at, const char *file, int line)
{
	(void)file, (void)line;
	if (at != NULL)
		free((char *)at - BLOCK_HEAD);
}

/* What be_owned_in_own_memory() starts. */
static int
run_in_own_memory(const char *dir, const char *which)
{
	MUST(CRYPTO_set_mem_functions(own_malloc, own_realloc, own_free) == 1);
	must_all_be_owned(dir, (int)strtol(which, NULL, 10));
	return EXIT_SUCCESS;
}

/* --- one context for both sides ------------------------------------------- */

static struct {
	int of_clients;
	int of_servers;
} news;

static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	(void)session;
	news.of_clients += SSL_is_server(ssl) == 0;
	news.of_servers += SSL_is_server(ssl) == 1;
	return 0;
}

static SSL_CTX *
two_sided(struct sesscache *cache, const struct way *way)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	MUST(ctx != NULL && tls_add_identity(ctx, &identities[HOST_A]));
	MUST(SSL_CTX_set_min_proto_version(ctx, way->version) == 1);
	MUST(SSL_CTX_set_max_proto_version(ctx, way->version) == 1);
	SSL_CTX_set_verify(ctx, REQUIRED, accept_all);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_BOTH);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	MUST(sesscache_attach(cache, ctx) == SESSCACHE_OK);
	return ctx;
}

/* The session that it has with a remote server. */
static SSL_SESSION *
go_out(SSL_CTX *ctx, const struct way *way)
{
	SSL_CTX *remote = server_of(NULL, way, REMOTE, NULL);
	SSL_SESSION *session = NULL;
	struct visit seen;

	for (int i = 0; i < 2; i++) {
		seen = visit(remote, ctx, "remote.example", &session);
		assert_visit(&seen, i > 0, visit_at(way, "both", "out"));
	}
	SSL_CTX_free(remote);
	return session;
}

START_TEST(sessions_of_outgoing_connections_stay_out_of_the_cache)
{
	struct sesscache *cache = open_cache(WAY->tickets, "auto");
	SSL_CTX *ctx = two_sided(cache, WAY);
	SSL_CTX *nobody = visit_client(WAY, NULL);
	SSL_CTX *client = visit_client(WAY, &identities[CLIENT]);
	SSL_SESSION *session = NULL, *out;
	struct visit seen;

	memset(&news, 0, sizeof(news));
	out = go_out(ctx, WAY);
	ck_assert_uint_eq(stats_of(cache).stored, 0);
	ck_assert_uint_eq(stats_of(cache).records, 0);
	ck_assert_uint_eq(stats_of(cache).failed, 0);
	ck_assert_int_gt(news.of_clients, 0);
	/* The remote knows it, too. */
	seen = visit_with(ctx, nobody, "remote.example", out);
	assert_refused(&seen, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
	    visit_at(WAY, "both", "back in"));
	for (int i = 0; i < 3; i++) {
		seen = visit(ctx, client, "a.example", &session);
		assert_visit(&seen, i > 0, visit_at(WAY, "both", "in"));
	}
	SSL_SESSION_free(session);
	SSL_SESSION_free(out);
	SSL_CTX_free(nobody);
	SSL_CTX_free(client);
	SSL_CTX_free(ctx);
	sesscache_close(cache);
}
END_TEST

/* --- records that do not decode ------------------------------------------- */

struct record_of {
	const unsigned char *id;
	unsigned id_len;
	struct sc_scope scope;
	unsigned flags;
	bool found;
};

static int
find_record(const struct sc_scanned *scanned, void *arg)
{
	struct record_of *record = arg;

	if (scanned->id_len != record->id_len ||
	    memcmp(scanned->id, record->id, record->id_len) != 0)
		return 0;
	record->scope = scanned->scope;
	record->flags = scanned->flags;
	record->found = true;
	return 1;
}

/* In the place of the session's, as another version of OpenSSL writes it. */
static void
store_bytes(struct sesscache *cache, const SSL_SESSION *session,
    const char *bytes, size_t len)
{
	struct record_of record = { .found = false };
	struct sc_record_in in = { .data = (const uint8_t *)bytes,
		.data_len = len,
		.ttl_seconds = 3600 };

	record.id = SSL_SESSION_get_id(session, &record.id_len);
	ck_done(sc_cache_scan(cache->cache, find_record, &record));
	ck_assert(record.found);
	in.id = record.id;
	in.id_len = record.id_len;
	in.scope = record.scope;
	in.flags = record.flags;
	ck_done(sc_cache_put(cache->cache, &in, sc_now()));
}

static const char *const junk[] = { "\x30", "\x30\x03\x02\x01\x07",
	"\x30\x80no session at all", "text, of another kind altogether" };

START_TEST(record_that_does_not_decode_is_counted_and_is_no_hit)
{
	struct sesscache *cache = open_cache(WAY->tickets, "auto");
	SSL_CTX *server = server_of_one_ticket(cache, WAY);
	SSL_CTX *client = visit_client(WAY, NULL);
	struct sesscache_stats before, after;
	SSL_SESSION *session;
	struct tls_pair pair;
	struct visit seen;

	if (!WAY->stateless) {
		connect_pair(&pair, server, client, NULL, false);
		session = SSL_get1_session(pair.client);
		store_bytes(cache, SSL_get_session(pair.server), junk[CASE],
		    strlen(junk[CASE]));
		tls_pair_shutdown(&pair);
		tls_pair_free(&pair);
		before = stats_of(cache);
		seen = visit(server, client, "a.example", &session);
		assert_full(&seen, visit_at(WAY, "junk", "offered"));
		after = stats_of(cache);
		ck_assert_uint_eq(after.undecodable, before.undecodable + 1);
		ck_assert_uint_eq(after.hits, before.hits);
		seen = visit(server, client, "a.example", &session);
		assert_resumed(&seen, visit_at(WAY, "junk", "a new one"));
		SSL_SESSION_free(session);
	}
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	sesscache_close(cache);
}
END_TEST

/* --- all of it ------------------------------------------------------------ */

/* Each for all ways, and for all cases of its table. */
static const struct visit_test tests[] = {
	{ &info_callbacks_that_call_each_other_run_once_for_each_event,
	    N_OF(chains) },
	{ &callback_that_is_set_for_a_name_opens_no_door, N_OF(takings) },
	{ &refused_connection_mints_no_ticket, 2 * N_OF(takings) },
	{ &object_that_is_cleared_resumes_as_a_new_one, N_OF(realms) },
	{ &object_that_is_cleared_keeps_realms_apart, 1 },
	{ &object_that_is_cleared_takes_a_ticket_for_one_use_once, 4 },
	{ &session_that_the_application_removes_is_gone, N_WHEN },
	{ &rude_close_takes_no_session_whatever_error_is_left, RUDE_WAYS },
	{ &application_data_of_a_session_are_not_carried, 1 },
	{ &sessions_of_outgoing_connections_stay_out_of_the_cache, 1 },
	{ &record_that_does_not_decode_is_counted_and_is_no_hit, N_OF(junk) },
};

int
main(int argc, char **argv)
{
	Suite *suite;
	TCase *tc;

	if (argc == 3)
		return run_in_own_memory(argv[1], argv[2]);
	suite = suite_create("callbacks");
	tc = tcase_create("callbacks");
	tcase_add_unchecked_fixture(tc, make_identities, free_identities);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_set_timeout(tc, 120);
	visit_add_tests(tc, tests, N_OF(tests));
	tcase_add_loop_test(tc,
	    ticket_keys_are_of_who_set_them_last_unless_they_stay_its_own, 0,
	    N_OF(owners));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
