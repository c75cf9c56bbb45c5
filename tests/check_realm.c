/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions stay in their realm: what was made under one policy or server name
 * resumes there, in every worker, and nowhere else, however a session can be
 * resumed and wherever the context is switched.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "process.h"
#include "sesscache.h"
#include "support.h"
#include "tls.h"

enum {
	MAX_DER_BYTES = 8192,
	KEY_NAME_BYTES = 16,
	REQUIRED = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
};

/* Every one, or one in so many where each takes its time. */
static int
one_in(unsigned many)
{
	return 100 / (int)test_times(100, 100 / many);
}

/* --- the ways to resume --------------------------------------------------- */

struct way {
	const char *name;
	int version;
	const char *tickets; /* the setting */
	uint64_t client_options;
	bool stateless;
	bool for_once; /* every session resumes but once */
};

static const struct way ways[] = {
	{ "TLS 1.2 session ID", TLS1_2_VERSION, "off", 0, false, false },
	{ "TLS 1.2 session ID beside tickets", TLS1_2_VERSION, "shared",
	    SSL_OP_NO_TICKET, false, false },
	{ "TLS 1.2 ticket", TLS1_2_VERSION, "shared", 0, true, false },
	{ "TLS 1.3 stateful ticket", TLS1_3_VERSION, "off", 0, false, false },
	{ "TLS 1.3 stateless ticket", TLS1_3_VERSION, "shared", 0, true,
	    false },
};

/* A loop test for each way and each case of a table. */
#define WAY (&ways[_i % N_OF(ways)])
#define CASE (_i / N_OF(ways))

/* --- policies and sites --------------------------------------------------- */

enum who { NOBODY_ELSE, FRONT, HOST_A, HOST_B, OTHER_KEY, CLIENT, N_WHO };

static struct tls_identity identities[N_WHO];

typedef void info_callback(const SSL *ssl, int where, int ret);

struct policy {
	enum who leaf;
	enum who second; /* another leaf certificate */
	int verify;
	int depth;              /* 0: OpenSSL's default */
	const char *ca;         /* name in the list for clients; NULL: none */
	const char *id_context; /* NULL: that of the cache */
	const char *realm;      /* NULL: not named */
	bool detached;          /* not in the cache */
	bool late;              /* set after the attach */
	info_callback *own;     /* of the application, before the attach */
	info_callback *later;   /* and after it */
};

/* A server: one context, or one that switches to those of two hosts. */
struct plan {
	struct policy front; /* what SSL_new() gets */
	struct policy a;
	struct policy b;
	bool hosts; /* a and b are used */
	enum tls_switch when;
	bool retry; /* the server asks for another ClientHello (TLS 1.3) */
};

struct site {
	struct sesscache *cache;
	SSL_CTX *front;
	struct tls_host hosts[3]; /* a, b, end */
};

static void
make_identities(void)
{
	test_root_make();
	ck_assert(tls_identity_new(&identities[FRONT], "front", 0));
	ck_assert(tls_identity_new(&identities[HOST_A], "a.example", 0));
	ck_assert(tls_identity_new(&identities[HOST_B], "b.example", 0));
	ck_assert(
	    tls_identity_of_key(&identities[OTHER_KEY], "other", TLS_RSA));
	ck_assert(tls_identity_new(&identities[CLIENT], "client", 0));
}

static void
free_identities(void)
{
	for (int i = FRONT; i < N_WHO; i++)
		tls_identity_free(&identities[i]);
	test_root_remove();
}

static struct sesscache *
open_cache(const struct way *way)
{
	return cache_open(test_dir("cache"), "size", "16M", "tickets",
	    way->tickets, "single-use", way->for_once ? "on" : "auto", "log",
	    "error", NULL);
}

static void
set_policy(SSL_CTX *ctx, const struct policy *policy)
{
	MUST(tls_add_identity(ctx, &identities[policy->leaf]));
	if (policy->second != NOBODY_ELSE)
		MUST(tls_add_identity(ctx, &identities[policy->second]));
	if (policy->verify != SSL_VERIFY_NONE)
		tls_ask_for_certificate(ctx, policy->verify == REQUIRED);
	if (policy->depth > 0)
		SSL_CTX_set_verify_depth(ctx, policy->depth);
	if (policy->ca != NULL)
		MUST(tls_name_authority(ctx, policy->ca));
	if (policy->id_context != NULL)
		MUST(SSL_CTX_set_session_id_context(ctx,
			 (const unsigned char *)policy->id_context,
			 (unsigned)strlen(policy->id_context)) == 1);
}

static SSL_CTX *
server_of(struct sesscache *cache, const struct way *way,
    const struct policy *policy)
{
	SSL_CTX *ctx = tls_server_new(NULL, way->version);
	enum sesscache_status status = SESSCACHE_OK;

	MUST(ctx != NULL);
	SSL_CTX_set_info_callback(ctx, policy->own);
	if (!policy->late)
		set_policy(ctx, policy);
	if (policy->realm != NULL)
		status = sesscache_attach_realm(cache, ctx, policy->realm);
	else if (!policy->detached)
		status = sesscache_attach(cache, ctx);
	MUST(status == SESSCACHE_OK);
	if (policy->late)
		set_policy(ctx, policy);
	if (policy->later != NULL)
		SSL_CTX_set_info_callback(ctx, policy->later);
	return ctx;
}

/* A site with a handle of its own, as each worker has. */
static void
site_open(struct site *site, const struct way *way, const struct plan *plan)
{
	memset(site, 0, sizeof(*site));
	site->cache = open_cache(way);
	site->front = server_of(site->cache, way, &plan->front);
	if (plan->retry)
		MUST(SSL_CTX_set1_groups_list(site->front, "P-384:P-256") == 1);
	if (!plan->hosts)
		return;
	site->hosts[0].name = "a.example";
	site->hosts[0].ctx = server_of(site->cache, way, &plan->a);
	site->hosts[1].name = "b.example";
	site->hosts[1].ctx = server_of(site->cache, way, &plan->b);
	tls_serve_hosts(site->front, plan->when, site->hosts);
}

static void
site_close(struct site *site)
{
	SSL_CTX_free(site->front);
	SSL_CTX_free(site->hosts[0].ctx);
	SSL_CTX_free(site->hosts[1].ctx);
	sesscache_close(site->cache);
}

/* --- visits --------------------------------------------------------------- */

static SSL_CTX *
client_of(const struct way *way, enum who who)
{
	SSL_CTX *ctx = tls_client_new(who == NOBODY_ELSE ? NULL :
							   &identities[who],
	    way->version);

	MUST(ctx != NULL);
	(void)SSL_CTX_set_options(ctx, way->client_options);
	/* The first is what it tries without being asked. */
	MUST(SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1);
	return ctx;
}

/* What became of one connection. */
struct visit {
	struct tls_outcome outcome;
	bool reused;   /* as the server says, once it is done */
	bool peer;     /* it has the client's certificate */
	bool diverted; /* resumed where none is required: see is_diverted() */
	bool asked;    /* data passed to the server */
	bool answered; /* and to the client */
};

/*
 * Up to TLS 1.2 the server-name callback of a connection that resumes is told
 * the name of the session, not what the client sent, and goes there.
 */
static bool
is_diverted(const SSL *server)
{
	return SSL_version(server) != TLS1_3_VERSION &&
	    SSL_session_reused(server) == 1 &&
	    SSL_get_verify_mode(server) != REQUIRED;
}

/*
 * One connection that offers a copy of *session (may be NULL), and leaves the
 * client's newest session there if all went well.
 */
static struct visit
visit(SSL_CTX *server, SSL_CTX *client, const char *name, SSL_SESSION **session)
{
	SSL_SESSION *offer = NULL;
	struct visit seen = { .reused = false };
	struct tls_pair pair;

	if (*session != NULL)
		offer = SSL_SESSION_dup(*session);
	MUST(tls_pair_new(&pair, server, client, offer, name));
	seen.outcome = tls_pair_try(&pair);
	seen.diverted = is_diverted(pair.server);
	seen.asked = tls_send(pair.client, pair.server, "question");
	seen.answered = tls_send(pair.server, pair.client, "answer");
	if (seen.outcome.server_done && seen.answered) {
		seen.reused = SSL_session_reused(pair.server) == 1;
		seen.peer = SSL_SESSION_get0_peer(
				SSL_get_session(pair.server)) != NULL;
		SSL_SESSION_free(*session);
		*session = SSL_get1_session(pair.client);
		tls_pair_shutdown(&pair);
	} else if (SSL_session_reused(pair.server) == 1) {
		seen.reused = true;
	}
	tls_pair_free(&pair);
	SSL_SESSION_free(offer);
	ERR_clear_error();
	return seen;
}

