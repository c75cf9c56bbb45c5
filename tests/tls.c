/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls.h"

#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum {
	CERT_SECONDS = 24 * 60 * 60,
	BIO_BYTES = 64 * 1024, /* holds the longest flight */
	MAX_ROUNDS = 100,      /* of a handshake that makes no progress */
};

static bool
add_filler(X509 *cert, size_t bytes)
{
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *extension = NULL;
	unsigned char *filler = OPENSSL_zalloc(bytes);
	bool done = false;

	if (value != NULL && filler != NULL &&
	    ASN1_OCTET_STRING_set(value, filler, (int)bytes) == 1)
		extension = X509_EXTENSION_create_by_NID(NULL,
		    NID_netscape_comment, 0, value);
	if (extension != NULL)
		done = X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	ASN1_OCTET_STRING_free(value);
	OPENSSL_free(filler);
	return done;
}

static bool
set_names(X509 *cert, const char *name)
{
	X509_NAME *names = X509_NAME_new();
	bool done;

	done = names != NULL &&
	    X509_NAME_add_entry_by_txt(names, "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0) == 1 &&
	    X509_set_subject_name(cert, names) == 1 &&
	    X509_set_issuer_name(cert, names) == 1;
	X509_NAME_free(names);
	return done;
}

static bool
set_times(X509 *cert)
{
	return X509_gmtime_adj(X509_getm_notBefore(cert), -CERT_SECONDS) !=
	    NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(cert), CERT_SECONDS) != NULL;
}

static bool
fill_certificate(X509 *cert, EVP_PKEY *key, const char *name,
    size_t filler_bytes)
{
	return X509_set_version(cert, X509_VERSION_3) == 1 &&
	    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
	    set_names(cert, name) && set_times(cert) &&
	    X509_set_pubkey(cert, key) == 1 &&
	    (filler_bytes == 0 || add_filler(cert, filler_bytes)) &&
	    X509_sign(cert, key, EVP_sha256()) > 0;
}

bool
tls_identity_new(struct tls_identity *out, const char *name,
    size_t filler_bytes)
{
	out->key = EVP_EC_gen("P-256");
	out->cert = X509_new();
	if (out->key == NULL || out->cert == NULL ||
	    !fill_certificate(out->cert, out->key, name, filler_bytes)) {
		tls_identity_free(out);
		return false;
	}
	return true;
}

void
tls_identity_free(struct tls_identity *identity)
{
	EVP_PKEY_free(identity->key);
	X509_free(identity->cert);
	identity->key = NULL;
	identity->cert = NULL;
}

static SSL_CTX *
new_ctx(const SSL_METHOD *method, const struct tls_identity *identity,
    int version)
{
	SSL_CTX *ctx = SSL_CTX_new(method);
	bool done;

	done = ctx != NULL &&
	    SSL_CTX_set_min_proto_version(ctx, version) == 1 &&
	    SSL_CTX_set_max_proto_version(ctx, version) == 1;
	if (done && identity != NULL)
		done = SSL_CTX_use_certificate(ctx, identity->cert) == 1 &&
		    SSL_CTX_use_PrivateKey(ctx, identity->key) == 1;
	if (!done) {
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

SSL_CTX *
tls_server_new(const struct tls_identity *identity, int version)
{
	SSL_CTX *ctx = new_ctx(TLS_server_method(), identity, version);

	if (ctx != NULL)
		SSL_CTX_set_max_cert_list(ctx, BIO_BYTES);
	return ctx;
}

SSL_CTX *
tls_client_new(const struct tls_identity *identity, int version)
{
	return new_ctx(TLS_client_method(), identity, version);
}

static int
believe(int preverified, X509_STORE_CTX *store)
{
	(void)preverified;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

void
tls_ask_for_certificate(SSL_CTX *ctx, bool required)
{
	SSL_CTX_set_verify(ctx,
	    SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
	    believe);
}

static bool
join(struct tls_pair *pair)
{
	BIO *server = NULL, *client = NULL;

	if (BIO_new_bio_pair(&server, BIO_BYTES, &client, BIO_BYTES) != 1)
		return false;
	SSL_set_bio(pair->server, server, server);
	SSL_set_bio(pair->client, client, client);
	SSL_set_accept_state(pair->server);
	SSL_set_connect_state(pair->client);
	return true;
}

bool
tls_pair_new(struct tls_pair *out, SSL_CTX *server, SSL_CTX *client,
    SSL_SESSION *session, const char *server_name)
{
	bool done;

	out->server = SSL_new(server);
	out->client = SSL_new(client);
	done = out->server != NULL && out->client != NULL && join(out);
	if (done && session != NULL)
		done = SSL_set_session(out->client, session) == 1;
	if (done && server_name != NULL)
		done = SSL_set_tlsext_host_name(out->client, server_name) == 1;
	if (!done)
		tls_pair_free(out);
	return done;
}

/* Whether the next byte is yet to come, so that all others were read. */
static bool
is_drained(SSL *ssl)
{
	char byte;
	int got = SSL_read(ssl, &byte, 1);

	return got <= 0 && SSL_get_error(ssl, got) == SSL_ERROR_WANT_READ;
}

/* One side as far as it gets: 1 when it is done, 0 when it waits, or -1. */
static int
step(SSL *ssl)
{
	int result = SSL_do_handshake(ssl);
	int error = SSL_get_error(ssl, result);

	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return 0;
	return result == 1 ? 1 : -1;
}

bool
tls_pair_handshake(struct tls_pair *pair)
{
	int server = 0, client = 0;

	for (int i = 0; i < MAX_ROUNDS && (server == 0 || client == 0); i++) {
		client = step(pair->client);
		server = step(pair->server);
		if (server < 0 || client < 0)
			break;
	}
	return client == 1 && server == 1 && is_drained(pair->client);
}

bool
tls_send(SSL *from, SSL *to, const char *text)
{
	int len = (int)strlen(text);
	char got[256];

	return SSL_write(from, text, len) == len &&
	    SSL_read(to, got, sizeof(got)) == len &&
	    memcmp(got, text, (size_t)len) == 0;
}

bool
tls_send_garbage(SSL *from)
{
	static const unsigned char garbage[] = { SSL3_RT_APPLICATION_DATA, 3, 3,
		0, 32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
		17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
		32 };

	return BIO_write(SSL_get_wbio(from), garbage, sizeof(garbage)) ==
	    (int)sizeof(garbage);
}

void
tls_pair_shutdown(struct tls_pair *pair)
{
	(void)SSL_shutdown(pair->client);
	(void)SSL_shutdown(pair->server);
	(void)SSL_shutdown(pair->client);
	(void)SSL_shutdown(pair->server);
}

void
tls_pair_free(struct tls_pair *pair)
{
	SSL_free(pair->server);
	SSL_free(pair->client);
	pair->server = NULL;
	pair->client = NULL;
}
