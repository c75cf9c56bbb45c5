/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See realm.h.
 */
#include "openssl/realm.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/tls1.h>
#include <openssl/x509.h>

#include "cache/bytes.h"
#include "openssl/names.h"

enum {
	DIGEST = 32,        /* bytes */
	NAME_MAX_LEN = 255, /* bytes of a server name */
};

/* How peers are verified, by a connection or as its SSL_CTX says. */
struct verification {
	int mode;
	int depth;                   /* 0 if they are not */
	uint8_t authorities[DIGEST]; /* zeroes if they are not */
};

/* The policy of an SSL_CTX, as it was when it was looked at. */
struct sc_policy {
	X509 *cert; /* the current one; owned */
	struct verification verification;
	uint8_t own[DIGEST];     /* of certificates, session ID context */
	uint8_t whole[DIGEST];   /* of these and the verification, or a name */
	uint64_t hash;           /* of the whole, by the cache; 0: of none */
	struct sc_policy *older; /* owned */
};

/* Bytes to be hashed. */
struct text {
	uint8_t bytes[2 + SC_REALM_MAX];
	size_t len;
};

static void
append(struct text *text, const void *bytes, size_t len)
{
	memcpy(text->bytes + text->len, bytes, len);
	text->len += len;
}

static void
append_int(struct text *text, uint64_t n, int bytes)
{
	(void)sc_write_int(text->bytes + text->len, n, bytes);
	text->len += (size_t)bytes;
}

/* --- the policy of an SSL_CTX -------------------------------------------- */

void
sc_policy_keep(struct sc_policy *policy, struct sc_policy *older)
{
	policy->older = older;
}

void
sc_policy_free(struct sc_policy *policy)
{
	struct sc_policy *older;

	for (; policy != NULL; policy = older) {
		older = policy->older;
		X509_free(policy->cert);
		free(policy);
	}
}

bool
sc_policy_is_same(const struct sc_policy *policy, const struct sc_policy *other)
{
	return policy != NULL && other != NULL &&
	    memcmp(policy->whole, other->whole, DIGEST) == 0;
}

static bool
hash_certificates(EVP_MD_CTX *md, SSL_CTX *ctx)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	SSL *ssl = SSL_new(ctx); /* its own copy of the list, to walk along */
	bool done = ssl != NULL;
	const X509 *cert;
	unsigned len;
	long at;

	at = done ? SSL_set_current_cert(ssl, SSL_CERT_SET_FIRST) : 0;
	while (done && at == 1) {
		cert = SSL_get_certificate(ssl);
		done = cert != NULL &&
		    X509_digest(cert, EVP_sha256(), digest, &len) == 1 &&
		    EVP_DigestUpdate(md, digest, len) == 1;
		at = SSL_set_current_cert(ssl, SSL_CERT_SET_NEXT);
	}
	SSL_free(ssl);
	return done;
}

static bool
hash_own(struct sc_policy *policy, SSL_CTX *ctx,
    const struct sc_attachment *attachment)
{
	static const unsigned char separator = 0xff; /* is no length */
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool done;

	done = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
	    hash_certificates(md, ctx) &&
	    EVP_DigestUpdate(md, &separator, 1) == 1;
	if (done && attachment != NULL)
		done = EVP_DigestUpdate(md, attachment->id_context,
			   attachment->id_context_len) == 1;
	done = done && EVP_DigestFinal_ex(md, policy->own, NULL) == 1;
	EVP_MD_CTX_free(md);
	return done;
}

/* The names of client CAs, in the order in which the server sends them. */
static bool
hash_authorities(uint8_t digest[DIGEST], const STACK_OF(X509_NAME) * names)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	const unsigned char *der;
	size_t len;
	bool done;

	done = md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	for (int i = 0; done && i < sk_X509_NAME_num(names); i++)
		done = X509_NAME_get0_der(sk_X509_NAME_value(names, i), &der,
			   &len) == 1 &&
		    EVP_DigestUpdate(md, der, len) == 1;
	done = done && EVP_DigestFinal_ex(md, digest, NULL) == 1;
	EVP_MD_CTX_free(md);
	return done;
}

static bool
read_verification(struct verification *out, int mode, int depth,
    const STACK_OF(X509_NAME) * names)
{
	memset(out, 0, sizeof(*out));
	out->mode = mode;
	if ((mode & SSL_VERIFY_PEER) == 0)
		return true;
	out->depth = depth;
	return hash_authorities(out->authorities, names);
}

static bool
is_same_verification(const struct verification *one,
    const struct verification *other)
{
	return one->mode == other->mode && one->depth == other->depth &&
	    memcmp(one->authorities, other->authorities, DIGEST) == 0;
}

static bool
has_realm(const struct sc_attachment *attachment)
{
	return attachment != NULL && attachment->realm[0] != '\0';
}

/*
 * Whoever gives two contexts one name wants them to share, but hardly that a
 * client need not show its certificate where one is demanded.
 */
