/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See tickets.h.
 *
 * An application's own callback stays.  OpenSSL has no getter for it, so
 * where an SSL_CTX keeps it is found out once, with two contexts of ours in
 * which it is set to what we know.  The application's is then only compared
 * with NULL, never called.
 */
#include "openssl/tickets.h"

#include <limits.h>
#include <malloc.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "openssl/quiet.h"
#include "openssl/realm.h"
#include "openssl/session.h"

typedef int key_callback(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt);

enum {
	IV = 16, /* bytes */
	NAME = SC_TICKET_NAME,
	KEY = SC_TICKET_KEY,
	NOWHERE = 0, /* an offset that no member of an SSL_CTX of ours has */
};

static struct {
	EVP_CIPHER *cipher;
	size_t evp_at; /* of the callback in an SSL_CTX; NOWHERE: not known */
	size_t old_at; /* of the one that is deprecated since 3.0 */
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

static int
issue(SSL *ssl, struct sc_connection *connection, unsigned char *name,
    unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	struct sesscache *handle = connection->handle;
	struct sc_ticket ticket = { 0 };
	enum sesscache_status status = SESSCACHE_MISS;
	uint32_t now = sc_now();

	ticket.scope.asked = sc_realm_settle(ssl, connection);
	ticket.expires_at = now +
	    sc_session_seconds_left(connection, ssl, SSL_get_session(ssl));
	if (ticket.scope.asked != 0)
		status = sc_cache_ticket_issue(handle->cache, &ticket, name, iv,
		    now);
	if (status < 0 && status != SESSCACHE_EBUSY)
		sc_session_failed(handle, "ticket", status);
	if (status == SESSCACHE_OK &&
	    set_keys(cipher, mac, ticket.cipher_key, ticket.mac_key, iv, 1))
		return 1;
	return issue_none(name, iv, cipher, mac);
}

/* As OpenSSL wants it: 0 a full handshake, 1 resume, 2 and send a new one. */
static int
accept_ticket(SSL *ssl, struct sc_connection *connection,
    const unsigned char *name, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac)
{
	struct sesscache *handle = connection->handle;
	struct sc_ticket ticket = { 0 };
	enum sesscache_status status;

	ticket.terms.open.asked = sc_realm_predict(ssl, connection);
	if (ticket.terms.open.asked == 0) {
		sc_cache_count(handle->cache, SC_EVENT_REALM);
		return 0;
	}
	status = sc_cache_ticket_open(handle->cache, &ticket, name, iv,
	    sc_now());
	if (status < 0 && status != SESSCACHE_EBUSY)
		sc_session_failed(handle, "ticket", status);
	if (status != SESSCACHE_OK ||
	    !set_keys(cipher, mac, ticket.cipher_key, ticket.mac_key, iv, 0))
		return 0;
	sc_cache_count(handle->cache, SC_EVENT_TICKET_ACCEPTED);
	connection->ends_at = ticket.expires_at;
	connection->ticket = true;
	/* 1 would send no new ticket in TLS 1.3, whose tickets are for once. */
	return ticket.renew || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
}

static int
on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
	struct sc_connection *connection;
	struct sc_quiet quiet;
	int result = 0;

	sc_quiet_begin(&quiet);
	connection = sc_connection_of(ssl);
	if (encrypt == 0 && connection != NULL)
		result = accept_ticket(ssl, connection, name, iv, cipher, mac);
	else if (encrypt != 0 && connection != NULL)
		result = issue(ssl, connection, name, iv, cipher, mac);
	else if (encrypt != 0)
		result = issue_none(name, iv, cipher, mac);
	sc_quiet_end(&quiet);
	return result;
}

/* --- the application's own ----------------------------------------------- */

static int
no_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int encrypt)
{
	(void)ssl, (void)name, (void)iv, (void)cipher, (void)mac, (void)encrypt;
	return 0;
}

static bool
holds(const SSL_CTX *ctx, size_t at, key_callback *callback)
{
	key_callback *found;

	memcpy(&found, (const char *)ctx + at, sizeof(found));
	return found == callback;
}

/* Where one and other hold what was set in each; NOWHERE if that is not
 * within the size of both. */
static size_t
find_callback(const SSL_CTX *one, key_callback *in_one, const SSL_CTX *other,
    key_callback *in_other)
{
	size_t end = malloc_usable_size((void *)(uintptr_t)one);
	size_t at, step = sizeof(key_callback *);

	if (malloc_usable_size((void *)(uintptr_t)other) < end)
		end = malloc_usable_size((void *)(uintptr_t)other);
	for (at = step; at + step <= end; at += step) {
		if (holds(one, at, in_one) && holds(other, at, in_other))
			return at;
	}
	return NOWHERE;
}

#ifdef SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB
static void
set_old_callback(SSL_CTX *ctx, key_callback *callback)
{
	/* Its type is that of no callback: each kind casts. */
	(void)SSL_CTX_callback_ctrl(ctx, SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB,
	    (void (*)(void))callback);
}
#endif

static void
find_callbacks(SSL_CTX *one, SSL_CTX *other)
{
	CRYPTO_malloc_fn allocate;

	/* The size of what another allocator gave is not known. */
	CRYPTO_get_mem_functions(&allocate, NULL, NULL);
	if (allocate != CRYPTO_malloc)
		return;
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(one, on_ticket_key);
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(other, no_key);
	library.evp_at = find_callback(one, on_ticket_key, other, no_key);
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(one, NULL);
	(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(other, NULL);
#ifdef SSL_CTRL_SET_TLSEXT_TICKET_KEY_CB
	set_old_callback(one, on_ticket_key);
	set_old_callback(other, no_key);
	library.old_at = find_callback(one, on_ticket_key, other, no_key);
#endif
}

bool
sc_tickets_init(void)
{
	SSL_CTX *one = SSL_CTX_new(TLS_server_method());
	SSL_CTX *other = SSL_CTX_new(TLS_server_method());

	library.cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (one != NULL && other != NULL)
		find_callbacks(one, other);
	SSL_CTX_free(one);
	SSL_CTX_free(other);
	return one != NULL && other != NULL && library.cipher != NULL;
}

static bool
has_old_callback(const SSL_CTX *ctx)
{
	return library.old_at != NOWHERE && !holds(ctx, library.old_at, NULL);
}

void
sc_tickets_install(SSL_CTX *ctx)
{
	if (library.evp_at != NOWHERE && !holds(ctx, library.evp_at, NULL))
		return;
	if (!has_old_callback(ctx))
		(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key);
}

void
sc_tickets_yield(SSL_CTX *ctx)
{
	if (has_old_callback(ctx) && library.evp_at != NOWHERE &&
	    holds(ctx, library.evp_at, on_ticket_key))
		(void)SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, NULL);
}
