/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What sesscache_attach() makes of an SSL_CTX: real handshakes in memory,
 * between contexts, processes, threads and versions, and what goes wrong.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "api/handle.h"
#include "openssl/session.h"
#include "sesscache.h"
#include "tls.h"

#define N_OF(array) ((int)(sizeof(array) / sizeof(array)[0]))

enum {
	THREADS = 4,
	VISITS = 10, /* of each thread */
	MAX_DER_BYTES = 30 * 1024,
};

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static char root[256];          /* of the test's directories */
static struct sesscache *cache; /* in root/cache */
static struct tls_identity server_identity, client_identity;

/* What the server saw of one connection. */
struct visit {
	bool reused;
	bool peer; /* it has the client's certificate */
	unsigned char id[SSL_MAX_SSL_SESSION_ID_LENGTH];
	unsigned id_len;
	unsigned char context[SSL_MAX_SID_CTX_LENGTH];
	unsigned context_len;
};

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void
remove_tree(const char *path)
{
	(void)nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void
make_world(void)
{
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(root, sizeof(root), "%s/check_openssl.XXXXXX",
	    tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert(tls_identity_new(&server_identity, "server", 0));
	ck_assert(tls_identity_new(&client_identity, "client", 0));
}

static void
remove_world(void)
{
	remove_tree(root);
	tls_identity_free(&server_identity);
	tls_identity_free(&client_identity);
}

static struct sesscache *
open_cache(const char *name, const char *setting, const char *value)
{
	struct sesscache_options *options = NULL;
	struct sesscache *opened = NULL;
	char dir[512];

	(void)snprintf(dir, sizeof(dir), "%s/%s", root, name);
	ck_assert_int_eq(sesscache_options_new(&options), SESSCACHE_OK);
	ck_assert_int_eq(sesscache_options_set(options, "dir", dir),
	    SESSCACHE_OK);
	ck_assert_int_eq(sesscache_options_set(options, "size", "16M"),
	    SESSCACHE_OK);
	ck_assert_int_eq(sesscache_options_set(options, "log", "warn"),
	    SESSCACHE_OK);
	if (setting != NULL)
		ck_assert_int_eq(sesscache_options_set(options, setting, value),
		    SESSCACHE_OK);
	ck_assert_msg(sesscache_open(&opened, options) == SESSCACHE_OK, "%s",
	    sesscache_detail());
	sesscache_options_free(options);
	return opened;
}

static void
setup(void)
{
	char dir[512];

	(void)snprintf(dir, sizeof(dir), "%s/cache", root);
	remove_tree(dir);
	cache = open_cache("cache", NULL, NULL);
	ERR_clear_error();
}

static void
teardown(void)
{
	sesscache_close(cache);
	cache = NULL;
	ERR_clear_error();
}

/* A server whose sessions are all in the cache. */
static SSL_CTX *
attached_server(struct sesscache *to, int version)
{
	SSL_CTX *ctx = tls_server_new(&server_identity, version);

	ck_assert_ptr_nonnull(ctx);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	ck_assert_msg(sesscache_attach(to, ctx) == SESSCACHE_OK, "%s",
	    sesscache_detail());
	return ctx;
}

static SSL_CTX *
plain_client(int version)
{
	SSL_CTX *ctx = tls_client_new(NULL, version);

	ck_assert_ptr_nonnull(ctx);
	return ctx;
}

static void
look(SSL *server, struct visit *out)
{
	SSL_SESSION *session = SSL_get_session(server);
	const unsigned char *id, *context;

	memset(out, 0, sizeof(*out));
	out->reused = SSL_session_reused(server) == 1;
	out->peer = SSL_SESSION_get0_peer(session) != NULL;
	id = SSL_SESSION_get_id(session, &out->id_len);
	memcpy(out->id, id, out->id_len);
	context = SSL_SESSION_get0_id_context(session, &out->context_len);
	memcpy(out->context, context, out->context_len);
}

/*
 * One connection that offers *session (may be NULL), politely closed.  Leaves
 * the client's newest session there.  Safe in a child of a test.
 */
static bool
try_visit(SSL_CTX *server, SSL_CTX *client, const char *server_name,
    SSL_SESSION **session, struct visit *out)
{
	struct tls_pair pair;
	bool done;

	if (!tls_pair_new(&pair, server, client, *session, server_name))
		return false;
	done = tls_pair_handshake(&pair) &&
	    tls_send(pair.client, pair.server, "question") &&
	    tls_send(pair.server, pair.client, "answer");
	if (done) {
		look(pair.server, out);
		SSL_SESSION_free(*session);
		*session = SSL_get1_session(pair.client);
		tls_pair_shutdown(&pair);
	}
	tls_pair_free(&pair);
	return done;
}

static struct visit
visit(SSL_CTX *server, SSL_CTX *client, SSL_SESSION **session)
{
	struct visit seen;

	ck_assert_msg(try_visit(server, client, NULL, session, &seen), "%s",
	    ERR_reason_error_string(ERR_peek_last_error()));
	return seen;
}

static struct sesscache_stats
stats_of(struct sesscache *of)
{
	struct sesscache_stats stats;

	ck_assert_int_eq(sesscache_stats(of, &stats), SESSCACHE_OK);
	return stats;
}

/* A record that is looked for, and what was found. */
struct stored {
	const struct visit *of;
	uint8_t *der;
	size_t size;
	size_t len;
	struct sc_scope scope;
};

static int
copy_stored(const struct sc_scanned *scanned, void *arg)
{
	struct stored *stored = arg;

	if (scanned->id_len != stored->of->id_len ||
	    memcmp(scanned->id, stored->of->id, scanned->id_len) != 0)
		return 0;
	ck_assert_ptr_null(scanned->problem);
	ck_assert_uint_le(scanned->data_len, stored->size);
	memcpy(stored->der, scanned->data, scanned->data_len);
	stored->len = scanned->data_len;
	stored->scope = scanned->scope;
	return 1;
}

/* The stored bytes of a session. */
static struct stored
find_stored(const struct visit *of, uint8_t *der, size_t size)
{
	struct stored stored = { .of = of, .der = der, .size = size };

	ck_assert_int_eq(sc_cache_scan(cache->cache, copy_stored, &stored),
	    SESSCACHE_OK);
	ck_assert_uint_gt(stored.len, 0);
	return stored;
}

static size_t
stored_der(const struct visit *seen, uint8_t *der, size_t size)
{
	return find_stored(seen, der, size).len;
}

/* Replace the bytes of a session; what it belongs to stays. */
static void
store_der(const struct visit *under, const uint8_t *der, size_t len)
{
	uint8_t old[16384];
	struct sc_record_in in = { .id = under->id,
		.id_len = under->id_len,
		.data = der,
		.data_len = len,
		.ttl_seconds = 3600 };

	in.scope = find_stored(under, old, sizeof(old)).scope;
	ck_assert_int_eq(sc_cache_put(cache->cache, &in, sc_now()),
	    SESSCACHE_OK);
}

/* --- attaching ------------------------------------------------------------ */

START_TEST(attach_refuses_null_with_a_sentence)
{
	SSL_CTX *ctx = tls_server_new(&server_identity, TLS1_3_VERSION);

	ck_assert_int_eq(sesscache_attach(NULL, ctx), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "NULL"));
	ck_assert_int_eq(sesscache_attach(cache, NULL), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "NULL"));
	SSL_CTX_free(ctx);
}
END_TEST