/* The same, with a session that stays as it is. */
static struct visit
offer(SSL_CTX *server, SSL_CTX *client, const char *name, SSL_SESSION *session)
{
	SSL_SESSION *copy = session;
	struct visit seen;

	(void)SSL_SESSION_up_ref(session);
	seen = visit(server, client, name, &copy);
	SSL_SESSION_free(copy);
	return seen;
}

static bool
is_served(const struct visit *seen)
{
	return seen->outcome.server_done && seen->outcome.client_done &&
	    seen->asked && seen->answered;
}

/* Nothing of the application's passed in either direction. */
static bool
is_refused(const struct visit *seen)
{
	return !seen->asked && !seen->answered;
}

static const char *
reason(unsigned long error)
{
	const char *text = ERR_reason_error_string(error);

	return text != NULL ? text : "none";
}

/* Where in the test, for those who read its failure. */
static const char *
at(const struct way *way, const char *what, const char *step)
{
	static char text[256];

	(void)snprintf(text, sizeof(text), "%s: %s: %s", way->name, what, step);
	return text;
}

static void
assert_visit(const struct visit *seen, bool reused, const char *where)
{
	ck_assert_msg(is_served(seen),
	    "%s: not served: server %s (%s), client %s (%s)", where,
	    seen->outcome.server_done ? "done" : "failed",
	    reason(seen->outcome.server_error),
	    seen->outcome.client_done ? "done" : "failed",
	    reason(seen->outcome.client_error));
	ck_assert_msg(seen->outcome.server_error == 0, "%s: error left: %s",
	    where, reason(seen->outcome.server_error));
	ck_assert_msg(seen->reused == reused, "%s: %s", where,
	    reused ? "a full handshake" : "resumed");
}

static void
assert_full(const struct visit *seen, const char *where)
{
	assert_visit(seen, false, where);
}

static void
assert_resumed(const struct visit *seen, const char *where)
{
	assert_visit(seen, true, where);
}

/* As a full handshake would: for want of a certificate. */
static void
assert_no_certificate(const struct visit *seen, const char *where)
{
	ck_assert_msg(!seen->reused, "%s: resumed", where);
	ck_assert_msg(!seen->outcome.server_done && is_refused(seen),
	    "%s: served", where);
	ck_assert_msg(ERR_GET_REASON(seen->outcome.server_error) ==
		SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
	    "%s: %s", where, reason(seen->outcome.server_error));
}

/* A handshake may end well, but then the connection is closed at once. */
static bool
is_never_served(const struct visit *seen)
{
	return seen->diverted ||
	    (is_refused(seen) && (seen->reused || !seen->outcome.server_done));
}

static void
assert_never_served(const struct visit *seen, const char *where)
{
	ck_assert_msg(is_never_served(seen), "%s: served%s", where,
	    seen->reused ? ", resumed" : "");
}

/* Sessions that were not found, or not for this realm. */
static uint64_t
refusals(struct sesscache *cache)
{
	struct sesscache_stats stats;

	MUST(sesscache_stats(cache, &stats) == SESSCACHE_OK);
	return stats.misses + stats.foreign + stats.realm_refused +
	    stats.tickets_refused;
}

/* Errors that the callbacks dropped: not of the peer's making. */
static uint64_t
failures(struct sesscache *cache)
{
	struct sesscache_stats stats;

	MUST(sesscache_stats(cache, &stats) == SESSCACHE_OK);
	return stats.failed;
}

/* --- visits in processes of their own ------------------------------------- */

/* Shared with the child that visits. */
struct act {
	const struct way *way;
	const struct plan *plan; /* opened by the child */
	struct site *site;       /* if it is set: inherited by the child */
	const char *name;
	enum who client;
	uint8_t der[MAX_DER_BYTES]; /* the client's session, also after */
	size_t der_len;             /* 0: none */
	struct visit seen;
	uint64_t refused;
};

static void
act_put(struct act *act, SSL_SESSION *session)
{
	unsigned char *end = act->der;
	int len = session != NULL ? i2d_SSL_SESSION(session, NULL) : 0;

	MUST(len >= 0 && len <= MAX_DER_BYTES);
	if (len > 0)
		MUST(i2d_SSL_SESSION(session, &end) == len);
	act->der_len = (size_t)len;
}

static SSL_SESSION *
act_session(const struct act *act)
{
	const unsigned char *der = act->der;
	SSL_SESSION *session = NULL;

	if (act->der_len > 0) {
		session = d2i_SSL_SESSION(NULL, &der, (long)act->der_len);
		MUST(session != NULL);
	}
	return session;
}

static void
play(void *arg)
{
	struct act *act = arg;
	SSL_CTX *client = client_of(act->way, act->client);
	SSL_SESSION *session = act_session(act);
	struct site own, *site = act->site;

	if (site == NULL) {
		site_open(&own, act->way, act->plan);
		site = &own;
	}
	act->refused = refusals(site->cache);
	act->seen = visit(site->front, client, act->name, &session);
	act->refused = refusals(site->cache) - act->refused;
	act_put(act, session);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	site_close(site);
}

/* In a child whose parent has attached nothing, unless it inherits a site. */
static struct visit
act_out(struct act *act, const struct plan *plan, const char *name)
{
	act->plan = plan;
	act->name = name;
	MUST(child_does(play, act));
	return act->seen;
}

static struct act *
act_new(const struct way *way, enum who client)
{
	struct act *act = shared_new(sizeof(*act));

	act->way = way;
	act->client = client;
	return act;
}

/* --- the same policy ------------------------------------------------------ */

START_TEST(session_resumes_in_every_worker_of_its_policy)
{
	const struct plan plan = { .front = { .leaf = HOST_A } };
	SSL_CTX *client = client_of(WAY, NOBODY_ELSE);
	struct act *act = act_new(WAY, NOBODY_ELSE);
	SSL_SESSION *session = NULL;
	struct site first, second;
	struct visit seen;

	site_open(&first, WAY, &plan);
	site_open(&second, WAY, &plan);
	seen = visit(first.front, client, "a.example", &session);
	assert_full(&seen, at(WAY, "worker", "first"));
	seen = visit(first.front, client, "a.example", &session);
	assert_resumed(&seen, at(WAY, "worker", "itself"));
	seen = visit(second.front, client, "A.Example", &session);
	assert_resumed(&seen, at(WAY, "worker", "another handle"));
	seen = visit(first.front, client, "a.example", &session);
	assert_resumed(&seen, at(WAY, "worker", "and back"));
	act_put(act, session);
	seen = act_out(act, &plan, "a.example");
	assert_resumed(&seen, at(WAY, "worker", "another process"));
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	site_close(&first);
	site_close(&second);
}
END_TEST

/* Without a parent that attached: each is the first of its family. */
START_TEST(session_resumes_in_processes_without_a_common_parent)
{
	const struct plan plan = { .front = { .leaf = HOST_A } };
	struct act *act = act_new(WAY, NOBODY_ELSE);
	struct visit seen;

	seen = act_out(act, &plan, "a.example");
	assert_full(&seen, at(WAY, "family", "first"));
	for (int i = 0; i < 3; i++) {
		seen = act_out(act, &plan, "a.example");
		assert_resumed(&seen, at(WAY, "family", "another"));
	}
}
END_TEST

static void
assert_late(const struct way *way, const struct policy *policy)
{
	const struct plan early = { .front = *policy };
	struct plan late = early;
	struct act *act = act_new(way, CLIENT);
	struct visit seen;

	late.front.late = true;
	seen = act_out(act, &early, "a.example");
	assert_full(&seen, at(way, "late", "first"));
	seen = act_out(act, &late, "a.example");
	assert_resumed(&seen, at(way, "late", "set after the attach"));
	seen = act_out(act, &early, "a.example");
	assert_resumed(&seen, at(way, "late", "and before"));
	late.front.leaf = OTHER_KEY;
	seen = act_out(act, &late, "a.example");
	assert_visit(&seen, policy->realm != NULL,
	    at(way, "late", "another leaf after the attach"));
}

START_TEST(policy_may_be_set_after_the_attach)
{
	assert_late(WAY, &(struct policy){ .leaf = HOST_A });
	assert_late(WAY,
	    &(struct policy){ .leaf = HOST_A,
		.realm = "late",
		.verify = REQUIRED,
		.depth = 4,
		.ca = "authority" });
}
END_TEST

