/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See fuzz_tls.h.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "fuzz_tls.h"

enum {
	/* In a record with a ClientHello. */
	RECORD_LEN_AT = 3,
	HELLO_LEN_AT = 7, /* its lower two bytes */
	ID_LEN_AT = 43,
	PSK_DEPTH = 3, /* lengths, two bytes each, around an identity */
};

struct sesscache *fuzz_tls_handle;
static struct tls_identity identity;
static struct fuzz_endpoint *endpoints;
static size_t n_endpoints;
static char spoken_to[] = "by fuzz_say()";

/* --- making them --------------------------------------------------------- */

static int
keep(SSL *ssl, SSL_SESSION *session)
{
	struct fuzz_endpoint *endpoint;

	endpoint = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	SSL_SESSION_free(endpoint->session);
	endpoint->session = session;
	return 1;
}

static int
keep_stored(const struct sc_scanned *scanned, void *arg)
{
	struct fuzz_endpoint *endpoint = arg;

	MUST(scanned->data != NULL && scanned->data_len <= FUZZ_SESSION_MAX);
	memcpy(endpoint->id, scanned->id, scanned->id_len);
	memcpy(endpoint->data, scanned->data, scanned->data_len);
	endpoint->stored = (struct sc_record_in){ .id = endpoint->id,
		.id_len = scanned->id_len,
		.data = endpoint->data,
		.data_len = scanned->data_len,
		.ttl_seconds = 3600,
		.scope = scanned->scope,
		.flags = scanned->flags };
	return 0;
}

/* Let the client say hello to nobody. */
static void
keep_hello(struct fuzz_endpoint *endpoint)
{
	struct tls_pair pair;
	int n;

	MUST(tls_pair_new(&pair, endpoint->server, endpoint->client,
	    endpoint->session, "localhost"));
	(void)SSL_do_handshake(pair.client);
	n = BIO_read(SSL_get_rbio(pair.server), endpoint->hello,
	    FUZZ_HELLO_MAX);
	MUST(n > 0 && n < FUZZ_HELLO_MAX);
	endpoint->hello_len = (size_t)n;
	tls_pair_free(&pair);
	ERR_clear_error();
}

/* Asked when nothing resumes, before a key of the server is used. */
static int
stop_full(SSL *ssl, void *arg)
{
	(void)arg;
	return SSL_get_app_data(ssl) == spoken_to ? -1 : 1;
}

static void
make_contexts(struct fuzz_endpoint *endpoint)
{
	endpoint->server = tls_server_new(&identity, endpoint->version);
	endpoint->client = tls_client_new(NULL, endpoint->version);
	MUST(endpoint->server != NULL && endpoint->client != NULL);
	if (endpoint->in_cache)
		SSL_CTX_set_options(endpoint->server, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(endpoint->server, 1);
	SSL_CTX_set_cert_cb(endpoint->server, stop_full, NULL);
	MUST(sesscache_attach(fuzz_tls_handle, endpoint->server) ==
	    SESSCACHE_OK);
	SSL_CTX_set_app_data(endpoint->client, endpoint);
	SSL_CTX_set_session_cache_mode(endpoint->client, SSL_SESS_CACHE_CLIENT);
}

static void
begin(struct fuzz_endpoint *endpoint)
{
	struct tls_pair pair;

	make_contexts(endpoint);
	SSL_CTX_sess_set_new_cb(endpoint->client, keep);
	MUST(tls_pair_new(&pair, endpoint->server, endpoint->client, NULL,
	    "localhost"));
	MUST(tls_pair_handshake(&pair));
	tls_pair_shutdown(&pair); /* else the session is not resumable */
	tls_pair_free(&pair);
	SSL_CTX_sess_set_new_cb(endpoint->client, NULL);
	MUST(endpoint->session != NULL);
	MUST(sc_cache_scan(fuzz_tls_handle->cache, keep_stored, endpoint) ==
	    SESSCACHE_OK);
	MUST((endpoint->stored.data_len > 0) == endpoint->in_cache);
	keep_hello(endpoint);
	if (endpoint->in_cache)
		MUST(sc_cache_remove(fuzz_tls_handle->cache, endpoint->id,
			 endpoint->stored.id_len) == SESSCACHE_OK);
}

static void
finish(void)
{
	size_t i;

	for (i = 0; i < n_endpoints; i++) {
		SSL_SESSION_free(endpoints[i].session);
		SSL_CTX_free(endpoints[i].server);
		SSL_CTX_free(endpoints[i].client);
	}
	tls_identity_free(&identity);
	sesscache_close(fuzz_tls_handle);
}

void
fuzz_tls_begin(struct fuzz_endpoint *table, size_t n)
{
	size_t i;

	endpoints = table;
	n_endpoints = n;
	fuzz_tls_handle = fuzz_handle();
	MUST(tls_identity_new(&identity, "localhost", 0));
	(void)atexit(finish);
	for (i = 0; i < n; i++)
		begin(&endpoints[i]);
}

/* --- using them ---------------------------------------------------------- */

void
fuzz_store(const struct fuzz_endpoint *endpoint, const uint8_t *data,
    size_t len)
{
	struct sc_record_in in = endpoint->stored;

	in.data = data;
	in.data_len = len;
	MUST(sc_cache_put(fuzz_tls_handle->cache, &in, sc_now()) ==
	    SESSCACHE_OK);
}

bool
fuzz_is_session(const uint8_t *der, size_t len)
{
	const unsigned char *end = der;
	SSL_SESSION *session = d2i_SSL_SESSION(NULL, &end, (long)len);
	bool is = session != NULL && end == der + len;

	SSL_SESSION_free(session);
	ERR_clear_error();
	return is;
}

enum fuzz_answer
fuzz_say(const struct fuzz_endpoint *endpoint, const uint8_t *hello, size_t len)
{
	BIO *in = BIO_new_mem_buf(hello, (int)len),
	    *out = BIO_new(BIO_s_null());
	SSL *ssl = SSL_new(endpoint->server);
	enum fuzz_answer answer = FUZZ_REFUSES;
	int result;

	MUST(ssl != NULL && in != NULL && out != NULL);
	BIO_set_mem_eof_return(in, -1);
	SSL_set_bio(ssl, in, out);
	SSL_set_accept_state(ssl);
	SSL_set_app_data(ssl, spoken_to);
	result = SSL_do_handshake(ssl);
	MUST(result != 1); /* there is more to come */
	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
		answer = SSL_session_reused(ssl) ? FUZZ_RESUMES : FUZZ_WAITS;
		break;
	case SSL_ERROR_WANT_X509_LOOKUP:
		answer = FUZZ_FULL;
		break;
	default:
		break;
	}
	SSL_free(ssl);
	ERR_clear_error();
	return answer;
}

