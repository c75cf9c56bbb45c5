/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See street.h.
 */
#include "street.h"

#include <string.h>

#include "process.h"
#include "support.h"

const struct policy street_front_policy = { .leaf = FRONT };
const struct policy street_open_policy = { .leaf = HOST_A };
static const struct policy stray_policy = { .leaf = HOST_B };
const struct policy street_strict_policy = { .leaf = HOST_A,
	.verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	.trusted = 1 << STAFF };

struct street_lead street_lead;

void
street_happen(street_event *what, SSL *ssl)
{
	if (what != NULL)
		what(ssl);
}

int
street_on_name(SSL *ssl, int *alert, void *arg)
{
	(void)alert, (void)arg;
	street_happen(street_lead.before, ssl);
	MUST(policy_switch(ssl, street_lead.host));
	street_happen(street_lead.after, ssl);
	return SSL_TLSEXT_ERR_OK;
}

struct sesscache *
street_cache(const struct way *way, const char *single_use)
{
	return cache_open(test_dir("cache"), "size", "4M", "tickets",
	    way->tickets, "single-use", single_use, "log", "error", NULL);
}

SSL_CTX *
street_server(struct sesscache *cache, const struct way *way,
    const struct policy *policy)
{
	SSL_CTX *ctx = policy_server_new(policy, way->version);

	if (cache != NULL)
		MUST(sesscache_attach(cache, ctx) == SESSCACHE_OK);
	else if (!way->stateless)
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	return ctx;
}

void
street_open(struct street *street, const struct way *way, const char *what,
    struct sesscache *cache)
{
	memset(&street_lead, 0, sizeof(street_lead));
	street->way = way;
	street->what = what;
	street->cache = cache;
	street->front = street_server(cache, way, &street_front_policy);
	street->open = street_server(cache, way, &street_open_policy);
	street->strict = street_server(cache, way, &street_strict_policy);
	street->stray = policy_server_new(&stray_policy, way->version);
	street->nobody = visit_client(way, NULL);
	street->member = visit_client(way, policy_identity(MEMBER));
	(void)SSL_CTX_set_tlsext_servername_callback(street->front,
	    street_on_name);
	street_lead.host = street->open;
}

void
street_close(struct street *street)
{
	SSL_CTX_free(street->front);
	SSL_CTX_free(street->open);
	SSL_CTX_free(street->strict);
	SSL_CTX_free(street->stray);
	SSL_CTX_free(street->nobody);
	SSL_CTX_free(street->member);
	sesscache_close(street->cache);
}

void
street_ask_again(struct street *street)
{
	MUST(SSL_CTX_set1_groups_list(street->front, "P-384:P-256") == 1);
	MUST(SSL_CTX_set1_groups_list(street->nobody, "X25519:P-256:P-384") ==
	    1);
}

const char *
street_at(const struct street *street, const char *step)
{
	return visit_at(street->way, street->what, step);
}

static void
ignore_info(const SSL *ssl, int where, int ret)
{
	(void)ssl, (void)where, (void)ret;
}

void
street_take_info(SSL *ssl)
{
	SSL_set_info_callback(ssl, ignore_info);
}
