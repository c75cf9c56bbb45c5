/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is exchanged in the middle of a handshake: the BIO or its callback, by
 * the application; session, name and version, by a client that is asked for
 * another ClientHello.  It fails no handshake, lets nobody resume who would be
 * refused, and teaches nothing.
 */
#include <string.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "policy.h"
#include "process.h"
#include "sesscache.h"
#include "street.h"
#include "support.h"
#include "tls.h"
#include "visit.h"

#define OTHER_NAME "b.example"

/* --- BIOs that the application takes in hand ------------------------------ */

/* Calls of the application's callbacks on a BIO. */
static struct {
	int first;
	int chained;
	int depth;                /* of the second within itself */
	BIO_callback_fn_ex older; /* what the second calls; NULL: nothing */
	SSL *client;              /* of the connection */
	SSL *other;               /* a server on the same BIO, or NULL */
} bios;

/* What a BIO is asked beside is OpenSSL's business. */
static int
counts(int operation)
{
	int what = operation & ~BIO_CB_RETURN;

	return what == BIO_CB_READ || what == BIO_CB_WRITE;
}

static long
on_first(BIO *bio, int operation, const char *data, size_t len, int argi,
    long argl, int result, size_t *processed)
{
	(void)bio, (void)data, (void)len, (void)argi, (void)argl;
	(void)processed;
	bios.first += counts(operation);
	return result;
}

static long
on_chained(BIO *bio, int operation, const char *data, size_t len, int argi,
    long argl, int result, size_t *processed)
{
	long answer = result;

	MUST(bios.depth == 0); /* or it never ends */
	bios.depth++;
	bios.chained += counts(operation);
	if (bios.older != NULL)
		answer = bios.older(bio, operation, data, len, argi, argl,
		    result, processed);
	bios.depth--;
	return answer;
}

static void
set_first(SSL *ssl)
{
	BIO_set_callback_ex(SSL_get_wbio(ssl), on_first);
}

static void
clear_callback(SSL *ssl)
{
	BIO_set_callback_ex(SSL_get_wbio(ssl), NULL);
}

static void
chain(SSL *ssl)
{
	BIO *bio = SSL_get_wbio(ssl);

	if (BIO_get_callback_ex(bio) == on_chained)
		return;
	bios.older = BIO_get_callback_ex(bio);
	BIO_set_callback_ex(bio, on_chained);
}

/* Another BIO comes before the one that there is. */
static void
put_filter_before(SSL *ssl)
{
	BIO *old = SSL_get_wbio(ssl), *filter = BIO_new(BIO_f_null());

	MUST(filter != NULL && BIO_up_ref(old) == 1);
	SSL_set0_wbio(ssl, BIO_push(filter, old));
}

/* Both sides go on over others. */
static void
exchange(SSL *ssl)
{
	enum { BYTES = 1 << 16 };
	BIO *here = NULL, *there = NULL;

	MUST(BIO_new_bio_pair(&here, BYTES, &there, BYTES) == 1);
	SSL_set_bio(ssl, here, here);
	SSL_set_bio(bios.client, there, there);
}

/* Another server waits at the same BIO. */
static void
share(SSL *ssl)
{
	BIO *bio = SSL_get_wbio(ssl);

	bios.other = SSL_new(SSL_get_SSL_CTX(ssl));
	MUST(bios.other != NULL && BIO_up_ref(bio) == 1);
	SSL_set_bio(bios.other, bio, bio);
	SSL_set_accept_state(bios.other);
	MUST(SSL_do_handshake(bios.other) < 0);
}

static void
stop_sharing(SSL *ssl)
{
	(void)ssl;
	SSL_free(bios.other);
	bios.other = NULL;
}

static void
exchange_unseen(SSL *ssl)
{
	exchange(ssl);
	street_take_info(ssl);
}

static void
clear_unseen(SSL *ssl)
{
	clear_callback(ssl);
	street_take_info(ssl);
}

