/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inspection of the cache as it is exported: with what a TLS session
 * looks like.
 */
#include "openssl/session.h"

enum sesscache_status
sesscache_each(struct sesscache *handle, sesscache_visit *visit, void *arg)
{
	return sc_inspect_each(handle, sc_session_describe, visit, arg);
}

enum sesscache_status
sesscache_purge(struct sesscache *handle, const struct sesscache_filter *filter,
    uint64_t *removed)
{
	return sc_inspect_purge(handle, sc_session_describe, filter, removed);
}
