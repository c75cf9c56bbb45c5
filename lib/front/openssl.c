/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What OpenSSL sees of the cache: the callbacks of an SSL_CTX.  The one place
 * that drops errors: whatever fails here costs a full handshake, is counted,
 * and leaves errno and OpenSSL's error queue as they were.
 *
 * Only the callbacks of the SSL_CTX that SSL_new() got count, but after a
 * server-name switch SSL_get_SSL_CTX() returns another one, maybe without our
 * data.  handle_of() is how a callback finds its handle all the same.
 */
#include "front/openssl.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include <openssl/async.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "cache/scratch.h"
#include "front/handle.h"

enum {
	WARN_EVERY_SECONDS = 60,
	MAX_ERRORS = 16, /* that OpenSSL's queue holds */
};

static const unsigned char default_id_context[] = "sesscache";

typedef void info_callback(const SSL *ssl, int where, int ret);

static struct {
	pthread_once_t once;
	int ctx_index;       /* ex_data of an SSL_CTX: its handle */
	int ssl_index;       /* ex_data of an SSL: see remember_handle() */
	SSL_CTX *clients[2]; /* see has_id_context() */
	bool ready;
} library = { .once = PTHREAD_ONCE_INIT, .ctx_index = -1, .ssl_index = -1 };

/* Which handles the SSL_CTXs of this process are attached to. */
static struct {
	pthread_mutex_t lock; /* held by nobody during a fork() */
	struct sesscache *handle;
	unsigned own;                     /* SSL_CTXs attached to it */
	unsigned others;                  /* and to other handles */
	_Atomic(struct sesscache *) sole; /* handle, while others is 0 */
} attached = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The application's info callback behind on_info_chained(). */
static _Atomic(info_callback *) chained_info;

static atomic_uint_least32_t warned_at; /* sc_now() of the last warning */

/* The ID that this thread stored before its handshake was over; len 0: none. */
static _Thread_local struct {
	unsigned char id[SSL_MAX_SSL_SESSION_ID_LENGTH];
	unsigned len;
} early;

struct quiet {
	int saved_errno;
};

/*
 * What a callback does is invisible: errno, the error queue.  An asynchronous
 * engine must not suspend it either, for another connection of this thread
 * would then use the same buffer.
 */
static void
quiet_begin(struct quiet *quiet)
{
	quiet->saved_errno = errno;
	(void)ERR_set_mark();
	ASYNC_block_pause();
}

static void
quiet_end(const struct quiet *quiet)
{
	ASYNC_unblock_pause();
	(void)ERR_pop_to_mark();
	errno = quiet->saved_errno;
}

static void
attached_add(struct sesscache *handle)
{
	(void)pthread_mutex_lock(&attached.lock);
	if (attached.own == 0 && attached.others == 0)
		attached.handle = handle;
	if (attached.handle == handle)
		attached.own++;
	else
		attached.others++;
	atomic_store(&attached.sole,
	    attached.others == 0 ? attached.handle : NULL);
	(void)pthread_mutex_unlock(&attached.lock);
}

static void
attached_remove(struct sesscache *handle)
{
	(void)pthread_mutex_lock(&attached.lock);
	if (attached.handle == handle)
		attached.own--;
	else
		attached.others--;
	if (attached.own == 0)
		attached.handle = NULL;
	atomic_store(&attached.sole,
	    attached.others == 0 ? attached.handle : NULL);
	(void)pthread_mutex_unlock(&attached.lock);
}

static void
lock_attached(void)
{
	(void)pthread_mutex_lock(&attached.lock);
}

static void
unlock_attached(void)
{
	(void)pthread_mutex_unlock(&attached.lock);
}

static void
free_ctx_handle(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index,
    long argl, void *argp)
{
	struct sesscache *handle = ptr;

	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (handle != NULL) {
		attached_remove(handle);
		sesscache_close(handle);
	}
}

static void
free_ssl_handle(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index,
    long argl, void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	sesscache_close(ptr);
}

/* SSL_dup(): the copy owns the handle as well. */
static int
dup_ssl_handle(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **ptr,
    int index, long argl, void *argp)
{
	(void)to, (void)from, (void)index, (void)argl, (void)argp;
	if (*ptr != NULL)
		sc_handle_ref(*ptr);
	return 1;
}

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

