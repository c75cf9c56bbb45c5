/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a connection lands that a server-name callback sends on: names that
 * move, names by the thousand, and contexts that live for one connection.  What
 * one client does changes nobody else's resumption.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "pki.h"
#include "policy.h"
#include "process.h"
#include "sesscache.h"
#include "support.h"
#include "tls.h"
#include "comeback.h"

enum {
	REQUIRED = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	TRUST_STAFF = 1 << STAFF,
};

/* --- ways and policies ---------------------------------------------------- */

struct way {
	const char *name;
	int version;
	const char *tickets; /* the setting */
};

static const struct way ways[] = {
	{ "TLS 1.2 session ID", TLS1_2_VERSION, "off" },
	{ "TLS 1.2 ticket", TLS1_2_VERSION, "shared" },
	{ "TLS 1.3 stateful ticket", TLS1_3_VERSION, "off" },
	{ "TLS 1.3 stateless ticket", TLS1_3_VERSION, "shared" },
};

/* A loop test for each way and each case of a table. */
#define WAY (&ways[_i % N_OF(ways)])
#define CASE (_i / N_OF(ways))

static const struct policy front_policy = { .leaf = FRONT };
static const struct policy open_policy = { .leaf = HOST_A };
static const struct policy other_policy = { .leaf = HOST_B };
static const struct policy strict_policy = { .leaf = HOST_A,
	.verify = REQUIRED,
	.trusted = TRUST_STAFF };
static const struct policy other_strict_policy = { .leaf = HOST_B,
	.verify = REQUIRED,
	.trusted = TRUST_STAFF };

/* --- a server ------------------------------------------------------------- */

struct house;

/* The context for a connection: the caller's own reference; NULL: stay. */
typedef SSL_CTX *choose_context(struct house *house, const SSL *ssl);

struct house {
	const struct way *way;
	const char *realm; /* NULL: none */
	struct sesscache *cache;
	SSL_CTX *front;
	choose_context *choose;
	/* for those that choose */
	SSL_CTX *current;
	const struct policy *policy;
	SSL_CTX **contexts;
	unsigned n;
};

static int
on_name(SSL *ssl, int *alert, void *arg)
{
	struct house *house = arg;
	SSL_CTX *ctx = house->choose(house, ssl);

	(void)alert;
	if (ctx != NULL)
		MUST(policy_switch(ssl, ctx));
	SSL_CTX_free(ctx);
	return SSL_TLSEXT_ERR_OK;
}

static void
attach(const struct house *house, SSL_CTX *ctx)
{
	enum sesscache_status status;

	if (house->realm != NULL)
		status = sesscache_attach_realm(house->cache, ctx,
		    house->realm);
	else
		status = sesscache_attach(house->cache, ctx);
	MUST(status == SESSCACHE_OK);
}

static SSL_CTX *
new_context(const struct house *house, const struct policy *policy)
{
	SSL_CTX *ctx = policy_server_new(policy, house->way->version);

	attach(house, ctx);
	return ctx;
}

static void
set_callback(struct house *house, SSL_CTX *ctx)
{
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	(void)SSL_CTX_set_tlsext_servername_arg(ctx, house);
}

/* choose may be NULL: not switched. */
static void
house_open(struct house *house, const struct way *way, const char *realm,
    const struct policy *front, choose_context *choose)
{
	memset(house, 0, sizeof(*house));
	house->way = way;
	house->realm = realm;
	house->choose = choose;
	house->cache = cache_open(test_dir("cache"), "size", "64M", "tickets",
	    way->tickets, NULL);
	house->front = new_context(house, front);
	if (choose != NULL)
		set_callback(house, house->front);
}

static void
house_close(struct house *house)
{
	SSL_CTX_free(house->front);
	SSL_CTX_free(house->current);
	sesscache_close(house->cache);
}

static SSL_CTX *
choose_current(struct house *house, const SSL *ssl)
{
	(void)ssl;
	MUST(SSL_CTX_up_ref(house->current) == 1);
	return house->current;
}

static SSL_CTX *
choose_new(struct house *house, const SSL *ssl)
{
	(void)ssl;
	return new_context(house, house->policy);
}

