/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See connection.h.
 */
#include "openssl/connection.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "openssl/names.h"
#include "openssl/realm.h"

static struct {
	pthread_once_t once;
	int ctx_index; /* ex_data of an SSL_CTX: its attachment */
	int ssl_index; /* ex_data of an SSL: its connection */
	void (*begun)(SSL *ssl, struct sc_connection *connection);
	bool ready;
} library = { .once = PTHREAD_ONCE_INIT, .ctx_index = -1, .ssl_index = -1 };

static struct {
	pthread_mutex_t lock; /* held by nobody during a fork() */
	struct sc_attachment *first;
	unsigned n;
	unsigned unknown; /* of these, have no policy yet */
	bool inherited;   /* this process is a child: the names are shared */
	uint64_t last_id;
	atomic_uint_least64_t generation;
	atomic_bool uniform;
	/* The handle of all of them; NULL: there are several. */
	_Atomic(struct sesscache *) sole;
} attached = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
lock_attached(void)
{
	(void)pthread_mutex_lock(&attached.lock);
}

static void
unlock_attached(void)
{
	(void)pthread_mutex_unlock(&attached.lock);
}

static void
unlock_in_child(void)
{
	attached.inherited = true;
	unlock_attached();
}

static bool
is_uniform(void)
{
	const struct sc_attachment *at = attached.first;
	bool uniform = attached.n <= 1 || attached.unknown == 0;

	for (; uniform && attached.n > 1 && at != NULL; at = at->next)
		uniform = sc_policy_is_same(atomic_load(&at->policy),
		    atomic_load(&attached.first->policy));
	return uniform;
}

/* Some of several handles is no more in use: are the others one? */
static struct sesscache *
find_sole(void)
{
	const struct sc_attachment *at = attached.first;
	struct sesscache *sole = at != NULL ? at->handle : NULL;

	for (; sole != NULL && at != NULL; at = at->next)
		sole = at->handle == sole ? sole : NULL;
	return sole;
}

static void
remove_attachment(struct sc_attachment *attachment)
{
	lock_attached();
	if (attachment->prev != NULL)
		attachment->prev->next = attachment->next;
	else
		attached.first = attachment->next;
	if (attachment->next != NULL)
		attachment->next->prev = attachment->prev;
	attached.n--;
	if (atomic_load(&attachment->policy) == NULL)
		attached.unknown--;
	atomic_store(&attached.uniform, is_uniform());
	if (attached.n == 0 || atomic_load(&attached.sole) == NULL)
		atomic_store(&attached.sole, find_sole());
	unlock_attached();
}

static void
free_attachment(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index,
    long argl, void *argp)
{
	struct sc_attachment *attachment = ptr;

	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (attachment == NULL)
		return;
	remove_attachment(attachment);
	sc_policy_free(atomic_load(&attachment->policy));
	sesscache_close(attachment->handle);
	free(attachment);
}

static void
free_connection(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int index,
    long argl, void *argp)
{
	struct sc_connection *connection = ptr;

	(void)parent, (void)ad, (void)index, (void)argl, (void)argp;
	if (connection == NULL)
		return;
	sc_connection_drop_taken(connection);
	sesscache_close(connection->handle);
	free(connection);
}

/* SSL_dup(): the copy begins with the same cache and context. */
static int
dup_connection(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **ptr,
    int index, long argl, void *argp)
{
	const struct sc_connection *old = *ptr;
	struct sc_connection *copy = NULL;

	(void)to, (void)from, (void)index, (void)argl, (void)argp;
	if (old != NULL)
		copy = calloc(1, sizeof(*copy));
	if (copy != NULL) {
		copy->handle = old->handle;
		copy->first_id = old->first_id;
		copy->own_info = old->own_info;
		sc_handle_ref(copy->handle);
	}
	*ptr = copy;
	return 1;
}

static void
init_library(void)
{
	int failed;

	library.ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL,
	    free_attachment);
	library.ssl_index = SSL_get_ex_new_index(0, NULL, NULL, dup_connection,
	    free_connection);
	failed = pthread_atfork(lock_attached, unlock_attached,
	    unlock_in_child);
	library.ready = library.ctx_index >= 0 && library.ssl_index >= 0 &&
	    failed == 0;
}

