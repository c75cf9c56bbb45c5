/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See lookup.h.
 */
#include "openssl/lookup.h"

#include "cache/scratch.h"
#include "openssl/early.h"
#include "openssl/gate.h"
#include "openssl/info.h"
#include "openssl/link.h"
#include "openssl/quiet.h"
#include "openssl/scope.h"
#include "openssl/session.h"

/*
 * After a HelloRetryRequest OpenSSL asks again.  The second ClientHello of a
 * handshake never brings early data.
 */
static SSL_SESSION *
find_taken(const struct sc_handshake *handshake, SSL *ssl,
    const struct sc_lookup *lookup)
{
	SSL_SESSION *session = handshake->taken;

	if (session == NULL ||
	    !sc_session_has_id(session, lookup->id, lookup->id_len) ||
	    sc_hello_brings_early_data(ssl) || SSL_SESSION_up_ref(session) != 1)
		session = NULL;
	return session;
}

static void
keep_taken(struct sc_handshake *handshake, SSL_SESSION *session)
{
	sc_handshake_drop_taken(handshake);
	if (SSL_SESSION_up_ref(session) == 1)
		handshake->taken = session;
}

static enum sesscache_status
look_up(struct sc_handshake *handshake, SSL *ssl, struct sc_lookup *lookup)
{
	struct sc_cache *cache = handshake->handle->cache;
	enum sesscache_status status;

	/* The record says whether it is for one use; so may who asks. */
	if (sc_early_is_once(handshake->handle, ssl) ||
	    sc_hello_brings_early_data(ssl))
		status = sc_cache_take(cache, lookup, sc_now());
	else
		status = sc_cache_get(cache, lookup, sc_now());
	if (status < 0 && status != SESSCACHE_EBUSY)
		sc_session_failed(handshake->handle, "lookup", status);
	return status;
}

static SSL_SESSION *
decode(struct sc_handshake *handshake, SSL *ssl, struct sc_lookup *lookup)
{
	struct sc_cache *cache = handshake->handle->cache;
	SSL_SESSION *session = sc_session_decode(handshake->handle, lookup);

	OPENSSL_cleanse(lookup->buf, lookup->len);
	if (session == NULL) {
		sc_cache_count(cache, SC_EVENT_UNDECODABLE);
	} else if (!sc_session_is_usable(ssl, session)) {
		sc_cache_count(cache, SC_EVENT_REALM);
		SSL_SESSION_free(session);
		session = NULL;
	}
	return session;
}

/* What it must say; false: no session is good, which is counted. */
static bool
set_terms(struct sc_handshake *handshake, SSL *ssl, const struct sc_name *name,
    bool with_auth, struct sc_lookup *lookup)
{
	if (sc_scope_terms(ssl, handshake, name, with_auth, &lookup->terms))
		return true;
	sc_cache_count(handshake->handle->cache, SC_EVENT_REALM);
	return false;
}

static SSL_SESSION *
find_stored(struct sc_handshake *handshake, SSL *ssl,
    const struct sc_name *name, struct sc_lookup *lookup)
{
	struct sc_scratch *scratch = sc_scratch();
	enum sesscache_status status;
	SSL_SESSION *session;

	if (scratch == NULL) {
		sc_session_failed(handshake->handle, "lookup",
		    SESSCACHE_ENOMEM);
		return NULL;
	}
	lookup->buf = scratch->session;
	lookup->size = sizeof(scratch->session);
	status = look_up(handshake, ssl, lookup);
	/* Few clients authenticate where nothing demands it. */
	if (status == SESSCACHE_MISS && lookup->terms.wants_auth &&
	    set_terms(handshake, ssl, name, true, lookup))
		status = look_up(handshake, ssl, lookup);
	if (status != SESSCACHE_OK)
		return NULL;
	session = decode(handshake, ssl, lookup);
	if (session != NULL && lookup->taken)
		keep_taken(handshake, session);
	return session;
}

