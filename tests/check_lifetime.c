/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long sessions live: whatever way they resume, however often they are
 * used, renewed, or the time of day is set, they end when the lifetime of
 * their full handshake ends.  The clock is the test's, see clock.h.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "clock.h"
#include "process.h"
#include "support.h"
#include "tls.h"

enum {
	MINUTE = 60, /* these in seconds */
	HOUR = 60 * MINUTE,
	DAY = 24 * HOUR,
	WEEK = 7 * DAY,    /* RFC 8446, section 4.6.1 */
	LIFETIME = 300,    /* of a session, if the test does not say */
	KEY_LIFETIME = 60, /* of a ticket key: the shortest there is */
};

/* The ways to resume. */
static const struct kind {
	const char *name;
	int version;
	const char *tickets; /* the setting */
	bool carries_state;  /* that is, a ticket key seals it */
	bool has_hint;       /* the client is told how long it lives */
} kinds[] = {
	{ "TLS 1.2 session ID", TLS1_2_VERSION, "off", false, false },
	{ "TLS 1.2 ticket", TLS1_2_VERSION, "shared", true, true },
	{ "TLS 1.3 stateful ticket", TLS1_3_VERSION, "off", false, true },
	{ "TLS 1.3 stateless ticket", TLS1_3_VERSION, "shared", true, true },
};

/* What a test wants of its world; 0 and NULL: the usual. */
struct wish {
	const char *timeout;      /* the setting */
	const char *key_lifetime; /* the setting */
	long ctx_seconds;         /* of the SSL_CTX */
	long peer_seconds;        /* until the client's certificate ends */
};

static const struct wish usual;
static const char server_name[] = "example.org";

static struct tls_identity identity; /* of the server */
static struct tls_identity peer;     /* of the client, if it shows one */
static const struct kind *kind;
static struct sesscache *cache;
static SSL_CTX *server, *client;
static int64_t lifetime;     /* seconds that a session may live */
static int64_t born_at;      /* when the client had its last full handshake */
static SSL_SESSION *session; /* the newest that the client has */

static void
make_identity(void)
{
	test_root_make();
	ck_assert(tls_identity_new(&identity, "server", 0));
}

static void
remove_identity(void)
{
	tls_identity_free(&identity);
	test_root_remove();
}

static void
setup(void)
{
	test_dir_make();
	test_clock_stop();
	ERR_clear_error();
}

static void
teardown(void)
{
	struct sesscache_stats stats;

	ck_done(sesscache_stats(cache, &stats));
	ck_assert_msg(stats.failed == 0 && stats.unreadable == 0,
	    "%s: failed %llu, unreadable %llu", kind->name,
	    (unsigned long long)stats.failed,
	    (unsigned long long)stats.unreadable);
	SSL_SESSION_free(session);
	SSL_CTX_free(server);
	SSL_CTX_free(client);
	sesscache_close(cache);
	tls_identity_free(&peer);
	session = NULL;
	born_at = 0;
	test_dir_remove();
}

/* The client shows a certificate that ends so soon. */
static void
make_peer(long seconds)
{
	ck_assert(tls_identity_new(&peer, "client", 0));
	ck_assert_ptr_nonnull(
	    X509_gmtime_adj(X509_getm_notAfter(peer.cert), seconds));
	ck_assert_int_gt(X509_sign(peer.cert, peer.key, EVP_sha256()), 0);
	tls_ask_for_certificate(server, true);
}

static void
begin(int index, const struct wish *wish)
{
	kind = &kinds[index];
	lifetime = LIFETIME;
	ck_done(cache_try(&cache, test_dir("cache"), "size", "4M", "tickets",
	    kind->tickets, "timeout",
	    wish->timeout != NULL ? wish->timeout : "300s",
	    "ticket-key-lifetime",
	    wish->key_lifetime != NULL ? wish->key_lifetime : "1d", NULL));
	server = tls_server_new(&identity, kind->version);
	if (wish->peer_seconds != 0)
		make_peer(wish->peer_seconds);
	ck_done(sesscache_attach(cache, server));
	if (wish->ctx_seconds != 0)
		(void)SSL_CTX_set_timeout(server, wish->ctx_seconds);
	client = tls_client_new(wish->peer_seconds != 0 ? &peer : NULL,
	    kind->version);
	ck_assert_ptr_nonnull(client);
}

static int64_t
session_time(const SSL_SESSION *of)
{
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
	return (int64_t)SSL_SESSION_get_time_ex(of);
#else
	return (int64_t)SSL_SESSION_get_time(of);
#endif
}

