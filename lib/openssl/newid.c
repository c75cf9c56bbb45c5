/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See newid.h.
 */
#include "openssl/newid.h"

#include <openssl/rand.h>

#include "openssl/info.h"
#include "openssl/newsession.h"
#include "openssl/quiet.h"
#include "openssl/session.h"

/* An ID that is an address, if the session will be stored. */
static enum sesscache_status
make_address(struct sc_handshake *handshake, const SSL *ssl, unsigned char *id,
    unsigned *id_len)
{
	enum sesscache_status status;

	/* OpenSSL asks for the usual 32 bytes, an application may not. */
	if (handshake == NULL || *id_len < SESSCACHE_ID_LEN ||
	    !sc_newsession_is_looked_up(ssl))
		return SESSCACHE_MISS;
	status = sc_cache_new_id(handshake->handle->cache, id);
	if (status == SESSCACHE_OK)
		*id_len = SESSCACHE_ID_LEN;
	else
		sc_session_failed(handshake->handle, "new ID", status);
	return status;
}

/*
 * Up to TLS 1.2 OpenSSL asks in the ClientHello of a full handshake, and in TLS
 * 1.3 when it makes a ticket, of either kind, from the session: then is the
 * time to set when that ends.
 */
static void
prepare(SSL *ssl, struct sc_handshake *handshake)
{
	SSL_SESSION *session = SSL_get_session(ssl);

	if (SSL_version(ssl) != TLS1_3_VERSION) {
		sc_info_catch_up(ssl, handshake);
	} else if (session != NULL) {
		sc_session_limit(handshake, ssl, session);
		sc_session_ensure_context(ssl, session);
	}
}

int
sc_newid_callback(SSL *ssl, unsigned char *id, unsigned *id_len)
{
	struct sc_handshake *handshake;
	struct sc_quiet quiet;
	int done = 1;

	sc_quiet_begin(&quiet);
	handshake = sc_handshake_of(ssl);
	if (handshake != NULL)
		prepare(ssl, handshake);
	if (make_address(handshake, ssl, id, id_len) != SESSCACHE_OK)
		done = RAND_bytes(id, (int)*id_len) == 1;
	sc_quiet_end(&quiet);
	return done;
}
