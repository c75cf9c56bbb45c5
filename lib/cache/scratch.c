/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See scratch.h.
 */
#include <pthread.h>
#include <stdlib.h>

#include "cache/scratch.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end;
static _Thread_local struct sc_scratch *local;

/* A destructor of the thread that runs later may ask for buffers again. */
static void
free_scratch(void *arg)
{
	free(arg);
	local = NULL;
}

static void
make_key(void)
{
	(void)pthread_key_create(&thread_end, free_scratch);
}

struct sc_scratch *
sc_scratch(void)
{
	if (local != NULL)
		return local;
	(void)pthread_once(&once, make_key);
	local = malloc(sizeof(*local));
	if (local == NULL)
		(void)sc_fail(SESSCACHE_ENOMEM, "out of memory");
	else
		(void)pthread_setspecific(thread_end, local);
	return local;
}