static const struct handling {
	const char *name;
	street_event *start;  /* before the handshake */
	street_event *before; /* in the server-name callback */
	bool again;           /* the server asks for another ClientHello */
	bool shut; /* nobody sees where a session leads: it is useless */
} handlings[] = {
	{ "a callback before", .start = set_first },
	{ "a callback on the way", .before = set_first },
	{ "a callback before, taken away", .start = set_first,
	    .before = clear_callback },
	{ "one that calls what was there", .before = chain },
	{ "one that calls one before", .start = set_first, .before = chain },
	{ "one that calls what was there, again", .before = chain,
	    .again = true },
	{ "one that calls one before, again", .start = set_first,
	    .before = chain, .again = true },
	{ "one on the way, again", .before = set_first, .again = true },
	{ "none any more", .before = clear_callback },
	{ "none any more, no info callback", .before = clear_unseen,
	    .shut = true },
	{ "no info callback", .before = street_take_info },
	{ "a filter before it", .before = put_filter_before },
	{ "other BIOs", .before = exchange },
	{ "other BIOs, no info callback", .before = exchange_unseen,
	    .shut = true },
	{ "a BIO that is shared", .start = share },
	{ "a BIO that is shared, no info callback", .start = share,
	    .before = street_take_info, .shut = true },
	{ "a BIO that was shared", .start = share, .before = stop_sharing },
};

static struct visit
meet(const struct street *street, const struct handling *handling,
    SSL_SESSION **session)
{
	SSL_SESSION *offered = NULL;
	struct tls_pair pair;
	struct visit seen;

	if (*session != NULL)
		offered = SSL_SESSION_dup(*session);
	memset(&bios, 0, sizeof(bios));
	MUST(tls_pair_new(&pair, street->front, street->nobody, offered,
	    POLICY_NAME));
	bios.client = pair.client;
	street_lead.before = handling->before;
	street_happen(handling->start, pair.server);
	seen = visit_pair(&pair);
	visit_end(&pair, &seen, session);
	stop_sharing(NULL);
	SSL_SESSION_free(offered);
	return seen;
}

struct calls {
	int first;
	int chained;
};

/* Of a full handshake and of two resumptions. */
static void
count_calls(const struct street *street, const struct handling *handling,
    SSL_SESSION **session, struct calls calls[3])
{
	struct visit seen;

	for (int i = 0; i < 3; i++) {
		seen = meet(street, handling, session);
		/* A session may be gone with the connection that failed. */
		if (i > 0 && handling->shut && street->cache != NULL)
			ck_assert_msg(!visit_is_served(&seen) || !seen.reused,
			    "%s", street_at(street, "shut"));
		else
			assert_visit(&seen, i > 0, street_at(street, "served"));
		calls[i].first = bios.first;
		calls[i].chained = bios.chained;
	}
}

static void
open_handled(struct street *street, const struct way *way,
    const struct handling *handling, struct sesscache *cache)
{
	street_open(street, way, handling->name, cache);
	if (handling->again)
		street_ask_again(street);
}

static void
count_plainly(const struct handling *handling, const struct way *way,
    struct calls calls[3])
{
	SSL_SESSION *session = NULL;
	struct street street;

	open_handled(&street, way, handling, NULL);
	count_calls(&street, handling, &session, calls);
	SSL_SESSION_free(session);
	street_close(&street);
}

START_TEST(bio_of_the_application_is_its_own_and_lets_nobody_in)
{
	const struct handling *handling = &handlings[CASE];
	struct calls plain[3], calls[3];
	SSL_SESSION *session = NULL;
	struct street street;
	struct visit seen;

	count_plainly(handling, WAY, plain);
	open_handled(&street, WAY, handling, street_cache(WAY, "auto"));
	count_calls(&street, handling, &session, calls);
	for (int i = 0; i < 3; i++)
		ck_assert_msg(calls[i].first == plain[i].first &&
			calls[i].chained == plain[i].chained,
		    "%s: handshake %d: %d and %d calls, plain %d and %d",
		    street_at(&street, "calls"), i, calls[i].first,
		    calls[i].chained, plain[i].first, plain[i].chained);
	street_lead.host = street.strict;
	for (int i = 0; i < 3; i++) {
		seen = meet(&street, handling, &session);
		assert_never_served(&seen, street_at(&street, "misled"));
	}
	SSL_SESSION_free(session);
	street_close(&street);
}
END_TEST