/* --- another policy ------------------------------------------------------- */

static const struct {
	const char *name;
	struct policy one;
	struct policy two;
	const char *names[2];
	enum who client;
} others[] = {
	{ "another leaf certificate", { .leaf = HOST_A }, { .leaf = HOST_B },
	    { "a.example", "a.example" }, NOBODY_ELSE },
	{ "another kind of key", { .leaf = HOST_A }, { .leaf = OTHER_KEY },
	    { "a.example", "a.example" }, NOBODY_ELSE },
	{ "one leaf more", { .leaf = HOST_A },
	    { .leaf = HOST_A, .second = OTHER_KEY },
	    { "a.example", "a.example" }, NOBODY_ELSE },
	{ "a certificate is asked for", { .leaf = HOST_A },
	    { .leaf = HOST_A, .verify = SSL_VERIFY_PEER },
	    { "a.example", "a.example" }, NOBODY_ELSE },
	{ "a certificate is required", { .leaf = HOST_A },
	    { .leaf = HOST_A, .verify = REQUIRED },
	    { "a.example", "a.example" }, CLIENT },
	{ "required, not only asked for",
	    { .leaf = HOST_A, .verify = SSL_VERIFY_PEER },
	    { .leaf = HOST_A, .verify = REQUIRED },
	    { "a.example", "a.example" }, CLIENT },
	{ "another verify depth",
	    { .leaf = HOST_A, .verify = REQUIRED, .depth = 3 },
	    { .leaf = HOST_A, .verify = REQUIRED, .depth = 5 },
	    { "a.example", "a.example" }, CLIENT },
	{ "other client CA names",
	    { .leaf = HOST_A, .verify = REQUIRED, .ca = "one" },
	    { .leaf = HOST_A, .verify = REQUIRED, .ca = "two" },
	    { "a.example", "a.example" }, CLIENT },
	{ "client CA names", { .leaf = HOST_A, .verify = REQUIRED },
	    { .leaf = HOST_A, .verify = REQUIRED, .ca = "one" },
	    { "a.example", "a.example" }, CLIENT },
	{ "another session ID context", { .leaf = HOST_A, .id_context = "one" },
	    { .leaf = HOST_A, .id_context = "two" },
	    { "a.example", "a.example" }, NOBODY_ELSE },
	{ "another server name", { .leaf = HOST_A }, { .leaf = HOST_A },
	    { "a.example", "b.example" }, NOBODY_ELSE },
	{ "a longer server name", { .leaf = HOST_A }, { .leaf = HOST_A },
	    { "a.example", "a.example.org" }, NOBODY_ELSE },
	{ "no server name", { .leaf = HOST_A }, { .leaf = HOST_A },
	    { "a.example", NULL }, NOBODY_ELSE },
	{ "another realm", { .leaf = HOST_A, .realm = "one" },
	    { .leaf = HOST_A, .realm = "two" }, { "a.example", "a.example" },
	    NOBODY_ELSE },
	{ "a longer realm", { .leaf = HOST_A, .realm = "one" },
	    { .leaf = HOST_A, .realm = "one more" },
	    { "a.example", "a.example" }, NOBODY_ELSE },
	{ "a named realm", { .leaf = HOST_A },
	    { .leaf = HOST_A, .realm = "one" }, { "a.example", "a.example" },
	    NOBODY_ELSE },
};

/* In one process, where both are attached. */
static void
assert_apart(const struct way *way, int which, int home)
{
	const struct policy *one = &others[which].one,
			    *two = &others[which].two;
	const char *what = others[which].name;
	const char *own = others[which].names[home];
	const char *other = others[which].names[1 - home];
	struct sesscache *cache = open_cache(way);
	SSL_CTX *from = server_of(cache, way, home == 0 ? one : two);
	SSL_CTX *to = server_of(cache, way, home == 0 ? two : one);
	SSL_CTX *client = client_of(way, others[which].client);
	SSL_SESSION *session = NULL, *strange = NULL;
	struct visit seen;
	uint64_t refused;

	seen = visit(from, client, own, &session);
	assert_full(&seen, at(way, what, "first"));
	seen = visit(from, client, own, &session);
	assert_resumed(&seen, at(way, what, "at home"));
	seen = visit(to, client, other, &strange);
	assert_full(&seen, at(way, what, "elsewhere, offering nothing"));
	SSL_SESSION_free(strange);
	strange = SSL_SESSION_dup(session);
	refused = refusals(cache);
	seen = visit(to, client, other, &strange);
	assert_full(&seen, at(way, what, "elsewhere"));
	ck_assert_uint_gt(refusals(cache), refused);
	seen = visit(to, client, other, &strange);
	assert_resumed(&seen, at(way, what, "the new one, there"));
	seen = visit(from, client, own, &session);
	assert_resumed(&seen, at(way, what, "at home again"));
	ck_assert_uint_eq(failures(cache), 0);
	SSL_SESSION_free(session);
	SSL_SESSION_free(strange);
	SSL_CTX_free(from);
	SSL_CTX_free(to);
	SSL_CTX_free(client);
	sesscache_close(cache);
}

START_TEST(session_of_another_policy_in_the_process_is_a_full_handshake)
{
	for (int home = 0; home < 2; home++)
		assert_apart(WAY, CASE, home);
}
END_TEST

/*
 * In processes that each have one policy and nothing in common: where clients
 * are verified, the sessions of one are not the other's.
 */
static void
assert_worlds_apart(const struct way *way, int which, int home)
{
	const struct plan plans[] = { { .front = others[which].one },
		{ .front = others[which].two } };
	const char *what = others[which].name;
	const char *own = others[which].names[home];
	struct act *act = act_new(way, others[which].client);
	struct act *strange = act_new(way, others[which].client);
	bool is_open = plans[home].front.verify == SSL_VERIFY_NONE;
	struct visit seen;

	seen = act_out(act, &plans[home], own);
	assert_full(&seen, at(way, what, "first"));
	seen = act_out(act, &plans[home], own);
	assert_visit(&seen, is_open, at(way, what, "at home"));
	memcpy(strange->der, act->der, act->der_len);
	strange->der_len = act->der_len;
	seen = act_out(strange, &plans[1 - home],
	    others[which].names[1 - home]);
	assert_full(&seen, at(way, what, "elsewhere"));
	ck_assert_msg(strange->refused > 0, "%s", at(way, what, "not counted"));
	seen = act_out(act, &plans[home], own);
	assert_visit(&seen, is_open, at(way, what, "at home again"));
}

START_TEST(session_of_another_policy_elsewhere_is_a_full_handshake)
{
	for (int home = 0; home < 2; home++)
		assert_worlds_apart(WAY, CASE, home);
}
END_TEST

/* As a program has that serves one name on two ports. */
START_TEST(policies_under_one_name_do_not_disturb_each_other)
{
	const struct policy policies[] = { { .leaf = HOST_A },
		{ .leaf = HOST_B } };
	struct sesscache *cache = open_cache(WAY);
	SSL_CTX *client = client_of(WAY, NOBODY_ELSE);
	SSL_SESSION *sessions[2] = { NULL };
	SSL_CTX *servers[2];
	struct visit seen;

	for (int i = 0; i < 2; i++)
		servers[i] = server_of(cache, WAY, &policies[i]);
	for (int i = 0; i < 8; i++) {
		seen = visit(servers[i % 2], client, "a.example",
		    &sessions[i % 2]);
		assert_visit(&seen, i >= 2, at(WAY, "ports", "in turn"));
	}
	for (int i = 0; i < 2; i++) {
		SSL_SESSION_free(sessions[i]);
		SSL_CTX_free(servers[i]);
	}
	SSL_CTX_free(client);
	sesscache_close(cache);
}
END_TEST

/* --- switched contexts ---------------------------------------------------- */

enum { ASKED_TWICE = 2 };

static const struct {
	const char *name;
	enum tls_switch when;
	bool retry;
} switches[] = {
	{ "switched by name", TLS_BY_NAME, false },
	{ "switched by hello", TLS_BY_HELLO, false },
	[ASKED_TWICE] = { "switched by name, asked twice", TLS_BY_NAME, true },
};

/* Three hosts with a certificate each. */
static struct plan
plan_of_hosts(int how)
{
	const struct plan plan = {
		.front = { .leaf = FRONT },
		.a = { .leaf = HOST_A },
		.b = { .leaf = HOST_B },
		.hosts = true,
		.when = switches[how].when,
		.retry = switches[how].retry,
	};

	return plan;
}

