/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See quiet.h.
 */
#include "openssl/quiet.h"

#include <errno.h>

#include <openssl/async.h>
#include <openssl/err.h>

void
sc_quiet_begin(struct sc_quiet *quiet)
{
	quiet->saved_errno = errno;
	(void)ERR_set_mark();
	ASYNC_block_pause();
}

void
sc_quiet_end(const struct sc_quiet *quiet)
{
	ASYNC_unblock_pause();
	(void)ERR_pop_to_mark();
	errno = quiet->saved_errno;
}
