/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See link.h.
 */
#include "openssl/link.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <openssl/bio.h>

#include "openssl/attachment.h"

struct sc_link {
	atomic_uint refs; /* the connection's, and one a session */
	SSL *ssl;         /* NULL: it ended; guarded by the lock of
			     attachments */
};

static struct {
	pthread_once_t once;
	int index; /* ex_data of an SSL_SESSION: its link */
} library = { .once = PTHREAD_ONCE_INIT, .index = -1 };

static void
release(struct sc_link *link)
{
	if (link != NULL && atomic_fetch_sub(&link->refs, 1) == 1)
		free(link);
}

static void
free_link(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl,
    void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	release(ptr);
}

/* OpenSSL copies a session for each further ticket of TLS 1.3. */
static int
dup_link(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **ptr, int index,
    long argl, void *argp)
{
	struct sc_link *link = *ptr;

	(void)to, (void)from, (void)index, (void)argl, (void)argp;
	if (link != NULL)
		atomic_fetch_add(&link->refs, 1);
	return 1;
}

static void
init_library(void)
{
	library.index = SSL_SESSION_get_ex_new_index(0, NULL, NULL, dup_link,
	    free_link);
}

bool
sc_links_init(void)
{
	(void)pthread_once(&library.once, init_library);
	return library.index >= 0;
}

void
sc_link_session(struct sc_link **link, SSL *ssl, SSL_SESSION *session)
{
	struct sc_link *old;

	if (*link == NULL) {
		*link = calloc(1, sizeof(**link));
		if (*link == NULL)
			return;
		atomic_init(&(*link)->refs, 1);
		(*link)->ssl = ssl;
	}
	old = SSL_SESSION_get_ex_data(session, library.index);
	if (old == *link)
		return;
	if (SSL_SESSION_set_ex_data(session, library.index, *link) == 1) {
		atomic_fetch_add(&(*link)->refs, 1);
		release(old);
	}
}

void
sc_link_cut(struct sc_link *link)
{
	if (link == NULL)
		return;
	sc_attachments_lock();
	link->ssl = NULL;
	sc_attachments_unlock();
	release(link);
}

/*
 * Of a connection that lives.  OpenSSL removes its session when it fails, and
 * counts among failures that the peer closed without a close_notify.
 */
static enum sc_removal
removal_of(SSL *ssl)
{
	BIO *in = SSL_get_rbio(ssl);

	if (!SSL_in_init(ssl))
		return SC_REMOVAL_CALLED;
	return in != NULL && BIO_eof(in) == 1 ? SC_REMOVAL_RUDE :
						SC_REMOVAL_FAILED;
}

enum sc_removal
sc_link_removal(const SSL_SESSION *session)
{
	struct sc_link *link = SSL_SESSION_get_ex_data(session, library.index);
	enum sc_removal removal = SC_REMOVAL_ORPHAN;
	SSL *alive = NULL;

	if (link == NULL)
		return SC_REMOVAL_UNKNOWN;
	sc_attachments_lock();
	if (link->ssl != NULL) {
		/* One that is being freed has no reference left. */
		removal = SC_REMOVAL_RUDE;
		if (SSL_up_ref(link->ssl) == 1) {
			alive = link->ssl;
			removal = removal_of(alive);
		}
	}
	sc_attachments_unlock();
	SSL_free(alive); /* takes the lock, if it was the last */
	return removal;
}