START_TEST(attach_refuses_a_context_for_clients)
{
	const SSL_METHOD *methods[] = { TLS_client_method(),
		DTLS_client_method() };
	SSL_CTX *ctx;

	for (int i = 0; i < N_OF(methods); i++) {
		ctx = SSL_CTX_new(methods[i]);
		ck_assert_int_eq(sesscache_attach(cache, ctx),
		    SESSCACHE_EINVAL);
		ck_assert_ptr_nonnull(strstr(sesscache_detail(), "clients"));
		ck_assert_ptr_null(SSL_CTX_sess_get_new_cb(ctx));
		SSL_CTX_free(ctx);
	}
}
END_TEST

START_TEST(attach_accepts_a_context_for_both_sides)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	ck_assert_int_eq(sesscache_attach(cache, ctx), SESSCACHE_OK);
	SSL_CTX_free(ctx);
	ctx = SSL_CTX_new(DTLS_server_method());
	ck_assert_int_eq(sesscache_attach(cache, ctx), SESSCACHE_OK);
	SSL_CTX_free(ctx);
}
END_TEST

START_TEST(attach_refuses_a_context_that_is_attached)
{
	SSL_CTX *ctx = attached_server(cache, TLS1_3_VERSION);

	ck_assert_int_eq(sesscache_attach(cache, ctx), SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "already"));
	SSL_CTX_free(ctx);
}
END_TEST

START_TEST(attach_does_nothing_when_disabled)
{
	struct sesscache *disabled = open_cache("cache", "enable", "off");
	SSL_CTX *ctx = tls_server_new(&server_identity, TLS1_3_VERSION);
	long mode = SSL_CTX_get_session_cache_mode(ctx);

	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(sesscache_attach(disabled, ctx), SESSCACHE_OK);
	ck_assert_int_eq(SSL_CTX_get_session_cache_mode(ctx), mode);
	ck_assert_ptr_null(SSL_CTX_sess_get_new_cb(ctx));
	ck_assert_ptr_null(SSL_CTX_sess_get_get_cb(ctx));
	ck_assert_ptr_null(SSL_CTX_sess_get_remove_cb(ctx));
	ck_assert_ptr_null(SSL_CTX_get_info_callback(ctx));
	SSL_CTX_free(ctx);
	sesscache_close(disabled);
}
END_TEST

/* Off, OpenSSL would issue no tickets that need the cache. */
START_TEST(attach_turns_the_cache_on_and_keeps_the_other_bits)
{
	SSL_CTX *ctx = tls_server_new(&server_identity, TLS1_3_VERSION);

	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	ck_assert_int_eq(sesscache_attach(cache, ctx), SESSCACHE_OK);
	ck_assert_int_eq(SSL_CTX_get_session_cache_mode(ctx),
	    SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_free(ctx);
	ctx = tls_server_new(&server_identity, TLS1_3_VERSION);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_NO_AUTO_CLEAR);
	ck_assert_int_eq(sesscache_attach(cache, ctx), SESSCACHE_OK);
	ck_assert_int_eq(SSL_CTX_get_session_cache_mode(ctx),
	    SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
		SSL_SESS_CACHE_NO_AUTO_CLEAR);
	SSL_CTX_free(ctx);
}
END_TEST

START_TEST(tickets_stay_as_the_application_set_them_unless_turned_off)
{
	struct sesscache *off = open_cache("cache", "tickets", "off");
	SSL_CTX *ctx = tls_server_new(&server_identity, TLS1_3_VERSION);

	ck_assert_int_eq(sesscache_attach(cache, ctx), SESSCACHE_OK);
	ck_assert_uint_eq(SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET, 0);
	SSL_CTX_free(ctx);
	ctx = tls_server_new(&server_identity, TLS1_3_VERSION);
	ck_assert_int_eq(sesscache_attach(off, ctx), SESSCACHE_OK);
	ck_assert_uint_ne(SSL_CTX_get_options(ctx) & SSL_OP_NO_TICKET, 0);
	SSL_CTX_free(ctx);
	sesscache_close(off);
}
END_TEST

START_TEST(attach_keeps_errno_and_the_error_queue)
{
	SSL_CTX *server = tls_server_new(&server_identity, TLS1_3_VERSION);
	SSL_CTX *client = plain_client(TLS1_3_VERSION);
	const char *text;
	unsigned long error;
	int flags;

	ERR_raise_data(ERR_LIB_USER, 77, "of the application");
	error = ERR_peek_error();
	errno = EDOM;
	ck_assert_int_eq(sesscache_attach(cache, server), SESSCACHE_OK);
	ck_assert_int_eq(sesscache_attach(cache, server), SESSCACHE_EINVAL);
	ck_assert_int_eq(sesscache_attach(cache, client), SESSCACHE_EINVAL);
	ck_assert_int_eq(errno, EDOM);
	ck_assert_uint_eq(ERR_get_error_all(NULL, NULL, NULL, &text, &flags),
	    error);
	ck_assert_str_eq(text, "of the application");
	ck_assert_uint_eq(ERR_get_error(), 0);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

static int calls; /* of the application's callbacks */

static void
count_info(const SSL *ssl, int where, int ret)
{
	(void)ssl, (void)where, (void)ret;
	calls++;
}

static void
count_message(int write_p, int version, int content_type, const void *buf,
    size_t len, SSL *ssl, void *arg)
{
	(void)write_p, (void)version, (void)content_type, (void)buf, (void)len;
	(void)ssl, (void)arg;
	calls++;
}

static int
count_hello(SSL *ssl, int *alert, void *arg)
{
	(void)ssl, (void)alert, (void)arg;
	calls++;
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int
count_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl, (void)alert, (void)arg;
	calls++;
	return SSL_TLSEXT_ERR_OK;
}

static int
count_certificate(SSL *ssl, void *arg)
{
	(void)ssl, (void)arg;
	calls++;
	return 1;
}

static void
count_key(const SSL *ssl, const char *line)
{
	(void)ssl, (void)line;
	calls++;
}

static int
count_extension(SSL *ssl, unsigned type, unsigned context,
    const unsigned char **out, size_t *len, X509 *x, size_t index, int *alert,
    void *arg)
{
	(void)ssl, (void)type, (void)context, (void)out, (void)len, (void)x;
	(void)index, (void)alert, (void)arg;
	calls++;
	return 0;
}

static int
count_security(const SSL *ssl, const SSL_CTX *ctx, int op, int bits, int nid,
    void *other, void *arg)
{
	(void)ctx, (void)op, (void)bits, (void)nid, (void)other, (void)arg;
	calls += ssl != NULL;
	return 1;
}

START_TEST(attach_calls_no_callback_of_the_application)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	SSL_CTX_set_info_callback(ctx, count_info);
	SSL_CTX_set_msg_callback(ctx, count_message);
	SSL_CTX_set_client_hello_cb(ctx, count_hello, NULL);
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, count_name);
	SSL_CTX_set_cert_cb(ctx, count_certificate, NULL);
	SSL_CTX_set_keylog_callback(ctx, count_key);
	SSL_CTX_set_security_callback(ctx, count_security);
	ck_assert_int_eq(SSL_CTX_add_custom_ext(ctx, 65000,
			     SSL_EXT_CLIENT_HELLO | SSL_EXT_TLS1_2_SERVER_HELLO,
			     count_extension, NULL, NULL, NULL, NULL),
	    1);
	calls = 0;
	ck_assert_int_eq(sesscache_attach(cache, ctx), SESSCACHE_OK);
	ck_assert_int_eq(calls, 0);
	SSL_CTX_free(ctx);
}
END_TEST

