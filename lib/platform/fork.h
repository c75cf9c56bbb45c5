/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What must hold still while the process forks.  Knows only callbacks.
 */
#ifndef SC_PLATFORM_FORK_H
#define SC_PLATFORM_FORK_H

#include "status.h"

struct sc_fork_hook {
	void (*prepare)(void *arg); /* in the parent, before: take locks */
	void (*parent)(void *arg);  /* in the parent, after: release them */
	void (*child)(void *arg);   /* in the child: release them, forget */
	void *arg;
	struct sc_fork_hook *next; /* private */
};

/*
 * The lock over this process's list of hooks.  fork() takes it too, so that
 * whatever else it guards is whole in the child.
 */
enum sesscache_status sc_fork_lock(void) SESSCACHE_MUST_CHECK;
void sc_fork_unlock(void);

/* With the lock held.  The hook stays the caller's. */
void sc_fork_add(struct sc_fork_hook *hook);
void sc_fork_remove(struct sc_fork_hook *hook);

#endif