/* What the sessions of a site are offered at; NULL: no name. */
static const char *const names[] = { "a.example", "b.example", "c.example",
	NULL };

static const char *
step_text(const char *verb, int from, int to)
{
	static char text[80];

	(void)snprintf(text, sizeof(text), "%s: %s to %s", verb,
	    names[from] != NULL ? names[from] : "no name",
	    names[to] != NULL ? names[to] : "no name");
	return text;
}

/* Each session everywhere: it resumes at home alone. */
static void
assert_nothing_crosses(const struct site *site, const struct way *way,
    const char *what, SSL_SESSION *sessions[], bool at_home)
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	struct visit seen;

	for (int from = 0; from < N_OF(names); from++) {
		for (int to = 0; to < N_OF(names); to++) {
			seen = offer(site->front, client, names[to],
			    sessions[from]);
			if (from != to || at_home)
				assert_visit(&seen, from == to,
				    at(way, what,
					step_text("crossing", from, to)));
		}
	}
	SSL_CTX_free(client);
}

/* A session of each name, from a full handshake at the site. */
static void
make_sessions(const struct site *site, const struct way *way, const char *what,
    SSL_SESSION *sessions[])
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	struct visit seen;

	for (int i = 0; i < N_OF(names); i++) {
		sessions[i] = NULL;
		seen = visit(site->front, client, names[i], &sessions[i]);
		assert_full(&seen, at(way, what, step_text("new", i, i)));
	}
	SSL_CTX_free(client);
}

static void
free_sessions(SSL_SESSION *sessions[])
{
	for (int i = 0; i < N_OF(names); i++)
		SSL_SESSION_free(sessions[i]);
}

START_TEST(session_of_a_host_resumes_at_that_host_alone)
{
	const struct plan plan = plan_of_hosts(CASE);
	SSL_SESSION *sessions[N_OF(names)];
	struct site site;

	site_open(&site, WAY, &plan);
	make_sessions(&site, WAY, switches[CASE].name, sessions);
	assert_nothing_crosses(&site, WAY, switches[CASE].name, sessions, true);
	ck_assert_uint_eq(failures(site.cache), 0);
	free_sessions(sessions);
	site_close(&site);
}
END_TEST

/* In each of them a full handshake may be due to learn where names lead. */
static void
assert_learned_once(const struct way *way, const struct plan *plan,
    const char *what, SSL_SESSION *session)
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	SSL_SESSION *copy = SSL_SESSION_dup(session);
	struct site site;
	struct visit seen;

	site_open(&site, way, plan);
	seen = offer(site.front, client, "b.example", session);
	assert_full(&seen, at(way, what, "at another host, unknown"));
	seen = visit(site.front, client, "a.example", &copy);
	ck_assert_msg(is_served(&seen), "%s", at(way, what, "first offer"));
	for (int i = 0; i < 3; i++) {
		seen = visit(site.front, client, "a.example", &copy);
		assert_resumed(&seen, at(way, what, "next offer"));
	}
	seen = offer(site.front, client, "a.example", session);
	assert_resumed(&seen, at(way, what, "the session from before"));
	seen = offer(site.front, client, "b.example", session);
	assert_full(&seen, at(way, what, "at another host"));
	SSL_SESSION_free(copy);
	SSL_CTX_free(client);
	site_close(&site);
}

START_TEST(new_process_learns_where_a_name_leads_with_one_handshake)
{
	const struct plan plan = plan_of_hosts(CASE);
	struct act *act = act_new(WAY, NOBODY_ELSE);
	SSL_SESSION *session;
	struct visit seen;

	seen = act_out(act, &plan, "a.example");
	assert_full(&seen, at(WAY, switches[CASE].name, "made elsewhere"));
	session = act_session(act);
	assert_learned_once(WAY, &plan, switches[CASE].name, session);
	SSL_SESSION_free(session);
}
END_TEST

START_TEST(what_one_child_learned_the_others_know)
{
	const struct plan plan = plan_of_hosts(CASE);
	const char *what = switches[CASE].name;
	struct act *act = act_new(WAY, NOBODY_ELSE);
	struct act *strange = act_new(WAY, NOBODY_ELSE);
	struct site site;
	struct visit seen;

	site_open(&site, WAY, &plan);
	act->site = strange->site = &site;
	seen = act_out(act, &plan, "a.example");
	assert_full(&seen, at(WAY, what, "first child"));
	memcpy(strange->der, act->der, act->der_len);
	strange->der_len = act->der_len;
	seen = act_out(strange, &plan, "b.example");
	assert_full(&seen, at(WAY, what, "another host, another child"));
	for (int i = 0; i < 3; i++) {
		seen = act_out(act, &plan, "a.example");
		assert_resumed(&seen, at(WAY, what, "another child"));
	}
	site_close(&site);
}
END_TEST

static const struct {
	const char *name;
	bool a;
	bool b;
} detached[] = {
	{ "a is not attached", true, false },
	{ "b is not attached", false, true },
	{ "neither is attached", true, true },
};

/* Those that are not attached resume or not, as they like. */
START_TEST(nothing_crosses_where_a_host_is_not_attached)
{
	SSL_SESSION *sessions[N_OF(names)];
	struct plan plan;
	struct site site;

	for (int i = 0; i < N_OF(switches); i++) {
		test_remove_tree(test_dir("cache"));
		plan = plan_of_hosts(i);
		plan.a.detached = detached[CASE].a;
		plan.b.detached = detached[CASE].b;
		site_open(&site, WAY, &plan);
		make_sessions(&site, WAY, detached[CASE].name, sessions);
		assert_nothing_crosses(&site, WAY, detached[CASE].name,
		    sessions, false);
		free_sessions(sessions);
		site_close(&site);
	}
}
END_TEST

/* --- client certificates: CVE-2025-23419, CVE-2025-23048 ------------------ */

static const struct {
	const char *name;
	enum who front;
	enum who a;
	enum who b;
	const char *realm; /* of all; NULL: not named */
	bool detached;     /* b is not in the cache */
} attacks[] = {
	{ "a certificate each", FRONT, HOST_A, HOST_B, NULL, false },
	{ "one certificate for all", FRONT, FRONT, FRONT, NULL, false },
	{ "one realm for all", FRONT, HOST_A, HOST_B, "all", false },
	{ "b is not attached", FRONT, HOST_A, HOST_B, NULL, true },
	{ "one certificate, b is not attached", FRONT, FRONT, FRONT, NULL,
	    true },
};

/* Host b requires what nobody else asks for. */
static struct plan
plan_of_attack(int attack, int how)
{
	struct plan plan = {
		.front = { .leaf = attacks[attack].front },
		.a = { .leaf = attacks[attack].a },
		.b = { .leaf = attacks[attack].b, .verify = REQUIRED },
		.hosts = true,
		.when = switches[how].when,
		.retry = switches[how].retry,
	};

	plan.front.realm = plan.a.realm = plan.b.realm = attacks[attack].realm;
	plan.b.detached = attacks[attack].detached;
	/* Without one OpenSSL resumes nothing where clients are verified. */
	if (plan.b.detached)
		plan.b.id_context = "b";
	return plan;
}

/*
 * The sessions of all names but b's, offered there.  In a realm that is shared
 * by name they may be found, but lead nowhere; else they are not even found.
 */
static void
attack_b(const struct site *site, const struct way *way, const char *what,
    SSL_SESSION *sessions[], bool shared)
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	struct visit seen;

	for (int from = 0; from < N_OF(names); from++) {
		if (sessions[from] == NULL)
			continue;
		seen = offer(site->front, client, "b.example", sessions[from]);
		if (shared)
			assert_never_served(&seen,
			    at(way, what, step_text("attack", from, 1)));
		else
			assert_no_certificate(&seen,
			    at(way, what, step_text("attack", from, 1)));
	}
	SSL_CTX_free(client);
}

