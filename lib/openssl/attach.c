/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaching an SSL_CTX: the callbacks through which OpenSSL sees the cache.
 * The callbacks are the one place that drops errors: whatever fails there
 * costs a full handshake, is counted, and leaves errno and OpenSSL's error
 * queue as they were.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "openssl/early.h"
#include "openssl/gate.h"
#include "openssl/info.h"
#include "openssl/link.h"
#include "openssl/lookup.h"
#include "openssl/newid.h"
#include "openssl/newsession.h"
#include "openssl/policy.h"
#include "openssl/quiet.h"
#include "openssl/session.h"
#include "openssl/tickets.h"

static struct {
	pthread_once_t once;
	bool ready;
} library = { .once = PTHREAD_ONCE_INIT };

static void
init_library(void)
{
	library.ready = sc_attachments_init() && sc_links_init() &&
	    sc_gate_init() && sc_tickets_init();
}

/* --- an SSL_CTX ---------------------------------------------------------- */

/* Once for a handle: what is decided for the application. */
static void
log_tickets(struct sesscache *handle)
{
	const struct sesscache_options *options = &handle->options;

	if (atomic_exchange(&handle->said_tickets, true))
		return;
	if (options->tickets == SC_TICKETS_OFF ||
	    options->single_use == SC_SINGLE_USE_ON)
		sc_log(options, SC_LOG_INFO,
		    "tickets: none that hold their session; a ticket key "
		    "callback of the application is not called");
	else if (options->tickets == SC_TICKETS_OWN)
		sc_log(options, SC_LOG_INFO,
		    "tickets: under the application's own keys");
	else
		sc_log(options, SC_LOG_INFO,
		    "tickets: under shared keys; a ticket key callback that "
		    "was set before is replaced, tickets=own keeps it");
}

/* Where sessions are: in the cache, or in tickets. */
static void
configure_tickets(struct sesscache *handle, SSL_CTX *ctx)
{
	const struct sesscache_options *options = &handle->options;

	if (options->tickets == SC_TICKETS_OFF ||
	    options->single_use == SC_SINGLE_USE_ON)
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	else if (options->tickets == SC_TICKETS_SHARED)
		(void)SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
	sc_early_guard_ctx(handle, ctx);
	if (options->tickets != SC_TICKETS_OWN)
		sc_tickets_install(ctx);
	log_tickets(handle);
}

static void
configure(struct sc_attachment *attachment, SSL_CTX *ctx, SSL *ssl)
{
	static const struct sc_demands nothing = { .mode = SSL_VERIFY_NONE };
	long mode = SSL_CTX_get_session_cache_mode(ctx);

	attachment->own_new = SSL_CTX_sess_get_new_cb(ctx);
	attachment->own_remove = SSL_CTX_sess_get_remove_cb(ctx);
	(void)SSL_CTX_set_session_cache_mode(ctx,
	    mode | SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, sc_newsession_callback);
	SSL_CTX_sess_set_get_cb(ctx, sc_lookup_callback);
	SSL_CTX_sess_set_remove_cb(ctx, sc_lookup_remove);
	(void)SSL_CTX_set_generate_session_id(ctx, sc_newid_callback);
	sc_info_install(ctx, attachment);
	configure_tickets(attachment->handle, ctx);
	/* What it trusts now is what processes share that inherit it. */
	(void)sc_policy_open(attachment->handle->cache, ctx);
	(void)sc_policy_auth(attachment->handle->cache, ssl, ctx, &nothing);
}

static enum sesscache_status
fail_attached(const SSL_CTX *ctx, const struct sesscache *handle)
{
	bool same = sc_attachment_of(ctx)->handle->cache == handle->cache;

	return sc_fail(SESSCACHE_EINVAL, "attach: the SSL_CTX is attached %s",
	    same ? "already" : "to another cache");
}

static enum sesscache_status
attach(struct sesscache *handle, SSL_CTX *ctx, SSL *ssl, const char *realm)
{
	struct sc_attachment *attachment = sc_attachment_new(handle, realm);
	enum sesscache_status status = SESSCACHE_ENOMEM;

	if (attachment != NULL)
		status = sc_attachment_add(ctx, attachment);
	if (status == SESSCACHE_OK) {
		configure(attachment, ctx, ssl);
		return SESSCACHE_OK;
	}
	sc_attachment_free(attachment);
	return status == SESSCACHE_EXISTS ?
	    fail_attached(ctx, handle) :
	    sc_fail(status, "attach: out of memory");
}

