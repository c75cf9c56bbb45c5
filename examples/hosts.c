/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "hosts.h"

/* A list, for there are few. */
struct host {
	const char *name;
	SSL_CTX *ctx;
	struct host *next;
};

/* The ex_data of an SSL_CTX that holds its list; -1: there is no more. */
static int hosts_index = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
free_hosts(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl,
    void *argp)
{
	struct host *host = ptr, *next;

	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	for (; host != NULL; host = next) {
		next = host->next;
		SSL_CTX_free(host->ctx);
		free(host);
	}
}

static void
init(void)
{
	hosts_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_hosts);
}

/*
 * SSL_set_SSL_CTX() takes over the certificate and the authorities, but
 * neither the options nor whether a client has to show who it is.
 */
static bool
switch_to(SSL *ssl, SSL_CTX *ctx)
{
	if (SSL_set_SSL_CTX(ssl, ctx) == NULL)
		return false;
	SSL_set_verify(ssl, SSL_CTX_get_verify_mode(ctx),
	    SSL_CTX_get_verify_callback(ctx));
	SSL_set_verify_depth(ssl, SSL_CTX_get_verify_depth(ctx));
	SSL_set_options(ssl, SSL_CTX_get_options(ctx));
	return true;
}

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct host *host = arg;
	int result = SSL_TLSEXT_ERR_NOACK;

	while (
	    name != NULL && host != NULL && strcasecmp(host->name, name) != 0)
		host = host->next;
	if (name != NULL && host != NULL) {
		result = SSL_TLSEXT_ERR_OK;
		if (!switch_to(ssl, host->ctx)) {
			*alert = SSL_AD_INTERNAL_ERROR;
			result = SSL_TLSEXT_ERR_ALERT_FATAL;
		}
	}
	return result;
}

bool
hosts_add(SSL_CTX *ctx, const char *name, SSL_CTX *host_ctx)
{
	struct host *host = calloc(1, sizeof(*host));
	bool done = false;

	(void)pthread_once(&once, init);
	if (host == NULL || hosts_index < 0)
		goto out;
	host->name = name;
	host->ctx = host_ctx;
	host->next = SSL_CTX_get_ex_data(ctx, hosts_index);
	if (SSL_CTX_set_ex_data(ctx, hosts_index, host) != 1)
		goto out;
	/* Neither can fail. */
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	(void)SSL_CTX_set_tlsext_servername_arg(ctx, host);
	done = true;
out:
	if (!done) {
		fprintf(stderr, "host %s: out of memory\n", name);
		SSL_CTX_free(host_ctx);
		free(host);
	}
	return done;
}
