/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See gate.h.
 */
#include "openssl/gate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/rand.h>

#include "openssl/link.h"
#include "openssl/quiet.h"
#include "openssl/scope.h"
#include "openssl/session.h"

/* On a BIO, behind the application's callback; the BIO frees it. */
struct watch {
	SSL *ssl; /* NULL: nothing more to be watched */
	BIO_callback_fn_ex own;
	BIO_callback_fn_ex before; /* one before ours that calls ours */
};

static struct {
	pthread_once_t once;
	int index; /* ex_data of a BIO: its watch */
} library = { .once = PTHREAD_ONCE_INIT, .index = -1 };

static void
free_watch(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl,
    void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	free(ptr);
}

static void
init_library(void)
{
	library.index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_BIO, 0, NULL,
	    NULL, NULL, free_watch);
}

/* --- the BIO ------------------------------------------------------------- */

/* A HelloRequest, or what another connection writes to the same BIO. */
static bool
is_before_hello(const SSL *ssl)
{
	OSSL_HANDSHAKE_STATE state = SSL_get_state(ssl);

	return state == TLS_ST_SW_HELLO_REQ || state == TLS_ST_BEFORE;
}

/* The handshake is over, but for the alert that says so. */
static bool
has_failed(const SSL *ssl)
{
	return strcmp(SSL_state_string(ssl), "SSLERR") == 0;
}

/*
 * Whether the first flight may go out.  Where one leads that fails is not
 * known: a ClientHello may be wrong before the server-name callback is called.
 */
static bool
may_write(SSL *ssl)
{
	struct sc_handshake *handshake = sc_handshake_known(ssl);
	struct sc_quiet quiet;

	if (handshake == NULL || is_before_hello(ssl) || has_failed(ssl))
		return true;
	sc_quiet_begin(&quiet);
	sc_gate_hello_done(ssl, handshake);
	sc_quiet_end(&quiet);
	return handshake->gate != SC_GATE_REFUSED;
}

static long on_bio(BIO *bio, int operation, const char *data, size_t len,
    int argi, long argl, int result, size_t *processed);
static long on_bare_bio(BIO *bio, int operation, const char *data, size_t len,
    int argi, long argl, int result, size_t *processed);

static bool
is_ours(BIO_callback_fn_ex callback)
{
	return callback == on_bio || callback == on_bare_bio;
}

static long
on_bio(BIO *bio, int operation, const char *data, size_t len, int argi,
    long argl, int result, size_t *processed)
{
	struct watch *watch = BIO_get_ex_data(bio, library.index);
	BIO_callback_fn_ex own = watch != NULL ? watch->own : NULL;
	SSL *ssl = watch != NULL ? watch->ssl : NULL;

	if (watch != NULL && !is_ours(BIO_get_callback_ex(bio)))
		watch->before = BIO_get_callback_ex(bio);
	if (operation == BIO_CB_WRITE && ssl != NULL && !may_write(ssl))
		return -1;
	if (own == NULL)
		return result;
	return own(bio, operation, data, len, argi, argl, result, processed);
}

/* For one without a callback of the application's, which costs next to none. */
static long
on_bare_bio(BIO *bio, int operation, const char *data, size_t len, int argi,
    long argl, int result, size_t *processed)
{
	return operation != BIO_CB_WRITE &&
		BIO_get_callback_ex(bio) == on_bare_bio ?
	    result :
	    on_bio(bio, operation, data, len, argi, argl, result, processed);
}

static struct watch *
watch_of(BIO *bio)
{
	struct watch *watch = BIO_get_ex_data(bio, library.index);

	if (watch != NULL)
		return watch;
	watch = calloc(1, sizeof(*watch));
	if (watch != NULL && BIO_set_ex_data(bio, library.index, watch) != 1) {
		free(watch);
		watch = NULL;
	}
	return watch;
}

/*
 * Without memory, or with a BIO that serves another connection as well, the
 * info callback alone is left.
 */
void
sc_gate_watch(SSL *ssl, struct sc_handshake *handshake)
{
	BIO_callback_fn_ex first;
	struct watch *watch;
	BIO *bio;

	if (handshake->watched != NULL)
		return;
	bio = SSL_get_wbio(ssl);
	watch = bio != NULL ? watch_of(bio) : NULL;
	if (watch == NULL || watch->ssl != NULL || BIO_up_ref(bio) != 1)
		return;
	handshake->watched = bio;
	watch->ssl = ssl;
	first = BIO_get_callback_ex(bio);
	/* Before one that calls ours, we would call each other for ever. */
	if (is_ours(first) || (first != NULL && first == watch->before))
		return;
	watch->own = first;
	BIO_set_callback_ex(bio, first == NULL ? on_bare_bio : on_bio);
}

/* Step back, unless the application has put a callback before ours since. */
static void
unwatch_bio(struct sc_handshake *handshake)
{
	BIO *bio = handshake->watched;
	struct watch *watch;

	if (bio == NULL)
		return;
	handshake->watched = NULL;
	watch = BIO_get_ex_data(bio, library.index);
	if (watch != NULL) {
		watch->ssl = NULL;
		if (is_ours(BIO_get_callback_ex(bio)))
			BIO_set_callback_ex(bio, watch->own);
	}
	BIO_free_all(bio); /* the rest of the chain, if ours was the last */
}

bool
sc_gate_init(void)
{
	(void)pthread_once(&library.once, init_library);
	return library.index >= 0 && sc_handshakes_init(unwatch_bio);
}