/* --- the session ID context ----------------------------------------------- */

static const unsigned char app_context[] = "of the application";

static void
set_app_context(SSL_CTX *ctx)
{
	ck_assert_int_eq(SSL_CTX_set_session_id_context(ctx, app_context,
			     sizeof(app_context)),
	    1);
}

static void
assert_context(SSL_CTX *server, int version, const void *want, size_t want_len)
{
	SSL_CTX *client = plain_client(version);
	SSL_SESSION *session = NULL;
	struct visit seen = visit(server, client, &session);

	ck_assert_mem_eq(seen.context, want, want_len);
	ck_assert_uint_eq(seen.context_len, want_len);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
}

START_TEST(id_context_set_before_attach_is_kept)
{
	SSL_CTX *ctx = tls_server_new(&server_identity, versions[_i]);

	set_app_context(ctx);
	ck_assert_int_eq(sesscache_attach(cache, ctx), SESSCACHE_OK);
	assert_context(ctx, versions[_i], app_context, sizeof(app_context));
	SSL_CTX_free(ctx);
}
END_TEST

START_TEST(id_context_set_after_attach_is_kept)
{
	SSL_CTX *ctx = attached_server(cache, versions[_i]);

	set_app_context(ctx);
	assert_context(ctx, versions[_i], app_context, sizeof(app_context));
	SSL_CTX_free(ctx);
}
END_TEST

START_TEST(id_context_has_a_default_where_clients_are_verified)
{
	SSL_CTX *ctx = attached_server(cache, versions[_i]);

	assert_context(ctx, versions[_i], "", 0);
	tls_ask_for_certificate(ctx, false);
	assert_context(ctx, versions[_i], "sesscache", strlen("sesscache"));
	SSL_CTX_free(ctx);
}
END_TEST

/* Without an ID context this would be a fatal error of OpenSSL's. */
START_TEST(session_of_a_client_with_a_certificate_resumes_without_context)
{
	SSL_CTX *client = tls_client_new(&client_identity, versions[_i]);
	SSL_CTX *server = tls_server_new(&server_identity, versions[_i]);
	SSL_SESSION *session = NULL;
	struct visit seen;

	(void)SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
	tls_ask_for_certificate(server, true);
	ck_assert_int_eq(sesscache_attach(cache, server), SESSCACHE_OK);
	seen = visit(server, client, &session);
	ck_assert(!seen.reused && seen.peer);
	seen = visit(server, client, &session);
	ck_assert(seen.reused && seen.peer);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(session_without_context_is_a_miss_where_clients_are_verified)
{
	SSL_CTX *client = tls_client_new(&client_identity, versions[_i]);
	SSL_CTX *open = attached_server(cache, versions[_i]);
	SSL_CTX *strict = attached_server(cache, versions[_i]);
	SSL_SESSION *session = NULL;

	tls_ask_for_certificate(strict, false);
	/* What the application may do after us. */
	(void)SSL_CTX_set_session_id_context(open, app_context, 0);
	(void)SSL_CTX_set_session_id_context(strict, app_context, 0);
	ck_assert(!visit(open, client, &session).reused);
	ck_assert(visit(open, client, &session).reused);
	ck_assert(!visit(strict, client, &session).reused);
	SSL_SESSION_free(session);
	SSL_CTX_free(open);
	SSL_CTX_free(strict);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(session_without_a_certificate_is_a_miss_where_one_is_required)
{
	SSL_CTX *client = tls_client_new(&client_identity, versions[_i]);
	SSL_CTX *open = attached_server(cache, versions[_i]);
	SSL_CTX *strict = attached_server(cache, versions[_i]);
	SSL_SESSION *session = NULL;
	struct visit seen;

	tls_ask_for_certificate(strict, true);
	ck_assert(!visit(open, client, &session).reused);
	seen = visit(strict, client, &session);
	ck_assert(!seen.reused && seen.peer);
	seen = visit(strict, client, &session);
	ck_assert(seen.reused && seen.peer);
	SSL_SESSION_free(session);
	SSL_CTX_free(open);
	SSL_CTX_free(strict);
	SSL_CTX_free(client);
}
END_TEST

/* --- who finds what ------------------------------------------------------- */

struct child {
	SSL_CTX *server; /* of the parent */
	bool inherits;   /* it; else the child makes one of its own */
	SSL_SESSION *session;
	int version;
};

static SSL_CTX *
child_server(const struct child *child)
{
	SSL_CTX *server = child->server;

	if (child->inherits) {
		SSL_CTX_up_ref(server);
	} else {
		server = tls_server_new(&server_identity, child->version);
		(void)SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
		if (sesscache_attach(cache, server) != SESSCACHE_OK) {
			SSL_CTX_free(server);
			server = NULL;
		}
	}
	return server;
}

/* Releases what the child has inherited, as memory checkers want it. */
static bool
resumes(const struct child *child)
{
	SSL_CTX *server = child_server(child);
	SSL_CTX *client = tls_client_new(NULL, child->version);
	SSL_SESSION *session = child->session;
	struct visit seen = { .reused = false };

	if (server != NULL)
		(void)try_visit(server, client, NULL, &session, &seen);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(child->server);
	SSL_CTX_free(client);
	sesscache_close(cache);
	return seen.reused;
}

static bool
resumes_in_child(const struct child *child)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(resumes(child) ? 0 : 1);
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

START_TEST(session_resumes_in_every_process)
{
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	struct child child = { .server = server, .version = versions[_i] };

	ck_assert(!visit(server, client, &child.session).reused);
	ck_assert(visit(server, client, &child.session).reused);
	ck_assert(resumes_in_child(&child));
	child.inherits = true;
	ck_assert(resumes_in_child(&child));
	SSL_SESSION_free(child.session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(session_resumes_in_every_context)
{
	SSL_CTX *servers[3], *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;

	for (int i = 0; i < N_OF(servers); i++)
		servers[i] = attached_server(cache, versions[_i]);
	for (int i = 0; i < 3 * N_OF(servers); i++)
		ck_assert_int_eq(visit(servers[i % N_OF(servers)], client,
				     &session)
				     .reused,
		    i > 0);
	for (int i = 0; i < N_OF(servers); i++)
		SSL_CTX_free(servers[i]);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
}
END_TEST

static void *
visit_often(void *arg)
{
	SSL_CTX *server = arg;
	SSL_CTX *client = plain_client(
	    (int)SSL_CTX_get_min_proto_version(server));
	SSL_SESSION *session = NULL;
	struct visit seen;
	intptr_t reused = 0;

	for (int i = 0; i < VISITS; i++) {
		if (try_visit(server, client, NULL, &session, &seen))
			reused += seen.reused;
	}
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	return (void *)reused;
}

/* All but those whose lock a thread without a CPU held past the deadline. */
START_TEST(session_resumes_in_every_thread)
{
	SSL_CTX *server = attached_server(cache, versions[_i]);
	pthread_t threads[THREADS];
	uint64_t missed = 0;
	void *reused;

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, visit_often,
				     server),
		    0);
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &reused), 0);
		missed += (uint64_t)(VISITS - 1 - (intptr_t)reused);
	}
	ck_assert_uint_le(missed, stats_of(cache).busy);
	SSL_CTX_free(server);
}
END_TEST

