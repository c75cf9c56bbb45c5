/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server with the cache, and what a client may say first: any bytes, the
 * hello of a real client with changes, that hello with another ticket or ID,
 * and with a ticket that is sealed as ours are but says something else.  What
 * is fit for a full handshake must get one, now and then to its end.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "fuzz_tls.h"

const char fuzz_name[] = "hello";

enum {
	TICKET_MAX = 2048, /* bytes */
	TAG = 32,
	BLOCK = 16,
	HEAD = SC_TICKET_NAME + SC_TICKET_IV,
	WHOLE = 15, /* one input in so many, of those that could be */
};

enum kind { TLS12_TICKET, TLS12_ID, TLS13_TICKET, TLS13_ID, KINDS };

static struct fuzz_endpoint endpoints[KINDS] = {
	{ .version = TLS1_2_VERSION },
	{ .version = TLS1_2_VERSION, .in_cache = true },
	{ .version = TLS1_3_VERSION },
	{ .version = TLS1_3_VERSION, .in_cache = true },
};

/* The session within each ticket. */
static struct {
	uint8_t der[TICKET_MAX];
	size_t len;
	uint16_t cipher;
} sealed[KINDS];

/* --- tickets ------------------------------------------------------------- */

static int
crypt_cbc(int encrypt, const uint8_t *key, const uint8_t *iv, uint8_t *bytes,
    size_t len)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, rest = 0;

	MUST(ctx != NULL &&
	    EVP_CipherInit_ex(ctx, EVP_aes_256_cbc(), NULL, key, iv, encrypt) ==
		1);
	MUST(EVP_CipherUpdate(ctx, bytes, &n, bytes, (int)len) == 1);
	MUST(EVP_CipherFinal_ex(ctx, bytes + n, &rest) == 1);
	EVP_CIPHER_CTX_free(ctx);
	return n + rest;
}

/* The keys of the ticket that the client has, which open it. */
static void
open_own(enum kind kind)
{
	const struct sc_scope scope = endpoints[TLS12_ID].stored.scope;
	struct sc_ticket keys = { .terms = { .open = scope, .auth = scope } };
	size_t len;
	const uint8_t *ticket = fuzz_token(&endpoints[kind], &len);

	MUST(sc_cache_ticket_open(fuzz_tls_handle->cache, &keys, ticket,
		 ticket + SC_TICKET_NAME, sc_now()) == SESSCACHE_OK);
	MUST(len > HEAD + TAG && len <= TICKET_MAX);
	len -= HEAD + TAG;
	memcpy(sealed[kind].der, ticket + HEAD, len);
	sealed[kind].cipher = keys.cipher;
	sealed[kind].len = (size_t)crypt_cbc(0, keys.cipher_key,
	    ticket + SC_TICKET_NAME, sealed[kind].der, len);
}

static void
begin(void)
{
	fuzz_tls_begin(endpoints, KINDS);
	open_own(TLS12_TICKET);
	open_own(TLS13_TICKET);
	/* So tickets that clients have are renewed, new ones are not. */
	MUST(sc_cache_rotate_keys(fuzz_tls_handle->cache, sc_now()) ==
	    SESSCACHE_OK);
}

/* What may be wrong with a ticket that is sealed. */
enum { OTHER_REALM = 0x01, EXPIRED = 0x02, OTHER_KEY = 0x04, CUT = 0x08 };

/* Seal len bytes, in room for more, into a ticket; its length. */
static size_t
seal(uint8_t *ticket, enum kind kind, const uint8_t *der, size_t len,
    unsigned wrong)
{
	const struct sc_record_in *stored = &endpoints[TLS12_ID].stored;
	struct sc_ticket keys = { .scope = stored->scope,
		.flags = stored->flags & (SC_RECORD_AUTH | SC_RECORD_EMS),
		.cipher = sealed[kind].cipher };
	uint32_t now = sc_now();
	uint8_t mac_key[SC_TICKET_KEY];
	size_t tag_len = 0;

	keys.scope.asked += (wrong & OTHER_REALM) != 0;
	keys.expires_at = (wrong & EXPIRED) != 0 ? now : now + 3600;
	MUST(sc_cache_ticket_issue(fuzz_tls_handle->cache, &keys, ticket,
		 ticket + SC_TICKET_NAME, now) == SESSCACHE_OK);
	memcpy(mac_key, keys.mac_key, sizeof(mac_key));
	mac_key[0] ^= (wrong & OTHER_KEY) != 0;
	memcpy(ticket + HEAD, der, len);
	len = HEAD +
	    (size_t)crypt_cbc(1, keys.cipher_key, ticket + SC_TICKET_NAME,
		ticket + HEAD, len);
	MUST(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, mac_key,
		 sizeof(mac_key), ticket, len, ticket + len, TAG,
		 &tag_len) != NULL);
	MUST(tag_len == TAG);
	return len + TAG;
}

/* --- what an input does -------------------------------------------------- */

static void
say_edited(const struct fuzz_endpoint *endpoint, struct fuzz_input *in)
{
	size_t cut = (size_t)fuzz_number(in, 2), len = endpoint->hello_len;
	uint8_t *hello = fuzz_copy(endpoint->hello, len);

	(void)fuzz_edit(in, hello, len);
	(void)fuzz_say(endpoint, hello, cut < len ? len - cut : 0);
	free(hello);
}