/* --- the check ----------------------------------------------------------- */

void
sc_gate_close(SSL *ssl, struct sc_handshake *handshake)
{
	if (handshake->gate != SC_GATE_CLOSED)
		handshake->shutdown = SSL_get_shutdown(ssl);
	handshake->gate = SC_GATE_CLOSED;
	sc_gate_watch(ssl, handshake);
	/* A fatal alert would not be sent either: where the BIO is watched,
	 * nothing leaves that is not looked at. */
	SSL_set_shutdown(ssl,
	    handshake->watched != NULL ?
		SSL_RECEIVED_SHUTDOWN :
		SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

void
sc_gate_offer(SSL *ssl, struct sc_handshake *handshake,
    const struct sc_offer *offer, const struct sc_terms *terms,
    const struct sc_name *name)
{
	sc_handshake_drop_offer(handshake);
	handshake->offer = *offer;
	handshake->offer.scope = terms->said;
	handshake->offer.flags = terms->flags;
	/* Without memory the certificate does not cover the name: no harm. */
	handshake->offer.name = OPENSSL_memdup(name->text, name->len + 1);
	sc_gate_close(ssl, handshake);
}

static void
open_gate(SSL *ssl, struct sc_handshake *handshake, enum sc_gate gate)
{
	handshake->gate = gate;
	SSL_set_shutdown(ssl, handshake->shutdown);
}

/*
 * Up to TLS 1.2 a client whose keys do not fit drops its session, so that it
 * does not come back with it.
 */
static void
spoil(SSL *ssl)
{
	unsigned char other[SSL_MAX_MASTER_KEY_LENGTH];
	SSL_SESSION *session = SSL_get_session(ssl);

	if (session != NULL && SSL_version(ssl) != TLS1_3_VERSION &&
	    RAND_bytes(other, sizeof(other)) == 1)
		(void)SSL_SESSION_set1_master_key(session, other,
		    sizeof(other));
}

/*
 * A client over datagrams drops what it cannot decrypt and sees no connection
 * end: without an alert it waits for its timeout.  OpenSSL sends one, and ends
 * the handshake before the ChangeCipherSpec, if the cipher of a session that
 * it resumes is not the one that it chose; no suite of TLS 1.3 ever is.
 */
static void
fail(SSL *ssl)
{
	static const unsigned char other[] = { 0x13, 0x01 };
	const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, other);
	SSL_SESSION *session = SSL_get_session(ssl);

	if (session == NULL || cipher == NULL ||
	    SSL_SESSION_set_cipher(session, cipher) != 1)
		return;
	SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN); /* lets alerts out */
}

/* What others may learn of it depends on who it was. */
static unsigned
flags_of_refusal(const SSL *ssl, const struct sc_offer *offer)
{
	return sc_session_has_peer(SSL_get_session(ssl)) ?
	    offer->flags :
	    offer->flags | SC_RECORD_NOBODY;
}

/* The gate stays closed, and the same is not offered again: to nobody. */
static void
refuse(SSL *ssl, struct sc_handshake *handshake, uint64_t landed)
{
	const struct sc_offer *offer = &handshake->offer;
	struct sc_cache *cache = handshake->handle->cache;

	handshake->gate = SC_GATE_REFUSED;
	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	spoil(ssl);
	if (SSL_is_dtls(ssl))
		fail(ssl);
	sc_cache_count(cache, SC_EVENT_REALM);
	sc_cache_mislanded(cache, handshake->place,
	    flags_of_refusal(ssl, offer), landed, sc_now());
	sc_log(&handshake->handle->options, SC_LOG_WARN,
	    "closed a connection: its server name leads elsewhere than when "
	    "its session was made");
}

/* Only now is it known what became of what was offered, if not refused. */
static void
count(struct sc_handshake *handshake, bool resumed)
{
	struct sc_cache *cache = handshake->handle->cache;

	switch (handshake->offer.uncounted) {
	case SC_COUNTED:
		break;
	case SC_A_HIT:
		sc_cache_count(cache, resumed ? SC_EVENT_HIT : SC_EVENT_REALM);
		break;
	case SC_A_TICKET:
		sc_cache_count(cache,
		    resumed ? SC_EVENT_TICKET_ACCEPTED : SC_EVENT_TICKET);
		break;
	}
	handshake->offer.uncounted = SC_COUNTED;
}

void
sc_gate_check(SSL *ssl, struct sc_handshake *handshake)
{
	bool resumed = SSL_session_reused(ssl) == 1;
	uint64_t landed = 0;

	if (handshake->gate != SC_GATE_CLOSED)
		return;
	unwatch_bio(handshake);
	sc_scope_land(ssl, handshake);
	if (resumed && !sc_scope_holds(ssl, handshake, &landed)) {
		refuse(ssl, handshake, landed);
		return;
	}
	count(handshake, resumed);
	open_gate(ssl, handshake, resumed ? SC_GATE_OPEN : SC_GATE_NONE);
}

void
sc_gate_hello_done(SSL *ssl, struct sc_handshake *handshake)
{
	SSL_SESSION *session = SSL_get_session(ssl);

	if (handshake == NULL)
		return;
	unwatch_bio(handshake);
	if (handshake->gate == SC_GATE_CLOSED)
		sc_gate_check(ssl, handshake);
	else
		sc_scope_land(ssl, handshake);
	if (session == NULL)
		return;
	sc_link_session(&handshake->link, ssl, session);
	if (!SSL_session_reused(ssl))
		sc_session_ensure_context(ssl, session);
}
