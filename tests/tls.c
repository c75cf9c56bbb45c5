/* SPDX-License-Identifier: BSD-2-Clause */
#include "tls.h"

#include <string.h>
#include <strings.h>

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/tls1.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum {
	CERT_SECONDS = 24 * 60 * 60,
	BIO_BYTES = 64 * 1024, /* holds the longest flight */
	MAX_ROUNDS = 100,      /* of a handshake that makes no progress */
	RSA_BITS = 2048,
	TAG_TICKET = 10, /* in an encoded SSL_SESSION */
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

/* Ed25519 has its digest built in. */
static const EVP_MD *
digest_of(const EVP_PKEY *key)
{
	return EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
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
	    X509_sign(cert, key, digest_of(key)) > 0;
}

static EVP_PKEY *
new_key(enum tls_key kind)
{
	EVP_PKEY *key = NULL;

	switch (kind) {
	case TLS_P256:
		key = EVP_EC_gen("P-256");
		break;
	case TLS_P384:
		key = EVP_EC_gen("P-384");
		break;
	case TLS_RSA:
		key = EVP_RSA_gen(RSA_BITS);
		break;
	case TLS_ED25519:
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		break;
	}
	return key;
}

static bool
new_identity(struct tls_identity *out, enum tls_key kind, const char *name,
    size_t filler_bytes)
{
	out->key = new_key(kind);
	out->cert = X509_new();
	if (out->key == NULL || out->cert == NULL ||
	    !fill_certificate(out->cert, out->key, name, filler_bytes)) {
		tls_identity_free(out);
		return false;
	}
	return true;
}

bool
tls_identity_new(struct tls_identity *out, const char *name,
    size_t filler_bytes)
{
	return new_identity(out, TLS_P256, name, filler_bytes);
}

bool
tls_identity_of_key(struct tls_identity *out, const char *name,
    enum tls_key kind)
{
	return new_identity(out, kind, name, 0);
}

static bool
add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool done = extension != NULL && X509_add_ext(cert, extension, -1) == 1;

	X509_EXTENSION_free(extension);
	return done;
}

/* In the place of what it said of itself; no serial number comes twice. */
static bool
sign_certificate(X509 *cert, const struct tls_identity *authority)
{
	static long serial = 1;

	return ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial) == 1 &&
	    X509_set_issuer_name(cert,
		X509_get_subject_name(authority->cert)) == 1 &&
	    X509_sign(cert, authority->key, digest_of(authority->key)) > 0;
}

/* An identity with one extension more, signed by an authority, or itself. */
static bool
extend_identity(struct tls_identity *out, const char *name, int nid,
    const char *value, const struct tls_identity *authority)
{
	bool done = new_identity(out, TLS_P256, name, 0);

	if (done && value != NULL)
		done = add_extension(out->cert, nid, value);
	if (done)
		done = sign_certificate(out->cert,
		    authority != NULL ? authority : out);
	if (!done)
		tls_identity_free(out);
	return done;
}

bool
tls_identity_named(struct tls_identity *out, const char *name,
    const char *alt_names)
{
	return extend_identity(out, name, NID_subject_alt_name, alt_names,
	    NULL);
}

bool
tls_authority_new(struct tls_identity *out, const char *name)
{
	return extend_identity(out, name, NID_basic_constraints,
	    "critical,CA:TRUE", NULL);
}

bool
tls_identity_signed(struct tls_identity *out, const char *name,
    const struct tls_identity *authority)
{
	return extend_identity(out, name, NID_undef, NULL, authority);
}

static bool
revoke(X509_CRL *crl, X509 *cert)
{
	X509_REVOKED *entry = X509_REVOKED_new();
	bool done;

	done = entry != NULL &&
	    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert)) ==
		1 &&
	    X509_REVOKED_set_revocationDate(entry,
		(ASN1_TIME *)X509_CRL_get0_lastUpdate(crl)) == 1 &&
	    X509_CRL_add0_revoked(crl, entry) == 1;
	if (!done)
		X509_REVOKED_free(entry);
	return done;
}

static bool
fill_crl(X509_CRL *crl, const struct tls_identity *authority, X509 *revoked)
{
	long age_seconds = CERT_SECONDS / (revoked != NULL ? 8 : 4);
	ASN1_TIME *last = X509_gmtime_adj(NULL, -age_seconds);
	ASN1_TIME *next = X509_gmtime_adj(NULL, CERT_SECONDS);
	bool done;

	done = last != NULL && next != NULL &&
	    X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
	    X509_CRL_set_issuer_name(crl,
		X509_get_subject_name(authority->cert)) == 1 &&
	    X509_CRL_set1_lastUpdate(crl, last) == 1 &&
	    X509_CRL_set1_nextUpdate(crl, next) == 1 &&
	    (revoked == NULL || revoke(crl, revoked)) &&
	    X509_CRL_sign(crl, authority->key, digest_of(authority->key)) > 0;
	ASN1_TIME_free(last);
	ASN1_TIME_free(next);
	return done;
}