static bool
hash_whole(uint8_t whole[DIGEST], const struct sc_attachment *attachment,
    const uint8_t own[DIGEST], const struct verification *verification)
{
	static const int demands = SSL_VERIFY_PEER |
	    SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	struct text text = { .len = 0 };

	if (attachment != NULL && has_realm(attachment)) {
		append_int(&text, 'n', 1);
		append_int(&text, (uint32_t)(verification->mode & demands), 4);
		append(&text, attachment->realm, strlen(attachment->realm));
	} else {
		append_int(&text, 'p', 1);
		append_int(&text, (uint32_t)verification->mode, 4);
		append_int(&text, (uint32_t)verification->depth, 4);
		append(&text, verification->authorities, DIGEST);
		append(&text, own, DIGEST);
	}
	return EVP_Digest(text.bytes, text.len, whole, NULL, EVP_sha256(),
		   NULL) == 1;
}

static bool
fill_policy(struct sc_policy *policy, SSL_CTX *ctx,
    const struct sc_attachment *attachment)
{
	policy->cert = SSL_CTX_get0_certificate(ctx);
	if (policy->cert != NULL && X509_up_ref(policy->cert) != 1)
		policy->cert = NULL;
	if (!read_verification(&policy->verification,
		SSL_CTX_get_verify_mode(ctx), SSL_CTX_get_verify_depth(ctx),
		SSL_CTX_get_client_CA_list(ctx)) ||
	    !hash_own(policy, ctx, attachment) ||
	    !hash_whole(policy->whole, attachment, policy->own,
		&policy->verification))
		return false;
	if (attachment != NULL)
		policy->hash = sc_cache_hash(attachment->handle->cache,
		    policy->whole, DIGEST);
	return attachment == NULL || policy->hash != 0;
}

static struct sc_policy *
new_policy(SSL_CTX *ctx, const struct sc_attachment *attachment)
{
	struct sc_policy *policy = calloc(1, sizeof(*policy));

	if (policy != NULL && !fill_policy(policy, ctx, attachment)) {
		sc_policy_free(policy);
		policy = NULL;
	}
	return policy;
}

/* Whether the SSL_CTX is still as it was: applications change it, too. */
static bool
is_current(const struct sc_policy *policy, const SSL_CTX *ctx)
{
	int mode = SSL_CTX_get_verify_mode(ctx);

	return policy != NULL &&
	    policy->cert == SSL_CTX_get0_certificate(ctx) &&
	    policy->verification.mode == mode &&
	    ((mode & SSL_VERIFY_PEER) == 0 ||
		policy->verification.depth == SSL_CTX_get_verify_depth(ctx));
}

/* The attachment's; NULL: no memory. */
static const struct sc_policy *
find_policy(SSL_CTX *ctx, struct sc_attachment *attachment)
{
	struct sc_policy *policy = atomic_load(&attachment->policy);

	if (is_current(policy, ctx))
		return policy;
	policy = new_policy(ctx, attachment);
	if (policy != NULL)
		sc_attachment_set_policy(attachment, policy);
	return policy;
}

void
sc_realm_note(SSL_CTX *ctx, struct sc_attachment *attachment)
{
	/* One without is not ready; the first connection will tell. */
	if (SSL_CTX_get0_certificate(ctx) != NULL)
		(void)find_policy(ctx, attachment);
}

/* --- the policy of a connection ------------------------------------------ */

/* That of its SSL_CTX as a rule; 0: no memory. */
static uint64_t
hash_policy(struct sc_cache *cache, const struct sc_attachment *attachment,
    const struct sc_policy *policy, const struct verification *verification)
{
	uint8_t whole[DIGEST];

	if (policy->hash != 0 && attachment != NULL &&
	    attachment->handle->cache == cache &&
	    is_same_verification(&policy->verification, verification))
		return policy->hash;
	if (!hash_whole(whole, attachment, policy->own, verification))
		return 0;
	return sc_cache_hash(cache, whole, sizeof(whole));
}

static uint64_t
policy_now(SSL *ssl, struct sc_cache *cache)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	struct sc_attachment *attachment = sc_attachment_of(ctx);
	struct sc_policy *own = NULL;
	const struct sc_policy *policy;
	struct verification verification;
	uint64_t hash = 0;

	if (attachment == NULL)
		policy = own = new_policy(ctx, NULL);
	else
		policy = find_policy(ctx, attachment);
	if (policy != NULL &&
	    read_verification(&verification, SSL_get_verify_mode(ssl),
		SSL_get_verify_depth(ssl), SSL_get_client_CA_list(ssl)))
		hash = hash_policy(cache, attachment, policy, &verification);
	sc_policy_free(own);
	return hash;
}

/* --- the realm of a connection ------------------------------------------- */

/* Case does not matter in it. */
static void
set_name(struct sc_connection *connection, const char *name, size_t len)
{
	struct text text = { .len = 0 };

	append_int(&text, 's', 1);
	for (size_t i = 0; i < len; i++)
		append_int(&text,
		    (uint8_t)(name[i] >= 'A' && name[i] <= 'Z' ?
			    name[i] - 'A' + 'a' :
			    name[i]),
		    1);
	connection->name = sc_cache_hash(connection->handle->cache, text.bytes,
	    text.len);
	connection->policy =
	    0; /* the realm that was worked out is of another */
}

