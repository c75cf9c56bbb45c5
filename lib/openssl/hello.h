/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ClientHello that is being processed: while a session is looked up, and
 * at no other time.  Private to openssl/.
 */
#ifndef SC_OPENSSL_HELLO_H
#define SC_OPENSSL_HELLO_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

enum { SC_NAME_MAX = 255 /* bytes of a server name */ };

/* The server name that was sent, in lower case; "": none. */
struct sc_name {
	size_t len;
	char text[SC_NAME_MAX + 1];
};

/* From the ClientHello (RFC 6066, section 3); and afterwards, from the SSL. */
void sc_name_read(struct sc_name *out, SSL *ssl);
void sc_name_recall(struct sc_name *out, const SSL *ssl);

/* Whether the ClientHello brings early data (RFC 8446, section 4.2.10). */
bool sc_hello_brings_early_data(SSL *ssl);

#endif