/* How often a lock was not to be had in time, on a host that has none. */
static uint64_t
count_busy(void)
{
	struct sesscache *cache = cache_open(test_dir("cache"), NULL);
	struct sesscache_stats stats;

	MUST(sesscache_stats(cache, &stats) == SESSCACHE_OK);
	sesscache_close(cache);
	return stats.busy;
}

/* --- clients -------------------------------------------------------------- */

static SSL_CTX *
client_of(const struct way *way, enum who who)
{
	return policy_client_new(who, NULL, way->version);
}

/* What became of several connections. */
struct tally {
	int visits;
	int resumed;
	int closed;
};

/* A connection is served, or closed before any data passed. */
static void
tally(struct tally *tally, const struct comeback *seen, const char *where)
{
	bool served = comeback_is_served(seen);

	ck_assert_msg(served || comeback_is_shut(seen), "%s: connection %d: %s",
	    where, tally->visits, comeback_text(seen));
	tally->visits++;
	if (!served)
		tally->closed++;
	else if (seen->resumed)
		tally->resumed++;
}

/* --- names that move ------------------------------------------------------ */

static const struct {
	const char *name;
	enum who client;
	const struct policy *one;
	const struct policy *two;
} moves[] = {
	{ "other names", NO_ONE, &open_policy, &other_policy },
	{ "other names, of which one demands certificates", MEMBER,
	    &open_policy, &other_strict_policy },
	{ "one demands certificates", MEMBER, &open_policy, &strict_policy },
	{ "both demand certificates", MEMBER, &strict_policy,
	    &other_strict_policy },
};

START_TEST(name_that_moves_costs_a_client_two_connections_at_most)
{
	enum { TURNS = 40 };
	SSL_CTX *client = client_of(WAY, moves[CASE].client);
	struct comeback_session session = { .len = 0 };
	struct tally total = { 0 };
	int home = 0; /* where the client got its session */
	struct comeback seen;
	struct house house;
	SSL_CTX *hosts[2];

	house_open(&house, WAY, NULL, &front_policy, choose_current);
	hosts[0] = new_context(&house, moves[CASE].one);
	hosts[1] = new_context(&house, moves[CASE].two);
	for (int i = 0; i < TURNS; i++) {
		house.current = hosts[i % 2];
		seen = comeback_server(house.front, client, POLICY_NAME,
		    &session, &session);
		tally(&total, &seen, moves[CASE].name);
		/* Nobody is refused where the certificate covers the name. */
		ck_assert_msg(!comeback_is_served(&seen) || !seen.resumed ||
			home == i % 2 || moves[CASE].client == NO_ONE,
		    "%s, %s: resumed at the other", WAY->name,
		    moves[CASE].name);
		if (comeback_is_served(&seen))
			home = i % 2;
	}
	house.current = NULL;
	ck_assert_msg(total.closed <= 2, "%s, %s: %d closed of %d", WAY->name,
	    moves[CASE].name, total.closed, total.visits);
	SSL_CTX_free(hosts[0]);
	SSL_CTX_free(hosts[1]);
	SSL_CTX_free(client);
	house_close(&house);
}
END_TEST

/* One that stays where it is resumes all the while, and one after the move. */
START_TEST(name_that_moves_costs_other_names_nothing)
{
	enum { TURNS = 6 };
	SSL_CTX *client = client_of(WAY, moves[CASE].client);
	struct comeback_session moving = { .len = 0 }, staying = { .len = 0 };
	struct tally moved = { 0 }, stayed = { 0 };
	struct comeback seen;
	struct house house;
	SSL_CTX *hosts[2];

	house_open(&house, WAY, NULL, &front_policy, choose_current);
	hosts[0] = new_context(&house, moves[CASE].one);
	hosts[1] = new_context(&house, moves[CASE].two);
	for (int i = 0; i < TURNS; i++) {
		house.current = hosts[i % 2];
		seen = comeback_server(house.front, client, POLICY_NAME,
		    &moving, &moving);
		tally(&moved, &seen, "moving");
		house.current = hosts[0];
		seen = comeback_server(house.front, client, "b.example",
		    &staying, &staying);
		tally(&stayed, &seen, "staying");
	}
	house.current = NULL;
	ck_assert_msg(stayed.resumed == TURNS - 1, "%s, %s: %d resumed of %d",
	    WAY->name, moves[CASE].name, stayed.resumed, TURNS - 1);
	SSL_CTX_free(hosts[0]);
	SSL_CTX_free(hosts[1]);
	SSL_CTX_free(client);
	house_close(&house);
}
END_TEST

