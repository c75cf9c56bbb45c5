/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes of gnutls.c: a listening socket, workers that accept on it,
 * and a master that keeps them running.  Knows nothing of TLS or the cache.
 */
#ifndef EXAMPLE_WORKERS_H
#define EXAMPLE_WORKERS_H

#include <stdbool.h>

#define WORKERS_MAX 256

struct workers {
	const char *address;
	const char *port; /* "0": any that is free */
	unsigned long count;
	/* Serves one connection, in the worker of this number; takes fd. */
	void (*serve)(void *arg, unsigned long worker, int fd);
	void *arg;
	int listen_fd; /* closed by the caller */
};

/* Listen, and say on standard output where; failures on standard error. */
bool workers_listen(struct workers *workers);

/*
 * Fork, replace workers that die, return after SIGTERM or SIGINT once each
 * worker has finished the connection that it had.
 */
void workers_run(const struct workers *workers);

#endif
