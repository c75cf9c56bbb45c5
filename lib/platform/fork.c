/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See fork.h.
 */
#include <errno.h>
#include <pthread.h>

#include "platform/fork.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct sc_fork_hook *hooks;
static int registered; /* what pthread_atfork() returned */

static void
prepare(void)
{
	struct sc_fork_hook *hook;

	pthread_mutex_lock(&mutex);
	for (hook = hooks; hook != NULL; hook = hook->next)
		hook->prepare(hook->arg);
}

static void
parent(void)
{
	struct sc_fork_hook *hook;

	for (hook = hooks; hook != NULL; hook = hook->next)
		hook->parent(hook->arg);
	pthread_mutex_unlock(&mutex);
}

static void
child(void)
{
	struct sc_fork_hook *hook;

	for (hook = hooks; hook != NULL; hook = hook->next)
		hook->child(hook->arg);
	pthread_mutex_unlock(&mutex);
}

static void
register_handlers(void)
{
	registered = pthread_atfork(prepare, parent, child);
}

enum sesscache_status
sc_fork_lock(void)
{
	pthread_once(&once, register_handlers);
	if (registered != 0)
		return sc_fail(SESSCACHE_ENOMEM,
		    "cannot register fork handlers");
	pthread_mutex_lock(&mutex);
	return SESSCACHE_OK;
}

void
sc_fork_unlock(void)
{
	pthread_mutex_unlock(&mutex);
}

void
sc_fork_add(struct sc_fork_hook *hook)
{
	hook->next = hooks;
	hooks = hook;
}

void
sc_fork_remove(struct sc_fork_hook *hook)
{
	struct sc_fork_hook **at = &hooks;

	while (*at != NULL && *at != hook)
		at = &(*at)->next;
	if (*at != NULL)
		*at = hook->next;
}
