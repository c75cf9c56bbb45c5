/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server with the cache, whose one client was there before, for the targets
 * that say hello to it.  Most hellos need no client: that of the real one is
 * kept, and is said again with changes.  A server that is about to do a full
 * handshake stops before that costs anything, for what the cache has to do
 * with it is done by then.
 */
#ifndef TESTS_FUZZ_FUZZ_TLS_H
#define TESTS_FUZZ_FUZZ_TLS_H

#include "api/handle.h"
#include "fuzz.h"
#include "../tls.h"

enum {
	FUZZ_HELLO_MAX = 4096, /* bytes, of this each */
	FUZZ_SESSION_MAX = 8192,
	FUZZ_ID_MAX = 64,
};

struct fuzz_endpoint {
	int version;
	bool in_cache; /* else in tickets */
	SSL_CTX *server;
	SSL_CTX *client;
	SSL_SESSION *session;          /* as the client has it */
	uint8_t hello[FUZZ_HELLO_MAX]; /* with which the client comes back */
	size_t hello_len;
	/* In the cache: what was stored there. */
	uint8_t id[FUZZ_ID_MAX];
	uint8_t data[FUZZ_SESSION_MAX];
	struct sc_record_in stored;
};

/* One for all endpoints; they are released when the process ends. */
extern struct sesscache *fuzz_tls_handle;

/* Make the first n endpoints of a table: version and in_cache are given. */
void fuzz_tls_begin(struct fuzz_endpoint *endpoints, size_t n);

/* Have in the cache what was stored there, but with these bytes. */
void fuzz_store(const struct fuzz_endpoint *endpoint, const uint8_t *data,
    size_t len);

/* Whether these bytes are an encoded session and nothing else. */
bool fuzz_is_session(const uint8_t *der, size_t len);

/* What a server makes of a hello. */
enum fuzz_answer {
	FUZZ_WAITS,   /* for more of it */
	FUZZ_REFUSES, /* the handshake has failed */
	FUZZ_FULL,    /* a full handshake is about to be */
	FUZZ_RESUMES,
};

enum fuzz_answer fuzz_say(const struct fuzz_endpoint *endpoint,
    const uint8_t *hello, size_t len);

/* What the client brings in its hello: its ticket, or its ID. */
const uint8_t *fuzz_token(const struct fuzz_endpoint *endpoint, size_t *len);

/* Say that hello with another ticket or ID, of any length up to 4 KiB. */
enum fuzz_answer fuzz_bring(const struct fuzz_endpoint *endpoint,
    const uint8_t *token, size_t len);

#endif
