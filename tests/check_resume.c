/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What resumes, and how often: protocol, tickets, single use and early data in
 * one table, each row of it with two workers.  And ticket-key callbacks of the
 * application's own, which stay its own.
 *
 * With SC_PRINT_MATRIX in its environment the program prints the table instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "ownkey.h"
#include "process.h"
#include "sesscache.h"
#include "support.h"
#include "tls.h"

enum {
	MAX_EARLY_DATA = 16384, /* bytes */
	WORKERS = 2,
	KEY_NAME_BYTES = 16,
};

static const char early_text[] = "early question";

static struct tls_identity identity;

/* --- the matrix ----------------------------------------------------------- */

enum kept {
	CACHE,  /* the client has an ID, the cache the session */
	TICKET, /* the client has it all, under a shared key */
};

/* Offers of one session after the first, each at another worker. */
enum again {
	RESUMES,
	FULL, /* it is spent: a full handshake */
};

/* What becomes of the first offer with early data; the second is refused. */
enum early {
	NONE, /* the session promises none */
	ONCE, /* accepted; all later offers of the session are full handshakes */
};

/*
 * The first offer resumes in every row.  The application sets SSL_OP_NO_TICKET
 * or does not, and SSL_CTX_set_max_early_data() to 16,384 or 0.
 */
static const struct row {
	int version;
	const char *tickets; /* the setting */
	bool no_ticket;      /* SSL_OP_NO_TICKET */
	const char *single_use;
	bool early_data;
	enum kept kept;
	enum again again;
	enum early early;
} rows[] = {
	/* version, tickets, NO_TICKET, single-use, early data: what follows */
	{ TLS1_2_VERSION, "auto", false, "auto", false, TICKET, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", false, "auto", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", false, "on", false, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", false, "on", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", false, "off", false, TICKET, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", false, "off", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", true, "auto", false, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", true, "auto", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", true, "on", false, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", true, "on", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", true, "off", false, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "auto", true, "off", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "off", false, "auto", false, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "off", false, "auto", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "off", false, "on", false, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "off", false, "on", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "off", false, "off", false, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "off", false, "off", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "shared", true, "auto", false, TICKET, RESUMES,
	    NONE },
	{ TLS1_2_VERSION, "shared", true, "auto", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "shared", true, "on", false, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "shared", true, "on", true, CACHE, RESUMES, NONE },
	{ TLS1_2_VERSION, "shared", true, "off", false, TICKET, RESUMES, NONE },
	{ TLS1_2_VERSION, "shared", true, "off", true, CACHE, RESUMES, NONE },

	{ TLS1_3_VERSION, "auto", false, "auto", false, TICKET, RESUMES, NONE },
	{ TLS1_3_VERSION, "auto", false, "auto", true, CACHE, FULL, ONCE },
	{ TLS1_3_VERSION, "auto", false, "on", false, CACHE, FULL, NONE },
	{ TLS1_3_VERSION, "auto", false, "on", true, CACHE, FULL, ONCE },
	{ TLS1_3_VERSION, "auto", false, "off", false, TICKET, RESUMES, NONE },
	{ TLS1_3_VERSION, "auto", false, "off", true, CACHE, RESUMES, ONCE },
	{ TLS1_3_VERSION, "auto", true, "auto", false, CACHE, RESUMES, NONE },
	{ TLS1_3_VERSION, "auto", true, "auto", true, CACHE, FULL, ONCE },
	{ TLS1_3_VERSION, "auto", true, "on", false, CACHE, FULL, NONE },
	{ TLS1_3_VERSION, "auto", true, "on", true, CACHE, FULL, ONCE },
	{ TLS1_3_VERSION, "auto", true, "off", false, CACHE, RESUMES, NONE },
	{ TLS1_3_VERSION, "auto", true, "off", true, CACHE, RESUMES, ONCE },
	{ TLS1_3_VERSION, "off", false, "auto", false, CACHE, RESUMES, NONE },
	{ TLS1_3_VERSION, "off", false, "auto", true, CACHE, FULL, ONCE },
	{ TLS1_3_VERSION, "off", false, "on", false, CACHE, FULL, NONE },
	{ TLS1_3_VERSION, "off", false, "on", true, CACHE, FULL, ONCE },
	{ TLS1_3_VERSION, "off", false, "off", false, CACHE, RESUMES, NONE },
	{ TLS1_3_VERSION, "off", false, "off", true, CACHE, RESUMES, ONCE },
	{ TLS1_3_VERSION, "shared", true, "auto", false, TICKET, RESUMES,
	    NONE },
	{ TLS1_3_VERSION, "shared", true, "auto", true, CACHE, FULL, ONCE },
	{ TLS1_3_VERSION, "shared", true, "on", false, CACHE, FULL, NONE },
	{ TLS1_3_VERSION, "shared", true, "on", true, CACHE, FULL, ONCE },
	{ TLS1_3_VERSION, "shared", true, "off", false, TICKET, RESUMES, NONE },
	{ TLS1_3_VERSION, "shared", true, "off", true, CACHE, RESUMES, ONCE },
};

