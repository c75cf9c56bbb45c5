/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions that are looked up, and those that OpenSSL removes.  Private to
 * openssl/.
 */
#ifndef SC_OPENSSL_LOOKUP_H
#define SC_OPENSSL_LOOKUP_H

#include <openssl/ssl.h>

/* For SSL_CTX_sess_set_get_cb() and SSL_CTX_sess_set_remove_cb(). */
SSL_SESSION *sc_lookup_callback(SSL *ssl, const unsigned char *id, int id_len,
    int *copy);
void sc_lookup_remove(SSL_CTX *ctx, SSL_SESSION *session);

#endif
