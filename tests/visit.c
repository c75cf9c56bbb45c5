/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See visit.h.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "process.h"
#include "support.h"
#include "visit.h"

const struct way ways[N_WAYS] = {
	{ "TLS 1.2 session ID", TLS1_2_VERSION, "off", 0, false },
	{ "TLS 1.2 session ID beside tickets", TLS1_2_VERSION, "shared",
	    SSL_OP_NO_TICKET, false },
	{ "TLS 1.2 ticket", TLS1_2_VERSION, "shared", 0, true },
	{ "TLS 1.3 stateful ticket", TLS1_3_VERSION, "off", 0, false },
	{ "TLS 1.3 stateless ticket", TLS1_3_VERSION, "shared", 0, true },
};

void
visit_add_tests(TCase *tc, const struct visit_test *tests, int n)
{
	int step = 100 / (int)test_times(100, 100 / 8);

	for (int i = 0; i < n; i++) {
		for (int j = i % N_WAYS % step; j < N_WAYS * tests[i].cases;
		     j += step)
			tcase_add_loop_test(tc, *tests[i].test, j, j + 1);
	}
}

SSL_CTX *
visit_client(const struct way *way, const struct tls_identity *identity)
{
	SSL_CTX *ctx = tls_client_new(identity, way->version);

	MUST(ctx != NULL);
	(void)SSL_CTX_set_options(ctx, way->client_options);
	return ctx;
}

struct visit
visit_pair(struct tls_pair *pair)
{
	struct visit seen = { .reused = false };

	seen.outcome = tls_pair_try(pair);
	seen.asked = tls_send(pair->client, pair->server, "question");
	seen.answered = tls_send(pair->server, pair->client, "answer");
	seen.verified = SSL_get_verify_result(pair->server);
	seen.reused = SSL_session_reused(pair->server) == 1;
	if (SSL_get_session(pair->server) != NULL)
		seen.peer = SSL_SESSION_get0_peer(
				SSL_get_session(pair->server)) != NULL;
	ERR_clear_error();
	return seen;
}

void
visit_end(struct tls_pair *pair, const struct visit *seen,
    SSL_SESSION **session)
{
	if (visit_is_served(seen)) {
		SSL_SESSION_free(*session);
		*session = SSL_get1_session(pair->client);
		tls_pair_shutdown(pair);
	}
	tls_pair_free(pair);
}

struct visit
visit(SSL_CTX *server, SSL_CTX *client, const char *name, SSL_SESSION **session)
{
	SSL_SESSION *offered = NULL;
	struct tls_pair pair;
	struct visit seen;

	if (*session != NULL)
		offered = SSL_SESSION_dup(*session);
	MUST(tls_pair_new(&pair, server, client, offered, name));
	seen = visit_pair(&pair);
	visit_end(&pair, &seen, session);
	SSL_SESSION_free(offered);
	ERR_clear_error();
	return seen;
}

struct visit
visit_with(SSL_CTX *server, SSL_CTX *client, const char *name,
    const SSL_SESSION *session)
{
	SSL_SESSION *copy = SSL_SESSION_dup(session);
	struct visit seen;

	MUST(copy != NULL);
	seen = visit(server, client, name, &copy);
	SSL_SESSION_free(copy);
	return seen;
}

bool
visit_is_served(const struct visit *seen)
{
	return seen->outcome.server_done && seen->outcome.client_done &&
	    seen->asked && seen->answered;
}

bool
visit_is_refused(const struct visit *seen)
{
	return !seen->asked && !seen->answered;
}

const char *
visit_at(const struct way *way, const char *what, const char *step)
{
	static char text[256];

	(void)snprintf(text, sizeof(text), "%s: %s: %s", way->name, what, step);
	return text;
}

static const char *
reason_text(unsigned long error)
{
	const char *text = ERR_reason_error_string(error);

	return text != NULL ? text : "none";
}

void
assert_visit(const struct visit *seen, bool reused, const char *where)
{
	ck_assert_msg(visit_is_served(seen),
	    "%s: not served: server %s (%s), client %s (%s)", where,
	    seen->outcome.server_done ? "done" : "failed",
	    reason_text(seen->outcome.server_error),
	    seen->outcome.client_done ? "done" : "failed",
	    reason_text(seen->outcome.client_error));
	ck_assert_msg(seen->outcome.server_error == 0, "%s: error left: %s",
	    where, reason_text(seen->outcome.server_error));
	ck_assert_msg(seen->reused == reused, "%s: %s", where,
	    reused ? "a full handshake" : "resumed");
}

void
assert_full(const struct visit *seen, const char *where)
{
	assert_visit(seen, false, where);
}

void
assert_resumed(const struct visit *seen, const char *where)
{
	assert_visit(seen, true, where);
}

static void
assert_ended(const struct visit *seen, const char *where)
{
	ck_assert_msg(!seen->reused, "%s: resumed", where);
	ck_assert_msg(!seen->outcome.server_done && visit_is_refused(seen),
	    "%s: served", where);
}

void
assert_refused(const struct visit *seen, int reason, const char *where)
{
	assert_ended(seen, where);
	ck_assert_msg(ERR_GET_REASON(seen->outcome.server_error) == reason,
	    "%s: %s", where, reason_text(seen->outcome.server_error));
}

void
assert_not_verified(const struct visit *seen, long error, const char *where)
{
	assert_ended(seen, where);
	ck_assert_msg(seen->verified == error, "%s: %s", where,
	    X509_verify_cert_error_string(seen->verified));
}

void
assert_never_served(const struct visit *seen, const char *where)
{
	ck_assert_msg(visit_is_refused(seen), "%s: served%s", where,
	    seen->reused ? ", resumed" : "");
}

void
parcel_put(struct parcel *parcel, const SSL_SESSION *session)
{
	unsigned char *end = parcel->der;
	int len = session != NULL ? i2d_SSL_SESSION(session, NULL) : 0;

	MUST(len >= 0 && len <= PARCEL_BYTES);
	if (len > 0)
		MUST(i2d_SSL_SESSION(session, &end) == len);
	parcel->len = (size_t)len;
}

SSL_SESSION *
parcel_get(const struct parcel *parcel)
{
	const unsigned char *der = parcel->der;
	SSL_SESSION *session = NULL;

	if (parcel->len > 0) {
		session = d2i_SSL_SESSION(NULL, &der, (long)parcel->len);
		MUST(session != NULL);
	}
	return session;
}
