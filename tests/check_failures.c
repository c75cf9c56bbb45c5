/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each call that the library makes to libc, LMDB and OpenSSL fails in turn,
 * once or from then on, in each thing that a caller may ask of it: the caller
 * gets a status that the header names and a sentence, a handshake is done, and
 * when the calls work again, so does the cache, with no wrong byte in it.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "process.h"
#include "support.h"
#include "tls.h"

enum {
	RECORDS = 20,
	LONG = 6000, /* bytes of a record that bypasses the journal */
	FILLERS = 1000,
	FILLER_LEN = 3000,
	FIRST = 4, /* calls of a function each of which fails */
	EVER = 2,  /* those from which on all fail */
	EARLY_DATA = 1024,
	SEEN_TO = 200, /* calls among which one sees to a damaged shard */
};

static SSL_CTX *server, *client; /* NULL: no TLS here */
static char scratch[SCRATCH_LEN], dir[SCRATCH_LEN];
static const char *owner; /* of the cache; NULL: its opener */
static struct record records[RECORDS];
static struct sesscache *cache;
static unsigned *totals; /* shared: calls of each function in a dry run */
static struct tls_identity identity;
static struct fail_plan plan; /* what fails in this process; call -1: none */

static void
make_scratch(void)
{
	scratch_make(scratch, "check_failures");
	path_join(dir, scratch, "cache");
	MUST(tls_identity_new(&identity, "server", 0));
	totals = shared_new(sizeof(*totals) * FAIL_MAX_CALLS);
}

static void
remove_scratch(void)
{
	tls_identity_free(&identity);
	scratch_remove(scratch);
}

/* --- what must hold of any call ------------------------------------------ */

/* The failures that the header promises, each with its sentence. */
static enum sesscache_status
documented(enum sesscache_status status)
{
	switch (status) {
	case SESSCACHE_ENOMEM:
	case SESSCACHE_ESYS:
	case SESSCACHE_ENOSPC:
	case SESSCACHE_ECORRUPT:
	case SESSCACHE_EBUSY:
		MUST(sesscache_detail()[0] != '\0');
		break;
	case SESSCACHE_OK:
	case SESSCACHE_MISS:
	case SESSCACHE_EXISTS:
		break;
	case SESSCACHE_EINVAL:
	case SESSCACHE_EUNSAFE:
	case SESSCACHE_EFORMAT:
	case SESSCACHE_ETOOBIG:
		MUST(status == SESSCACHE_OK);
	}
	return status;
}

static bool
is_failing(const char *call)
{
	return plan.call >= 0 && strcmp(fail_name(plan.call), call) == 0;
}

static bool
is_lmdb_failing(void)
{
	return plan.call >= 0 && strncmp(fail_name(plan.call), "mdb_", 4) == 0;
}

/* Reasons to give records up: LMDB says that bytes are damaged, or over and
 * over that it has no room; a record does not open; or a data file cannot be
 * read, which is read after the control file. */
static bool
may_lose(void)
{
	return is_failing("EVP_CipherFinal_ex") ||
	    (is_failing("pread") && plan.nth > 1) ||
	    (is_lmdb_failing() &&
		(plan.kind == FAIL_BYTES ||
		    (plan.kind == FAIL_ROOM && plan.ever_after)));
}

static struct sesscache *
open_usual(void)
{
	return cache_open(dir, "size", "4M", "shards", "2", NULL);
}

static void
make_filled(void)
{
	int i;

	scratch_remove(dir);
	cache = open_usual();
	for (i = 0; i < RECORDS; i++) {
		records[i].data_len = i == 0 ? LONG : 0;
		record_make(cache, &records[i]);
	}
}

static void
make_closed(void)
{
	make_filled();
	sesscache_close(cache);
	cache = NULL;
}

static int
count_kept(void)
{
	int i, n = 0;

	for (i = 0; i < RECORDS; i++)
		n += record_get(cache, &records[i]) == SESSCACHE_OK;
	return n;
}

/* All that a cache does, with all that it needs.  A shard that is damaged is
 * made anew by the next that opens the cache. */