static void
init_library(void)
{
	int failed;

	library.ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL,
	    free_ctx_handle);
	library.ssl_index = SSL_get_ex_new_index(0, NULL, NULL, dup_ssl_handle,
	    free_ssl_handle);
	library.clients[0] = new_probe_ctx();
	library.clients[1] = new_probe_ctx();
	failed = pthread_atfork(lock_attached, unlock_attached,
	    unlock_attached);
	library.ready = library.ctx_index >= 0 && library.ssl_index >= 0 &&
	    library.clients[0] != NULL && library.clients[1] != NULL &&
	    failed == 0;
}

/*
 * The handle for a connection.  A process has one handle as a rule, and then
 * this is it.  Else it is the one that a callback saw before the server name
 * switched the context, or that of the context which is now in use.  NULL if
 * there is none; then nothing is stored or found.
 */
static struct sesscache *
handle_of(const SSL *ssl)
{
	struct sesscache *handle = atomic_load(&attached.sole);

	if (handle == NULL)
		handle = SSL_get_ex_data(ssl, library.ssl_index);
	if (handle == NULL)
		handle = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl),
		    library.ctx_index);
	return handle;
}

/*
 * Called from what runs before the switch, to find the same handle after it.
 * With one handle in the process there is nothing to remember.
 */
static void
remember_handle(SSL *ssl)
{
	struct sesscache *handle;

	if (atomic_load(&attached.sole) != NULL ||
	    SSL_get_ex_data(ssl, library.ssl_index) != NULL)
		return;
	handle = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), library.ctx_index);
	if (handle != NULL &&
	    SSL_set_ex_data(ssl, library.ssl_index, handle) == 1)
		sc_handle_ref(handle);
}

/*
 * A connection whose handle is not known; that is, the process has several.
 * It is counted where somebody may look.
 */
static void
count_lost(void)
{
	(void)pthread_mutex_lock(&attached.lock);
	if (attached.handle != NULL)
		sc_cache_count(attached.handle->cache, SC_EVENT_FAILED);
	(void)pthread_mutex_unlock(&attached.lock);
}

static void
count_failure(struct sesscache *handle, const char *what,
    enum sesscache_status status)
{
	sc_cache_count(handle->cache, SC_EVENT_FAILED);
	sc_log(&handle->options, SC_LOG_DEBUG, "%s: %s", what,
	    sesscache_strerror(status));
}

/* One line a minute at most: a flood must not fill the log. */
static void
warn_too_big(struct sesscache *handle, int session_bytes)
{
	uint_least32_t now = sc_now(), last = atomic_load(&warned_at);

	sc_cache_count(handle->cache, SC_EVENT_TOO_BIG);
	if (last != 0 && now - last < WARN_EVERY_SECONDS)
		return;
	if (!atomic_compare_exchange_strong(&warned_at, &last, now))
		return;
	sc_log(&handle->options, SC_LOG_WARN,
	    "not stored: a session of %d bytes, max-session is %u bytes",
	    session_bytes, (unsigned)handle->options.max_session_bytes);
}

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

static int64_t
session_time(const SSL_SESSION *session)
{
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
	return (int64_t)SSL_SESSION_get_time_ex(session);
#else
	return (int64_t)SSL_SESSION_get_time(session);
#endif
}

/* Seconds that a session still lives; 0 if it is over. */
static uint32_t
remaining_seconds(const SSL_SESSION *session)
{
	int64_t timeout = (int64_t)SSL_SESSION_get_timeout(session);
	int64_t age = (int64_t)time(NULL) - session_time(session);
	int64_t left;

	if (age < 0) /* the time of day was set back */
		age = 0;
	left = timeout > age ? timeout - age : 0;
	return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

/* Bytes of the encoded session in buf, or 0. */
static size_t
encode_session(struct sesscache *handle, const SSL_SESSION *session,
    uint8_t buf[SC_SCRATCH_SESSION])
{
	size_t len = 0, max = handle->options.max_session_bytes;
	unsigned char *end = buf;
	int need;

	if (max > SC_SCRATCH_SESSION)
		max = SC_SCRATCH_SESSION;
	need = i2d_SSL_SESSION(session, NULL);
	if (need <= 0)
		count_failure(handle, "i2d_SSL_SESSION", SESSCACHE_ECORRUPT);
	else if ((size_t)need > max)
		warn_too_big(handle, need);
	else if (i2d_SSL_SESSION(session, &end) == need)
		len = (size_t)need;
	else
		count_failure(handle, "i2d_SSL_SESSION", SESSCACHE_ECORRUPT);
	return len;
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
		count_failure(handle, "store", SESSCACHE_ENOMEM);
		return false;
	}
	in->data = scratch->session;
	in->data_len = encode_session(handle, session, scratch->session);
	if (in->data_len > 0) {
		status = sc_cache_put(handle->cache, in, sc_now());
		if (status < 0 && status != SESSCACHE_EBUSY)
			count_failure(handle, "store", status);
	}
	OPENSSL_cleanse(scratch->session, in->data_len);
	return status == SESSCACHE_OK;
}

