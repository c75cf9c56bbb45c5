/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trust stores: what an SSL_CTX verifies clients with, as far as it can be
 * seen.  A store's lookups cannot.  Private to openssl/.
 */
#ifndef SC_OPENSSL_ANCHORS_H
#define SC_OPENSSL_ANCHORS_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>
#include <openssl/x509.h>

/* The store of a context; borrowed. */
X509_STORE *sc_anchors_of(SSL_CTX *ctx);

/* Its objects, until they are given back; NULL: no memory, or none. */
STACK_OF(X509_OBJECT) * sc_anchors_borrow(X509_STORE *store);
void sc_anchors_return(X509_STORE *store, STACK_OF(X509_OBJECT) * objects);

int sc_anchors_crls(const STACK_OF(X509_OBJECT) * objects);

/* SHA-256 of certificates and CRLs, in whatever order they came. */
bool sc_anchors_digest(const STACK_OF(X509_OBJECT) * objects, uint8_t out[32]);

/*
 * Seconds until the first ends of the CRLs that say something of a chain;
 * INT64_MAX: there is none.
 */
int64_t sc_anchors_crls_end(X509_STORE *store, const STACK_OF(X509) * chain);

/* Seconds until a moment, less than 0 if it is past; INT64_MAX: no telling. */
int64_t sc_anchors_seconds_until(const ASN1_TIME *moment);

#endif