static SSL_SESSION *
find_session(struct sc_handshake *handshake, SSL *ssl, struct sc_lookup *lookup)
{
	struct sc_offer offer = { .uncounted = SC_COUNTED };
	SSL_SESSION *session;
	struct sc_name name;

	sc_name_read(&name, ssl);
	if (!set_terms(handshake, ssl, &name, false, lookup))
		return NULL;
	session = find_taken(handshake, ssl, lookup);
	if (session != NULL) {
		sc_gate_close(ssl, handshake);
		return session;
	}
	session = find_stored(handshake, ssl, &name, lookup);
	if (session != NULL) {
		offer.ends_at = lookup->expires_at;
		offer.uncounted = lookup->taken ? SC_COUNTED : SC_A_HIT;
		sc_gate_offer(ssl, handshake, &offer, &lookup->terms, &name);
		sc_session_adopt_context(ssl, session);
	}
	return session;
}

SSL_SESSION *
sc_lookup_callback(SSL *ssl, const unsigned char *id, int id_len, int *copy)
{
	struct sc_handshake *handshake;
	struct sc_quiet quiet;
	SSL_SESSION *session = NULL;
	struct sc_lookup lookup = { .id = id, .counted_later = true };

	*copy = 0; /* the reference becomes OpenSSL's */
	sc_quiet_begin(&quiet);
	handshake = sc_handshake_of(ssl);
	if (handshake != NULL) {
		sc_info_catch_up(ssl, handshake);
		sc_early_guard(handshake->handle, ssl);
	}
	if (handshake != NULL && id_len >= 1 &&
	    id_len <= SESSCACHE_ID_MAX_LEN) {
		lookup.id_len = (size_t)id_len;
		session = find_session(handshake, ssl, &lookup);
	}
	sc_quiet_end(&quiet);
	return session;
}

/* --- removing ------------------------------------------------------------ */

/*
 * With a cache of OpenSSL's own beside ours, it also says so of what it evicts
 * there, and of all that is in it when the SSL_CTX is freed: that takes
 * nothing from the others.
 */
static bool
is_to_be_removed(SSL_CTX *ctx, enum sc_removal removal)
{
	long mode = SSL_CTX_get_session_cache_mode(ctx);

	switch (removal) {
	case SC_REMOVAL_CALLED:
	case SC_REMOVAL_FAILED:
		return true;
	case SC_REMOVAL_RUDE:
		return false;
	case SC_REMOVAL_UNKNOWN:
	case SC_REMOVAL_ORPHAN:
		return (mode & SSL_SESS_CACHE_NO_INTERNAL_STORE) != 0;
	}
	return false;
}

static void
remove_session(SSL_CTX *ctx, const struct sc_attachment *attachment,
    const SSL_SESSION *session, enum sc_removal removal)
{
	struct sesscache *handle = attachment->handle;
	enum sesscache_status status;
	const unsigned char *id;
	unsigned id_len;

	id = SSL_SESSION_get_id(session, &id_len);
	if (id_len == 0 || !is_to_be_removed(ctx, removal))
		return;
	status = sc_cache_remove(handle->cache, id, id_len);
	if (status < 0 && status != SESSCACHE_EBUSY)
		sc_session_failed(handle, "remove", status);
}

/*
 * OpenSSL says that a session is removed: because the application calls
 * SSL_CTX_remove_session(), because the connection failed (RFC 5246, section
 * 7.2.2), but also because it was closed rudely.
 *
 * May run under the lock of the SSL_CTX: no SSL_CTX session function here.
 */
void
sc_lookup_remove(SSL_CTX *ctx, SSL_SESSION *session)
{
	const struct sc_attachment *attachment = sc_attachment_of(ctx);
	enum sc_removal removal;
	struct sc_quiet quiet;

	if (attachment == NULL)
		return;
	sc_quiet_begin(&quiet);
	removal = sc_link_removal(session);
	remove_session(ctx, attachment, session, removal);
	sc_quiet_end(&quiet);
	/* What a context for both sides had as a client. */
	if (removal == SC_REMOVAL_UNKNOWN && attachment->own_remove != NULL)
		attachment->own_remove(ctx, session);
}
