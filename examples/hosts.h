/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtual hosts: another SSL_CTX for another server name.  Knows TLS alone;
 * must not know where sessions live.
 */
#ifndef EXAMPLE_HOSTS_H
#define EXAMPLE_HOSTS_H

#include <stdbool.h>

#include <openssl/ssl.h>

/*
 * Let connections of ctx whose client asks for this server name go on with
 * host.  Takes host, also on failure, which is told on standard error; it is
 * freed with ctx.  The name is borrowed until then.
 */
bool hosts_add(SSL_CTX *ctx, const char *name, SSL_CTX *host);

#endif