/* --- clients that make noise ---------------------------------------------- */

/* Up to TLS 1.2 a client that resumes has to list the session's suite. */
#define OLD_WAY (&ways[_i % 2])
#define OLD_CASE (_i / 2)

static const char short_key[] = "ECDHE-ECDSA-AES128-GCM-SHA256";
static const char long_key[] = "ECDHE-ECDSA-AES256-GCM-SHA384";
static const unsigned char long_key_number[] = { 0xc0, 0x2c };

/* Say that a session is of the suite that has the long key. */
static void
mislabel(struct comeback_session *session, SSL_CTX *client)
{
	const unsigned char *at = session->der;
	unsigned char *end = session->der;
	SSL_SESSION *decoded = d2i_SSL_SESSION(NULL, &at, (long)session->len);
	SSL *ssl = SSL_new(client);

	MUST(decoded != NULL && ssl != NULL);
	MUST(SSL_SESSION_set_cipher(decoded,
		 SSL_CIPHER_find(ssl, long_key_number)) == 1);
	session->len = (size_t)i2d_SSL_SESSION(decoded, &end);
	SSL_SESSION_free(decoded);
	SSL_free(ssl);
}

/* Its ClientHello is wrong before the server-name callback is called. */
static void
visit_with_wrong_hello(const struct house *house, enum who who)
{
	SSL_CTX *client = client_of(house->way, who);
	struct comeback_session session = { .len = 0 };
	struct comeback seen;

	MUST(SSL_CTX_set_cipher_list(client, short_key) == 1);
	seen = comeback_server(house->front, client, POLICY_NAME, NULL,
	    &session);
	ck_assert(comeback_is_served(&seen));
	MUST(SSL_CTX_set_cipher_list(client, long_key) == 1);
	mislabel(&session, client);
	seen = comeback_server(house->front, client, POLICY_NAME, &session,
	    NULL);
	ck_assert_msg(comeback_is_shut(&seen) &&
		ERR_GET_REASON(seen.outcome.server_error) ==
		    SSL_R_REQUIRED_CIPHER_MISSING &&
		ERR_GET_REASON(seen.outcome.client_error) ==
		    SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER,
	    "%s: a wrong hello: %s", house->way->name, comeback_text(&seen));
	SSL_CTX_free(client);
}

START_TEST(hello_that_is_wrong_ends_nobodys_session)
{
	enum { TURNS = 4 };
	SSL_CTX *client = client_of(OLD_WAY, moves[OLD_CASE].client);
	struct comeback_session session = { .len = 0 };
	struct tally total = { 0 };
	struct comeback seen;
	struct house house;

	house_open(&house, OLD_WAY, NULL, &front_policy, choose_current);
	house.current = new_context(&house, moves[OLD_CASE].one);
	for (int i = 0; i < TURNS; i++) {
		seen = comeback_server(house.front, client, POLICY_NAME,
		    &session, &session);
		tally(&total, &seen, moves[OLD_CASE].name);
		visit_with_wrong_hello(&house, moves[OLD_CASE].client);
	}
	ck_assert_msg(total.closed == 0 && total.resumed == TURNS - 1,
	    "%s, %s: %d closed, %d resumed of %d", OLD_WAY->name,
	    moves[OLD_CASE].name, total.closed, total.resumed, TURNS - 1);
	SSL_CTX_free(client);
	house_close(&house);
}
END_TEST

/* --- clients with several tickets ----------------------------------------- */

enum { MAX_TICKETS = 4 };

static struct comeback_session tickets[MAX_TICKETS];
static int n_tickets;

