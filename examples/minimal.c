/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smallest server with a session cache for all its workers:
 *
 *	minimal 127.0.0.1:4433 cert.pem key.pem
 *
 * Four processes answer each request with one line.  prefork.c shows what a
 * server needs beyond that.
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "sesscache.h"

#define WORKERS 4

static SSL_CTX *
make_context(const char *cert, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		ERR_print_errors_fp(stderr);
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
	return ctx;
}

/* The ten lines. */
static struct sesscache *
share_sessions(SSL_CTX *ctx)
{
	struct sesscache *cache = NULL;

	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	if (sesscache_open(&cache, NULL) != SESSCACHE_OK ||
	    sesscache_attach(cache, ctx) != SESSCACHE_OK)
		fprintf(stderr, "sesscache: %s\n", sesscache_detail());
	return cache;
}

/* Takes the connection. */
static void
answer(SSL_CTX *ctx, BIO *connection)
{
	const struct timeval patience = { .tv_sec = 5 };
	int fd = (int)BIO_get_fd(connection, NULL);
	SSL *ssl = SSL_new(ctx);
	char request[1024], page[128];
	int len;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
	    sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
	    sizeof(patience));
	if (ssl == NULL) {
		BIO_free(connection);
		goto out;
	}
	SSL_set_bio(ssl, connection, connection);
	if (SSL_accept(ssl) != 1 ||
	    SSL_read(ssl, request, sizeof(request)) <= 0)
		goto out;
	len = snprintf(page, sizeof(page),
	    "HTTP/1.0 200 OK\r\n\r\nworker %ld, session %s\n", (long)getpid(),
	    SSL_session_reused(ssl) == 1 ? "resumed" : "new");
	if (SSL_write(ssl, page, len) == len)
		(void)SSL_shutdown(ssl);
out:
	SSL_free(ssl);
	ERR_clear_error();
}

static void
serve(SSL_CTX *ctx, BIO *listener)
{
	BIO *connection;

	prctl(PR_SET_PDEATHSIG, SIGTERM); /* end with the parent */
	for (;;) {
		if (BIO_do_accept(listener) == 1) {
			connection = BIO_pop(listener);
			answer(ctx, connection);
		} else {
			ERR_clear_error();
			sleep(1); /* out of descriptors, perhaps */
		}
	}
}

int
main(int argc, char **argv)
{
	struct sesscache *cache = NULL;
	SSL_CTX *ctx = NULL;
	BIO *listener = NULL;
	int status = EXIT_FAILURE, i;

	if (argc != 4) {
		fprintf(stderr, "usage: %s address:port cert.pem key.pem\n",
		    argv[0]);
		goto out;
	}
	signal(SIGPIPE, SIG_IGN);
	ctx = make_context(argv[2], argv[3]);
	listener = BIO_new_accept(argv[1]);
	if (ctx == NULL || listener == NULL)
		goto out;
	cache = share_sessions(ctx);
	if (BIO_do_accept(listener) != 1) { /* the first call binds */
		ERR_print_errors_fp(stderr);
		goto out;
	}
	printf("port %s\n", BIO_get_accept_port(listener));
	fflush(stdout);
	for (i = 0; i < WORKERS; i++) {
		if (fork() == 0)
			serve(ctx, listener);
	}
	while (wait(NULL) > 0)
		continue;
	status = EXIT_SUCCESS;
out:
	BIO_free_all(listener);
	SSL_CTX_free(ctx);
	sesscache_close(cache);
	return status;
}
