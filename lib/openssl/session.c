/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See session.h.
 */
#include "openssl/session.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include <openssl/asn1.h>
#include <openssl/crypto.h>
#include <openssl/x509.h>

#include "openssl/anchors.h"
#include "openssl/quiet.h"

enum {
	WARN_EVERY_SECONDS = 60,
	SECRET_AT = 4, /* element of an encoded session */
};

/* One line a minute of each kind at most: a flood must not fill the log. */
static bool
may_warn(atomic_uint_least32_t *last_time)
{
	uint_least32_t now = sc_now(), last = atomic_load(last_time);

	return (last == 0 || now - last >= WARN_EVERY_SECONDS) &&
	    atomic_compare_exchange_strong(last_time, &last, now);
}

void
sc_session_failed(struct sesscache *handle, const char *what,
    enum sesscache_status status)
{
	static atomic_uint_least32_t last_time;

	sc_cache_count(handle->cache, SC_EVENT_FAILED);
	if (status == SESSCACHE_ECORRUPT && may_warn(&last_time))
		sc_log(&handle->options, SC_LOG_WARN, "%s: %s", what,
		    sesscache_detail());
	else
		sc_log(&handle->options, SC_LOG_DEBUG, "%s: %s", what,
		    sesscache_strerror(status));
}

/* --- lifetime ------------------------------------------------------------ */

static int64_t
session_time(const SSL_SESSION *session)
{
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
	return (int64_t)SSL_SESSION_get_time_ex(session);
#else
	return (int64_t)SSL_SESSION_get_time(session);
#endif
}

static int64_t
session_age(const SSL_SESSION *session)
{
	int64_t age = (int64_t)time(NULL) - session_time(session);

	return age > 0 ? age : 0; /* else the time of day was set back */
}

static int64_t
lesser(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool
has_flag(SSL *ssl, X509_STORE *store, unsigned long flag)
{
	return ((X509_VERIFY_PARAM_get_flags(SSL_get0_param(ssl)) |
		    X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store))) &
		   flag) != 0;
}

/*
 * Seconds that a client may count as verified.  Of a session that is resumed
 * only its own certificate is left; that it ends with the others was seen to
 * when it was made.
 */
static int64_t
verified_seconds_left(SSL *ssl, const X509 *cert)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	X509_STORE *store = sc_anchors_of(SSL_get_SSL_CTX(ssl));
	int64_t left;

	if (store == NULL || has_flag(ssl, store, X509_V_FLAG_NO_CHECK_TIME))
		return INT64_MAX;
	left = sc_anchors_seconds_until(X509_get0_notAfter(cert));
	if (SSL_session_reused(ssl))
		return left;
	for (int i = 0; i < sk_X509_num(chain); i++)
		left = lesser(left,
		    sc_anchors_seconds_until(
			X509_get0_notAfter(sk_X509_value(chain, i))));
	if (has_flag(ssl, store, X509_V_FLAG_CRL_CHECK))
		left = lesser(left, sc_anchors_crls_end(store, chain));
	return left;
}

uint32_t
sc_session_seconds_left(const struct sc_handshake *handshake, SSL *ssl,
    const SSL_SESSION *session)
{
	int64_t left = (int64_t)SSL_SESSION_get_timeout(session) -
	    session_age(session);
	/* It is only read; SSL_SESSION_get0_peer() wants it so. */
	const X509 *cert = SSL_SESSION_get0_peer((SSL_SESSION *)session);

	left = lesser(left, handshake->handle->options.timeout_seconds);
	if (SSL_session_reused(ssl) && handshake->offer.ends_at != 0)
		left = lesser(left,
		    (int64_t)handshake->offer.ends_at - (int64_t)sc_now());
	if (cert != NULL)
		left = lesser(left, verified_seconds_left(ssl, cert));
	return left > 0 ? (uint32_t)left : 0;
}