static const char *
protocol(const struct row *row)
{
	return row->version == TLS1_3_VERSION ? "TLS 1.3" : "TLS 1.2";
}

/* What the row sets, in words. */
static const char *
title(const struct row *row, const char *step)
{
	static char text[256];

	(void)snprintf(text, sizeof(text),
	    "%s, tickets %s%s, single-use %s, early data %s: %s", protocol(row),
	    row->tickets, row->no_ticket ? " and NO_TICKET" : "",
	    row->single_use, row->early_data ? "on" : "off", step);
	return text;
}

static int
print_matrix(void)
{
	(void)printf("| protocol | `tickets` | `SSL_OP_NO_TICKET` "
		     "| `single-use` | early data | kept in | offered again "
		     "| early data accepted |\n"
		     "|---|---|---|---|---|---|---|---|\n");
	for (int i = 0; i < N_OF(rows); i++)
		(void)printf("| %s | %s | %s | %s | %s | %s | %s | %s |\n",
		    protocol(&rows[i]), rows[i].tickets,
		    rows[i].no_ticket ? "set" : "not set", rows[i].single_use,
		    rows[i].early_data ? "on" : "off",
		    rows[i].kept == CACHE ? "the cache" : "the ticket",
		    rows[i].again == RESUMES ? "resumes" : "full handshake",
		    rows[i].early == ONCE ? "once" : "never");
	return EXIT_SUCCESS;
}

/* --- workers -------------------------------------------------------------- */

struct worker {
	struct sesscache *cache;
	SSL_CTX *server;
};

static void
make_identity(void)
{
	test_root_make();
	ck_assert(tls_identity_new(&identity, "server", 0));
}

static void
free_identity(void)
{
	tls_identity_free(&identity);
	test_root_remove();
}

static struct sesscache *
open_cache(const char *tickets, const char *single_use)
{
	return cache_open(test_dir("cache"), "size", "16M", "tickets", tickets,
	    "single-use", single_use, "log", "error", NULL);
}

static void
start(struct worker workers[WORKERS], const struct row *row)
{
	for (int i = 0; i < WORKERS; i++) {
		workers[i].cache = open_cache(row->tickets, row->single_use);
		workers[i].server = tls_server_new(&identity, row->version);
		ck_assert_ptr_nonnull(workers[i].server);
		if (row->no_ticket)
			(void)SSL_CTX_set_options(workers[i].server,
			    SSL_OP_NO_TICKET);
		if (row->early_data)
			(void)SSL_CTX_set_max_early_data(workers[i].server,
			    MAX_EARLY_DATA);
		ck_done(sesscache_attach(workers[i].cache, workers[i].server));
	}
}

static void
stop(struct worker workers[WORKERS])
{
	for (int i = 0; i < WORKERS; i++) {
		SSL_CTX_free(workers[i].server);
		sesscache_close(workers[i].cache);
	}
}

static struct sesscache_stats
stats_of(struct sesscache *cache)
{
	struct sesscache_stats stats;

	ck_done(sesscache_stats(cache, &stats));
	return stats;
}

struct visit {
	bool reused;
	bool early; /* the server had the text before the handshake was over */
	SSL_SESSION *session; /* the client's newest; the caller frees it */
};

