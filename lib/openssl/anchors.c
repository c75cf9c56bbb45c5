/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See anchors.h.
 */
#include "openssl/anchors.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/x509_vfy.h>

enum {
	DAY = 24 * 3600, /* seconds */
	DIGEST = 32,     /* bytes of SHA-256 */
};

X509_STORE *
sc_anchors_of(SSL_CTX *ctx)
{
	X509_STORE *store = NULL;

	(void)SSL_CTX_get0_verify_cert_store(ctx, &store);
	return store != NULL ? store : SSL_CTX_get_cert_store(ctx);
}

STACK_OF(X509_OBJECT) * sc_anchors_borrow(X509_STORE *store)
{
#if OPENSSL_VERSION_NUMBER >= 0x40000000L
	return X509_STORE_get1_objects(store);
#else
	(void)X509_STORE_lock(store);
	return X509_STORE_get0_objects(store);
#endif
}

void
sc_anchors_return(X509_STORE *store, STACK_OF(X509_OBJECT) * objects)
{
#if OPENSSL_VERSION_NUMBER >= 0x40000000L
	(void)store;
	sk_X509_OBJECT_pop_free(objects, X509_OBJECT_free);
#else
	(void)objects;
	(void)X509_STORE_unlock(store);
#endif
}

int
sc_anchors_crls(const STACK_OF(X509_OBJECT) * objects)
{
	int n = 0;

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++)
		n += X509_OBJECT_get_type(sk_X509_OBJECT_value(objects, i)) ==
		    X509_LU_CRL;
	return n;
}

static int
compare_digests(const void *one, const void *other)
{
	return memcmp(one, other, DIGEST);
}

static bool
digest_object(const X509_OBJECT *object, uint8_t digest[DIGEST])
{
	const X509 *cert = X509_OBJECT_get0_X509(object);
	/* It is only read. */
	const X509_CRL *crl = X509_OBJECT_get0_X509_CRL(
	    (X509_OBJECT *)(uintptr_t)object);

	if (cert != NULL)
		return X509_digest(cert, EVP_sha256(), digest, NULL) == 1;
	if (crl != NULL)
		return X509_CRL_digest(crl, EVP_sha256(), digest, NULL) == 1;
	memset(digest, 0, DIGEST);
	return true;
}

bool
sc_anchors_digest(const STACK_OF(X509_OBJECT) * objects, uint8_t out[DIGEST])
{
	size_t n = (size_t)sk_X509_OBJECT_num(objects), i;
	uint8_t *digests = calloc(n + 1, DIGEST);
	bool done = digests != NULL;

	for (i = 0; done && i < n; i++)
		done = digest_object(sk_X509_OBJECT_value(objects, (int)i),
		    digests + i * DIGEST);
	if (done) {
		qsort(digests, n, DIGEST, compare_digests);
		done = EVP_Digest(digests, n * DIGEST, out, NULL, EVP_sha256(),
			   NULL) == 1;
	}
	free(digests);
	return done;
}

int64_t
sc_anchors_seconds_until(const ASN1_TIME *moment)
{
	int days, seconds;

	if (moment == NULL ||
	    ASN1_TIME_diff(&days, &seconds, NULL, moment) != 1)
		return INT64_MAX;
	return (int64_t)days * DAY + seconds;
}

static bool
is_of_chain(const X509_CRL *crl, const STACK_OF(X509) * chain)
{
	const X509_NAME *issuer = X509_CRL_get_issuer(crl);

	for (int i = 0; i < sk_X509_num(chain); i++) {
		if (X509_NAME_cmp(issuer,
			X509_get_issuer_name(sk_X509_value(chain, i))) == 0)
			return true;
	}
	return false;
}

int64_t
sc_anchors_crls_end(X509_STORE *store, const STACK_OF(X509) * chain)
{
	STACK_OF(X509_OBJECT) *objects = sc_anchors_borrow(store);
	int64_t end = INT64_MAX, until;
	const X509_CRL *crl;

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		crl = X509_OBJECT_get0_X509_CRL(
		    sk_X509_OBJECT_value(objects, i));
		if (crl == NULL || !is_of_chain(crl, chain))
			continue;
		until = sc_anchors_seconds_until(X509_CRL_get0_nextUpdate(crl));
		if (until < end)
			end = until;
	}
	sc_anchors_return(store, objects);
	return end;
}