START_TEST(context_may_be_freed_before_the_cache_is_closed)
{
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;

	ck_assert(!visit(server, client, &session).reused);
	SSL_CTX_free(server);
	server = attached_server(cache, versions[_i]);
	ck_assert(visit(server, client, &session).reused);
	SSL_CTX_free(server);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(context_goes_on_after_the_cache_is_closed)
{
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;

	sesscache_close(cache);
	cache = NULL;
	ck_assert(!visit(server, client, &session).reused);
	ck_assert(visit(server, client, &session).reused);
	SSL_CTX_free(server);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
}
END_TEST

/* --- what is stored ------------------------------------------------------- */

START_TEST(tickets_that_carry_their_state_are_not_stored)
{
	SSL_CTX *server = tls_server_new(&server_identity, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;

	ck_assert_int_eq(sesscache_attach(cache, server), SESSCACHE_OK);
	ck_assert(!visit(server, client, &session).reused);
	ck_assert(visit(server, client, &session).reused);
	ck_assert_uint_eq(stats_of(cache).stored, 0);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(early_data_tickets_are_stored_if_they_are_looked_up)
{
	static const struct {
		const char *name;
		uint64_t options;
		uint64_t want;
	} cases[] = {
		{ "anti-replay", 0, 2 },
		{ "no anti-replay", SSL_OP_NO_ANTI_REPLAY, 2 },
		{ "neither", SSL_OP_NO_ANTI_REPLAY | SSL_OP_NO_TICKET, 2 },
	};
	SSL_CTX *server = tls_server_new(&server_identity, TLS1_3_VERSION);
	SSL_CTX *client = plain_client(TLS1_3_VERSION);
	SSL_SESSION *session = NULL;

	(void)SSL_CTX_set_max_early_data(server, 1024);
	(void)SSL_CTX_set_options(server, cases[_i].options);
	ck_assert_int_eq(sesscache_attach(cache, server), SESSCACHE_OK);
	ck_assert(!visit(server, client, &session).reused);
	ck_assert_msg(stats_of(cache).stored == cases[_i].want,
	    "%s: stored %llu", cases[_i].name,
	    (unsigned long long)stats_of(cache).stored);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

struct queues {
	int newcomers;
	int regulars;
};

static int
count_queue(const struct sesscache_info *info, void *arg)
{
	struct queues *queues = arg;

	queues->newcomers += info->queue == SESSCACHE_NEWCOMER;
	queues->regulars += info->queue == SESSCACHE_REGULAR;
	return 0;
}

START_TEST(ticket_of_a_resumed_connection_is_a_regular)
{
	SSL_CTX *server = attached_server(cache, TLS1_3_VERSION);
	SSL_CTX *client = plain_client(TLS1_3_VERSION);
	SSL_SESSION *session = NULL;
	struct queues queues = { 0, 0 };

	(void)SSL_CTX_set_num_tickets(server, 1);
	ck_assert(!visit(server, client, &session).reused);
	ck_assert(visit(server, client, &session).reused);
	ck_assert_int_eq(sesscache_each(cache, count_queue, &queues),
	    SESSCACHE_OK);
	ck_assert_int_eq(queues.newcomers, 1);
	ck_assert_int_eq(queues.regulars, 1);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

static int
longest_lifetime(const struct sesscache_info *info, void *arg)
{
	uint64_t *longest = arg;

	if (info->expires_at - info->created_at > *longest)
		*longest = info->expires_at - info->created_at;
	return 0;
}

/* The setting says an hour. */
START_TEST(lifetime_is_the_shorter_of_session_and_setting)
{
	static const struct {
		long timeout_seconds; /* of the SSL_CTX */
		uint64_t want;
	} cases[] = { { 7200, 3600 }, { 100, 100 } };
	SSL_CTX *server = attached_server(cache, TLS1_2_VERSION);
	SSL_CTX *client = plain_client(TLS1_2_VERSION);
	SSL_SESSION *session = NULL;
	uint64_t longest = 0;

	(void)SSL_CTX_set_timeout(server, cases[_i].timeout_seconds);
	ck_assert(!visit(server, client, &session).reused);
	ck_assert_int_eq(sesscache_each(cache, longest_lifetime, &longest),
	    SESSCACHE_OK);
	ck_assert_uint_le(longest, cases[_i].want);
	ck_assert_uint_ge(longest, cases[_i].want - 60);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

static const struct {
	const char *max_session;
	size_t filler_bytes; /* of the client's certificate */
	bool stored;
} sizes[] = {
	{ "16K", 15 * 1024, true },
	{ "16K", 16 * 1024, false },
	{ "30K", 29 * 1024, true },
	{ "512", 0, true },
	{ "512", 512, false },
};

static void
assert_size(int size, int version)
{
	struct sesscache *sized;
	struct tls_identity identity;
	SSL_CTX *server, *client;
	SSL_SESSION *session = NULL;
	struct visit seen;

	sized = open_cache("cache", "max-session", sizes[size].max_session);
	ck_assert(tls_identity_new(&identity, "c", sizes[size].filler_bytes));
	server = attached_server(sized, version);
	client = tls_client_new(&identity, version);
	tls_ask_for_certificate(server, true);
	ck_assert(!visit(server, client, &session).reused);
	seen = visit(server, client, &session);
	ck_assert_int_eq(seen.reused, sizes[size].stored);
	ck_assert(seen.peer);
	ck_assert_int_eq(stats_of(sized).too_big == 0, sizes[size].stored);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	tls_identity_free(&identity);
	sesscache_close(sized);
}

START_TEST(session_is_stored_up_to_max_session)
{
	for (int i = 0; i < N_OF(versions); i++)
		assert_size(_i, versions[i]);
}
END_TEST

static int
count_lines(const char *path, const char *word)
{
	char line[512];
	FILE *file = fopen(path, "r");
	int n = 0;

	ck_assert_ptr_nonnull(file);
	while (fgets(line, sizeof(line), file) != NULL)
		n += strstr(line, word) != NULL;
	(void)fclose(file);
	return n;
}

/* The first test: a process warns once a minute. */
START_TEST(sessions_that_are_too_long_are_one_line_in_the_log)
{
	struct sesscache *loud;
	struct tls_identity identity;
	SSL_CTX *server, *client;
	SSL_SESSION *session = NULL;
	char path[512];
	int saved = dup(STDERR_FILENO), fd;

	ck_assert(tls_identity_new(&identity, "c", 512));
	client = tls_client_new(&identity, TLS1_3_VERSION);
	loud = open_cache("loud", "max-session", "512");
	server = attached_server(loud, TLS1_3_VERSION);
	tls_ask_for_certificate(server, true);
	(void)snprintf(path, sizeof(path), "%s/log", root);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	ck_assert(!visit(server, client, &session).reused);
	ck_assert(!visit(server, client, &session).reused);
	ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	(void)close(fd);
	(void)close(saved);
	ck_assert_uint_ge(stats_of(loud).too_big, 2);
	ck_assert_int_eq(count_lines(path, "max-session"), 1);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	tls_identity_free(&identity);
	sesscache_close(loud);
}
END_TEST

static int
app_generates_id(SSL *ssl, unsigned char *id, unsigned *len)
{
	(void)ssl;
	calls++;
	return RAND_bytes(id, (int)*len);
}

START_TEST(application_may_make_the_ids)
{
	SSL_CTX *first = attached_server(cache, versions[_i]);
	SSL_CTX *second = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;

	(void)SSL_CTX_set_generate_session_id(first, app_generates_id);
	calls = 0;
	ck_assert(!visit(first, client, &session).reused);
	ck_assert_int_gt(calls, 0);
	ck_assert(visit(second, client, &session).reused);
	SSL_SESSION_free(session);
	SSL_CTX_free(first);
	SSL_CTX_free(second);
	SSL_CTX_free(client);
}
END_TEST

/* --- before the client can be back ---------------------------------------- */

static uint64_t stored_before_write;

static long
note_stored(BIO *bio, int oper, const char *argp, size_t len, int argi,
    long argl, int ret, size_t *processed)
{
	(void)bio, (void)argp, (void)len, (void)argi, (void)argl;
	(void)processed;
	if (oper == BIO_CB_WRITE)
		stored_before_write = stats_of(cache).stored;
	return ret;
}

/* A client may be back, at another process, once it has the Finished. */
START_TEST(tls12_session_is_stored_before_the_finished_is_sent)
{
	static uint8_t der[MAX_DER_BYTES], want[MAX_DER_BYTES];
	SSL_CTX *client = tls_client_new(&client_identity, TLS1_2_VERSION);
	SSL_CTX *server = attached_server(cache, TLS1_2_VERSION);
	struct tls_pair pair;
	struct visit seen;
	unsigned char *end = want;
	size_t len;

	tls_ask_for_certificate(server, _i == 1);
	ck_assert(tls_pair_new(&pair, server, client, NULL, "example.org"));
	BIO_set_callback_ex(SSL_get_wbio(pair.server), note_stored);
	ck_assert(tls_pair_handshake(&pair));
	ck_assert_uint_eq(stored_before_write, 1);
	ck_assert_uint_eq(stats_of(cache).stored, 1); /* and not again */
	look(pair.server, &seen);
	len = stored_der(&seen, der, sizeof(der));
	ck_assert_int_eq(i2d_SSL_SESSION(SSL_get_session(pair.server), &end),
	    (int)len);
	ck_assert_mem_eq(der, want, len);
	tls_pair_free(&pair);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

static int other_calls;

static void
count_other_info(const SSL *ssl, int where, int ret)
{
	(void)ssl, (void)where, (void)ret;
	other_calls++;
}

/* Neither the first in the process nor another is taken away. */
START_TEST(info_callback_of_the_application_runs_as_before)
{
	SSL_CTX *first = tls_server_new(&server_identity, versions[_i]);
	SSL_CTX *second = tls_server_new(&server_identity, versions[_i]);
	SSL_CTX *plain = tls_server_new(&server_identity, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;
	int want;

	SSL_CTX_set_info_callback(plain, count_info);
	SSL_CTX_set_info_callback(first, count_info);
	SSL_CTX_set_info_callback(second, count_other_info);
	ck_assert_int_eq(sesscache_attach(cache, first), SESSCACHE_OK);
	ck_assert_int_eq(sesscache_attach(cache, second), SESSCACHE_OK);
	calls = other_calls = 0;
	(void)visit(plain, client, &session);
	want = calls;
	SSL_SESSION_free(session);
	session = NULL;
	calls = 0;
	(void)visit(first, client, &session);
	ck_assert_int_eq(calls, want);
	ck_assert_int_eq(other_calls, 0);
	SSL_SESSION_free(session);
	session = NULL;
	(void)visit(second, client, &session);
	ck_assert_int_eq(calls, want);
	ck_assert_int_eq(other_calls, want);
	SSL_SESSION_free(session);
	SSL_CTX_free(first);
	SSL_CTX_free(second);
	SSL_CTX_free(plain);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(info_callback_set_after_attach_costs_no_session)
{
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;

	SSL_CTX_set_info_callback(server, count_other_info);
	ck_assert(!visit(server, client, &session).reused);
	ck_assert(visit(server, client, &session).reused);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(renegotiated_session_is_stored_as_well)
{
	SSL_CTX *server = attached_server(cache, TLS1_2_VERSION);
	SSL_CTX *client = plain_client(TLS1_2_VERSION);
	struct tls_pair pair;
	struct visit first, second;
	char byte;

	(void)SSL_CTX_set_options(server, SSL_OP_ALLOW_CLIENT_RENEGOTIATION);
	ck_assert(tls_pair_new(&pair, server, client, NULL, NULL));
	ck_assert(tls_pair_handshake(&pair));
	look(pair.server, &first);
	ck_assert_int_eq(SSL_renegotiate(pair.client), 1);
	for (int i = 0; i < 10 && SSL_renegotiate_pending(pair.client); i++) {
		(void)SSL_do_handshake(pair.client);
		(void)SSL_read(pair.server, &byte, 1);
	}
	ck_assert(tls_send(pair.client, pair.server, "still here"));
	look(pair.server, &second);
	ck_assert_mem_ne(first.id, second.id, sizeof(first.id));
	ck_assert_uint_eq(stats_of(cache).stored, 2);
	tls_pair_free(&pair);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

/* --- server names --------------------------------------------------------- */

static int
switch_context(SSL *ssl, int *alert, void *arg)
{
	(void)alert;
	ck_assert_ptr_eq(SSL_set_SSL_CTX(ssl, arg), arg);
	return SSL_TLSEXT_ERR_OK;
}

/* A server that goes on with target whatever the name. */
static void
switch_to(SSL_CTX *ctx, SSL_CTX *target)
{
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, switch_context);
	(void)SSL_CTX_set_tlsext_servername_arg(ctx, target);
}

static bool
visit_by_name(SSL_CTX *server, SSL_CTX *client, SSL_SESSION **session)
{
	struct visit seen;

	ck_assert(try_visit(server, client, "example.org", session, &seen));
	return seen.reused;
}

START_TEST(server_name_may_switch_to_a_context_without_a_cache)
{
	SSL_CTX *target = tls_server_new(&server_identity, versions[_i]);
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;

	switch_to(server, target);
	ck_assert(!visit_by_name(server, client, &session));
	ck_assert(visit_by_name(server, client, &session));
	ck_assert(visit_by_name(server, client, &session));
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(target);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(server_name_may_switch_to_a_context_with_another_cache)
{
	struct sesscache *other = open_cache("other", NULL, NULL);
	SSL_CTX *target = attached_server(other, versions[_i]);
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;

	switch_to(server, target);
	ck_assert(!visit_by_name(server, client, &session));
	ck_assert(visit_by_name(server, client, &session));
	ck_assert_uint_eq(stats_of(other).stored, 0);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(target);
	SSL_CTX_free(client);
	sesscache_close(other);
}
END_TEST

/* Two caches, and a switch before anything of ours runs: not to be known. */
START_TEST(switch_before_the_handshake_among_two_caches_is_survived)
{
	struct sesscache *other = open_cache("other", NULL, NULL);
	SSL_CTX *second = attached_server(other, versions[_i]);
	SSL_CTX *target = tls_server_new(&server_identity, versions[_i]);
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	struct tls_pair pair;

	ck_assert(tls_pair_new(&pair, server, client, NULL, NULL));
	ck_assert_ptr_eq(SSL_set_SSL_CTX(pair.server, target), target);
	ck_assert(tls_pair_handshake(&pair));
	ck_assert_uint_gt(stats_of(cache).failed + stats_of(other).failed, 0);
	tls_pair_free(&pair);
	SSL_CTX_free(server);
	SSL_CTX_free(second);
	SSL_CTX_free(target);
	SSL_CTX_free(client);
	sesscache_close(other);
}
END_TEST

START_TEST(only_the_first_context_counts)
{
	SSL_CTX *server = tls_server_new(&server_identity, versions[_i]);
	SSL_CTX *target = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;

	(void)SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
	switch_to(server, target);
	ck_assert(!visit_by_name(server, client, &session));
	ck_assert(!visit_by_name(server, client, &session));
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(target);
	SSL_CTX_free(client);
}
END_TEST

/* --- what must not be resumed --------------------------------------------- */

START_TEST(record_under_another_id_is_a_miss)
{
	static uint8_t der[MAX_DER_BYTES];
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *mine = NULL, *yours = NULL;
	struct visit first, second;

	first = visit(server, client, &mine);
	second = visit(server, client, &yours);
	store_der(&second, der, stored_der(&first, der, sizeof(der)));
	ck_assert(!visit(server, client, &yours).reused);
	ck_assert(visit(server, client, &mine).reused);
	ck_assert_uint_eq(stats_of(cache).undecodable, 1);
	SSL_SESSION_free(mine);
	SSL_SESSION_free(yours);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

static const struct {
	const char *name;
	int longer;   /* bytes, than the session */
	uint8_t mask; /* on its first byte */
} damages[] = {
	{ "a byte that trails", 1, 0 },
	{ "a byte too few", -1, 0 },
	{ "a single byte", -100000, 0 },
	{ "no sequence", 0, 0xff },
};

START_TEST(record_that_is_no_session_is_a_miss)
{
	static uint8_t der[MAX_DER_BYTES];
	SSL_CTX *server = attached_server(cache, TLS1_2_VERSION);
	SSL_CTX *client = plain_client(TLS1_2_VERSION);
	SSL_SESSION *session = NULL;
	struct visit seen = visit(server, client, &session);
	int len = (int)stored_der(&seen, der, sizeof(der) - 1);

	len = len + damages[_i].longer > 0 ? len + damages[_i].longer : 1;
	der[0] ^= damages[_i].mask;
	store_der(&seen, der, (size_t)len);
	ck_assert_msg(!visit(server, client, &session).reused, "%s",
	    damages[_i].name);
	ck_assert_uint_eq(stats_of(cache).undecodable, 1);
	ck_assert_uint_eq(stats_of(cache).hits, 0);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(session_of_another_version_is_a_miss)
{
	SSL_CTX *client = tls_client_new(NULL, TLS1_3_VERSION);
	SSL_CTX *server = attached_server(cache, TLS1_3_VERSION);
	SSL_CTX *old = attached_server(cache, TLS1_2_VERSION);
	SSL_SESSION *session = NULL;
	struct tls_pair pair;
	SSL_SESSION *(*get)(SSL *, const unsigned char *, int, int *);
	struct visit seen = visit(server, client, &session);
	int copy = 1;

	get = SSL_CTX_sess_get_get_cb(old);
	ck_assert(tls_pair_new(&pair, old, client, NULL, NULL));
	ck_assert_int_eq(SSL_set_max_proto_version(pair.client, 0), 1);
	ck_assert_int_eq(SSL_set_min_proto_version(pair.client, 0), 1);
	ck_assert(tls_pair_handshake(&pair));
	ck_assert_ptr_null(get(pair.server, seen.id, (int)seen.id_len, &copy));
	ck_assert_int_eq(copy, 0);
	tls_pair_free(&pair);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(old);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(purge_costs_a_full_handshake)
{
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;
	uint64_t removed = 0;

	ck_assert(!visit(server, client, &session).reused);
	ck_assert_int_eq(sesscache_purge(cache, NULL, &removed), SESSCACHE_OK);
	ck_assert_uint_gt(removed, 0);
	ck_assert(!visit(server, client, &session).reused);
	ck_assert(visit(server, client, &session).reused);
	ck_assert_uint_eq(stats_of(cache).failed, 0);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(handshakes_go_on_when_the_directory_is_gone)
{
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;
	char dir[512];

	(void)snprintf(dir, sizeof(dir), "%s/cache", root);
	ck_assert(!visit(server, client, &session).reused);
	remove_tree(dir);
	(void)visit(server, client, &session);
	(void)visit(server, client, &session);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

/* --- ends of connections -------------------------------------------------- */

enum ending {
	FREED,      /* SSL_free() without a word */
	CUT,        /* TCP ends, no close_notify */
	CLEARED,    /* SSL_clear() to use the object again */
	BAD_RECORD, /* the server finds it, and says so */
	BAD_ANSWER, /* the client finds it, and says so */
};

static const struct {
	const char *name;
	enum ending ending;
	bool stays;
} endings[] = {
	{ "freed", FREED, true },
	{ "cut", CUT, true },
	/* Not to be told from SSL_CTX_remove_session(). */
	{ "cleared", CLEARED, false },
	{ "bad record", BAD_RECORD, false },
	{ "bad answer", BAD_ANSWER, false },
};

static void
end(struct tls_pair *pair, enum ending ending)
{
	char byte;

	switch (ending) {
	case FREED:
		break;
	case CUT:
		(void)BIO_shutdown_wr(SSL_get_wbio(pair->client));
		ck_assert_int_le(SSL_read(pair->server, &byte, 1), 0);
		break;
	case CLEARED:
		ck_assert_int_eq(SSL_clear(pair->server), 1);
		break;
	case BAD_RECORD:
		ck_assert(tls_send_garbage(pair->client));
		ck_assert_int_le(SSL_read(pair->server, &byte, 1), 0);
		break;
	case BAD_ANSWER:
		ck_assert(tls_send_garbage(pair->server));
		ck_assert_int_le(SSL_read(pair->client, &byte, 1), 0);
		ERR_clear_error();
		ck_assert_int_le(SSL_read(pair->server, &byte, 1), 0);
		break;
	}
}

static void
assert_ending(int ending, int version)
{
	SSL_CTX *server = attached_server(cache, version);
	SSL_CTX *client = plain_client(version);
	SSL_SESSION *offered;
	struct tls_pair pair;

	ck_assert(tls_pair_new(&pair, server, client, NULL, NULL));
	ck_assert(tls_pair_handshake(&pair));
	/* The client gives up a session that fails; not this copy. */
	offered = SSL_SESSION_dup(SSL_get_session(pair.client));
	end(&pair, endings[ending].ending);
	tls_pair_free(&pair);
	ERR_clear_error();
	ck_assert_msg(visit(server, client, &offered).reused ==
		endings[ending].stays,
	    "%s, version %#x", endings[ending].name, (unsigned)version);
	SSL_SESSION_free(offered);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

START_TEST(rude_close_keeps_the_session_and_failure_removes_it)
{
	for (int i = 0; i < N_OF(versions); i++)
		assert_ending(_i, versions[i]);
}
END_TEST

/* OpenSSL evicts from its own cache under the lock of the context. */
START_TEST(eviction_from_a_cache_of_the_context_takes_nothing_away)
{
	SSL_CTX *server = attached_server(cache, TLS1_2_VERSION);
	SSL_CTX *client = plain_client(TLS1_2_VERSION);
	SSL_SESSION *sessions[4] = { NULL };

	/* What the application may do after us. */
	(void)SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_SERVER);
	(void)SSL_CTX_sess_set_cache_size(server, 1);
	for (int i = 0; i < N_OF(sessions); i++)
		ck_assert(!visit(server, client, &sessions[i]).reused);
	ck_assert_uint_eq(stats_of(cache).records, N_OF(sessions));
	/* An error from before may make an eviction look like a failure. */
	ERR_raise(ERR_LIB_SSL, SSL_R_BAD_PACKET);
	(void)visit(server, client, &sessions[0]);
	ERR_clear_error();
	SSL_CTX_free(server);
	server = attached_server(cache, TLS1_2_VERSION);
	ck_assert(visit(server, client, &sessions[1]).reused);
	for (int i = 0; i < N_OF(sessions); i++)
		SSL_SESSION_free(sessions[i]);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

/* --- what a callback leaves behind ---------------------------------------- */

static void
call_all(SSL_CTX *ctx, SSL *ssl, SSL_SESSION *session, const struct visit *seen)
{
	unsigned char id[SESSCACHE_ID_LEN] = { 0 };
	SSL_SESSION *found;
	unsigned len = sizeof(id);
	int copy = 1;

	ck_assert_int_eq(SSL_CTX_sess_get_new_cb(ctx)(ssl, session), 0);
	found = SSL_CTX_sess_get_get_cb(
	    ctx)(ssl, seen->id, (int)seen->id_len, &copy);
	SSL_SESSION_free(found);
	found = SSL_CTX_sess_get_get_cb(ctx)(ssl, id, (int)len, &copy);
	ck_assert_ptr_null(found);
	found = SSL_CTX_sess_get_get_cb(ctx)(ssl, id, 0, &copy);
	ck_assert_ptr_null(found);
	SSL_CTX_get_info_callback(ctx)(ssl, SSL_CB_ACCEPT_LOOP, 1);
	SSL_CTX_sess_get_remove_cb(ctx)(ctx, session);
}

START_TEST(callbacks_keep_errno_and_the_error_queue)
{
	static const uint8_t junk[] = "no session";
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	struct tls_pair pair;
	struct visit seen;
	unsigned long errors[2];

	ck_assert(tls_pair_new(&pair, server, client, NULL, NULL));
	ck_assert(tls_pair_handshake(&pair));
	look(pair.server, &seen);
	for (int i = 0; i < 2; i++) {
		ERR_clear_error();
		ERR_raise(ERR_LIB_USER, 77);
		errors[0] = ERR_peek_last_error();
		ERR_raise(ERR_LIB_SSL, SSL_R_BAD_PACKET);
		errors[1] = ERR_peek_last_error();
		errno = EDOM;
		call_all(server, pair.server, SSL_get_session(pair.server),
		    &seen);
		ck_assert_int_eq(errno, EDOM);
		ck_assert_uint_eq(ERR_get_error(), errors[0]);
		ck_assert_uint_eq(ERR_get_error(), errors[1]);
		ck_assert_uint_eq(ERR_get_error(), 0);
		call_all(server, pair.server, SSL_get_session(pair.server),
		    &seen);
		ck_assert_uint_eq(ERR_get_error(), 0);
		/* It is removed by now. */
		(void)SSL_CTX_sess_get_new_cb(
		    server)(pair.server, SSL_get_session(pair.server));
		store_der(&seen, junk, sizeof(junk));
	}
	tls_pair_free(&pair);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

/* --- what an inspection shows --------------------------------------------- */

START_TEST(session_is_described_by_version_cipher_and_name)
{
	static const char *const names[] = { "TLSv1.2", "TLSv1.3" };
	static uint8_t der[MAX_DER_BYTES];
	SSL_CTX *server = attached_server(cache, versions[_i]);
	SSL_CTX *client = plain_client(versions[_i]);
	SSL_SESSION *session = NULL;
	struct sc_session_text text;
	struct visit seen;
	size_t len;

	(void)SSL_CTX_set_tlsext_servername_callback(server, count_name);
	ck_assert(try_visit(server, client, "example.org", &session, &seen));
	len = stored_der(&seen, der, sizeof(der));
	sc_session_describe(&text, der, len);
	ck_assert_str_eq(text.protocol, names[_i]);
	ck_assert_str_eq(text.cipher,
	    SSL_CIPHER_standard_name(SSL_SESSION_get0_cipher(session)));
	ck_assert_str_eq(text.server_name, "example.org");
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}
END_TEST

START_TEST(bytes_that_are_no_session_are_described_as_such)
{
	uint8_t junk[] = "no session";
	struct sc_session_text text;

	ERR_clear_error();
	sc_session_describe(&text, junk, sizeof(junk));
	ck_assert_ptr_null(text.protocol);
	ck_assert_ptr_null(text.cipher);
	ck_assert_str_eq(text.server_name, "");
	sc_session_describe(&text, junk, 0);
	ck_assert_ptr_null(text.protocol);
	ck_assert_uint_eq(ERR_peek_error(), 0);
}
END_TEST

static void
add_attach_tests(TCase *tc)
{
	tcase_add_test(tc, sessions_that_are_too_long_are_one_line_in_the_log);
	tcase_add_test(tc, attach_refuses_null_with_a_sentence);
	tcase_add_test(tc, attach_refuses_a_context_for_clients);
	tcase_add_test(tc, attach_accepts_a_context_for_both_sides);
	tcase_add_test(tc, attach_refuses_a_context_that_is_attached);
	tcase_add_test(tc, attach_does_nothing_when_disabled);
	tcase_add_test(tc, attach_turns_the_cache_on_and_keeps_the_other_bits);
	tcase_add_test(tc,
	    tickets_stay_as_the_application_set_them_unless_turned_off);
	tcase_add_test(tc, attach_keeps_errno_and_the_error_queue);
	tcase_add_test(tc, attach_calls_no_callback_of_the_application);
	tcase_add_test(tc, renegotiated_session_is_stored_as_well);
	tcase_add_test(tc, ticket_of_a_resumed_connection_is_a_regular);
	tcase_add_test(tc, session_of_another_version_is_a_miss);
	tcase_add_test(tc,
	    eviction_from_a_cache_of_the_context_takes_nothing_away);
	tcase_add_test(tc, bytes_that_are_no_session_are_described_as_such);
}

static void
add_version_tests(TCase *tc)
{
	static const TTest *const *const tests[] = {
		&id_context_set_before_attach_is_kept,
		&id_context_set_after_attach_is_kept,
		&id_context_has_a_default_where_clients_are_verified,
		&session_of_a_client_with_a_certificate_resumes_without_context,
		&session_without_context_is_a_miss_where_clients_are_verified,
		&session_without_a_certificate_is_a_miss_where_one_is_required,
		&session_resumes_in_every_process,
		&session_resumes_in_every_context,
		&session_resumes_in_every_thread,
		&context_may_be_freed_before_the_cache_is_closed,
		&context_goes_on_after_the_cache_is_closed,
		&tickets_that_carry_their_state_are_not_stored,
		&application_may_make_the_ids,
		&info_callback_of_the_application_runs_as_before,
		&info_callback_set_after_attach_costs_no_session,
		&server_name_may_switch_to_a_context_without_a_cache,
		&server_name_may_switch_to_a_context_with_another_cache,
		&switch_before_the_handshake_among_two_caches_is_survived,
		&only_the_first_context_counts,
		&record_under_another_id_is_a_miss,
		&purge_costs_a_full_handshake,
		&handshakes_go_on_when_the_directory_is_gone,
		&callbacks_keep_errno_and_the_error_queue,
		&session_is_described_by_version_cipher_and_name,
	};

	for (int i = 0; i < N_OF(tests); i++)
		tcase_add_loop_test(tc, *tests[i], 0, N_OF(versions));
}

static void
add_table_tests(TCase *tc)
{
	tcase_add_loop_test(tc,
	    early_data_tickets_are_stored_if_they_are_looked_up, 0, 3);
	tcase_add_loop_test(tc, lifetime_is_the_shorter_of_session_and_setting,
	    0, 2);
	tcase_add_loop_test(tc, session_is_stored_up_to_max_session, 0,
	    N_OF(sizes));
	tcase_add_loop_test(tc,
	    tls12_session_is_stored_before_the_finished_is_sent, 0, 2);
	tcase_add_loop_test(tc, record_that_is_no_session_is_a_miss, 0,
	    N_OF(damages));
	tcase_add_loop_test(tc,
	    rude_close_keeps_the_session_and_failure_removes_it, 0,
	    N_OF(endings));
}

int
main(void)
{
	Suite *suite = suite_create("openssl");
	TCase *tc = tcase_create("attach");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_unchecked_fixture(tc, make_world, remove_world);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	add_attach_tests(tc);
	add_version_tests(tc);
	add_table_tests(tc);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
