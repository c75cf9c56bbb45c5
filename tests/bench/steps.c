/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Does one thing that a TLS server does with the cache, again and again, for
 * instructions.sh to count: what counted_...() do is counted, and nothing
 * else; the first time of each is done before.  Exit status 0: done; 1: not;
 * 2: usage.
 */
#include <stdlib.h>
#include <string.h>

#include "../tls.h"
#include "sesscache.h"

#define EXIT_USAGE 2
#define EXIT_STATUS(done) ((done) ? EXIT_SUCCESS : EXIT_FAILURE)
#define SERVER_NAME "www.example.com"
#define STEPS_MAX 20 /* of a handshake that makes no progress */
#define COUNT_MAX 100000

struct step {
	const char *name;
	int version; /* 0: no handshakes, contexts are attached */
	bool resumes;
	bool tickets;        /* that hold the session themselves */
	const char *keys_of; /* setting tickets; NULL: nothing is attached */
};

static const struct step steps[] = {
	{ "attach", 0, false, false, "auto" },
	{ "full2", TLS1_2_VERSION, false, false, "off" },
	{ "full3", TLS1_3_VERSION, false, false, "off" },
	{ "id2", TLS1_2_VERSION, true, false, "off" },
	{ "id3", TLS1_3_VERSION, true, false, "off" },
	{ "ticket2", TLS1_2_VERSION, true, true, "shared" },
	{ "ticket3", TLS1_3_VERSION, true, true, "shared" },
	{ "openssl2", TLS1_2_VERSION, true, true, NULL },
	{ "openssl3", TLS1_3_VERSION, true, true, NULL },
};

enum { N_STEPS = sizeof(steps) / sizeof(steps[0]) };

static struct sesscache *
open_cache(const char *dir, const struct step *step)
{
	struct sesscache_options *options = NULL;
	struct sesscache *cache = NULL;
	bool done;

	done = sesscache_options_new(&options) == SESSCACHE_OK &&
	    sesscache_options_set(options, "dir", dir) == SESSCACHE_OK &&
	    sesscache_options_set(options, "single-use", "off") ==
		SESSCACHE_OK &&
	    sesscache_options_set(options, "tickets", step->keys_of) ==
		SESSCACHE_OK &&
	    sesscache_open(&cache, options) == SESSCACHE_OK;
	if (!done)
		(void)fprintf(stderr, "%s\n", sesscache_detail());
	sesscache_options_free(options);
	return cache;
}

/* --- what is counted ------------------------------------------------------ */

__attribute__((noinline)) static bool
counted_attach(struct sesscache *cache, SSL_CTX *ctx)
{
	return sesscache_attach(cache, ctx) == SESSCACHE_OK;
}

__attribute__((noinline)) static int
counted_handshake(SSL *server)
{
	return SSL_do_handshake(server);
}

__attribute__((noinline)) static void
counted_end(SSL *server)
{
	(void)SSL_shutdown(server);
	SSL_free(server);
}

/* --- contexts that are attached ------------------------------------------- */

static bool
attach_many(struct sesscache *cache, const struct tls_identity *identity,
    int count)
{
	SSL_CTX *first = tls_server_new(identity, TLS1_3_VERSION);
	bool done = first != NULL &&
	    sesscache_attach(cache, first) == SESSCACHE_OK;

	for (int i = 0; done && i < count; i++) {
		SSL_CTX *ctx = tls_server_new(identity, TLS1_3_VERSION);

		done = ctx != NULL && counted_attach(cache, ctx);
		SSL_CTX_free(ctx);
	}
	SSL_CTX_free(first);
	return done;
}

/* --- handshakes ----------------------------------------------------------- */

static bool
shake_hands(struct tls_pair *pair, bool counted)
{
	int client = 0, server = 0;
	char byte;

	for (int i = 0; i < STEPS_MAX && (client != 1 || server != 1); i++) {
		client = SSL_do_handshake(pair->client);
		server = counted ? counted_handshake(pair->server) :
				   SSL_do_handshake(pair->server);
	}
	/* Tickets in TLS 1.3. */
	(void)SSL_read(pair->client, &byte, 1);
	return client == 1 && server == 1;
}

static bool
connect_once(SSL_CTX *server, SSL_CTX *client, SSL_SESSION **session,
    const struct step *step, bool counted)
{
	bool resumes = step->resumes && *session != NULL;
	struct tls_pair pair;
	bool done;

	if (!tls_pair_new(&pair, server, client, resumes ? *session : NULL,
		SERVER_NAME))
		return false;
	done = shake_hands(&pair, counted) &&
	    SSL_session_reused(pair.server) == (int)resumes;
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(pair.client);
	SSL_set_shutdown(pair.client, SSL_SENT_SHUTDOWN);
	if (counted) {
		counted_end(pair.server);
		pair.server = NULL;
	}
	tls_pair_free(&pair);
	return done;
}

static bool
connect_many(struct sesscache *cache, const struct tls_identity *identity,
    const struct step *step, int count)
{
	SSL_CTX *server = tls_server_new(identity, step->version);
	SSL_CTX *client = tls_client_new(NULL, step->version);
	SSL_SESSION *session = NULL;
	bool done = server != NULL && client != NULL;

	if (done && !step->tickets)
		(void)SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
	if (done && cache != NULL)
		done = sesscache_attach(cache, server) == SESSCACHE_OK;
	for (int i = -2; done && i < count; i++)
		done = connect_once(server, client, &session, step, i >= 0);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
	return done;
}

/* --- the program ---------------------------------------------------------- */

static const struct step *
find_step(const char *name)
{
	for (int i = 0; i < N_STEPS; i++)
		if (strcmp(steps[i].name, name) == 0)
			return &steps[i];
	return NULL;
}

static bool
run(const char *dir, const struct step *step, int count)
{
	struct sesscache *cache = NULL;
	struct tls_identity identity;
	bool done = false;

	if (step->keys_of != NULL) {
		cache = open_cache(dir, step);
		if (cache == NULL)
			return false;
	}
	if (tls_identity_new(&identity, SERVER_NAME, 0)) {
		done = step->version == 0 ?
		    attach_many(cache, &identity, count) :
		    connect_many(cache, &identity, step, count);
		tls_identity_free(&identity);
	}
	sesscache_close(cache);
	return done;
}

int
main(int argc, char **argv)
{
	const struct step *step = argc == 4 ? find_step(argv[2]) : NULL;
	long count = argc == 4 ? strtol(argv[3], NULL, 10) : 0;

	if (step == NULL || count < 1 || count > COUNT_MAX) {
		(void)fprintf(stderr, "usage: steps DIR STEP COUNT\n");
		return EXIT_USAGE;
	}
	return EXIT_STATUS(run(argv[1], step, (int)count));
}