bool
sc_connection_init(void (*begun)(SSL *ssl, struct sc_connection *connection))
{
	library.begun = begun;
	(void)pthread_once(&library.once, init_library);
	return library.ready;
}

struct sc_attachment *
sc_attachment_of(const SSL_CTX *ctx)
{
	return SSL_CTX_get_ex_data(ctx, library.ctx_index);
}

bool
sc_attachment_add(SSL_CTX *ctx, struct sc_attachment *attachment)
{
	bool done;

	lock_attached();
	/* Names that the parent's children learn are not this one's. */
	done = sc_names_open(attached.inherited) &&
	    SSL_CTX_set_ex_data(ctx, library.ctx_index, attachment) == 1;
	if (done) {
		attached.inherited = false;
		attachment->id = ++attached.last_id;
		attachment->prev = NULL;
		attachment->next = attached.first;
		if (attached.first != NULL)
			attached.first->prev = attachment;
		attached.first = attachment;
		attached.n++;
		attached.unknown++;
		atomic_fetch_add(&attached.generation, 1);
		atomic_store(&attached.uniform, is_uniform());
		if (attached.n == 1)
			atomic_store(&attached.sole, attachment->handle);
		else if (atomic_load(&attached.sole) != attachment->handle)
			atomic_store(&attached.sole, NULL);
	}
	unlock_attached();
	return done;
}

uint64_t
sc_attachment_generation(void)
{
	return atomic_load(&attached.generation);
}

bool
sc_attachment_is_uniform(void)
{
	return atomic_load(&attached.uniform);
}

void
sc_attachment_set_policy(struct sc_attachment *attachment,
    struct sc_policy *policy)
{
	struct sc_policy *older;

	lock_attached();
	older = atomic_load(&attachment->policy);
	if (older == NULL)
		attached.unknown--;
	sc_policy_keep(policy, older);
	atomic_store(&attachment->policy, policy);
	atomic_store(&attached.uniform, is_uniform());
	unlock_attached();
}

/*
 * The cache of a connection.  A process has one as a rule, and then this is
 * it.  Else it is that of the context which is in use.
 */
static struct sesscache *
find_handle(const SSL *ssl)
{
	struct sesscache *handle = atomic_load(&attached.sole);
	const struct sc_attachment *attachment;

	if (handle == NULL) {
		attachment = sc_attachment_of(SSL_get_SSL_CTX(ssl));
		handle = attachment != NULL ? attachment->handle : NULL;
	}
	return handle;
}

/* A connection of an unknown cache is counted where somebody may look. */
static void
count_lost(void)
{
	lock_attached();
	if (attached.first != NULL)
		sc_cache_count(attached.first->handle->cache, SC_EVENT_FAILED);
	unlock_attached();
}

static struct sc_connection *
new_connection(SSL *ssl)
{
	const struct sc_attachment *attachment;
	struct sesscache *handle = find_handle(ssl);
	struct sc_connection *connection = NULL;
	bool kept;

	if (handle == NULL)
		count_lost();
	else
		connection = calloc(1, sizeof(*connection));
	if (connection == NULL)
		return NULL;
	(void)ERR_set_mark();
	kept = SSL_set_ex_data(ssl, library.ssl_index, connection) == 1;
	(void)ERR_pop_to_mark();
	if (!kept) {
		free(connection);
		return NULL;
	}
	attachment = sc_attachment_of(SSL_get_SSL_CTX(ssl));
	if (attachment != NULL)
		connection->first_id = attachment->id;
	connection->handle = handle;
	sc_handle_ref(handle);
	library.begun(ssl, connection);
	return connection;
}

struct sc_connection *
sc_connection_known(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, library.ssl_index);
}

struct sc_connection *
sc_connection_of(SSL *ssl)
{
	struct sc_connection *connection = sc_connection_known(ssl);

	return connection != NULL ? connection : new_connection(ssl);
}

void
sc_connection_start(struct sc_connection *connection)
{
	sc_connection_drop_taken(connection);
	connection->predicted = 0;
	connection->refused = false;
	connection->ends_at = 0;
	connection->ticket = false;
	connection->name = 0;
	connection->policy = 0;
}

void
sc_connection_drop_taken(struct sc_connection *connection)
{
	SSL_SESSION_free(connection->taken);
	connection->taken = NULL;
}