/*
 * The server name in a ClientHello that is being read (RFC 6066, section 3).
 * One that is malformed is none: OpenSSL will end the handshake.
 */
static void
read_name(SSL *ssl, struct sc_connection *connection)
{
	const unsigned char *ext = NULL;
	size_t ext_len, len = 0;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &ext,
		&ext_len) == 1 &&
	    ext_len >= 5 && ext[2] == TLSEXT_NAMETYPE_host_name) {
		len = (size_t)ext[3] << 8 | ext[4];
		if (len != ext_len - 5 || len > NAME_MAX_LEN)
			len = 0;
	}
	set_name(connection, len > 0 ? (const char *)ext + 5 : "", len);
}

/* After the ClientHello, of which OpenSSL has kept the name. */
static void
recall_name(SSL *ssl, struct sc_connection *connection)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	size_t len = name != NULL ? strlen(name) : 0;

	set_name(connection, name, len <= NAME_MAX_LEN ? len : 0);
}

/* The realm that the connection is in now; 0: no memory. */
static uint64_t
realm_now(SSL *ssl, struct sc_connection *connection)
{
	struct sc_cache *cache = connection->handle->cache;
	uint64_t policy = policy_now(ssl, cache);
	struct text text = { .len = 0 };

	if (policy == 0 || connection->name == 0)
		return 0;
	/* As a rule it is what it was at the last time. */
	if (policy == connection->policy)
		return connection->of_policy;
	connection->policy = policy;
	connection->of_policy = policy;
	if (!has_realm(sc_attachment_of(SSL_get_SSL_CTX(ssl)))) {
		append_int(&text, policy, 8);
		append_int(&text, connection->name, 8);
		connection->of_policy = sc_cache_hash(cache, text.bytes,
		    text.len);
	}
	return connection->of_policy;
}

/*
 * What a server name is learned under.  Its hash cannot be foreseen, so that
 * this needs to be none.
 */
static uint64_t
name_key(const struct sc_connection *connection)
{
	uint64_t from = connection->first_id << 32 ^ sc_attachment_generation();
	uint64_t key = connection->name ^ from * UINT64_C(0x9e3779b97f4a7c15);

	return key != 0 ? key : 1;
}

uint64_t
sc_realm_predict(SSL *ssl, struct sc_connection *connection)
{
	const struct sc_attachment *attachment;
	uint64_t now, known, name = connection->name;

	read_name(ssl, connection);
	/* Whoever names another host after a HelloRetryRequest gets nothing. */
	connection->predicted = 0;
	if (name != 0 && name != connection->name)
		return 0;
	now = realm_now(ssl, connection);
	attachment = sc_attachment_of(SSL_get_SSL_CTX(ssl));
	connection->predicted = now;
	/* The client-hello callback has switched it: where to is plain. */
	if (now == 0 || attachment == NULL ||
	    attachment->id != connection->first_id)
		return now;
	known = sc_names_find(name_key(connection));
	if (known != 0)
		connection->predicted = known;
	else if (!sc_attachment_is_uniform())
		connection->predicted = 0;
	return connection->predicted;
}

/*
 * The application's configuration changed since the last connection with this
 * name, or this process has had none.  OpenSSL cannot be made to forget what
 * it has resumed; but the connection need not be served.
 */
static void
refuse(SSL *ssl, struct sc_connection *connection)
{
	connection->refused = true;
	sc_cache_count(connection->handle->cache, SC_EVENT_REALM);
	if ((SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0)
		return;
	sc_log(&connection->handle->options, SC_LOG_WARN,
	    "closed a connection: its session is of another realm, and this "
	    "one demands client certificates");
	SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

bool
sc_realm_is_as_predicted(SSL *ssl, const struct sc_connection *connection)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	const struct sc_attachment *attachment = sc_attachment_of(ctx);
	const struct sc_policy *policy = NULL;
	int mode = SSL_get_verify_mode(ssl);

	if (attachment != NULL)
		policy = atomic_load(&attachment->policy);
	if ((mode & SSL_VERIFY_PEER) != 0 || !is_current(policy, ctx) ||
	    policy->verification.mode != mode ||
	    policy->hash != connection->policy ||
	    connection->predicted != connection->of_policy)
		return false;
	return true;
}

uint64_t
sc_realm_settle(SSL *ssl, struct sc_connection *connection)
{
	bool reused = SSL_session_reused(ssl);
	uint64_t realm;

	/*
	 * In TLS 1.3 it is the name in the last ClientHello that counts.  Up to
	 * TLS 1.2 OpenSSL would tell that of the session which is resumed.
	 */
	if (connection->name == 0 || SSL_version(ssl) == TLS1_3_VERSION)
		recall_name(ssl, connection);
	realm = realm_now(ssl, connection);
	if (realm != 0)
		sc_names_learn(name_key(connection), realm);
	if (connection->ticket && !reused)
		sc_cache_count(connection->handle->cache, SC_EVENT_TICKET);
	connection->ticket = false;
	if (reused && connection->predicted != 0 &&
	    realm != connection->predicted && !connection->refused)
		refuse(ssl, connection);
	return realm;
}
