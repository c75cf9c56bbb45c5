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

/* A key and a certificate that it signed itself. */
struct tls_identity {
	EVP_PKEY *key;
	X509 *cert;
};

enum tls_key { TLS_P256, TLS_P384, TLS_RSA, TLS_ED25519 };

/*
 * Make an identity with a P-256 key whose certificate is longer by
 * filler_bytes than it would be, or one with a key of this kind.  The caller
 * releases it with tls_identity_free().
 */
bool tls_identity_new(struct tls_identity *out, const char *name,
    size_t filler_bytes);
bool tls_identity_of_key(struct tls_identity *out, const char *name,
    enum tls_key kind);
void tls_identity_free(struct tls_identity *identity);

/* The same, with other names that it has, as "DNS:a.example,DNS:b.example". */
bool tls_identity_named(struct tls_identity *out, const char *name,
    const char *alt_names);

/* An authority, and an identity that it signed. */
bool tls_authority_new(struct tls_identity *out, const char *name);
bool tls_identity_signed(struct tls_identity *out, const char *name,
    const struct tls_identity *authority);

/*
 * What an authority has revoked; NULL: nothing yet, in a list that is older
 * than those that revoke.  The caller releases it with X509_CRL_free().
 */
X509_CRL *tls_crl_new(const struct tls_identity *authority,
    const struct tls_identity *revoked);

/*
 * Contexts for one protocol version, of TLS or DTLS; identity may be NULL for a
 * client.
 */
SSL_CTX *tls_server_new(const struct tls_identity *identity, int version);
SSL_CTX *tls_client_new(const struct tls_identity *identity, int version);

/* One more identity for ctx, of another kind of key than those it has. */
bool tls_add_identity(SSL_CTX *ctx, const struct tls_identity *identity);

/* Have ctx ask for a client certificate, and believe whatever comes. */
void tls_ask_for_certificate(SSL_CTX *ctx, bool required);

/*
 * Have ctx verify client certificates as OpenSSL does, against this authority
 * and no other; mode is that of SSL_CTX_set_verify().
 */
bool tls_trust(SSL_CTX *ctx, const struct tls_identity *authority, int mode);

/* Tell clients that ctx expects certificates of this authority, and no other. */
bool tls_name_authority(SSL_CTX *ctx, const char *name);

/* Ask one connection for a certificate, which it must bring, and believe it. */
void tls_require_certificate(SSL *ssl);

/* The context that serves a name; a table of these ends with a NULL name. */
struct tls_host {
	const char *name;
	SSL_CTX *ctx;
};

enum tls_switch {
	TLS_BY_NAME,  /* in the server-name callback, as nginx does */
	TLS_BY_HELLO, /* in the client-hello callback */
};

/*
 * Have connections of ctx go on with the context of the host that the client
 * names, and with its demand for a certificate; with ctx where no host has the
 * name.  The table is borrowed and may be changed between connections.
 */
void tls_serve_hosts(SSL_CTX *ctx, enum tls_switch when,
    struct tls_host *hosts);

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

/* How far each side got, and the first error that each left; 0: none. */
struct tls_outcome {
	bool server_done;
	bool client_done;
	unsigned long server_error;
	unsigned long client_error;
};

/* The same handshake, of which nothing is expected. */
struct tls_outcome tls_pair_try(struct tls_pair *pair);

/*
 * A handshake that may fail at neither side, with text as early data before
 * it.  *accepted says whether the server read the text as early data.
 */
bool tls_pair_handshake_early(struct tls_pair *pair, const char *text,
    bool *accepted);

/* Send text from one end to the other; whether it arrived. */
bool tls_send(SSL *from, SSL *to, const char *text);

/* Send bytes that are no TLS record, past the protocol. */
bool tls_send_garbage(SSL *from);

/* Both sides say close_notify and hear it. */
void tls_pair_shutdown(struct tls_pair *pair);
void tls_pair_free(struct tls_pair *pair);

/*
 * One connection, which offers *session (NULL: none) and leaves its own there:
 * 1 if it was resumed, 0 if not, -1 if it failed.
 */
int tls_visit(SSL_CTX *server, SSL_CTX *client, SSL_SESSION **session);

/* A copy of a session with these bytes for its ticket; NULL if that fails. */
SSL_SESSION *tls_session_with_ticket(const SSL_SESSION *session,
    const unsigned char *ticket, size_t len);

#endif