static void
expect_works(void)
{
	struct record own = { .data_len = 0 };
	int i;

	if (may_lose() && server == NULL) {
		sesscache_close(cache);
		cache = cache_open(dir, owner != NULL ? "owner" : NULL, owner,
		    NULL);
	}
	for (i = 0; i < 8; i++) {
		own.data_len = i == 7 ? LONG : 0;
		record_make(cache, &own);
		record_must_be(cache, &own);
		MUST(record_take(cache, &own) == SESSCACHE_OK);
		MUST(record_get(cache, &own) == SESSCACHE_MISS);
	}
}

/* --- opening ------------------------------------------------------------- */

static void
make_nothing(void)
{
	scratch_remove(dir);
}

static void
damage(const char *name)
{
	char path[SCRATCH_LEN];

	make_closed();
	path_join(path, dir, name);
	MUST(truncate(path, 4096) == 0);
}

static void
make_damaged_shard(void)
{
	damage("shard-00.lmdb-0");
}

static void
make_damaged_control(void)
{
	damage("control");
}

static void
open_as(const char *size, const char *name, const char *value)
{
	enum sesscache_status status;

	status = cache_try(&cache, dir, "size", size, name, value, NULL);
	MUST((documented(status) == SESSCACHE_OK) == (cache != NULL));
}

static void
open_plainly(void)
{
	open_as("4M", "shards", "2");
}

static void
open_larger(void)
{
	open_as("6M", "log", "off");
}

static void
open_smaller(void)
{
	open_as("3M", "log", "off");
}

static void
open_for_another(void)
{
	owner = "65534:65534";
	open_as("4M", "owner", owner);
}

/* Once the handlers of fork() are refused, this process opens no cache. */
static void
open_again(void)
{
	if (is_failing("pthread_atfork"))
		_exit(0);
	if (cache == NULL)
		cache = cache_open(dir, "size", "4M", "shards", "2", NULL);
}

static void
expect_usable(void)
{
	open_again();
	expect_works();
}

static void
expect_usable_by_another(void)
{
	if (cache == NULL)
		open_for_another();
	open_again();
	expect_works();
}

/* Records are carried over as far as they can be read and there is room. */
static void
expect_resized(void)
{
	bool done = cache != NULL;

	open_again();
	MUST(!done || may_lose() || is_lmdb_failing() ||
	    plan.kind == FAIL_ROOM || count_kept() == RECORDS);
	expect_works();
}

static void
expect_all_kept(void)
{
	open_again();
	MUST(may_lose() || count_kept() == RECORDS);
	expect_works();
}

/* --- mending ------------------------------------------------------------- */

static void
make_half_made(void)
{
	make_filled();
	leave_half_made(dir, 0);
	leave_half_made(dir, 1);
}

static void
use_damaged(void)
{
	int i;

	for (i = 0; i < SEEN_TO; i++)
		(void)documented(record_get(cache, &records[i % RECORDS]));
}

static void
expect_mended(void)
{
	struct sesscache_stats stats;

	use_damaged();
	MUST(sesscache_stats(cache, &stats) == SESSCACHE_OK);
	MUST(stats.remade >= 2);
	expect_works();
}

/* --- serving ------------------------------------------------------------- */

static struct record stored[6];

static void
put(struct record *record, bool own_id, size_t len, bool add)
{
	uint8_t data[RECORD_MAX_LEN];
	enum sesscache_status status;

	record->data_len = len;
	record->id_len = SESSCACHE_ID_LEN;
	if (own_id) {
		test_fill(record->id, SESSCACHE_ID_LEN, len);
	} else if (documented(sesscache_new_id(cache, record->id)) !=
	    SESSCACHE_OK) {
		record->id_len = 0;
		return;
	}
	len = record_bytes(record, data);
	status = (add ? sesscache_add : sesscache_put)(cache, record->id,
	    record->id_len, data, len, 0);
	MUST(documented(status) != SESSCACHE_MISS);
	if (status != SESSCACHE_OK)
		record->id_len = 0; /* nothing is promised of it */
}

typedef enum sesscache_status ask(struct sesscache *cache, const uint8_t *id,
    size_t id_len, uint8_t *buf, size_t size, size_t *len);

