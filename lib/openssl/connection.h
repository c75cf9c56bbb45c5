/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the callbacks know of an SSL_CTX that is attached, and of a connection
 * between one callback and the next.  Private to openssl/.
 *
 * Only the callbacks of the SSL_CTX that SSL_new() got count, but after a
 * switch by the server name SSL_get_SSL_CTX() returns another one, maybe
 * without our data: what a connection began with is kept with it.
 */
#ifndef SC_OPENSSL_CONNECTION_H
#define SC_OPENSSL_CONNECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

#include "api/handle.h"

enum { SC_REALM_MAX = 255 }; /* bytes of a realm's name */

struct sc_policy; /* see realm.c */

typedef void sc_info_callback(const SSL *ssl, int where, int ret);

/* An SSL_CTX that is attached. */
struct sc_attachment {
	struct sesscache *handle;
	uint64_t id;                  /* no other one in this process has it */
	char realm[SC_REALM_MAX + 1]; /* "": by its policy */
	unsigned char id_context[SSL_MAX_SID_CTX_LENGTH];
	unsigned id_context_len;
	sc_info_callback *own_info;         /* the application's, or NULL */
	_Atomic(struct sc_policy *) policy; /* NULL: not known yet */
	struct sc_attachment *prev, *next;
};

struct sc_connection {
	struct sesscache *handle;   /* it owns a reference */
	uint64_t first_id;          /* of the attachment it began with, or 0 */
	sc_info_callback *own_info; /* set on the SSL itself, or NULL */
	uint64_t predicted; /* realm of what is offered; 0: nothing is */
	uint32_t ends_at;   /* of what is resumed; 0: nothing is */
	bool ticket;        /* a shared key opened what was offered */
	bool refused;       /* it turned out to be of another realm */
	SSL_SESSION *taken; /* single use, by this very handshake */
	uint64_t name;      /* hash of the server's; 0: not known yet */
	uint64_t policy;    /* hash of the last that was seen; 0: none */
	uint64_t of_policy; /* realm that it makes with the name */
};

/*
 * Once in a process; begun is called for each connection that becomes known.
 * False if OpenSSL has no memory.
 */
bool sc_connection_init(
    void (*begun)(SSL *ssl, struct sc_connection *connection));

/* The attachment of an SSL_CTX, or NULL. */
struct sc_attachment *sc_attachment_of(const SSL_CTX *ctx);

/* Attach; the SSL_CTX frees it.  False: no memory. */
bool sc_attachment_add(SSL_CTX *ctx, struct sc_attachment *attachment);

/* How often an SSL_CTX was attached in this process, or in one it is from. */
uint64_t sc_attachment_generation(void);

/*
 * Whether all attachments are known to have the same policy, so that none
 * can be switched to that has another.
 */
bool sc_attachment_is_uniform(void);

/* Let an attachment have its policy known; the old one is kept beside it. */
void sc_attachment_set_policy(struct sc_attachment *attachment,
    struct sc_policy *policy);

/*
 * What is known of a connection; made if need be.  NULL: no memory, or there
 * is no telling which cache is meant, which is counted.
 */
struct sc_connection *sc_connection_of(SSL *ssl);

/* The same, but NULL if nothing is known of it. */
struct sc_connection *sc_connection_known(const SSL *ssl);

/* A handshake begins: forget the last one. */
void sc_connection_start(struct sc_connection *connection);

/* Give up the session that was taken. */
void sc_connection_drop_taken(struct sc_connection *connection);

#endif