static int
collect(SSL *ssl, SSL_SESSION *session)
{
	unsigned char *end = tickets[n_tickets].der;
	int len = i2d_SSL_SESSION(session, NULL);

	(void)ssl;
	MUST(n_tickets < MAX_TICKETS && len > 0 && len <= COMEBACK_DER_BYTES);
	tickets[n_tickets++].len = (size_t)i2d_SSL_SESSION(session, &end);
	return 0;
}

static SSL_CTX *
collector_of(const struct way *way, enum who who)
{
	SSL_CTX *client = client_of(way, who);

	n_tickets = 0;
	(void)SSL_CTX_set_session_cache_mode(client,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client, collect);
	return client;
}

START_TEST(client_with_two_tickets_is_closed_once_at_most)
{
	SSL_CTX *collector = collector_of(WAY, moves[CASE].client);
	SSL_CTX *client = client_of(WAY, moves[CASE].client);
	struct tally total = { 0 };
	struct comeback seen;
	struct house house;

	if (WAY->version == TLS1_3_VERSION) {
		house_open(&house, WAY, NULL, &front_policy, choose_current);
		house.current = new_context(&house, moves[CASE].one);
		seen = comeback_server(house.front, collector, POLICY_NAME,
		    NULL, NULL);
		ck_assert_msg(comeback_is_served(&seen), "%s",
		    comeback_text(&seen));
		ck_assert_int_eq(n_tickets, 2);
		SSL_CTX_free(house.current);
		house.current = new_context(&house, moves[CASE].two);
		for (int i = 0; i < n_tickets; i++) {
			seen = comeback_server(house.front, client, POLICY_NAME,
			    &tickets[i], NULL);
			tally(&total, &seen, moves[CASE].name);
		}
		ck_assert_msg(total.closed <= 1 && total.resumed == 0,
		    "%s, %s: %d closed, %d resumed", WAY->name,
		    moves[CASE].name, total.closed, total.resumed);
		house_close(&house);
	}
	SSL_CTX_free(collector);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(policy_that_is_another_in_each_handshake_closes_one_and_then_misses)
{
	enum { VISITS = 20 };
	SSL_CTX *client = client_of(WAY, MEMBER);
	struct comeback_session session = { .len = 0 };
	struct tally total = { 0 };
	struct comeback seen;
	struct house house;

	house_open(&house, WAY, NULL, &front_policy, choose_new);
	house.policy = &strict_policy;
	for (int i = 0; i < VISITS; i++) {
		seen = comeback_server(house.front, client, POLICY_NAME,
		    &session, &session);
		tally(&total, &seen, WAY->name);
	}
	ck_assert_msg(total.closed <= 1 && total.resumed == 0,
	    "%s: %d closed, %d resumed of %d", WAY->name, total.closed,
	    total.resumed, total.visits);
	SSL_CTX_free(client);
	house_close(&house);
}
END_TEST

/* --- a store that loads as it goes ---------------------------------------- */

enum { N_BRANCHES = 5 };

static void
make_branch(const char *dir, int i)
{
	struct tls_identity branch;
	char name[32];

	(void)snprintf(name, sizeof(name), "Branch %d", i);
	MUST(pki_issue(&branch,
	    &(struct pki_request){ .name = name, .authority = true }));
	MUST(pki_write(branch.cert, dir));
	tls_identity_free(&branch);
}

/* A directory of authorities, by the hashes of their names. */
static const char *
make_authorities(void)
{
	const char *dir = test_dir("authorities");

	MUST(mkdir(dir, 0755) == 0);
	MUST(pki_write(policy_identity(STAFF)->cert, dir));
	for (int i = 0; i < N_BRANCHES; i++)
		make_branch(dir, i);
	return dir;
}

/* Who claims that this authority signed its certificate. */
static SSL_CTX *
liar_of(const struct way *way, int i)
{
	struct tls_identity liar;
	char name[32];
	SSL_CTX *client;

	(void)snprintf(name, sizeof(name), "Branch %d", i);
	MUST(pki_issue(&liar,
	    &(struct pki_request){ .name = "liar",
		.usage = "clientAuth",
		.issuer_name = name }));
	client = client_of(way, NO_ONE);
	MUST(tls_add_identity(client, &liar));
	tls_identity_free(&liar);
	return client;
}

static int
objects_of(SSL_CTX *ctx)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get1_objects(store);
	int n = sk_X509_OBJECT_num(objects);

	sk_X509_OBJECT_pop_free(objects, X509_OBJECT_free);
	return n;
#else
	return sk_X509_OBJECT_num(X509_STORE_get0_objects(store));
#endif
}