/* A client drops what it thinks has ended; this one offers everything. */
static SSL_SESSION *
rejuvenated(const SSL_SESSION *old)
{
	SSL_SESSION *young = SSL_SESSION_dup(old);

	ck_assert_ptr_nonnull(young);
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
	(void)SSL_SESSION_set_time_ex(young, time(NULL));
#else
	(void)SSL_SESSION_set_time(young, (long)time(NULL));
#endif
	return young;
}

/* Take over what the client has after a connection; whether it resumed. */
static bool
finish(struct tls_pair *pair, SSL_SESSION **newest)
{
	bool resumed;

	ck_assert_msg(tls_pair_handshake(pair) &&
		tls_send(pair->client, pair->server, "question") &&
		tls_send(pair->server, pair->client, "answer"),
	    "%s: %s", kind->name,
	    ERR_reason_error_string(ERR_peek_last_error()));
	resumed = SSL_session_reused(pair->server) == 1;
	SSL_SESSION_free(*newest);
	*newest = SSL_get1_session(pair->client);
	tls_pair_shutdown(pair);
	return resumed;
}

/* One connection that offers *offered, and leaves there what it got. */
static bool
visit_with(SSL_SESSION **offered)
{
	SSL_SESSION *young = *offered != NULL ? rejuvenated(*offered) : NULL;
	struct tls_pair pair;
	bool resumed;

	ck_assert(tls_pair_new(&pair, server, client, young, server_name));
	SSL_SESSION_free(young);
	resumed = finish(&pair, offered);
	tls_pair_free(&pair);
	return resumed;
}

/* The same with the client's newest, which never lives too long. */
static bool
visit(void)
{
	int64_t age = test_clock_now() - born_at;
	bool resumed = visit_with(&session);

	ck_assert_msg(!resumed || age <= lifetime,
	    "%s: resumed after %lld s of %lld", kind->name, (long long)age,
	    (long long)lifetime);
	if (!resumed)
		born_at = test_clock_now();
	return resumed;
}

/* Time passes; then a visit must resume, or must not. */
static void
expect_after(int64_t seconds, bool want)
{
	int64_t age;
	bool got;

	test_clock_pass(seconds);
	age = test_clock_now() - born_at;
	got = visit();
	ck_assert_msg(got == want, "%s: %s at an age of %lld s", kind->name,
	    got ? "resumed" : "did not resume", (long long)age);
}

/* --- the clock itself ----------------------------------------------------- */

START_TEST(clock_of_the_test_is_that_of_openssl)
{
	struct timespec real = { 0, 0 };

	begin(_i, &usual);
	test_clock_pass(10 * DAY);
	ck_assert(!visit());
	ck_assert_int_eq(session_time(session), time(NULL));
	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC_COARSE, &real), 0);
	ck_assert_int_lt(real.tv_sec, test_clock_now());
}
END_TEST

/* --- what a lifetime is --------------------------------------------------- */

static int
longest_lifetime(const struct sesscache_info *info, void *arg)
{
	int64_t *longest = arg, seconds;

	seconds = (int64_t)(info->expires_at - info->created_at);
	if (seconds > *longest)
		*longest = seconds;
	return 0;
}

static const struct {
	const char *timeout;
	long ctx_seconds;
	int64_t want;
} lifetimes[] = {
	{ "300s", 0, 300 },
	{ "300s", 2 * HOUR, 300 },
	{ "1h", 100, 100 },
	{ "7d", 30 * DAY, WEEK },
};

static void
assert_hint(const char *when, int64_t want)
{
	int64_t hint;

	hint = (int64_t)SSL_SESSION_get_ticket_lifetime_hint(session);
	ck_assert_msg(hint <= want,
	    "%s, %s: the client was told %lld s of %lld", kind->name, when,
	    (long long)hint, (long long)want);
	/* What it is not told to keep, a client may not keep. */
	if (kind->has_hint && kind->version == TLS1_3_VERSION)
		ck_assert_int_gt(hint, 0);
}

static void
assert_lifetime(int row)
{
	const struct wish wish = {
		.timeout = lifetimes[row / N_OF(kinds)].timeout,
		.key_lifetime = "7d",
		.ctx_seconds = lifetimes[row / N_OF(kinds)].ctx_seconds,
	};
	int64_t stored = 0;

	begin(row % N_OF(kinds), &wish);
	lifetime = lifetimes[row / N_OF(kinds)].want;
	ck_assert(!visit());
	assert_hint("at first", lifetime);
	ck_done(sesscache_each(cache, longest_lifetime, &stored));
	ck_assert_int_le(stored, lifetime);
	ck_assert_int_eq(stored > 0, !kind->carries_state);
	expect_after(lifetime / 2, true);
	assert_hint("renewed", lifetime);
	expect_after(lifetime / 2 + 1, false);
	expect_after(lifetime - 1, true);
	expect_after(2, false);
}