/* One connection that offers a copy of a session (may be NULL). */
static struct visit
visit(SSL_CTX *server, SSL_CTX *client, SSL_SESSION *session, bool early,
    const char *where)
{
	SSL_SESSION *offer = session != NULL ? SSL_SESSION_dup(session) : NULL;
	struct visit seen = { .reused = false };
	struct tls_pair pair;
	bool done;

	ck_assert(tls_pair_new(&pair, server, client, offer, "a.example"));
	if (early)
		done = tls_pair_handshake_early(&pair, early_text, &seen.early);
	else
		done = tls_pair_handshake(&pair);
	ck_assert_msg(done, "%s: failed: %s", where,
	    ERR_reason_error_string(ERR_peek_last_error()));
	ck_assert_msg(ERR_peek_error() == 0, "%s: left an error: %s", where,
	    ERR_reason_error_string(ERR_peek_error()));
	ck_assert_msg(tls_send(pair.client, pair.server, "question") &&
		tls_send(pair.server, pair.client, "answer"),
	    "%s: no data", where);
	seen.reused = SSL_session_reused(pair.server) == 1;
	seen.session = SSL_get1_session(pair.client);
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	SSL_SESSION_free(offer);
	return seen;
}

static void
offer(struct worker *worker, SSL_CTX *client, SSL_SESSION *session, bool reused,
    const char *where)
{
	struct visit seen = visit(worker->server, client, session, false,
	    where);

	ck_assert_msg(seen.reused == reused, "%s: %s", where,
	    reused ? "a full handshake" : "resumed");
	SSL_SESSION_free(seen.session);
}

static void
offer_early(struct worker *worker, SSL_CTX *client, SSL_SESSION *session,
    bool accepted, const char *where)
{
	struct visit seen = visit(worker->server, client, session, true, where);

	ck_assert_msg(seen.early == accepted, "%s: early data %s", where,
	    accepted ? "refused" : "accepted");
	ck_assert_msg(seen.reused == accepted, "%s: %s", where,
	    accepted ? "a full handshake" : "resumed");
	SSL_SESSION_free(seen.session);
}

/* The session of a full handshake. */
static SSL_SESSION *
make(struct worker *worker, SSL_CTX *client, const char *where)
{
	struct visit seen = visit(worker->server, client, NULL, false, where);

	ck_assert_msg(!seen.reused, "%s: resumed nothing", where);
	return seen.session;
}

/* --- the tests of each row ------------------------------------------------ */

START_TEST(session_resumes_at_another_worker_as_often_as_the_table_says)
{
	const struct row *row = &rows[_i];
	SSL_CTX *client = tls_client_new(NULL, row->version);
	struct worker workers[WORKERS];
	SSL_SESSION *session;

	start(workers, row);
	session = make(&workers[0], client, title(row, "new"));
	offer(&workers[1], client, session, true, title(row, "first offer"));
	for (int i = 0; i < 4; i++)
		offer(&workers[i % WORKERS], client, session,
		    row->again == RESUMES, title(row, "offered again"));
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	stop(workers);
}
END_TEST

