/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See handshake.h.
 */
#include "openssl/handshake.h"

#include <pthread.h>
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "openssl/link.h"

static struct {
	pthread_once_t once;
	int index; /* ex_data of an SSL */
	void (*let_go)(struct sc_handshake *handshake);
} library = { .once = PTHREAD_ONCE_INIT, .index = -1 };

void
sc_handshake_drop_taken(struct sc_handshake *handshake)
{
	SSL_SESSION_free(handshake->taken);
	handshake->taken = NULL;
}

void
sc_handshake_drop_offer(struct sc_handshake *handshake)
{
	OPENSSL_free(handshake->offer.name);
	handshake->offer = (struct sc_offer){ .flags = 0 };
}

/*
 * The connection ends.  OpenSSL 3.0 removes the session of one that was not
 * shut down, just after this: a rude close says nothing against the session.
 */
static void
free_handshake(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index,
    long argl, void *argp)
{
	struct sc_handshake *handshake = ptr;

	(void)ad, (void)index, (void)argl, (void)argp;
	if (handshake == NULL)
		return;
	if (!SSL_in_init(parent))
		SSL_set_shutdown(parent,
		    SSL_get_shutdown(parent) | SSL_SENT_SHUTDOWN);
	library.let_go(handshake);
	sc_link_cut(handshake->link);
	sc_handshake_drop_taken(handshake);
	sc_handshake_drop_offer(handshake);
	SSL_CTX_free(handshake->first);
	sesscache_close(handshake->handle);
	free(handshake);
}

/* SSL_dup(): the copy begins with the same cache. */
static int
dup_handshake(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **ptr,
    int index, long argl, void *argp)
{
	const struct sc_handshake *old = *ptr;
	struct sc_handshake *copy = NULL;

	(void)to, (void)from, (void)index, (void)argl, (void)argp;
	if (old != NULL)
		copy = calloc(1, sizeof(*copy));
	if (copy != NULL) {
		copy->handle = old->handle;
		copy->own_info = old->own_info;
		sc_handle_ref(copy->handle);
	}
	*ptr = copy;
	return 1;
}

static void
init_library(void)
{
	library.index = SSL_get_ex_new_index(0, NULL, NULL, dup_handshake,
	    free_handshake);
}

bool
sc_handshakes_init(void (*let_go)(struct sc_handshake *handshake))
{
	library.let_go = let_go;
	(void)pthread_once(&library.once, init_library);
	return library.index >= 0;
}

/* A process has one cache as a rule, and then that is meant. */
static struct sesscache *
find_handle(const SSL_CTX *ctx)
{
	const struct sc_attachment *attachment = sc_attachment_of(ctx);

	return attachment != NULL ? attachment->handle : sc_attachments_sole();
}

static struct sc_handshake *
new_handshake(SSL *ssl)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	struct sesscache *handle = find_handle(ctx);
	struct sc_handshake *handshake = NULL;
	bool kept;

	if (handle == NULL)
		sc_attachments_count_lost();
	else
		handshake = calloc(1, sizeof(*handshake));
	if (handshake == NULL)
		return NULL;
	(void)ERR_set_mark();
	kept = SSL_set_ex_data(ssl, library.index, handshake) == 1;
	(void)ERR_pop_to_mark();
	if (!kept) {
		free(handshake);
		return NULL;
	}
	handshake->handle = handle;
	sc_handle_ref(handle);
	return handshake;
}

struct sc_handshake *
sc_handshake_known(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, library.index);
}

/*
 * The SSL keeps what SSL_new() got, but if the connection is noticed only after
 * a switch, it is not that.
 */
static bool
keep_first(const SSL *ssl, struct sc_handshake *handshake)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);

	if (handshake->first == NULL && SSL_CTX_up_ref(ctx) == 1)
		handshake->first = ctx;
	return handshake->first != NULL;
}

struct sc_handshake *
sc_handshake_of(SSL *ssl)
{
	struct sc_handshake *handshake = sc_handshake_known(ssl);

	if (handshake == NULL)
		handshake = new_handshake(ssl);
	return handshake != NULL && keep_first(ssl, handshake) ? handshake :
								 NULL;
}

void
sc_handshake_reset(struct sc_handshake *handshake)
{
	library.let_go(handshake);
	sc_handshake_drop_taken(handshake);
	sc_handshake_drop_offer(handshake);
	handshake->started_in = NULL;
	handshake->in_realm = false;
	handshake->again = false;
	handshake->upgraded = false;
	handshake->start_peer = false;
	handshake->start_auth = 0;
	handshake->place = 0;
	handshake->gate = SC_GATE_NONE;
	handshake->landed_in = NULL;
	handshake->landed_peer = false;
	handshake->landed_auth = 0;
}