/* Decoded, or it has no digest, and any two of one authority look alike. */
X509_CRL *
tls_crl_new(const struct tls_identity *authority,
    const struct tls_identity *revoked)
{
	X509_CRL *made = X509_CRL_new(), *crl = NULL;

	if (made != NULL &&
	    fill_crl(made, authority, revoked != NULL ? revoked->cert : NULL))
		crl = X509_CRL_dup(made);
	X509_CRL_free(made);
	return crl;
}

void
tls_identity_free(struct tls_identity *identity)
{
	EVP_PKEY_free(identity->key);
	X509_free(identity->cert);
	identity->key = NULL;
	identity->cert = NULL;
}

bool
tls_add_identity(SSL_CTX *ctx, const struct tls_identity *identity)
{
	return SSL_CTX_use_certificate(ctx, identity->cert) == 1 &&
	    SSL_CTX_use_PrivateKey(ctx, identity->key) == 1;
}

static bool
is_datagrams(int version)
{
	return version == DTLS1_2_VERSION || version == DTLS1_VERSION;
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
		done = tls_add_identity(ctx, identity);
	if (!done) {
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

SSL_CTX *
tls_server_new(const struct tls_identity *identity, int version)
{
	SSL_CTX *ctx = new_ctx(is_datagrams(version) ? DTLS_server_method() :
						       TLS_server_method(),
	    identity, version);

	if (ctx != NULL)
		SSL_CTX_set_max_cert_list(ctx, BIO_BYTES);
	return ctx;
}

SSL_CTX *
tls_client_new(const struct tls_identity *identity, int version)
{
	return new_ctx(is_datagrams(version) ? DTLS_client_method() :
					       TLS_client_method(),
	    identity, version);
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

bool
tls_trust(SSL_CTX *ctx, const struct tls_identity *authority, int mode)
{
	X509_STORE *store = X509_STORE_new();

	if (store == NULL || X509_STORE_add_cert(store, authority->cert) != 1) {
		X509_STORE_free(store);
		return false;
	}
	SSL_CTX_set_cert_store(ctx, store);
	SSL_CTX_set_verify(ctx, mode, NULL);
	return true;
}

bool
tls_name_authority(SSL_CTX *ctx, const char *name)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	X509_NAME *entry = X509_NAME_new();

	if (names == NULL || entry == NULL ||
	    X509_NAME_add_entry_by_txt(entry, "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0) != 1 ||
	    sk_X509_NAME_push(names, entry) <= 0) {
		X509_NAME_free(entry);
		sk_X509_NAME_free(names);
		return false;
	}
	SSL_CTX_set_client_CA_list(ctx, names);
	return true;
}

void
tls_require_certificate(SSL *ssl)
{
	SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	    believe);
}

/*
 * SSL_set_SSL_CTX() leaves the connection the verify mode that it has, so
 * whoever switches sets that as well.
 */
static bool
go_to_host(SSL *ssl, const struct tls_host *hosts, const char *name,
    size_t name_len)
{
	SSL_CTX *ctx = NULL;

	for (; hosts->name != NULL && ctx == NULL; hosts++) {
		if (strlen(hosts->name) == name_len &&
		    strncasecmp(hosts->name, name, name_len) == 0)
			ctx = hosts->ctx;
	}
	if (ctx == NULL)
		return true;
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx),
	    SSL_CTX_get_verify_callback(ctx));
	SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(ctx));
	return SSL_set_SSL_CTX(ssl, ctx) == ctx;
}

static int
on_name(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	bool done = true;

	if (name != NULL)
		done = go_to_host(ssl, arg, name, strlen(name));
	if (!done)
		*alert = SSL_AD_INTERNAL_ERROR;
	return done ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* RFC 6066, section 3: a list with its length, a type, a name with its own. */
static int
on_hello(SSL *ssl, int *alert, void *arg)
{
	enum { NAME_AT = 5 };
	const unsigned char *ext;
	size_t len;
	bool done = true;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext,
		&len) == 1 &&
	    len > NAME_AT)
		done = go_to_host(ssl, arg, (const char *)ext + NAME_AT,
		    len - NAME_AT);
	if (!done)
		*alert = SSL_AD_INTERNAL_ERROR;
	return done ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