/* A client that comes over the BIO of another, to the server that waits. */
static void
follow(struct tls_pair *out, const struct tls_pair *pair, SSL_CTX *client)
{
	BIO *bio = SSL_get_wbio(pair->client);

	out->server = bios.other;
	out->client = SSL_new(client);
	MUST(out->client != NULL && BIO_up_ref(bio) == 1);
	SSL_set_bio(out->client, bio, bio);
	SSL_set_connect_state(out->client);
	MUST(SSL_set_tlsext_host_name(out->client, POLICY_NAME) == 1);
}

START_TEST(server_that_waits_at_a_shared_bio_lands_where_it_goes_itself)
{
	struct tls_pair pair, next;
	SSL_SESSION *session;
	struct street street;
	struct visit seen;

	memset(&bios, 0, sizeof(bios));
	street_open(&street, WAY, "shared", street_cache(WAY, "auto"));
	MUST(tls_pair_new(&pair, street.front, street.nobody, NULL,
	    POLICY_NAME));
	share(pair.server);
	seen = visit_pair(&pair);
	assert_full(&seen, street_at(&street, "first"));
	follow(&next, &pair, street.nobody);
	/* Its BIO alone sees where it goes. */
	street_lead.before = street_take_info;
	seen = visit_pair(&next);
	assert_full(&seen, street_at(&street, "next"));
	session = SSL_get1_session(next.client);
	tls_pair_shutdown(&next);
	tls_pair_free(&next);
	tls_pair_free(&pair);
	street_lead.before = NULL;
	seen = visit(street.front, street.nobody, POLICY_NAME, &session);
	assert_resumed(&seen, street_at(&street, "back"));
	SSL_SESSION_free(session);
	street_close(&street);
}
END_TEST

/* --- a second ClientHello -------------------------------------------------- */

/* Two sessions of the name, and one of a name that is strict since. */
enum which { NONE, ONE, TWO, ELSEWHERE, N_WHICH };

static struct {
	struct parcel sessions[N_WHICH];
	SSL_CTX *here;      /* where the name leads */
	SSL_CTX *elsewhere; /* and the other */
	const struct flip *flip;
	int hellos; /* that the server has read */
} second;

enum fate {
	SERVED,
	RESUMED,
	REFUSED,
	AS_EVER, /* whatever becomes of it without a cache */
};

static const struct flip {
	const char *name;
	enum fate fate;
	enum which first;  /* session that is offered */
	enum which second; /* NONE: it stays */
	const char *from;
	const char *to; /* NULL: it stays */
	int version;    /* 0: it stays */
	bool drops;     /* the session */
	bool flips_id;
} flips[] = {
	{ "nothing", RESUMED, ONE, .from = POLICY_NAME },
	{ "its session", RESUMED, ONE, TWO, .from = POLICY_NAME },
	{ "a session where none was", SERVED, NONE, ONE, .from = POLICY_NAME },
	{ "no session where one was", SERVED, ONE, .from = POLICY_NAME,
	    .drops = true },
	{ "its session, to one of a strict name", SERVED, ONE, ELSEWHERE,
	    .from = POLICY_NAME },
	{ "session and name, to a strict one", REFUSED, ONE, ELSEWHERE,
	    .from = POLICY_NAME, .to = OTHER_NAME },
	/* Its first ClientHello is one that lands elsewhere. */
	{ "session and name, from a strict one", REFUSED, ELSEWHERE, ONE,
	    .from = OTHER_NAME, .to = POLICY_NAME },
	{ "a name that is spelt otherwise", RESUMED, ONE, .from = POLICY_NAME,
	    .to = "A.Example" },
	{ "the version", AS_EVER, ONE, .from = POLICY_NAME,
	    .version = TLS1_2_VERSION },
	{ "the session ID", AS_EVER, ONE, .from = POLICY_NAME,
	    .flips_id = true },
};

