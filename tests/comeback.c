/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See visit.h.
 */
#include "comeback.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

#include "process.h"

enum { MAX_ROUNDS = 100 }; /* of a handshake that makes no progress */

static const char early_text[] = "early";

static SSL_SESSION *
decode(const struct comeback_session *session)
{
	const unsigned char *der;
	SSL_SESSION *decoded = NULL;

	if (session != NULL && session->len > 0) {
		der = session->der;
		decoded = d2i_SSL_SESSION(NULL, &der, (long)session->len);
		MUST(decoded != NULL);
	}
	return decoded;
}

/* A session that a handshake left unfinished may be none yet. */
static void
encode(struct comeback_session *out, const SSL_SESSION *session)
{
	unsigned char *end = out->der;
	int len = 0;

	if (session != NULL && SSL_SESSION_get0_cipher(session) != NULL)
		len = i2d_SSL_SESSION(session, NULL);
	if (len > 0) {
		MUST(len <= COMEBACK_DER_BYTES);
		out->len = (size_t)i2d_SSL_SESSION(session, &end);
	}
}

/* Whether the server is past what may be early data. */
static bool
read_early(SSL *server, bool *got_early)
{
	char got[sizeof(early_text)];
	size_t len = 0;
	int status = SSL_read_early_data(server, got, sizeof(got), &len);

	if (len > 0)
		*got_early = true;
	return status == SSL_READ_EARLY_DATA_FINISH ||
	    (status == SSL_READ_EARLY_DATA_ERROR &&
		SSL_get_error(server, 0) != SSL_ERROR_WANT_READ);
}

static void
send_early(struct tls_pair *pair, bool *got_early)
{
	size_t len = 0;
	bool past = false;

	if (SSL_write_early_data(pair->client, early_text, strlen(early_text),
		&len) != 1)
		return;
	for (int i = 0; i < MAX_ROUNDS && !past; i++) {
		past = read_early(pair->server, got_early);
		(void)SSL_do_handshake(pair->client);
	}
	ERR_clear_error();
}

struct comeback
comeback_server(SSL_CTX *server, SSL_CTX *client, const char *name,
    const struct comeback_session *session, struct comeback_session *newest)
{
	SSL_SESSION *offer = decode(session);
	struct comeback seen = { .resumed = false };
	struct tls_pair pair;

	MUST(tls_pair_new(&pair, server, client, offer, name));
	if (offer != NULL && SSL_SESSION_get_max_early_data(offer) > 0)
		send_early(&pair, &seen.early);
	seen.outcome = tls_pair_try(&pair);
	seen.resumed = SSL_session_reused(pair.server) == 1;
	seen.asked = tls_send(pair.client, pair.server, "question");
	seen.answered = tls_send(pair.server, pair.client, "answer");
	if (newest != NULL)
		encode(newest, SSL_get_session(pair.client));
	if (comeback_is_served(&seen))
		tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	SSL_SESSION_free(offer);
	ERR_clear_error();
	return seen;
}

bool
comeback_is_served(const struct comeback *visit)
{
	return visit->outcome.server_done && visit->outcome.client_done &&
	    visit->asked && visit->answered;
}

bool
comeback_is_shut(const struct comeback *visit)
{
	return !visit->early && !visit->asked && !visit->answered;
}

static const char *
reason(unsigned long error)
{
	const char *text = ERR_reason_error_string(error);

	return text != NULL ? text : "no error";
}

const char *
comeback_text(const struct comeback *visit)
{
	static char text[512];

	(void)snprintf(text, sizeof(text),
	    "%s, server %s (%s), client %s (%s), data%s%s%s%s",
	    visit->resumed ? "resumed" : "full",
	    visit->outcome.server_done ? "done" : "failed",
	    reason(visit->outcome.server_error),
	    visit->outcome.client_done ? "done" : "failed",
	    reason(visit->outcome.client_error), visit->early ? " early" : "",
	    visit->asked ? " in" : "", visit->answered ? " out" : "",
	    comeback_is_shut(visit) ? " none" : "");
	return text;
}
