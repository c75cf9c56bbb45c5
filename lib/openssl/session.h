/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SSL_SESSIONs: their bytes, how long they live, how they look.  Private to
 * openssl/.
 */
#ifndef SC_OPENSSL_SESSION_H
#define SC_OPENSSL_SESSION_H

#include "api/inspect.h"
#include "openssl/connection.h"

/*
 * Seconds that a session of a connection may still be resumed: never past
 * the end of what it is itself a resumption of, of the setting "timeout", or
 * of the client's certificate.
 */
uint32_t sc_session_seconds_left(const struct sc_connection *connection,
    const SSL *ssl, const SSL_SESSION *session);

/* Have the session itself, and what the client is told, say so. */
void sc_session_limit(const struct sc_connection *connection, const SSL *ssl,
    SSL_SESSION *session);

bool sc_session_has_id(const SSL_SESSION *session, const unsigned char *id,
    size_t len);

/* Bytes of the encoded session in buf, or 0, which is counted. */
size_t sc_session_encode(struct sesscache *handle, const SSL_SESSION *session,
    uint8_t *buf, size_t size);

/*
 * The session in len bytes if it has this ID and may be resumed by ssl, else
 * NULL; counted if it is damaged.  The caller owns it.
 */
SSL_SESSION *sc_session_decode(struct sesscache *handle, const SSL *ssl,
    const struct sc_lookup *lookup);

/*
 * Count an error that a callback drops, and log it: that the cache is damaged
 * as a warning, once a minute, with the sentence of the failure.
 */
void sc_session_failed(struct sesscache *handle, const char *what,
    enum sesscache_status status);

/* What the bytes of a session show: see sc_describe. */
sc_describe sc_session_describe;

#endif