/* In its place, for SSL_set_session() would begin anew. */
static void
replace_session(SSL_SESSION *session, const struct parcel *parcel)
{
	const unsigned char *der = parcel->der;

	MUST(d2i_SSL_SESSION(&session, &der, (long)parcel->len) == session);
}

static void
change(SSL *ssl, const struct flip *flip)
{
	if (flip->second != NONE)
		replace_session(SSL_get_session(ssl),
		    &second.sessions[flip->second]);
	if (flip->drops)
		MUST(SSL_SESSION_set_timeout(SSL_get_session(ssl), 0) == 1);
	if (flip->to != NULL)
		MUST(SSL_set_tlsext_host_name(ssl, flip->to) == 1);
	if (flip->version != 0)
		MUST(SSL_set_min_proto_version(ssl, flip->version) == 1 &&
		    SSL_set_max_proto_version(ssl, flip->version) == 1);
}

/* A HelloRetryRequest has come. */
static void
on_retry(const SSL *ssl, int where, int ret)
{
	(void)ret;
	if (where == SSL_CB_CONNECT_LOOP &&
	    SSL_get_state(ssl) == TLS_ST_CR_SRVR_HELLO && second.flip != NULL) {
		change((SSL *)(uintptr_t)ssl, second.flip);
		second.flip = NULL;
	}
}

/* The second ClientHello is read with another session ID in it. */
static long
flip_id(BIO *bio, int operation, const char *data, size_t len, int argi,
    long argl, int result, size_t *processed)
{
	enum { ID_AT = 4 + 2 + 32 + 1 /* RFC 8446, section 4.1.2 */ };
	unsigned char *hello = (unsigned char *)(uintptr_t)data;

	(void)bio, (void)argi, (void)argl, (void)len;
	if (operation == (BIO_CB_READ | BIO_CB_RETURN) && result > 0 &&
	    *processed > ID_AT && hello[0] == SSL3_MT_CLIENT_HELLO &&
	    ++second.hellos == 2)
		hello[ID_AT] ^= 1;
	return result;
}

static void
go_by_name(SSL *ssl)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	street_lead.host = strcmp(name, OTHER_NAME) == 0 ? second.elsewhere :
							   second.here;
}

/* One connection, of a client that is asked for another ClientHello. */
static struct visit
visit_twice(const struct street *street, const struct flip *flip)
{
	SSL_SESSION *offered = parcel_get(&second.sessions[flip->first]);
	struct tls_pair pair;
	struct visit seen;

	MUST(tls_pair_new(&pair, street->front, street->nobody, offered,
	    flip->from));
	if (flip->flips_id)
		BIO_set_callback_ex(SSL_get_wbio(pair.server), flip_id);
	second.hellos = 0;
	second.flip = flip;
	seen = visit_pair(&pair);
	/* It was asked again. */
	ck_assert_msg(second.flip == NULL, "%s",
	    street_at(street, "not asked"));
	if (visit_is_served(&seen))
		tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	SSL_SESSION_free(offered);
	return seen;
}

static void
get_session(const struct street *street, const char *name,
    struct parcel *parcel)
{
	SSL_SESSION *session = NULL;
	struct visit seen;

	seen = visit(street->front, street->nobody, name, &session);
	assert_full(&seen, street_at(street, "a session"));
	parcel_put(parcel, session);
	SSL_SESSION_free(session);
}

