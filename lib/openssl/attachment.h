/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An SSL_CTX that is attached, and what is kept with it.  Knows what belongs
 * to a context; must not know connections.  Private to openssl/.
 */
#ifndef SC_OPENSSL_ATTACHMENT_H
#define SC_OPENSSL_ATTACHMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "api/handle.h"

enum {
	SC_REALM_MAX = 255,  /* bytes of a realm's name */
	SC_IDENTITY = 16,    /* bytes, random */
	SC_DIGEST = 32,      /* bytes of SHA-256 */
	SC_PARAMS_MAX = 384, /* bytes of what is read of a parameter set */
};

typedef void sc_info_callback(const SSL *ssl, int where, int ret);
typedef int sc_new_callback(SSL *ssl, SSL_SESSION *session);
typedef void sc_remove_callback(SSL_CTX *ctx, SSL_SESSION *session);
typedef int sc_security_callback(const SSL *ssl, const SSL_CTX *ctx,
    int operation, int bits, int nid, void *other, void *arg);

/* An X509_VERIFY_PARAM as far as it can be seen, and what goes with it. */
struct sc_params {
	size_t len;
	uint8_t bytes[SC_PARAMS_MAX];
};

/* What a connection demands of its client, as its SSL says. */
struct sc_demands {
	int mode; /* SSL_VERIFY_...; without PEER the rest is empty */
	SSL_verify_cb callback;
	sc_security_callback *security;
	struct sc_params params;
};

/* What a context trusts, and the last policy that was worked out with it. */
struct sc_trust {
	X509_STORE *store; /* a reference, so that no other has its address */
	int objects;       /* in the store, when they were looked through */
	int crls;          /* of these */
	struct sc_params params;   /* of the store, and its callbacks */
	uint8_t what[SC_DIGEST];   /* named realm: digest of the store; else a
				     random identity, another after a change */
	struct sc_demands demands; /* of the policy */
	uint64_t policy;           /* keyed hash; 0: none yet */
};

struct sc_attachment {
	struct sesscache *handle;      /* it owns a reference */
	char realm[SC_REALM_MAX + 1];  /* "": none is named */
	uint8_t identity[SC_IDENTITY]; /* random; inherited by fork() */
	/* The application's, from before the attach; NULL: none. */
	sc_info_callback *own_info;
	sc_new_callback *own_new;
	sc_remove_callback *own_remove;
	/* The policy without client authentication: see policy.h. */
	_Atomic(const void *) subject; /* certificate or key that it is of */
	_Atomic uint64_t open;
	/* Guarded by sc_attachments_lock(). */
	X509 *cert;    /* a reference: the subject, or NULL */
	EVP_PKEY *key; /* likewise */
	struct sc_trust trust;
};

/* Once in a process; false if OpenSSL has no memory. */
bool sc_attachments_init(void);

/* Held by nobody during a fork(). */
void sc_attachments_lock(void);
void sc_attachments_unlock(void);

/* The attachment of an SSL_CTX, or NULL. */
struct sc_attachment *sc_attachment_of(const SSL_CTX *ctx);

/*
 * Make one; the caller frees it, or adds it to an SSL_CTX, which then does.
 * NULL: no memory, or no random bytes.  SESSCACHE_EXISTS: another thread was
 * first; SESSCACHE_ENOMEM.
 */
struct sc_attachment *sc_attachment_new(struct sesscache *handle,
    const char *realm);
void sc_attachment_free(struct sc_attachment *attachment);
enum sesscache_status sc_attachment_add(SSL_CTX *ctx,
    struct sc_attachment *attachment) SESSCACHE_MUST_CHECK;

/*
 * The handle of all attachments of the process; NULL: there is none, or there
 * have been several at once.
 */
struct sesscache *sc_attachments_sole(void);

/* Count a connection of an unknown cache where somebody may look. */
void sc_attachments_count_lost(void);

#endif
