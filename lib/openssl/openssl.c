/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What OpenSSL sees of the cache: the callbacks of an SSL_CTX.  The one place
 * that drops errors: whatever fails here costs a full handshake, is counted,
 * and leaves errno and OpenSSL's error queue as they were.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "cache/scratch.h"
#include "openssl/connection.h"
#include "openssl/quiet.h"
#include "openssl/realm.h"
#include "openssl/session.h"
#include "openssl/tickets.h"

static const unsigned char default_id_context[] = "sesscache";

static struct {
	pthread_once_t once;
	SSL_CTX *clients[2]; /* see find_id_context() */
	bool ready;
} library = { .once = PTHREAD_ONCE_INIT };

/* The ID that this thread stored before its handshake was over; len 0: none. */
static _Thread_local struct {
	unsigned char id[SSL_MAX_SSL_SESSION_ID_LENGTH];
	unsigned len;
} early;

/* A context that calls nobody back and whose ClientHello is cheap. */
static SSL_CTX *
new_probe_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx != NULL) {
		/* Whatever the system's configuration says. */
		SSL_CTX_set_security_level(ctx, 0);
		(void)SSL_CTX_clear_options(ctx, SSL_OP_NO_TLSv1_2);
		(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
		(void)SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	}
	return ctx;
}

static void on_info(const SSL *ssl, int where, int ret);
static void hook(SSL *ssl, struct sc_connection *connection);

/* Some SSL_CTX or connection came with an info callback. */
static atomic_bool has_own_info;

static void
init_library(void)
{
	library.clients[0] = new_probe_ctx();
	library.clients[1] = new_probe_ctx();
	library.ready = library.clients[0] != NULL &&
	    library.clients[1] != NULL && sc_connection_init(hook) &&
	    sc_tickets_init();
}

/* --- storing ------------------------------------------------------------- */

/*
 * Whether a client can ask for this session by its ID.  Of TLS 1.3 only the
 * stateful tickets: OpenSSL announces those that carry their state, too.
 */
static bool
is_looked_up(const SSL *ssl)
{
	uint64_t options = SSL_get_options(ssl);

	if (SSL_version(ssl) != TLS1_3_VERSION ||
	    (options & SSL_OP_NO_TICKET) != 0)
		return true;
	return SSL_get_max_early_data(ssl) > 0 &&
	    (options & SSL_OP_NO_ANTI_REPLAY) == 0;
}

