/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who may resume: what a client was trusted for holds where the same is
 * trusted, and a full handshake decides everywhere else.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "process.h"
#include "sesscache.h"
#include "support.h"
#include "tls.h"
#include "visit.h"

enum {
	REQUIRED = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	LATER = REQUIRED | SSL_VERIFY_POST_HANDSHAKE,
};

enum who {
	SERVER,
	OTHER,   /* a server of another name */
	STAFF,   /* an authority */
	PARTNER, /* another */
	REKEYED, /* one with the name of the first */
	BOB,     /* a client of the first */
	RENEWED, /* the server, with a new key and certificate */
	MOVED,   /* of the same subject, with other names besides */
	SHORT,   /* of the same subject, with a name less */
	LONG,    /* of the same subject, with a name more */
	STRONG,  /* a server with a key for the highest security levels */
	N_WHO
};

static struct tls_identity identities[N_WHO];
static X509_CRL *nobody_revoked, *bob_revoked, *partner_list;

static void
make_identities(void)
{
	static const char *const alt_names[N_WHO] = {
		[SERVER] = "DNS:a.example,DNS:www.a.example",
		[RENEWED] = "DNS:a.example,DNS:www.a.example",
		[MOVED] = "DNS:a.example,DNS:mail.a.example",
		[SHORT] = "DNS:a.example",
		[LONG] = "DNS:a.example,DNS:www.a.example,DNS:b.example",
	};
	struct tls_identity *who = identities;

	test_root_make();
	for (int i = 0; i < N_WHO; i++) {
		if (alt_names[i] != NULL)
			ck_assert(tls_identity_named(&who[i], "a.example",
			    alt_names[i]));
	}
	ck_assert(
	    tls_identity_named(&who[OTHER], "b.example", alt_names[SERVER]));
	ck_assert(tls_identity_of_key(&who[STRONG], "a.example", TLS_P384));
	ck_assert(tls_authority_new(&who[STAFF], "staff"));
	ck_assert(tls_authority_new(&who[PARTNER], "partner"));
	ck_assert(tls_authority_new(&who[REKEYED], "staff"));
	ck_assert(tls_identity_signed(&who[BOB], "bob.example", &who[STAFF]));
	nobody_revoked = tls_crl_new(&who[STAFF], NULL);
	bob_revoked = tls_crl_new(&who[STAFF], &who[BOB]);
	partner_list = tls_crl_new(&who[PARTNER], NULL);
	ck_assert(nobody_revoked != NULL && bob_revoked != NULL &&
	    partner_list != NULL);
}

static void
free_identities(void)
{
	for (int i = 0; i < N_WHO; i++)
		tls_identity_free(&identities[i]);
	X509_CRL_free(nobody_revoked);
	X509_CRL_free(bob_revoked);
	X509_CRL_free(partner_list);
	test_root_remove();
}

static struct sesscache *
open_cache(const struct way *way)
{
	return cache_open(test_dir("cache"), "size", "4M", "tickets",
	    way->tickets, "log", "error", NULL);
}

/* --- rules, and what changes them ----------------------------------------- */

typedef void rule(SSL_CTX *ctx);

static void
trust_partner(SSL_CTX *ctx)
{
	MUST(tls_trust(ctx, &identities[PARTNER], REQUIRED));
}

static void
trust_rekeyed(SSL_CTX *ctx)
{
	MUST(tls_trust(ctx, &identities[REKEYED], REQUIRED));
}

static void
trust_both(SSL_CTX *ctx)
{
	MUST(tls_trust(ctx, &identities[STAFF], REQUIRED));
	MUST(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx),
		 identities[PARTNER].cert) == 1);
}

static void
list_authority(SSL_CTX *ctx)
{
	MUST(SSL_CTX_add_client_CA(ctx, identities[STAFF].cert) == 1);
}

static void
add_crl(SSL_CTX *ctx, X509_CRL *crl)
{
	MUST(X509_STORE_add_crl(SSL_CTX_get_cert_store(ctx), crl) == 1);
}

static void
revoke_nobody(SSL_CTX *ctx)
{
	add_crl(ctx, nobody_revoked);
}

static void
revoke_bob(SSL_CTX *ctx)
{
	add_crl(ctx, bob_revoked);
}

static void
add_other_list(SSL_CTX *ctx)
{
	add_crl(ctx, partner_list);
}

static void
add_flags(SSL_CTX *ctx, unsigned long flags)
{
	MUST(X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), flags) == 1);
}

static void
check_crls(SSL_CTX *ctx)
{
	add_flags(ctx, X509_V_FLAG_CRL_CHECK);
}

/* From the beginning, with a list to look into. */
static void
check_empty_crl(SSL_CTX *ctx)
{
	revoke_nobody(ctx);
	check_crls(ctx);
}

static void
check_self_signed(SSL_CTX *ctx)
{
	add_flags(ctx, X509_V_FLAG_CHECK_SS_SIGNATURE);
}

static int
accept_all(int preverified, X509_STORE_CTX *store)
{
	(void)preverified;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

static int
accept_none(int preverified, X509_STORE_CTX *store)
{
	(void)preverified;
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static int
refuse_chain(X509_STORE_CTX *store, void *arg)
{
	(void)arg;
	return accept_none(0, store);
}

static void
be_lax(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, REQUIRED, accept_all);
}

static void
be_strict(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, REQUIRED, accept_none);
}

static void
be_strict_on_chains(SSL_CTX *ctx)
{
	SSL_CTX_set_cert_verify_callback(ctx, refuse_chain, NULL);
}

static void
be_plain(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, REQUIRED, NULL);
}

static void
only_ask(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
}

static void
ask_once(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, REQUIRED | SSL_VERIFY_CLIENT_ONCE, NULL);
}

static void
ask_later(SSL_CTX *ctx)
{
	SSL_CTX_set_verify(ctx, LATER, NULL);
}

static void
go_deeper(SSL_CTX *ctx)
{
	SSL_CTX_set_verify_depth(ctx, 7);
}

static void
name_bob(SSL_CTX *ctx)
{
	MUST(X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(ctx), "bob.example",
		 0) == 1);
}

static void
name_ann(SSL_CTX *ctx)
{
	MUST(X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(ctx), "ann.example",
		 0) == 1);
}

static void
want_mail(SSL_CTX *ctx)
{
	MUST(X509_VERIFY_PARAM_set1_email(SSL_CTX_get0_param(ctx),
		 "ann@example.org", 0) == 1);
}

static void
be_strict_in_store(SSL_CTX *ctx)
{
	X509_STORE_set_verify_cb(SSL_CTX_get_cert_store(ctx), accept_none);
}

