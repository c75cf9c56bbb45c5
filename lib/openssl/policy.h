/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Policies: what decides whether a client is let in, as keyed hashes that are
 * equal where it is the same.  0: it cannot be told, and nothing is resumed.
 *
 * Without client authentication everybody is let in: a policy is the names in
 * the certificate, so that a renewal changes nothing.  With it, what cannot be
 * compared must not be taken for equal: a policy is the context itself, and
 * what may be seen to change about it.  In a named realm that identity gives
 * way to digests of what the context trusts.
 *
 * The policy in force has two halves: what is demanded is the SSL's, what is
 * trusted is the current SSL_CTX's.  Must not know handshakes.  Private to
 * openssl/.
 */
#ifndef SC_OPENSSL_POLICY_H
#define SC_OPENSSL_POLICY_H

#include "openssl/attachment.h"

/* What an SSL demands now; false: more than can be compared. */
bool sc_policy_demands(struct sc_demands *out, SSL *ssl);

/* The policy of a context without client authentication. */
uint64_t sc_policy_open(struct sc_cache *cache, SSL_CTX *ctx);

/* Whether that is of a realm which the application has named. */
bool sc_policy_is_of_realm(uint64_t open);

/*
 * The policy of a context, under certain demands, with client authentication:
 * 0 also if ctx is not attached to this cache.  ssl is a connection of it.
 */
uint64_t sc_policy_auth(struct sc_cache *cache, SSL *ssl, SSL_CTX *ctx,
    const struct sc_demands *demands);

/* Whether the certificate that an SSL serves is good for a server name. */
bool sc_policy_covers(const SSL *ssl, const char *name);

#endif
