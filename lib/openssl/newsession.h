/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions that are made, on their way to the cache.  Private to openssl/.
 */
#ifndef SC_OPENSSL_NEWSESSION_H
#define SC_OPENSSL_NEWSESSION_H

#include <stdbool.h>

#include <openssl/ssl.h>

/*
 * OpenSSL calls sc_newsession_callback() when a TLS 1.2 client has the
 * Finished and may already be back, at another worker.  This is called before
 * it is sent.
 */
void sc_newsession_before_finished(SSL *ssl, SSL_SESSION *session);

/*
 * Whether a client can ask for this session by its ID.  Of TLS 1.3 only the
 * stateful tickets: OpenSSL announces those that carry their state, too.
 */
bool sc_newsession_is_looked_up(const SSL *ssl);

/* For SSL_CTX_sess_set_new_cb(). */
int sc_newsession_callback(SSL *ssl, SSL_SESSION *session);

#endif
