/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Session IDs that say where the record is.  Private to openssl/.
 */
#ifndef SC_OPENSSL_NEWID_H
#define SC_OPENSSL_NEWID_H

#include <openssl/ssl.h>

/* For SSL_CTX_set_generate_session_id(). */
int sc_newid_callback(SSL *ssl, unsigned char *id, unsigned *id_len);

#endif
