/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Certificates with issuers, names and purposes, and revocation lists, for
 * tests of how peers are verified.  Knows nothing of connections.
 */
#ifndef SC_TESTS_PKI_H
#define SC_TESTS_PKI_H

#include <stdbool.h>

#include <openssl/x509.h>

#include "tls.h"

/* What a certificate is to say; what is NULL or false is not said. */
struct pki_request {
	const char *name;                  /* the common name */
	const char *san;                   /* as "DNS:a.example,email:a@b" */
	const char *usage;                 /* as "clientAuth" */
	const struct tls_identity *issuer; /* NULL: signs itself */
	const char *issuer_name;           /* where that is to be a lie */
	EVP_PKEY *key;                     /* NULL: a new one, P-256 */
	const char *curve;                 /* of a new key that is not P-256 */
	bool authority;                    /* may sign others */
};

/* The caller releases *out with tls_identity_free(). */
bool pki_issue(struct tls_identity *out, const struct pki_request *request);

/* A list of what an issuer revoked: one certificate, or none if it is NULL. */
X509_CRL *pki_revoke(const struct tls_identity *issuer, X509 *revoked);

/* Write a certificate into a directory, as SSL_CTX_load_verify_dir() reads. */
bool pki_write(const X509 *cert, const char *dir);

#endif