/* Whether it was had; if so, with its own bytes. */
static bool
had(ask *fn, const struct record *record)
{
	uint8_t data[RECORD_MAX_LEN];
	size_t len = 0;
	enum sesscache_status status;

	if (record->id_len == 0)
		return false;
	status = fn(cache, record->id, record->id_len, data, sizeof(data),
	    &len);
	MUST(
	    documented(status) != SESSCACHE_OK || record_is(record, data, len));
	return status == SESSCACHE_OK;
}

static void
use_records(void)
{
	int i;

	put(&stored[0], false, 200, false);
	put(&stored[1], false, LONG, false);
	put(&stored[2], true, 201, false);
	put(&stored[3], true, LONG + 1, false);
	put(&stored[4], true, 202, true);
	put(&stored[5], false, LONG + 2, true);
	for (i = 0; i < N_OF(stored); i++)
		(void)had(sesscache_get, &stored[i]);
	for (i = 0; i < RECORDS; i++)
		(void)had(sesscache_get, &records[i]);
}

/* What was stored is there, if nobody said that bytes are damaged. */
static void
expect_stored(void)
{
	int i;

	for (i = 0; i < N_OF(stored); i++)
		MUST(stored[i].id_len == 0 || may_lose() ||
		    had(sesscache_get, &stored[i]));
	expect_all_kept();
}

static bool took[RECORDS], removed[RECORDS];

static void
take_and_remove(void)
{
	enum sesscache_status status;
	int i;

	for (i = 0; i < RECORDS / 2; i++)
		took[i] = had(sesscache_take, &records[i]);
	for (; i < RECORDS; i++) {
		status = sesscache_remove(cache, records[i].id,
		    records[i].id_len);
		removed[i] = documented(status) == SESSCACHE_OK;
	}
}

/* What was taken or removed does not come back. */
static void
expect_gone(void)
{
	int i;

	for (i = 0; i < RECORDS; i++)
		MUST((!took[i] && !removed[i]) ||
		    record_get(cache, &records[i]) != SESSCACHE_OK);
	expect_works();
}

/* More than fits: journals are written out, the oldest go. */
static void
turn_over(void)
{
	struct record record = { .id_len = 0 };
	int i;

	for (i = 0; i < FILLERS; i++)
		put(&record, i % 16 == 0, FILLER_LEN + (size_t)i % 7, false);
}

static void
expect_size_kept(void)
{
	MUST(test_measure(dir).bytes <= 4 << 20);
	expect_works();
}

static int
see(const struct sesscache_info *info, void *arg)
{
	MUST(info->id_len >= 1);
	++*(int *)arg;
	return 0;
}

static void
list_all(void)
{
	struct sesscache_key keys[SESSCACHE_KEYS_MAX];
	struct sesscache_stats stats;
	size_t n = 0;
	int seen = 0;

	if (documented(sesscache_each(cache, see, &seen)) == SESSCACHE_OK)
		MUST(seen == RECORDS || plan.call >= 0);
	if (documented(sesscache_stats(cache, &stats)) == SESSCACHE_OK)
		MUST(stats.records == RECORDS || plan.call >= 0);
	if (documented(sesscache_keys(cache, keys, &n)) == SESSCACHE_OK)
		MUST(n <= SESSCACHE_KEYS_MAX);
	(void)documented(sesscache_rotate_keys(cache));
}

static enum sesscache_status purge_status;

static void
purge_all(void)
{
	uint64_t n = 0;

	purge_status = documented(sesscache_purge(cache, NULL, &n));
	MUST(purge_status != SESSCACHE_OK || n == RECORDS || plan.call >= 0);
}

static void
purge_old(void)
{
	struct sesscache_filter filter;
	uint64_t n = 0;

	memset(&filter, 0, sizeof(filter));
	purge_status = documented(sesscache_purge(cache, &filter, &n));
	MUST(purge_status != SESSCACHE_OK || n == RECORDS || plan.call >= 0);
}

/* Where a purge says that it is done, nothing is left. */
static void
expect_purged(void)
{
	MUST(purge_status != SESSCACHE_OK || plan.call >= 0 ||
	    count_kept() == 0);
	expect_works();
	MUST(sesscache_purge(cache, NULL, NULL) == SESSCACHE_OK);
	MUST(count_kept() == 0);
	expect_works();
}

