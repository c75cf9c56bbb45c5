/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Single use under fire: whatever may be used once is offered by eight
 * processes at the same moment, thousands of times over, and one of them has
 * it.  As records, as TLS 1.3 tickets, and as first flights with early data.
 */
#include <check.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "process.h"
#include "support.h"
#include "tls.h"

enum {
	CONTESTANTS = 8,
	TICKETS = 10000, /* offered as records */
	TURNS = 200,     /* tickets and flights, offered in TLS */
	ORDERLY_TURNS = 60,
	SANITIZED_PART = 4, /* of the turns, what a sanitizer has time for */
	LETTER_BYTES = 8192,
	EARLY_BYTES = 1024, /* of early data, at most */
	EARLY_READS = 8,    /* of one flight, at most */
	START_SECONDS = 30, /* for which a contestant waits for the others */
	LAST_RESORT_SECONDS = 2 * CHILD_SECONDS,
};

static const char early_text[] = "GET /transfer?amount=1000000 HTTP/1.1";

/* How a contestant comes by its cache. */
enum descent { OPENED, INHERITED, INHERITED_CTX, HALF };

static const struct {
	const char *name;
	enum descent descent;
} descents[] = {
	{ "opened by each", OPENED },
	{ "inherited", INHERITED },
	{ "inherited with its SSL_CTX", INHERITED_CTX },
	{ "inherited by one half, opened by the other", HALF },
};

static const char *const single_use_words[] = { "auto", "on", "off" };

struct ticket {
	struct record record;
	atomic_uint winners;
};

/* What became of one ticket or one flight. */
struct turn {
	atomic_uint won; /* resumed, or early data accepted */
	atomic_uint lost;
	atomic_uint failed;
};

/* What all processes share. */
struct field {
	atomic_uint arrived;
	atomic_uint starts;
	/* From the one whose turn it is, to all. */
	size_t letter_len;
	unsigned char letter[LETTER_BYTES];
	struct ticket tickets[TICKETS];
	struct turn turns[TURNS];
};

/* One process: its server, and its client. */
struct contestant {
	struct sesscache *cache;
	SSL_CTX *server;
	SSL_CTX *client;
	SSL_SESSION *fresh; /* the newest ticket of client */
};

static char scratch[SCRATCH_LEN];
static char dir[SCRATCH_LEN];
static struct tls_identity identity;
static struct field *field;
static unsigned n_turns;

/* What the contestants inherit; NULL: nothing. */
static struct sesscache *cache;
static SSL_CTX *cache_ctx;

static enum descent descent;
static const char *single_use;
static uint32_t max_early_data; /* bytes; 0: none */

static void
make_scratch(void)
{
	scratch_make(scratch, "check_race");
	path_join(dir, scratch, "cache");
	MUST(tls_identity_new(&identity, "localhost", 0));
	field = shared_new(sizeof(*field));
}

static void
remove_scratch(void)
{
	tls_identity_free(&identity);
	scratch_remove(scratch);
}

static void
setup(void)
{
	scratch_remove(dir); /* of a test that failed */
	memset(field, 0, sizeof(*field));
	descent = HALF;
	single_use = "on";
	max_early_data = 0;
}

static void
teardown(void)
{
	SSL_CTX_free(cache_ctx);
	cache_ctx = NULL;
	sesscache_close(cache);
	cache = NULL;
	scratch_remove(dir);
}

static unsigned
turns(unsigned count)
{
	return test_times(SANITIZED ? count / SANITIZED_PART : count, 10);
}

/* --- contestants --------------------------------------------------------- */

static struct sesscache *
open_cache(void)
{
	return cache_open(dir, "size", "32M", "single-use", single_use, NULL);
}

static SSL_CTX *
new_server(struct sesscache *attach_to)
{
	SSL_CTX *ctx = tls_server_new(&identity, TLS1_3_VERSION);

	MUST(ctx != NULL);
	MUST(SSL_CTX_set_max_early_data(ctx, max_early_data) == 1);
	MUST(sesscache_attach(attach_to, ctx) == SESSCACHE_OK);
	return ctx;
}

/* Before the contestants start: what they are to inherit. */
static void
prepare(void)
{
	if (descent != OPENED)
		cache = open_cache();
	if (descent == INHERITED_CTX)
		cache_ctx = new_server(cache);
}

static bool
opens(int number)
{
	return descent == OPENED || (descent == HALF && number % 2 != 0);
}

/* Keep the ticket: SSL_get1_session() gives one that was offered, too. */
static int
on_ticket(SSL *ssl, SSL_SESSION *session)
{
	struct contestant *me = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	SSL_SESSION_free(me->fresh);
	me->fresh = session;
	return 1; /* ours now */
}

