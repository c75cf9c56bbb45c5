/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where server names led: to which realm, from which SSL_CTX.  OpenSSL looks
 * a session up before the application's server-name callback runs, so where
 * a name leads is known from the last connection only.
 *
 * A table in anonymous memory, which a child of fork() shares with its parent
 * and its siblings: what one connection has shown, all know.  It forgets when
 * it is full; that costs a full handshake.  Private to openssl/.
 */
#ifndef SC_OPENSSL_NAMES_H
#define SC_OPENSSL_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Make the table if there is none; anew: one that nobody else has, in any
 * case.  False if there is no memory.  One thread at a time.
 */
bool sc_names_open(bool anew);

/* The realm that was learned for a key, or 0.  Keys are hashes, never 0. */
uint64_t sc_names_find(uint64_t key);
void sc_names_learn(uint64_t key, uint64_t realm);

#endif
