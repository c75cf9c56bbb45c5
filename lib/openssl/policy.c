/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See policy.h.
 */
#include "openssl/policy.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "cache/bytes.h"
#include "openssl/anchors.h"

enum { USUAL_NAMES = 4096 }; /* bytes of the names in a certificate */

/* Bytes to be hashed, in a buffer of this size; overflow is remembered. */
struct text {
	uint8_t *bytes;
	size_t size;
	size_t len;
	bool failed;
};

static void
append(struct text *text, const void *bytes, size_t len)
{
	if (text->failed || len > text->size - text->len) {
		text->failed = true;
		return;
	}
	if (len > 0)
		memcpy(text->bytes + text->len, bytes, len);
	text->len += len;
}

static void
append_int(struct text *text, uint64_t n, int bytes)
{
	uint8_t number[8];

	(void)sc_write_int(number, n, bytes);
	append(text, number, (size_t)bytes);
}

static void
append_string(struct text *text, const char *string)
{
	size_t len = string != NULL ? strlen(string) : 0;

	append_int(text, len, 4);
	append(text, string, len);
}

static uint64_t
hash(struct sc_cache *cache, const struct text *text)
{
	return text->failed ? 0 : sc_cache_hash(cache, text->bytes, text->len);
}

/* --- what is demanded ---------------------------------------------------- */

static void
append_hosts(struct text *text, X509_VERIFY_PARAM *param)
{
	const char *host;
	char *address = X509_VERIFY_PARAM_get1_ip_asc(param);

	for (int i = 0; !text->failed; i++) {
		host = X509_VERIFY_PARAM_get0_host(param, i);
		append_string(text, host);
		if (host == NULL)
			break;
	}
	append_string(text, X509_VERIFY_PARAM_get0_email(param));
	append_string(text, address);
	OPENSSL_free(address);
}

/* Trust settings and policies cannot be seen, a purpose since 3.5 only. */
static void
append_params(struct text *text, X509_VERIFY_PARAM *param)
{
	append_int(text, X509_VERIFY_PARAM_get_flags(param), 8);
	append_int(text, X509_VERIFY_PARAM_get_inh_flags(param), 4);
	append_int(text, X509_VERIFY_PARAM_get_hostflags(param), 4);
	append_int(text, (uint32_t)X509_VERIFY_PARAM_get_depth(param), 4);
	append_int(text, (uint32_t)X509_VERIFY_PARAM_get_auth_level(param), 4);
	append_int(text, (uint64_t)X509_VERIFY_PARAM_get_time(param), 8);
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
	append_int(text, (uint32_t)X509_VERIFY_PARAM_get_purpose(param), 4);
#endif
	append_hosts(text, param);
}

static bool
is_same_params(const struct sc_params *one, const struct sc_params *other)
{
	return one->len == other->len &&
	    memcmp(one->bytes, other->bytes, one->len) == 0;
}

bool
sc_policy_demands(struct sc_demands *out, SSL *ssl)
{
	struct text text = { .bytes = out->params.bytes,
		.size = sizeof(out->params.bytes) };

	out->mode = SSL_get_verify_mode(ssl);
	out->callback = NULL;
	out->security = NULL;
	out->params.len = 0;
	if ((out->mode & SSL_VERIFY_PEER) == 0) {
		out->mode = SSL_VERIFY_NONE;
		return true;
	}
	out->callback = SSL_get_verify_callback(ssl);
	out->security = SSL_get_security_callback(ssl);
	append_params(&text, SSL_get0_param(ssl));
	append_int(&text, (uint32_t)SSL_get_security_level(ssl), 4);
	out->params.len = text.len;
	return !text.failed;
}

static bool
is_same_demands(const struct sc_demands *one, const struct sc_demands *other)
{
	return one->mode == other->mode && one->callback == other->callback &&
	    one->security == other->security &&
	    is_same_params(&one->params, &other->params);
}

/* --- names --------------------------------------------------------------- */

/*
 * One that is not attached is looked at in the check, when a session cannot be
 * given up any more: names of a usual length need no memory that may run out.
 */
static uint64_t
hash_names(struct sc_cache *cache, char kind, const X509 *cert)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);
	const ASN1_OCTET_STRING *san = NULL;
	const unsigned char *der = NULL;
	uint8_t usual[USUAL_NAMES], *longer = NULL;
	struct text text = { .bytes = usual };
	size_t der_len = 0, san_len = 0;
	uint64_t names;

	if (at >= 0)
		san = X509_EXTENSION_get_data(X509_get_ext(cert, at));
	if (X509_NAME_get0_der(subject, &der, &der_len) != 1)
		return 0;
	if (san != NULL)
		san_len = (size_t)ASN1_STRING_length(san);
	text.size = 1 + 4 + der_len + san_len;
	if (text.size > sizeof(usual))
		text.bytes = longer = malloc(text.size);
	if (text.bytes == NULL)
		return 0;
	append_int(&text, (uint8_t)kind, 1);
	append_int(&text, der_len, 4);
	append(&text, der, der_len);
	if (san != NULL)
		append(&text, ASN1_STRING_get0_data(san), san_len);
	names = hash(cache, &text);
	free(longer);
	return names;
}

