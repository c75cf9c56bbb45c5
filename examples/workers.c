/* SPDX-License-Identifier: BSD-2-Clause */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "workers.h"

#define BACKLOG 1024
#define PAUSE_MS 100 /* after a failure, which would burn the CPU */

static volatile sig_atomic_t stopping;

static bool
bind_there(int fd, const struct addrinfo *there)
{
	/* A signal that came just before accept() is seen after this. */
	const struct timeval patience = { .tv_sec = 1 };
	const int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
		sizeof(patience)) == 0 &&
	    bind(fd, there->ai_addr, there->ai_addrlen) == 0 &&
	    listen(fd, BACKLOG) == 0;
}

static bool
announce(const struct workers *workers)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);
	char port[NI_MAXSERV];
	bool v6, done;

	done = getsockname(workers->listen_fd, (struct sockaddr *)&address,
		   &len) == 0 &&
	    getnameinfo((struct sockaddr *)&address, len, NULL, 0, port,
		sizeof(port), NI_NUMERICSERV) == 0;
	if (done) {
		v6 = strchr(workers->address, ':') != NULL;
		printf("https://%s%s%s:%s/ %lu workers\n", v6 ? "[" : "",
		    workers->address, v6 ? "]" : "", port, workers->count);
		/* Flushed here, or each worker would print it once more. */
		done = fflush(stdout) == 0;
	}
	return done;
}

bool
workers_listen(struct workers *workers)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *there = NULL;
	const char *problem = NULL;
	int rc;

	rc = getaddrinfo(workers->address, workers->port, &hints, &there);
	if (rc != 0) {
		problem = gai_strerror(rc);
		goto out;
	}
	workers->listen_fd = socket(there->ai_family,
	    SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (workers->listen_fd < 0 || !bind_there(workers->listen_fd, there) ||
	    !announce(workers))
		problem = strerror(errno);
	freeaddrinfo(there);
out:
	if (problem != NULL)
		fprintf(stderr, "%s port %s: %s\n", workers->address,
		    workers->port, problem);
	return problem == NULL;
}

static void
on_stop(int signal_number)
{
	(void)signal_number;
	stopping = 1;
}

static void
work(const struct workers *workers, unsigned long index, pid_t parent,
    const sigset_t *old_signals)
{
	struct sigaction action = { .sa_handler = on_stop };
	int fd;

	sigemptyset(&action.sa_mask); /* no SA_RESTART: accept() shall end */
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigprocmask(SIG_SETMASK, old_signals, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	while (stopping == 0 && getppid() == parent) {
		fd = accept4(workers->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			workers->serve(workers->arg, index, fd);
		else if (errno != EAGAIN && errno != EINTR)
			(void)poll(NULL, 0, PAUSE_MS);
	}
}

static void
start_missing(const struct workers *workers, pid_t *pids,
    const sigset_t *old_signals)
{
	pid_t parent = getpid();
	unsigned long i;

	for (i = 0; i < workers->count; i++) {
		if (pids[i] > 0)
			continue;
		pids[i] = fork();
		if (pids[i] < 0)
			fprintf(stderr, "fork: %s\n", strerror(errno));
		if (pids[i] == 0) {
			work(workers, i, parent, old_signals);
			exit(EXIT_SUCCESS);
		}
	}
}

/* Note the workers that have ended. */
static void
reap(const struct workers *workers, pid_t *pids)
{
	unsigned long i;
	pid_t pid;

	do {
		pid = waitpid(-1, NULL, WNOHANG);
		for (i = 0; pid > 0 && i < workers->count; i++) {
			if (pids[i] == pid)
				pids[i] = 0;
		}
	} while (pid > 0);
}

static void
stop_all(const struct workers *workers, const pid_t *pids)
{
	unsigned long i;
	pid_t pid;

	for (i = 0; i < workers->count; i++) {
		if (pids[i] > 0)
			kill(pids[i], SIGTERM);
	}
	do {
		pid = waitpid(-1, NULL, 0);
	} while (pid > 0 || errno == EINTR);
}

void
workers_run(const struct workers *workers)
{
	const struct timespec second = { .tv_sec = 1 }; /* if fork() fails */
	pid_t pids[WORKERS_MAX] = { 0 };
	sigset_t signals, old_signals;
	int got = 0;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, &old_signals);
	while (got != SIGTERM && got != SIGINT) {
		start_missing(workers, pids, &old_signals);
		got = sigtimedwait(&signals, NULL, &second);
		if (got == SIGCHLD)
			(void)poll(NULL, 0, PAUSE_MS);
		reap(workers, pids);
	}
	stop_all(workers, pids);
	sigprocmask(SIG_SETMASK, &old_signals, NULL);
}