static void
visit_as_liar(const struct house *house, int i)
{
	SSL_CTX *client = liar_of(house->way, i);
	struct comeback seen;

	seen = comeback_server(house->front, client, POLICY_NAME, NULL, NULL);
	ck_assert_msg(comeback_is_shut(&seen), "%s: a liar: %s",
	    house->way->name, comeback_text(&seen));
	SSL_CTX_free(client);
}

START_TEST(liars_who_have_authorities_loaded_end_nobodys_session)
{
	static const struct policy policy = { .leaf = HOST_A,
		.verify = REQUIRED };
	SSL_CTX *client = client_of(WAY, MEMBER);
	struct comeback_session session = { .len = 0 };
	struct tally total = { 0 };
	struct comeback seen;
	struct house house;
	int loaded;

	house_open(&house, WAY, NULL, &policy, NULL);
	MUST(SSL_CTX_load_verify_dir(house.front, make_authorities()) == 1);
	for (int i = 0; i <= N_BRANCHES; i++) {
		seen = comeback_server(house.front, client, POLICY_NAME,
		    &session, &session);
		tally(&total, &seen, WAY->name);
		loaded = objects_of(house.front);
		if (i < N_BRANCHES) {
			visit_as_liar(&house, i);
			ck_assert_int_gt(objects_of(house.front), loaded);
		}
	}
	ck_assert_msg(total.closed == 0 && total.resumed == N_BRANCHES,
	    "%s: %d closed, %d resumed of %d", WAY->name, total.closed,
	    total.resumed, N_BRANCHES);
	SSL_CTX_free(client);
	house_close(&house);
}
END_TEST

/* --- names by the thousand ------------------------------------------------ */

/* Those of a house, each with a certificate and a client. */
struct town {
	struct house house;
	EVP_PKEY *key; /* of all certificates */
	SSL_CTX *client;
	struct comeback_session *sessions;
};

static void
town_name(char name[32], unsigned i)
{
	(void)snprintf(name, 32, "%u.example", i);
}

static SSL_CTX *
choose_by_number(struct house *house, const SSL *ssl)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	SSL_CTX *ctx = NULL;
	unsigned long i;
	char *end;

	i = strtoul(name, &end, 10);
	if (end != name && i < house->n) {
		ctx = house->contexts[i];
		MUST(SSL_CTX_up_ref(ctx) == 1);
	}
	return ctx;
}

/* A certificate for each name, all under one key, which is new each time. */
static void
town_certify(struct town *town)
{
	struct pki_request request = { .key = EVP_EC_gen("P-256") };
	struct house *house = &town->house;
	struct tls_identity identity;
	char name[32], san[64];

	MUST(request.key != NULL);
	request.name = name;
	request.san = san;
	for (unsigned i = 0; i < house->n; i++) {
		town_name(name, i);
		(void)snprintf(san, sizeof(san), "DNS:%s", name);
		MUST(pki_issue(&identity, &request));
		SSL_CTX_free(house->contexts[i]);
		house->contexts[i] = tls_server_new(&identity,
		    house->way->version);
		MUST(house->contexts[i] != NULL);
		attach(house, house->contexts[i]);
		tls_identity_free(&identity);
	}
	EVP_PKEY_free(request.key);
}

static void
town_open(struct town *town, const struct way *way, unsigned n)
{
	memset(town, 0, sizeof(*town));
	house_open(&town->house, way, NULL, &front_policy, choose_by_number);
	town->house.n = n;
	town->house.contexts = calloc(n, sizeof(SSL_CTX *));
	town->sessions = calloc(n, sizeof(*town->sessions));
	town->client = client_of(way, NO_ONE);
	MUST(town->house.contexts != NULL && town->sessions != NULL);
	town_certify(town);
}