static unsigned
record_flags(const SSL *ssl)
{
	unsigned flags = 0;

	if (SSL_version(ssl) == TLS1_3_VERSION) {
		flags |= SC_RECORD_TICKET;
		if (SSL_session_reused(ssl))
			flags |= SC_RECORD_REGULAR;
	}
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
store_session(SSL *ssl, const SSL_SESSION *session)
{
	struct sc_connection *connection = sc_connection_of(ssl);
	struct sc_record_in in = { .flags = record_flags(ssl) };
	unsigned id_len;

	if (connection == NULL)
		return false;
	in.id = SSL_SESSION_get_id(session, &id_len);
	in.id_len = id_len;
	in.ttl_seconds = sc_session_seconds_left(connection, ssl, session);
	in.scope.asked = sc_realm_settle(ssl, connection);
	if (id_len == 0 || in.ttl_seconds == 0 || in.scope.asked == 0)
		return false;
	return store_encoded(connection->handle, session, &in);
}

static bool
is_stored_early(const SSL_SESSION *session)
{
	unsigned id_len;
	const unsigned char *id = SSL_SESSION_get_id(session, &id_len);

	return early.len > 0 && early.len == id_len &&
	    memcmp(early.id, id, id_len) == 0;
}

/* Returns 0: the reference to the session stays OpenSSL's. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct sc_connection *connection;
	struct sc_quiet quiet;

	sc_quiet_begin(&quiet);
	connection = sc_connection_of(ssl);
	if (connection != NULL)
		sc_connection_drop_taken(connection);
	if (is_stored_early(session))
		early.len = 0;
	else if (is_looked_up(ssl))
		(void)store_session(ssl, session);
	sc_quiet_end(&quiet);
	return 0;
}

/* The conditions on which OpenSSL calls on_new_session() a moment later. */
static bool
is_going_to_be_new(const SSL *ssl, const SSL_SESSION *session)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	bool verify = (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;
	unsigned id_len, context_len;

	if (session == NULL || !SSL_SESSION_is_resumable(session))
		return false;
	(void)SSL_SESSION_get_id(session, &id_len);
	(void)SSL_SESSION_get0_id_context(session, &context_len);
	if (id_len == 0 || (context_len == 0 && verify))
		return false;
	return SSL_CTX_sess_get_new_cb(ctx) == on_new_session &&
	    (SSL_CTX_get_session_cache_mode(ctx) & SSL_SESS_CACHE_SERVER) != 0;
}

/*
 * OpenSSL calls on_new_session() when a TLS 1.2 client has the Finished and
 * may already be back, at another worker.  This is called before it is sent.
 */
static void
store_before_finished(SSL *ssl, const SSL_SESSION *session)
{
	const unsigned char *id;
	unsigned id_len;

	early.len = 0;
	id = SSL_SESSION_get_id(session, &id_len);
	if (id_len <= sizeof(early.id) && store_session(ssl, session)) {
		memcpy(early.id, id, id_len);
		early.len = id_len;
	}
}

/* --- early data ----------------------------------------------------------- */

/*
 * Early data must not be played again to another worker.  OpenSSL's own guard
 * knows the sessions of its process only, and resumes none that it does not
 * know; ours is that a session is taken out of the cache by its first use.
 * Who has turned off single use and OpenSSL's guard too wants neither.
 */
static bool
is_guarded(const struct sesscache *handle, uint32_t max_early_data,
    uint64_t options)
{
	return max_early_data > 0 &&
	    (handle->options.single_use != SC_SINGLE_USE_OFF ||
		(options & SSL_OP_NO_ANTI_REPLAY) == 0 ||
		(options & SSL_OP_NO_TICKET) != 0);
}

/* The application may have asked for it after attach, or for this one. */
static void
guard_early_data(const struct sesscache *handle, SSL *ssl)
{
	if (is_guarded(handle, SSL_get_max_early_data(ssl),
		SSL_get_options(ssl)))
		(void)SSL_set_options(ssl,
		    SSL_OP_NO_TICKET | SSL_OP_NO_ANTI_REPLAY);
}

static bool
brings_early_data(SSL *ssl)
{
	const unsigned char *ext;
	size_t len;

	return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_early_data, &ext,
		   &len) == 1;
}

/* Whether what a connection looks up is for one use. */
static bool
is_for_once(const struct sesscache *handle, SSL *ssl)
{
	enum sc_single_use single_use = handle->options.single_use;

	if (SSL_version(ssl) != TLS1_3_VERSION)
		return false;
	return single_use == SC_SINGLE_USE_ON ||
	    (single_use == SC_SINGLE_USE_AUTO &&
		SSL_get_max_early_data(ssl) > 0) ||
	    brings_early_data(ssl);
}

/* --- the steps of a handshake -------------------------------------------- */

/*
 * To OpenSSL the end of early data is the start of another handshake; for us
 * it is still the same.
 */
static void
begin_handshake(SSL *ssl)
{
	struct sc_connection *connection = sc_connection_of(ssl);

	if (connection == NULL || SSL_get_state(ssl) == TLS_ST_EARLY_DATA)
		return;
	sc_connection_start(connection);
	sc_tickets_yield(SSL_get_SSL_CTX(ssl));
	guard_early_data(connection->handle, ssl);
}

/*
 * A step of a full handshake up to TLS 1.2.  When the client's Finished was
 * right, the session is complete but for its cipher, which is entered before
 * the ChangeCipherSpec.
 */
static void
advance_full(SSL *ssl)
{
	struct sc_connection *connection = sc_connection_of(ssl);
	SSL_SESSION *session = SSL_get_session(ssl);
	struct sc_quiet quiet;

	if (connection == NULL || session == NULL)
		return;
	sc_quiet_begin(&quiet);
	if (SSL_get_state(ssl) == TLS_ST_SR_FINISHED)
		sc_session_limit(connection, ssl, session);
	else if (is_going_to_be_new(ssl, session))
		store_before_finished(ssl, session);
	sc_quiet_end(&quiet);
}

