/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A prefork HTTPS server with one session cache for all its workers.
 *
 * The master binds, opens the cache, makes the SSL_CTX and forks; a worker
 * inherits all of it and serves one connection at a time.  A worker that dies
 * is replaced.  SIGTERM and SIGINT stop the server, SIGHUP reads the
 * certificate again and replaces the workers; both let a worker finish the
 * connection that it has.
 */
#include <sys/types.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"
#include "server.h"

#define GRACE_MS 15000  /* for workers to stop: more than a connection */
#define HEALTHY_MS 1000 /* who lived less is restarted with a delay */
#define DELAY_MIN_MS 100
#define DELAY_MAX_MS 10000

struct child {
	pid_t pid; /* 0: not running */
	int64_t started_ms;
	int64_t start_at_ms; /* not before */
	int64_t delay_ms;
};

struct master {
	struct server_options options;
	struct sesscache *cache;
	SSL_CTX *ctx;
	struct board *board;
	int listen_fd;
	sigset_t signals;       /* that the master waits for */
	sigset_t old_signals;   /* what was blocked before */
	struct child *children; /* options.workers of them */
};

static int64_t
now_ms(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
master_close(struct master *master)
{
	SSL_CTX_free(master->ctx);
	sesscache_close(master->cache);
	board_free(master->board);
	free(master->children);
	if (master->listen_fd >= 0)
		close(master->listen_fd);
}

static void
on_stop(int signal_number)
{
	(void)signal_number;
	worker_stop();
}

static void
set_worker_signals(const struct master *master)
{
	struct sigaction action = { .sa_handler = on_stop };

	sigemptyset(&action.sa_mask); /* no SA_RESTART: accept() shall end */
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_handler = SIG_IGN; /* the master's business */
	sigaction(SIGHUP, &action, NULL);
	sigprocmask(SIG_SETMASK, &master->old_signals, NULL);
}

/* The life of a worker; returns its exit status. */
static int
work(struct master *master, unsigned index, pid_t parent)
{
	struct worker worker = { .board = master->board,
		.listen_fd = master->listen_fd,
		.index = index,
		.parent = parent };
	int status = EXIT_FAILURE;

	set_worker_signals(master);
	/*
	 * For the comparison with OpenSSL's own cache, each worker needs a
	 * context that shares nothing with the others, not even ticket keys.
	 * Made before the privileges go: the key may be root's alone.
	 */
	if (master->options.mode == SERVER_PROCESS || master->options.late) {
		SSL_CTX_free(master->ctx);
		master->ctx = server_context(&master->options, master->cache);
	}
	worker.ctx = master->ctx;
	if (worker.ctx != NULL && server_drop_privileges(&master->options) &&
	    worker_run(&worker))
		status = EXIT_SUCCESS;
	master_close(master);
	return status;
}

static void
delay_next_start(struct child *child, bool unhealthy)
{
	if (!unhealthy)
		child->delay_ms = 0;
	else if (child->delay_ms == 0)
		child->delay_ms = DELAY_MIN_MS;
	else if (child->delay_ms < DELAY_MAX_MS / 2)
		child->delay_ms *= 2;
	else
		child->delay_ms = DELAY_MAX_MS;
	child->start_at_ms = now_ms() + child->delay_ms;
}

static void
start(struct master *master, unsigned index)
{
	struct child *child = &master->children[index];
	pid_t parent = getpid(), pid;

	child->started_ms = now_ms();
	pid = fork();
	if (pid == 0)
		exit(work(master, index, parent));
	if (pid > 0) {
		child->pid = pid;
	} else {
		fprintf(stderr, "fork: %s\n", strerror(errno));
		delay_next_start(child, true);
	}
}

/* Start what is due; returns how long until the next one is, or -1. */
static int64_t
start_due(struct master *master)
{
	int64_t wait_ms = -1, left_ms;
	struct child *child;
	unsigned i;

	for (i = 0; i < master->options.workers; i++) {
		child = &master->children[i];
		if (child->pid == 0 && child->start_at_ms <= now_ms())
			start(master, i);
		if (child->pid != 0)
			continue;
		left_ms = child->start_at_ms - now_ms();
		if (left_ms < 0)
			left_ms = 0;
		if (wait_ms < 0 || left_ms < wait_ms)
			wait_ms = left_ms;
	}
	return wait_ms;
}

static struct child *
find_child(struct master *master, pid_t pid)
{
	struct child *found = NULL;
	unsigned i;

	for (i = 0; i < master->options.workers && found == NULL; i++) {
		if (master->children[i].pid == pid)
			found = &master->children[i];
	}
	return found;
}

static void
tell_death(const struct master *master, const struct child *child, int status)
{
	long index = (long)(child - master->children);

	if (WIFSIGNALED(status))
		fprintf(stderr, "worker %ld (pid %ld): killed by signal %d\n",
		    index, (long)child->pid, WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		fprintf(stderr, "worker %ld (pid %ld): exit status %d\n", index,
		    (long)child->pid, WEXITSTATUS(status));
}

/* Note the workers that have ended; returns how many are left. */
static unsigned
reap(struct master *master)
{
	unsigned left = 0, i;
	struct child *child;
	bool failed;
	int status;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid <= 0)
			break;
		child = find_child(master, pid);
		if (child == NULL)
			continue;
		tell_death(master, child, status);
		failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
		delay_next_start(child,
		    failed && now_ms() - child->started_ms < HEALTHY_MS);
		child->pid = 0;
	}
	for (i = 0; i < master->options.workers; i++)
		left += master->children[i].pid != 0;
	return left;
}

