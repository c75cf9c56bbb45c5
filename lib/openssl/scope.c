/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See scope.h.
 */
#include "openssl/scope.h"

#include <string.h>

#include "openssl/policy.h"
#include "openssl/session.h"

/* No policy and nothing that is asked has this hash, but for chance. */
static const uint64_t nowhere = UINT64_MAX;

/* What a connection demands that demands nothing. */
static const struct sc_demands nothing = { .mode = SSL_VERIFY_NONE };

static bool
demands_certificate(const SSL *ssl)
{
	return (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;
}

static struct sc_cache *
cache_of(const struct sc_handshake *handshake)
{
	return handshake->handle->cache;
}

static uint64_t
policy_now(SSL *ssl, const struct sc_handshake *handshake, SSL_CTX *ctx)
{
	struct sc_demands demands = { .mode = SSL_VERIFY_NONE };

	if (!sc_policy_demands(&demands, ssl))
		return 0;
	return sc_policy_auth(cache_of(handshake), ssl, ctx, &demands);
}

/* Of a client that authenticates although nothing demands it at first. */
static uint64_t
policy_later(SSL *ssl, const struct sc_handshake *handshake, SSL_CTX *ctx)
{
	return sc_policy_auth(cache_of(handshake), ssl, ctx, &nothing);
}

/* --- asked --------------------------------------------------------------- */

static bool
has_realm(const SSL_CTX *ctx)
{
	const struct sc_attachment *attachment = sc_attachment_of(ctx);

	return attachment != NULL && attachment->realm[0] != '\0';
}

/* A Finished that was sent before: this one renegotiates. */
static bool
is_again(const SSL *ssl)
{
	char none;

	return SSL_get_finished(ssl, &none, 0) > 0;
}

/*
 * Whoever renegotiates for a certificate comes back to a connection that does
 * not demand it at first: what it was before is what is asked.
 */
static void
begin(SSL *ssl, struct sc_handshake *handshake, bool peer)
{
	handshake->started_in = SSL_get_SSL_CTX(ssl);
	handshake->in_realm = has_realm(handshake->first);
	handshake->start_level = SSL_get_security_level(ssl);
	handshake->again = is_again(ssl);
	if (!handshake->again)
		handshake->began_open = !peer;
	handshake->upgraded = handshake->again && handshake->began_open && peer;
	handshake->start_peer = peer && !handshake->upgraded;
	handshake->start_auth = 0;
	if (handshake->start_peer)
		handshake->start_auth = policy_now(ssl, handshake,
		    handshake->first);
}

void
sc_scope_begin(SSL *ssl, struct sc_handshake *handshake)
{
	begin(ssl, handshake, demands_certificate(ssl));
}

void
sc_scope_begin_late(SSL *ssl, struct sc_handshake *handshake)
{
	int mode = SSL_CTX_get_verify_mode(handshake->first);

	begin(ssl, handshake, (mode & SSL_VERIFY_PEER) != 0);
}

/* Hashes of the same are apart. */
enum asked { OPEN, AUTH, NAMED, PLACE };

/*
 * At another security level the session would be another, or none.  In a realm
 * that is named it is its name that counts, and no server's.  0 if there is no
 * policy.
 */
static uint64_t
hash_asked(const struct sc_handshake *handshake, enum asked kind,
    uint64_t policy, const struct sc_name *name)
{
	uint8_t bytes[1 + 1 + sizeof(policy) + SC_NAME_MAX], *at = bytes;

	if (policy == 0)
		return 0;
	*at++ = (uint8_t)kind;
	*at++ = (uint8_t)handshake->start_level;
	memcpy(at, &policy, sizeof(policy));
	at += sizeof(policy);
	if (kind == PLACE || !handshake->in_realm) {
		memcpy(at, name->text, name->len);
		at += name->len;
	}
	return sc_cache_hash(cache_of(handshake), bytes, (size_t)(at - bytes));
}

static uint64_t
first_policy(const struct sc_handshake *handshake)
{
	return handshake->start_peer ?
	    handshake->start_auth :
	    sc_policy_open(cache_of(handshake), handshake->first);
}

static uint64_t
ask_open(const struct sc_handshake *handshake, const struct sc_name *name)
{
	return hash_asked(handshake, OPEN, first_policy(handshake), name);
}

/* What a client asks for: as a rule, what it asks for without a certificate. */
static uint64_t
place_of(const struct sc_handshake *handshake, uint64_t asked,
    const struct sc_name *name)
{
	return handshake->in_realm ?
	    hash_asked(handshake, PLACE, first_policy(handshake), name) :
	    asked;
}

static uint64_t
ask_auth(SSL *ssl, const struct sc_handshake *handshake,
    const struct sc_name *name)
{
	uint64_t policy = handshake->start_peer ?
	    handshake->start_auth :
	    policy_later(ssl, handshake, handshake->first);

	return hash_asked(handshake, AUTH, policy, name);
}

/*
 * What asks for a host in a named realm, behind a first context in none: the
 * identity of that one would keep its sessions from other processes, and who
 * may resume is up to where it lands.  0: the first has a realm itself.
 */
static uint64_t
ask_named(const struct sc_handshake *handshake, const struct sc_name *name)
{
	return handshake->in_realm ?
	    0 :
	    hash_asked(handshake, NAMED,
		sc_policy_open(cache_of(handshake), handshake->first), name);
}

/* --- looking up ---------------------------------------------------------- */

static uint64_t
or_nowhere(uint64_t hash)
{
	return hash != 0 ? hash : nowhere;
}

/*
 * The client-hello callback has changed the context, or its demands: where
 * this leads is plain, unless the server-name callback changes it again.
 */
static void
set_landed(SSL *ssl, struct sc_handshake *handshake, struct sc_terms *terms)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	bool peer = demands_certificate(ssl);

	if (ctx == handshake->started_in &&
	    peer == (handshake->start_peer || handshake->upgraded))
		return;
	if (peer) {
		terms->open.landed = nowhere;
		terms->auth.landed = or_nowhere(
		    policy_now(ssl, handshake, ctx));
		return;
	}
	terms->open.landed = or_nowhere(
	    sc_policy_open(cache_of(handshake), ctx));
	if (terms->auth.asked != 0)
		terms->auth.landed = or_nowhere(
		    policy_later(ssl, handshake, ctx));
}