/* Raw public keys (RFC 7250) bring no names: it is the key that counts. */
static uint64_t
hash_key(struct sc_cache *cache, const EVP_PKEY *key)
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key, &der);
	struct text text = { .bytes = NULL };
	uint64_t names = 0;

	if (len <= 0)
		return 0;
	text.size = 1 + (size_t)len;
	text.bytes = malloc(text.size);
	if (text.bytes != NULL) {
		append_int(&text, 'k', 1);
		append(&text, der, (size_t)len);
		names = hash(cache, &text);
	}
	free(text.bytes);
	OPENSSL_free(der);
	return names;
}

/* Who sets its certificate in a callback could serve any: it is itself. */
static uint64_t
hash_identity(struct sc_cache *cache, const struct sc_attachment *attachment)
{
	uint8_t bytes[1 + SC_IDENTITY];
	struct text text = { .bytes = bytes, .size = sizeof(bytes) };

	append_int(&text, 'c', 1);
	append(&text, attachment->identity, SC_IDENTITY);
	return hash(cache, &text);
}

static uint64_t
hash_realm(struct sc_cache *cache, const struct sc_attachment *attachment)
{
	uint8_t bytes[1 + 4 + SC_REALM_MAX];
	struct text text = { .bytes = bytes, .size = sizeof(bytes) };

	append_int(&text, 'n', 1);
	append_string(&text, attachment->realm);
	return hash(cache, &text);
}

/* One bit says what it is of; 0 is no policy. */
static uint64_t
mark(uint64_t open, bool named)
{
	if (open == 0)
		return 0;
	open = named ? open | 1 : open & ~UINT64_C(1);
	return open != 0 ? open : 2;
}

bool
sc_policy_is_of_realm(uint64_t open)
{
	return (open & 1) != 0;
}

static uint64_t
hash_subject(struct sc_cache *cache, const struct sc_attachment *attachment,
    const X509 *cert, const EVP_PKEY *key)
{
	if (attachment->realm[0] != '\0')
		return mark(hash_realm(cache, attachment), true);
	if (cert != NULL)
		return mark(hash_names(cache, 'p', cert), false);
	if (key != NULL)
		return mark(hash_key(cache, key), false);
	return mark(hash_identity(cache, attachment), false);
}

/* Replace what is kept.  The reference keeps the address from being another's.
 */
static uint64_t
renew_open(struct sc_attachment *attachment, X509 *cert, EVP_PKEY *key)
{
	struct sc_cache *cache = attachment->handle->cache;
	const void *subject = cert != NULL ? (void *)cert : (void *)key;
	uint64_t open;

	if (cert != NULL)
		key = NULL;
	sc_attachments_lock();
	open = hash_subject(cache, attachment, cert, key);
	if ((cert == NULL || X509_up_ref(cert) == 1) &&
	    (key == NULL || EVP_PKEY_up_ref(key) == 1)) {
		/* No subject, for as long as the policy is of another. */
		atomic_store(&attachment->subject, attachment);
		atomic_store(&attachment->open, open);
		atomic_store(&attachment->subject, subject);
		X509_free(attachment->cert);
		EVP_PKEY_free(attachment->key);
		attachment->cert = cert;
		attachment->key = key;
	}
	sc_attachments_unlock();
	return open;
}

uint64_t
sc_policy_open(struct sc_cache *cache, SSL_CTX *ctx)
{
	struct sc_attachment *attachment = sc_attachment_of(ctx);
	X509 *cert = SSL_CTX_get0_certificate(ctx);
	const void *subject = cert;
	EVP_PKEY *key = NULL;
	uint64_t open = 0;

	if (attachment == NULL || attachment->handle->cache != cache)
		return cert != NULL ?
		    mark(hash_names(cache, 'u', cert), false) :
		    0;
	if (cert == NULL)
		subject = key = SSL_CTX_get0_privatekey(ctx);
	if (subject == atomic_load(&attachment->subject))
		open = atomic_load(&attachment->open);
	return open != 0 ? open : renew_open(attachment, cert, key);
}

bool
sc_policy_covers(const SSL *ssl, const char *name)
{
	X509 *cert = SSL_get_certificate(ssl);

	return cert != NULL && name != NULL && name[0] != '\0' &&
	    X509_check_host(cert, name, 0, 0, NULL) == 1;
}

/* --- what is trusted ----------------------------------------------------- */

/* Another process has its functions elsewhere: in a realm it counts whether
 * there is one. */
static void
append_function(struct text *text, bool named, void (*function)(void))
{
	uint64_t where = 0;

	memcpy(&where, &function, sizeof(function));
	append_int(text, named ? where != 0 : where, 8);
}