/* A chain of connections each of which offers what the last one got. */
START_TEST(newest_session_always_resumes)
{
	const struct row *row = &rows[_i];
	SSL_CTX *client = tls_client_new(NULL, row->version);
	struct worker workers[WORKERS];
	SSL_SESSION *session;
	struct visit seen;

	start(workers, row);
	session = make(&workers[0], client, title(row, "new"));
	for (int i = 0; i < 6; i++) {
		seen = visit(workers[(i + 1) % WORKERS].server, client, session,
		    row->early == ONCE && i % 3 == 2, title(row, "chain"));
		ck_assert_msg(seen.reused, "%s", title(row, "chain is broken"));
		SSL_SESSION_free(session);
		session = seen.session;
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	stop(workers);
}
END_TEST

START_TEST(session_is_kept_where_the_table_says)
{
	const struct row *row = &rows[_i];
	SSL_CTX *client = tls_client_new(NULL, row->version);
	struct worker workers[WORKERS];
	struct sesscache_stats stats;
	SSL_SESSION *session;

	start(workers, row);
	session = make(&workers[0], client, title(row, "new"));
	stats = stats_of(workers[1].cache);
	ck_assert_msg((stats.records > 0) == (row->kept == CACHE), "%s: %llu",
	    title(row, "records"), (unsigned long long)stats.records);
	ck_assert_msg((stats.tickets_issued > 0) == (row->kept == TICKET),
	    "%s: %llu", title(row, "tickets issued"),
	    (unsigned long long)stats.tickets_issued);
	offer(&workers[1], client, session, true, title(row, "offer"));
	stats = stats_of(workers[0].cache);
	ck_assert_msg((stats.hits + stats.taken > 0) == (row->kept == CACHE),
	    "%s", title(row, "hits"));
	ck_assert_msg((stats.tickets_accepted > 0) == (row->kept == TICKET),
	    "%s", title(row, "tickets accepted"));
	ck_assert_uint_eq(stats.failed, 0);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	stop(workers);
}
END_TEST

START_TEST(early_data_is_accepted_as_often_as_the_table_says)
{
	const struct row *row = &rows[_i];
	SSL_CTX *client = tls_client_new(NULL, row->version);
	struct worker workers[WORKERS];
	SSL_SESSION *session;

	start(workers, row);
	session = make(&workers[0], client, title(row, "new"));
	ck_assert_msg(SSL_SESSION_get_max_early_data(session) ==
		(row->early == ONCE ? MAX_EARLY_DATA : 0),
	    "%s", title(row, "promise"));
	if (row->early == ONCE) {
		offer_early(&workers[1], client, session, true,
		    title(row, "first offer"));
		for (int i = 0; i < 4; i++)
			offer_early(&workers[i % WORKERS], client, session,
			    false, title(row, "offered again"));
		offer(&workers[0], client, session, false,
		    title(row, "offered without early data"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	stop(workers);
}
END_TEST

/* However often it resumed before, the early data comes but once. */
START_TEST(early_data_after_resumptions_is_accepted_once_at_most)
{
	const struct row *row = &rows[_i];
	SSL_CTX *client = tls_client_new(NULL, row->version);
	bool lives = row->again == RESUMES;
	struct worker workers[WORKERS];
	SSL_SESSION *session;

	start(workers, row);
	session = make(&workers[0], client, title(row, "new"));
	offer(&workers[1], client, session, true, title(row, "first offer"));
	offer(&workers[0], client, session, lives, title(row, "second offer"));
	if (row->early == ONCE) {
		offer_early(&workers[1], client, session, lives,
		    title(row, "early data then"));
		offer_early(&workers[0], client, session, false,
		    title(row, "early data again"));
		offer(&workers[1], client, session, false,
		    title(row, "and without"));
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	stop(workers);
}
END_TEST

/* Every combination has one row. */
START_TEST(table_is_complete)
{
	unsigned found;

	ck_assert_int_eq(N_OF(rows), 2 * 4 * 3 * 2);
	for (int i = 0; i < N_OF(rows); i++) {
		found = 0;
		for (int j = 0; j < N_OF(rows); j++)
			found += rows[i].version == rows[j].version &&
			    strcmp(rows[i].tickets, rows[j].tickets) == 0 &&
			    rows[i].no_ticket == rows[j].no_ticket &&
			    strcmp(rows[i].single_use, rows[j].single_use) ==
				0 &&
			    rows[i].early_data == rows[j].early_data;
		ck_assert_msg(found == 1, "%s: %u times", title(&rows[i], ""),
		    found);
	}
}
END_TEST

/* --- ticket keys of the application's own --------------------------------- */

static const struct {
	const char *name;
	void (*set)(SSL_CTX *ctx);
	bool before; /* the attach */
	const char *tickets;
} callbacks[] = {
	{ "before the attach", own_key_set, true, "own" },
	{ "after the attach", own_key_set, false, "own" },
	/* Whoever sets last wins. */
	{ "after the attach", own_key_set, false, "auto" },
	{ "after the attach", own_key_set, false, "shared" },
#ifndef OPENSSL_NO_DEPRECATED_3_0
	{ "of the old kind, before the attach", own_key_set_by_old_callback,
	    true, "own" },
	{ "of the old kind, after the attach", own_key_set_by_old_callback,
	    false, "own" },
#endif
};

static SSL_CTX *
own_server(struct sesscache *cache, int version, int callback)
{
	SSL_CTX *ctx = tls_server_new(&identity, version);

	ck_assert_ptr_nonnull(ctx);
	if (callbacks[callback].before)
		callbacks[callback].set(ctx);
	ck_done(sesscache_attach(cache, ctx));
	if (!callbacks[callback].before)
		callbacks[callback].set(ctx);
	return ctx;
}

static void
assert_own(int callback, int version)
{
	const char *tickets = callbacks[callback].tickets;
	struct sesscache *cache = open_cache(tickets, "auto");
	SSL_CTX *client = tls_client_new(NULL, version);
	const char *where = callbacks[callback].name;
	struct sesscache_stats stats;
	SSL_SESSION *session = NULL;
	SSL_CTX *servers[WORKERS];
	struct visit seen;

	own_key_make();
	for (int i = 0; i < WORKERS; i++)
		servers[i] = own_server(cache, version, callback);
	for (int i = 0; i < 4; i++) {
		seen = visit(servers[i % WORKERS], client, session, false,
		    where);
		ck_assert_msg(seen.reused == (i > 0), "%s, %s: %s", where,
		    tickets, i > 0 ? "a full handshake" : "resumed");
		ck_assert_msg(own_key.opened == i, "%s: opened %d", where,
		    own_key.opened);
		ck_assert_msg(own_key.sealed > i, "%s: sealed %d", where,
		    own_key.sealed);
		SSL_SESSION_free(session);
		session = seen.session;
	}
	stats = stats_of(cache);
	ck_assert_uint_eq(stats.tickets_issued, 0);
	ck_assert_uint_eq(stats.tickets_accepted, 0);
	ck_assert_uint_eq(stats.stored, 0);
	ck_assert_uint_eq(stats.failed, 0);
	SSL_SESSION_free(session);
	for (int i = 0; i < WORKERS; i++)
		SSL_CTX_free(servers[i]);
	SSL_CTX_free(client);
	sesscache_close(cache);
}

START_TEST(ticket_keys_of_the_application_stay_its_own)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (int i = 0; i < N_OF(versions); i++)
		assert_own(_i, versions[i]);
}
END_TEST

/* The attach is the last to set one. */
START_TEST(ticket_keys_set_before_the_attach_are_replaced)
{
	struct sesscache *cache = open_cache("auto", "auto");
	SSL_CTX *ctx = tls_server_new(&identity, TLS1_3_VERSION);
	SSL_CTX *client = tls_client_new(NULL, TLS1_3_VERSION);
	SSL_SESSION *session = NULL;
	struct visit seen;

	own_key_make();
	own_key_set(ctx);
	ck_done(sesscache_attach(cache, ctx));
	for (int i = 0; i < 2; i++) {
		seen = visit(ctx, client, session, false, "replaced");
		ck_assert(seen.reused == (i > 0));
		SSL_SESSION_free(session);
		session = seen.session;
	}
	ck_assert_int_eq(own_key.sealed + own_key.opened, 0);
	SSL_SESSION_free(session);
	SSL_CTX_free(ctx);
	SSL_CTX_free(client);
	sesscache_close(cache);
}
END_TEST

int
main(void)
{
	static const TTest *const *const tests[] = {
		&session_resumes_at_another_worker_as_often_as_the_table_says,
		&newest_session_always_resumes,
		&session_is_kept_where_the_table_says,
		&early_data_is_accepted_as_often_as_the_table_says,
		&early_data_after_resumptions_is_accepted_once_at_most,
	};
	Suite *suite = suite_create("resume");
	TCase *tc = tcase_create("resume");

	if (getenv("SC_PRINT_MATRIX") != NULL)
		return print_matrix();
	tcase_add_unchecked_fixture(tc, make_identity, free_identity);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, table_is_complete);
	for (int i = 0; i < N_OF(tests); i++)
		tcase_add_loop_test(tc, *tests[i], 0, N_OF(rows));
	tcase_add_test(tc, ticket_keys_set_before_the_attach_are_replaced);
	tcase_add_loop_test(tc, ticket_keys_of_the_application_stay_its_own, 0,
	    N_OF(callbacks));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