static int
verify_none(X509_STORE_CTX *store)
{
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static void
verify_nobody(SSL_CTX *ctx)
{
	X509_STORE_set_verify(SSL_CTX_get_cert_store(ctx), verify_none);
}

static int
is_revoked(X509_STORE_CTX *store)
{
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
	return 0;
}

static void
revoke_all(SSL_CTX *ctx)
{
	X509_STORE_set_check_revocation(SSL_CTX_get_cert_store(ctx),
	    is_revoked);
}

static int
allow_all(const SSL *ssl, const SSL_CTX *ctx, int operation, int bits, int nid,
    void *other, void *arg)
{
	(void)ssl, (void)ctx, (void)operation, (void)bits, (void)nid;
	(void)other, (void)arg;
	return 1;
}

static void
be_insecure(SSL_CTX *ctx)
{
	SSL_CTX_set_security_callback(ctx, allow_all);
}

static void
raise_level(SSL_CTX *ctx)
{
	SSL_CTX_set_security_level(ctx, 2);
}

/*
 * Where a change can be seen: on a live context, on one that a server name
 * leads to, in a named realm.  Between other contexts it counts in any case.
 */
enum { SEEN = 1, HOSTED = 2, COMPARED = 4 };

static const struct {
	const char *name;
	rule *before; /* besides what all servers have; NULL: nothing */
	rule *after;
	unsigned how;
	long error; /* why bob is refused from then on; 0: he is not */
} changes[] = {
	{ "another authority", NULL, trust_partner, SEEN | HOSTED | COMPARED,
	    X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY },
	{ "another authority of one name", NULL, trust_rekeyed,
	    SEEN | HOSTED | COMPARED, X509_V_ERR_CERT_SIGNATURE_FAILURE },
	{ "another authority of one name, in the list", list_authority,
	    trust_rekeyed, SEEN | HOSTED | COMPARED,
	    X509_V_ERR_CERT_SIGNATURE_FAILURE },
	{ "one authority more", NULL, trust_both, SEEN | HOSTED | COMPARED, 0 },
	{ "lists are looked at", revoke_nobody, check_crls, SEEN | COMPARED,
	    0 },
	{ "lists are missed", NULL, check_crls, SEEN | COMPARED,
	    X509_V_ERR_UNABLE_TO_GET_CRL },
	{ "a list that revokes", check_empty_crl, revoke_bob, SEEN | COMPARED,
	    X509_V_ERR_CERT_REVOKED },
	{ "a list of another", check_empty_crl, add_other_list, SEEN | COMPARED,
	    0 },
	{ "a verify callback", NULL, be_strict, SEEN | HOSTED | COMPARED,
	    X509_V_ERR_APPLICATION_VERIFICATION },
	{ "a verify callback that is lax", NULL, be_lax,
	    SEEN | HOSTED | COMPARED, 0 },
	{ "a verify callback less", be_lax, be_plain, SEEN | HOSTED | COMPARED,
	    0 },
	{ "another verify callback", be_lax, be_strict, SEEN | HOSTED,
	    X509_V_ERR_APPLICATION_VERIFICATION },
	{ "a callback for chains", NULL, be_strict_on_chains, 0,
	    X509_V_ERR_APPLICATION_VERIFICATION },
	{ "a store's verify callback", NULL, be_strict_in_store,
	    SEEN | HOSTED | COMPARED, X509_V_ERR_APPLICATION_VERIFICATION },
	{ "a store's way to verify", NULL, verify_nobody,
	    SEEN | HOSTED | COMPARED, X509_V_ERR_APPLICATION_VERIFICATION },
	{ "a store's check of revocation", NULL, revoke_all,
	    SEEN | HOSTED | COMPARED, X509_V_ERR_CERT_REVOKED },
	{ "a security callback", NULL, be_insecure, SEEN, 0 },
	{ "no certificate is required", NULL, only_ask,
	    SEEN | HOSTED | COMPARED, 0 },
	{ "a certificate is required", only_ask, be_plain,
	    SEEN | HOSTED | COMPARED, 0 },
	{ "asked once", NULL, ask_once, SEEN | HOSTED | COMPARED, 0 },
	{ "asked later", NULL, ask_later, SEEN | HOSTED | COMPARED, 0 },
	{ "asked at once", ask_later, be_plain, SEEN | HOSTED | COMPARED, 0 },
	{ "another depth", NULL, go_deeper, SEEN | HOSTED | COMPARED, 0 },
	{ "another flag", NULL, check_self_signed, SEEN | COMPARED, 0 },
	{ "a name", NULL, name_bob, SEEN | COMPARED, 0 },
	{ "another name", name_bob, name_ann, SEEN | COMPARED,
	    X509_V_ERR_HOSTNAME_MISMATCH },
	{ "a mail address", NULL, want_mail, 0, X509_V_ERR_EMAIL_MISMATCH },
	{ "another security level", NULL, raise_level, SEEN, 0 },
};

/* --- servers -------------------------------------------------------------- */

static void
attach(struct sesscache *cache, SSL_CTX *ctx, const char *realm)
{
	enum sesscache_status status;

	if (realm != NULL)
		status = sesscache_attach_realm(cache, ctx, realm);
	else
		status = sesscache_attach(cache, ctx);
	MUST(status == SESSCACHE_OK);
}

/* Asks nobody for a certificate. */
static SSL_CTX *
open_server(struct sesscache *cache, const struct way *way, enum who who)
{
	SSL_CTX *ctx = tls_server_new(&identities[who], way->version);

	MUST(ctx != NULL);
	attach(cache, ctx, NULL);
	return ctx;
}

/* One of clients that show a certificate of the staff; rules end with NULL. */
static SSL_CTX *
strict_server(struct sesscache *cache, const struct way *way, const char *realm,
    rule *before, rule *after)
{
	SSL_CTX *ctx = tls_server_new(&identities[SERVER], way->version);

	MUST(ctx != NULL);
	SSL_CTX_set_security_level(ctx, 1);
	MUST(tls_trust(ctx, &identities[STAFF], REQUIRED));
	if (before != NULL)
		before(ctx);
	if (after != NULL)
		after(ctx);
	attach(cache, ctx, realm);
	return ctx;
}

/* --- visits in processes of their own ------------------------------------- */

/* Shared with the child that visits. */
struct act {
	const struct way *way;
	SSL_CTX *server; /* inherited; NULL: one of its own, as below */
	enum who leaf;
	bool strict;
	const char *realm;
	bool behind; /* another context, in no realm, by the server's name */
	rule *before;
	rule *after; /* comes upon an inherited server, too */
	const struct tls_identity *client;
	const char *name; /* that the client asks for */
	struct parcel parcel;
	struct visit seen;
};

/* A server of its own. */
static SSL_CTX *
act_server(const struct act *act, struct sesscache *cache)
{
	SSL_CTX *server;

	if (act->strict)
		return strict_server(cache, act->way, act->realm, act->before,
		    act->after);
	server = open_server(cache, act->way, act->leaf);
	if (act->before != NULL)
		act->before(server);
	if (act->after != NULL)
		act->after(server);
	return server;
}

/* Has connections go on with the host; both are the caller's. */
static SSL_CTX *
front_of(SSL_CTX *host, struct sesscache *cache, const struct act *act)
{
	static struct tls_host hosts[2];
	SSL_CTX *front = open_server(cache, act->way, OTHER);

	hosts[0] = (struct tls_host){ act->name, host };
	SSL_CTX_set_security_level(front, 1);
	tls_serve_hosts(front, TLS_BY_NAME, hosts);
	return front;
}

static void
play(void *arg)
{
	struct act *act = arg;
	SSL_CTX *front = NULL;
	SSL_CTX *client = visit_client(act->way, act->client);
	SSL_SESSION *session = parcel_get(&act->parcel);
	struct sesscache *cache = NULL;
	SSL_CTX *server = act->server;

	if (server == NULL) {
		cache = open_cache(act->way);
		server = act_server(act, cache);
	} else if (act->after != NULL) {
		act->after(server);
	}
	if (act->behind)
		front = front_of(server, cache, act);
	act->seen = visit(front != NULL ? front : server, client, act->name,
	    &session);
	SSL_CTX_free(front);
	parcel_put(&act->parcel, session);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	if (act->server == NULL)
		SSL_CTX_free(server);
	sesscache_close(cache);
}

static struct act *
act_new(const struct way *way, const struct tls_identity *client)
{
	struct act *act = shared_new(sizeof(*act));

	act->way = way;
	act->client = client;
	act->leaf = SERVER;
	act->name = "a.example";
	return act;
}

static struct act *
act_new_strict(const struct way *way, const char *realm, rule *before)
{
	struct act *act = act_new(way, &identities[BOB]);

	act->strict = true;
	act->realm = realm;
	act->before = before;
	return act;
}

static struct visit
act_out(struct act *act)
{
	MUST(child_does(play, act));
	return act->seen;
}

/* --- sessions of clients that showed a certificate ------------------------ */

/* As the rules decide that are in force: bob is known, or refused. */
static void
assert_decided(const struct visit *seen, int which, const char *where)
{
	if (changes[which].error != 0)
		assert_not_verified(seen, changes[which].error, where);
	else
		assert_full(seen, where);
}

/* A session from before, offered after the change. */
static void
assert_change(const struct way *way, int which, SSL_CTX *server,
    const SSL_SESSION *session, const char *step)
{
	const char *what = changes[which].name;
	SSL_CTX *client = visit_client(way, &identities[BOB]);
	SSL_SESSION *newer = NULL;
	struct visit seen;

	seen = visit(server, client, "a.example", &newer);
	assert_decided(&seen, which, visit_at(way, what, "without a session"));
	SSL_SESSION_free(newer);
	newer = SSL_SESSION_dup(session);
	for (int i = 0; i < 2; i++) {
		seen = visit_with(server, client, "a.example", session);
		assert_decided(&seen, which, visit_at(way, what, step));
	}
	seen = visit(server, client, "a.example", &newer);
	assert_decided(&seen, which, visit_at(way, what, step));
	if (changes[which].error == 0) {
		seen = visit(server, client, "a.example", &newer);
		assert_resumed(&seen, visit_at(way, what, "a new session"));
	}
	SSL_SESSION_free(newer);
	SSL_CTX_free(client);
}

/* Bob's session at a server, which resumes there. */
static SSL_SESSION *
known_session(const struct way *way, SSL_CTX *server, const char *what)
{
	SSL_CTX *client = visit_client(way, &identities[BOB]);
	SSL_SESSION *session = NULL;
	struct visit seen;

	for (int i = 0; i < 2; i++) {
		seen = visit(server, client, "a.example", &session);
		assert_visit(&seen, i > 0, visit_at(way, what, "before"));
	}
	SSL_CTX_free(client);
	return session;
}

START_TEST(change_of_the_rules_of_a_context_ends_its_sessions)
{
	struct sesscache *cache;
	SSL_SESSION *session;
	struct act *act;
	SSL_CTX *server;

	if ((changes[CASE].how & SEEN) == 0)
		return;
	cache = open_cache(WAY);
	server = strict_server(cache, WAY, NULL, changes[CASE].before, NULL);
	session = known_session(WAY, server, changes[CASE].name);
	/* A child that has the context of its parent changes it, too. */
	act = act_new_strict(WAY, NULL, NULL);
	act->server = server;
	act->after = changes[CASE].after;
	parcel_put(&act->parcel, session);
	(void)act_out(act);
	assert_decided(&act->seen, CASE,
	    visit_at(WAY, changes[CASE].name, "in a child"));
	changes[CASE].after(server);
	assert_change(WAY, CASE, server, session, "after");
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	sesscache_close(cache);
}
END_TEST

/* Where the name leads now: a first connection may be closed, for that. */
static void
assert_host_changed(const struct way *way, int which, SSL_CTX *front,
    const SSL_SESSION *session, const char *step)
{
	SSL_CTX *client = visit_client(way, &identities[BOB]);
	const char *where = visit_at(way, changes[which].name, step);
	struct visit seen;

	for (int i = 0; i < 3; i++) {
		seen = visit_with(front, client, "a.example", session);
		if (seen.reused && i == 0)
			assert_never_served(&seen, where);
		else
			assert_decided(&seen, which, where);
	}
	SSL_CTX_free(client);
}

/* The host that the server-name callback leads to gives way, or changes. */
static void
assert_host(const struct way *way, int which, bool gives_way)
{
	struct tls_host hosts[2] = { { "a.example", NULL } };
	struct sesscache *cache = open_cache(way);
	SSL_CTX *front = open_server(cache, way, OTHER);
	SSL_CTX *old = strict_server(cache, way, NULL, changes[which].before,
	    NULL);
	SSL_CTX *other = strict_server(cache, way, NULL, changes[which].before,
	    changes[which].after);
	SSL_SESSION *session;

	SSL_CTX_set_security_level(front, 1);
	hosts[0].ctx = old;
	tls_serve_hosts(front, TLS_BY_NAME, hosts);
	session = known_session(way, front, changes[which].name);
	if (gives_way)
		hosts[0].ctx = other;
	else
		changes[which].after(old);
	assert_host_changed(way, which, front, session,
	    gives_way ? "another host" : "a host that changed");
	SSL_SESSION_free(session);
	SSL_CTX_free(front);
	SSL_CTX_free(old);
	SSL_CTX_free(other);
	sesscache_close(cache);
}

/* In a cache each: what was learned of a name lasts. */
START_TEST(change_of_the_rules_of_a_host_ends_its_sessions)
{
	if ((changes[CASE].how & HOSTED) == 0)
		return;
	assert_host(WAY, CASE, true);
	test_remove_tree(test_dir("cache"));
	assert_host(WAY, CASE, false);
}
END_TEST

/* At a context of other rules, in the same process. */
static void
assert_beside(const struct way *way, int which, const char *realm)
{
	struct sesscache *cache = open_cache(way);
	SSL_CTX *one = strict_server(cache, way, realm, changes[which].before,
	    NULL);
	SSL_CTX *two = strict_server(cache, way, realm, changes[which].before,
	    changes[which].after);
	SSL_SESSION *session = known_session(way, one, changes[which].name);
	SSL_CTX *client = visit_client(way, &identities[BOB]);
	struct visit seen;

	assert_change(way, which, two, session, "beside");
	seen = visit_with(one, client, "a.example", session);
	assert_resumed(&seen, visit_at(way, changes[which].name, "at home"));
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(one);
	SSL_CTX_free(two);
	sesscache_close(cache);
}

/* In a process that begins with other rules, after the first has ended. */
static void
assert_restart(const struct way *way, int which, const char *realm)
{
	struct act *act = act_new_strict(way, realm, changes[which].before);
	struct visit seen = act_out(act);

	assert_full(&seen, visit_at(way, changes[which].name, "first"));
	act->after = changes[which].after;
	seen = act_out(act);
	assert_decided(&seen, which,
	    visit_at(way, changes[which].name, "after a restart"));
}

START_TEST(session_is_no_use_at_a_context_of_other_rules)
{
	assert_beside(WAY, CASE, NULL);
}
END_TEST

START_TEST(session_is_no_use_after_a_restart_with_other_rules)
{
	assert_restart(WAY, CASE, NULL);
}
END_TEST

START_TEST(session_of_a_named_realm_is_no_use_under_other_rules)
{
	if ((changes[CASE].how & COMPARED) == 0)
		return;
	assert_restart(WAY, CASE, "shop");
	test_remove_tree(test_dir("cache"));
	assert_beside(WAY, CASE, "shop");
}
END_TEST

/* Nobody can tell that the rest of two contexts is the same. */
START_TEST(session_of_a_verified_client_belongs_to_its_context)
{
	struct sesscache *cache = open_cache(WAY);
	SSL_CTX *one = strict_server(cache, WAY, NULL, NULL, NULL);
	SSL_CTX *two = strict_server(cache, WAY, NULL, NULL, NULL);
	SSL_SESSION *session = known_session(WAY, one, "twins");
	SSL_CTX *client = visit_client(WAY, &identities[BOB]);
	SSL_SESSION *other = SSL_SESSION_dup(session);
	struct visit seen;

	for (int i = 0; i < 3; i++) {
		seen = visit(two, client, "a.example", &other);
		assert_visit(&seen, i > 0, visit_at(WAY, "twins", "the other"));
		ck_assert(seen.peer);
		seen = visit(one, client, "a.example", &session);
		assert_resumed(&seen, visit_at(WAY, "twins", "at home"));
		ck_assert(seen.peer);
	}
	SSL_SESSION_free(session);
	SSL_SESSION_free(other);
	SSL_CTX_free(client);
	SSL_CTX_free(one);
	SSL_CTX_free(two);
	sesscache_close(cache);
}
END_TEST

/* Whether it showed one or not: it was asked. */
START_TEST(session_of_a_client_that_was_asked_belongs_to_its_context)
{
	struct sesscache *cache = open_cache(WAY);
	SSL_CTX *one = strict_server(cache, WAY, NULL, only_ask, NULL);
	SSL_CTX *two = strict_server(cache, WAY, NULL, only_ask, NULL);
	SSL_CTX *client = visit_client(WAY, NULL);
	SSL_SESSION *session = NULL;
	struct visit seen;

	for (int i = 0; i < 2; i++) {
		seen = visit(one, client, "a.example", &session);
		assert_visit(&seen, i > 0, visit_at(WAY, "asked", "at home"));
	}
	seen = visit_with(two, client, "a.example", session);
	assert_full(&seen, visit_at(WAY, "asked", "the other"));
	seen = visit_with(one, client, "a.example", session);
	assert_resumed(&seen, visit_at(WAY, "asked", "at home again"));
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(one);
	SSL_CTX_free(two);
	sesscache_close(cache);
}
END_TEST

START_TEST(session_of_a_verified_client_ends_with_its_family)
{
	struct act *act = act_new_strict(WAY, NULL, NULL);
	struct visit seen;

	for (int i = 0; i < 3; i++) {
		seen = act_out(act);
		assert_full(&seen, visit_at(WAY, "families", "another"));
		ck_assert(seen.peer);
	}
}
END_TEST

START_TEST(children_share_the_sessions_of_verified_clients)
{
	struct sesscache *cache = open_cache(WAY);
	SSL_CTX *server = strict_server(cache, WAY, NULL, NULL, NULL);
	struct act *act = act_new_strict(WAY, NULL, NULL);
	SSL_CTX *client = visit_client(WAY, &identities[BOB]);
	SSL_SESSION *session;
	struct visit seen;

	act->server = server;
	for (int i = 0; i < 3; i++) {
		seen = act_out(act);
		assert_visit(&seen, i > 0, visit_at(WAY, "family", "a child"));
		ck_assert(seen.peer);
	}
	session = parcel_get(&act->parcel);
	seen = visit(server, client, "a.example", &session);
	assert_resumed(&seen, visit_at(WAY, "family", "the parent"));
	parcel_put(&act->parcel, session);
	seen = act_out(act);
	assert_resumed(&seen, visit_at(WAY, "family", "from the parent"));
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
	sesscache_close(cache);
}
END_TEST

/* Rules that are equal, made anew each time. */
static rule *const alike[] = { NULL, check_empty_crl, be_lax, go_deeper,
	name_bob, check_self_signed, ask_later, only_ask };

START_TEST(named_realm_shares_where_all_rules_are_equal)
{
	struct act *act = act_new_strict(WAY, "shop", alike[CASE]);
	SSL_CTX *client = visit_client(WAY, &identities[BOB]);
	struct sesscache *cache;
	SSL_CTX *servers[2];
	SSL_SESSION *session;
	struct visit seen;

	for (int i = 0; i < 3; i++) {
		seen = act_out(act);
		assert_visit(&seen, i > 0, visit_at(WAY, "shop", "restarted"));
	}
	session = parcel_get(&act->parcel);
	cache = open_cache(WAY);
	for (int i = 0; i < N_OF(servers); i++)
		servers[i] = strict_server(cache, WAY, "shop", alike[CASE],
		    NULL);
	for (int i = 0; i < 4; i++) {
		seen = visit(servers[i % 2], client, "a.example", &session);
		assert_resumed(&seen, visit_at(WAY, "shop", "in turns"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(servers[0]);
	SSL_CTX_free(servers[1]);
	sesscache_close(cache);
}
END_TEST

START_TEST(named_realm_behind_a_context_in_none_shares)
{
	struct act *act = act_new_strict(WAY, "shop", alike[CASE]);
	struct visit seen;

	act->behind = true;
	for (int i = 0; i < 4; i++) {
		seen = act_out(act);
		assert_visit(&seen, i > 0, visit_at(WAY, "behind", "again"));
	}
	act->realm = "club";
	seen = act_out(act);
	assert_never_served(&seen, visit_at(WAY, "behind", "elsewhere"));
}
END_TEST

/* Without the realm nothing of it outlives the context, and nobody is closed.
 */
START_TEST(host_behind_a_context_in_no_realm_shares_nothing)
{
	struct act *act = act_new_strict(WAY, NULL, NULL);
	struct visit seen;

	act->behind = true;
	for (int i = 0; i < 3; i++) {
		seen = act_out(act);
		assert_full(&seen, visit_at(WAY, "behind", "no realm"));
	}
}
END_TEST

/* Between the modes that ask at once and later, and clients without any. */
START_TEST(session_from_before_the_certificate_is_no_use_where_it_comes_first)
{
	struct act *act = act_new_strict(WAY, "shop", ask_later);
	struct sesscache *cache;
	SSL_CTX *server, *client;
	SSL_SESSION *session;
	struct visit seen;

	if (WAY->version != TLS1_3_VERSION)
		return;
	act->client = NULL;
	seen = act_out(act);
	assert_full(&seen, visit_at(WAY, "later", "made"));
	session = parcel_get(&act->parcel);
	act->before = be_plain;
	seen = act_out(act);
	assert_refused(&seen, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
	    visit_at(WAY, "later", "after a restart"));
	cache = open_cache(WAY);
	server = strict_server(cache, WAY, "shop", NULL, NULL);
	client = visit_client(WAY, NULL);
	seen = visit_with(server, client, "a.example", session);
	assert_refused(&seen, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
	    visit_at(WAY, "later", "without a certificate"));
	SSL_CTX_free(client);
	client = visit_client(WAY, &identities[BOB]);
	seen = visit_with(server, client, "a.example", session);
	assert_full(&seen, visit_at(WAY, "later", "with a certificate"));
	ck_assert(seen.peer);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
	sesscache_close(cache);
}
END_TEST

/* --- servers, by the names in their certificates -------------------------- */

START_TEST(renewed_certificate_costs_no_session)
{
	struct act *act = act_new(WAY, NULL);
	struct sesscache *cache;
	SSL_CTX *client, *servers[2];
	SSL_SESSION *session;
	struct visit seen;

	for (int i = 0; i < 3; i++) {
		seen = act_out(act);
		assert_visit(&seen, i > 0, visit_at(WAY, "renewed", "process"));
		act->leaf = i == 0 ? RENEWED : SERVER;
	}
	cache = open_cache(WAY);
	client = visit_client(WAY, NULL);
	session = parcel_get(&act->parcel);
	servers[0] = open_server(cache, WAY, SERVER);
	servers[1] = open_server(cache, WAY, RENEWED);
	for (int i = 0; i < 4; i++) {
		seen = visit(servers[i % 2], client, "a.example", &session);
		assert_resumed(&seen, visit_at(WAY, "renewed", "in turns"));
	}
	for (int i = 0; i < 4; i++) {
		MUST(tls_add_identity(servers[0],
		    &identities[i % 2 == 0 ? RENEWED : SERVER]));
		seen = visit(servers[0], client, "a.example", &session);
		assert_resumed(&seen, visit_at(WAY, "renewed", "in place"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(servers[0]);
	SSL_CTX_free(servers[1]);
	sesscache_close(cache);
}
END_TEST

/* Of a host that the server-name callback leads to. */
START_TEST(renewed_certificate_of_a_host_closes_no_connection)
{
	struct sesscache *cache = open_cache(WAY);
	SSL_CTX *front = open_server(cache, WAY, OTHER);
	SSL_CTX *client = visit_client(WAY, NULL);
	struct tls_host hosts[2] = { { "a.example", NULL } };
	SSL_SESSION *session = NULL;
	struct visit seen;

	tls_serve_hosts(front, TLS_BY_NAME, hosts);
	for (int i = 0; i < 6; i++) {
		SSL_CTX_free(hosts[0].ctx);
		hosts[0].ctx = open_server(cache, WAY,
		    i % 2 == 0 ? SERVER : RENEWED);
		seen = visit(front, client, "a.example", &session);
		assert_visit(&seen, i > 0, visit_at(WAY, "renewed", "host"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(hosts[0].ctx);
	SSL_CTX_free(front);
	sesscache_close(cache);
}
END_TEST

static const struct {
	const char *name;
	enum who one;
	enum who two;
} namesakes[] = {
	{ "another subject", SERVER, OTHER },
	{ "another alternative name", SERVER, MOVED },
	{ "a name less", SERVER, SHORT },
	{ "a name more", SERVER, LONG },
	{ "no alternative names", SHORT, STRONG },
};

START_TEST(certificates_of_other_names_share_no_session)
{
	struct act *act = act_new(WAY, NULL);
	const char *what = namesakes[CASE].name;
	struct sesscache *cache;
	SSL_CTX *client, *one, *two;
	SSL_SESSION *session;
	struct visit seen;

	act->leaf = namesakes[CASE].one;
	seen = act_out(act);
	assert_full(&seen, visit_at(WAY, what, "one"));
	session = parcel_get(&act->parcel);
	act->leaf = namesakes[CASE].two;
	seen = act_out(act);
	assert_full(&seen, visit_at(WAY, what, "another process"));
	cache = open_cache(WAY);
	client = visit_client(WAY, NULL);
	one = open_server(cache, WAY, namesakes[CASE].one);
	two = open_server(cache, WAY, namesakes[CASE].two);
	seen = visit_with(two, client, "a.example", session);
	assert_full(&seen, visit_at(WAY, what, "two"));
	seen = visit_with(one, client, "a.example", session);
	assert_resumed(&seen, visit_at(WAY, what, "at home"));
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(one);
	SSL_CTX_free(two);
	sesscache_close(cache);
}
END_TEST

/* Of a connection whose context has none. */
static int
give_certificate(SSL *ssl, void *arg)
{
	const struct tls_identity *identity = arg;

	return SSL_use_certificate(ssl, identity->cert) == 1 &&
	    SSL_use_PrivateKey(ssl, identity->key) == 1;
}

static SSL_CTX *
bare_server(struct sesscache *cache, const struct way *way, enum who who)
{
	SSL_CTX *ctx = tls_server_new(NULL, way->version);

	MUST(ctx != NULL);
	SSL_CTX_set_cert_cb(ctx, give_certificate, &identities[who]);
	attach(cache, ctx, NULL);
	return ctx;
}

/* Two servers of which nobody can tell who they are. */
static void
assert_strangers(const struct way *way, SSL_CTX *client, SSL_CTX *one,
    SSL_CTX *two)
{
	SSL_SESSION *session = NULL, *other;
	struct visit seen;

	for (int i = 0; i < 2; i++) {
		seen = visit(one, client, "a.example", &session);
		assert_visit(&seen, i > 0, visit_at(way, "bare", "one"));
	}
	other = SSL_SESSION_dup(session);
	for (int i = 0; i < 2; i++) {
		seen = visit(two, client, "a.example", &other);
		assert_visit(&seen, i > 0, visit_at(way, "bare", "two"));
	}
	seen = visit_with(one, client, "a.example", session);
	assert_resumed(&seen, visit_at(way, "bare", "at home"));
	SSL_SESSION_free(session);
	SSL_SESSION_free(other);
	SSL_CTX_free(client);
	SSL_CTX_free(one);
	SSL_CTX_free(two);
}

START_TEST(contexts_without_a_certificate_share_no_session)
{
	struct sesscache *cache = open_cache(WAY);

	assert_strangers(WAY, visit_client(WAY, NULL),
	    bare_server(cache, WAY, SERVER), bare_server(cache, WAY, OTHER));
	sesscache_close(cache);
}
END_TEST

#if OPENSSL_VERSION_NUMBER >= 0x30200000L

static SSL_CTX *
use_raw_keys(SSL_CTX *ctx)
{
	static const unsigned char raw[] = { TLSEXT_cert_type_rpk };

	MUST(SSL_CTX_set1_server_cert_type(ctx, raw, sizeof(raw)) == 1);
	return ctx;
}

static SSL_CTX *
raw_server(struct sesscache *cache, const struct way *way, enum who who)
{
	SSL_CTX *ctx = use_raw_keys(tls_server_new(NULL, way->version));

	MUST(SSL_CTX_use_PrivateKey(ctx, identities[who].key) == 1);
	attach(cache, ctx, NULL);
	return ctx;
}

START_TEST(raw_public_keys_share_no_session)
{
	struct sesscache *cache = open_cache(WAY);

	assert_strangers(WAY, use_raw_keys(visit_client(WAY, NULL)),
	    raw_server(cache, WAY, SERVER), raw_server(cache, WAY, OTHER));
	sesscache_close(cache);
}
END_TEST

#endif

/* --- what a connection asks for by itself --------------------------------- */

enum { TURNS = 10 };

/* Two clients that come in turns, of which only the first is asked. */
struct turns {
	const struct way *way;
	SSL_CTX *server;
	SSL_CTX *client;
	SSL_SESSION *sessions[2];
	int resumed[2];
	int shown; /* certificates, of the first */
};

/* By post-handshake authentication, or by renegotiation up to TLS 1.2. */
static void
demand_certificate(const struct tls_pair *pair, int version)
{
	char byte;

	SSL_set_verify(pair->server,
	    version == TLS1_3_VERSION ? LATER : REQUIRED, accept_all);
	if (version == TLS1_3_VERSION)
		ck_assert_int_eq(SSL_verify_client_post_handshake(pair->server),
		    1);
	else
		ck_assert_int_eq(SSL_renegotiate(pair->server), 1);
	(void)SSL_do_handshake(pair->server);
	for (int i = 0; i < 8; i++) {
		(void)SSL_read(pair->client, &byte, 1);
		(void)SSL_read(pair->server, &byte, 1);
	}
}

static bool
has_certificate(const SSL *server)
{
	return SSL_SESSION_get0_peer(SSL_get_session(server)) != NULL;
}

static void
take_turn(struct turns *turns, int who, const char *what)
{
	struct tls_pair pair;
	struct visit seen;

	MUST(tls_pair_new(&pair, turns->server, turns->client,
	    turns->sessions[who], "a.example"));
	seen = visit_pair(&pair);
	assert_visit(&seen, seen.reused, visit_at(turns->way, what, "turn"));
	turns->resumed[who] += seen.reused;
	if (who == 0 && !has_certificate(pair.server))
		demand_certificate(&pair, turns->way->version);
	turns->shown += who == 0 && has_certificate(pair.server);
	ck_assert_msg(tls_send(pair.server, pair.client, "welcome") &&
		tls_send(pair.client, pair.server, "thanks"),
	    "%s", visit_at(turns->way, what, "closed"));
	SSL_SESSION_free(turns->sessions[who]);
	turns->sessions[who] = SSL_get1_session(pair.client);
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	ERR_clear_error();
}

/* Without a cache if it is NULL. */
static struct turns
take_turns(struct sesscache *cache, const struct way *way, const char *what)
{
	struct turns turns = { .way = way };

	turns.server = tls_server_new(&identities[SERVER], way->version);
	turns.client = visit_client(way, &identities[BOB]);
	MUST(SSL_CTX_set_session_id_context(turns.server,
		 (const unsigned char *)"turns", 5) == 1);
	(void)SSL_CTX_set_options(turns.server,
	    SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION |
		SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
	SSL_CTX_set_post_handshake_auth(turns.client, 1);
	if (cache != NULL)
		attach(cache, turns.server, NULL);
	else if (!way->stateless)
		(void)SSL_CTX_set_options(turns.server, SSL_OP_NO_TICKET);
	for (int i = 0; i < 2 * TURNS; i++)
		take_turn(&turns, i % 2, what);
	for (int i = 0; i < 2; i++)
		SSL_SESSION_free(turns.sessions[i]);
	SSL_CTX_free(turns.client);
	SSL_CTX_free(turns.server);
	return turns;
}

START_TEST(client_that_is_asked_later_and_one_that_is_not_both_resume)
{
	struct sesscache *cache = open_cache(WAY);
	struct turns plain = take_turns(NULL, WAY, "plain");
	struct turns turns = take_turns(cache, WAY, "in turns");

	ck_assert_int_eq(plain.shown, TURNS);
	ck_assert_int_eq(turns.shown, TURNS);
	for (int i = 0; i < 2; i++)
		ck_assert_msg(turns.resumed[i] >= plain.resumed[i],
		    "%s: client %d resumed %d times, plain %d", WAY->name, i,
		    turns.resumed[i], plain.resumed[i]);
	ck_assert_int_eq(turns.resumed[1], TURNS - 1);
	sesscache_close(cache);
}
END_TEST

/* A connection that demands what the rest of the server does not. */
static struct visit
visit_with_demand(SSL_CTX *server, SSL_CTX *client, SSL_SESSION **session)
{
	struct tls_pair pair;
	struct visit seen;

	MUST(tls_pair_new(&pair, server, client, *session, "a.example"));
	tls_require_certificate(pair.server);
	seen = visit_pair(&pair);
	if (visit_is_served(&seen)) {
		SSL_SESSION_free(*session);
		*session = SSL_get1_session(pair.client);
		tls_pair_shutdown(&pair);
	}
	tls_pair_free(&pair);
	return seen;
}

START_TEST(connection_that_demands_a_certificate_is_not_closed)
{
	struct sesscache *cache = open_cache(WAY);
	SSL_CTX *server = open_server(cache, WAY, SERVER);
	SSL_CTX *bob = visit_client(WAY, &identities[BOB]);
	SSL_CTX *nobody = visit_client(WAY, NULL);
	SSL_SESSION *session = NULL, *shown, *kept;
	struct visit seen;

	seen = visit(server, bob, "a.example", &session);
	assert_full(&seen, visit_at(WAY, "demand", "without"));
	shown = SSL_SESSION_dup(session);
	kept = SSL_SESSION_dup(session);
	for (int i = 0; i < 3; i++) {
		seen = visit_with_demand(server, bob, &shown);
		assert_visit(&seen, i > 0, visit_at(WAY, "demand", "with"));
		ck_assert(seen.peer);
		seen = visit_with(server, bob, "a.example", session);
		assert_resumed(&seen, visit_at(WAY, "demand", "without"));
	}
	seen = visit_with_demand(server, nobody, &kept);
	assert_refused(&seen, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
	    visit_at(WAY, "demand", "nobody"));
	SSL_SESSION_free(session);
	SSL_SESSION_free(shown);
	SSL_SESSION_free(kept);
	SSL_CTX_free(bob);
	SSL_CTX_free(nobody);
	SSL_CTX_free(server);
	sesscache_close(cache);
}
END_TEST

/* --- rules of one connection ---------------------------------------------- */

static void
be_strict_once(SSL *ssl)
{
	SSL_set_verify(ssl, REQUIRED, accept_none);
}

static void
be_lax_once(SSL *ssl)
{
	SSL_set_verify(ssl, REQUIRED, accept_all);
}

static void
go_deeper_once(SSL *ssl)
{
	SSL_set_verify_depth(ssl, 7);
}

static void
check_crls_once(SSL *ssl)
{
	MUST(X509_VERIFY_PARAM_set_flags(SSL_get0_param(ssl),
		 X509_V_FLAG_CRL_CHECK) == 1);
}

static void
name_ann_once(SSL *ssl)
{
	MUST(SSL_set1_host(ssl, "ann.example") == 1);
}

static void
trust_partner_once(SSL *ssl)
{
	X509_STORE *store = X509_STORE_new();

	MUST(store != NULL);
	MUST(X509_STORE_add_cert(store, identities[PARTNER].cert) == 1);
	MUST(SSL_set0_verify_cert_store(ssl, store) == 1);
}

static const struct {
	const char *name;
	void (*set)(SSL *ssl);
	long error; /* why bob is refused; 0: he is not */
} exceptions[] = {
	{ "a verify callback", be_strict_once,
	    X509_V_ERR_APPLICATION_VERIFICATION },
	{ "a verify callback that is lax", be_lax_once, 0 },
	{ "another depth", go_deeper_once, 0 },
	{ "lists are missed", check_crls_once, X509_V_ERR_UNABLE_TO_GET_CRL },
	{ "another name", name_ann_once, X509_V_ERR_HOSTNAME_MISMATCH },
	{ "another authority", trust_partner_once,
	    X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY },
};

START_TEST(rules_of_one_connection_are_its_own)
{
	const char *what = exceptions[CASE].name;
	struct sesscache *cache = open_cache(WAY);
	SSL_CTX *server = strict_server(cache, WAY, NULL, NULL, NULL);
	SSL_CTX *client = visit_client(WAY, &identities[BOB]);
	SSL_SESSION *session = known_session(WAY, server, what), *copy;
	struct tls_pair pair;
	struct visit seen;

	for (int i = 0; i < 2; i++) {
		copy = SSL_SESSION_dup(session);
		MUST(tls_pair_new(&pair, server, client, copy, "a.example"));
		exceptions[CASE].set(pair.server);
		seen = visit_pair(&pair);
		if (exceptions[CASE].error != 0)
			assert_not_verified(&seen, exceptions[CASE].error,
			    visit_at(WAY, what, "an exception"));
		else
			assert_full(&seen, visit_at(WAY, what, "an exception"));
		tls_pair_free(&pair);
		SSL_SESSION_free(copy);
		ERR_clear_error();
		seen = visit_with(server, client, "a.example", session);
		assert_resumed(&seen, visit_at(WAY, what, "as a rule"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
	sesscache_close(cache);
}
END_TEST

/* The ticket from before a client is asked, and the one from afterwards. */
START_TEST(ticket_from_before_the_certificate_resumes_where_it_was_issued)
{
	struct sesscache *cache = open_cache(WAY);
	SSL_CTX *server = strict_server(cache, WAY, NULL, ask_later, NULL);
	SSL_CTX *client = visit_client(WAY, &identities[BOB]);
	SSL_SESSION *session = NULL;
	struct tls_pair pair;
	struct visit seen;

	SSL_CTX_set_post_handshake_auth(client, 1);
	for (int i = 0; i < 2 && WAY->version == TLS1_3_VERSION; i++) {
		seen = visit(server, client, "a.example", &session);
		assert_visit(&seen, i > 0, visit_at(WAY, "later", "before"));
		ck_assert(!seen.peer);
	}
	if (WAY->version == TLS1_3_VERSION) {
		MUST(tls_pair_new(&pair, server, client, session, "a.example"));
		seen = visit_pair(&pair);
		assert_resumed(&seen, visit_at(WAY, "later", "to be asked"));
		demand_certificate(&pair, WAY->version);
		ck_assert(has_certificate(pair.server));
		SSL_SESSION_free(session);
		session = SSL_get1_session(pair.client);
		tls_pair_shutdown(&pair);
		tls_pair_free(&pair);
		seen = visit(server, client, "a.example", &session);
		assert_resumed(&seen, visit_at(WAY, "later", "after"));
		ck_assert(seen.peer);
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
	sesscache_close(cache);
}
END_TEST

/* --- records and names ---------------------------------------------------- */

START_TEST(ticket_for_one_use_is_taken_once_whoever_takes_it)
{
	static const char *const others[] = { "off", "auto" };
	struct sesscache *once = cache_open(test_dir("cache"), "size", "4M",
	    "single-use", "on", NULL);
	struct sesscache *often = cache_open(test_dir("cache"), "size", "4M",
	    "tickets", "off", "single-use", others[CASE], NULL);
	SSL_CTX *client = visit_client(WAY, NULL);
	SSL_CTX *one = open_server(once, WAY, SERVER);
	SSL_CTX *two = open_server(often, WAY, SERVER);
	struct act *act = act_new(WAY, NULL);
	SSL_SESSION *session = NULL;
	struct visit seen;

	seen = visit(one, client, "a.example", &session);
	assert_full(&seen, visit_at(WAY, "one use", "stored"));
	act->server = two;
	for (int i = 0; i < 3 && WAY->version == TLS1_3_VERSION; i++) {
		parcel_put(&act->parcel, session);
		seen = act_out(act);
		assert_visit(&seen, i == 0, visit_at(WAY, "one use", "child"));
		seen = visit_with(two, client, "a.example", session);
		assert_full(&seen, visit_at(WAY, "one use", "again"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(one);
	SSL_CTX_free(two);
	sesscache_close(once);
	sesscache_close(often);
}
END_TEST

static const size_t realm_lengths[] = { 1, 252, 253, 254, 255 };

START_TEST(realm_with_a_name_of_any_length_resumes)
{
	struct act *act = act_new_strict(WAY, NULL, NULL);
	char *realm = shared_new(256);
	struct sesscache *cache;
	SSL_CTX *server, *client;
	SSL_SESSION *session;
	struct visit seen;

	memset(realm, 'r', realm_lengths[CASE]);
	act->realm = realm;
	for (int i = 0; i < 2; i++) {
		seen = act_out(act);
		assert_visit(&seen, i > 0, visit_at(WAY, "length", "process"));
	}
	cache = open_cache(WAY);
	server = strict_server(cache, WAY, realm, NULL, NULL);
	client = visit_client(WAY, &identities[BOB]);
	session = parcel_get(&act->parcel);
	seen = visit(server, client, "a.example", &session);
	assert_resumed(&seen, visit_at(WAY, "length", "here"));
	/* The last byte counts as any other. */
	realm[realm_lengths[CASE] - 1] = 's';
	seen = act_out(act);
	assert_full(&seen, visit_at(WAY, "length", "another"));
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
	sesscache_close(cache);
}
END_TEST

/* --- keys of the application ---------------------------------------------- */

static const unsigned char psk_name[] = "key";

/* A session that both sides have by other means than a handshake. */
static SSL_SESSION *
shared_key(SSL *ssl)
{
	static const unsigned char suite[] = { 0x13, 0x01 }, key[32] = { 1 };
	SSL_SESSION *session = SSL_SESSION_new();

	MUST(session != NULL &&
	    SSL_SESSION_set1_master_key(session, key, sizeof(key)) == 1 &&
	    SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite)) == 1 &&
	    SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1);
	return session;
}

static int
find_key(SSL *ssl, const unsigned char *name, size_t len, SSL_SESSION **out)
{
	bool known = len == sizeof(psk_name) &&
	    memcmp(name, psk_name, len) == 0;

	*out = known ? shared_key(ssl) : NULL;
	return 1;
}

static int
use_key(SSL *ssl, const EVP_MD *digest, const unsigned char **name, size_t *len,
    SSL_SESSION **out)
{
	(void)digest;
	*name = psk_name;
	*len = sizeof(psk_name);
	*out = shared_key(ssl);
	return 1;
}

static void
use_one_suite(SSL_CTX *ctx)
{
	MUST(SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") == 1);
}

/* OpenSSL resumes no such session without an ID context. */
static void
prepare_for_keys(SSL_CTX *ctx)
{
	use_one_suite(ctx);
	MUST(SSL_CTX_set_session_id_context(ctx, psk_name, sizeof(psk_name)) ==
	    1);
}

/* What others can see of a ticket, with a tag that is wrong. */
static SSL_SESSION *
forge(const SSL_SESSION *session)
{
	unsigned char ticket[PARCEL_BYTES];
	const unsigned char *seen;
	SSL_SESSION *forged;
	size_t len;

	SSL_SESSION_get0_ticket(session, &seen, &len);
	MUST(len > 0 && len <= sizeof(ticket));
	memcpy(ticket, seen, len);
	ticket[len - 1] ^= 1;
	forged = tls_session_with_ticket(session, ticket, len);
	MUST(forged != NULL);
	return forged;
}

/* A key that is withdrawn leaves nothing behind, whatever came with it. */
START_TEST(key_of_the_application_stands_for_no_certificate)
{
	const char *what = "a key and a forged ticket";
	struct sesscache *cache = open_cache(WAY);
	SSL_CTX *server = strict_server(cache, WAY, NULL, prepare_for_keys,
	    NULL);
	SSL_CTX *client = visit_client(WAY, NULL);
	SSL_SESSION *bobs = known_session(WAY, server, what), *session = NULL;
	struct visit seen;

	if (WAY->version == TLS1_3_VERSION && WAY->stateless) {
		use_one_suite(client);
		SSL_CTX_set_psk_find_session_callback(server, find_key);
		SSL_CTX_set_psk_use_session_callback(client, use_key);
		seen = visit(server, client, "a.example", &session);
		assert_resumed(&seen, visit_at(WAY, what, "the key alone"));
		SSL_SESSION_free(session);
		session = forge(bobs);
		(void)visit(server, client, "a.example", &session);
	}
	SSL_CTX_set_psk_find_session_callback(server, NULL);
	SSL_CTX_set_psk_use_session_callback(client, NULL);
	seen = visit(server, client, "a.example", &session);
	assert_refused(&seen, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
	    visit_at(WAY, what, "withdrawn"));
	SSL_SESSION_free(session);
	SSL_SESSION_free(bobs);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
	sesscache_close(cache);
}
END_TEST

/* --- what the server would not agree to any more -------------------------- */

static void
drop_master_secrets(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
}

static void
use_one_cipher(SSL_CTX *ctx)
{
	MUST(
	    SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-GCM-SHA256") == 1);
}

static void
use_other_cipher(SSL_CTX *ctx)
{
	MUST(
	    SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES256-GCM-SHA384") == 1);
}

/* Both, and for who comes the one that the highest levels refuse. */
static void
prefer_short_key(SSL_CTX *ctx)
{
	MUST(SSL_CTX_set_cipher_list(ctx,
		 "ECDHE-ECDSA-AES128-GCM-SHA256:"
		 "ECDHE-ECDSA-AES256-GCM-SHA384") == 1);
	MUST(SSL_CTX_set_ciphersuites(ctx,
		 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384") == 1);
	(void)SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
}

static void
be_secure(SSL_CTX *ctx)
{
	SSL_CTX_set_security_level(ctx, 4);
}

static const struct {
	const char *name;
	enum who leaf;
	rule *before;
	rule *after;
	int max_version; /* to which it matters */
	int refused;     /* SSL_R_...: nobody is served from then on; 0 */
} limits[] = {
	{ "no extended master secret", SERVER, NULL, drop_master_secrets,
	    TLS1_2_VERSION, 0 },
	{ "another cipher", SERVER, use_one_cipher, use_other_cipher,
	    TLS1_2_VERSION, 0 },
	{ "a security level above a cipher", STRONG, prefer_short_key,
	    be_secure, TLS1_3_VERSION, 0 },
	{ "a security level above a certificate", SERVER, NULL, be_secure,
	    TLS1_2_VERSION, SSL_R_NO_SHARED_CIPHER },
};

/* As one without a session is: served, or refused for the same reason. */
static void
assert_limited(const struct visit *seen, int which, const char *where)
{
	if (limits[which].refused != 0)
		assert_refused(seen, limits[which].refused, where);
	else
		assert_full(seen, where);
}

static void
assert_limits(const struct way *way, int which, SSL_CTX *server,
    const SSL_SESSION *session)
{
	const char *what = limits[which].name;
	SSL_CTX *client = visit_client(way, NULL);
	SSL_SESSION *newer = NULL;
	struct visit seen;

	seen = visit(server, client, "a.example", &newer);
	assert_limited(&seen, which, visit_at(way, what, "without a session"));
	for (int i = 0; i < 2; i++) {
		seen = visit_with(server, client, "a.example", session);
		assert_limited(&seen, which, visit_at(way, what, "with one"));
	}
	if (limits[which].refused == 0) {
		seen = visit(server, client, "a.example", &newer);
		assert_resumed(&seen, visit_at(way, what, "with a new one"));
	}
	SSL_SESSION_free(newer);
	SSL_CTX_free(client);
}

START_TEST(session_that_would_not_be_made_any_more_is_a_full_handshake)
{
	const char *what = limits[CASE].name;
	struct act *act = act_new(WAY, NULL);
	struct sesscache *cache;
	SSL_CTX *server, *client;
	SSL_SESSION *session;
	struct visit seen;

	if (WAY->version > limits[CASE].max_version)
		return;
	act->leaf = limits[CASE].leaf;
	act->before = limits[CASE].before;
	for (int i = 0; i < 2; i++) {
		seen = act_out(act);
		assert_visit(&seen, i > 0, visit_at(WAY, what, "before"));
	}
	session = parcel_get(&act->parcel);
	act->after = limits[CASE].after;
	seen = act_out(act);
	assert_limited(&seen, CASE, visit_at(WAY, what, "after a restart"));
	act->after = NULL;
	cache = open_cache(WAY);
	server = act_server(act, cache);
	client = visit_client(WAY, NULL);
	seen = visit_with(server, client, "a.example", session);
	assert_resumed(&seen, visit_at(WAY, what, "before the change"));
	SSL_CTX_free(client);
	limits[CASE].after(server);
	assert_limits(WAY, CASE, server, session);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	sesscache_close(cache);
}
END_TEST

/* --- all of it ------------------------------------------------------------ */

/* Each for all ways, and for all cases of its table. */
static const struct visit_test tests[] = {
	{ &change_of_the_rules_of_a_context_ends_its_sessions, N_OF(changes) },
	{ &change_of_the_rules_of_a_host_ends_its_sessions, N_OF(changes) },
	{ &session_is_no_use_at_a_context_of_other_rules, N_OF(changes) },
	{ &session_is_no_use_after_a_restart_with_other_rules, N_OF(changes) },
	{ &session_of_a_named_realm_is_no_use_under_other_rules,
	    N_OF(changes) },
	{ &session_of_a_verified_client_belongs_to_its_context, 1 },
	{ &session_of_a_client_that_was_asked_belongs_to_its_context, 1 },
	{ &session_of_a_verified_client_ends_with_its_family, 1 },
	{ &children_share_the_sessions_of_verified_clients, 1 },
	{ &named_realm_shares_where_all_rules_are_equal, N_OF(alike) },
	{ &named_realm_behind_a_context_in_none_shares, N_OF(alike) },
	{ &host_behind_a_context_in_no_realm_shares_nothing, 1 },
	{ &session_from_before_the_certificate_is_no_use_where_it_comes_first,
	    1 },
	{ &renewed_certificate_costs_no_session, 1 },
	{ &renewed_certificate_of_a_host_closes_no_connection, 1 },
	{ &certificates_of_other_names_share_no_session, N_OF(namesakes) },
	{ &contexts_without_a_certificate_share_no_session, 1 },
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
	{ &raw_public_keys_share_no_session, 1 },
#endif
	{ &client_that_is_asked_later_and_one_that_is_not_both_resume, 1 },
	{ &connection_that_demands_a_certificate_is_not_closed, 1 },
	{ &key_of_the_application_stands_for_no_certificate, 1 },
	{ &rules_of_one_connection_are_its_own, N_OF(exceptions) },
	{ &ticket_from_before_the_certificate_resumes_where_it_was_issued, 1 },
	{ &ticket_for_one_use_is_taken_once_whoever_takes_it, 2 },
	{ &realm_with_a_name_of_any_length_resumes, N_OF(realm_lengths) },
	{ &session_that_would_not_be_made_any_more_is_a_full_handshake,
	    N_OF(limits) },
};

int
main(void)
{
	Suite *suite = suite_create("trust");
	TCase *tc = tcase_create("trust");

	tcase_add_unchecked_fixture(tc, make_identities, free_identities);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_set_timeout(tc, 120);
	visit_add_tests(tc, tests, N_OF(tests));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