/* What was offered resumes: see that it is where it belongs. */
static void
advance_resumed(SSL *ssl)
{
	struct sc_connection *connection = sc_connection_known(ssl);
	struct sc_quiet quiet;

	if (connection == NULL || connection->predicted == 0 ||
	    sc_realm_is_as_predicted(ssl, connection))
		return;
	sc_quiet_begin(&quiet);
	(void)sc_realm_settle(ssl, connection);
	sc_quiet_end(&quiet);
}

static void
advance_handshake(SSL *ssl)
{
	switch ((int)SSL_get_state(ssl)) {
	case TLS_ST_SR_CLNT_HELLO: /* read, the server's is to be written */
		if (SSL_session_reused(ssl))
			advance_resumed(ssl);
		break;
	case TLS_ST_SR_FINISHED:
	case TLS_ST_SW_CHANGE:
		if (!SSL_session_reused(ssl) &&
		    SSL_version(ssl) != TLS1_3_VERSION)
			advance_full(ssl);
		break;
	}
}

/* The callback that the application has set, before attach or after. */
static sc_info_callback *
find_own_info(const SSL *ssl)
{
	const struct sc_connection *connection;
	const struct sc_attachment *attachment;
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	sc_info_callback *own = SSL_CTX_get_info_callback(ctx);

	if (!atomic_load_explicit(&has_own_info, memory_order_relaxed))
		return own != on_info ? own : NULL;
	connection = sc_connection_known(ssl);
	attachment = sc_attachment_of(ctx);
	if (connection != NULL && connection->own_info != NULL)
		own = connection->own_info;
	else if (own == on_info)
		own = attachment != NULL ? attachment->own_info : NULL;
	return own;
}

/* Of an SSL_CTX, and of each connection: the application's is called too. */
static void
on_info(const SSL *ssl, int where, int ret)
{
	sc_info_callback *own;

	/* const is OpenSSL's manner */
	if ((where & SSL_CB_HANDSHAKE_START) != 0)
		begin_handshake((SSL *)ssl);
	else if (where == SSL_CB_ACCEPT_LOOP)
		advance_handshake((SSL *)ssl);
	own = find_own_info(ssl);
	if (own != NULL)
		own(ssl, where, ret);
}

/*
 * The callback of a connection, unlike that of an SSL_CTX, stays when the
 * context is switched, and when the application sets another one there.
 */
static void
hook(SSL *ssl, struct sc_connection *connection)
{
	sc_info_callback *own = SSL_get_info_callback(ssl);

	if (own == on_info)
		return;
	connection->own_info = own;
	if (own != NULL)
		atomic_store(&has_own_info, true);
	SSL_set_info_callback(ssl, on_info);
}

/* An ID that is an address, if the session will be stored. */
static enum sesscache_status
make_id(struct sc_connection *connection, const SSL *ssl, unsigned char *id,
    unsigned *id_len)
{
	enum sesscache_status status;

	/* OpenSSL asks for the usual 32 bytes, an application may not. */
	if (connection == NULL || *id_len < SESSCACHE_ID_LEN ||
	    !is_looked_up(ssl))
		return SESSCACHE_MISS;
	status = sc_cache_new_id(connection->handle->cache, id);
	if (status == SESSCACHE_OK)
		*id_len = SESSCACHE_ID_LEN;
	else
		sc_session_failed(connection->handle, "new ID", status);
	return status;
}

/*
 * In TLS 1.3 OpenSSL asks when it makes a ticket, of either kind, from the
 * session; then is the time to set when that ends.
 */
