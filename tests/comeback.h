/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection of a client that comes back, and what became of it: for
 * tests of who may resume where.  Knows nothing of caches.
 */
#ifndef SC_TESTS_COMEBACK_H
#define SC_TESTS_COMEBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "tls.h"

enum { COMEBACK_DER_BYTES = 8192 };

struct comeback {
	struct tls_outcome outcome;
	bool resumed;  /* as the server says */
	bool early;    /* the server was given early data */
	bool asked;    /* data passed to the server */
	bool answered; /* and to the client */
};

/* What a client keeps: its newest session, encoded, so that it outlives all. */
struct comeback_session {
	uint8_t der[COMEBACK_DER_BYTES];
	size_t len; /* 0: none */
};

/*
 * A client visits a server under a name (NULL: none), offers a session (NULL
 * or an empty one: none) and sends early data if it may.  newest may be NULL
 * or the session itself; it is what the client has after the visit, even if
 * the connection failed, and is left alone if it has none.
 */
struct comeback comeback_server(SSL_CTX *server, SSL_CTX *client,
    const char *name, const struct comeback_session *session,
    struct comeback_session *newest);

/* Both sides are done, and data passed both ways. */
bool comeback_is_served(const struct comeback *visit);

/* Nothing of the application's passed, in neither direction. */
bool comeback_is_shut(const struct comeback *visit);

/* In words, for who reads the failure of a test: static. */
const char *comeback_text(const struct comeback *visit);

#endif