/* Who brings a certificate is served at once, and resumes. */
static void
visit_b_legally(const struct site *site, const struct way *way,
    const char *what, bool resumes)
{
	SSL_CTX *client = client_of(way, CLIENT);
	SSL_SESSION *session = NULL;
	struct visit seen;

	for (int i = 0; i < 3; i++) {
		seen = visit(site->front, client, "b.example", &session);
		ck_assert_msg(is_served(&seen) && seen.peer, "%s: %s",
		    at(way, what, "with a certificate"),
		    reason(seen.outcome.server_error));
		if (i == 0 || resumes)
			assert_visit(&seen, i > 0,
			    at(way, what, "with a certificate"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
}

static void
attack_site(const struct way *way, const struct plan *plan, int attack,
    SSL_SESSION *sessions[])
{
	const char *what = attacks[attack].name;
	bool shared = attacks[attack].realm != NULL;
	struct site site;

	site_open(&site, way, plan);
	attack_b(&site, way, what, sessions, shared);
	visit_b_legally(&site, way, what, plan->b.detached == false);
	attack_b(&site, way, what, sessions, shared);
	site_close(&site);
}

/* A session of each name but b's, which nobody gets without a certificate. */
static void
make_open_sessions(const struct way *way, const struct plan *plan,
    const char *what, SSL_SESSION *sessions[])
{
	struct act *act;
	struct visit seen;

	for (int i = 0; i < N_OF(names); i++) {
		sessions[i] = NULL;
		if (names[i] != NULL && strcmp(names[i], "b.example") == 0)
			continue;
		act = act_new(way, NOBODY_ELSE);
		seen = act_out(act, plan, names[i]);
		assert_full(&seen, at(way, what, "made"));
		sessions[i] = act_session(act);
	}
}

START_TEST(session_made_without_a_certificate_is_useless_where_one_is_required)
{
	SSL_SESSION *sessions[N_OF(names)];
	struct plan plan;

	for (int i = 0; i < N_OF(switches); i++) {
		test_remove_tree(test_dir("cache"));
		plan = plan_of_attack(CASE, i);
		make_open_sessions(WAY, &plan, switches[i].name, sessions);
		attack_site(WAY, &plan, CASE, sessions);
		free_sessions(sessions);
	}
}
END_TEST

/* The same in the process that made them. */
START_TEST(session_of_an_open_host_is_useless_at_a_strict_one_beside_it)
{
	SSL_SESSION *sessions[N_OF(names)] = { NULL };
	const char *what = attacks[CASE].name;
	bool shared = attacks[CASE].realm != NULL;
	SSL_CTX *client = client_of(WAY, NOBODY_ELSE);
	struct plan plan;
	struct site site;
	struct visit seen;

	for (int i = 0; i < N_OF(switches); i++) {
		test_remove_tree(test_dir("cache"));
		plan = plan_of_attack(CASE, i);
		site_open(&site, WAY, &plan);
		seen = visit(site.front, client, "a.example", &sessions[0]);
		assert_full(&seen, at(WAY, what, "a"));
		seen = visit(site.front, client, NULL, &sessions[3]);
		ck_assert_msg(is_served(&seen), "%s", at(WAY, what, "front"));
		attack_b(&site, WAY, what, sessions, shared);
		visit_b_legally(&site, WAY, what, !plan.b.detached);
		attack_b(&site, WAY, what, sessions, shared);
		free_sessions(sessions);
		memset(sessions, 0, sizeof(sessions));
		site_close(&site);
	}
	SSL_CTX_free(client);
}
END_TEST

static void
on_info(const SSL *ssl, int where, int ret)
{
	(void)ssl, (void)where, (void)ret;
}

static void
on_other_info(const SSL *ssl, int where, int ret)
{
	(void)ssl, (void)where, (void)ret;
}

/* Replace the context of b, as a server does that reads its configuration. */
static void
site_make_b_strict(struct site *site, const struct way *way,
    const struct plan *plan)
{
	struct policy strict = plan->b;

	strict.verify = REQUIRED;
	SSL_CTX_free(site->hosts[1].ctx);
	site->hosts[1].ctx = server_of(site->cache, way, &strict);
}

/* Offered twice: a process may learn from the first. */
static void
attack_with(const struct site *site, const struct way *way, const char *what,
    SSL_SESSION *session)
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	struct visit seen;

	for (int i = 0; i < 3; i++) {
		seen = offer(site->front, client, "b.example", session);
		assert_never_served(&seen, at(way, what, "attack"));
	}
	SSL_CTX_free(client);
}

struct reload {
	const struct way *way;
	const struct plan *plan;
	struct site *site;
	const char *what;
	SSL_SESSION *session;
	int failed;
};

/* What a worker that was forked before the reload does. */
static void
attack_in_child(void *arg)
{
	struct reload *reload = arg;
	SSL_CTX *client = client_of(reload->way, NOBODY_ELSE);
	struct visit seen;

	site_make_b_strict(reload->site, reload->way, reload->plan);
	for (int i = 0; i < 3; i++) {
		seen = offer(reload->site->front, client, "b.example",
		    reload->session);
		MUST(is_never_served(&seen));
	}
	SSL_SESSION_free(reload->session);
	SSL_CTX_free(client);
	site_close(reload->site);
}

/* One that we may not be able to chain to: it costs a handshake more. */
static bool
has_foreign_info(const struct plan *plan)
{
	return plan->front.later != NULL || plan->front.own != plan->b.own;
}

static void
assert_reload(const struct way *way, const struct plan *plan, const char *what)
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	SSL_SESSION *session = NULL;
	struct site site;
	struct reload reload = { .way = way, .plan = plan, .site = &site };
	struct visit seen;

	test_remove_tree(test_dir("cache"));
	site_open(&site, way, plan);
	/* A foreign info callback may hide the first from what we learn. */
	for (int i = 0; i < 2; i++) {
		seen = visit(site.front, client, "b.example", &session);
		ck_assert_msg(is_served(&seen), "%s", at(way, what, "open"));
	}
	seen = visit(site.front, client, "b.example", &session);
	assert_resumed(&seen, at(way, what, "open"));
	reload.session = session;
	ck_assert_msg(child_does(attack_in_child, &reload), "%s",
	    at(way, what, "served in a child"));
	site_make_b_strict(&site, way, plan);
	attack_with(&site, way, what, session);
	visit_b_legally(&site, way, what,
	    !plan->b.detached && !has_foreign_info(plan));
	attack_with(&site, way, what, session);
	site_close(&site);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
}

START_TEST(session_from_before_certificates_were_required_is_useless)
{
	struct plan plan;

	for (int i = 0; i < N_OF(switches); i++) {
		plan = plan_of_attack(CASE, i);
		plan.b.verify = SSL_VERIFY_NONE;
		assert_reload(WAY, &plan, attacks[CASE].name);
	}
}
END_TEST

static const struct {
	const char *name;
	struct policy front;
	struct policy b;
} infos[] = {
	{ "before the attach", { .leaf = FRONT, .own = on_info },
	    { .leaf = HOST_B, .own = on_info } },
	{ "two, before the attach", { .leaf = FRONT, .own = on_info },
	    { .leaf = HOST_B, .own = on_other_info } },
	{ "two, the other way round", { .leaf = FRONT, .own = on_other_info },
	    { .leaf = HOST_B, .own = on_info } },
	{ "after the attach", { .leaf = FRONT, .later = on_info },
	    { .leaf = HOST_B, .later = on_info } },
	{ "after the attach, at the host", { .leaf = FRONT },
	    { .leaf = HOST_B, .later = on_info } },
};

/* The application may watch its handshakes as it likes. */
START_TEST(info_callback_of_the_application_opens_no_door)
{
	struct plan plan;

	for (int i = 0; i < N_OF(switches); i++) {
		plan = plan_of_hosts(i);
		plan.front = infos[CASE].front;
		plan.b = infos[CASE].b;
		assert_reload(WAY, &plan, infos[CASE].name);
	}
}
END_TEST

/* The same in processes that started after the reload. */
START_TEST(session_from_before_is_useless_in_a_new_process_too)
{
	struct act *act;
	struct plan plan;
	struct site site;
	SSL_SESSION *session;
	struct visit seen;

	for (int i = 0; i < N_OF(switches); i++) {
		test_remove_tree(test_dir("cache"));
		plan = plan_of_attack(CASE, i);
		plan.b.verify = SSL_VERIFY_NONE;
		act = act_new(WAY, NOBODY_ELSE);
		seen = act_out(act, &plan, "b.example");
		assert_full(&seen, at(WAY, attacks[CASE].name, "open"));
		session = act_session(act);
		plan.b.verify = REQUIRED;
		site_open(&site, WAY, &plan);
		attack_with(&site, WAY, attacks[CASE].name, session);
		visit_b_legally(&site, WAY, attacks[CASE].name,
		    !plan.b.detached);
		attack_with(&site, WAY, attacks[CASE].name, session);
		site_close(&site);
		SSL_SESSION_free(session);
	}
}
END_TEST

/* --- verify modes set on a connection ------------------------------------- */

static bool demanding; /* what the callback below does for b */

static int
demand_by_name(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert, (void)arg;
	if (demanding && name != NULL && strcmp(name, "b.example") == 0)
		tls_require_certificate(ssl);
	return SSL_TLSEXT_ERR_OK;
}

static int
demand_by_hello(SSL *ssl, int *alert, void *arg)
{
	const unsigned char *ext;
	size_t len;

	(void)alert, (void)arg;
	if (demanding &&
	    SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext,
		&len) == 1 &&
	    len > 5 && ext[5] == 'b')
		tls_require_certificate(ssl);
	return SSL_CLIENT_HELLO_SUCCESS;
}