static enum sesscache_status
fail_new(void)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(error);
	enum sesscache_status status = SESSCACHE_EINVAL;

	if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
		status = SESSCACHE_ENOMEM;
	return sc_fail(status, "attach: the SSL_CTX makes no connection: %s",
	    reason != NULL ? reason : "OpenSSL gives no reason");
}

static enum sesscache_status
fail_client(void)
{
	return sc_fail(SESSCACHE_EINVAL, "attach: the SSL_CTX is for clients");
}

static enum sesscache_status
attach_ctx(struct sesscache *handle, SSL_CTX *ctx, const char *realm)
{
	enum sesscache_status status;
	SSL *ssl;

	if (SSL_CTX_get_ssl_method(ctx) == TLS_client_method())
		return fail_client();
	ssl = SSL_new(ctx);
	if (ssl == NULL)
		return fail_new();
	status = SSL_is_server(ssl) ? attach(handle, ctx, ssl, realm) :
				      fail_client();
	SSL_free(ssl);
	return status;
}

/* --- a connection -------------------------------------------------------- */

/* What SSL_new() has copied from the SSL_CTX before the attach. */
static void
bring_along(const struct sesscache *handle, SSL *ssl)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	struct sc_handshake *handshake = sc_handshake_of(ssl);
	uint64_t options = SSL_CTX_get_options(ctx);

	(void)SSL_set_generate_session_id(ssl, sc_newid_callback);
	(void)SSL_set_options(ssl,
	    options & (SSL_OP_NO_TICKET | SSL_OP_NO_ANTI_REPLAY));
	if (handle->options.tickets == SC_TICKETS_SHARED &&
	    (options & SSL_OP_NO_TICKET) == 0)
		(void)SSL_clear_options(ssl, SSL_OP_NO_TICKET);
	if (handshake != NULL)
		sc_info_hook(ssl, handshake);
}

static enum sesscache_status
attach_through(struct sesscache *handle, SSL *ssl)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	enum sesscache_status status = SESSCACHE_OK;

	if (!SSL_is_server(ssl))
		return fail_client();
	if (sc_attachment_of(ctx) == NULL)
		status = attach(handle, ctx, ssl, handle->options.realm);
	/* Another thread may have been first, with the same. */
	if (status != SESSCACHE_ENOMEM &&
	    sc_attachment_of(ctx)->handle->cache == handle->cache)
		status = SESSCACHE_OK;
	else if (status == SESSCACHE_OK)
		status = fail_attached(ctx, handle);
	if (status == SESSCACHE_OK)
		bring_along(handle, ssl);
	return status;
}

/* --- what is exported ---------------------------------------------------- */

static enum sesscache_status
check(const struct sesscache *cache, const void *other, const char *what)
{
	if (cache == NULL || other == NULL)
		return sc_fail(SESSCACHE_EINVAL, "attach: %s is NULL",
		    cache == NULL ? "the cache" : what);
	(void)pthread_once(&library.once, init_library);
	return library.ready ?
	    SESSCACHE_OK :
	    sc_fail(SESSCACHE_ENOMEM, "attach: OpenSSL could not be prepared");
}

static enum sesscache_status
attach_new(struct sesscache *cache, SSL_CTX *ctx, const char *realm)
{
	enum sesscache_status status = check(cache, ctx, "the SSL_CTX");
	struct sc_quiet quiet;

	if (status != SESSCACHE_OK || cache == NULL || !cache->options.enable)
		return status;
	if (sc_attachment_of(ctx) != NULL)
		return fail_attached(ctx, cache);
	sc_quiet_begin(&quiet);
	status = attach_ctx(cache, ctx, realm);
	sc_quiet_end(&quiet);
	return status;
}

enum sesscache_status
sesscache_attach(struct sesscache *cache, SSL_CTX *ctx)
{
	return attach_new(cache, ctx,
	    cache != NULL ? cache->options.realm : "");
}

enum sesscache_status
sesscache_attach_realm(struct sesscache *cache, SSL_CTX *ctx, const char *realm)
{
	size_t len = realm != NULL ? strlen(realm) : 0;

	if (len < 1 || len > SC_REALM_MAX)
		return sc_fail(SESSCACHE_EINVAL,
		    "attach: a realm has 1 to %d bytes, not %zu", SC_REALM_MAX,
		    len);
	return attach_new(cache, ctx, realm);
}

enum sesscache_status
sesscache_attach_ssl(struct sesscache *cache, SSL *ssl)
{
	enum sesscache_status status = check(cache, ssl, "the SSL");
	struct sc_quiet quiet;

	if (status != SESSCACHE_OK || !cache->options.enable)
		return status;
	sc_quiet_begin(&quiet);
	status = attach_through(cache, ssl);
	sc_quiet_end(&quiet);
	return status;
}
