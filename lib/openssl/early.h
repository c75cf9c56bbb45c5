/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Early data, and other sessions that are for one use.  Private to openssl/.
 */
#ifndef SC_OPENSSL_EARLY_H
#define SC_OPENSSL_EARLY_H

#include <stdbool.h>

#include <openssl/ssl.h>

#include "api/handle.h"

/*
 * Early data must not be played again to another worker.  OpenSSL's own guard
 * knows the sessions of its process only, and resumes none that it does not
 * know; ours is that a session is taken out of the cache by its first use.
 * Whoever has turned off single use and OpenSSL's guard too wants neither.
 */
void sc_early_guard_ctx(const struct sesscache *handle, SSL_CTX *ctx);

/* The application may have asked for it after the attach, or for this one. */
void sc_early_guard(const struct sesscache *handle, SSL *ssl);

/* Whether a session that is made now is for one use (TLS 1.3). */
bool sc_early_is_once(const struct sesscache *handle, const SSL *ssl);

#endif