/* Returns whether the session is in the cache now. */
static bool
store_session(const SSL *ssl, const SSL_SESSION *session)
{
	struct sesscache *handle = handle_of(ssl);
	struct sc_record_in in = { .flags = record_flags(ssl) };
	unsigned id_len;

	in.id = SSL_SESSION_get_id(session, &id_len);
	in.id_len = id_len;
	in.ttl_seconds = remaining_seconds(session);
	if (handle == NULL)
		count_lost();
	if (handle == NULL || id_len == 0 || in.ttl_seconds == 0)
		return false;
	if (in.ttl_seconds > handle->options.timeout_seconds)
		in.ttl_seconds = handle->options.timeout_seconds;
	return store_encoded(handle, session, &in);
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
	struct quiet quiet;

	quiet_begin(&quiet);
	if (is_stored_early(session))
		early.len = 0;
	else if (is_looked_up(ssl))
		(void)store_session(ssl, session);
	quiet_end(&quiet);
	return 0;
}

/*
 * Whether this is the moment before the server's Finished of a full handshake
 * up to TLS 1.2: the client's Finished was right, and the session is complete
 * since the cipher was entered before the ChangeCipherSpec.
 */
static bool
is_about_to_finish(const SSL *ssl, int where)
{
	return where == SSL_CB_ACCEPT_LOOP &&
	    SSL_get_state(ssl) == TLS_ST_SW_CHANGE &&
	    SSL_version(ssl) != TLS1_3_VERSION && !SSL_session_reused(ssl);
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
on_info(const SSL *ssl, int where, int ret)
{
	const SSL_SESSION *session = SSL_get_session(ssl);
	const unsigned char *id;
	struct quiet quiet;
	unsigned id_len;

	(void)ret;
	if ((where & SSL_CB_HANDSHAKE_START) != 0)
		remember_handle((SSL *)ssl); /* const is OpenSSL's manner */
	if (!is_about_to_finish(ssl, where) ||
	    !is_going_to_be_new(ssl, session))
		return;
	quiet_begin(&quiet);
	early.len = 0;
	id = SSL_SESSION_get_id(session, &id_len);
	if (id_len <= sizeof(early.id) && store_session(ssl, session)) {
		memcpy(early.id, id, id_len);
		early.len = id_len;
	}
	quiet_end(&quiet);
}

static void
on_info_chained(const SSL *ssl, int where, int ret)
{
	info_callback *own = atomic_load(&chained_info);

	on_info(ssl, where, ret);
	own(ssl, where, ret);
}

/*
 * The info callback stays the application's: on_info_chained() calls it.
 * Which SSL_CTX an info callback runs for cannot be known after a switch, so
 * the one it chains to is the same in the whole process; a context with yet
 * another one keeps that, and its sessions are stored by on_new_session().
 */
static void
install_info_callback(SSL_CTX *ctx)
{
	info_callback *own = SSL_CTX_get_info_callback(ctx);
	info_callback *chained = NULL;

	if (own == on_info || own == on_info_chained)
		return;
	if (own == NULL)
		SSL_CTX_set_info_callback(ctx, on_info);
	else if (atomic_compare_exchange_strong(&chained_info, &chained, own) ||
	    chained == own)
		SSL_CTX_set_info_callback(ctx, on_info_chained);
}

/*
 * An ID that is an address, if the session will be stored and OpenSSL asks
 * for the usual 32 bytes; else, and if that fails, random bytes.
 */
static int
on_generate_id(SSL *ssl, unsigned char *id, unsigned *id_len)
{
	struct sesscache *handle;
	struct quiet quiet;
	enum sesscache_status status = SESSCACHE_MISS;
	int done = 1;

	quiet_begin(&quiet);
	remember_handle(ssl);
	handle = handle_of(ssl);
	if (handle != NULL && *id_len >= SESSCACHE_ID_LEN &&
	    is_looked_up(ssl)) {
		status = sc_cache_new_id(handle->cache, id);
		if (status != SESSCACHE_OK)
			count_failure(handle, "new ID", status);
	}
	if (status == SESSCACHE_OK)
		*id_len = SESSCACHE_ID_LEN;
	else
		done = RAND_bytes(id, (int)*id_len) == 1;
	quiet_end(&quiet);
	return done;
}

/*
 * Whether the peer of a session has shown who it is, where it must.  The ID
 * context may be that of a context which does not ask for certificates.
 */
static bool
is_peer_sufficient(const SSL *ssl, SSL_SESSION *session)
{
	int mode = SSL_get_verify_mode(ssl);
	unsigned context_len;
	bool authenticated = SSL_SESSION_get0_peer(session) != NULL;

#if OPENSSL_VERSION_NUMBER >= 0x30200000L
	authenticated = authenticated ||
	    SSL_SESSION_get0_peer_rpk(session) != NULL;
#endif
	if ((mode & SSL_VERIFY_PEER) == 0)
		return true;
	/* OpenSSL would end the handshake rather than not resume. */
	(void)SSL_SESSION_get0_id_context(session, &context_len);
	if (context_len == 0)
		return false;
	return authenticated || (mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) == 0;
}

static bool
is_usable(const SSL *ssl, SSL_SESSION *session)
{
	return SSL_SESSION_get_protocol_version(session) == SSL_version(ssl) &&
	    SSL_SESSION_is_resumable(session) &&
	    remaining_seconds(session) > 0 && is_peer_sufficient(ssl, session);
}

static bool
is_id(const SSL_SESSION *session, const unsigned char *id, size_t len)
{
	unsigned id_len;
	const unsigned char *own = SSL_SESSION_get_id(session, &id_len);

	return id_len == len && memcmp(own, id, len) == 0;
}

/* The session in len bytes, if it may be resumed here; else NULL. */
static SSL_SESSION *
decode_session(struct sesscache *handle, const SSL *ssl,
    const struct sc_lookup *lookup)
{
	const unsigned char *end = lookup->buf;
	SSL_SESSION *session = d2i_SSL_SESSION(NULL, &end, (long)lookup->len);

	/* d2i accepts what trails, OpenSSL an ID that was not asked for. */
	if (session == NULL || end != lookup->buf + lookup->len ||
	    !is_id(session, lookup->id, lookup->id_len)) {
		count_failure(handle, "d2i_SSL_SESSION", SESSCACHE_ECORRUPT);
		SSL_SESSION_free(session);
		session = NULL;
	} else if (!is_usable(ssl, session)) {
		SSL_SESSION_free(session);
		session = NULL;
	}
	return session;
}

static SSL_SESSION *
find_session(struct sesscache *handle, const SSL *ssl, const unsigned char *id,
    size_t id_len)
{
	struct sc_scratch *scratch = sc_scratch();
	struct sc_lookup lookup = { .id = id, .id_len = id_len };
	enum sesscache_status status = SESSCACHE_ENOMEM;
	SSL_SESSION *session = NULL;

	if (scratch != NULL) {
		lookup.buf = scratch->session;
		lookup.size = sizeof(scratch->session);
		status = sc_cache_get(handle->cache, &lookup, sc_now());
	}
	if (status == SESSCACHE_OK) {
		session = decode_session(handle, ssl, &lookup);
		OPENSSL_cleanse(scratch->session, lookup.len);
	} else if (status < 0 && status != SESSCACHE_EBUSY) {
		count_failure(handle, "lookup", status);
	}
	return session;
}

static SSL_SESSION *
on_get_session(SSL *ssl, const unsigned char *id, int id_len, int *copy)
{
	struct sesscache *handle;
	struct quiet quiet;
	SSL_SESSION *session = NULL;

	*copy = 0; /* the reference becomes OpenSSL's */
	quiet_begin(&quiet);
	remember_handle(ssl);
	handle = handle_of(ssl);
	if (handle == NULL)
		count_lost();
	else if (id_len >= 1 && id_len <= SESSCACHE_ID_MAX_LEN)
		session = find_session(handle, ssl, id, (size_t)id_len);
	quiet_end(&quiet);
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
	struct sesscache *handle = SSL_CTX_get_ex_data(ctx, library.ctx_index);
	unsigned long error = ERR_peek_last_error();
	enum sesscache_status status;
	struct quiet quiet;
	const unsigned char *id;
	unsigned id_len;

	id = SSL_SESSION_get_id(session, &id_len);
	if (handle == NULL || id_len == 0 ||
	    ERR_GET_LIB(error) != ERR_LIB_SSL ||
	    ERR_GET_REASON(error) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return;
	quiet_begin(&quiet);
	status = sc_cache_remove(handle->cache, id, id_len);
	if (status < 0 && status != SESSCACHE_EBUSY)
		count_failure(handle, "remove", status);
	quiet_end(&quiet);
}

/* One error of OpenSSL's queue; the strings are ours, NULL if there is none. */
struct saved_error {
	unsigned long code;
	char *file, *function, *text;
	int line;
};

static char *
copy_string(const char *string)
{
	return string != NULL ? OPENSSL_strdup(string) : NULL;
}

/* Take the errors off the queue; returns how many there were. */
static size_t
save_errors(struct saved_error saved[MAX_ERRORS])
{
	const char *file, *function, *text;
	int line, flags;
	unsigned long code;
	size_t n = 0;

	while (n < MAX_ERRORS) {
		code = ERR_get_error_all(&file, &line, &function, &text,
		    &flags);
		if (code == 0)
			break;
		if ((flags & ERR_TXT_STRING) == 0)
			text = NULL;
		saved[n++] = (struct saved_error){
			.code = code,
			.file = copy_string(file),
			.function = copy_string(function),
			.text = copy_string(text),
			.line = line,
		};
	}
	return n;
}

static void
restore_errors(struct saved_error saved[MAX_ERRORS], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ERR_new();
		ERR_set_debug(saved[i].file, saved[i].line, saved[i].function);
		if (saved[i].text != NULL)
			ERR_set_error(ERR_GET_LIB(saved[i].code),
			    ERR_GET_REASON(saved[i].code), "%s", saved[i].text);
		else
			ERR_set_error(ERR_GET_LIB(saved[i].code),
			    ERR_GET_REASON(saved[i].code), NULL);
		OPENSSL_free(saved[i].file);
		OPENSSL_free(saved[i].function);
		OPENSSL_free(saved[i].text);
	}
}

/* Let probe begin to connect, which makes its session. */
static const SSL_SESSION *
begin_handshake(SSL *probe)
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
 * Whether connections of an SSL_CTX have a session ID context; OpenSSL has no
 * getter.  ssl is a connection of it.  The context is copied to a connection
 * of ours, which then gets rid of everything else that was copied with it
 * (SSL_set_SSL_CTX() leaves an ID context that differs from its SSL_CTX's),
 * and shows it in the session that it begins.  No callback of the application
 * runs, and nothing of ctx changes.  In doubt the answer is yes.
 */
static bool
has_id_context(const SSL *ssl)
{
	SSL *probe = SSL_new(library.clients[0]);
	const SSL_SESSION *session = NULL;
	unsigned context_len = 1;

	if (probe != NULL && SSL_copy_session_id(probe, ssl) == 1 &&
	    SSL_set_SSL_CTX(probe, library.clients[1]) != NULL &&
	    SSL_set_ssl_method(probe, TLS_client_method()) == 1)
		session = begin_handshake(probe);
	if (session != NULL)
		(void)SSL_SESSION_get0_id_context(session, &context_len);
	SSL_free(probe);
	return context_len > 0;
}

static void
configure(struct sesscache *handle, SSL_CTX *ctx, const SSL *ssl)
{
	long mode = SSL_CTX_get_session_cache_mode(ctx);

	(void)SSL_CTX_set_session_cache_mode(ctx,
	    mode | SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	SSL_CTX_sess_set_get_cb(ctx, on_get_session);
	SSL_CTX_sess_set_remove_cb(ctx, on_remove_session);
	(void)SSL_CTX_set_generate_session_id(ctx, on_generate_id);
	install_info_callback(ctx);
	if (handle->options.tickets == SC_TICKETS_OFF)
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	if (!has_id_context(ssl))
		(void)SSL_CTX_set_session_id_context(ctx, default_id_context,
		    sizeof(default_id_context) - 1);
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
attach(struct sesscache *handle, SSL_CTX *ctx)
{
	enum sesscache_status status = SESSCACHE_OK;
	SSL *ssl = SSL_new(ctx);

	if (ssl == NULL) {
		status = fail_new();
	} else if (!SSL_is_server(ssl)) {
		status = sc_fail(SESSCACHE_EINVAL,
		    "attach: the SSL_CTX is for clients");
	} else if (SSL_CTX_set_ex_data(ctx, library.ctx_index, handle) != 1) {
		status = sc_fail(SESSCACHE_ENOMEM,
		    "attach: SSL_CTX_set_ex_data failed");
	} else {
		sc_handle_ref(handle);
		attached_add(handle);
		configure(handle, ctx, ssl);
	}
	SSL_free(ssl);
	return status;
}

enum sesscache_status
sesscache_attach(struct sesscache *cache, SSL_CTX *ctx)
{
	enum sesscache_status status = SESSCACHE_OK;
	struct saved_error errors[MAX_ERRORS];
	int saved_errno = errno;
	size_t n_errors;

	if (cache == NULL || ctx == NULL)
		return sc_fail(SESSCACHE_EINVAL, "attach: %s is NULL",
		    cache == NULL ? "the cache" : "the SSL_CTX");
	if (!cache->options.enable)
		return SESSCACHE_OK;
	if (SSL_CTX_get_ssl_method(ctx) == TLS_client_method())
		return sc_fail(SESSCACHE_EINVAL,
		    "attach: the SSL_CTX is for clients");
	/* has_id_context() begins a handshake, which clears the queue. */
	n_errors = save_errors(errors);
	(void)pthread_once(&library.once, init_library);
	if (!library.ready)
		status = sc_fail(SESSCACHE_ENOMEM,
		    "attach: OpenSSL could not be prepared");
	else if (SSL_CTX_get_ex_data(ctx, library.ctx_index) != NULL)
		status = sc_fail(SESSCACHE_EINVAL,
		    "attach: the SSL_CTX is attached already");
	else
		status = attach(cache, ctx);
	ERR_clear_error();
	restore_errors(errors, n_errors);
	errno = saved_errno;
	return status;
}

static const char *
protocol_name(int version)
{
	static const struct {
		int version;
		const char *name;
	} names[] = {
		{ TLS1_3_VERSION, "TLSv1.3" },
		{ TLS1_2_VERSION, "TLSv1.2" },
		{ TLS1_1_VERSION, "TLSv1.1" },
		{ TLS1_VERSION, "TLSv1" },
		{ SSL3_VERSION, "SSLv3" },
		{ DTLS1_2_VERSION, "DTLSv1.2" },
		{ DTLS1_VERSION, "DTLSv1" },
	};
	const char *name = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].version == version)
			name = names[i].name;
	}
	return name;
}

void
sc_session_describe(struct sc_session_text *out, const uint8_t *data,
    size_t len)
{
	const unsigned char *end = data;
	const char *server_name;
	const SSL_CIPHER *cipher;
	SSL_SESSION *session = NULL;
	struct quiet quiet;

	memset(out, 0, sizeof(*out));
	quiet_begin(&quiet);
	if (len <= LONG_MAX)
		session = d2i_SSL_SESSION(NULL, &end, (long)len);
	if (session != NULL && end == data + len) {
		out->protocol = protocol_name(
		    SSL_SESSION_get_protocol_version(session));
		cipher = SSL_SESSION_get0_cipher(session);
		if (cipher != NULL)
			out->cipher = SSL_CIPHER_standard_name(cipher);
		server_name = SSL_SESSION_get0_hostname(session);
		if (server_name != NULL)
			(void)strncat(out->server_name, server_name,
			    sizeof(out->server_name) - 1);
	}
	SSL_SESSION_free(session);
	quiet_end(&quiet);
}
