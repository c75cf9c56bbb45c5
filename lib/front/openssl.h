/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A TLS session as the inspection shows it.  The rest of openssl.c is
 * sesscache_attach(), which the public header declares.
 */
#ifndef SC_FRONT_OPENSSL_H
#define SC_FRONT_OPENSSL_H

#include <stddef.h>
#include <stdint.h>

struct sc_session_text {
	const char *protocol;  /* static; NULL: not a TLS session */
	const char *cipher;    /* static; NULL: not known */
	char server_name[256]; /* "": none */
};

/* Describe stored bytes; bytes that are no session give NULL and "". */
void sc_session_describe(struct sc_session_text *out, const uint8_t *data,
    size_t len);

#endif