static int
on_generate_id(SSL *ssl, unsigned char *id, unsigned *id_len)
{
	struct sc_connection *connection;
	struct sc_quiet quiet;
	SSL_SESSION *session = SSL_get_session(ssl);
	int done = 1;

	sc_quiet_begin(&quiet);
	connection = sc_connection_of(ssl);
	if (connection != NULL && session != NULL &&
	    SSL_version(ssl) == TLS1_3_VERSION)
		sc_session_limit(connection, ssl, session);
	if (make_id(connection, ssl, id, id_len) != SESSCACHE_OK)
		done = RAND_bytes(id, (int)*id_len) == 1;
	sc_quiet_end(&quiet);
	return done;
}

/* --- looking up ---------------------------------------------------------- */

/*
 * After a HelloRetryRequest OpenSSL asks again.  The second ClientHello of a
 * handshake never brings early data.
 */
static SSL_SESSION *
find_taken(const struct sc_connection *connection, SSL *ssl,
    const unsigned char *id, size_t id_len)
{
	SSL_SESSION *session = connection->taken;

	if (session == NULL || !sc_session_has_id(session, id, id_len) ||
	    brings_early_data(ssl) || SSL_SESSION_up_ref(session) != 1)
		session = NULL;
	return session;
}

static void
keep_taken(struct sc_connection *connection, SSL_SESSION *session)
{
	sc_connection_drop_taken(connection);
	if (SSL_SESSION_up_ref(session) == 1)
		connection->taken = session;
}

static enum sesscache_status
look_up(struct sc_connection *connection, struct sc_lookup *lookup, bool take)
{
	struct sc_cache *cache = connection->handle->cache;
	enum sesscache_status status;

	if (lookup->terms.open.asked == 0) {
		sc_cache_count(cache, SC_EVENT_REALM);
		return SESSCACHE_MISS;
	}
	if (take)
		status = sc_cache_take(cache, lookup, sc_now());
	else
		status = sc_cache_get(cache, lookup, sc_now());
	if (status < 0 && status != SESSCACHE_EBUSY)
		sc_session_failed(connection->handle, "lookup", status);
	return status;
}

static SSL_SESSION *
find_session(struct sc_connection *connection, SSL *ssl,
    const unsigned char *id, size_t id_len)
{
	struct sc_scratch *scratch = sc_scratch();
	struct sc_lookup lookup = { .id = id, .id_len = id_len };
	bool take = is_for_once(connection->handle, ssl);
	uint64_t predicted = connection->predicted;
	SSL_SESSION *session = NULL;

	if (scratch == NULL) {
		sc_session_failed(connection->handle, "lookup",
		    SESSCACHE_ENOMEM);
		return NULL;
	}
	lookup.terms.open.asked = sc_realm_predict(ssl, connection);
	if (lookup.terms.open.asked != 0 &&
	    lookup.terms.open.asked == predicted)
		session = find_taken(connection, ssl, id, id_len);
	if (session != NULL)
		return session;
	lookup.buf = scratch->session;
	lookup.size = sizeof(scratch->session);
	if (look_up(connection, &lookup, take) != SESSCACHE_OK)
		return NULL;
	session = sc_session_decode(connection->handle, ssl, &lookup);
	OPENSSL_cleanse(scratch->session, lookup.len);
	connection->ends_at = lookup.expires_at;
	if (session != NULL && take)
		keep_taken(connection, session);
	return session;
}

static SSL_SESSION *
on_get_session(SSL *ssl, const unsigned char *id, int id_len, int *copy)
{
	struct sc_connection *connection;
	struct sc_quiet quiet;
	SSL_SESSION *session = NULL;

	*copy = 0; /* the reference becomes OpenSSL's */
	sc_quiet_begin(&quiet);
	connection = sc_connection_of(ssl);
	if (connection != NULL)
		guard_early_data(connection->handle, ssl);
	if (connection != NULL && id_len >= 1 && id_len <= SESSCACHE_ID_MAX_LEN)
		session = find_session(connection, ssl, id, (size_t)id_len);
	sc_quiet_end(&quiet);
	return session;
}

