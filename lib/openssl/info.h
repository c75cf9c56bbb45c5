/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The info callback: it sees the steps of a handshake go by.  The
 * application's own is called, once for each step, whether it was set before
 * ours, after, or calls ours itself.  Private to openssl/.
 */
#ifndef SC_OPENSSL_INFO_H
#define SC_OPENSSL_INFO_H

#include "openssl/handshake.h"

/* For an SSL_CTX; and for an SSL, whose callback stays in a switch. */
void sc_info_install(SSL_CTX *ctx, struct sc_attachment *attachment);
void sc_info_hook(SSL *ssl, struct sc_handshake *handshake);

/*
 * In the ClientHello, where a session is looked up: if the application took
 * our callback away, put it back; what was missed is made up for.
 */
void sc_info_catch_up(SSL *ssl, struct sc_handshake *handshake);

#endif