START_TEST(lifetime_is_the_shortest_of_setting_context_and_a_week)
{
	assert_lifetime(_i);
}
END_TEST

START_TEST(session_ends_with_its_lifetime_however_often_it_is_used)
{
	SSL_SESSION *first;

	begin(_i, &usual);
	ck_assert(!visit());
	first = SSL_SESSION_dup(session);
	expect_after(LIFETIME / 3, true);
	expect_after(LIFETIME / 3, true);
	expect_after(LIFETIME / 3 - 1, true);
	for (int i = 0; i < 3; i++)
		expect_after(0, true);
	test_clock_pass(2);
	ck_assert_msg(!visit_with(&first), "%s", kind->name);
	ck_assert_msg(!visit(), "%s", kind->name);
	expect_after(LIFETIME - 1, true);
	SSL_SESSION_free(first);
}
END_TEST

/* The hint of a renewed ticket: what is left, or none. */
START_TEST(client_is_told_what_is_left_of_a_lifetime)
{
	begin(_i, &usual);
	ck_assert(!visit());
	expect_after(LIFETIME - 100, true);
	if (kind->version == TLS1_3_VERSION)
		assert_hint("renewed", 100);
}
END_TEST

static int
dawdle(SSL *ssl, int *alert, void *arg)
{
	(void)ssl, (void)alert, (void)arg;
	test_clock_pass(2);
	return SSL_TLSEXT_ERR_OK;
}

/* It was alive when it was found, and nothing of it is left to renew. */
START_TEST(session_may_end_within_the_handshake_that_resumes_it)
{
	begin(_i, &usual);
	ck_assert(!visit());
	(void)SSL_CTX_set_tlsext_servername_callback(server, dawdle);
	expect_after(LIFETIME - 1, true);
	(void)SSL_CTX_set_tlsext_servername_callback(server, NULL);
	expect_after(0, false);
	expect_after(1, true);
}
END_TEST

/* --- the time of day is set ----------------------------------------------- */

static const int64_t settings_of_day[] = { -HOUR, HOUR, -DAY, DAY, -10, 10 };

static void
assert_set(int row)
{
	int64_t seconds = settings_of_day[row / N_OF(kinds)];
	SSL_SESSION *first;

	begin(row % N_OF(kinds), &usual);
	ck_assert(!visit());
	first = SSL_SESSION_dup(session);
	test_clock_set(seconds);
	(void)visit();
	test_clock_pass(LIFETIME / 2);
	(void)visit();
	test_clock_pass(LIFETIME / 2 + 1);
	ck_assert_msg(!visit_with(&first), "%s, set by %lld s", kind->name,
	    (long long)seconds);
	(void)visit();
	test_clock_pass(LIFETIME + 1);
	ck_assert(!visit());
	expect_after(LIFETIME - 1, true);
	SSL_SESSION_free(first);
}

START_TEST(session_lives_no_longer_when_the_time_of_day_is_set)
{
	assert_set(_i);
}
END_TEST

/* visit() sees to it that none lives too long. */
START_TEST(session_lives_no_longer_whatever_the_time_of_day_does)
{
	uint64_t state = 77;
	unsigned visits;

	begin(_i, &(struct wish){ .key_lifetime = "1m" });
	visits = test_times(150, 40);
	for (unsigned i = 0; i < visits; i++) {
		if (test_random(&state) % 3 == 0)
			test_clock_set(
			    (int64_t)(test_random(&state) % (2 * HOUR)) - HOUR);
		test_clock_pass((int64_t)(test_random(&state) % 150));
		(void)visit();
	}
	test_clock_pass(LIFETIME + 1);
	ck_assert(!visit());
	expect_after(KEY_LIFETIME, true);
}
END_TEST

START_TEST(session_made_before_the_time_of_day_went_back_still_resumes)
{
	begin(_i, &usual);
	ck_assert(!visit());
	test_clock_set(-HOUR);
	expect_after(LIFETIME / 2, true);
	expect_after(LIFETIME / 2 - 1, true);
	expect_after(2, false);
}
END_TEST

/* --- certificates of clients ---------------------------------------------- */