void
sc_session_limit(const struct sc_handshake *handshake, SSL *ssl,
    SSL_SESSION *session)
{
	uint32_t left = sc_session_seconds_left(handshake, ssl, session);

	/*
	 * A TLS 1.3 session that is renewed is about to get a new time, with
	 * the timeout that it has: only what is left of it may be in that.
	 */
	if (SSL_version(ssl) != TLS1_3_VERSION)
		left += (uint32_t)session_age(session);
	/* OpenSSL cannot put a timeout of 0 into a ticket. */
	(void)SSL_SESSION_set_timeout(session, left > 0 ? (long)left : 1);
}

/* --- bytes --------------------------------------------------------------- */

static void
warn_too_big(struct sesscache *handle, int session_bytes)
{
	static atomic_uint_least32_t last_time;

	sc_cache_count(handle->cache, SC_EVENT_TOO_BIG);
	if (may_warn(&last_time))
		sc_log(&handle->options, SC_LOG_WARN,
		    "not stored: a session of %d bytes, max-session is %u "
		    "bytes",
		    session_bytes, (unsigned)handle->options.max_session_bytes);
}

size_t
sc_session_encode(struct sesscache *handle, const SSL_SESSION *session,
    uint8_t *buf, size_t size)
{
	size_t len = 0, max = handle->options.max_session_bytes;
	unsigned char *end = buf;
	int need;

	if (max > size)
		max = size;
	need = i2d_SSL_SESSION(session, NULL);
	if (need <= 0)
		sc_session_failed(handle, "i2d_SSL_SESSION", SESSCACHE_ESYS);
	else if ((size_t)need > max)
		warn_too_big(handle, need);
	else if (i2d_SSL_SESSION(session, &end) == need)
		len = (size_t)need;
	else
		sc_session_failed(handle, "i2d_SSL_SESSION", SESSCACHE_ESYS);
	return len;
}

bool
sc_session_has_id(const SSL_SESSION *session, const unsigned char *id,
    size_t len)
{
	unsigned id_len;
	const unsigned char *own = SSL_SESSION_get_id(session, &id_len);

	return id_len == len && memcmp(own, id, len) == 0;
}

/*
 * The octets of the secret in an encoded session: the fifth element of its
 * sequence.  NULL if they are not there, or more than this OpenSSL takes.
 */
static uint8_t *
find_secret(uint8_t *der, size_t len, size_t *secret_len)
{
	const unsigned char *at = der;
	long rest = (long)len, n = 0;
	int i, tag = 0, class;

	for (i = -1; i <= SECRET_AT; i++) {
		if ((ASN1_get_object(&at, &n, &tag, &class, rest) & 0x80) != 0)
			return NULL;
		if (i >= 0 && i < SECRET_AT)
			at += n;
		rest = (long)len - (long)(at - der);
	}
	*secret_len = (size_t)n;
	return tag == V_ASN1_OCTET_STRING && n <= SSL_MAX_MASTER_KEY_LENGTH ?
	    der + (at - der) :
	    NULL;
}

/*
 * d2i_SSL_SESSION(), which leaves a copy of the secret in memory that it
 * frees: it gets the session without.
 */
static SSL_SESSION *
decode_quietly(uint8_t *der, const unsigned char **end, size_t len)
{
	uint8_t secret[SSL_MAX_MASTER_KEY_LENGTH];
	SSL_SESSION *session;
	size_t secret_len = 0;
	uint8_t *found = find_secret(der, len, &secret_len);

	if (found != NULL) {
		memcpy(secret, found, secret_len);
		OPENSSL_cleanse(found, secret_len);
	}
	session = d2i_SSL_SESSION(NULL, end, (long)len);
	if (session != NULL && found != NULL &&
	    SSL_SESSION_set1_master_key(session, secret, secret_len) != 1) {
		SSL_SESSION_free(session);
		session = NULL;
	}
	OPENSSL_cleanse(secret, sizeof(secret));
	return session;
}