static void
demand(SSL_CTX *ctx, enum tls_switch when)
{
	switch (when) {
	case TLS_BY_NAME:
		(void)SSL_CTX_set_tlsext_servername_callback(ctx,
		    demand_by_name);
		break;
	case TLS_BY_HELLO:
		SSL_CTX_set_client_hello_cb(ctx, demand_by_hello, NULL);
		break;
	}
}

/* One context, one policy, until a callback says otherwise. */
static void
assert_demand(const struct way *way, const struct plan *plan,
    enum tls_switch when, const char *what)
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	SSL_SESSION *a = NULL, *b = NULL;
	struct site site;
	struct visit seen;

	test_remove_tree(test_dir("cache"));
	demanding = false;
	site_open(&site, way, plan);
	demand(site.front, when);
	seen = visit(site.front, client, "a.example", &a);
	assert_full(&seen, at(way, what, "a"));
	seen = visit(site.front, client, "b.example", &b);
	assert_full(&seen, at(way, what, "b"));
	seen = visit(site.front, client, "b.example", &b);
	assert_resumed(&seen, at(way, what, "b"));
	demanding = true;
	attack_with(&site, way, what, b);
	attack_with(&site, way, what, a);
	visit_b_legally(&site, way, what, true);
	attack_with(&site, way, what, b);
	seen = visit(site.front, client, "a.example", &a);
	assert_resumed(&seen, at(way, what, "a again"));
	SSL_SESSION_free(a);
	SSL_SESSION_free(b);
	site_close(&site);
	SSL_CTX_free(client);
}

static const struct {
	const char *name;
	struct policy front;
} demands[] = {
	{ "a policy", { .leaf = FRONT } },
	{ "a named realm", { .leaf = FRONT, .realm = "all" } },
	{ "an info callback",
	    { .leaf = FRONT, .id_context = "own", .later = on_info } },
};

START_TEST(certificate_demanded_of_a_connection_alone_is_demanded)
{
	struct plan plan = { .front = demands[CASE].front };

	for (int i = 0; i < N_OF(switches); i++) {
		plan.retry = switches[i].retry;
		assert_demand(WAY, &plan, switches[i].when, demands[CASE].name);
	}
}
END_TEST

/* --- a client that changes its mind --------------------------------------- */

/* Another name in the ClientHello that answers a HelloRetryRequest. */
static void
change_name(const SSL *ssl, int where, int ret)
{
	(void)ret;
	if (where == SSL_CB_CONNECT_LOOP &&
	    SSL_get_state(ssl) == TLS_ST_CR_SRVR_HELLO)
		MUST(SSL_set_tlsext_host_name((SSL *)ssl, "b.example") == 1);
}

static struct visit
visit_with_two_names(const struct way *way, const struct plan *plan,
    const char *what)
{
	SSL_CTX *honest = client_of(way, NOBODY_ELSE);
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	SSL_SESSION *session = NULL;
	struct site site;
	struct visit seen;

	test_remove_tree(test_dir("cache"));
	SSL_CTX_set_info_callback(client, change_name);
	site_open(&site, way, plan);
	for (int i = 0; i < 2; i++) {
		seen = visit(site.front, honest, "a.example", &session);
		assert_visit(&seen, i > 0, at(way, what, "one name"));
	}
	seen = offer(site.front, client, "a.example", session);
	SSL_SESSION_free(session);
	SSL_CTX_free(honest);
	SSL_CTX_free(client);
	site_close(&site);
	return seen;
}

static void
assert_two_names(const struct way *way, int attack)
{
	struct plan plan = plan_of_attack(attack, ASKED_TWICE);
	const char *what = attacks[attack].name;
	struct visit seen;

	seen = visit_with_two_names(way, &plan, what);
	assert_never_served(&seen, at(way, what, "two names, strict"));
	plan.b.verify = SSL_VERIFY_NONE;
	seen = visit_with_two_names(way, &plan, what);
	if (attacks[attack].realm == NULL)
		assert_full(&seen, at(way, what, "two names"));
}

START_TEST(session_does_not_follow_a_name_that_changes)
{
	struct way once = *WAY;

	if (WAY->version != TLS1_3_VERSION)
		return;
	assert_two_names(WAY, CASE);
	once.for_once = true;
	assert_two_names(&once, CASE);
}
END_TEST

/* --- realms with a name --------------------------------------------------- */

START_TEST(hosts_of_one_realm_share_whatever_their_certificates)
{
	const struct plan one = { .front = { .leaf = HOST_A,
				      .realm = "shop" } };
	const struct plan two = { .front = { .leaf = OTHER_KEY,
				      .realm = "shop" } };
	struct act *act = act_new(WAY, NOBODY_ELSE);
	SSL_CTX *client = client_of(WAY, NOBODY_ELSE);
	SSL_SESSION *session = NULL;
	struct site first, second;
	struct visit seen;

	seen = act_out(act, &one, "a.example");
	assert_full(&seen, at(WAY, "shop", "first"));
	seen = act_out(act, &two, "a.example");
	assert_resumed(&seen, at(WAY, "shop", "another certificate"));
	seen = act_out(act, &one, "b.example");
	assert_resumed(&seen, at(WAY, "shop", "another name"));
	session = act_session(act);
	site_open(&first, WAY, &one);
	site_open(&second, WAY, &two);
	for (int i = 0; i < 4; i++) {
		seen = visit(i % 2 == 0 ? first.front : second.front, client,
		    i == 3 ? NULL : "a.example", &session);
		assert_resumed(&seen, at(WAY, "shop", "in one process"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	site_close(&first);
	site_close(&second);
}
END_TEST

/* The context that a connection begins with says what it may ask for. */
START_TEST(switched_hosts_of_one_realm_share)
{
	struct plan plan = plan_of_hosts(CASE);
	const char *what = switches[CASE].name;
	SSL_CTX *client = client_of(WAY, NOBODY_ELSE);
	SSL_SESSION *sessions[3] = { NULL };
	struct site site;
	struct visit seen;

	plan.front.realm = plan.a.realm = plan.b.realm = "shop";
	site_open(&site, WAY, &plan);
	for (int i = 0; i < N_OF(sessions); i++) {
		seen = visit(site.front, client, names[i], &sessions[i]);
		assert_full(&seen, at(WAY, what, step_text("new", i, i)));
	}
	for (int from = 0; from < N_OF(sessions); from++) {
		for (int to = 0; to < N_OF(sessions); to++) {
			seen = offer(site.front, client, names[to],
			    sessions[from]);
			assert_resumed(&seen,
			    at(WAY, what, step_text("share", from, to)));
		}
	}
	for (int i = 0; i < N_OF(sessions); i++)
		SSL_SESSION_free(sessions[i]);
	SSL_CTX_free(client);
	site_close(&site);
}
END_TEST

static void
assert_realm(struct sesscache *cache, size_t len, enum sesscache_status want)
{
	SSL_CTX *ctx = tls_server_new(&identities[HOST_A], TLS1_3_VERSION);
	char name[512];

	memset(name, 'r', sizeof(name));
	name[len] = '\0';
	ck_assert_int_eq(sesscache_attach_realm(cache, ctx, name), want);
	if (want != SESSCACHE_OK) {
		ck_assert_ptr_nonnull(strstr(sesscache_detail(), "realm"));
		/* Nothing of it stays: it may be attached yet. */
		ck_assert(SSL_CTX_sess_get_new_cb(ctx) == NULL);
		ck_done(sesscache_attach(cache, ctx));
	}
	SSL_CTX_free(ctx);
}

START_TEST(realm_has_a_name_of_1_to_255_bytes)
{
	struct sesscache *cache = open_cache(&ways[0]);

	assert_realm(cache, 0, SESSCACHE_EINVAL);
	assert_realm(cache, 1, SESSCACHE_OK);
	assert_realm(cache, 255, SESSCACHE_OK);
	assert_realm(cache, 256, SESSCACHE_EINVAL);
	assert_realm(cache, 511, SESSCACHE_EINVAL);
	sesscache_close(cache);
}
END_TEST

START_TEST(realm_is_refused_where_an_attach_would_be)
{
	struct sesscache *cache = open_cache(&ways[0]);
	SSL_CTX *server = tls_server_new(&identities[HOST_A], TLS1_3_VERSION);
	SSL_CTX *client = tls_client_new(NULL, TLS1_3_VERSION);

	ck_status(sesscache_attach_realm(NULL, server, "r"), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "NULL"));
	ck_status(sesscache_attach_realm(cache, NULL, "r"), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "NULL"));
	ck_status(sesscache_attach_realm(cache, server, NULL),
	    SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "realm"));
	ck_status(sesscache_attach_realm(cache, client, "r"), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "clients"));
	ck_done(sesscache_attach_realm(cache, server, "r"));
	ck_status(sesscache_attach_realm(cache, server, "r"), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "already"));
	ck_status(sesscache_attach_realm(cache, server, "s"), SESSCACHE_EINVAL);
	ck_status(sesscache_attach(cache, server), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "already"));
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	sesscache_close(cache);
}
END_TEST

