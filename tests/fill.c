/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fills a cache, for the tests of the tool: plain records, or with -s the
 * sessions of real handshakes, TLS 1.2 and 1.3 by turns, made in memory.
 *
 * usage: fill [-rs] [-b bytes] [-i id] [-n count] [-N server-name]
 *             [-o name=value] [-t ttl] dir
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "sesscache.h"

#define MAX_TRIES 500  /* to store a record: ten seconds */
#define MAX_ROUNDS 100 /* of a handshake in memory; it needs five */
#define FLAGS "b:i:n:N:o:rst:"

struct fill {
	long count;
	long bytes; /* of a plain record */
	uint32_t ttl_seconds;
	bool sessions; /* real ones */
	bool resume;   /* each of them once */
	const char *server_name;
	const char *id; /* what IDs begin with; NULL: those of the cache */
};

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "fill: %s: %s\n", what, sesscache_detail());
	exit(EXIT_FAILURE);
}

/* Bytes of the ID of one record. */
static size_t
make_id(struct sesscache *cache, const struct fill *fill, long number,
    uint8_t id[SESSCACHE_ID_MAX_LEN])
{
	char text[SESSCACHE_ID_MAX_LEN + 1] = "";
	size_t len = SESSCACHE_ID_LEN;

	if (fill->id == NULL) {
		if (sesscache_new_id(cache, id) != SESSCACHE_OK)
			die("new_id");
	} else {
		(void)snprintf(text, sizeof text, "%s%ld", fill->id, number);
		len = strlen(text);
		memcpy(id, text, len);
	}
	return len;
}

/* On a machine with more to do than CPUs a lock may be busy, for a while. */
static void
put(struct sesscache *cache, const struct fill *fill, const uint8_t *id,
    size_t id_len, const uint8_t *data)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	enum sesscache_status status;
	int tries = 0;

	do {
		if (tries > 0)
			(void)nanosleep(&pause, NULL);
		status = sesscache_put(cache, id, id_len, data,
		    (size_t)fill->bytes, fill->ttl_seconds);
		tries++;
	} while (status == SESSCACHE_EBUSY && tries < MAX_TRIES);
	if (status != SESSCACHE_OK)
		die("put");
}

static void
put_records(struct sesscache *cache, const struct fill *fill)
{
	uint8_t *data = calloc(1, (size_t)fill->bytes);
	uint8_t id[SESSCACHE_ID_MAX_LEN];
	size_t id_len;
	long i;

	if (data == NULL)
		die("out of memory");
	for (i = 0; i < fill->count; i++) {
		memcpy(data, &i, sizeof i);
		id_len = make_id(cache, fill, i, id);
		put(cache, fill, id, id_len, data);
	}
	free(data);
}

/* A key and a certificate that signs itself. */
static void
use_new_certificate(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_NAME *name = X509_NAME_new();

	if (key == NULL || certificate == NULL || name == NULL)
		die("key");
	if (!X509_set_version(certificate, 2) ||
	    !ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) ||
	    X509_gmtime_adj(X509_getm_notBefore(certificate), -60) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400) == NULL ||
	    !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
		(const unsigned char *)"test", -1, -1, 0) ||
	    !X509_set_subject_name(certificate, name) ||
	    !X509_set_issuer_name(certificate, name) ||
	    !X509_set_pubkey(certificate, key) ||
	    !X509_sign(certificate, key, EVP_sha256()) ||
	    SSL_CTX_use_certificate(ctx, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, key) != 1)
		die("certificate");
	X509_NAME_free(name);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* Without it OpenSSL does not keep the server name in the session. */
static int
accept_server_name(SSL *ssl, int *alert, void *arg)
{
	(void)ssl;
	(void)alert;
	(void)arg;
	return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *
new_server(struct sesscache *cache)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		die("SSL_CTX_new");
	use_new_certificate(ctx);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, accept_server_name);
	(void)SSL_CTX_set_num_tickets(ctx, 1);
	if (sesscache_attach(cache, ctx) != SESSCACHE_OK)
		die("attach");
	return ctx;
}

static SSL_SESSION *received; /* what the client got last */

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(received);
	received = session;
	return 1;
}

