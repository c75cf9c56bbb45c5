/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the example servers have in common before they serve: the command
 * line, the listening socket, the cache, the SSL_CTX, the privileges.
 * Failures are told on standard error; the functions then return false, -1
 * or NULL.
 */
#ifndef EXAMPLE_SERVER_H
#define EXAMPLE_SERVER_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "sesscache.h"

enum server_mode {
	SERVER_SHARED,  /* sesscache: one cache for all workers */
	SERVER_PROCESS, /* OpenSSL's own cache, one in each process */
	SERVER_NONE,    /* no sessions are kept */
};

#define SERVER_SETTINGS_MAX 16
#define SERVER_HOSTS_MAX 16

/* Files in PEM. */
struct server_identity {
	const char *cert; /* the chain after it */
	const char *key;
	const char *client_ca; /* NULL: no client certificates */
};

struct server_host {
	const char *name; /* as clients send it */
	struct server_identity identity;
};

struct server_options {
	const char *address;
	const char *port; /* "0": any that is free */
	struct server_identity identity;
	const char *user; /* NULL: stay who we are */
	uid_t uid;        /* of user */
	gid_t gid;
	unsigned workers;
	unsigned tickets;     /* for each full TLS 1.3 handshake */
	unsigned early_bytes; /* of early data at most; 0: none */
	int min_version;      /* TLS1_2_VERSION, ...; 0: any */
	int max_version;
	bool stateless; /* tickets that hold the session themselves */
	bool late;      /* each worker process makes its own SSL_CTX */
	enum server_mode mode;
	const char *realm; /* NULL: sesscache tells hosts apart itself */
	struct server_host hosts[SERVER_HOSTS_MAX];
	size_t hosts_len;
	const char *settings[SERVER_SETTINGS_MAX]; /* "name=value" */
	size_t settings_len;
};

enum server_parsed { SERVER_RUN, SERVER_HELP, SERVER_USAGE };

/* The options borrow from argv.  Help and complaints have been printed. */
enum server_parsed server_parse(struct server_options *options, int argc,
    char **argv);

/* "shared", "process", "none" */
const char *server_mode_name(enum server_mode mode);

/* A listening socket, or -1. */
int server_listen(const struct server_options *options);

/* Say on standard output where the server listens. */
bool server_announce(const struct server_options *options, int fd);

/* With a mode other than SERVER_SHARED, *cache is NULL and all is well. */
bool server_open_cache(const struct server_options *options,
    struct sesscache **cache);

/* cache may be NULL; the caller frees the context. */
SSL_CTX *server_context(const struct server_options *options,
    struct sesscache *cache);

/* Become options->user, for good.  Does nothing if that is NULL. */
bool server_drop_privileges(const struct server_options *options);

#endif
