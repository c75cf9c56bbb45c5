/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server with the cache, and what a client may say first: any bytes, the
 * hellos of a real client with changes, and hellos that a real client makes of
 * a changed ticket or ID.  Those last are fit for a full handshake, so they
 * must get one.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "front/handle.h"
#include "fuzz.h"
#include "../tls.h"

const char fuzz_name[] = "hello";

enum {
	HELLO_MAX = 4096, /* bytes */
	TICKET_MAX = 2048,
};

enum kind { TLS12_TICKET, TLS12_ID, TLS13_TICKET, TLS13_ID, KINDS };

/* A server of one kind, and a client that was there before. */
struct endpoint {
	int version;
	bool in_cache; /* else in tickets */
	SSL_CTX *server;
	SSL_CTX *client;
	SSL_SESSION *session;
	uint8_t hello[HELLO_MAX]; /* with which the client comes back */
	size_t hello_len;
};

static struct endpoint endpoints[KINDS] = { { TLS1_2_VERSION, false, NULL, NULL,
						NULL, "", 0 },
	{ TLS1_2_VERSION, true, NULL, NULL, NULL, "", 0 },
	{ TLS1_3_VERSION, false, NULL, NULL, NULL, "", 0 },
	{ TLS1_3_VERSION, true, NULL, NULL, NULL, "", 0 } };
static struct tls_identity identity;
static struct sesscache *handle;

static int
keep(SSL *ssl, SSL_SESSION *session)
{
	struct endpoint *endpoint = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(endpoint->session);
	endpoint->session = session;
	return 1;
}

/* Let the client say hello to nobody. */
static void
record_hello(struct endpoint *endpoint)
{
	struct tls_pair pair;
	int n;

	MUST(tls_pair_new(&pair, endpoint->server, endpoint->client,
	    endpoint->session, "localhost"));
	(void)SSL_do_handshake(pair.client);
	n = BIO_read(SSL_get_rbio(pair.server), endpoint->hello, HELLO_MAX);
	MUST(n > 0 && n < HELLO_MAX);
	endpoint->hello_len = (size_t)n;
	tls_pair_free(&pair);
	ERR_clear_error();
}

static void
begin_endpoint(struct endpoint *endpoint)
{
	struct tls_pair pair;

	endpoint->server = tls_server_new(&identity, endpoint->version);
	endpoint->client = tls_client_new(NULL, endpoint->version);
	MUST(endpoint->server != NULL && endpoint->client != NULL);
	if (endpoint->in_cache)
		SSL_CTX_set_options(endpoint->server, SSL_OP_NO_TICKET);
	MUST(sesscache_attach(handle, endpoint->server) == SESSCACHE_OK);
	SSL_CTX_set_app_data(endpoint->client, endpoint);
	SSL_CTX_set_session_cache_mode(endpoint->client, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(endpoint->client, keep);
	MUST(tls_pair_new(&pair, endpoint->server, endpoint->client, NULL,
	    "localhost"));
	MUST(tls_pair_handshake(&pair));
	tls_pair_shutdown(&pair); /* else the session is not resumable */
	tls_pair_free(&pair);
	MUST(endpoint->session != NULL);
	SSL_CTX_sess_set_new_cb(endpoint->client, NULL);
	record_hello(endpoint);
}

static void
finish(void)
{
	int i;

	for (i = 0; i < KINDS; i++) {
		SSL_SESSION_free(endpoints[i].session);
		SSL_CTX_free(endpoints[i].server);
		SSL_CTX_free(endpoints[i].client);
	}
	tls_identity_free(&identity);
	sesscache_close(handle);
}

static void
begin(void)
{
	int i;

	handle = fuzz_handle();
	MUST(tls_identity_new(&identity, "localhost", 0));
	(void)atexit(finish);
	for (i = 0; i < KINDS; i++)
		begin_endpoint(&endpoints[i]);
}

/* --- what an input does -------------------------------------------------- */

/* Bytes for the server, which answers as it likes. */
static void
say(const struct endpoint *endpoint, const uint8_t *bytes, size_t len)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl = SSL_new(endpoint->server);

	MUST(ssl != NULL && in != NULL && out != NULL);
	SSL_set_bio(ssl, in, out);
	SSL_set_accept_state(ssl);
	if (len > 0)
		MUST(BIO_write(in, bytes, (int)len) == (int)len);
	MUST(SSL_do_handshake(ssl) != 1); /* there is more to come */
	SSL_free(ssl);
}

static void
say_edited(const struct endpoint *endpoint, struct fuzz_input *in)
{
	size_t cut = (size_t)fuzz_number(in, 2), len = endpoint->hello_len;
	uint8_t *hello = fuzz_copy(endpoint->hello, len);

	(void)fuzz_edit(in, hello, len);
	say(endpoint, hello, cut < len ? len - cut : 0);
	free(hello);
}

/* The client's session with a ticket or an ID that is edited or all new. */
static SSL_SESSION *
other_session(const struct endpoint *endpoint, struct fuzz_input *in,
    bool *changed)
{
	bool all_new = (fuzz_number(in, 1) & 1) != 0, is_id;
	const uint8_t *own = NULL, *given;
	uint8_t bytes[TICKET_MAX];
	SSL_SESSION *session = NULL;
	size_t own_len, len;
	unsigned id_len;

	is_id = endpoint->version == TLS1_2_VERSION && endpoint->in_cache;
	SSL_SESSION_get0_ticket(endpoint->session, &own, &own_len);
	if (is_id) {
		own = SSL_SESSION_get_id(endpoint->session, &id_len);
		own_len = id_len;
	}
	MUST(own_len <= sizeof(bytes));
	len = own_len;
	memcpy(bytes, own, len);
	if (all_new) {
		given = fuzz_bytes(in, is_id ? own_len : TICKET_MAX, &len);
		memcpy(bytes, given, len);
	} else {
		(void)fuzz_edit(in, bytes, len);
	}
	*changed = len != own_len || memcmp(bytes, own, len) != 0;
	if (!is_id)
		session = tls_session_with_ticket(endpoint->session, bytes,
		    len);
	else
		session = SSL_SESSION_dup(endpoint->session);
	MUST(session != NULL);
	if (is_id)
		MUST(SSL_SESSION_set1_id(session, bytes, (unsigned)len) == 1);
	return session;
}

static void
come_back(const struct endpoint *endpoint, struct fuzz_input *in)
{
	bool changed = false, reused;
	SSL_SESSION *session = other_session(endpoint, in, &changed);
	struct tls_pair pair;

	MUST(tls_pair_new(&pair, endpoint->server, endpoint->client, session,
	    "localhost"));
	MUST(tls_pair_handshake(&pair));
	reused = SSL_session_reused(pair.server) == 1;
	/* One in the cache may be gone: evicted, or removed for a failure. */
	if (changed || !endpoint->in_cache)
		MUST(reused == !changed);
	MUST(
	    SSL_session_reused(pair.client) == SSL_session_reused(pair.server));
	tls_pair_free(&pair);
	SSL_SESSION_free(session);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { RAW, EDITED, SESSION, WAYS };
	struct fuzz_input in = { data, size };
	const struct endpoint *endpoint;
	unsigned what;

	if (handle == NULL)
		begin();
	what = (unsigned)fuzz_number(&in, 1);
	endpoint = &endpoints[what / WAYS % KINDS];
	switch (what % WAYS) {
	case RAW:
		say(endpoint, in.at, in.left);
		break;
	case EDITED:
		say_edited(endpoint, &in);
		break;
	default:
		come_back(endpoint, &in);
		break;
	}
	ERR_clear_error();
	return 0;
}
