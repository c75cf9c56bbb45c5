/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server whose names all lead to one host, which one is the test's to say;
 * and what happens to a connection on the way there.
 */
#ifndef SC_TESTS_STREET_H
#define SC_TESTS_STREET_H

#include <openssl/ssl.h>

#include "policy.h"
#include "sesscache.h"
#include "visit.h"

extern const struct policy street_front_policy;
extern const struct policy street_open_policy;
extern const struct policy street_strict_policy;

typedef void street_event(SSL *ssl);

/* If there is one. */
void street_happen(street_event *what, SSL *ssl);

/* Where every name leads. */
struct street_lead {
	SSL_CTX *host;
	street_event *before; /* the switch; NULL: nothing, as in the next */
	street_event *after;
};
extern struct street_lead street_lead;

/* The server-name callback that goes there. */
int street_on_name(SSL *ssl, int *alert, void *arg);

struct street {
	const struct way *way;
	const char *what;        /* happens there */
	struct sesscache *cache; /* NULL: OpenSSL alone */
	SSL_CTX *front;
	SSL_CTX *open;   /* where names lead at first */
	SSL_CTX *strict; /* demands a certificate */
	SSL_CTX *stray;  /* not attached, and not of the name */
	SSL_CTX *nobody; /* clients */
	SSL_CTX *member;
};

struct sesscache *street_cache(const struct way *way, const char *single_use);

/* A context of this policy; cache may be NULL. */
SSL_CTX *street_server(struct sesscache *cache, const struct way *way,
    const struct policy *policy);

/* Takes the cache, which may be NULL. */
void street_open(struct street *street, const struct way *way, const char *what,
    struct sesscache *cache);
void street_close(struct street *street);

/* The server wants another key share, and so another ClientHello. */
void street_ask_again(struct street *street);

/* As visit_at(). */
const char *street_at(const struct street *street, const char *step);

/* An event: the application sets an info callback that calls no other. */
void street_take_info(SSL *ssl);

#endif