/* --- TLS ----------------------------------------------------------------- */

static SSL_SESSION *session;
static bool asks; /* for a client certificate */

/*
 * A session for which nothing says any more that it may resume does not, where
 * certificates are asked for.  And there is no ticket without random bytes or
 * a cipher, nor a handshake without the ticket that was promised.
 */
static bool
may_refuse(void)
{
	return (plan.call >= 0 && asks) || is_failing("RAND_bytes") ||
	    (plan.ever_after &&
		(is_failing("EVP_CipherInit_ex") ||
		    is_failing("EVP_MAC_CTX_set_params")));
}

static bool
handshake(bool count)
{
	SSL_SESSION *newest;
	struct tls_pair pair;
	bool reused;

	MUST(tls_pair_new(&pair, server, client, session, "a.example"));
	if (count)
		fail_start(plan.call >= 0 ? &plan : NULL);
	MUST(tls_pair_handshake(&pair) || (count && may_refuse()));
	MUST(ERR_peek_error() == 0 || (count && may_refuse()));
	ERR_clear_error();
	newest = SSL_get1_session(pair.client);
	reused = SSL_session_reused(pair.server) == 1;
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	if (count)
		(void)fail_stop();
	SSL_SESSION_free(session);
	session = newest;
	return reused;
}

static void
make_server(int version, const char *tickets)
{
	scratch_remove(dir);
	cache = cache_open(dir, "size", "4M", "shards", "2", "tickets", tickets,
	    NULL);
	server = tls_server_new(&identity, version);
	client = tls_client_new(NULL, version);
	MUST(server != NULL && client != NULL);
	if (asks)
		tls_ask_for_certificate(server, false);
}

static void
make_tls12(void)
{
	make_server(TLS1_2_VERSION, "off");
	MUST(sesscache_attach(cache, server) == SESSCACHE_OK);
}

static void
make_tls13(void)
{
	make_server(TLS1_3_VERSION, "off");
	(void)SSL_CTX_set_max_early_data(server, EARLY_DATA);
	MUST(sesscache_attach(cache, server) == SESSCACHE_OK);
}

static void
make_ticket12(void)
{
	make_server(TLS1_2_VERSION, "shared");
	MUST(sesscache_attach(cache, server) == SESSCACHE_OK);
}

static void
make_ticket13(void)
{
	make_server(TLS1_3_VERSION, "shared");
	MUST(sesscache_attach(cache, server) == SESSCACHE_OK);
}

static void
make_unattached(void)
{
	make_server(TLS1_3_VERSION, "shared");
}

static void
attach(void)
{
	(void)documented(sesscache_attach(cache, server));
}

static void
connect_anew(void)
{
	(void)handshake(true);
}

static void
make_resumable12(void)
{
	make_tls12();
	(void)handshake(false);
}

static void
make_asking(void)
{
	asks = true;
	make_resumable12();
}

static void
make_resumable13(void)
{
	make_tls13();
	(void)handshake(false);
}

static void
make_resumable_ticket12(void)
{
	make_ticket12();
	(void)handshake(false);
}

static void
make_resumable_ticket13(void)
{
	make_ticket13();
	(void)handshake(false);
}

/* Two more, of which the second resumes. */
static void
expect_handshakes(void)
{
	(void)handshake(false);
	MUST(handshake(false));
	expect_works();
}

static void
expect_handshakes_at_least(void)
{
	(void)handshake(false);
	(void)handshake(false);
	expect_works();
}

/* ------------------------------------------------------------------------- */