void
tls_serve_hosts(SSL_CTX *ctx, enum tls_switch when, struct tls_host *hosts)
{
	switch (when) {
	case TLS_BY_NAME:
		(void)SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
		(void)SSL_CTX_set_tlsext_servername_arg(ctx, hosts);
		break;
	case TLS_BY_HELLO:
		SSL_CTX_set_client_hello_cb(ctx, on_hello, hosts);
		break;
	}
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

/* A step of one side, and the first error that it left. */
static int
step_apart(SSL *ssl, unsigned long *error)
{
	int result;

	ERR_clear_error();
	result = step(ssl);
	if (*error == 0)
		*error = ERR_peek_error();
	ERR_clear_error();
	return result;
}

struct tls_outcome
tls_pair_try(struct tls_pair *pair)
{
	struct tls_outcome outcome = { .server_done = false };
	int server = 0, client = 0;

	for (int i = 0; i < MAX_ROUNDS && (server == 0 || client == 0); i++) {
		if (client >= 0)
			client = step_apart(pair->client,
			    &outcome.client_error);
		if (server >= 0)
			server = step_apart(pair->server,
			    &outcome.server_error);
		if (server < 0 && client < 0)
			break;
	}
	outcome.client_done = client == 1;
	outcome.server_done = server == 1;
	return outcome;
}

/* Early data as far as it goes: 1 when there is no more, 0, or -1. */
static int
step_early(SSL *server, const char *text, bool *accepted)
{
	char got[256];
	size_t len = 0;
	int status = SSL_read_early_data(server, got, sizeof(got), &len);

	if (len == strlen(text) && memcmp(got, text, len) == 0)
		*accepted = true;
	if (status == SSL_READ_EARLY_DATA_ERROR)
		return SSL_get_error(server, 0) == SSL_ERROR_WANT_READ ? 0 : -1;
	return status == SSL_READ_EARLY_DATA_FINISH ? 1 : 0;
}

bool
tls_pair_handshake_early(struct tls_pair *pair, const char *text,
    bool *accepted)
{
	size_t len = 0;
	int early = 0;

	*accepted = false;
	if (SSL_write_early_data(pair->client, text, strlen(text), &len) != 1)
		return false;
	for (int i = 0; i < MAX_ROUNDS && early == 0; i++) {
		early = step_early(pair->server, text, accepted);
		if (early == 0 && step(pair->client) < 0)
			early = -1;
	}
	return early == 1 && tls_pair_handshake(pair);
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

int
tls_visit(SSL_CTX *server, SSL_CTX *client, SSL_SESSION **session)
{
	struct tls_pair pair;
	int resumed = -1;

	if (!tls_pair_new(&pair, server, client, *session, NULL))
		return -1;
	if (tls_pair_handshake(&pair)) {
		resumed = SSL_session_reused(pair.server);
		SSL_SESSION_free(*session);
		*session = SSL_get1_session(pair.client);
		tls_pair_shutdown(&pair);
	}
	tls_pair_free(&pair);
	return resumed;
}

/* [10] EXPLICIT OCTET STRING; its length, and in *out what to free. */
static int
encode_ticket(unsigned char **out, const unsigned char *ticket, size_t len)
{
	int inner = ASN1_object_size(0, (int)len, V_ASN1_OCTET_STRING);
	int outer = ASN1_object_size(1, inner, TAG_TICKET);
	unsigned char *at = OPENSSL_malloc((size_t)outer);

	*out = at;
	if (at == NULL)
		return -1;
	ASN1_put_object(&at, 1, inner, TAG_TICKET, V_ASN1_CONTEXT_SPECIFIC);
	ASN1_put_object(&at, 0, (int)len, V_ASN1_OCTET_STRING,
	    V_ASN1_UNIVERSAL);
	if (len > 0)
		memcpy(at, ticket, len);
	return outer;
}

static bool
replace_ticket(const ASN1_SEQUENCE_ANY *fields, const unsigned char *der,
    int len)
{
	const int first = V_ASN1_CONTEXT_SPECIFIC | V_ASN1_CONSTRUCTED |
	    TAG_TICKET;
	const ASN1_TYPE *field;
	bool done = false;

	for (int i = 0; i < sk_ASN1_TYPE_num(fields); i++) {
		field = sk_ASN1_TYPE_value(fields, i);
		if (field->type == V_ASN1_OTHER &&
		    ASN1_STRING_get0_data(field->value.asn1_string)[0] == first)
			done = ASN1_STRING_set(field->value.asn1_string, der,
				   len) == 1;
	}
	return done;
}

SSL_SESSION *
tls_session_with_ticket(const SSL_SESSION *session, const unsigned char *ticket,
    size_t len)
{
	unsigned char *der = NULL, *new_der = NULL, *field = NULL;
	int der_len = i2d_SSL_SESSION(session, NULL), field_len;
	ASN1_SEQUENCE_ANY *fields = NULL;
	const unsigned char *in;
	unsigned char *out;
	SSL_SESSION *copy = NULL;

	field_len = encode_ticket(&field, ticket, len);
	der = out = OPENSSL_malloc((size_t)der_len);
	if (der == NULL || field == NULL)
		goto out;
	(void)i2d_SSL_SESSION(session, &out);
	in = der;
	fields = d2i_ASN1_SEQUENCE_ANY(NULL, &in, der_len);
	if (fields == NULL || !replace_ticket(fields, field, field_len))
		goto out;
	der_len = i2d_ASN1_SEQUENCE_ANY(fields, &new_der);
	in = new_der;
	if (der_len > 0)
		copy = d2i_SSL_SESSION(NULL, &in, der_len);
out:
	sk_ASN1_TYPE_pop_free(fields, ASN1_TYPE_free);
	OPENSSL_free(der);
	OPENSSL_free(new_der);
	OPENSSL_free(field);
	return copy;
}