/*
 * OpenSSL calls this for a failed connection, whose session must go (RFC 5246,
 * section 7.2.2), but also in SSL_free() of one that was closed rudely, in
 * SSL_CTX_free() and for evictions from its own cache, which must take nothing
 * from the others.  A failure puts its reason on top of the error queue just
 * before it calls; the rest put nothing there, and a TCP connection that ends
 * without close_notify says so.  A link from session to connection could tell
 * as much, but either may outlive the other, in another thread.  A stale error
 * costs a full handshake, no more.
 *
 * May run under the lock of the SSL_CTX: no SSL_CTX session function here.
 */
static void
on_remove_session(SSL_CTX *ctx, SSL_SESSION *session)
{
	const struct sc_attachment *attachment = sc_attachment_of(ctx);
	unsigned long error = ERR_peek_last_error();
	enum sesscache_status status;
	struct sc_quiet quiet;
	const unsigned char *id;
	unsigned id_len;

	id = SSL_SESSION_get_id(session, &id_len);
	if (attachment == NULL || id_len == 0 ||
	    ERR_GET_LIB(error) != ERR_LIB_SSL ||
	    ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return;
	sc_quiet_begin(&quiet);
	status = sc_cache_remove(attachment->handle->cache, id, id_len);
	if (status < 0 && status != SESSCACHE_EBUSY)
		sc_session_failed(attachment->handle, "remove", status);
	sc_quiet_end(&quiet);
}

/* --- attaching ----------------------------------------------------------- */

/* Let probe begin to connect, which makes its session. */
static const SSL_SESSION *
begin_probe(SSL *probe)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_null());
	const SSL_SESSION *session = NULL;

	if (in != NULL && out != NULL) {
		SSL_set_bio(probe, in, out);
		in = out = NULL; /* they belong to the probe now */
		SSL_set_connect_state(probe);
		(void)SSL_do_handshake(probe); /* ends for want of an answer */
		session = SSL_get_session(probe);
	}
	BIO_free(in);
	BIO_free(out);
	return session;
}

/*
 * The session ID context of connections of an SSL_CTX; OpenSSL has no getter.
 * ssl is a connection of it.  The context is copied to a connection of ours,
 * which then gets rid of everything else that was copied with it
 * (SSL_set_SSL_CTX() leaves an ID context that differs from its SSL_CTX's),
 * and shows it in the session that it begins.  No callback of the application
 * runs, and nothing of ctx changes.  False: it could not be found out.
 */
static bool
find_id_context(struct sc_attachment *attachment, const SSL *ssl)
{
	SSL *probe = SSL_new(library.clients[0]);
	const SSL_SESSION *session = NULL;
	const unsigned char *context;

	if (probe != NULL && SSL_copy_session_id(probe, ssl) == 1 &&
	    SSL_set_SSL_CTX(probe, library.clients[1]) != NULL &&
	    SSL_set_ssl_method(probe, TLS_client_method()) == 1)
		session = begin_probe(probe);
	if (session != NULL) {
		context = SSL_SESSION_get0_id_context(session,
		    &attachment->id_context_len);
		memcpy(attachment->id_context, context,
		    attachment->id_context_len);
	}
	SSL_free(probe);
	return session != NULL;
}

/* Where sessions are: in the cache, or in tickets. */
static void
configure_tickets(const struct sesscache *handle, SSL_CTX *ctx)
{
	const struct sesscache_options *options = &handle->options;

	if (options->tickets == SC_TICKETS_OFF ||
	    options->single_use == SC_SINGLE_USE_ON)
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	else if (options->tickets == SC_TICKETS_SHARED)
		(void)SSL_CTX_clear_options(ctx, SSL_OP_NO_TICKET);
	if (is_guarded(handle, SSL_CTX_get_max_early_data(ctx),
		SSL_CTX_get_options(ctx)))
		(void)SSL_CTX_set_options(ctx,
		    SSL_OP_NO_TICKET | SSL_OP_NO_ANTI_REPLAY);
	sc_tickets_install(ctx);
}