SSL_SESSION *
sc_session_decode(struct sesscache *handle, const struct sc_lookup *lookup)
{
	const unsigned char *end = lookup->buf;
	SSL_SESSION *session = decode_quietly(lookup->buf, &end, lookup->len);

	/* d2i accepts what trails, OpenSSL an ID that was not asked for. */
	if (session == NULL || end != lookup->buf + lookup->len ||
	    !sc_session_has_id(session, lookup->id, lookup->id_len)) {
		sc_log(&handle->options, SC_LOG_DEBUG,
		    "a session does not decode");
		SSL_SESSION_free(session);
		session = NULL;
	}
	return session;
}

/* --- whether it may be resumed ------------------------------------------- */

bool
sc_session_has_peer(SSL_SESSION *session)
{
#if OPENSSL_VERSION_NUMBER >= 0x30200000L
	if (session != NULL && SSL_SESSION_get0_peer_rpk(session) != NULL)
		return true;
#endif
	return session != NULL && SSL_SESSION_get0_peer(session) != NULL;
}

bool
sc_session_has_needed_peer(const SSL *ssl, SSL_SESSION *session)
{
	int mode = SSL_get_verify_mode(ssl);

	return (mode & SSL_VERIFY_PEER) == 0 ||
	    (mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) == 0 ||
	    ((mode & SSL_VERIFY_POST_HANDSHAKE) != 0 &&
		SSL_version(ssl) == TLS1_3_VERSION) ||
	    sc_session_has_peer(session);
}

/*
 * The ID context may be that of a context which does not ask for certificates:
 * OpenSSL would end the handshake rather than not resume.
 */