START_TEST(session_ends_with_the_certificate_of_the_client)
{
	begin(_i, &(struct wish){ .peer_seconds = 60 });
	lifetime = 60;
	ck_assert(!visit());
	expect_after(30, true);
	expect_after(29, true);
	expect_after(2, false);
}
END_TEST

START_TEST(session_of_a_certificate_that_has_ended_never_resumes)
{
	begin(_i, &(struct wish){ .peer_seconds = -60 });
	for (int i = 0; i < 3; i++)
		expect_after(i, false);
}
END_TEST

START_TEST(certificate_with_no_early_end_shortens_nothing)
{
	begin(_i, &(struct wish){ .peer_seconds = DAY });
	ck_assert(!visit());
	expect_after(61, true);
	expect_after(LIFETIME - 62, true);
	expect_after(2, false);
}
END_TEST

/* Its end is a time of day, and that is when it is over. */
START_TEST(certificate_ends_by_the_time_of_day)
{
	begin(_i, &(struct wish){ .peer_seconds = HOUR });
	ck_assert(!visit());
	test_clock_set(2 * HOUR);
	ck_assert(!visit());
	for (int i = 0; i < 3; i++)
		expect_after(1, false);
}
END_TEST

/* --- ticket keys ---------------------------------------------------------- */

static bool
is_same_ticket(const SSL_SESSION *a, const SSL_SESSION *b)
{
	const unsigned char *a_ticket, *b_ticket;
	size_t a_len, b_len;

	SSL_SESSION_get0_ticket(a, &a_ticket, &a_len);
	SSL_SESSION_get0_ticket(b, &b_ticket, &b_len);
	ck_assert_uint_gt(a_len, 0);
	return a_len == b_len && memcmp(a_ticket, b_ticket, a_len) == 0;
}

static SSL_SESSION *
begin_with_a_ticket(int index)
{
	begin(index, &(struct wish){ .timeout = "1h", .key_lifetime = "60s" });
	lifetime = HOUR;
	ck_assert(!visit());
	return SSL_SESSION_dup(session);
}

START_TEST(ticket_under_the_current_key_resumes)
{
	SSL_SESSION *first = begin_with_a_ticket(_i);

	expect_after(KEY_LIFETIME / 2, true);
	expect_after(KEY_LIFETIME / 2 - 1, true);
	/* TLS 1.3 always sends another. */
	ck_assert_int_eq(is_same_ticket(session, first),
	    kind->version == TLS1_2_VERSION);
	SSL_SESSION_free(first);
}
END_TEST

START_TEST(ticket_under_the_previous_key_resumes_and_is_renewed)
{
	SSL_SESSION *first = begin_with_a_ticket(_i), *second;

	expect_after(KEY_LIFETIME + 10, true);
	ck_assert(!is_same_ticket(session, first));
	second = SSL_SESSION_dup(session);
	expect_after(KEY_LIFETIME / 3, true);
	ck_assert_int_eq(is_same_ticket(session, second),
	    kind->version == TLS1_2_VERSION);
	SSL_SESSION_free(first);
	SSL_SESSION_free(second);
}
END_TEST

START_TEST(ticket_under_an_older_key_is_refused_and_the_renewed_one_is_not)
{
	SSL_SESSION *first = begin_with_a_ticket(_i);

	expect_after(KEY_LIFETIME + 10, true);
	test_clock_pass(KEY_LIFETIME + 5);
	ck_assert_msg(!visit_with(&first), "%s", kind->name);
	expect_after(0, true);
	SSL_SESSION_free(first);
}
END_TEST

/* Nobody was there to find that a key was due. */
START_TEST(ticket_is_as_old_when_nobody_came_meanwhile)
{
	SSL_SESSION *first = begin_with_a_ticket(_i);

	test_clock_pass(2 * KEY_LIFETIME + 1);
	ck_assert_msg(!visit_with(&first), "%s", kind->name);
	SSL_SESSION_free(first);
}
END_TEST

START_TEST(session_outlives_its_ticket_keys_by_being_renewed)
{
	SSL_SESSION *first = begin_with_a_ticket(_i);

	for (int age = 50; age < HOUR; age += 50)
		expect_after(50, true);
	expect_after(51, false);
	SSL_SESSION_free(first);
}
END_TEST

START_TEST(ticket_keys_do_not_mind_the_time_of_day)
{
	SSL_SESSION *first = begin_with_a_ticket(_i);

	test_clock_set(-DAY);
	expect_after(KEY_LIFETIME / 2, true);
	expect_after(KEY_LIFETIME, true);
	test_clock_pass(KEY_LIFETIME + 5);
	ck_assert_msg(!visit_with(&first), "%s", kind->name);
	SSL_SESSION_free(first);
}
END_TEST

