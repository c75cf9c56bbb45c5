/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See tickets.h.
 */
#include "openssl/tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "openssl/gate.h"
#include "openssl/info.h"
#include "openssl/quiet.h"
#include "openssl/scope.h"
#include "openssl/session.h"

enum {
	IV = SC_TICKET_IV,
	NAME = SC_TICKET_NAME,
	KEY = SC_TICKET_KEY,
};

static struct {
	EVP_CIPHER *cipher;
} library;

/* --- keys ---------------------------------------------------------------- */

static bool
set_keys(EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, const uint8_t *cipher_key,
    const uint8_t *mac_key, const unsigned char *iv, int encrypt)
{
	OSSL_PARAM params[] = { OSSL_PARAM_END, OSSL_PARAM_END,
		OSSL_PARAM_END };
	char digest[] = "SHA256";

	/* The parameters are only read. */
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
	    (void *)(uintptr_t)mac_key, KEY);
	params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
	    digest, 0);
	return EVP_MAC_CTX_set_params(mac, params) == 1 &&
	    EVP_CipherInit_ex(cipher, library.cipher, NULL, cipher_key, iv,
		encrypt) == 1;
}

/*
 * A ticket that nobody can open: the client comes back to a full handshake.
 * To send none, 0, would end the handshake in some versions of OpenSSL.
 */
static int
issue_none(unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac)
{
	uint8_t keys[2 * KEY];
	int result = 0;

	if (RAND_bytes(name, NAME) == 1 && RAND_bytes(iv, IV) == 1 &&
	    RAND_bytes(keys, sizeof(keys)) == 1 &&
	    set_keys(cipher, mac, keys, keys + KEY, iv, 1))
		result = 1;
	OPENSSL_cleanse(keys, sizeof(keys));
	return result;
}

static enum sesscache_status
name_ticket(SSL *ssl, struct sc_handshake *handshake, struct sc_ticket *ticket,
    unsigned char *name, unsigned char *iv)
{
	SSL_SESSION *session = SSL_get_session(ssl);
	uint32_t now = sc_now();

	/* A first flight of TLS 1.2 has the ticket in it. */
	sc_gate_check(ssl, handshake);
	if (session == NULL ||
	    !sc_scope_of_session(ssl, handshake, session, &ticket->scope,
		&ticket->flags))
		return SESSCACHE_MISS;
	if (sc_session_has_our_context(session))
		ticket->flags |= SC_TICKET_CONTEXT;
	else if ((ticket->flags & SC_RECORD_AUTH) != 0 &&
	    sc_session_has_no_context(session))
		return SESSCACHE_MISS;
	ticket->cipher = sc_session_cipher(ssl, session);
	ticket->expires_at = now +
	    sc_session_seconds_left(handshake, ssl, session);
	return sc_cache_ticket_issue(handshake->handle->cache, ticket, name, iv,
	    now);
}

static int
issue(SSL *ssl, struct sc_handshake *handshake, unsigned char *name,
    unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	struct sc_ticket ticket = { .flags = 0 };
	enum sesscache_status status;

	status = name_ticket(ssl, handshake, &ticket, name, iv);
	if (status < 0 && status != SESSCACHE_EBUSY)
		sc_session_failed(handshake->handle, "ticket", status);
	/* Whose keys could not be set is not to be touched again: without
	 * memory OpenSSL 3.6 leaves a MAC half made, and crashes then. */
	if (status == SESSCACHE_OK)
		return set_keys(cipher, mac, ticket.cipher_key, ticket.mac_key,
		    iv, 1);
	return issue_none(name, iv, cipher, mac);
}

static enum sesscache_status
open_ticket(SSL *ssl, struct sc_handshake *handshake,
    const struct sc_name *name, struct sc_ticket *ticket,
    const unsigned char *key_name, const unsigned char *iv)
{
	struct sc_cache *cache = handshake->handle->cache;
	enum sesscache_status status = SESSCACHE_MISS;

	for (int with_auth = 0; with_auth < 2; with_auth++) {
		if (!sc_scope_terms(ssl, handshake, name, with_auth != 0,
			&ticket->terms)) {
			sc_cache_count(cache, SC_EVENT_REALM);
			return SESSCACHE_MISS;
		}
		status = sc_cache_ticket_open(cache, ticket, key_name, iv,
		    sc_now());
		if (status != SESSCACHE_MISS || !ticket->terms.wants_auth)
			break;
	}
	if (status < 0 && status != SESSCACHE_EBUSY)
		sc_session_failed(handshake->handle, "ticket", status);
	if (status == SESSCACHE_OK &&
	    !(SSL_version(ssl) == TLS1_3_VERSION ||
		sc_session_has_good_cipher(ssl, ticket->cipher))) {
		sc_cache_count(cache, SC_EVENT_REALM);
		status = SESSCACHE_MISS;
	}
	return status;
}

/* As OpenSSL wants it: 0 a full handshake, 1 resume, 2 and send a new one. */
static int
accept_ticket(SSL *ssl, struct sc_handshake *handshake,
    const unsigned char *key_name, const unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	struct sc_offer offer = { .uncounted = SC_A_TICKET };
	struct sc_ticket ticket = { .flags = 0 };
	struct sc_name name;

	sc_info_catch_up(ssl, handshake);
	sc_name_read(&name, ssl);
	if (open_ticket(ssl, handshake, &name, &ticket, key_name, iv) !=
		SESSCACHE_OK ||
	    !set_keys(cipher, mac, ticket.cipher_key, ticket.mac_key, iv, 0))
		return 0;
	offer.ends_at = ticket.expires_at;
	offer.cipher = ticket.cipher;
	sc_gate_offer(ssl, handshake, &offer, &ticket.terms, &name);
	if ((ticket.terms.flags & SC_TICKET_CONTEXT) != 0)
		sc_session_set_our_context(ssl);
	/* 1 would send no new ticket in TLS 1.3, whose tickets are for once. */
	return ticket.renew || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
}

static int
on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
	struct sc_handshake *handshake;
	struct sc_quiet quiet;
	int result = 0;

	sc_quiet_begin(&quiet);
	handshake = sc_handshake_of(ssl);
	if (encrypt == 0 && handshake != NULL)
		result = accept_ticket(ssl, handshake, name, iv, cipher, mac);
	else if (encrypt != 0 && handshake != NULL)
		result = issue(ssl, handshake, name, iv, cipher, mac);
	else if (encrypt != 0)
		result = issue_none(name, iv, cipher, mac);
	sc_quiet_end(&quiet);
	return result;
}

bool
sc_tickets_init(void)
{
	library.cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	return library.cipher != NULL;
}

void
sc_tickets_install(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key);
}