static void
open_twice(struct street *street, const struct way *way,
    const struct flip *flip, struct sesscache *cache)
{
	memset(&second, 0, sizeof(second));
	street_open(street, way, flip->name, cache);
	street_ask_again(street);
	MUST(SSL_CTX_set_min_proto_version(street->front, TLS1_2_VERSION) == 1);
	SSL_CTX_set_info_callback(street->nobody, on_retry);
	street_lead.before = go_by_name;
	second.here = second.elsewhere = street->open;
	get_session(street, POLICY_NAME, &second.sessions[ONE]);
	get_session(street, POLICY_NAME, &second.sessions[TWO]);
	get_session(street, OTHER_NAME, &second.sessions[ELSEWHERE]);
	second.elsewhere = street->strict;
}

static bool
is_served_plainly(const struct way *way, const struct flip *flip)
{
	struct street street;
	struct visit seen;

	open_twice(&street, way, flip, NULL);
	seen = visit_twice(&street, flip);
	street_close(&street);
	return visit_is_served(&seen);
}

static void
assert_fate(const struct street *street, const struct flip *flip,
    const struct visit *seen)
{
	const char *where = street_at(street, "asked again");

	switch (flip->fate) {
	case SERVED:
		assert_visit(seen, seen->reused, where);
		break;
	case RESUMED:
		assert_resumed(seen, where);
		break;
	case REFUSED:
		assert_never_served(seen, where);
		break;
	case AS_EVER:
		ck_assert_msg(visit_is_served(seen) ==
			is_served_plainly(street->way, flip),
		    "%s: another fate", where);
		break;
	}
}

/* A client of the name resumes as before. */
static void
assert_nothing_learned(const struct street *street)
{
	SSL_SESSION *session = NULL;
	struct visit seen;

	street_lead.before = go_by_name;
	for (int i = 0; i < 2; i++) {
		seen = visit(street->front, street->nobody, POLICY_NAME,
		    &session);
		assert_visit(&seen, i > 0, street_at(street, "afterwards"));
	}
	SSL_SESSION_free(session);
}

START_TEST(client_that_changes_its_mind_gets_no_more_for_it)
{
	const struct flip *flip = &flips[CASE];
	struct street street;
	struct visit seen;

	if (WAY->version != TLS1_3_VERSION)
		return;
	open_twice(&street, WAY, flip, street_cache(WAY, "auto"));
	seen = visit_twice(&street, flip);
	assert_nothing_learned(&street);
	assert_fate(&street, flip, &seen);
	street_close(&street);
}
END_TEST

START_TEST(session_for_one_use_is_not_used_twice_by_an_exchange)
{
	const struct flip *flip = &flips[1];
	struct street street;
	SSL_SESSION *session;
	struct visit seen;

	if (WAY->version != TLS1_3_VERSION)
		return;
	open_twice(&street, WAY, flip, street_cache(WAY, "on"));
	seen = visit_twice(&street, flip);
	assert_resumed(&seen, street_at(&street, "exchanged"));
	for (int i = ONE; i <= TWO; i++) {
		session = parcel_get(&second.sessions[i]);
		seen = visit_with(street.front, street.nobody, POLICY_NAME,
		    session);
		assert_full(&seen, street_at(&street, "used"));
		SSL_SESSION_free(session);
	}
	street_close(&street);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("exchange");
	TCase *tc = tcase_create("exchange");

	tcase_set_timeout(tc, 300);
	tcase_add_unchecked_fixture(tc, policy_world_make, policy_world_remove);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_add_loop_test(tc,
	    bio_of_the_application_is_its_own_and_lets_nobody_in, 0,
	    N_WAYS * N_OF(handlings));
	tcase_add_loop_test(tc,
	    server_that_waits_at_a_shared_bio_lands_where_it_goes_itself, 0,
	    N_WAYS);
	tcase_add_loop_test(tc,
	    client_that_changes_its_mind_gets_no_more_for_it, 0,
	    N_WAYS * N_OF(flips));
	tcase_add_loop_test(tc,
	    session_for_one_use_is_not_used_twice_by_an_exchange, 0, N_WAYS);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
