/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same server with threads: one process, one SSL_CTX, a pool of threads
 * that each serve one connection at a time.  The cache is the same too: run
 * it beside the prefork server on one directory, and what one of them has
 * stored the other resumes.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connection.h"
#include "server.h"

struct thread {
	pthread_t id;
	struct worker worker;
};

struct pool {
	struct server_options options;
	struct sesscache *cache;
	SSL_CTX *ctx;
	struct board *board;
	int listen_fd;
	struct thread *threads;
	unsigned running;
};

static void *
run(void *arg)
{
	const struct thread *thread = arg;

	if (!worker_run(&thread->worker))
		kill(getpid(), SIGTERM); /* no use without a socket */
	return NULL;
}

static bool
pool_open(struct pool *pool)
{
	const struct server_options *options = &pool->options;
	bool done = false;

	pool->threads = calloc(options->workers, sizeof(struct thread));
	pool->board = board_new(options->workers);
	if (pool->threads == NULL || pool->board == NULL) {
		fprintf(stderr, "out of memory\n");
		goto out;
	}
	if (!server_open_cache(options, &pool->cache))
		goto out;
	pool->ctx = server_context(options, pool->cache);
	if (pool->ctx == NULL)
		goto out;
	pool->listen_fd = server_listen(options);
	done = pool->listen_fd >= 0 && server_drop_privileges(options) &&
	    server_announce(options, pool->listen_fd);
out:
	return done;
}

static void
pool_close(struct pool *pool)
{
	SSL_CTX_free(pool->ctx);
	sesscache_close(pool->cache);
	board_free(pool->board);
	free(pool->threads);
	if (pool->listen_fd >= 0)
		close(pool->listen_fd);
}

static bool
start_threads(struct pool *pool)
{
	struct thread *thread;
	int rc = 0;

	while (rc == 0 && pool->running < pool->options.workers) {
		thread = &pool->threads[pool->running];
		thread->worker = (struct worker){ .ctx = pool->ctx,
			.board = pool->board,
			.listen_fd = pool->listen_fd,
			.index = pool->running };
		rc = pthread_create(&thread->id, NULL, run, thread);
		if (rc == 0)
			pool->running++;
		else
			fprintf(stderr, "thread: %s\n", strerror(rc));
	}
	return rc == 0;
}

static void
stop_threads(struct pool *pool)
{
	worker_stop();
	while (pool->running > 0)
		pthread_join(pool->threads[--pool->running].id, NULL);
}

/* Returns the exit status. */
static int
serve_until_stopped(struct pool *pool)
{
	int status = EXIT_FAILURE, got;
	sigset_t signals;

	/* Blocked in every thread: the one that waits here gets them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (pool_open(pool)) {
		if (start_threads(pool) && sigwait(&signals, &got) == 0)
			status = EXIT_SUCCESS;
		stop_threads(pool);
	}
	return status;
}

int
main(int argc, char **argv)
{
	struct pool pool = { .listen_fd = -1 };
	int status = EXIT_FAILURE;

	switch (server_parse(&pool.options, argc, argv)) {
	case SERVER_HELP:
		status = EXIT_SUCCESS;
		break;
	case SERVER_USAGE:
		status = 2;
		break;
	case SERVER_RUN:
		status = serve_until_stopped(&pool);
		break;
	}
	pool_close(&pool);
	return status;
}
