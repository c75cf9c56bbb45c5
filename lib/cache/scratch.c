/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See scratch.h.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "cache/scratch.h"
#include "cache/seal.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end;
static _Thread_local struct sc_scratch *local;

void *
sc_private_new(size_t len)
{
	void *pages = mmap(NULL, len, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED) {
		(void)sc_fail(SESSCACHE_ENOMEM, "out of memory");
		return NULL;
	}
	/* Every failure is an error, for the reason given at sc_host_hide(). */
	if (madvise(pages, len, MADV_DONTDUMP) != 0) {
		(void)sc_fail(SESSCACHE_ENOMEM,
		    "cannot leave memory out of core dumps: %s",
		    strerror(errno));
		(void)munmap(pages, len);
		return NULL;
	}
	return pages;
}

void
sc_private_free(void *pages, size_t len)
{
	if (pages == NULL)
		return;
	sc_seal_wipe(pages, len);
	(void)munmap(pages, len);
}

/* A destructor of the thread that runs later may ask for buffers again. */
static void
free_scratch(void *arg)
{
	sc_private_free(arg, sizeof(struct sc_scratch));
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
	local = sc_private_new(sizeof(*local));
	if (local != NULL)
		(void)pthread_setspecific(thread_end, local);
	return local;
}
