/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real handshakes, server and client in one worker.  Clients' sessions lie in
 * shared memory, so that any worker may offer what another one's server made.
 * None may fail, none may resume after a purge what is older, and a ticket for
 * single use resumes once.
 */
#include <string.h>

#include "tls.h"
#include "torture.h"

static const struct {
	int version;
	bool no_ticket;
	bool once;
} kinds[TLS_KINDS] = {
	{ TLS1_2_VERSION, true, false },  /* session IDs */
	{ TLS1_2_VERSION, false, false }, /* tickets */
	{ TLS1_3_VERSION, true, true },   /* stateful, for single use */
	{ TLS1_3_VERSION, false, false }, /* stateless */
};

static SSL_CTX *servers[TLS_KINDS], *clients[TLS_KINDS];
static SSL_SESSION *fresh; /* the newest that a client got; owned */

/* SSL_get1_session() would give the one that was offered, too. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	(void)ssl;
	SSL_SESSION_free(fresh);
	fresh = session;
	return 1; /* ours now */
}

static void
make_kind(unsigned kind, const struct tls_identity *identity)
{
	SSL_CTX *server = tls_server_new(identity, kinds[kind].version);
	SSL_CTX *client = tls_client_new(NULL, kinds[kind].version);

	MUST(server != NULL && client != NULL);
	if (kinds[kind].no_ticket)
		(void)SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
	MUST(sesscache_attach(kinds[kind].once ? cache_once : cache, server) ==
	    SESSCACHE_OK);
	(void)SSL_CTX_set_session_cache_mode(client,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(client, on_session);
	servers[kind] = server;
	clients[kind] = client;
}

void
tls_make(void)
{
	struct tls_identity identity;
	unsigned kind;

	MUST(tls_identity_new(&identity, "localhost", 0));
	for (kind = 0; kind < TLS_KINDS; kind++)
		make_kind(kind, &identity);
	tls_identity_free(&identity);
}

/* A copy of a ticket, if it was whole; len is 0 if not. */
static void
borrow(struct ticket *ticket, struct ticket *copy)
{
	unsigned version = atomic_load(&ticket->version);

	copy->len = 0;
	if (version % 2 != 0 || version == 0)
		return;
	copy->kind = ticket->kind;
	copy->purges = ticket->purges;
	copy->serial = ticket->serial;
	memcpy(copy->der, ticket->der, sizeof(copy->der));
	copy->len = ticket->len;
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load(&ticket->version) != version)
		copy->len = 0;
}

/* Leave what the client got for others. */
static void
deposit(unsigned i, unsigned kind)
{
	struct ticket *ticket = &shared->tickets[i];
	unsigned purges = atomic_load(&shared->purges_begun);
	int len = fresh != NULL ? i2d_SSL_SESSION(fresh, NULL) : 0;
	unsigned char *at = ticket->der;

	if (len <= 0 || len > DER_MAX ||
	    !own(&self->owns_ticket, i, &ticket->owner))
		return;
	atomic_fetch_or(&ticket->version, 1);
	ticket->kind = kind;
	ticket->purges = purges;
	ticket->serial = win_serial();
	ticket->len = (uint32_t)i2d_SSL_SESSION(fresh, &at);
	atomic_fetch_add(&ticket->version, 1);
	disown(&self->owns_ticket, &ticket->owner);
}

static void
judge(const struct tls_pair *pair, const struct ticket *offered, unsigned kind,
    unsigned purges_done)
{
	bool resumed = SSL_session_reused(pair->server) == 1;

	MUST(resumed == (SSL_session_reused(pair->client) == 1));
	atomic_fetch_add(&shared->handshakes, 1);
	if (!resumed)
		return;
	atomic_fetch_add(&shared->resumed[kind], 1);
	MUST(offered->len != 0);
	MUST((int)(purges_done - offered->purges) <= 0);
	if (kinds[kind].once)
		win(offered->serial);
}

static void
connect_and_talk(unsigned kind, const struct ticket *offered)
{
	unsigned done = atomic_load(&shared->purges_done);
	const unsigned char *at = offered->der;
	SSL_SESSION *session = NULL;
	struct tls_pair pair;
	struct timing timing;
	bool well;

	if (offered->len != 0) {
		session = d2i_SSL_SESSION(NULL, &at, (long)offered->len);
		MUST(session != NULL);
	}
	MUST(tls_pair_new(&pair, servers[kind], clients[kind], session, NULL));
	timing = call_begin();
	well = tls_pair_handshake(&pair);
	(void)call_end(timing, SESSCACHE_OK);
	if (!well)
		atomic_fetch_add(&shared->failed, 1);
	MUST(well);
	judge(&pair, offered, kind, done);
	MUST(tls_send(pair.client, pair.server, "are you there?"));
	MUST(tls_send(pair.server, pair.client, "yes"));
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	SSL_SESSION_free(session);
}

void
tls_work(void)
{
	unsigned i = roll(TICKETS), kind = i % TLS_KINDS;
	struct ticket offered = { .len = 0 };

	if (roll(8) != 0)
		borrow(&shared->tickets[i], &offered);
	connect_and_talk(kind, &offered);
	deposit(i, kind);
	SSL_SESSION_free(fresh);
	fresh = NULL;
}