const uint8_t *
fuzz_token(const struct fuzz_endpoint *endpoint, size_t *len)
{
	const uint8_t *token = NULL;
	unsigned id_len;

	if (endpoint->version == TLS1_2_VERSION && endpoint->in_cache) {
		token = SSL_SESSION_get_id(endpoint->session, &id_len);
		*len = id_len;
	} else {
		SSL_SESSION_get0_ticket(endpoint->session, &token, len);
	}
	return token;
}

/* --- another ticket or ID in the hello ----------------------------------- */

static size_t
read_length(const uint8_t *at)
{
	return (size_t)at[0] << 8 | at[1];
}

/* A length of two bytes: of something that is longer by now. */
static void
lengthen(uint8_t *at, size_t from, size_t to)
{
	size_t len = read_length(at) + to - from;

	at[0] = (uint8_t)(len >> 8);
	at[1] = (uint8_t)len;
}

/* Where the length of all extensions is. */
static size_t
find_extensions(const uint8_t *hello)
{
	size_t at = ID_LEN_AT + 1U + hello[ID_LEN_AT];

	at += 2 + read_length(hello + at);
	return at + 1 + hello[at];
}

/* Every length that includes what is at this place; from is what it had. */
static void
fix_lengths(const struct fuzz_endpoint *endpoint, uint8_t *hello, size_t at,
    size_t from, size_t to)
{
	unsigned i, depth = endpoint->version == TLS1_3_VERSION ? PSK_DEPTH : 1;

	lengthen(hello + RECORD_LEN_AT, from, to);
	lengthen(hello + HELLO_LEN_AT, from, to);
	if (at == ID_LEN_AT + 1) {
		hello[ID_LEN_AT] = (uint8_t)to;
		return;
	}
	lengthen(hello + find_extensions(hello), from, to);
	for (i = 1; i <= depth; i++)
		lengthen(hello + at - 2 * (size_t)i, from, to);
}

enum fuzz_answer
fuzz_bring(const struct fuzz_endpoint *endpoint, const uint8_t *token,
    size_t len)
{
	uint8_t hello[2 * FUZZ_HELLO_MAX];
	const uint8_t *own, *found;
	size_t at, rest, own_len;

	MUST(len <= FUZZ_HELLO_MAX);
	own = fuzz_token(endpoint, &own_len);
	found = memmem(endpoint->hello, endpoint->hello_len, own, own_len);
	MUST(found != NULL);
	/* cppcheck-suppress nullPointerArithmeticRedundantCheck ; MUST() ends it */
	at = (size_t)(found - endpoint->hello);
	rest = endpoint->hello_len - at - own_len;
	memcpy(hello, endpoint->hello, at);
	fix_lengths(endpoint, hello, at, own_len, len);
	memcpy(hello + at, token, len);
	/* cppcheck-suppress nullPointerArithmeticRedundantCheck ; the same */
	memcpy(hello + at + len, found + own_len, rest);
	return fuzz_say(endpoint, hello, at + len + rest);
}