static void
configure(struct sc_attachment *attachment, SSL_CTX *ctx, const SSL *ssl)
{
	long mode = SSL_CTX_get_session_cache_mode(ctx);

	(void)SSL_CTX_set_session_cache_mode(ctx,
	    mode | SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	SSL_CTX_sess_set_get_cb(ctx, on_get_session);
	SSL_CTX_sess_set_remove_cb(ctx, on_remove_session);
	(void)SSL_CTX_set_generate_session_id(ctx, on_generate_id);
	attachment->own_info = SSL_CTX_get_info_callback(ctx);
	if (attachment->own_info != NULL)
		atomic_store(&has_own_info, true);
	SSL_CTX_set_info_callback(ctx, on_info);
	configure_tickets(attachment->handle, ctx);
	if (find_id_context(attachment, ssl) && attachment->id_context_len == 0)
		(void)SSL_CTX_set_session_id_context(ctx, default_id_context,
		    sizeof(default_id_context) - 1);
	sc_realm_note(ctx, attachment);
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

static struct sc_attachment *
new_attachment(struct sesscache *handle, const char *realm)
{
	struct sc_attachment *attachment = calloc(1, sizeof(*attachment));

	if (attachment != NULL) {
		attachment->handle = handle;
		memcpy(attachment->realm, realm, strlen(realm) + 1);
		sc_handle_ref(handle);
	}
	return attachment;
}

static enum sesscache_status
attach(struct sesscache *handle, SSL_CTX *ctx, const char *realm)
{
	struct sc_attachment *attachment;
	enum sesscache_status status = SESSCACHE_OK;
	SSL *ssl = SSL_new(ctx);

	if (ssl == NULL)
		return fail_new();
	attachment = new_attachment(handle, realm);
	if (!SSL_is_server(ssl)) {
		status = sc_fail(SESSCACHE_EINVAL,
		    "attach: the SSL_CTX is for clients");
	} else if (attachment == NULL || !sc_attachment_add(ctx, attachment)) {
		status = sc_fail(SESSCACHE_ENOMEM, "attach: out of memory");
	} else {
		configure(attachment, ctx, ssl);
		attachment = NULL; /* it is the SSL_CTX's now */
	}
	if (attachment != NULL)
		sesscache_close(handle);
	free(attachment);
	SSL_free(ssl);
	return status;
}

static enum sesscache_status
check_context(const struct sesscache *cache, const SSL_CTX *ctx)
{
	const struct sc_attachment *attachment;

	if (SSL_CTX_get_ssl_method(ctx) == TLS_client_method())
		return sc_fail(SESSCACHE_EINVAL,
		    "attach: the SSL_CTX is for clients");
	(void)pthread_once(&library.once, init_library);
	if (!library.ready)
		return sc_fail(SESSCACHE_ENOMEM,
		    "attach: OpenSSL could not be prepared");
	attachment = sc_attachment_of(ctx);
	if (attachment == NULL)
		return SESSCACHE_OK;
	return sc_fail(SESSCACHE_EINVAL, "attach: the SSL_CTX is attached %s",
	    attachment->handle->cache == cache->cache ? "already" :
							"to another cache");
}

static enum sesscache_status
attach_checked(struct sesscache *cache, SSL_CTX *ctx, const char *realm)
{
	enum sesscache_status status;
	struct sc_aside aside;

	if (cache == NULL || ctx == NULL)
		return sc_fail(SESSCACHE_EINVAL, "attach: %s is NULL",
		    cache == NULL ? "the cache" : "the SSL_CTX");
	if (!cache->options.enable)
		return SESSCACHE_OK;
	sc_aside_begin(&aside);
	status = check_context(cache, ctx);
	if (status == SESSCACHE_OK)
		status = attach(cache, ctx, realm);
	sc_aside_end(&aside);
	return status;
}

enum sesscache_status
sesscache_attach(struct sesscache *cache, SSL_CTX *ctx)
{
	return attach_checked(cache, ctx, "");
}

enum sesscache_status
sesscache_attach_realm(struct sesscache *cache, SSL_CTX *ctx, const char *realm)
{
	size_t len = realm != NULL ? strlen(realm) : 0;

	if (len < 1 || len > SC_REALM_MAX)
		return sc_fail(SESSCACHE_EINVAL,
		    "attach: a realm has 1 to %d bytes, not %zu", SC_REALM_MAX,
		    len);
	return attach_checked(cache, ctx, realm);
}
