/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TLS connections within one process, for tests: certificates made on the
 * spot, client and server joined by a pair of BIOs.  Knows nothing of caches.
 */
#ifndef SC_TESTS_TLS_H
#define SC_TESTS_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

/* A P-256 key and a certificate that it signed itself. */
struct tls_identity {
	EVP_PKEY *key;
	X509 *cert;
};

/*
 * Make an identity whose certificate is longer by filler_bytes than it would
 * be.  The caller releases it with tls_identity_free().
 */
bool tls_identity_new(struct tls_identity *out, const char *name,
    size_t filler_bytes);
void tls_identity_free(struct tls_identity *identity);

/* Contexts for one protocol version; identity may be NULL for a client. */
SSL_CTX *tls_server_new(const struct tls_identity *identity, int version);
SSL_CTX *tls_client_new(const struct tls_identity *identity, int version);

/* Have ctx ask for a client certificate, and believe whatever comes. */
void tls_ask_for_certificate(SSL_CTX *ctx, bool required);

struct tls_pair {
	SSL *server;
	SSL *client;
};

/*
 * Join a server and a client, which offers a session (NULL: none) and a server
 * name (NULL: none).  The caller releases the pair with tls_pair_free().
 */
bool tls_pair_new(struct tls_pair *out, SSL_CTX *server, SSL_CTX *client,
    SSL_SESSION *session, const char *server_name);

/* Whether both sides finished, and the client has read its tickets. */
bool tls_pair_handshake(struct tls_pair *pair);

/* Send text from one end to the other; whether it arrived. */
bool tls_send(SSL *from, SSL *to, const char *text);

/* Send bytes that are no TLS record, past the protocol. */
bool tls_send_garbage(SSL *from);

/* Both sides say close_notify and hear it. */
void tls_pair_shutdown(struct tls_pair *pair);
void tls_pair_free(struct tls_pair *pair);

#endif