static void
town_close(struct town *town)
{
	for (unsigned i = 0; i < town->house.n; i++)
		SSL_CTX_free(town->house.contexts[i]);
	free(town->house.contexts);
	free(town->sessions);
	SSL_CTX_free(town->client);
	house_close(&town->house);
}

/* Everybody comes once. */
static void
town_visit(struct town *town, bool resumes, const char *when)
{
	struct tally total = { 0 };
	int want = resumes ? (int)town->house.n : 0;
	struct comeback seen;
	char name[32];

	for (unsigned i = 0; i < town->house.n; i++) {
		town_name(name, i);
		seen = comeback_server(town->house.front, town->client, name,
		    &town->sessions[i], &town->sessions[i]);
		tally(&total, &seen, when);
	}
	ck_assert_msg(total.closed == 0 && total.resumed == want,
	    "%s, %s: %d closed, %d resumed of %d", town->house.way->name, when,
	    total.closed, total.resumed, total.visits);
}

static void
town_crowd(struct town *town, unsigned times)
{
	uint64_t random = 1;
	struct tally total = { 0 };
	struct comeback seen;
	char name[64];

	for (unsigned i = 0; i < times; i++) {
		(void)snprintf(name, sizeof(name), "crowd-%016jx.example",
		    (uintmax_t)test_random(&random));
		seen = comeback_server(town->house.front, town->client, name,
		    NULL, NULL);
		tally(&total, &seen, "crowd");
	}
	ck_assert_int_eq(total.closed, 0);
}

static bool
is_all(void)
{
	const char *matrix = getenv("SC_TEST_MATRIX");

	return matrix != NULL && strcmp(matrix, "all") == 0;
}

/* In full size for one way, and a part of it for the others. */
START_TEST(names_by_the_thousand_resume_at_their_first_return)
{
	unsigned part = _i == 0 || is_all() ? 1 : 20;
	unsigned crowd = is_all() ? 1000 * 1000 : 20 * 1000;
	struct town town;

	town_open(&town, WAY, test_times(6000 / part, 60));
	town_visit(&town, false, "first");
	town_visit(&town, true, "return");
	town_crowd(&town, test_times(crowd / part, 200));
	town_visit(&town, true, "after the crowd");
	town_certify(&town);
	town_visit(&town, true, "after the renewal");
	town_close(&town);
}
END_TEST

/* --- contexts for one connection ------------------------------------------ */

static const struct {
	const char *name;
	enum who client;
	const struct policy *policy;
	const char *realm;
	bool by_name; /* made by the server-name callback */
} ephemeral[] = {
	{ "a context each", NO_ONE, &open_policy, NULL, false },
	{ "a context each, by name", NO_ONE, &open_policy, NULL, true },
	{ "a context each, certificates, one realm", MEMBER, &strict_policy,
	    "all", false },
	{ "a context each, by name, certificates, one realm", MEMBER,
	    &strict_policy, "all", true },
};

enum { MAX_PROCESSES = 4, MAX_THREADS = 16 };

/* Shared by processes and their threads. */
struct factory {
	int which;
	const struct way *way;
	unsigned threads;
	unsigned visits; /* of each thread, and one more */
	unsigned resumed[MAX_PROCESSES][MAX_THREADS];
};

struct worker {
	struct factory *factory;
	struct house *house;
	unsigned *resumed;
};

static void
work_once(const struct worker *worker, SSL_CTX *client,
    struct comeback_session *session)
{
	const struct factory *factory = worker->factory;
	SSL_CTX *server = worker->house->front;
	struct comeback seen;

	if (ephemeral[factory->which].by_name)
		MUST(SSL_CTX_up_ref(server) == 1);
	else
		server = new_context(worker->house,
		    ephemeral[factory->which].policy);
	seen = comeback_server(server, client, POLICY_NAME, session, session);
	MUST(comeback_is_served(&seen));
	if (seen.resumed)
		(*worker->resumed)++;
	SSL_CTX_free(server);
}