static void
enter(struct contestant *me, int number)
{
	alarm(LAST_RESORT_SECONDS);
	me->cache = opens(number) ? open_cache() : cache;
	me->server = cache_ctx != NULL ? cache_ctx : new_server(me->cache);
	me->client = tls_client_new(NULL, TLS1_3_VERSION);
	me->fresh = NULL;
	MUST(me->client != NULL);
	MUST(SSL_CTX_set_app_data(me->client, me) == 1);
	(void)SSL_CTX_set_session_cache_mode(me->client,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(me->client, on_ticket);
}

static void
leave(struct contestant *me)
{
	SSL_SESSION_free(me->fresh);
	SSL_CTX_free(me->client);
	if (me->server != cache_ctx)
		SSL_CTX_free(me->server);
	if (me->cache != cache)
		sesscache_close(me->cache);
}

/* Wait until all are here, then start all at once. */
static void
line_up(void)
{
	uint64_t deadline = clock_ns() + START_SECONDS * UINT64_C(1000000000);
	unsigned start = atomic_load(&field->starts);

	if (atomic_fetch_add(&field->arrived, 1) == CONTESTANTS - 1) {
		atomic_store(&field->arrived, 0);
		atomic_store(&field->starts, start + 1);
	}
	while (atomic_load(&field->starts) == start) {
		MUST(clock_ns() < deadline);
		sched_yield();
	}
}

static void
race(child_body *contestant)
{
	int numbers[CONTESTANTS];
	pid_t pids[CONTESTANTS];
	bool well = true;
	int i;

	for (i = 0; i < CONTESTANTS; i++) {
		numbers[i] = i;
		pids[i] = child_start(contestant, &numbers[i]);
	}
	for (i = 0; i < CONTESTANTS; i++)
		well = child_ended_well(pids[i]) && well;
	ck_assert_msg(well, "a contestant did not end well");
}

/* The counters of the cache, which this process may not have open. */
static struct sesscache_stats
count(void)
{
	struct sesscache *own = cache_open(dir, NULL);
	struct sesscache_stats stats;

	ck_assert_int_eq(sesscache_stats(own, &stats), SESSCACHE_OK);
	sesscache_close(own);
	ck_assert_uint_eq(stats.failed, 0);
	ck_assert_uint_eq(stats.unreadable, 0);
	ck_assert_uint_eq(stats.evicted_newcomers + stats.evicted_regulars, 0);
	return stats;
}

/* --- records ------------------------------------------------------------- */

/* record_take() verifies each byte of what it has won. */
static void
take_tickets(void *arg)
{
	int number = *(int *)arg;
	struct sesscache *own = opens(number) ? open_cache() : cache;
	enum sesscache_status status;
	unsigned i;

	alarm(LAST_RESORT_SECONDS);
	for (i = 0; i < n_turns; i++) {
		line_up();
		status = record_take(own, &field->tickets[i].record);
		MUST(status == SESSCACHE_OK || status == SESSCACHE_MISS);
		if (status == SESSCACHE_OK)
			atomic_fetch_add(&field->tickets[i].winners, 1);
	}
	if (own != cache)
		sesscache_close(own);
}

START_TEST(of_eight_takers_of_a_record_exactly_one_has_it)
{
	unsigned i, winners, all = 0;

	prepare();
	n_turns = test_times(TICKETS, 200);
	for (i = 0; i < n_turns; i++)
		record_make(cache, &field->tickets[i].record);
	race(take_tickets);
	for (i = 0; i < n_turns; i++) {
		winners = atomic_load(&field->tickets[i].winners);
		if (winners != 1)
			ck_abort_msg("ticket %u: %u winners", i, winners);
		all += winners;
	}
	ck_assert_uint_eq(all, n_turns);
	ck_assert_uint_eq(count().taken, n_turns);
}
END_TEST

/* --- TLS 1.3 tickets ----------------------------------------------------- */

/* A full handshake with its own server: me->fresh is a new ticket. */
static void
earn_ticket(struct contestant *me)
{
	struct tls_pair pair;

	SSL_SESSION_free(me->fresh);
	me->fresh = NULL;
	MUST(tls_pair_new(&pair, me->server, me->client, NULL, NULL));
	MUST(tls_pair_handshake(&pair));
	MUST(me->fresh != NULL && SSL_SESSION_is_resumable(me->fresh) == 1);
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
}

static void
post_ticket(struct contestant *me)
{
	unsigned char *end = field->letter;
	int len;

	earn_ticket(me);
	len = i2d_SSL_SESSION(me->fresh, NULL);
	MUST(len > 0 && len <= LETTER_BYTES);
	MUST(i2d_SSL_SESSION(me->fresh, &end) == len);
	field->letter_len = (size_t)len;
}

static void
note(struct turn *turn, bool fine, bool won)
{
	if (!fine)
		atomic_fetch_add(&turn->failed, 1);
	else
		atomic_fetch_add(won ? &turn->won : &turn->lost, 1);
}

/* The ClientHello is there before the start, so that servers race. */
static void
offer_ticket(const struct contestant *me, struct turn *turn)
{
	const unsigned char *at = field->letter;
	SSL_SESSION *session = d2i_SSL_SESSION(NULL, &at,
	    (long)field->letter_len);
	struct tls_pair pair;
	bool fine;

	MUST(session != NULL);
	MUST(tls_pair_new(&pair, me->server, me->client, session, NULL));
	MUST(SSL_do_handshake(pair.client) < 0);
	line_up();
	fine = tls_pair_handshake(&pair) &&
	    tls_send(pair.client, pair.server, "hello") &&
	    SSL_session_reused(pair.client) == SSL_session_reused(pair.server);
	note(turn, fine, SSL_session_reused(pair.server) == 1);
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	SSL_SESSION_free(session);
}

static void
resume_tickets(void *arg)
{
	int number = *(int *)arg;
	struct contestant me;
	unsigned i;

	enter(&me, number);
	for (i = 0; i < n_turns; i++) {
		if (i % CONTESTANTS == (unsigned)number)
			post_ticket(&me);
		line_up();
		offer_ticket(&me, &field->turns[i]);
	}
	leave(&me);
}

/*
 * Never two; and none only where somebody gave up waiting for a lock, which a
 * machine with far more to do than it can brings about.
 */
static void
expect_one_winner(const char *name)
{
	unsigned i, won, failed, none = 0;
	uint64_t busy = count().busy;

	for (i = 0; i < n_turns; i++) {
		won = atomic_load(&field->turns[i].won);
		failed = atomic_load(&field->turns[i].failed);
		if (won > 1 || failed > 0)
			ck_abort_msg("%s, ticket %u: %u resumed, %u failed",
			    name, i, won, failed);
		ck_assert_uint_eq(won + atomic_load(&field->turns[i].lost),
		    CONTESTANTS);
		none += won == 0;
	}
	ck_assert_msg(none <= busy,
	    "%s: nobody resumed with %u of %u tickets, locks were busy %llu "
	    "times",
	    name, none, n_turns, (unsigned long long)busy);
}

START_TEST(of_eight_connections_with_a_ticket_exactly_one_resumes)
{
	descent = descents[_i].descent;
	n_turns = turns(TURNS);
	prepare();
	race(resume_tickets);
	expect_one_winner(descents[_i].name);
}
END_TEST

/* --- early data ---------------------------------------------------------- */

/* Join ssl with memory: *in is what it reads, *out what it wrote. */
static void
join_memory(SSL *ssl, BIO **in, BIO **out)
{
	*in = BIO_new(BIO_s_mem());
	*out = BIO_new(BIO_s_mem());
	MUST(ssl != NULL && *in != NULL && *out != NULL);
	SSL_set_bio(ssl, *in, *out);
}

/* A ClientHello and the early data after it, as they go over the wire. */
static void
post_flight(struct contestant *me)
{
	SSL *ssl = SSL_new(me->client);
	size_t written = 0;
	BIO *in, *out;
	int len;

	earn_ticket(me);
	MUST(SSL_SESSION_get_max_early_data(me->fresh) == max_early_data);
	join_memory(ssl, &in, &out);
	SSL_set_connect_state(ssl);
	MUST(SSL_set_session(ssl, me->fresh) == 1);
	MUST(SSL_write_early_data(ssl, early_text, sizeof(early_text),
		 &written) == 1);
	MUST(written == sizeof(early_text));
	len = BIO_read(out, field->letter, LETTER_BYTES);
	MUST(len > (int)sizeof(early_text) && BIO_pending(out) == 0);
	field->letter_len = (size_t)len;
	SSL_free(ssl);
}

/* Read what there is; false if the server gave up, or was told other data. */
static bool
read_early(SSL *ssl, size_t *len)
{
	int result = SSL_READ_EARLY_DATA_SUCCESS;
	char text[EARLY_BYTES];
	size_t got = 0;
	bool fine = true;
	int i;

	*len = 0;
	for (i = 0; i < EARLY_READS && result == SSL_READ_EARLY_DATA_SUCCESS;
	     i++) {
		result = SSL_read_early_data(ssl, text, sizeof(text), &got);
		if (result == SSL_READ_EARLY_DATA_SUCCESS) {
			fine = fine && got == sizeof(early_text) &&
			    memcmp(text, early_text, got) == 0;
			*len += got;
		}
	}
	if (result == SSL_READ_EARLY_DATA_ERROR)
		fine = fine && SSL_get_error(ssl, 0) == SSL_ERROR_WANT_READ;
	return fine;
}

/* The recorded flight at a new server; a client that answers there is not. */
static SSL *
begin_play(const struct contestant *me)
{
	SSL *ssl = SSL_new(me->server);
	BIO *in, *out;

	join_memory(ssl, &in, &out);
	SSL_set_accept_state(ssl);
	MUST(BIO_write(in, field->letter, (int)field->letter_len) ==
	    (int)field->letter_len);
	return ssl;
}

static void
end_play(SSL *ssl, struct turn *turn)
{
	bool accepted, fine;
	size_t len;

	fine = read_early(ssl, &len);
	accepted = SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_ACCEPTED;
	note(turn, fine && accepted == (len > 0), accepted);
	SSL_free(ssl);
}

static void
replay_at_once(void *arg)
{
	int number = *(int *)arg;
	struct contestant me;
	unsigned i;
	SSL *ssl;

	enter(&me, number);
	for (i = 0; i < n_turns; i++) {
		if (i % CONTESTANTS == (unsigned)number)
			post_flight(&me);
		line_up();
		ssl = begin_play(&me);
		line_up();
		end_play(ssl, &field->turns[i]);
	}
	leave(&me);
}

/* Each plays the flight twice, when those before it are done. */
static void
replay_in_turn(void *arg)
{
	int number = *(int *)arg;
	struct contestant me;
	unsigned i, next;

	enter(&me, number);
	for (i = 0; i < n_turns; i++) {
		if (i % CONTESTANTS == (unsigned)number)
			post_flight(&me);
		for (next = 0; next < CONTESTANTS; next++) {
			line_up();
			if ((i + 1 + next) % CONTESTANTS == (unsigned)number) {
				end_play(begin_play(&me), &field->turns[i]);
				end_play(begin_play(&me), &field->turns[i]);
			}
		}
		line_up();
	}
	leave(&me);
}

/*
 * At most one; and one as a rule, or this would prove nothing.  OpenSSL
 * refuses early data that comes seconds late, as from a machine that swaps.
 */
static void
expect_no_replay(void)
{
	unsigned i, won, failed, all = 0;

	(void)count();
	for (i = 0; i < n_turns; i++) {
		won = atomic_load(&field->turns[i].won);
		failed = atomic_load(&field->turns[i].failed);
		if (won > 1 || failed > 0)
			ck_abort_msg("single-use %s, flight %u: accepted %u "
				     "times, %u servers failed",
			    single_use, i, won, failed);
		all += won;
	}
	ck_assert_msg(all > n_turns / 2,
	    "single-use %s: only %u of %u flights were accepted", single_use,
	    all, n_turns);
}

START_TEST(a_flight_played_to_eight_at_once_is_accepted_once)
{
	single_use = single_use_words[_i];
	max_early_data = EARLY_BYTES;
	n_turns = turns(TURNS);
	prepare();
	race(replay_at_once);
	expect_no_replay();
}
END_TEST

START_TEST(a_flight_played_to_one_after_the_other_is_accepted_once)
{
	single_use = single_use_words[_i];
	max_early_data = EARLY_BYTES;
	n_turns = turns(ORDERLY_TURNS);
	prepare();
	race(replay_in_turn);
	expect_no_replay();
}
END_TEST

/* ------------------------------------------------------------------------- */

int
main(void)
{
	Suite *suite = suite_create("race");
	TCase *tc = tcase_create("race");

	tcase_set_timeout(tc, LAST_RESORT_SECONDS);
	tcase_add_unchecked_fixture(tc, make_scratch, remove_scratch);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, of_eight_takers_of_a_record_exactly_one_has_it);
	tcase_add_loop_test(tc,
	    of_eight_connections_with_a_ticket_exactly_one_resumes, 0,
	    N_OF(descents));
	tcase_add_loop_test(tc,
	    a_flight_played_to_eight_at_once_is_accepted_once, 0,
	    N_OF(single_use_words));
	tcase_add_loop_test(tc,
	    a_flight_played_to_one_after_the_other_is_accepted_once, 0,
	    N_OF(single_use_words));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
