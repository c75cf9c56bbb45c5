/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See pki.h.
 */
#include "pki.h"

#include <stdio.h>
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

enum {
	VALID_SECONDS = 24 * 60 * 60, /* before and after now */
	PATH_BYTES = 4096,
};

static X509_NAME *
new_name(const char *name)
{
	X509_NAME *made = X509_NAME_new();

	if (made != NULL &&
	    X509_NAME_add_entry_by_txt(made, "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0) != 1) {
		X509_NAME_free(made);
		made = NULL;
	}
	return made;
}

static bool
set_names(X509 *cert, const struct pki_request *request)
{
	const char *other = request->issuer_name;
	X509_NAME *own = new_name(request->name);
	X509_NAME *signer = other != NULL ? new_name(other) : NULL;
	const X509_NAME *issuer = own;
	bool done;

	if (signer != NULL)
		issuer = signer;
	else if (request->issuer != NULL)
		issuer = X509_get_subject_name(request->issuer->cert);
	done = own != NULL && X509_set_subject_name(cert, own) == 1 &&
	    X509_set_issuer_name(cert, issuer) == 1;
	X509_NAME_free(own);
	X509_NAME_free(signer);
	return done;
}

/* Random, so that no two of an issuer are alike. */
static bool
set_serial(X509 *cert)
{
	uint32_t serial;

	return RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
	    ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert),
		UINT64_C(1) + serial) == 1;
}

static bool
add_extension(X509 *cert, X509V3_CTX *context, int nid, const char *value)
{
	X509_EXTENSION *extension;
	bool done;

	if (value == NULL)
		return true;
	extension = X509V3_EXT_conf_nid(NULL, context, nid, value);
	done = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return done;
}

/* Key identifiers, so that a new key of an old name is another issuer. */
static bool
add_extensions(X509 *cert, const struct pki_request *request)
{
	const struct tls_identity *issuer = request->issuer;
	bool authority = request->authority;
	X509V3_CTX context;

	X509V3_set_ctx(&context, issuer != NULL ? issuer->cert : cert, cert,
	    NULL, NULL, 0);
	return add_extension(cert, &context, NID_basic_constraints,
		   authority ? "critical,CA:TRUE" : "CA:FALSE") &&
	    add_extension(cert, &context, NID_key_usage,
		authority ? "critical,keyCertSign,cRLSign" : NULL) &&
	    add_extension(cert, &context, NID_ext_key_usage, request->usage) &&
	    add_extension(cert, &context, NID_subject_alt_name, request->san) &&
	    add_extension(cert, &context, NID_subject_key_identifier, "hash");
}

static bool
fill(struct tls_identity *out, const struct pki_request *request)
{
	X509 *cert = out->cert;
	EVP_PKEY *signer = out->key;

	if (request->issuer != NULL)
		signer = request->issuer->key;
	return X509_set_version(cert, X509_VERSION_3) == 1 &&
	    set_serial(cert) && set_names(cert, request) &&
	    X509_gmtime_adj(X509_getm_notBefore(cert), -VALID_SECONDS) !=
	    NULL &&
	    X509_gmtime_adj(X509_getm_notAfter(cert), VALID_SECONDS) != NULL &&
	    X509_set_pubkey(cert, out->key) == 1 &&
	    add_extensions(cert, request) &&
	    X509_sign(cert, signer, EVP_sha384()) > 0;
}

bool
pki_issue(struct tls_identity *out, const struct pki_request *request)
{
	const char *curve = request->curve != NULL ? request->curve : "P-256";

	out->cert = X509_new();
	out->key = request->key;
	if (out->key == NULL)
		out->key = EVP_EC_gen(curve);
	else if (EVP_PKEY_up_ref(out->key) != 1)
		out->key = NULL;
	if (out->key == NULL || out->cert == NULL || !fill(out, request)) {
		tls_identity_free(out);
		return false;
	}
	return true;
}

static bool
add_revoked(X509_CRL *crl, X509 *cert)
{
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, 0);
	bool done;

	done = entry != NULL && now != NULL &&
	    X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert)) ==
		1 &&
	    X509_REVOKED_set_revocationDate(entry, now) == 1 &&
	    X509_CRL_add0_revoked(crl, entry) == 1;
	if (!done)
		X509_REVOKED_free(entry);
	ASN1_TIME_free(now);
	return done;
}

static bool
fill_crl(X509_CRL *crl, const struct tls_identity *issuer, X509 *revoked)
{
	/* Of two that are valid the later one counts. */
	ASN1_TIME *last = X509_gmtime_adj(NULL,
	    revoked != NULL ? -VALID_SECONDS / 2 : -VALID_SECONDS);
	ASN1_TIME *next = X509_gmtime_adj(NULL, VALID_SECONDS);
	bool done;

	done = last != NULL && next != NULL &&
	    X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
	    X509_CRL_set_issuer_name(crl,
		X509_get_subject_name(issuer->cert)) == 1 &&
	    X509_CRL_set1_lastUpdate(crl, last) == 1 &&
	    X509_CRL_set1_nextUpdate(crl, next) == 1 &&
	    (revoked == NULL || add_revoked(crl, revoked)) &&
	    X509_CRL_sort(crl) == 1 &&
	    X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0;
	ASN1_TIME_free(last);
	ASN1_TIME_free(next);
	return done;
}

X509_CRL *
pki_revoke(const struct tls_identity *issuer, X509 *revoked)
{
	/* A store tells CRLs apart by their bytes, of which one that was never
	 * encoded has none. */
	X509_CRL *crl = X509_CRL_new(), *copy = NULL;

	if (crl != NULL && fill_crl(crl, issuer, revoked))
		copy = X509_CRL_dup(crl);
	X509_CRL_free(crl);
	return copy;
}

bool
pki_write(const X509 *cert, const char *dir)
{
	char path[PATH_BYTES];
	FILE *file;
	bool done;
	int n;

	n = snprintf(path, sizeof(path), "%s/%08lx.0", dir,
	    X509_NAME_hash_ex(X509_get_subject_name(cert), NULL, NULL, NULL));
	if (n < 0 || n >= (int)sizeof(path))
		return false;
	file = fopen(path, "we");
	if (file == NULL)
		return false;
	done = PEM_write_X509(file, cert) == 1;
	return fclose(file) == 0 && done;
}
