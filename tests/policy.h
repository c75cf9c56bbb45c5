/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a server demands of its clients and shows to them: every way in which
 * two contexts can differ, in one struct, and a table of pairs that differ in
 * one thing each.  Knows nothing of caches.
 */
#ifndef SC_TESTS_POLICY_H
#define SC_TESTS_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "tls.h"

/* The name under which clients visit. */
#define POLICY_NAME "a.example"

enum who {
	NO_ONE,
	/* who sign others */
	STAFF,       /* an authority */
	PARTNERS,    /* another one */
	STAFF_AGAIN, /* has the name of the first, and another key */
	DEPARTMENT,  /* signed by the first */
	/* servers */
	FRONT,
	HOST_A,
	HOST_A_RENEWED, /* the same names, another key */
	HOST_A_MORE,    /* one more name */
	HOST_A_LARGE,   /* P-384 */
	HOST_B,         /* other names */
	/* clients */
	MEMBER,    /* of the staff */
	SUBMEMBER, /* of the department */
	STRANGER,  /* who names the staff's authority, but signed itself */
	N_WHO
};

enum crl { NO_CRL, CRL_OF_NOTHING, CRL_OF_MEMBER };

typedef int verify_callback(int verified, X509_STORE_CTX *store);

struct policy {
	enum who leaf;
	bool by_callback; /* the certificate, in each handshake */
	int verify;
	verify_callback *callback;
	int depth;        /* 0: OpenSSL's default */
	unsigned trusted; /* a bit each, 1 << enum who; 0: as it is */
	enum crl crl;
	unsigned long flags; /* X509_V_FLAG_... */
	const char *host;    /* that a client's certificate must name */
	const char *email;
	int purpose;            /* 0: as it is */
	int level;              /* 0: as it is */
	const char *id_context; /* NULL: none is set, as in the next ones */
	const char *authorities;
	const char *cipher;      /* of TLS 1.2 */
	const char *ciphersuite; /* of TLS 1.3 */
	uint64_t options;
	const char *realm; /* for who attaches */
};

/* What a pair of policies differs in, where that decides what may resume. */
enum kind {
	NAMES,    /* of the server, which do not cover the other's */
	COVERED,  /* of the server, which do */
	RENEWAL,  /* the server's key, not its names */
	SUPPLIER, /* who supplies the server's certificate */
	CLIENTS,  /* how clients are verified */
	CALLBACK, /* the same, which only shows in the context that has it */
	UNSEEN,   /* the same, which does not show there either */
	HINT,     /* what clients are told about it */
	ID_CONTEXT,
	REALM,
	NARROWER, /* the second cannot make the sessions of the first */
	DISJOINT, /* neither can make those of the other */
};

struct policy_pair {
	const char *name;
	enum kind kind;
	enum who client;
	int version;        /* TLS1_x_VERSION: there alone; 0: everywhere */
	bool refused;       /* the second refuses the client */
	bool fixed;         /* a context cannot change from one to the other */
	bool grows;         /* it can by getting a CRL more */
	const char *groups; /* of the client; NULL: as it is */
	struct policy one;
	struct policy two;
};

extern const struct policy_pair policy_pairs[];
extern const int policy_pairs_count;

/* Unchecked fixture: the directory of the tests, and the identities, which must
 * be there before anything else is called. */
void policy_world_make(void);
void policy_world_remove(void);
const struct tls_identity *policy_identity(enum who who);

/* The caller frees them.  A client offers AES with 128 bits first. */
SSL_CTX *policy_server_new(const struct policy *policy, int version);
SSL_CTX *policy_client_new(enum who who, const char *groups, int version);

/*
 * Change a context to another policy: all that it says of it.  If it grows,
 * its store stays and gets the CRL.
 */
void policy_apply(SSL_CTX *ctx, const struct policy *policy, bool grows);

/*
 * Have a connection go on with a context and with all that it demands, as a
 * careful server-name callback does: SSL_set_SSL_CTX() alone leaves it the
 * verify mode and the parameters that it has.
 */
bool policy_switch(SSL *ssl, SSL_CTX *ctx);

/* Whether clients are asked for a certificate, now or later. */
bool policy_asks(const struct policy *policy);

#endif
