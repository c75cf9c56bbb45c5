/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a session asked for, and where it landed: in the place of guesses, each
 * session says both.
 *
 *	asked    the policy of the first SSL_CTX as the handshake began, and
 *	         the server name that was sent.  A lookup compares it: nothing
 *	         needs to be learned before.  In a named realm the name of the
 *	         server does not matter.
 *	landed   the policy where the client was authenticated, after all
 *	         callbacks.  Compared when they have run again.
 *
 * Private to openssl/.
 */
#ifndef SC_OPENSSL_SCOPE_H
#define SC_OPENSSL_SCOPE_H

#include "openssl/handshake.h"
#include "openssl/hello.h"

/* A handshake begins; or it began, unseen: as its first context says then. */
void sc_scope_begin(SSL *ssl, struct sc_handshake *handshake);
void sc_scope_begin_late(SSL *ssl, struct sc_handshake *handshake);

/*
 * While the ClientHello is processed: what a session must say.  with_auth:
 * also one of a client that authenticated where nothing was demanded.  False:
 * none is good.
 */
bool sc_scope_terms(SSL *ssl, struct sc_handshake *handshake,
    const struct sc_name *name, bool with_auth, struct sc_terms *terms);

/* The ClientHello has been processed: note where that led. */
void sc_scope_land(SSL *ssl, struct sc_handshake *handshake);

/*
 * Whether the session that was offered belongs there; else *landed is what
 * may be offered from now on, 0: nothing.  What OpenSSL resumes need not be
 * what was offered, but a key of the application's.
 */
bool sc_scope_holds(SSL *ssl, struct sc_handshake *handshake, uint64_t *landed);

/*
 * What a session says that is stored, or sealed in a ticket, now; what comes
 * of a resumption says what its parent did.  False: it may be neither.
 */
bool sc_scope_of_session(SSL *ssl, struct sc_handshake *handshake,
    SSL_SESSION *session, struct sc_scope *scope, unsigned *flags);

#endif
