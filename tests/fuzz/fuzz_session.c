/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stored session whose bytes are not what they were: under an ID and in a
 * realm that are right, so that nothing but decoding is in the way.  The
 * server goes on, and where the bytes are no session at all, the handshake
 * becomes a full one.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "front/handle.h"
#include "fuzz.h"
#include "../tls.h"

const char fuzz_name[] = "session";

enum { KINDS = 2, DER_MAX = 8192, ID_MAX = 64, TRAILING_MAX = 63 };

/* A server of one version, and the session of its one client. */
struct endpoint {
	int version;
	SSL_CTX *server;
	SSL_CTX *client;
	SSL_SESSION *session;
	uint8_t id[ID_MAX];
	uint8_t der[DER_MAX]; /* as it was stored */
	struct sc_record_in stored;
};

static struct endpoint endpoints[KINDS] = { { .version = TLS1_2_VERSION },
	{ .version = TLS1_3_VERSION } };
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

/* What the cache has of it; TLS 1.3 stores two, the last is offered. */
static int
keep_stored(const struct sc_scanned *scanned, void *arg)
{
	struct endpoint *endpoint = arg;

	MUST(scanned->data != NULL && scanned->data_len <= DER_MAX);
	memcpy(endpoint->id, scanned->id, scanned->id_len);
	memcpy(endpoint->der, scanned->data, scanned->data_len);
	endpoint->stored = (struct sc_record_in){ .id = endpoint->id,
		.id_len = scanned->id_len,
		.data = endpoint->der,
		.data_len = scanned->data_len,
		.ttl_seconds = 3600,
		.realm = scanned->realm,
		.flags = scanned->flags };
	return 0;
}

static void
begin_endpoint(struct endpoint *endpoint)
{
	struct tls_pair pair;
	uint64_t removed;

	endpoint->server = tls_server_new(&identity, endpoint->version);
	endpoint->client = tls_client_new(NULL, endpoint->version);
	MUST(endpoint->server != NULL && endpoint->client != NULL);
	SSL_CTX_set_options(endpoint->server, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(endpoint->server, 1);
	MUST(sesscache_attach(handle, endpoint->server) == SESSCACHE_OK);
	SSL_CTX_set_app_data(endpoint->client, endpoint);
	SSL_CTX_set_session_cache_mode(endpoint->client, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(endpoint->client, keep);
	MUST(sesscache_purge(handle, NULL, &removed) == SESSCACHE_OK);
	MUST(tls_pair_new(&pair, endpoint->server, endpoint->client, NULL,
	    "localhost"));
	MUST(tls_pair_handshake(&pair));
	tls_pair_shutdown(&pair); /* else the session is not resumable */
	tls_pair_free(&pair);
	SSL_CTX_sess_set_new_cb(endpoint->client, NULL);
	MUST(endpoint->session != NULL);
	MUST(sc_cache_scan(handle->cache, keep_stored, endpoint) ==
	    SESSCACHE_OK);
	MUST(endpoint->stored.data_len > 0);
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

static bool
is_session(const uint8_t *der, size_t len)
{
	const unsigned char *end = der;
	SSL_SESSION *session = d2i_SSL_SESSION(NULL, &end, (long)len);
	bool is = session != NULL && end == der + len;

	SSL_SESSION_free(session);
	ERR_clear_error();
	return is;
}

static int
visit(const struct sesscache_info *info, void *arg)
{
	(void)arg;
	MUST(info->id_len >= 1 && info->id_len <= ID_MAX);
	MUST(info->server_name == NULL || strlen(info->server_name) < 256);
	return 0;
}

/* The client comes back to a record that now has these bytes. */
static void
come_back(struct endpoint *endpoint, const uint8_t *der, size_t len,
    bool changed)
{
	struct sc_record_in in = endpoint->stored;
	SSL_SESSION *offered = SSL_SESSION_dup(endpoint->session);
	struct tls_outcome outcome;
	struct tls_pair pair;
	bool reused;

	MUST(offered != NULL); /* a copy: a failure makes it not resumable */
	in.data = der;
	in.data_len = len;
	MUST(sc_cache_put(handle->cache, &in, sc_now()) == SESSCACHE_OK);
	MUST(sesscache_each(handle, visit, NULL) == SESSCACHE_OK);
	MUST(tls_pair_new(&pair, endpoint->server, endpoint->client, offered,
	    "localhost"));
	outcome = tls_pair_try(&pair);
	reused = SSL_session_reused(pair.server) == 1;
	if (!is_session(der, len))
		MUST(outcome.server_done && outcome.client_done && !reused);
	if (!changed)
		MUST(outcome.server_done && outcome.client_done && reused);
	tls_pair_free(&pair);
	SSL_SESSION_free(offered);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct endpoint *endpoint;
	uint8_t der[DER_MAX + TRAILING_MAX] = "";
	uint64_t removed;
	const uint8_t *given = der;
	bool changed = true;
	unsigned what;
	size_t len;

	if (handle == NULL)
		begin();
	MUST(sesscache_purge(handle, NULL, &removed) == SESSCACHE_OK);
	what = (unsigned)fuzz_number(&in, 1);
	endpoint = &endpoints[what & 1];
	if ((what & 2) != 0) {
		given = fuzz_bytes(&in, DER_MAX, &len);
	} else {
		len = endpoint->stored.data_len;
		memcpy(der, endpoint->der, len);
		changed = fuzz_edit(&in, der, len) || what >> 2 != 0;
		len += what >> 2; /* bytes that trail */
	}
	come_back(endpoint, given, len, changed);
	ERR_clear_error();
	return 0;
}
