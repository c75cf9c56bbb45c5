/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process above a benchmark, which only cleans up.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/* Wait for a child's end or for a signal to end it. */
static int
supervise(pid_t child, const sigset_t *signals)
{
	int exit_status = EXIT_FAILURE;
	bool running = true;
	int signal_number = 0;
	int status = 0;

	while (running) {
		if (sigwait(signals, &signal_number) != 0 ||
		    signal_number != SIGCHLD)
			(void)kill(child, SIGKILL);
		if (waitpid(child, &status,
			signal_number == SIGCHLD ? WNOHANG : 0) == child)
			running = false;
	}
	if (WIFEXITED(status))
		exit_status = WEXITSTATUS(status);
	/* Its children die with it and are ours now: see them gone. */
	while (waitpid(-1, NULL, 0) > 0)
		continue;
	return exit_status;
}

/* Run in a child, so that nothing is left behind however it ends. */
static int
run_supervised(const char *dir, int (*run)(const char *dir, const void *arg),
    const void *arg)
{
	int exit_status = EXIT_FAILURE;
	sigset_t signals, before;
	pid_t parent = getpid();
	pid_t child;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGCHLD);
	(void)sigaddset(&signals, SIGHUP);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, &before);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	child = fork();
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)sigprocmask(SIG_SETMASK, &before, NULL);
		exit_status = EXIT_FAILURE;
		if (getppid() == parent)
			exit_status = run(dir, arg);
		exit(exit_status);
	}
	if (child > 0)
		exit_status = supervise(child, &signals);
	else
		(void)bench_fail("fork: %s", strerror(errno));
	return exit_status;
}

int
bench_in_scratch(const char *parent,
    int (*run)(const char *dir, const void *arg), const void *arg)
{
	int exit_status = EXIT_FAILURE;
	char path[PATH_MAX];
	int len;

	len = snprintf(path, sizeof path, "%s/%s.XXXXXX", parent,
	    program_invocation_short_name);
	if (len < 0 || (size_t)len >= sizeof path || mkdtemp(path) == NULL) {
		(void)bench_fail("%s: %s", parent, strerror(errno));
	} else {
		exit_status = run_supervised(path, run, arg);
		bench_remove_tree(path);
	}
	return exit_status;
}