/* --- one SSL for several connections -------------------------------------- */

/* Another client for the server of a pair, which is used again. */
static bool
reuse(struct tls_pair *pair, SSL_SESSION **offered)
{
	BIO *to_server = NULL, *to_client = NULL;
	SSL_SESSION *young = *offered != NULL ? rejuvenated(*offered) : NULL;

	SSL_free(pair->client);
	ck_assert_int_eq(SSL_clear(pair->server), 1);
	pair->client = SSL_new(client);
	ck_assert_ptr_nonnull(pair->client);
	ck_assert_int_eq(SSL_set_tlsext_host_name(pair->client, server_name),
	    1);
	ck_assert_int_eq(BIO_new_bio_pair(&to_server, 65536, &to_client, 65536),
	    1);
	SSL_set_bio(pair->server, to_server, to_server);
	SSL_set_bio(pair->client, to_client, to_client);
	SSL_set_accept_state(pair->server);
	SSL_set_connect_state(pair->client);
	if (young != NULL)
		ck_assert_int_eq(SSL_set_session(pair->client, young), 1);
	SSL_SESSION_free(young);
	return finish(pair, offered);
}

START_TEST(connection_on_a_used_object_has_a_lifetime_of_its_own)
{
	SSL_SESSION *later = NULL;
	struct tls_pair pair;

	begin(_i, &usual);
	ck_assert(tls_pair_new(&pair, server, client, NULL, server_name));
	ck_assert(!finish(&pair, &session));
	test_clock_pass(200);
	ck_assert(reuse(&pair, &session));
	test_clock_pass(50);
	ck_assert(!reuse(&pair, &later)); /* born at 250 */
	test_clock_pass(49);
	ck_assert(reuse(&pair, &session)); /* at 299 */
	test_clock_pass(2);
	ck_assert(!visit_with(&session));
	ck_assert(visit_with(&later));
	test_clock_pass(LIFETIME - 52);
	ck_assert(visit_with(&later)); /* at 549 */
	test_clock_pass(2);
	ck_assert(!visit_with(&later));
	tls_pair_free(&pair);
	SSL_SESSION_free(later);
}
END_TEST

static void
add_kind_tests(TCase *tc)
{
	static const TTest *const *const tests[] = {
		&clock_of_the_test_is_that_of_openssl,
		&session_ends_with_its_lifetime_however_often_it_is_used,
		&client_is_told_what_is_left_of_a_lifetime,
		&session_may_end_within_the_handshake_that_resumes_it,
		&session_lives_no_longer_whatever_the_time_of_day_does,
		&session_made_before_the_time_of_day_went_back_still_resumes,
		&session_ends_with_the_certificate_of_the_client,
		&session_of_a_certificate_that_has_ended_never_resumes,
		&certificate_with_no_early_end_shortens_nothing,
		&certificate_ends_by_the_time_of_day,
		&connection_on_a_used_object_has_a_lifetime_of_its_own,
	};

	for (int i = 0; i < N_OF(tests); i++)
		tcase_add_loop_test(tc, *tests[i], 0, N_OF(kinds));
	tcase_add_loop_test(tc,
	    lifetime_is_the_shortest_of_setting_context_and_a_week, 0,
	    N_OF(kinds) * N_OF(lifetimes));
	tcase_add_loop_test(tc,
	    session_lives_no_longer_when_the_time_of_day_is_set, 0,
	    N_OF(kinds) * N_OF(settings_of_day));
}

/* For the two kinds that carry their state. */
static void
add_key_tests(TCase *tc)
{
	static const TTest *const *const tests[] = {
		&ticket_under_the_current_key_resumes,
		&ticket_under_the_previous_key_resumes_and_is_renewed,
		&ticket_under_an_older_key_is_refused_and_the_renewed_one_is_not,
		&ticket_is_as_old_when_nobody_came_meanwhile,
		&session_outlives_its_ticket_keys_by_being_renewed,
		&ticket_keys_do_not_mind_the_time_of_day,
	};

	for (int i = 0; i < N_OF(tests); i++) {
		for (int j = 0; j < N_OF(kinds); j++) {
			if (kinds[j].carries_state)
				tcase_add_loop_test(tc, *tests[i], j, j + 1);
		}
	}
}

int
main(void)
{
	Suite *suite = suite_create("lifetime");
	TCase *tc = tcase_create("lifetime");

	tcase_add_unchecked_fixture(tc, make_identity, remove_identity);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	add_kind_tests(tc);
	add_key_tests(tc);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