bool
sc_scope_terms(SSL *ssl, struct sc_handshake *handshake,
    const struct sc_name *name, bool with_auth, struct sc_terms *terms)
{
	uint64_t asked = ask_open(handshake, name);

	memset(terms, 0, sizeof(*terms));
	terms->place = place_of(handshake, asked, name);
	/* Whoever names another host after a HelloRetryRequest gets nothing. */
	if (asked == 0 || terms->place == 0 ||
	    (handshake->place != 0 && handshake->place != terms->place))
		return false;
	/* Nor whoever is asked later: no session says what is demanded now. */
	if (handshake->again && handshake->landed_open &&
	    demands_certificate(ssl))
		return false;
	handshake->place = terms->place;
	/* A session without a certificate is of no use to get one. */
	terms->open.asked = handshake->upgraded ? nowhere : asked;
	if (with_auth || handshake->start_peer || handshake->upgraded ||
	    demands_certificate(ssl)) {
		terms->auth.asked = or_nowhere(ask_auth(ssl, handshake, name));
		terms->named = ask_named(handshake, name);
	}
	set_landed(ssl, handshake, terms);
	if (SSL_version(ssl) != TLS1_3_VERSION &&
	    (SSL_get_options(ssl) & SSL_OP_NO_EXTENDED_MASTER_SECRET) != 0)
		terms->refused = SC_RECORD_EMS;
	return true;
}

/* --- landed -------------------------------------------------------------- */

void
sc_scope_land(SSL *ssl, struct sc_handshake *handshake)
{
	bool peer = demands_certificate(ssl);

	handshake->landed_in = SSL_get_SSL_CTX(ssl);
	if (!handshake->again)
		handshake->landed_open = !peer;
	handshake->landed_peer = peer &&
	    !(handshake->again && handshake->landed_open);
	handshake->landed_auth = 0;
	if (handshake->landed_peer)
		handshake->landed_auth = policy_now(ssl, handshake,
		    handshake->landed_in);
}

static uint64_t
landed_auth(SSL *ssl, const struct sc_handshake *handshake)
{
	return handshake->landed_peer ?
	    handshake->landed_auth :
	    policy_later(ssl, handshake, handshake->landed_in);
}