static void
kill_all(const struct master *master, int signal_number)
{
	unsigned i;

	for (i = 0; i < master->options.workers; i++) {
		if (master->children[i].pid != 0)
			kill(master->children[i].pid, signal_number);
	}
}

/* Wait for a signal, at most wait_ms (-1: for ever); 0 if none came. */
static int
wait_signal(const struct master *master, int64_t wait_ms)
{
	struct timespec limit = { .tv_sec = (time_t)(wait_ms / 1000),
		.tv_nsec = (long)(wait_ms % 1000) * 1000000 };
	int got;

	if (wait_ms < 0)
		got = sigwaitinfo(&master->signals, NULL);
	else
		got = sigtimedwait(&master->signals, NULL, &limit);
	return got > 0 ? got : 0;
}

/* Workers that stop in good order are replaced at once, by new ones. */
static void
reload(struct master *master)
{
	SSL_CTX *ctx = server_context(&master->options, master->cache);

	if (ctx == NULL) {
		fprintf(stderr, "reload failed, going on as before\n");
	} else {
		SSL_CTX_free(master->ctx);
		master->ctx = ctx;
		kill_all(master, SIGTERM);
	}
}

static void
supervise(struct master *master)
{
	bool stop = false;
	int got;

	while (!stop) {
		got = wait_signal(master, start_due(master));
		stop = got == SIGTERM || got == SIGINT;
		if (got == SIGHUP)
			reload(master);
		(void)reap(master);
	}
}

/* Let workers finish what they have; kill those that do not. */
static void
stop_all(struct master *master)
{
	int64_t deadline_ms = now_ms() + GRACE_MS, left_ms = GRACE_MS;

	kill_all(master, SIGTERM);
	while (reap(master) > 0 && left_ms > 0) {
		(void)wait_signal(master, left_ms);
		left_ms = deadline_ms - now_ms();
	}
	kill_all(master, SIGKILL);
	while (reap(master) > 0)
		(void)wait_signal(master, 1000);
}

static void
set_master_signals(struct master *master)
{
	signal(SIGPIPE, SIG_IGN); /* a client that left is an error of write */
	sigemptyset(&master->signals);
	sigaddset(&master->signals, SIGCHLD);
	sigaddset(&master->signals, SIGHUP);
	sigaddset(&master->signals, SIGINT);
	sigaddset(&master->signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &master->signals, &master->old_signals);
}

static bool
master_open(struct master *master)
{
	const struct server_options *options = &master->options;
	bool done = false;

	master->children = calloc(options->workers, sizeof(struct child));
	master->board = board_new(options->workers);
	if (master->children == NULL || master->board == NULL) {
		fprintf(stderr, "out of memory\n");
		goto out;
	}
	/* Before fork() and setuid(): workers inherit what root may open. */
	if (!server_open_cache(options, &master->cache))
		goto out;
	master->ctx = server_context(options, master->cache);
	if (master->ctx == NULL)
		goto out;
	master->listen_fd = server_listen(options);
	done = master->listen_fd >= 0 &&
	    server_announce(options, master->listen_fd);
out:
	return done;
}

int
main(int argc, char **argv)
{
	struct master master = { .listen_fd = -1 };
	int status = EXIT_FAILURE;

	switch (server_parse(&master.options, argc, argv)) {
	case SERVER_HELP:
		status = EXIT_SUCCESS;
		break;
	case SERVER_USAGE:
		status = 2;
		break;
	case SERVER_RUN:
		set_master_signals(&master);
		if (master_open(&master)) {
			supervise(&master);
			stop_all(&master);
			status = EXIT_SUCCESS;
		}
		break;
	}
	master_close(&master);
	return status;
}
