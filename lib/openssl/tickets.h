/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ticket-key callback: tickets that hold their session (RFC 5077, and of
 * RFC 8446 those that are not stateful) under the keys that all workers share.
 * Private to openssl/.
 */
#ifndef SC_OPENSSL_TICKETS_H
#define SC_OPENSSL_TICKETS_H

#include <stdbool.h>

#include <openssl/ssl.h>

/* Once in a process; false if OpenSSL has no memory. */
bool sc_tickets_init(void);

/*
 * Have an SSL_CTX use the shared keys.  What the application has set before
 * is replaced, what it sets afterwards replaces this.
 */
void sc_tickets_install(SSL_CTX *ctx);

#endif
