/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ticket key that an application sets by itself, in either kind of OpenSSL's
 * callbacks.  It seals and opens, and asks for tickets to be renewed.
 */
#ifndef SC_TESTS_OWNKEY_H
#define SC_TESTS_OWNKEY_H

#include <openssl/ssl.h>

/* How often it was asked to, since the key was made. */
struct own_key {
	int sealed;
	int opened;
};

extern struct own_key own_key;

/* Another key, which has not been asked for anything. */
void own_key_make(void);

/* Have tickets of ctx under it. */
void own_key_set(SSL_CTX *ctx);
#ifndef OPENSSL_NO_DEPRECATED_3_0
void own_key_set_by_old_callback(SSL_CTX *ctx);
#endif

#endif
