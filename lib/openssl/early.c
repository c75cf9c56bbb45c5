/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See early.h.
 */
#include "openssl/early.h"

static const uint64_t guard = SSL_OP_NO_TICKET | SSL_OP_NO_ANTI_REPLAY;

static bool
is_guarded(const struct sesscache *handle, uint32_t max_early_data,
    uint64_t options)
{
	return max_early_data > 0 &&
	    (handle->options.single_use != SC_SINGLE_USE_OFF ||
		(options & SSL_OP_NO_ANTI_REPLAY) == 0 ||
		(options & SSL_OP_NO_TICKET) != 0);
}

void
sc_early_guard_ctx(const struct sesscache *handle, SSL_CTX *ctx)
{
	if (is_guarded(handle, SSL_CTX_get_max_early_data(ctx),
		SSL_CTX_get_options(ctx)))
		(void)SSL_CTX_set_options(ctx, guard);
}

void
sc_early_guard(const struct sesscache *handle, SSL *ssl)
{
	if (is_guarded(handle, SSL_get_max_early_data(ssl),
		SSL_get_options(ssl)))
		(void)SSL_set_options(ssl, guard);
}

bool
sc_early_is_once(const struct sesscache *handle, const SSL *ssl)
{
	enum sc_single_use single_use = handle->options.single_use;

	return SSL_version(ssl) == TLS1_3_VERSION &&
	    (single_use == SC_SINGLE_USE_ON ||
		(single_use == SC_SINGLE_USE_AUTO &&
		    SSL_get_max_early_data(ssl) > 0));
}
