/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker does: accept connections, one at a time, and answer each with
 * a page.  Knows TLS and a little HTTP; must not know about caches, processes
 * or threads.
 */
#ifndef EXAMPLE_CONNECTION_H
#define EXAMPLE_CONNECTION_H

#include <sys/types.h>

#include <stdatomic.h>
#include <stdbool.h>

#include <openssl/ssl.h>

/* Bytes of a request that may come as early data; the buffer has more. */
#define CONNECTION_EARLY_MAX 4096

/* What one worker has done; it alone writes, every worker reads. */
struct board_slot {
	atomic_long pid;
	atomic_ullong full;        /* full handshakes */
	atomic_ullong full_cpu_ns; /* CPU time they took here */
	atomic_ullong resumed;     /* resumed ones */
	atomic_ullong resumed_cpu_ns;
	atomic_ullong failed; /* handshakes that failed */
	atomic_ullong cpu_ns; /* all CPU time of the worker */
};

/* Shared memory, so that /stats can tell of all workers. */
struct board {
	unsigned slots_len;
	struct board_slot slots[];
};

/* NULL if there is no memory. */
struct board *board_new(unsigned workers);
void board_free(struct board *board);

struct worker {
	SSL_CTX *ctx;
	struct board *board;
	int listen_fd;
	unsigned index;
	pid_t parent; /* stop when it is gone; 0: there is none */
};

/* Serve until worker_stop(); false if the listening socket is unusable. */
bool worker_run(const struct worker *worker);

/* Let all workers of this process end; safe in a signal handler. */
void worker_stop(void);

#endif