START_TEST(realm_does_nothing_where_the_cache_is_off)
{
	struct sesscache *cache = cache_open(test_dir("cache"), "size", "16M",
	    "enable", "off", NULL);
	SSL_CTX *ctx = tls_server_new(&identities[HOST_A], TLS1_3_VERSION);

	for (int i = 0; i < 2; i++)
		ck_done(sesscache_attach_realm(cache, ctx, "r"));
	ck_assert(SSL_CTX_sess_get_new_cb(ctx) == NULL);
	SSL_CTX_free(ctx);
	sesscache_close(cache);
}
END_TEST

/* The first attach is as good as before. */
START_TEST(context_belongs_to_one_cache)
{
	const struct policy policy = { .leaf = HOST_A };
	struct sesscache *first = open_cache(WAY);
	struct sesscache *other = cache_open(test_dir("other"), "size", "16M",
	    NULL);
	SSL_CTX *ctx = server_of(first, WAY, &policy);
	SSL_CTX *client = client_of(WAY, NOBODY_ELSE);
	SSL_SESSION *session = NULL;
	struct sesscache_stats stats;
	struct visit seen;

	ck_status(sesscache_attach(other, ctx), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "another cache"));
	ck_status(sesscache_attach_realm(other, ctx, "r"), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "another cache"));
	for (int i = 0; i < 3; i++) {
		seen = visit(ctx, client, "a.example", &session);
		assert_visit(&seen, i > 0, at(WAY, "caches", "the first"));
	}
	ck_done(sesscache_stats(other, &stats));
	ck_assert_uint_eq(stats.stored + stats.hits + stats.tickets_issued, 0);
	SSL_SESSION_free(session);
	SSL_CTX_free(ctx);
	SSL_CTX_free(client);
	sesscache_close(first);
	sesscache_close(other);
}
END_TEST

/* --- bad tickets ---------------------------------------------------------- */

static void
offer_ticket(const struct site *site, const struct way *way,
    const SSL_SESSION *session, const unsigned char *ticket, size_t len,
    const char *step)
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	SSL_SESSION *bad = tls_session_with_ticket(session, ticket, len);
	struct visit seen;

	ck_assert_ptr_nonnull(bad);
	seen = offer(site->front, client, "a.example", bad);
	assert_full(&seen, at(way, "ticket", step));
	SSL_SESSION_free(bad);
	SSL_CTX_free(client);
}

/* A session of the site, and its ticket, which is not longer than size. */
static SSL_SESSION *
new_ticket(const struct site *site, const struct way *way,
    unsigned char *ticket, size_t size, size_t *len)
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	SSL_SESSION *session = NULL;
	const unsigned char *bytes;
	struct visit seen;

	seen = visit(site->front, client, "a.example", &session);
	assert_full(&seen, at(way, "ticket", "new"));
	SSL_SESSION_get0_ticket(session, &bytes, len);
	ck_assert_uint_gt(*len, 0);
	ck_assert_uint_lt(*len, size);
	memcpy(ticket, bytes, *len);
	SSL_CTX_free(client);
	return session;
}

static void
assert_still_resumes(const struct site *site, const struct way *way,
    SSL_SESSION *session)
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	struct visit seen = offer(site->front, client, "a.example", session);

	assert_resumed(&seen, at(way, "ticket", "the true one"));
	SSL_CTX_free(client);
}

static const struct plan plain = { .front = { .leaf = HOST_A } };

/* Offers tickets that are like this one and not quite. */
typedef void damage(const struct site *site, const struct way *way,
    SSL_SESSION *session, unsigned char *ticket, size_t len);

static void
assert_damaged_tickets(const struct way *way, damage *offers)
{
	unsigned char ticket[1024];
	struct site site;
	SSL_SESSION *session;
	uint64_t refused;
	size_t len;

	site_open(&site, way, &plain);
	session = new_ticket(&site, way, ticket, sizeof(ticket), &len);
	assert_still_resumes(&site, way, session);
	refused = refusals(site.cache);
	offers(&site, way, session, ticket, len);
	ck_assert_uint_gt(refusals(site.cache), refused);
	ck_assert_uint_eq(failures(site.cache), 0);
	assert_still_resumes(&site, way, session);
	SSL_SESSION_free(session);
	site_close(&site);
}

static void
truncate_ticket(const struct site *site, const struct way *way,
    SSL_SESSION *session, unsigned char *ticket, size_t len)
{
	for (size_t i = 0; i < len; i += (size_t)one_in(20))
		offer_ticket(site, way, session, ticket, i, "truncated");
	offer_ticket(site, way, session, ticket, len - 1, "a byte too few");
	ticket[len] = 0;
	offer_ticket(site, way, session, ticket, len + 1, "a byte too many");
}

static void
flip_ticket(const struct site *site, const struct way *way,
    SSL_SESSION *session, unsigned char *ticket, size_t len)
{
	for (size_t i = 0; i < len; i += (size_t)one_in(20)) {
		ticket[i] ^= (unsigned char)(1U << (i % 8));
		offer_ticket(site, way, session, ticket, len, "a bit flipped");
		ticket[i] ^= (unsigned char)(1U << (i % 8));
	}
}

/* Each unknown key name is one refused ticket. */
static void
rename_ticket_key(const struct site *site, const struct way *way,
    SSL_SESSION *session, unsigned char *ticket, size_t len)
{
	uint64_t refused = refusals(site->cache);
	unsigned char name[KEY_NAME_BYTES];
	uint64_t n = 0;

	memcpy(name, ticket, sizeof(name));
	for (size_t i = 0; i < sizeof(name); i++, n++) {
		ticket[i] = (unsigned char)~ticket[i];
		offer_ticket(site, way, session, ticket, len, "key name");
		memcpy(ticket, name, sizeof(name));
	}
	memset(ticket, 0, sizeof(name));
	offer_ticket(site, way, session, ticket, len, "key name of zeros");
	memset(ticket, 0xff, sizeof(name));
	offer_ticket(site, way, session, ticket, len, "key name of ones");
	ck_assert_int_eq(RAND_bytes(ticket, sizeof(name)), 1);
	offer_ticket(site, way, session, ticket, len, "random key name");
	memcpy(ticket, name, sizeof(name));
	ck_assert_uint_eq(refusals(site->cache) - refused, n + 3);
}

/* Those that are stateful are session IDs, below. */
START_TEST(truncated_ticket_is_a_full_handshake)
{
	if (WAY->stateless)
		assert_damaged_tickets(WAY, truncate_ticket);
}
END_TEST

START_TEST(ticket_with_a_flipped_bit_is_a_full_handshake)
{
	if (WAY->stateless)
		assert_damaged_tickets(WAY, flip_ticket);
}
END_TEST

START_TEST(ticket_under_an_unknown_key_is_a_full_handshake_and_counted)
{
	if (WAY->stateless)
		assert_damaged_tickets(WAY, rename_ticket_key);
}
END_TEST

/* Everything right but the cache: keys and addresses are others. */
START_TEST(session_of_another_cache_is_a_full_handshake)
{
	SSL_CTX *client = client_of(WAY, NOBODY_ELSE);
	SSL_SESSION *session = NULL;
	struct site first, second;
	struct visit seen;

	site_open(&first, WAY, &plain);
	seen = visit(first.front, client, "a.example", &session);
	assert_full(&seen, at(WAY, "caches", "first"));
	site_close(&first);
	test_remove_tree(test_dir("cache"));
	site_open(&second, WAY, &plain);
	seen = visit(second.front, client, "a.example", &session);
	assert_full(&seen, at(WAY, "caches", "second"));
	seen = visit(second.front, client, "a.example", &session);
	assert_resumed(&seen, at(WAY, "caches", "second"));
	ck_assert_uint_eq(failures(second.cache), 0);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	site_close(&second);
}
END_TEST