/* A client that says this of itself, to the end of its handshake. */
static bool
come_back(const struct fuzz_endpoint *endpoint, const uint8_t *token,
    size_t len)
{
	struct tls_pair pair;
	SSL_SESSION *session;
	bool reused;

	if (endpoint->version == TLS1_2_VERSION && endpoint->in_cache) {
		session = SSL_SESSION_dup(endpoint->session);
		MUST(session != NULL &&
		    SSL_SESSION_set1_id(session, token, (unsigned)len) == 1);
	} else {
		session = tls_session_with_ticket(endpoint->session, token,
		    len);
		MUST(session != NULL);
	}
	MUST(tls_pair_new(&pair, endpoint->server, endpoint->client, session,
	    "localhost"));
	MUST(tls_pair_handshake(&pair));
	reused = SSL_session_reused(pair.server) == 1;
	MUST((SSL_session_reused(pair.client) == 1) == reused);
	tls_pair_free(&pair);
	SSL_SESSION_free(session);
	return reused;
}

/* What is not known gives a full handshake; no ticket is against TLS 1.3. */
static void
check_answer(enum fuzz_answer answer, bool changed, size_t len)
{
	if (!changed)
		MUST(answer == FUZZ_RESUMES);
	else
		MUST(answer == FUZZ_FULL ||
		    (answer == FUZZ_REFUSES && len == 0));
}

/* The client's ticket or ID, edited or all new. */
static void
bring_other(const struct fuzz_endpoint *endpoint, struct fuzz_input *in)
{
	unsigned how = (unsigned)fuzz_number(in, 1);
	uint8_t token[TICKET_MAX];
	const uint8_t *own, *given;
	size_t own_len, len;
	bool changed;

	own = fuzz_token(endpoint, &own_len);
	MUST(own_len <= sizeof(token));
	len = own_len;
	memcpy(token, own, len);
	if ((how & 1) != 0) {
		/* An ID that is longer is against the protocol. */
		given = fuzz_bytes(in,
		    endpoint == &endpoints[TLS12_ID] ? own_len : TICKET_MAX,
		    &len);
		memcpy(token, given, len);
	} else {
		(void)fuzz_edit(in, token, len);
	}
	changed = len != own_len || memcmp(token, own, len) != 0;
	if (endpoint->in_cache)
		fuzz_store(endpoint, endpoint->data, endpoint->stored.data_len);
	if (len > 0 && (how >> 1) % (WHOLE + 1) == WHOLE)
		MUST(come_back(endpoint, token, len) == !changed);
	else
		check_answer(fuzz_bring(endpoint, token, len), changed, len);
}

/*
 * A ticket of ours, in name, keys and seal, but for what is said to be wrong
 * with it; the session in it is edited, or is any bytes.
 */
static void
bring_sealed(enum kind kind, struct fuzz_input *in)
{
	unsigned how = (unsigned)fuzz_number(in, 1);
	uint8_t der[TICKET_MAX], ticket[HEAD + TICKET_MAX + BLOCK + TAG];
	size_t len = sealed[kind].len, ticket_len;
	const uint8_t *given;
	enum fuzz_answer answer;
	bool changed = true;

	memcpy(der, sealed[kind].der, len);
	if ((how & 0x10) != 0) {
		given = fuzz_bytes(in, sizeof(der), &len);
		memcpy(der, given, len);
	} else {
		changed = fuzz_edit(in, der, len);
	}
	ticket_len = seal(ticket, kind, der, len, how);
	if ((how & CUT) != 0)
		ticket_len -= 1 + fuzz_number(in, 1) % ticket_len;
	answer = fuzz_bring(&endpoints[kind], ticket, ticket_len);
	MUST(answer != FUZZ_WAITS);
	if ((how & (OTHER_REALM | EXPIRED | OTHER_KEY | CUT)) != 0)
		MUST(answer == FUZZ_FULL ||
		    (answer == FUZZ_REFUSES && ticket_len == 0));
	else if (answer != FUZZ_FULL)
		MUST(fuzz_is_session(der, len));
	/* In TLS 1.3 the hello's binder is still that of the ticket before. */
	if ((how & 0x0f) == 0 && !changed)
		MUST(answer ==
		    (kind == TLS12_TICKET ? FUZZ_RESUMES : FUZZ_REFUSES));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { RAW, EDITED, OTHER, SEALED, WAYS };
	struct fuzz_input in = { data, size };
	enum kind kind;
	unsigned what;

	if (fuzz_tls_handle == NULL)
		begin();
	what = (unsigned)fuzz_number(&in, 1);
	kind = (enum kind)(what / WAYS % KINDS);
	switch (what % WAYS) {
	case RAW:
		(void)fuzz_say(&endpoints[kind], in.at, in.left);
		break;
	case EDITED:
		say_edited(&endpoints[kind], &in);
		break;
	case OTHER:
		bring_other(&endpoints[kind], &in);
		break;
	default:
		bring_sealed(kind < TLS13_TICKET ? TLS12_TICKET : TLS13_TICKET,
		    &in);
		break;
	}
	ERR_clear_error();
	return 0;
}