bool
sc_scope_holds(SSL *ssl, struct sc_handshake *handshake, uint64_t *landed)
{
	const struct sc_offer *offer = &handshake->offer;
	bool holds;

	if ((offer->flags & SC_RECORD_AUTH) != 0) {
		*landed = landed_auth(ssl, handshake);
		holds = *landed == offer->scope.landed &&
		    demands_certificate(ssl) == handshake->landed_peer &&
		    sc_session_has_needed_peer(ssl, SSL_get_session(ssl));
	} else if (demands_certificate(ssl)) {
		*landed = 0;
		holds = false;
	} else {
		*landed = sc_policy_open(cache_of(handshake),
		    handshake->landed_in);
		holds = *landed == offer->scope.landed ||
		    (!handshake->in_realm && !sc_policy_is_of_realm(*landed) &&
			!sc_policy_is_of_realm(offer->scope.landed) &&
			sc_policy_covers(ssl, offer->name));
	}
	/* Whose cipher has gone might be offered for ever, as it lands alike. */
	if (holds && !sc_session_has_good_cipher(ssl, offer->cipher)) {
		*landed = 0;
		holds = false;
	}
	return holds && offer->scope.landed != 0;
}

/* --- what a session says ------------------------------------------------- */

/* Once for a handle: what it costs, and the cure. */
static void
log_auth(const struct sc_handshake *handshake)
{
	struct sesscache *handle = handshake->handle;

	if (has_realm(handshake->landed_in) ||
	    atomic_exchange(&handle->said_auth, true))
		return;
	sc_log(&handle->options, SC_LOG_INFO,
	    "client certificates: their sessions resume where this SSL_CTX "
	    "was inherited by fork(), and after no restart; in all processes "
	    "with sesscache_attach_realm() or the setting realm");
}

/* Of a client that authenticated here, or that nobody asks to. */
static bool
say_anew(SSL *ssl, struct sc_handshake *handshake, bool auth,
    struct sc_scope *scope)
{
	struct sc_name name;

	sc_name_recall(&name, ssl);
	/* The certificate callback is not called when a session resumes: where
	 * it leads, none would. */
	if (SSL_get_SSL_CTX(ssl) != handshake->landed_in)
		return false;
	if (handshake->landed_peer &&
	    policy_now(ssl, handshake, handshake->landed_in) !=
		handshake->landed_auth)
		return false;
	if (!auth)
		scope->asked = ask_open(handshake, &name);
	else if (!handshake->in_realm && has_realm(handshake->landed_in))
		scope->asked = ask_named(handshake, &name);
	else
		scope->asked = ask_auth(ssl, handshake, &name);
	if (auth)
		log_auth(handshake);
	scope->landed = auth ?
	    landed_auth(ssl, handshake) :
	    sc_policy_open(cache_of(handshake), handshake->landed_in);
	return scope->asked != 0 && scope->landed != 0;
}

/* What the gate let through says what its parent did, unless the client has
 * authenticated since. */
static bool
is_inherited(const SSL *ssl, const struct sc_handshake *handshake, bool peer)
{
	return SSL_session_reused(ssl) && handshake->gate == SC_GATE_OPEN &&
	    (!peer || (handshake->offer.flags & SC_RECORD_AUTH) != 0);
}

/* By an external key, or the application's own means. */
static bool
is_strange(const SSL *ssl, const struct sc_handshake *handshake)
{
	return SSL_session_reused(ssl) && handshake->gate == SC_GATE_NONE;
}

static unsigned
flags_of(const SSL *ssl, bool auth)
{
	unsigned flags = auth ? SC_RECORD_AUTH : 0;

	if (SSL_version(ssl) != TLS1_3_VERSION &&
	    (SSL_get_options(ssl) & SSL_OP_NO_EXTENDED_MASTER_SECRET) == 0)
		flags |= SC_RECORD_EMS;
	return flags;
}

bool
sc_scope_of_session(SSL *ssl, struct sc_handshake *handshake,
    SSL_SESSION *session, struct sc_scope *scope, unsigned *flags)
{
	const struct sc_offer *offer = &handshake->offer;
	bool peer = sc_session_has_peer(session), auth;

	if (handshake->gate == SC_GATE_REFUSED ||
	    handshake->gate == SC_GATE_CLOSED)
		return false;
	if (handshake->started_in == NULL)
		sc_scope_begin_late(ssl, handshake);
	if (handshake->landed_in == NULL)
		sc_scope_land(ssl, handshake);
	auth = handshake->landed_peer || peer;
	if (is_inherited(ssl, handshake, peer)) {
		auth = (offer->flags & SC_RECORD_AUTH) != 0;
		*scope = offer->scope;
	} else if ((auth && is_strange(ssl, handshake)) ||
	    !say_anew(ssl, handshake, auth, scope)) {
		return false;
	}
	*flags = flags_of(ssl, auth);
	return true;
}