static bool
is_peer_sufficient(const SSL *ssl, SSL_SESSION *session)
{
	bool verify = (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;

	return !(verify && sc_session_has_no_context(session)) &&
	    sc_session_has_needed_peer(ssl, session);
}

/* As OpenSSL asks before it chooses one. */
static bool
is_secure(SSL *ssl, const SSL_CIPHER *cipher)
{
	int bits = SSL_CIPHER_get_bits(cipher, NULL);

	/* It is only read. */
	return SSL_get_security_callback(ssl)(ssl, NULL,
		   SSL_SECOP_CIPHER_SHARED, bits, 0, (void *)(uintptr_t)cipher,
		   SSL_get0_security_ex_data(ssl)) == 1;
}

static bool
is_good_cipher(SSL *ssl, uint16_t number)
{
	STACK_OF(SSL_CIPHER) *ciphers = SSL_get_ciphers(ssl);
	const SSL_CIPHER *cipher;

	for (int i = 0; i < sk_SSL_CIPHER_num(ciphers); i++) {
		cipher = sk_SSL_CIPHER_value(ciphers, i);
		if (SSL_CIPHER_get_protocol_id(cipher) == number)
			return is_secure(ssl, cipher);
	}
	return false;
}

uint16_t
sc_session_cipher(const SSL *ssl, const SSL_SESSION *session)
{
	const SSL_CIPHER *cipher = SSL_SESSION_get0_cipher(session);

	if (cipher == NULL)
		cipher = SSL_get_pending_cipher(ssl);
	return cipher != NULL ? SSL_CIPHER_get_protocol_id(cipher) : 0;
}

bool
sc_session_has_good_cipher(SSL *ssl, uint16_t cipher)
{
	const SSL_SESSION *session = SSL_get_session(ssl);

	if (SSL_version(ssl) == TLS1_3_VERSION)
		return true;
	if (cipher == 0 && session != NULL)
		cipher = sc_session_cipher(ssl, session);
	return is_good_cipher(ssl, cipher);
}

bool
sc_session_is_usable(SSL *ssl, SSL_SESSION *session)
{
	return SSL_SESSION_get_protocol_version(session) == SSL_version(ssl) &&
	    SSL_SESSION_is_resumable(session) &&
	    SSL_SESSION_get_timeout(session) > session_age(session) &&
	    is_peer_sufficient(ssl, session) &&
	    (SSL_version(ssl) == TLS1_3_VERSION ||
		is_good_cipher(ssl, sc_session_cipher(ssl, session)));
}

bool
sc_session_is_going_to_be_new(SSL *ssl, SSL_SESSION *session)
{
	SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
	bool verify = (SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;
	unsigned id_len;

	if (!SSL_SESSION_is_resumable(session))
		return false;
	(void)SSL_SESSION_get_id(session, &id_len);
	if (id_len == 0 || (verify && sc_session_has_no_context(session)))
		return false;
	return (SSL_CTX_get_session_cache_mode(ctx) & SSL_SESS_CACHE_SERVER) !=
	    0;
}

/* --- session ID contexts ------------------------------------------------- */

static const unsigned char our_context[] = "sesscache";

enum { OUR_CONTEXT_LEN = sizeof(our_context) - 1 };

void
sc_session_set_our_context(SSL *ssl)
{
	(void)SSL_set_session_id_context(ssl, our_context, OUR_CONTEXT_LEN);
}

bool
sc_session_has_no_context(const SSL_SESSION *session)
{
	unsigned len;

	(void)SSL_SESSION_get0_id_context(session, &len);
	return len == 0;
}

void
sc_session_ensure_context(SSL *ssl, SSL_SESSION *session)
{
	if ((SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) == 0 ||
	    !sc_session_has_no_context(session))
		return;
	(void)SSL_SESSION_set1_id_context(session, our_context,
	    OUR_CONTEXT_LEN);
	sc_session_set_our_context(ssl);
}

bool
sc_session_has_our_context(const SSL_SESSION *session)
{
	unsigned len;
	const unsigned char *context = SSL_SESSION_get0_id_context(session,
	    &len);

	return len == OUR_CONTEXT_LEN && memcmp(context, our_context, len) == 0;
}

void
sc_session_adopt_context(SSL *ssl, const SSL_SESSION *session)
{
	if (sc_session_has_our_context(session))
		sc_session_set_our_context(ssl);
}

/* --- for inspection ------------------------------------------------------ */

static const char *
protocol_name(int version)
{
	static const struct {
		int version;
		const char *name;
	} names[] = {
		{ TLS1_3_VERSION, "TLSv1.3" },
		{ TLS1_2_VERSION, "TLSv1.2" },
		{ TLS1_1_VERSION, "TLSv1.1" },
		{ TLS1_VERSION, "TLSv1" },
		{ SSL3_VERSION, "SSLv3" },
		{ DTLS1_2_VERSION, "DTLSv1.2" },
		{ DTLS1_VERSION, "DTLSv1" },
	};
	const char *name = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].version == version)
			name = names[i].name;
	}
	return name;
}

void
sc_session_describe(struct sc_session_text *out, uint8_t *data, size_t len)
{
	const unsigned char *end = data;
	const char *server_name;
	const SSL_CIPHER *cipher;
	SSL_SESSION *session = NULL;
	struct sc_quiet quiet;

	memset(out, 0, sizeof(*out));
	sc_quiet_begin(&quiet);
	if (len <= LONG_MAX)
		session = decode_quietly(data, &end, len);
	if (session != NULL && end == data + len) {
		out->protocol = protocol_name(
		    SSL_SESSION_get_protocol_version(session));
		cipher = SSL_SESSION_get0_cipher(session);
		if (cipher != NULL)
			out->cipher = SSL_CIPHER_standard_name(cipher);
		server_name = SSL_SESSION_get0_hostname(session);
		if (server_name != NULL)
			(void)strncat(out->server_name, server_name,
			    sizeof(out->server_name) - 1);
	}
	SSL_SESSION_free(session);
	sc_quiet_end(&quiet);
}
