/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See newsession.h.
 */
#include "openssl/newsession.h"

#include <string.h>

#include "cache/scratch.h"
#include "openssl/early.h"
#include "openssl/gate.h"
#include "openssl/link.h"
#include "openssl/quiet.h"
#include "openssl/scope.h"
#include "openssl/session.h"

/* The ID that this thread stored before its handshake was over; len 0: none. */
static _Thread_local struct {
	unsigned char id[SSL_MAX_SSL_SESSION_ID_LENGTH];
	unsigned len;
} early;

bool
sc_newsession_is_looked_up(const SSL *ssl)
{
	uint64_t options = SSL_get_options(ssl);

	if (SSL_version(ssl) != TLS1_3_VERSION ||
	    (options & SSL_OP_NO_TICKET) != 0)
		return true;
	return SSL_get_max_early_data(ssl) > 0 &&
	    (options & SSL_OP_NO_ANTI_REPLAY) == 0;
}

static unsigned
record_flags(const struct sesscache *handle, const SSL *ssl)
{
	unsigned flags = 0;

	if (SSL_version(ssl) == TLS1_3_VERSION)
		flags |= SC_RECORD_TICKET;
	if (SSL_version(ssl) == TLS1_3_VERSION && SSL_session_reused(ssl))
		flags |= SC_RECORD_REGULAR;
	if (sc_early_is_once(handle, ssl))
		flags |= SC_RECORD_ONCE;
	return flags;
}

/* Encode and store; the rest of in is filled. */
static bool
store_encoded(struct sesscache *handle, const SSL_SESSION *session,
    struct sc_record_in *in)
{
	struct sc_scratch *scratch = sc_scratch();
	enum sesscache_status status = SESSCACHE_MISS;

	if (scratch == NULL) {
		sc_session_failed(handle, "store", SESSCACHE_ENOMEM);
		return false;
	}
	in->data = scratch->session;
	in->data_len = sc_session_encode(handle, session, scratch->session,
	    sizeof(scratch->session));
	if (in->data_len > 0) {
		status = sc_cache_put(handle->cache, in, sc_now());
		if (status < 0 && status != SESSCACHE_EBUSY)
			sc_session_failed(handle, "store", status);
	}
	OPENSSL_cleanse(scratch->session, in->data_len);
	return status == SESSCACHE_OK;
}

/* Returns whether the session is in the cache now. */
static bool
store_session(SSL *ssl, struct sc_handshake *handshake, SSL_SESSION *session)
{
	struct sc_record_in in = { .flags = 0 };
	unsigned id_len, flags;

	in.id = SSL_SESSION_get_id(session, &id_len);
	in.id_len = id_len;
	if (id_len == 0)
		return false;
	sc_gate_check(ssl, handshake);
	if (!sc_scope_of_session(ssl, handshake, session, &in.scope, &flags))
		return false;
	in.flags = record_flags(handshake->handle, ssl) | flags;
	in.ttl_seconds = sc_session_seconds_left(handshake, ssl, session);
	return in.ttl_seconds > 0 &&
	    store_encoded(handshake->handle, session, &in);
}

void
sc_newsession_before_finished(SSL *ssl, SSL_SESSION *session)
{
	struct sc_handshake *handshake = sc_handshake_of(ssl);
	const unsigned char *id;
	unsigned id_len;

	early.len = 0;
	if (handshake == NULL || !sc_session_is_going_to_be_new(ssl, session) ||
	    SSL_CTX_sess_get_new_cb(SSL_get_SSL_CTX(ssl)) !=
		sc_newsession_callback)
		return;
	id = SSL_SESSION_get_id(session, &id_len);
	if (id_len <= sizeof(early.id) &&
	    store_session(ssl, handshake, session)) {
		memcpy(early.id, id, id_len);
		early.len = id_len;
	}
}

static bool
is_stored_early(const SSL_SESSION *session)
{
	return early.len > 0 && sc_session_has_id(session, early.id, early.len);
}

static void
take_new(SSL *ssl, SSL_SESSION *session)
{
	struct sc_handshake *handshake = sc_handshake_of(ssl);

	if (handshake == NULL)
		return;
	sc_handshake_drop_taken(handshake);
	sc_link_session(&handshake->link, ssl, session);
	if (is_stored_early(session))
		early.len = 0;
	else if (sc_newsession_is_looked_up(ssl))
		(void)store_session(ssl, handshake, session);
}

/*
 * Returns 0: the reference to the session stays OpenSSL's.  Sessions of a
 * context for both sides that it has as a client are the application's.
 */
int
sc_newsession_callback(SSL *ssl, SSL_SESSION *session)
{
	const struct sc_attachment *attachment;
	struct sc_quiet quiet;

	if (!SSL_is_server(ssl)) {
		attachment = sc_attachment_of(SSL_get_SSL_CTX(ssl));
		return attachment != NULL && attachment->own_new != NULL ?
		    attachment->own_new(ssl, session) :
		    0;
	}
	sc_quiet_begin(&quiet);
	take_new(ssl, session);
	sc_quiet_end(&quiet);
	return 0;
}
