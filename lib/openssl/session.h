/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SSL_SESSIONs: their bytes, how long they live, how they look.  Private to
 * openssl/.
 */
#ifndef SC_OPENSSL_SESSION_H
#define SC_OPENSSL_SESSION_H

#include "api/inspect.h"
#include "openssl/handshake.h"

/*
 * Seconds that a session of a connection may still be resumed: never past
 * the end of what it is itself a resumption of, of the setting "timeout", of
 * the certificates that the client was verified by, or of the CRLs that were
 * asked.
 */
uint32_t sc_session_seconds_left(const struct sc_handshake *handshake, SSL *ssl,
    const SSL_SESSION *session);

/* Have the session itself, and what the client is told, say so. */
void sc_session_limit(const struct sc_handshake *handshake, SSL *ssl,
    SSL_SESSION *session);

bool sc_session_has_id(const SSL_SESSION *session, const unsigned char *id,
    size_t len);

/* Bytes of the encoded session in buf, or 0, which is counted. */
size_t sc_session_encode(struct sesscache *handle, const SSL_SESSION *session,
    uint8_t *buf, size_t size);

/* The session that was found, if it has this ID, else NULL; the caller's. */
SSL_SESSION *sc_session_decode(struct sesscache *handle,
    const struct sc_lookup *lookup);

/* Whether ssl, as it is configured now, would make such a session. */
bool sc_session_is_usable(SSL *ssl, SSL_SESSION *session);

/* Whether its client showed who it is; and, if that is needed at once here.
 * session may be NULL: nobody did. */
bool sc_session_has_peer(SSL_SESSION *session);
bool sc_session_has_needed_peer(const SSL *ssl, SSL_SESSION *session);

/*
 * Whether a suite may be used up to TLS 1.2; 0: that of the session which is
 * resumed.  TLS 1.3 chooses anew.
 */
bool sc_session_has_good_cipher(SSL *ssl, uint16_t cipher);

/* Its IANA number, for a ticket that is being made. */
uint16_t sc_session_cipher(const SSL *ssl, const SSL_SESSION *session);

/* Whether OpenSSL is about to announce it; but for who is told. */
bool sc_session_is_going_to_be_new(SSL *ssl, SSL_SESSION *session);

/*
 * Where clients are verified, OpenSSL resumes no session without a session ID
 * context, and ends the handshake that offers one.  If the application has set
 * none, the session gets ours as it is made; and the connection gets it when
 * such a session is offered.
 */
void sc_session_ensure_context(SSL *ssl, SSL_SESSION *session);
bool sc_session_has_no_context(const SSL_SESSION *session);
bool sc_session_has_our_context(const SSL_SESSION *session);
void sc_session_adopt_context(SSL *ssl, const SSL_SESSION *session);
void sc_session_set_our_context(SSL *ssl);

/*
 * Count an error that a callback drops, and log it: that the cache is damaged
 * as a warning, once a minute, with the sentence of the failure.
 */
void sc_session_failed(struct sesscache *handle, const char *what,
    enum sesscache_status status);

/* What the bytes of a session show: see sc_describe. */
sc_describe sc_session_describe;

#endif