static bool
read_store(struct sc_params *out, X509_STORE *store, bool named)
{
	void (*const functions[])(void) = {
		(void (*)(void))X509_STORE_get_verify(store),
		(void (*)(void))X509_STORE_get_verify_cb(store),
		(void (*)(void))X509_STORE_get_get_issuer(store),
		(void (*)(void))X509_STORE_get_check_issued(store),
		(void (*)(void))X509_STORE_get_check_revocation(store),
		(void (*)(void))X509_STORE_get_get_crl(store),
		(void (*)(void))X509_STORE_get_check_crl(store),
		(void (*)(void))X509_STORE_get_cert_crl(store),
		(void (*)(void))X509_STORE_get_check_policy(store),
	};
	struct text text = { .bytes = out->bytes, .size = sizeof(out->bytes) };

	append_params(&text, X509_STORE_get0_param(store));
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		append_function(&text, named, functions[i]);
	out->len = text.len;
	return !text.failed;
}

/* One that an SSL has of its own says nothing of its context. */
static bool
has_own_store(SSL *ssl, SSL_CTX *ctx, const X509_STORE *store)
{
	X509_STORE *own = NULL;

	if (SSL_get_SSL_CTX(ssl) != ctx)
		return false;
	(void)SSL_get0_verify_cert_store(ssl, &own);
	return own != NULL && own != store;
}

static bool
checks_crls(SSL *ssl, X509_STORE *store)
{
	unsigned long flags = X509_VERIFY_PARAM_get_flags(SSL_get0_param(ssl)) |
	    X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store));

	return (flags & X509_V_FLAG_CRL_CHECK) != 0;
}

/*
 * Look through the store.  In a named realm its content counts.  Elsewhere
 * only CRLs do, and only if they are asked: nothing can be taken out of a
 * store, another certificate refuses nobody, and a store that loads lazily
 * grows by what strangers send.
 */
static bool
look_through(struct sc_trust *now, const struct sc_trust *before, bool named)
{
	STACK_OF(X509_OBJECT) *objects = sc_anchors_borrow(now->store);
	bool done = objects != NULL;

	now->objects = sk_X509_OBJECT_num(objects);
	if (done &&
	    (now->store != before->store || now->objects != before->objects)) {
		now->crls = sc_anchors_crls(objects);
		if (named)
			done = sc_anchors_digest(objects, now->what);
	}
	sc_anchors_return(now->store, objects);
	return done;
}

static bool
is_changed(const struct sc_trust *now, const struct sc_trust *before)
{
	return now->store != before->store || now->crls != before->crls ||
	    !is_same_params(&now->params, &before->params);
}

/*
 * Have trust be what the context trusts now.  The first look is at what it has
 * been since the attach.  False: it cannot be told, and trust stays.
 */
static bool
refresh(struct sc_trust *trust, SSL *ssl, X509_STORE *store, bool named)
{
	struct sc_trust now = *trust;
	bool first = trust->store == NULL;

	now.store = store;
	if (!read_store(&now.params, store, named) ||
	    ((named || checks_crls(ssl, store)) &&
		!look_through(&now, trust, named)))
		return false;
	if (!is_changed(&now, trust) &&
	    memcmp(now.what, trust->what, SC_DIGEST) == 0) {
		trust->objects = now.objects;
		return true;
	}
	if ((!named && !first && RAND_bytes(now.what, SC_IDENTITY) != 1) ||
	    X509_STORE_up_ref(store) != 1)
		return false;
	X509_STORE_free(trust->store);
	now.policy = 0;
	*trust = now;
	return true;
}

static uint64_t
hash_auth(struct sc_cache *cache, const struct sc_attachment *attachment,
    const struct sc_demands *demands)
{
	const struct sc_trust *trust = &attachment->trust;
	bool named = attachment->realm[0] != '\0';
	uint8_t bytes[1024];
	struct text text = { .bytes = bytes, .size = sizeof(bytes) };

	append_int(&text, named ? 'N' : 'i', 1);
	append(&text, trust->what, named ? SC_DIGEST : SC_IDENTITY);
	if (named) {
		append_string(&text, attachment->realm);
		append_int(&text, trust->params.len, 4);
		append(&text, trust->params.bytes, trust->params.len);
	} else {
		append_function(&text, false,
		    (void (*)(void))demands->security);
	}
	append_int(&text, (uint32_t)demands->mode, 4);
	append_function(&text, named, (void (*)(void))demands->callback);
	append(&text, demands->params.bytes, demands->params.len);
	return hash(cache, &text);
}

uint64_t
sc_policy_auth(struct sc_cache *cache, SSL *ssl, SSL_CTX *ctx,
    const struct sc_demands *demands)
{
	struct sc_attachment *attachment = sc_attachment_of(ctx);
	X509_STORE *store = sc_anchors_of(ctx);
	struct sc_trust *trust;
	uint64_t policy = 0;

	if (attachment == NULL || attachment->handle->cache != cache ||
	    store == NULL || has_own_store(ssl, ctx, store))
		return 0;
	trust = &attachment->trust;
	sc_attachments_lock();
	if (refresh(trust, ssl, store, attachment->realm[0] != '\0')) {
		if (trust->policy == 0 ||
		    !is_same_demands(&trust->demands, demands)) {
			trust->policy = hash_auth(cache, attachment, demands);
			trust->demands = *demands;
		}
		policy = trust->policy;
	}
	sc_attachments_unlock();
	return policy;
}