static const struct scenario {
	const char *name;
	void (*prepare)(void);
	void (*act)(void);
	void (*verify)(void);
	bool is_handshake; /* counts what fails for itself */
	bool for_root;
} scenarios[] = {
	{ "make", make_nothing, open_plainly, expect_usable, false, false },
	{ "make for another user", make_nothing, open_for_another,
	    expect_usable_by_another, false, true },
	{ "open", make_closed, open_plainly, expect_all_kept, false, false },
	{ "enlarge", make_closed, open_larger, expect_resized, false, false },
	{ "reduce", make_closed, open_smaller, expect_resized, false, false },
	{ "repair a shard", make_damaged_shard, open_plainly, expect_usable,
	    false, false },
	{ "mend", make_half_made, use_damaged, expect_mended, false, false },
	{ "make anew", make_damaged_control, open_plainly, expect_usable, false,
	    false },
	{ "store and look up", make_filled, use_records, expect_stored, false,
	    false },
	{ "take and remove", make_filled, take_and_remove, expect_gone, false,
	    false },
	{ "turn over", make_filled, turn_over, expect_size_kept, false, false },
	{ "list", make_filled, list_all, expect_all_kept, false, false },
	{ "purge", make_filled, purge_all, expect_purged, false, false },
	{ "purge some", make_filled, purge_old, expect_purged, false, false },
	{ "attach", make_unattached, attach, expect_handshakes_at_least, false,
	    false },
	{ "TLS 1.2", make_tls12, connect_anew, expect_handshakes, true, false },
	{ "TLS 1.3", make_tls13, connect_anew, expect_handshakes, true, false },
	{ "TLS 1.2 ticket", make_ticket12, connect_anew, expect_handshakes,
	    true, false },
	{ "TLS 1.3 ticket", make_ticket13, connect_anew, expect_handshakes,
	    true, false },
	{ "resume TLS 1.2", make_resumable12, connect_anew, expect_handshakes,
	    true, false },
	{ "resume where certificates are asked for", make_asking, connect_anew,
	    expect_handshakes, true, false },
	{ "resume TLS 1.3", make_resumable13, connect_anew, expect_handshakes,
	    true, false },
	{ "resume TLS 1.2 ticket", make_resumable_ticket12, connect_anew,
	    expect_handshakes, true, false },
	{ "resume TLS 1.3 ticket", make_resumable_ticket13, connect_anew,
	    expect_handshakes, true, false },
};

/* In a child. */
static void
play(void *arg)
{
	const struct scenario *scenario = arg;
	int i;

	scenario->prepare();
	if (!scenario->is_handshake)
		fail_start(plan.call >= 0 ? &plan : NULL);
	scenario->act();
	(void)fail_stop();
	if (plan.call < 0)
		for (i = 0; i < fail_calls(); i++)
			totals[i] = fail_count(i);
	scenario->verify();
}

static void
play_with(const struct scenario *scenario, const struct fail_plan *next)
{
	plan = *next;
	ck_assert_msg(child_does(play, (void *)(uintptr_t)scenario),
	    "%s, with %s failing at call %u%s in way %d", scenario->name,
	    fail_name(plan.call), plan.nth, plan.ever_after ? " and later" : "",
	    (int)plan.kind);
}

/* Of a few calls each; of many, ever fewer. */
static unsigned
after(unsigned nth)
{
	return nth < FIRST ? nth + 1 : 2 * nth;
}

START_TEST(any_call_that_fails_gives_its_status_and_costs_nothing_else)
{
	const struct scenario *scenario = &scenarios[_i];
	struct fail_plan next = { .call = -1 };

	if (scenario->for_root && geteuid() != 0) {
		printf("skipped: %s: for root\n", scenario->name);
		return;
	}
	plan = next;
	ck_assert_msg(child_does(play, (void *)(uintptr_t)scenario), "%s",
	    scenario->name);
	for (next.call = 0; next.call < fail_calls(); next.call++) {
		for (next.nth = 1; next.nth <= totals[next.call];
		     next.nth = after(next.nth)) {
			next.kind = (next.nth - 1 + (unsigned)next.call) %
			    (unsigned)fail_kinds(next.call);
			next.ever_after = false;
			play_with(scenario, &next);
			next.ever_after = true;
			if (next.nth <= EVER)
				play_with(scenario, &next);
		}
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("failures");
	TCase *tc = tcase_create("calls");

	tcase_set_timeout(tc, 4 * CHILD_SECONDS);
	tcase_add_unchecked_fixture(tc, make_scratch, remove_scratch);
	tcase_add_loop_test(tc,
	    any_call_that_fails_gives_its_status_and_costs_nothing_else, 0,
	    N_OF(scenarios));
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
