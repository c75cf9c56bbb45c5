/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which connection a session is of, while that lives: OpenSSL says so to
 * nobody who is told that a session is removed.  Private to openssl/.
 */
#ifndef SC_OPENSSL_LINK_H
#define SC_OPENSSL_LINK_H

#include <stdbool.h>

#include <openssl/ssl.h>

struct sc_link;

/* Once in a process; false if OpenSSL has no memory. */
bool sc_links_init(void);

/* Let a session of a server know its connection; *link is made if need be. */
void sc_link_session(struct sc_link **link, SSL *ssl, SSL_SESSION *session);

/* The connection ends: its sessions know none.  NULL is accepted. */
void sc_link_cut(struct sc_link *link);

/* Why OpenSSL removes a session. */
enum sc_removal {
	SC_REMOVAL_UNKNOWN, /* it is of no server's connection */
	SC_REMOVAL_CALLED,  /* SSL_CTX_remove_session(), by the application */
	SC_REMOVAL_FAILED,  /* its connection failed: RFC 5246, 7.2.2 */
	SC_REMOVAL_RUDE,    /* that was not closed as the protocol says */
	SC_REMOVAL_ORPHAN,  /* its connection is gone */
};

enum sc_removal sc_link_removal(const SSL_SESSION *session);

#endif