static SSL_CTX *
new_client(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (ctx == NULL)
		die("SSL_CTX_new");
	(void)SSL_CTX_set_session_cache_mode(ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
	return ctx;
}

/* Handshake, a byte each way, and a goodbye. */
static void
talk(SSL *client, SSL *server)
{
	bool client_done = false, server_done = false;
	char byte = 'x';
	int round;

	for (round = 0; round < MAX_ROUNDS && !(client_done && server_done);
	     round++) {
		client_done = client_done || SSL_connect(client) == 1;
		server_done = server_done || SSL_accept(server) == 1;
	}
	if (!client_done || !server_done)
		die("handshake");
	if (SSL_write(client, &byte, 1) != 1 ||
	    SSL_read(server, &byte, 1) != 1 ||
	    SSL_write(server, &byte, 1) != 1 || SSL_read(client, &byte, 1) != 1)
		die("a byte each way");
	(void)SSL_shutdown(client);
	(void)SSL_shutdown(server);
	(void)SSL_shutdown(client);
}

/* One connection; true if it resumed. */
static bool
connect_once(SSL_CTX *client_ctx, SSL_CTX *server_ctx, int version,
    const char *server_name, SSL_SESSION *session)
{
	SSL *client = SSL_new(client_ctx), *server = SSL_new(server_ctx);
	BIO *client_bio = NULL, *server_bio = NULL;
	bool resumed;

	if (client == NULL || server == NULL ||
	    BIO_new_bio_pair(&client_bio, 0, &server_bio, 0) != 1)
		die("SSL_new");
	SSL_set_bio(client, client_bio, client_bio);
	SSL_set_bio(server, server_bio, server_bio);
	if (SSL_set_max_proto_version(client, version) != 1 ||
	    SSL_set_tlsext_host_name(client, server_name) != 1 ||
	    (session != NULL && SSL_set_session(client, session) != 1))
		die("client");
	talk(client, server);
	resumed = SSL_session_reused(server) == 1;
	SSL_free(client);
	SSL_free(server);
	return resumed;
}

static void
make_sessions(struct sesscache *cache, const struct fill *fill)
{
	SSL_CTX *server = new_server(cache), *client = new_client();
	SSL_SESSION *session;
	long i;
	int version;

	for (i = 0; i < fill->count; i++) {
		version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
		(void)connect_once(client, server, version, fill->server_name,
		    NULL);
		session = received;
		received = NULL;
		if (fill->resume &&
		    !connect_once(client, server, version, fill->server_name,
			session))
			die("a session did not resume");
		SSL_SESSION_free(session);
	}
	SSL_SESSION_free(received);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

static void
set(struct sesscache_options *options, const char *name, const char *value)
{
	if (sesscache_options_set(options, name, value) != SESSCACHE_OK)
		die("options");
}

static void
parse(struct fill *fill, struct sesscache_options *options, int argc,
    char **argv)
{
	char *value;
	int option;

	for (option = getopt(argc, argv, FLAGS); option != -1;
	     option = getopt(argc, argv, FLAGS)) {
		if (option == 'b') {
			fill->bytes = strtol(optarg, NULL, 10);
		} else if (option == 'i') {
			fill->id = optarg;
		} else if (option == 'n') {
			fill->count = strtol(optarg, NULL, 10);
		} else if (option == 'N') {
			fill->server_name = optarg;
		} else if (option == 'o' && strchr(optarg, '=') != NULL) {
			value = strchr(optarg, '=');
			*value = '\0';
			set(options, optarg, value + 1);
		} else if (option == 'r') {
			fill->resume = true;
		} else if (option == 's') {
			fill->sessions = true;
		} else if (option == 't') {
			fill->ttl_seconds = (uint32_t)strtoul(optarg, NULL, 10);
		} else {
			die("usage");
		}
	}
	if (optind + 1 != argc || fill->bytes < (long)sizeof(long))
		die("usage");
	set(options, "dir", argv[optind]);
}

int
main(int argc, char **argv)
{
	struct fill fill = { .count = 1, .bytes = 160, .server_name = "test" };
	struct sesscache_options *options = NULL;
	struct sesscache *cache = NULL;

	if (sesscache_options_new(&options) != SESSCACHE_OK)
		die("options");
	parse(&fill, options, argc, argv);
	if (sesscache_open(&cache, options) != SESSCACHE_OK)
		die("open");
	if (fill.sessions)
		make_sessions(cache, &fill);
	else
		put_records(cache, &fill);
	sesscache_close(cache);
	sesscache_options_free(options);
	return EXIT_SUCCESS;
}
