/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One client visits one server, in each of the ways in which TLS resumes, and
 * what became of it; for tests of who may resume.  Knows nothing of caches.
 */
#ifndef SC_TESTS_VISIT_H
#define SC_TESTS_VISIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <check.h>
#include <openssl/ssl.h>

#include "tls.h"

/* --- the ways to resume --------------------------------------------------- */

struct way {
	const char *name;
	int version;
	const char *tickets; /* the setting of the cache */
	uint64_t client_options;
	bool stateless;
};

enum { N_WAYS = 5 };
extern const struct way ways[N_WAYS];

/* A loop test for each way and each case of a table. */
#define WAY (&ways[_i % N_WAYS])
#define CASE (_i / N_WAYS)

struct visit_test {
	const TTest *const *test;
	int cases; /* of its table; 1: none */
};

/* All n; where each takes its time, one in eight, which begin elsewhere each. */
void visit_add_tests(TCase *tc, const struct visit_test *tests, int n);

/* --- visits --------------------------------------------------------------- */

/* What became of one connection. */
struct visit {
	struct tls_outcome outcome;
	bool reused;   /* as the server says */
	bool peer;     /* it has the client's certificate */
	bool asked;    /* data passed to the server */
	bool answered; /* and to the client */
	long verified; /* what became of the certificate: X509_V_... */
};

/* A context for clients; identity may be NULL.  Or the end of the process. */
SSL_CTX *visit_client(const struct way *way,
    const struct tls_identity *identity);

/*
 * One connection that offers a copy of *session (may be NULL), and leaves the
 * client's newest session there if all went well.  The second leaves the
 * session as it is.
 */
struct visit visit(SSL_CTX *server, SSL_CTX *client, const char *name,
    SSL_SESSION **session);
struct visit visit_with(SSL_CTX *server, SSL_CTX *client, const char *name,
    const SSL_SESSION *session);

/* The same with a pair that is at its beginning; it stays the caller's. */
struct visit visit_pair(struct tls_pair *pair);

/* Its end: the pair is freed, and the newest session kept if all went well. */
void visit_end(struct tls_pair *pair, const struct visit *seen,
    SSL_SESSION **session);

bool visit_is_served(const struct visit *seen);
/* Whether no data passed, in either direction. */
bool visit_is_refused(const struct visit *seen);

/* Where in the test, for those who read its failure; static. */
const char *visit_at(const struct way *way, const char *what, const char *step);

/* It was served, by a full handshake or by a resumption. */
void assert_full(const struct visit *seen, const char *where);
void assert_resumed(const struct visit *seen, const char *where);
void assert_visit(const struct visit *seen, bool reused, const char *where);

/*
 * A full handshake that the server ended, for this reason (SSL_R_...) or for
 * what became of the client's certificate (X509_V_...).
 */
void assert_refused(const struct visit *seen, int reason, const char *where);
void assert_not_verified(const struct visit *seen, long error,
    const char *where);

/* No data passed, whatever else happened. */
void assert_never_served(const struct visit *seen, const char *where);

/* --- sessions that travel between processes ------------------------------- */

enum { PARCEL_BYTES = 8192 };

struct parcel {
	uint8_t der[PARCEL_BYTES];
	size_t len; /* 0: no session */
};

void parcel_put(struct parcel *parcel, const SSL_SESSION *session);
/* A new session; NULL: none. */
SSL_SESSION *parcel_get(const struct parcel *parcel);

#endif
