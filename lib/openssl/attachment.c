/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See attachment.h.
 */
#include "openssl/attachment.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

static struct {
	pthread_once_t once;
	int ctx_index; /* ex_data of an SSL_CTX: its attachment */
	bool ready;
} library = { .once = PTHREAD_ONCE_INIT, .ctx_index = -1 };

static struct {
	pthread_mutex_t lock;
	unsigned n;
	bool several;                       /* handles, since there was none */
	const struct sc_attachment *latest; /* NULL: it is gone */
	_Atomic(struct sesscache *) sole;
} attached = { .lock = PTHREAD_MUTEX_INITIALIZER };

void
sc_attachments_lock(void)
{
	(void)pthread_mutex_lock(&attached.lock);
}

void
sc_attachments_unlock(void)
{
	(void)pthread_mutex_unlock(&attached.lock);
}

static void
free_added(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index, long argl,
    void *argp)
{
	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (ptr == NULL)
		return;
	sc_attachments_lock();
	if (attached.latest == ptr)
		attached.latest = NULL;
	attached.n--;
	if (attached.n == 0) {
		attached.several = false;
		atomic_store(&attached.sole, NULL);
	}
	sc_attachments_unlock();
	sc_attachment_free(ptr);
}

static void
init_library(void)
{
	int failed;

	library.ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL,
	    free_added);
	failed = pthread_atfork(sc_attachments_lock, sc_attachments_unlock,
	    sc_attachments_unlock);
	library.ready = library.ctx_index >= 0 && failed == 0;
}

bool
sc_attachments_init(void)
{
	(void)pthread_once(&library.once, init_library);
	return library.ready;
}

struct sc_attachment *
sc_attachment_of(const SSL_CTX *ctx)
{
	return SSL_CTX_get_ex_data(ctx, library.ctx_index);
}

struct sc_attachment *
sc_attachment_new(struct sesscache *handle, const char *realm)
{
	struct sc_attachment *attachment = calloc(1, sizeof(*attachment));

	if (attachment == NULL)
		return NULL;
	if (RAND_bytes(attachment->identity, SC_IDENTITY) != 1) {
		free(attachment);
		return NULL;
	}
	memcpy(attachment->trust.what, attachment->identity, SC_IDENTITY);
	memcpy(attachment->realm, realm, strlen(realm) + 1);
	attachment->handle = handle;
	sc_handle_ref(handle);
	return attachment;
}

void
sc_attachment_free(struct sc_attachment *attachment)
{
	if (attachment == NULL)
		return;
	X509_free(attachment->cert);
	EVP_PKEY_free(attachment->key);
	X509_STORE_free(attachment->trust.store);
	sesscache_close(attachment->handle);
	free(attachment);
}

static void
note_added(const struct sc_attachment *attachment)
{
	attached.latest = attachment;
	if (attached.n++ == 0)
		atomic_store(&attached.sole, attachment->handle);
	else if (atomic_load(&attached.sole) != attachment->handle)
		attached.several = true;
	if (attached.several)
		atomic_store(&attached.sole, NULL);
}

enum sesscache_status
sc_attachment_add(SSL_CTX *ctx, struct sc_attachment *attachment)
{
	enum sesscache_status status = SESSCACHE_ENOMEM;

	sc_attachments_lock();
	if (sc_attachment_of(ctx) != NULL) {
		status = SESSCACHE_EXISTS;
	} else if (SSL_CTX_set_ex_data(ctx, library.ctx_index, attachment) ==
	    1) {
		note_added(attachment);
		status = SESSCACHE_OK;
	}
	sc_attachments_unlock();
	return status;
}

struct sesscache *
sc_attachments_sole(void)
{
	return atomic_load(&attached.sole);
}

void
sc_attachments_count_lost(void)
{
	sc_attachments_lock();
	if (attached.latest != NULL)
		sc_cache_count(attached.latest->handle->cache, SC_EVENT_FAILED);
	sc_attachments_unlock();
}
