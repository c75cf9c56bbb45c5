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

#include "openssl/quiet.h"

enum {
	DAY = 24 * 3600, /* seconds */
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

/* Seconds until a certificate ends; INT64_MAX if that cannot be told. */
static int64_t
certificate_seconds_left(const X509 *cert)
{
	int days, seconds;

	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) !=
	    1)
		return INT64_MAX;
	return (int64_t)days * DAY + seconds;
}

static int64_t
lesser(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

uint32_t
sc_session_seconds_left(const struct sc_connection *connection, const SSL *ssl,
    const SSL_SESSION *session)
{
	int64_t left = (int64_t)SSL_SESSION_get_timeout(session) -
	    session_age(session);
	/* It is only read; SSL_SESSION_get0_peer() wants it so. */
	const X509 *cert = SSL_SESSION_get0_peer((SSL_SESSION *)session);

	left = lesser(left, connection->handle->options.timeout_seconds);
	if (SSL_session_reused(ssl) && connection->ends_at != 0)
		left = lesser(left,
		    (int64_t)connection->ends_at - (int64_t)sc_now());
	if (cert != NULL)
		left = lesser(left, certificate_seconds_left(cert));
	return left > 0 ? (uint32_t)left : 0;
}

void
sc_session_limit(const struct sc_connection *connection, const SSL *ssl,
    SSL_SESSION *session)
{
	uint32_t left = sc_session_seconds_left(connection, ssl, session);

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

/*
 * Whether the peer of a session has shown who it is, where it must.  The ID
 * context may be that of a context which does not ask for certificates.
 */
static bool
is_peer_sufficient(const SSL *ssl, SSL_SESSION *session)
{
	int mode = SSL_get_verify_mode(ssl);
	unsigned context_len;
	bool authenticated = SSL_SESSION_get0_peer(session) != NULL;

#if OPENSSL_VERSION_NUMBER >= 0x30200000L
	authenticated = authenticated ||
	    SSL_SESSION_get0_peer_rpk(session) != NULL;
#endif
	if ((mode & SSL_VERIFY_PEER) == 0)
		return true;
	/* OpenSSL would end the handshake rather than not resume. */
	(void)SSL_SESSION_get0_id_context(session, &context_len);
	if (context_len == 0)
		return false;
	return authenticated || (mode & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) == 0;
}

static bool
is_usable(const SSL *ssl, SSL_SESSION *session)
{
	return SSL_SESSION_get_protocol_version(session) == SSL_version(ssl) &&
	    SSL_SESSION_is_resumable(session) &&
	    SSL_SESSION_get_timeout(session) > session_age(session) &&
	    is_peer_sufficient(ssl, session);
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
sc_session_decode(struct sesscache *handle, const SSL *ssl,
    const struct sc_lookup *lookup)
{
	const unsigned char *end = lookup->buf;
	SSL_SESSION *session = decode_quietly(lookup->buf, &end, lookup->len);

	/* d2i accepts what trails, OpenSSL an ID that was not asked for. */
	if (session == NULL || end != lookup->buf + lookup->len ||
	    !sc_session_has_id(session, lookup->id, lookup->id_len)) {
		sc_session_failed(handle, "d2i_SSL_SESSION", SESSCACHE_EFORMAT);
		SSL_SESSION_free(session);
		session = NULL;
	} else if (!is_usable(ssl, session)) {
		SSL_SESSION_free(session);
		session = NULL;
	}
	return session;
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
