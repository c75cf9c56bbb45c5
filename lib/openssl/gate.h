/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gate.  OpenSSL looks a session up before the callbacks run that say
 * where the connection leads, and cannot be made to forget one that it
 * resumes.  So a session that is offered closes the gate: nothing passes until
 * the check has run, or at all if it never does.
 *
 * The check is run by the info callback, or, where the application took that
 * away meanwhile, by a callback on the BIO that the first flight goes through.
 * Private to openssl/.
 */
#ifndef SC_OPENSSL_GATE_H
#define SC_OPENSSL_GATE_H

#include "openssl/handshake.h"
#include "openssl/hello.h"

/* Once in a process; false if OpenSSL has no memory. */
bool sc_gate_init(void);

/* A handshake begins: have its first flight looked at. */
void sc_gate_watch(SSL *ssl, struct sc_handshake *handshake);

/*
 * A session is offered that meets the terms, to who sent this server name.  Of
 * the offer the caller sets ends_at, cipher and uncounted.
 */
void sc_gate_offer(SSL *ssl, struct sc_handshake *handshake,
    const struct sc_offer *offer, const struct sc_terms *terms,
    const struct sc_name *name);

/* The same once more, after a HelloRetryRequest. */
void sc_gate_close(SSL *ssl, struct sc_handshake *handshake);

/*
 * The ClientHello has been processed, and nothing sent: if the gate is closed,
 * open it where the session leads to where it landed, or was not resumed.
 */
void sc_gate_check(SSL *ssl, struct sc_handshake *handshake);

/*
 * The same, as the step of a handshake that it is, whether or not anything was
 * offered: note where it landed, and with what session.  handshake may be
 * NULL.
 */
void sc_gate_hello_done(SSL *ssl, struct sc_handshake *handshake);

#endif
