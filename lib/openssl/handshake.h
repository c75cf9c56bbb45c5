/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is known of a connection, and of the handshake that it is in or was in
 * last: README.md beside this file shows the steps.  A handshake stands alone:
 * nothing of it is left to the next one on the same SSL.  Private to openssl/.
 */
#ifndef SC_OPENSSL_HANDSHAKE_H
#define SC_OPENSSL_HANDSHAKE_H

#include "openssl/attachment.h"

/* Whether a connection that was offered a session may go on: see gate.h. */
enum sc_gate {
	SC_GATE_NONE,   /* nothing was offered, or it is not resumed */
	SC_GATE_CLOSED, /* offered, where it leads is not known yet */
	SC_GATE_OPEN,   /* resumed where it belongs */
	SC_GATE_REFUSED /* it led elsewhere */
};

/* A session that was offered to OpenSSL. */
struct sc_offer {
	struct sc_scope scope; /* landed is where it must lead */
	unsigned flags;        /* SC_RECORD_... */
	uint32_t ends_at;      /* on sc_now()'s clock */
	uint16_t cipher;       /* suite of a ticket; 0: the session says it */
	enum sc_uncounted {
		SC_COUNTED,
		SC_A_HIT,   /* of the cache, if it is resumed */
		SC_A_TICKET /* under a shared key */
	} uncounted;
	char *name; /* the server's, that the client sent; or NULL */
};

struct sc_link; /* see link.h */

struct sc_handshake {
	/* Of the connection, for as long as the SSL lives. */
	struct sesscache *handle;   /* it owns a reference */
	SSL_CTX *first;             /* a reference: what SSL_new() got, if it
				       was noticed by then; NULL: not yet */
	sc_info_callback *own_info; /* set on the SSL itself, or NULL */
	bool hooked_now;            /* and ours put there by this very call */
	struct sc_link *link;       /* for its sessions; or NULL */
	bool began_open;            /* its first handshake demanded nothing */
	bool landed_open;           /* nor did it after the callbacks */

	/* Of the handshake. */
	SSL_CTX *started_in; /* current at the start; NULL: not seen */
	bool in_realm;       /* that is named: the first context is */
	bool again;          /* it renegotiates (up to TLS 1.2) */
	bool upgraded;       /* to demand a certificate for the first time */
	bool start_peer;     /* a certificate was demanded from the start */
	int start_level;     /* SSL_get_security_level() */
	uint64_t start_auth; /* and this was the policy; 0: none, or unknown */
	uint64_t place;      /* that its first ClientHello names; 0: none yet */
	enum sc_gate gate;
	int shutdown; /* SSL_get_shutdown() when the gate was closed */
	BIO *watched; /* a reference: see gate.c; or NULL */
	struct sc_offer offer;
	SSL_SESSION *taken; /* for one use, by this very handshake */

	/* Where it landed: when the last ClientHello had been processed. */
	SSL_CTX *landed_in;   /* borrowed; NULL: not seen */
	bool landed_peer;     /* a certificate is demanded there */
	uint64_t landed_auth; /* and this is the policy; 0: none */
};

/*
 * Once in a process; let_go is called when a handshake is forgotten, with the
 * gate closed or not.  False if OpenSSL has no memory.
 */
bool sc_handshakes_init(void (*let_go)(struct sc_handshake *handshake));

/*
 * What is known of a connection; made if need be.  NULL: no memory, or there
 * is no telling which cache is meant.
 */
struct sc_handshake *sc_handshake_of(SSL *ssl);

/* The same, but NULL if nothing is known of it. */
struct sc_handshake *sc_handshake_known(const SSL *ssl);

/* A handshake begins: forget the last one. */
void sc_handshake_reset(struct sc_handshake *handshake);

/* Give up the session that was taken, and the one that was offered. */
void sc_handshake_drop_taken(struct sc_handshake *handshake);
void sc_handshake_drop_offer(struct sc_handshake *handshake);

#endif