static void *
work(void *arg)
{
	const struct worker *worker = arg;
	const struct factory *factory = worker->factory;
	SSL_CTX *client = client_of(factory->way,
	    ephemeral[factory->which].client);
	struct comeback_session session = { .len = 0 };

	for (unsigned i = 0; i <= factory->visits; i++)
		work_once(worker, client, &session);
	SSL_CTX_free(client);
	return NULL;
}

struct shift {
	struct factory *factory;
	unsigned process;
};

static void
run_threads(void *arg)
{
	const struct shift *shift = arg;
	struct factory *factory = shift->factory;
	struct worker workers[MAX_THREADS];
	pthread_t threads[MAX_THREADS];
	struct house house;

	house_open(&house, factory->way, ephemeral[factory->which].realm,
	    &front_policy, choose_new);
	house.policy = ephemeral[factory->which].policy;
	for (unsigned i = 0; i < factory->threads; i++) {
		workers[i].factory = factory;
		workers[i].house = &house;
		workers[i].resumed = &factory->resumed[shift->process][i];
		MUST(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
	}
	for (unsigned i = 0; i < factory->threads; i++)
		MUST(pthread_join(threads[i], NULL) == 0);
	house_close(&house);
}

static void
run_processes(struct factory *factory, unsigned processes)
{
	struct shift shifts[MAX_PROCESSES];
	pid_t pids[MAX_PROCESSES];

	for (unsigned i = 0; i < processes; i++) {
		shifts[i].factory = factory;
		shifts[i].process = i;
		pids[i] = child_start(run_threads, &shifts[i]);
	}
	for (unsigned i = 0; i < processes; i++)
		ck_assert(child_ended_well(pids[i]));
}

START_TEST(contexts_for_one_connection_resume_all_sessions)
{
	struct factory *factory = shared_new(sizeof(*factory));
	unsigned processes = is_all() ? MAX_PROCESSES : 2;
	unsigned resumed = 0, want;
	uint64_t busy;

	factory->which = CASE;
	factory->way = WAY;
	factory->threads = is_all() ? MAX_THREADS : test_times(4, 2);
	if (factory->threads > MAX_THREADS)
		factory->threads = MAX_THREADS;
	factory->visits = test_times(20, 2);
	run_processes(factory, processes);
	for (unsigned i = 0; i < processes; i++) {
		for (unsigned j = 0; j < factory->threads; j++)
			resumed += factory->resumed[i][j];
	}
	want = processes * factory->threads * factory->visits;
	busy = count_busy();
	ck_assert_msg(resumed + busy >= want,
	    "%s, %s: %u resumed of %u, %ju locks were busy", WAY->name,
	    ephemeral[CASE].name, resumed, want, (uintmax_t)busy);
}
END_TEST

/* --- all of it ------------------------------------------------------------ */

int
main(void)
{
	Suite *suite = suite_create("landing");
	TCase *tc = tcase_create("landing");

	tcase_add_unchecked_fixture(tc, policy_world_make, policy_world_remove);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_set_timeout(tc, is_all() ? 4 * 60 * 60 : 600);
	tcase_add_loop_test(tc,
	    name_that_moves_costs_a_client_two_connections_at_most, 0,
	    N_OF(ways) * N_OF(moves));
	tcase_add_loop_test(tc, name_that_moves_costs_other_names_nothing, 0,
	    N_OF(ways) * N_OF(moves));
	tcase_add_loop_test(tc, hello_that_is_wrong_ends_nobodys_session, 0,
	    2 * N_OF(moves));
	tcase_add_loop_test(tc, client_with_two_tickets_is_closed_once_at_most,
	    0, N_OF(ways) * N_OF(moves));
	tcase_add_loop_test(tc,
	    policy_that_is_another_in_each_handshake_closes_one_and_then_misses,
	    0, N_OF(ways));
	tcase_add_loop_test(tc,
	    liars_who_have_authorities_loaded_end_nobodys_session, 0,
	    N_OF(ways));
	tcase_add_loop_test(tc,
	    names_by_the_thousand_resume_at_their_first_return, 0, N_OF(ways));
	tcase_add_loop_test(tc, contexts_for_one_connection_resume_all_sessions,
	    0, N_OF(ways) * N_OF(ephemeral));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
