/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking into the cache.  What a session looks like is told by a callback:
 * this knows bytes, not TLS.  Private to the library.
 */
#ifndef SC_API_INSPECT_H
#define SC_API_INSPECT_H

#include "api/handle.h"

/* A session as the inspection shows it. */
struct sc_session_text {
	const char *protocol;  /* static; NULL: not a TLS session */
	const char *cipher;    /* static; NULL: not known */
	char server_name[256]; /* "": none */
};

/*
 * Describe stored bytes, wiping the secret among them; bytes that are no
 * session give NULL and "".
 */
typedef void sc_describe(struct sc_session_text *out, uint8_t *data,
    size_t len);

/* sesscache_each() and sesscache_purge(), their statuses. */
enum sesscache_status sc_inspect_each(struct sesscache *handle,
    sc_describe *describe, sesscache_visit *visit, void *arg)
    SESSCACHE_MUST_CHECK;
enum sesscache_status sc_inspect_purge(struct sesscache *handle,
    sc_describe *describe, const struct sesscache_filter *filter,
    uint64_t *removed) SESSCACHE_MUST_CHECK;

#endif
