/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See info.h.
 */
#include "openssl/info.h"

#include "openssl/early.h"
#include "openssl/gate.h"
#include "openssl/newsession.h"
#include "openssl/quiet.h"
#include "openssl/scope.h"
#include "openssl/session.h"

/*
 * Whom a step is passed on to, one after the other: what the application has
 * set on the SSL, on the SSL_CTX, and on that before the attach.
 */
enum turn { OF_SSL, OF_CTX, FROM_BEFORE, NOBODY };

/* The step that this thread is at, and whose turn it is when ours is called
 * again: by those who call what was there before theirs, as is the custom. */
static _Thread_local struct {
	const SSL *ssl;
	enum turn next;
} at;

static void on_info(const SSL *ssl, int where, int ret);

/* Some SSL_CTX or connection came with an info callback. */
static atomic_bool has_own;

/* --- the steps ----------------------------------------------------------- */

/*
 * To OpenSSL the end of early data is the start of another handshake; for us
 * it is still the same.
 */
static void
on_start(SSL *ssl)
{
	struct sc_handshake *handshake;

	if (SSL_get_state(ssl) == TLS_ST_EARLY_DATA)
		return;
	handshake = sc_handshake_of(ssl);
	if (handshake == NULL)
		return;
	sc_info_hook(ssl, handshake);
	sc_handshake_reset(handshake);
	sc_scope_begin(ssl, handshake);
	sc_gate_watch(ssl, handshake);
	sc_early_guard(handshake->handle, ssl);
}

/*
 * A step of a full handshake up to TLS 1.2.  When the client's Finished was
 * right, the session is complete but for its cipher, which is entered before
 * the ChangeCipherSpec.
 */
static void
on_end(SSL *ssl)
{
	struct sc_handshake *handshake = sc_handshake_known(ssl);
	SSL_SESSION *session = SSL_get_session(ssl);

	if (handshake == NULL || session == NULL)
		return;
	if (SSL_get_state(ssl) == TLS_ST_SR_FINISHED)
		sc_session_limit(handshake, ssl, session);
	else
		sc_newsession_before_finished(ssl, session);
}

/* Most steps are nobody's business: those cost nothing more. */
typedef void do_step(SSL *ssl);

static void
on_hello(SSL *ssl)
{
	sc_gate_hello_done(ssl, sc_handshake_known(ssl));
}

static do_step *
find_step(const SSL *ssl, int where)
{
	do_step *found = NULL;

	if ((where & SSL_CB_HANDSHAKE_START) != 0)
		return on_start;
	if (where != SSL_CB_ACCEPT_LOOP)
		return NULL;
	switch ((int)SSL_get_state(ssl)) {
	case TLS_ST_SR_CLNT_HELLO:
		found = on_hello;
		break;
	case TLS_ST_SR_FINISHED:
	case TLS_ST_SW_CHANGE:
		if (!SSL_session_reused(ssl) &&
		    SSL_version(ssl) != TLS1_3_VERSION)
			found = on_end;
		break;
	}
	return found;
}

static void
step(SSL *ssl, int where)
{
	do_step *found = find_step(ssl, where);
	struct sc_quiet quiet;

	if (found == NULL)
		return;
	sc_quiet_begin(&quiet);
	found(ssl);
	sc_quiet_end(&quiet);
}

/* --- the callback -------------------------------------------------------- */

static sc_info_callback *
callback_of(const SSL *ssl, enum turn turn)
{
	const struct sc_handshake *handshake = sc_handshake_known(ssl);
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	const struct sc_attachment *attachment = sc_attachment_of(ctx);
	sc_info_callback *own = NULL;

	switch (turn) {
	case OF_SSL:
		own = handshake != NULL ? handshake->own_info : NULL;
		break;
	case OF_CTX:
		own = SSL_CTX_get_info_callback(ctx);
		break;
	case FROM_BEFORE:
		own = attachment != NULL ? attachment->own_info : NULL;
		break;
	case NOBODY:
		break;
	}
	return own != on_info ? own : NULL;
}

/*
 * Where ours comes in.  OpenSSL calls to the end of SSL_do_handshake() what it
 * found at its start: that may be of the SSL_CTX still.
 */
static enum turn
find_turn(const SSL *ssl, int where)
{
	struct sc_handshake *handshake = sc_handshake_known(ssl);
	sc_info_callback *of_ssl = SSL_get_info_callback(ssl);
	enum turn turn = OF_SSL;

	if (of_ssl == NULL)
		turn = FROM_BEFORE;
	else if (of_ssl != on_info)
		turn = OF_CTX;
	if (handshake != NULL && where == SSL_CB_ACCEPT_EXIT) {
		turn = handshake->hooked_now ? FROM_BEFORE : turn;
		handshake->hooked_now = false;
	}
	return turn;
}

static void
pass_on(const SSL *ssl, int where, int ret, enum turn turn)
{
	sc_info_callback *own = NULL;

	for (; turn < NOBODY && own == NULL; turn++)
		own = callback_of(ssl, turn);
	at.ssl = ssl;
	at.next = turn;
	if (own != NULL)
		own(ssl, where, ret);
}

/* Nobody else has one, as a rule: then there is none to pass on to. */
static bool
is_alone(const SSL *ssl)
{
	return !atomic_load_explicit(&has_own, memory_order_relaxed) &&
	    SSL_get_info_callback(ssl) == on_info &&
	    SSL_CTX_get_info_callback(SSL_get_SSL_CTX(ssl)) == on_info;
}

static void
on_info_of_several(SSL *ssl, int where, int ret)
{
	const SSL *outer = at.ssl;
	enum turn turn = at.next;

	if (outer == ssl) {
		pass_on(ssl, where, ret, turn);
	} else {
		enum turn first = find_turn(ssl, where);

		at.ssl = ssl;
		at.next = NOBODY;
		if (SSL_is_server(ssl))
			step(ssl, where);
		pass_on(ssl, where, ret, first);
	}
	at.ssl = outer;
	at.next = turn;
}

static void
on_info(const SSL *ssl, int where, int ret)
{
	SSL *same = (SSL *)(uintptr_t)ssl; /* const is its manner */

	if (!is_alone(ssl))
		on_info_of_several(same, where, ret);
	else if (SSL_is_server(ssl))
		step(same, where);
}

void
sc_info_hook(SSL *ssl, struct sc_handshake *handshake)
{
	sc_info_callback *own = SSL_get_info_callback(ssl);

	if (own == on_info)
		return;
	if (own != NULL)
		atomic_store(&has_own, true);
	handshake->own_info = own;
	SSL_set_info_callback(ssl, on_info);
	handshake->hooked_now = !is_alone(ssl);
}

void
sc_info_catch_up(SSL *ssl, struct sc_handshake *handshake)
{
	if (SSL_get_info_callback(ssl) == on_info)
		return;
	sc_info_hook(ssl, handshake);
	sc_handshake_reset(handshake);
	sc_scope_begin_late(ssl, handshake);
	sc_gate_watch(ssl, handshake);
	sc_early_guard(handshake->handle, ssl);
}

void
sc_info_install(SSL_CTX *ctx, struct sc_attachment *attachment)
{
	sc_info_callback *own = SSL_CTX_get_info_callback(ctx);

	if (own == on_info)
		return;
	if (own != NULL)
		atomic_store(&has_own, true);
	attachment->own_info = own;
	SSL_CTX_set_info_callback(ctx, on_info);
}
