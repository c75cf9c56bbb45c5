/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Realms: sessions of one never resume in another.  The realm of a connection
 * is named by the application, or it is the policy that authenticates and
 * authorises its peers, with the server name: leaf certificates of the
 * SSL_CTX, verify mode and depth, names of client CAs, session ID context.
 *
 * The policy that counts is the one in force after the callbacks that may
 * switch the SSL_CTX; when a session is looked up it can only be predicted.
 * Private to openssl/.
 */
#ifndef SC_OPENSSL_REALM_H
#define SC_OPENSSL_REALM_H

#include "openssl/connection.h"

/* A context has been attached: if it has a certificate, note its policy. */
void sc_realm_note(SSL_CTX *ctx, struct sc_attachment *attachment);

/*
 * While the ClientHello is read: the realm that the connection will turn out
 * to be in, also kept in connection->predicted.  0: there is no telling yet,
 * so that nothing can be resumed.
 */
uint64_t sc_realm_predict(SSL *ssl, struct sc_connection *connection);

/*
 * Afterwards, and cheap: whether nothing has changed that makes the realm.
 * False: settle it.
 */
bool sc_realm_is_as_predicted(SSL *ssl, const struct sc_connection *connection);

/*
 * Afterwards: the realm that it is in, learned for the next prediction.  0:
 * no memory, nothing can be stored.  A connection that resumed what belongs
 * to another realm, and where client certificates are demanded, is closed.
 */
uint64_t sc_realm_settle(SSL *ssl, struct sc_connection *connection);

/* Two policies of SSL_CTXs; false if one is not known. */
bool sc_policy_is_same(const struct sc_policy *policy,
    const struct sc_policy *other);

/* Have a policy own the one that it replaces: threads may be reading it. */
void sc_policy_keep(struct sc_policy *policy, struct sc_policy *older);
void sc_policy_free(struct sc_policy *policy);

#endif