/* --- forged session IDs --------------------------------------------------- */

/* A session that asks for this ID: as ticket where TLS 1.3 has it there. */
static SSL_SESSION *
with_id(const struct way *way, const SSL_SESSION *session,
    const unsigned char *id, size_t len)
{
	SSL_SESSION *forged;

	if (way->version == TLS1_3_VERSION)
		return tls_session_with_ticket(session, id, len);
	forged = SSL_SESSION_dup(session);
	ck_assert_ptr_nonnull(forged);
	ck_assert_int_eq(SSL_SESSION_set1_id(forged, id, (unsigned)len), 1);
	return forged;
}

static void
get_id(const struct way *way, const SSL_SESSION *session,
    unsigned char id[SESSCACHE_ID_LEN])
{
	const unsigned char *bytes;
	unsigned id_len;
	size_t len;

	if (way->version == TLS1_3_VERSION) {
		SSL_SESSION_get0_ticket(session, &bytes, &len);
	} else {
		bytes = SSL_SESSION_get_id(session, &id_len);
		len = id_len;
	}
	ck_assert_uint_eq(len, SESSCACHE_ID_LEN);
	memcpy(id, bytes, len);
}

static void
offer_id(const struct site *site, const struct way *way,
    const SSL_SESSION *session, const unsigned char *id, size_t len,
    const char *step)
{
	SSL_CTX *client = client_of(way, NOBODY_ELSE);
	SSL_SESSION *forged = with_id(way, session, id, len);
	struct visit seen;

	ck_assert_ptr_nonnull(forged);
	seen = offer(site->front, client, "a.example", forged);
	assert_full(&seen, at(way, "session ID", step));
	SSL_SESSION_free(forged);
	SSL_CTX_free(client);
}

static void
offer_forged_ids(const struct site *site, const struct way *way,
    const SSL_SESSION *session)
{
	unsigned char id[SESSCACHE_ID_LEN], true_id[SESSCACHE_ID_LEN];

	get_id(way, session, true_id);
	for (int i = 0; i < 8; i++) {
		ck_assert_int_eq(RAND_bytes(id, sizeof(id)), 1);
		offer_id(site, way, session, id, sizeof(id), "random");
	}
	for (size_t i = 0; i < sizeof(id); i++) {
		memcpy(id, true_id, sizeof(id));
		id[i] ^= (unsigned char)(1U << (i % 8));
		offer_id(site, way, session, id, sizeof(id), "a bit flipped");
	}
	/* The address of one, the rest of nobody. */
	memcpy(id, true_id, sizeof(id));
	memset(id + sizeof(id) / 2, 0, sizeof(id) / 2);
	offer_id(site, way, session, id, sizeof(id), "another's address");
	memset(id, 0, sizeof(id));
	offer_id(site, way, session, id, sizeof(id), "zeros");
	for (size_t len = 1; len < sizeof(id); len += 5)
		offer_id(site, way, session, true_id, len, "too short");
}

START_TEST(forged_session_id_is_a_full_handshake)
{
	SSL_CTX *client = client_of(WAY, NOBODY_ELSE);
	SSL_SESSION *session = NULL;
	struct site site;
	uint64_t refused;
	struct visit seen;

	if (WAY->stateless) {
		SSL_CTX_free(client);
		return;
	}
	site_open(&site, WAY, &plain);
	seen = visit(site.front, client, "a.example", &session);
	assert_full(&seen, at(WAY, "session ID", "new"));
	refused = refusals(site.cache);
	offer_forged_ids(&site, WAY, session);
	ck_assert_uint_ge(refusals(site.cache) - refused, SESSCACHE_ID_LEN);
	ck_assert_uint_eq(failures(site.cache), 0);
	seen = visit(site.front, client, "a.example", &session);
	assert_resumed(&seen, at(WAY, "session ID", "the true one"));
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	site_close(&site);
}
END_TEST

/* One who saw an ID on the wire tries it at another name. */
START_TEST(session_id_of_another_client_is_useless_under_another_name)
{
	unsigned char id[SESSCACHE_ID_LEN];
	SSL_CTX *client = client_of(WAY, NOBODY_ELSE);
	SSL_SESSION *own = NULL, *other = NULL;
	struct site site;
	struct visit seen;

	if (WAY->stateless) {
		SSL_CTX_free(client);
		return;
	}
	site_open(&site, WAY, &plain);
	seen = visit(site.front, client, "a.example", &own);
	assert_full(&seen, at(WAY, "session ID", "own"));
	seen = visit(site.front, client, "b.example", &other);
	assert_full(&seen, at(WAY, "session ID", "another's"));
	get_id(WAY, other, id);
	offer_id(&site, WAY, own, id, sizeof(id), "another's");
	seen = visit(site.front, client, "b.example", &other);
	assert_resumed(&seen, at(WAY, "session ID", "another's at home"));
	SSL_SESSION_free(own);
	SSL_SESSION_free(other);
	SSL_CTX_free(client);
	site_close(&site);
}
END_TEST

/* --- all of it ------------------------------------------------------------ */

/* Each for all ways, and for all cases of its table. */
static const struct {
	const TTest *const *test;
	int cases;
} tests[] = {
	{ &session_resumes_in_every_worker_of_its_policy, 1 },
	{ &session_resumes_in_processes_without_a_common_parent, 1 },
	{ &policy_may_be_set_after_the_attach, 1 },
	{ &session_of_another_policy_in_the_process_is_a_full_handshake,
	    N_OF(others) },
	{ &session_of_another_policy_elsewhere_is_a_full_handshake,
	    N_OF(others) },
	{ &policies_under_one_name_do_not_disturb_each_other, 1 },
	{ &session_of_a_host_resumes_at_that_host_alone, N_OF(switches) },
	{ &new_process_learns_where_a_name_leads_with_one_handshake,
	    N_OF(switches) },
	{ &what_one_child_learned_the_others_know, N_OF(switches) },
	{ &nothing_crosses_where_a_host_is_not_attached, N_OF(detached) },
	{ &session_made_without_a_certificate_is_useless_where_one_is_required,
	    N_OF(attacks) },
	{ &session_of_an_open_host_is_useless_at_a_strict_one_beside_it,
	    N_OF(attacks) },
	{ &session_from_before_certificates_were_required_is_useless,
	    N_OF(attacks) },
	{ &info_callback_of_the_application_opens_no_door, N_OF(infos) },
	{ &session_from_before_is_useless_in_a_new_process_too, N_OF(attacks) },
	{ &certificate_demanded_of_a_connection_alone_is_demanded,
	    N_OF(demands) },
	{ &session_does_not_follow_a_name_that_changes, N_OF(attacks) },
	{ &hosts_of_one_realm_share_whatever_their_certificates, 1 },
	{ &switched_hosts_of_one_realm_share, N_OF(switches) },
	{ &context_belongs_to_one_cache, 1 },
	{ &truncated_ticket_is_a_full_handshake, 1 },
	{ &ticket_with_a_flipped_bit_is_a_full_handshake, 1 },
	{ &ticket_under_an_unknown_key_is_a_full_handshake_and_counted, 1 },
	{ &session_of_another_cache_is_a_full_handshake, 1 },
	{ &forged_session_id_is_a_full_handshake, 1 },
	{ &session_id_of_another_client_is_useless_under_another_name, 1 },
};

int
main(void)
{
	Suite *suite = suite_create("realm");
	TCase *tc = tcase_create("realm");

	tcase_add_unchecked_fixture(tc, make_identities, free_identities);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_set_timeout(tc, 120);
	/* Those that leave some out begin at another way each. */
	for (int i = 0; i < N_OF(tests); i++) {
		for (int j = i % N_OF(ways) % one_in(8);
		     j < N_OF(ways) * tests[i].cases; j += one_in(8))
			tcase_add_loop_test(tc, *tests[i].test, j, j + 1);
	}
	tcase_add_test(tc, realm_has_a_name_of_1_to_255_bytes);
	tcase_add_test(tc, realm_is_refused_where_an_attach_would_be);
	tcase_add_test(tc, realm_does_nothing_where_the_cache_is_off);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
