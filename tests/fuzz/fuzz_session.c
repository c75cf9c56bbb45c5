/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stored session whose bytes are not what they were: under an ID and in a
 * realm that are right, so that nothing but decoding is in the way.  The
 * server goes on, and where the bytes are no session at all, the handshake
 * becomes a full one.
 */
#include <string.h>

#include <openssl/err.h>

#include "fuzz_tls.h"

const char fuzz_name[] = "session";

enum { KINDS = 2, TRAILING_MAX = 31, WHOLE = 15 };

static struct fuzz_endpoint endpoints[KINDS] = {
	{ .version = TLS1_2_VERSION, .in_cache = true },
	{ .version = TLS1_3_VERSION, .in_cache = true },
};

static int
visit(const struct sesscache_info *info, void *arg)
{
	(void)arg;
	MUST(info->id_len >= 1 && info->id_len <= FUZZ_ID_MAX);
	MUST(info->server_name == NULL || strlen(info->server_name) < 256);
	return 0;
}

/* The client comes back to a record that has these bytes, to the end. */
static enum fuzz_answer
come_back(const struct fuzz_endpoint *endpoint)
{
	SSL_SESSION *offered = SSL_SESSION_dup(endpoint->session);
	enum fuzz_answer answer = FUZZ_REFUSES;
	struct tls_outcome outcome;
	struct tls_pair pair;

	MUST(offered != NULL); /* a copy: a failure makes it not resumable */
	MUST(tls_pair_new(&pair, endpoint->server, endpoint->client, offered,
	    "localhost"));
	outcome = tls_pair_try(&pair);
	if (outcome.server_done && outcome.client_done)
		answer = SSL_session_reused(pair.server) == 1 ? FUZZ_RESUMES :
								FUZZ_FULL;
	tls_pair_free(&pair);
	SSL_SESSION_free(offered);
	return answer;
}

static void
check(const struct fuzz_endpoint *endpoint, const uint8_t *der, size_t len,
    bool listed, bool whole)
{
	enum fuzz_answer answer;

	fuzz_store(endpoint, der, len);
	if (listed)
		MUST(sesscache_each(fuzz_tls_handle, visit, NULL) ==
		    SESSCACHE_OK);
	if (whole)
		answer = come_back(endpoint);
	else
		answer = fuzz_say(endpoint, endpoint->hello,
		    endpoint->hello_len);
	if (answer != FUZZ_FULL)
		MUST(fuzz_is_session(der, len));
	if (len == endpoint->stored.data_len &&
	    memcmp(der, endpoint->data, len) == 0)
		MUST(answer == FUZZ_RESUMES);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	const struct fuzz_endpoint *endpoint;
	uint8_t der[FUZZ_SESSION_MAX + TRAILING_MAX] = "";
	const uint8_t *given = der;
	unsigned what, how;
	uint64_t removed;
	size_t len;
	bool whole;

	if (fuzz_tls_handle == NULL)
		fuzz_tls_begin(endpoints, KINDS);
	what = (unsigned)fuzz_number(&in, 1);
	how = (unsigned)fuzz_number(&in, 1);
	endpoint = &endpoints[what & 1];
	whole = how % (WHOLE + 1) == WHOLE;
	if ((what & 2) != 0) {
		given = fuzz_bytes(&in, FUZZ_SESSION_MAX, &len);
	} else {
		len = endpoint->stored.data_len;
		memcpy(der, endpoint->data, len);
		(void)fuzz_edit(&in, der, len);
		len += what >> 3; /* bytes that trail */
	}
	check(endpoint, given, len, how / (WHOLE + 1) % 4 == 0, whole);
	if (whole) /* it left sessions of its own */
		MUST(sesscache_purge(fuzz_tls_handle, NULL, &removed) ==
		    SESSCACHE_OK);
	ERR_clear_error();
	return 0;
}
