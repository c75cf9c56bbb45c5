/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ticket keys: what opens and what does not, rotation once for all processes,
 * rings that were tampered with, deaths at any moment, clocks, and that a
 * retired key is nowhere any more.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/seal.h"
#include "store/shard.h"
#include "support.h"

enum {
	LIFETIME = 1000, /* seconds */
	START = 500000,  /* the time when a cache is made */
	TICKET = 100000, /* seconds: longer than any key */
	ASKED = 7,
	LANDED = 9,
	CIPHER = 0x1301,
	PROCESSES = 8,
};

static struct sc_cache *cache;
static uint8_t *control; /* the control file of cache, mapped */
static size_t control_bytes;
static struct sc_ring *ring; /* in it */

/* A ticket that was issued, and what opens it. */
struct issued {
	uint8_t name[SC_TICKET_NAME];
	uint8_t iv[SC_TICKET_IV];
	uint8_t cipher[SC_TICKET_KEY];
	uint8_t mac[SC_TICKET_KEY];
	uint64_t asked;
	uint32_t expires_at;
};

static struct sc_cache *
open_cache(const char *name, uint32_t lifetime_seconds)
{
	const struct sc_cache_config config = {
		.dir = test_dir(name),
		.size_bytes = 8 << 20,
		.create = true,
		.shards = 2,
		.timeout_seconds = 3600,
		.ticket_key_lifetime_seconds = lifetime_seconds,
	};
	struct sc_cache_opened opened;
	struct sc_cache *out = NULL;

	ck_done(sc_cache_open(&out, &config, START, &opened));
	ck_assert_str_eq(opened.repaired, "");
	return out;
}

static uint8_t *
map_control(const char *name, size_t *bytes)
{
	char path[2 * TEST_PATH];
	struct stat st;
	void *mapped;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/control", test_dir(name));
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	*bytes = (size_t)st.st_size;
	mapped = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(mapped, MAP_FAILED);
	(void)close(fd);
	return mapped;
}

static struct sc_ring *
ring_in(uint8_t *mapped)
{
	return &((struct sc_keys *)(void *)(mapped + SC_CONTROL_CACHE_AT))
		    ->ring;
}

static void
setup(void)
{
	test_dir_make();
	cache = open_cache("cache", LIFETIME);
	control = map_control("cache", &control_bytes);
	ring = ring_in(control);
}

static void
teardown(void)
{
	sc_cache_close(cache);
	(void)munmap(control, control_bytes);
	test_dir_remove();
}

static enum sesscache_status
issue_in(struct sc_cache *in, struct issued *issued, uint64_t asked,
    uint32_t now)
{
	struct sc_ticket ticket = { .scope = { asked, LANDED },
		.cipher = CIPHER,
		.expires_at = now + TICKET };
	enum sesscache_status status;

	memset(issued, 0, sizeof(*issued));
	status = sc_cache_ticket_issue(in, &ticket, issued->name, issued->iv,
	    now);
	if (status != SESSCACHE_OK)
		return status;
	issued->asked = asked;
	issued->expires_at = ticket.expires_at;
	memcpy(issued->cipher, ticket.cipher_key, SC_TICKET_KEY);
	memcpy(issued->mac, ticket.mac_key, SC_TICKET_KEY);
	return SESSCACHE_OK;
}

static struct issued
issue(uint32_t now)
{
	struct issued issued;

	ck_done(issue_in(cache, &issued, ASKED, now));
	return issued;
}

/* Any thread and process: SESSCACHE_ECORRUPT if something wrong comes out. */
static enum sesscache_status
open_in(struct sc_cache *in, const struct issued *issued, uint32_t now,
    bool *renew)
{
	struct sc_ticket ticket = { .terms.open = { issued->asked, LANDED } };
	enum sesscache_status status;

	status = sc_cache_ticket_open(in, &ticket, issued->name, issued->iv,
	    now);
	if (status != SESSCACHE_OK)
		return status;
	*renew = ticket.renew;
	if (ticket.expires_at != issued->expires_at ||
	    ticket.cipher != CIPHER || ticket.terms.said.landed != LANDED ||
	    memcmp(ticket.cipher_key, issued->cipher, SC_TICKET_KEY) != 0 ||
	    memcmp(ticket.mac_key, issued->mac, SC_TICKET_KEY) != 0)
		status = SESSCACHE_ECORRUPT;
	return status;
}

static void
opens(const struct issued *issued, uint32_t now, bool renewed)
{
	bool renew = !renewed;

	ck_done(open_in(cache, issued, now, &renew));
	ck_assert_int_eq(renew, renewed);
}

static void
is_refused(const struct issued *issued, uint32_t now)
{
	bool renew;

	ck_status(open_in(cache, issued, now, &renew), SESSCACHE_MISS);
}

static bool
is_same_key(const struct issued *a, const struct issued *b)
{
	return memcmp(a->cipher, b->cipher, SC_TICKET_KEY) == 0 &&
	    memcmp(a->mac, b->mac, SC_TICKET_KEY) == 0;
}

static struct sesscache_stats
stats(void)
{
	struct sesscache_stats out;
	uint32_t created_at;

	ck_done(sc_cache_stats(cache, &out, &created_at));
	return out;
}

/* The name of the key in a state; 0: there is none. */
static uint32_t
name_of(enum sesscache_key_state state, uint32_t now)
{
	struct sc_ticket_key keys[SESSCACHE_KEYS_MAX];
	uint32_t name = 0;
	size_t i, n;

	ck_done(sc_cache_keys(cache, keys, &n, now));
	for (i = 0; i < n; i++) {
		if (keys[i].state == state)
			name = keys[i].name;
	}
	return name;
}

/* A thread begins without a copy of the ring. */
static void
in_a_new_thread(void *(*body)(void *), void *arg)
{
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, body, arg), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

struct opening {
	const struct issued *issued;
	uint32_t now;
	enum sesscache_status status;
	bool renew;
};

static void *
open_one(void *arg)
{
	struct opening *opening = arg;

	opening->status = open_in(cache, opening->issued, opening->now,
	    &opening->renew);
	return NULL;
}

static enum sesscache_status
open_anew(const struct issued *issued, uint32_t now)
{
	struct opening opening = { .issued = issued, .now = now };

	in_a_new_thread(open_one, &opening);
	return opening.status;
}

/* --- what opens ---------------------------------------------------------- */

START_TEST(ticket_opens_with_the_keys_it_was_issued_with)
{
	struct issued issued = issue(START), another = issue(START + 1);

	opens(&issued, START, false);
	opens(&issued, START + LIFETIME - 1, false);
	ck_assert(is_same_key(&issued, &another));
	ck_assert_mem_ne(issued.cipher, issued.mac, SC_TICKET_KEY);
	ck_assert_uint_eq(stats().tickets_issued, 2);
	ck_assert_uint_eq(stats().tickets_refused, 0);
	ck_assert_uint_eq(stats().unreadable, 0);
	ck_assert_uint_eq(stats().key_rotations, 0);
}
END_TEST

static int
open_in_child(void *arg)
{
	bool renew;

	return open_in(cache, arg, START, &renew) == SESSCACHE_OK ? 0 : 1;
}

START_TEST(other_processes_have_the_same_keys)
{
	struct issued issued = issue(START);

	ck_assert_int_eq(test_wait(test_fork(open_in_child, &issued)), 0);
	ck_done(open_anew(&issued, START));
}
END_TEST

START_TEST(ticket_under_the_previous_key_opens_and_is_renewed)
{
	struct issued issued = issue(START), newer;

	opens(&issued, START + LIFETIME, true);
	newer = issue(START + LIFETIME);
	ck_assert(!is_same_key(&issued, &newer));
	opens(&newer, START + LIFETIME, false);
	opens(&issued, START + 2 * LIFETIME - 1, true);
	ck_assert_uint_eq(stats().key_rotations, 1);
}
END_TEST

START_TEST(older_ticket_is_refused)
{
	struct issued issued = issue(START), newer;

	opens(&issued, START + LIFETIME, true);
	newer = issue(START + LIFETIME);
	is_refused(&issued, START + 2 * LIFETIME);
	opens(&newer, START + 2 * LIFETIME, true);
	ck_assert_uint_eq(stats().tickets_refused, 1);
	ck_assert_uint_eq(stats().key_rotations, 2);
}
END_TEST

START_TEST(key_that_nobody_replaced_in_time_lives_no_longer)
{
	struct issued issued = issue(START);

	opens(&issued, START + LIFETIME + 400, true);
	opens(&issued, START + 2 * LIFETIME - 1, true);
	is_refused(&issued, START + 2 * LIFETIME);
	ck_assert_uint_eq(stats().key_rotations, 1);
	ck_assert_uint_eq(name_of(SESSCACHE_KEY_PREVIOUS, START), 0);
}
END_TEST

START_TEST(old_keys_are_refused_though_nobody_can_replace_them)
{
	struct issued older = issue(START), old = issue(START + LIFETIME);
	struct issued newer;
	enum sc_lock_event event;
	uint32_t now = START + 2 * LIFETIME;
	bool renew;

	ck_done(sc_lock_take(&ring->lock, SC_LOCK_TRY, &event));
	is_refused(&older, now);
	opens(&old, now, true); /* it should be the previous one by now */
	newer = issue(now);
	ck_assert(is_same_key(&old, &newer));
	now += LIFETIME;
	ck_status(open_in(cache, &old, now, &renew), SESSCACHE_EBUSY);
	ck_status(issue_in(cache, &newer, ASKED, now), SESSCACHE_EBUSY);
	ck_assert_uint_gt(stats().busy, 0);
	sc_lock_release(&ring->lock);
	is_refused(&old, now);
	newer = issue(now);
	opens(&newer, now, false);
}
END_TEST

START_TEST(expired_ticket_is_refused)
{
	struct sc_ticket ticket = { .scope = { ASKED, LANDED },
		.terms.open.asked = ASKED,
		.expires_at = START + 10 };
	uint8_t name[SC_TICKET_NAME], iv[SC_TICKET_IV];

	ck_done(sc_cache_ticket_issue(cache, &ticket, name, iv, START));
	ck_done(sc_cache_ticket_open(cache, &ticket, name, iv, START + 9));
	ck_assert_uint_eq(ticket.expires_at, START + 10);
	ck_status(sc_cache_ticket_open(cache, &ticket, name, iv, START + 10),
	    SESSCACHE_MISS);
	ck_assert_uint_eq(stats().tickets_refused, 1);
}
END_TEST

/* A ticket has room for 24 bits of what was asked. */
START_TEST(ticket_that_asked_something_else_is_refused_and_counted)
{
	struct issued issued = issue(START);
	unsigned bit;

	for (bit = 0; bit < 24; bit++) {
		issued.asked = ASKED ^ UINT64_C(1) << bit;
		is_refused(&issued, START);
	}
	issued.asked = 0;
	is_refused(&issued, START);
	ck_assert_uint_eq(stats().realm_refused, 25);
	ck_assert_uint_eq(stats().tickets_refused, 0);
	issued.asked = ASKED | UINT64_C(1) << 24;
	opens(&issued, START, false);
}
END_TEST

START_TEST(ticket_that_asked_what_ends_in_zeroes_opens_for_that)
{
	struct issued issued;

	ck_done(issue_in(cache, &issued, UINT64_C(1) << 40, START));
	opens(&issued, START, false);
	issued.asked = 0;
	is_refused(&issued, START);
}
END_TEST

/* Whether a ticket that was issued so opens on these terms. */
static enum sesscache_status
open_on(struct sc_ticket *ticket, const struct sc_terms *terms, uint32_t now)
{
	uint8_t name[SC_TICKET_NAME], iv[SC_TICKET_IV];

	ticket->expires_at = START + TICKET;
	ck_done(sc_cache_ticket_issue(cache, ticket, name, iv, now));
	ticket->terms = *terms;
	return sc_cache_ticket_open(cache, ticket, name, iv, now);
}

START_TEST(ticket_that_landed_elsewhere_is_refused_and_counted)
{
	struct sc_terms terms = { .open.asked = ASKED };
	struct sc_ticket ticket = { .scope = { ASKED, LANDED } };
	unsigned bit;

	for (bit = 0; bit < 64; bit++) {
		terms.open.landed = LANDED ^ UINT64_C(1) << bit;
		if (terms.open.landed != 0)
			ck_status(open_on(&ticket, &terms, START),
			    SESSCACHE_MISS);
	}
	ck_assert_uint_eq(stats().realm_refused, 64);
	ck_assert(!ticket.terms.wants_auth);
	terms.open.landed = LANDED;
	ck_done(open_on(&ticket, &terms, START));
	terms.open.landed = 0; /* any */
	ck_done(open_on(&ticket, &terms, START));
	ck_assert_uint_eq(ticket.terms.said.landed, LANDED);
}
END_TEST

START_TEST(ticket_with_client_authentication_has_terms_of_its_own)
{
	struct sc_terms terms = { .open.asked = ASKED };
	struct sc_ticket ticket = { .scope = { ASKED + 1, LANDED },
		.flags = SC_RECORD_AUTH | SC_RECORD_EMS | SC_RECORD_ONCE };

	ck_status(open_on(&ticket, &terms, START), SESSCACHE_MISS);
	ck_assert(ticket.terms.wants_auth);
	ck_assert_uint_eq(stats().realm_refused, 0);
	ck_assert_uint_eq(stats().tickets_refused, 0);
	terms.auth.asked = ASKED + 1;
	ck_done(open_on(&ticket, &terms, START));
	ck_assert(!ticket.terms.wants_auth);
	ck_assert_uint_eq(ticket.terms.flags, SC_RECORD_AUTH | SC_RECORD_EMS);
	terms.refused = SC_RECORD_EMS;
	ck_status(open_on(&ticket, &terms, START), SESSCACHE_MISS);
	terms.auth.asked = 0; /* to work it out would be in vain */
	ck_status(open_on(&ticket, &terms, START), SESSCACHE_MISS);
	ck_assert(!ticket.terms.wants_auth);
	ck_assert_uint_eq(stats().realm_refused, 2);
}
END_TEST

START_TEST(ticket_of_what_lately_landed_elsewhere_is_refused)
{
	const struct sc_terms terms = { .open.asked = ASKED, .place = ASKED };
	struct sc_ticket ticket = { .scope = { ASKED, LANDED } };

	sc_cache_mislanded(cache, ASKED, 0, LANDED + 1, START);
	ck_status(open_on(&ticket, &terms, START + 3599), SESSCACHE_MISS);
	ck_assert_uint_eq(stats().realm_refused, 1);
	ticket.scope.landed = LANDED + 1;
	ck_done(open_on(&ticket, &terms, START + 3599));
	ticket.scope.landed = LANDED;
	ck_done(open_on(&ticket, &terms, START + 3600));
}
END_TEST

START_TEST(ticket_that_is_opened_is_counted_by_the_caller)
{
	struct issued issued = issue(START);

	opens(&issued, START, false);
	ck_assert_uint_eq(stats().tickets_accepted, 0);
	sc_cache_count(cache, SC_EVENT_TICKET_ACCEPTED);
	ck_assert_uint_eq(stats().tickets_accepted, 1);
}
END_TEST

START_TEST(record_of_another_realm_is_counted)
{
	uint8_t id[SESSCACHE_ID_LEN], buf[64];
	struct sc_record_in in = { .id = id,
		.id_len = sizeof(id),
		.data = (const uint8_t *)"session",
		.data_len = 7,
		.ttl_seconds = 60,
		.scope = { ASKED, LANDED } };
	struct sc_lookup lookup = { .id = id,
		.id_len = sizeof(id),
		.terms.open.asked = ASKED + 1,
		.buf = buf,
		.size = sizeof(buf) };

	ck_done(sc_cache_new_id(cache, id));
	ck_done(sc_cache_put(cache, &in, START));
	ck_status(sc_cache_get(cache, &lookup, START), SESSCACHE_MISS);
	ck_status(sc_cache_take(cache, &lookup, START), SESSCACHE_MISS);
	ck_assert_uint_eq(stats().realm_refused, 2);
	sc_cache_count(cache, SC_EVENT_REALM);
	ck_assert_uint_eq(stats().realm_refused, 3);
	lookup.terms.open.asked = ASKED;
	ck_done(sc_cache_get(cache, &lookup, START));
	ck_assert_uint_eq(stats().realm_refused, 3);
}
END_TEST

START_TEST(names_that_were_never_issued_are_refused)
{
	struct issued issued = issue(START), other;
	unsigned i, n = test_times(20000, 500);

	for (i = 0; i < 8 * SC_TICKET_NAME; i++) {
		other = issued;
		other.name[i / 8] ^= (uint8_t)(1 << i % 8);
		is_refused(&other, START);
	}
	for (i = 0; i < SC_TICKET_NAME; i++) { /* as if cut there */
		other = issued;
		memset(other.name + i, 0, SC_TICKET_NAME - i);
		is_refused(&other, START);
	}
	for (i = 0; i < n; i++) {
		test_fill(other.name, sizeof(other.name), i + 1);
		is_refused(&other, START);
	}
	ck_assert_uint_eq(stats().tickets_refused, 9 * SC_TICKET_NAME + n);
	ck_assert_uint_eq(stats().realm_refused, 0);
	opens(&issued, START, false);
}
END_TEST

/* The name of a key, an expiry and what was asked show through nothing. */
START_TEST(names_tell_nothing)
{
	struct issued a, b;
	int i, same = 0;

	ck_done(issue_in(cache, &a, ASKED, START));
	ck_done(issue_in(cache, &b, ASKED + 1, START));
	for (i = 0; i < SC_TICKET_NAME; i++)
		same += a.name[i] == b.name[i] ? 1 : 0;
	ck_assert_int_le(same, 8);
	ck_done(issue_in(cache, &b, ASKED, START + 1));
	for (i = same = 0; i < SC_TICKET_NAME; i++)
		same += a.name[i] == b.name[i] ? 1 : 0;
	ck_assert_int_le(same, 8);
}
END_TEST

START_TEST(ivs_differ_and_are_of_their_ticket)
{
	struct issued a = issue(START), b = issue(START);
	int i, same = 0;

	ck_assert_mem_eq(a.name, b.name, SC_TICKET_NAME);
	for (i = 0; i < SC_TICKET_IV; i++)
		same += a.iv[i] == b.iv[i] ? 1 : 0;
	ck_assert_int_le(same, 8);
	for (i = 0; i < 8 * SC_TICKET_IV; i++) {
		b = a;
		b.iv[i / 8] ^= (uint8_t)(1 << i % 8);
		is_refused(&b, START); /* it says that it landed elsewhere */
	}
}
END_TEST

START_TEST(ticket_of_another_cache_is_refused)
{
	struct sc_cache *other = open_cache("other", LIFETIME);
	struct issued here = issue(START), there;
	bool renew;
	int i;

	ck_done(issue_in(other, &there, ASKED, START));
	ck_assert(!is_same_key(&here, &there));
	for (i = 0; i < 4; i++) { /* one thread, in turn */
		opens(&here, START, false);
		is_refused(&there, START);
		ck_done(open_in(other, &there, START, &renew));
		ck_status(open_in(other, &here, START, &renew), SESSCACHE_MISS);
	}
	sc_cache_close(other);
}
END_TEST

START_TEST(hash_is_keyed_and_of_all_bytes)
{
	enum { LONGEST = 1024 };
	static uint64_t hashes[LONGEST + 1];
	static const uint8_t zeroes[LONGEST];
	struct sc_cache *other = open_cache("other", LIFETIME);
	size_t i, j;

	for (i = 0; i <= LONGEST; i++) {
		hashes[i] = sc_cache_hash(cache, zeroes, i);
		ck_assert_uint_ne(hashes[i], 0);
		ck_assert_uint_eq(hashes[i], sc_cache_hash(cache, zeroes, i));
		ck_assert_uint_ne(hashes[i], sc_cache_hash(other, zeroes, i));
		for (j = 0; j < i; j++) {
			if (hashes[i] == hashes[j])
				ck_abort_msg("%zu bytes as %zu", i, j);
		}
	}
	sc_cache_close(other);
}
END_TEST

START_TEST(hash_is_of_64_kib_at_the_most)
{
	static uint8_t bytes[SC_HASH_MAX + 1];
	uint64_t whole = sc_cache_hash(cache, bytes, SC_HASH_MAX);

	ck_assert_uint_ne(whole, 0);
	ck_assert_uint_ne(whole, sc_cache_hash(cache, bytes, SC_HASH_MAX - 1));
	ck_assert_uint_ne(whole, sc_cache_hash(cache, bytes, 0));
	ck_assert_uint_eq(sc_cache_hash(cache, bytes, SC_HASH_MAX + 1), 0);
	bytes[SC_HASH_MAX - 1] = 1;
	ck_assert_uint_ne(whole, sc_cache_hash(cache, bytes, SC_HASH_MAX));
}
END_TEST

/* --- time ---------------------------------------------------------------- */

START_TEST(clock_that_goes_back_an_hour_does_no_harm)
{
	const uint32_t now = START + 3600;
	struct issued issued, other;
	uint32_t at;

	is_refused(&(struct issued){ .asked = ASKED }, now); /* replaces all */
	issued = issue(now);
	ck_assert_uint_eq(stats().key_rotations, 1);
	for (at = now - 3600; at < now + LIFETIME; at += 50) {
		opens(&issued, at, false);
		other = issue(at);
		ck_assert(is_same_key(&issued, &other));
	}
	ck_assert_uint_eq(stats().key_rotations, 1);
	opens(&issued, now + LIFETIME, true);
	ck_assert_uint_eq(stats().key_rotations, 2);
	for (at = now + LIFETIME; at > now - 3600; at -= 50)
		opens(&issued, at, true);
	ck_assert_uint_eq(stats().key_rotations, 2);
}
END_TEST

static const uint32_t idle_seconds[] = { 2 * LIFETIME, 2 * LIFETIME + 1,
	3 * LIFETIME, 1000 * LIFETIME, UINT32_MAX - START - LIFETIME };

START_TEST(after_two_idle_lifetimes_all_keys_are_new)
{
	const uint32_t now = START + LIFETIME + idle_seconds[_i];
	struct issued issued = issue(START), newer = issue(START + LIFETIME);
	uint32_t before[SESSCACHE_KEYS_MAX];
	int i;

	for (i = 0; i < SESSCACHE_KEYS_MAX; i++) {
		before[i] = name_of((enum sesscache_key_state)i, START);
		ck_assert_uint_ne(before[i], 0);
	}
	is_refused(&issued, now);
	is_refused(&newer, now);
	ck_assert_uint_eq(stats().key_rotations, 2);
	for (i = 0; i < SESSCACHE_KEYS_MAX; i++) {
		ck_assert_uint_ne(before[i], name_of(SESSCACHE_KEY_NEXT, now));
		ck_assert_uint_ne(before[i],
		    name_of(SESSCACHE_KEY_CURRENT, now));
	}
	ck_assert_uint_eq(name_of(SESSCACHE_KEY_PREVIOUS, START), 0);
}
END_TEST

START_TEST(handles_with_other_lifetimes_do_not_rotate_for_ever)
{
	struct sc_cache *slow = open_cache("cache", 10 * LIFETIME);
	struct issued issued;
	uint32_t now = START;
	int i;

	for (i = 1; i <= 5; i++) {
		now = START + (uint32_t)i * LIFETIME;
		ck_done(issue_in(slow, &issued, ASKED, now));
		ck_assert_uint_eq(stats().key_rotations, (uint64_t)i - 1);
		opens(&issued, now, true);
		ck_done(issue_in(cache, &issued, ASKED, now));
		ck_done(issue_in(slow, &issued, ASKED, now));
		opens(&issued, now, false);
		ck_assert_uint_eq(stats().key_rotations, (uint64_t)i);
	}
	sc_cache_close(slow);
}
END_TEST

START_TEST(keys_without_a_lifetime_stay)
{
	struct sc_cache *lasting = open_cache("lasting", 0);
	struct issued issued;
	bool renew = true;

	ck_done(issue_in(lasting, &issued, ASKED, START));
	ck_done(open_in(lasting, &issued, START + TICKET - 1, &renew));
	ck_assert(!renew);
	sc_cache_close(lasting);
}
END_TEST

/* --- by hand ------------------------------------------------------------- */

START_TEST(keys_are_listed_by_state_and_time)
{
	const uint32_t later = START + LIFETIME + 300;
	struct sc_ticket_key before[SESSCACHE_KEYS_MAX];
	struct sc_ticket_key keys[SESSCACHE_KEYS_MAX];
	size_t n;

	ck_done(sc_cache_keys(cache, before, &n, START));
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(before[0].state, SESSCACHE_KEY_NEXT);
	ck_assert_uint_eq(before[0].made_at, START);
	ck_assert_uint_eq(before[0].retires_at, 0);
	ck_assert_int_eq(before[1].state, SESSCACHE_KEY_CURRENT);
	ck_assert_uint_eq(before[1].made_at, START);
	ck_assert_uint_eq(before[1].retires_at, START + 2 * LIFETIME);
	ck_assert_uint_ne(before[0].name, before[1].name);

	/* Looking changes nothing. */
	ck_done(sc_cache_keys(cache, keys, &n, later));
	ck_assert_mem_eq(keys, before, 2 * sizeof(keys[0]));

	issue(later);
	ck_done(sc_cache_keys(cache, keys, &n, later));
	ck_assert_uint_eq(n, 3);
	ck_assert_uint_eq(keys[0].made_at, later);
	ck_assert_uint_eq(keys[1].name, before[0].name);
	ck_assert_uint_eq(keys[1].made_at, START);
	ck_assert_uint_eq(keys[1].retires_at, later + 2 * LIFETIME);
	ck_assert_uint_eq(keys[2].name, before[1].name);
	ck_assert_int_eq(keys[2].state, SESSCACHE_KEY_PREVIOUS);
	ck_assert_uint_eq(keys[2].retires_at, START + 2 * LIFETIME);
	ck_done(sc_cache_keys(cache, keys, &n, START + 2 * LIFETIME));
	ck_assert_uint_eq(n, 2);
}
END_TEST

START_TEST(rotation_by_hand_makes_the_next_key_current)
{
	struct issued issued = issue(START), newer;
	uint32_t next = name_of(SESSCACHE_KEY_NEXT, START);
	uint32_t current = name_of(SESSCACHE_KEY_CURRENT, START);

	ck_done(sc_cache_rotate_keys(cache, START + 100));
	ck_assert_uint_eq(name_of(SESSCACHE_KEY_CURRENT, START), next);
	ck_assert_uint_eq(name_of(SESSCACHE_KEY_PREVIOUS, START), current);
	opens(&issued, START + 100, true);
	opens(&issued, START + LIFETIME + 99, true);
	newer = issue(START + LIFETIME + 99);
	opens(&newer, START + LIFETIME + 99, false);
	is_refused(&issued, START + LIFETIME + 100);
	opens(&newer, START + LIFETIME + 100, true);
	ck_assert_uint_eq(stats().key_rotations, 2);
}
END_TEST

START_TEST(two_rotations_by_hand_refuse_what_was_issued)
{
	struct issued issued = issue(START);

	ck_done(sc_cache_rotate_keys(cache, START));
	opens(&issued, START, true);
	ck_done(sc_cache_rotate_keys(cache, START));
	is_refused(&issued, START);
	ck_assert_uint_eq(stats().key_rotations, 2);
}
END_TEST

START_TEST(clearing_the_cache_replaces_all_keys)
{
	struct issued old = issue(START), issued = issue(START + LIFETIME);
	uint32_t next = name_of(SESSCACHE_KEY_NEXT, START);
	uint64_t removed;

	ck_done(sc_cache_clear(cache, START + LIFETIME, &removed));
	is_refused(&issued, START + LIFETIME);
	is_refused(&old, START + LIFETIME);
	ck_status(open_anew(&issued, START + LIFETIME), SESSCACHE_MISS);
	ck_assert_uint_ne(name_of(SESSCACHE_KEY_CURRENT, START), next);
	ck_assert_uint_ne(name_of(SESSCACHE_KEY_NEXT, START), next);
	ck_assert_uint_eq(name_of(SESSCACHE_KEY_PREVIOUS, START), 0);
	issued = issue(START + LIFETIME);
	opens(&issued, START + LIFETIME, false);
}
END_TEST

START_TEST(keys_outlive_all_processes)
{
	struct issued old = issue(START), issued = issue(START + LIFETIME);

	sc_cache_close(cache);
	cache = open_cache("cache", LIFETIME);
	ck_done(open_anew(&issued, START + LIFETIME));
	ck_done(open_anew(&old, START + LIFETIME));
	ck_assert_uint_eq(stats().key_rotations, 1);
	ck_assert_uint_eq(stats().unreadable, 0);
}
END_TEST

static struct sesscache *
open_handle(void)
{
	struct sesscache_options *options = NULL;
	struct sesscache *handle = NULL;

	ck_done(sesscache_options_new(&options));
	ck_done(sesscache_options_set(options, "dir", test_dir("handle")));
	ck_done(sesscache_options_set(options, "size", "8M"));
	ck_done(sesscache_options_set(options, "ticket-key-lifetime", "1h"));
	ck_done(sesscache_open(&handle, options));
	sesscache_options_free(options);
	return handle;
}

START_TEST(public_calls_list_and_rotate_keys)
{
	enum { FAR = 3600 /* seconds: the test takes no longer */ };
	struct sesscache_key before[SESSCACHE_KEYS_MAX];
	struct sesscache_key keys[SESSCACHE_KEYS_MAX];
	const uint64_t now = (uint64_t)time(NULL);
	struct sesscache *handle = open_handle();
	size_t n;

	ck_done(sesscache_keys(handle, before, &n));
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_ge(before[1].made_at + 2, now);
	ck_assert_uint_lt(before[1].made_at, now + FAR);
	ck_assert_uint_ge(before[1].retires_at, before[1].made_at + 2 * FAR);
	ck_assert_uint_lt(before[1].retires_at, now + 3 * FAR);
	ck_assert_uint_eq(before[0].retires_at, 0);
	ck_done(sesscache_rotate_keys(handle));
	ck_done(sesscache_keys(handle, keys, &n));
	ck_assert_uint_eq(n, 3);
	ck_assert_uint_eq(keys[1].name, before[0].name);
	ck_assert_int_eq(keys[1].state, SESSCACHE_KEY_CURRENT);
	ck_assert_uint_eq(keys[2].name, before[1].name);
	ck_assert_int_eq(keys[2].state, SESSCACHE_KEY_PREVIOUS);
	sesscache_close(handle);
}
END_TEST

START_TEST(public_calls_refuse_null)
{
	struct sesscache_key keys[SESSCACHE_KEYS_MAX];
	struct sesscache *handle = open_handle();
	size_t n;

	ck_status(sesscache_keys(NULL, keys, &n), SESSCACHE_EINVAL);
	ck_status(sesscache_keys(handle, NULL, &n), SESSCACHE_EINVAL);
	ck_status(sesscache_keys(handle, keys, NULL), SESSCACHE_EINVAL);
	ck_status(sesscache_rotate_keys(NULL), SESSCACHE_EINVAL);
	sesscache_close(handle);
}
END_TEST

/* --- at rest ------------------------------------------------------------- */

static bool
is_in_control(const void *bytes, size_t len)
{
	return memmem(control, control_bytes, bytes, len) != NULL;
}

static bool
is_zero(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	size_t i;

	for (i = 0; i < len && at[i] == 0; i++)
		continue;
	return i == len;
}

static struct sc_ring_copy *
used_copy(void)
{
	return &ring->copies[atomic_load(&ring->turn) & 1];
}

static struct sc_ring_copy *
spare_copy(void)
{
	return &ring->copies[~atomic_load(&ring->turn) & 1];
}

START_TEST(keys_are_sealed_at_rest)
{
	struct issued issued = issue(START);

	ck_assert(!is_in_control(issued.cipher, sizeof(issued.cipher)));
	ck_assert(!is_in_control(issued.mac, sizeof(issued.mac)));
	ck_assert(is_zero(spare_copy(), sizeof(struct sc_ring_copy)));
}
END_TEST

static void
nothing(void)
{
}

static void
rotate_by_time(void)
{
	issue(START + LIFETIME + 1);
}

static void
rotate_by_hand(void)
{
	ck_done(sc_cache_rotate_keys(cache, START));
}

static void
clear(void)
{
	uint64_t removed;

	ck_done(sc_cache_clear(cache, START, &removed));
}

static void
retire_previous(void)
{
	issue(START + 2 * LIFETIME);
}

static const struct {
	void (*before)(void);
	void (*change)(void);
} changes[] = {
	{ nothing, rotate_by_time },
	{ nothing, rotate_by_hand },
	{ nothing, clear },
	{ rotate_by_time, retire_previous },
};

START_TEST(sealed_rings_of_the_past_and_their_keys_are_wiped)
{
	uint8_t key[SC_RING_KEY], sealed[SC_RING_SEALED];

	changes[_i].before();
	memcpy(key, used_copy()->key, sizeof(key));
	memcpy(sealed, used_copy()->sealed, sizeof(sealed));
	ck_assert(is_in_control(key, sizeof(key)));
	ck_assert(is_in_control(sealed, 16));
	changes[_i].change();
	ck_assert(!is_in_control(key, sizeof(key)));
	ck_assert(!is_in_control(sealed, 16));
	ck_assert(!is_zero(used_copy(), sizeof(struct sc_ring_copy)));
	ck_assert(is_zero(spare_copy(), sizeof(struct sc_ring_copy)));
}
END_TEST

/* What a thread borrowed is its own copy: it must not outlive the key. */
START_TEST(copy_of_a_thread_forgets_retired_keys)
{
	struct sc_ticket ticket = { .scope = { ASKED, LANDED },
		.expires_at = START + TICKET };
	const struct sc_ring_body *body;
	uint8_t name[SC_TICKET_NAME], iv[SC_TICKET_IV];
	struct issued issued;

	ck_done(sc_cache_ticket_issue(cache, &ticket, name, iv, START));
	body = (const void *)(ticket.cipher_key -
	    offsetof(struct sc_ring_body, keys[SESSCACHE_KEY_CURRENT].cipher));
	issued = issue(START);
	ck_assert_ptr_nonnull(
	    memmem(body, sizeof(*body), issued.cipher, SC_TICKET_KEY));
	ck_done(sc_cache_rotate_keys(cache, START));
	ck_done(sc_cache_rotate_keys(cache, START));
	issue(START);
	ck_assert_ptr_null(
	    memmem(body, sizeof(*body), issued.cipher, SC_TICKET_KEY));
	ck_assert_ptr_null(
	    memmem(body, sizeof(*body), issued.mac, SC_TICKET_KEY));
}
END_TEST

/* --- tampering ----------------------------------------------------------- */

enum { TURN, USED, SPARE, PARTS };

static const size_t part_bytes[PARTS] = { sizeof(uint64_t),
	sizeof(struct sc_ring_copy), sizeof(struct sc_ring_copy) };

static void
flip(int part, size_t at)
{
	uint8_t *const parts[PARTS] = { (uint8_t *)ring +
		    offsetof(struct sc_ring, turn),
		(uint8_t *)used_copy(), (uint8_t *)spare_copy() };

	parts[part][at] ^= (uint8_t)(1 << at % 8);
}

START_TEST(ring_that_was_tampered_with_is_counted_and_made_anew)
{
	const bool matters = _i != SPARE;
	struct issued issued = issue(START);
	struct sc_ticket_key keys[SESSCACHE_KEYS_MAX];
	size_t at, n;

	for (at = 0; at < part_bytes[_i]; at++) {
		flip(_i, at);
		ck_status(sc_cache_keys(cache, keys, &n, START),
		    matters ? SESSCACHE_ECORRUPT : SESSCACHE_OK);
		ck_status(open_anew(&issued, START),
		    matters ? SESSCACHE_MISS : SESSCACHE_OK);
		ck_assert_uint_eq(stats().unreadable, matters ? at + 1 : 0);
		ck_assert(is_zero(spare_copy(), sizeof(struct sc_ring_copy)));
		issued = issue(START);
		opens(&issued, START, false);
	}
	ck_assert_uint_eq(stats().key_rotations, 0);
}
END_TEST

START_TEST(ring_that_was_wiped_is_counted_unless_none_was_ever_made)
{
	struct sc_ticket_key keys[SESSCACHE_KEYS_MAX];
	struct issued issued = issue(START);
	size_t n;

	atomic_store(&ring->turn, 0);
	ck_status(open_anew(&issued, START), SESSCACHE_MISS);
	ck_assert_uint_eq(stats().unreadable, 1);
	issued = issue(START);
	memset(ring->copies, 0, sizeof(ring->copies));
	opens(&issued, START, false); /* this thread has a copy */
	ck_status(open_anew(&issued, START), SESSCACHE_MISS);
	ck_assert_uint_eq(stats().unreadable, 2);

	atomic_store(&ring->turn, 0);
	memset(ring->copies, 0, sizeof(ring->copies));
	ck_done(sc_cache_keys(cache, keys, &n, START));
	ck_assert_uint_eq(n, 0);
	is_refused(&issued, START);
	ck_assert_uint_eq(stats().unreadable, 2);
	ck_done(sc_cache_keys(cache, keys, &n, START));
	ck_assert_uint_eq(n, 2);
}
END_TEST

/* Were its turn the one that a thread has seen, that thread would go on with
 * keys that nobody else has. */
START_TEST(ring_made_anew_is_noticed_by_all)
{
	struct issued issued = issue(START), newer;

	atomic_fetch_sub(&ring->turn, 1);
	ck_status(open_anew(&issued, START), SESSCACHE_MISS);
	newer = issue(START);
	ck_assert(!is_same_key(&issued, &newer));
	ck_done(open_anew(&newer, START));
}
END_TEST

START_TEST(ring_that_was_put_back_does_not_open)
{
	struct sc_ring_copy before;
	struct issued issued = issue(START);

	memcpy(&before, used_copy(), sizeof(before));
	ck_done(sc_cache_rotate_keys(cache, START));
	ck_done(sc_cache_rotate_keys(cache, START));
	memcpy(used_copy(), &before, sizeof(before));
	ck_status(open_anew(&issued, START), SESSCACHE_MISS);
	ck_assert_uint_eq(stats().unreadable, 1);
}
END_TEST

/* The same ring, at another turn. */
static void
set_turn(uint64_t turn)
{
	uint8_t key[SC_RING_KEY], sealed[SC_RING_SEALED];
	struct sc_seal_blob blob = { key, "the ticket keys",
		atomic_load(&ring->turn) };
	struct sc_ring_body body;

	memcpy(key, used_copy()->key, sizeof(key));
	memcpy(sealed, used_copy()->sealed, sizeof(sealed));
	ck_done(
	    sc_seal_open_blob(&blob, sealed, sizeof(body), (uint8_t *)&body));
	blob.number = turn;
	ck_done(
	    sc_seal_close_blob(&blob, (uint8_t *)&body, sizeof(body), sealed));
	memset(ring->copies, 0, sizeof(ring->copies));
	atomic_store(&ring->turn, turn);
	memcpy(used_copy()->key, key, sizeof(key));
	memcpy(used_copy()->sealed, sealed, sizeof(sealed));
}

START_TEST(rings_of_two_caches_at_one_turn_are_told_apart)
{
	struct sc_cache *other = open_cache("other", LIFETIME);
	struct issued here, there;
	uint8_t *mapped;
	size_t bytes;
	bool renew;
	int i;

	mapped = map_control("other", &bytes);
	set_turn(atomic_load(&ring_in(mapped)->turn));
	(void)munmap(mapped, bytes);
	for (i = 0; i < 4; i++) { /* one thread, in turn */
		here = issue(START);
		ck_done(issue_in(other, &there, ASKED, START));
		ck_assert(!is_same_key(&here, &there));
		opens(&here, START, false);
		ck_done(open_in(other, &there, START, &renew));
	}
	sc_cache_close(other);
}
END_TEST

START_TEST(turns_run_over)
{
	static const uint64_t turns[] = { UINT64_MAX, 2, 3 };
	struct issued issued = issue(START);
	int i;

	set_turn(UINT64_MAX - 1);
	opens(&issued, START, false);
	for (i = 0; i < N_OF(turns); i++) {
		issued = issue(START);
		ck_done(sc_cache_rotate_keys(cache, START));
		ck_assert_uint_eq(atomic_load(&ring->turn), turns[i]);
		opens(&issued, START, true);
		ck_assert(is_zero(spare_copy(), sizeof(struct sc_ring_copy)));
	}
	ck_assert_uint_eq(stats().unreadable, 0);
}
END_TEST

/* --- processes ----------------------------------------------------------- */

/* What the processes of a test share. */
struct shared {
	_Atomic unsigned arrived;
	_Atomic unsigned failed;
	_Atomic uint64_t done;
	uint8_t keys[PROCESSES][SC_TICKET_KEY];
};

static struct shared *shared;
static unsigned rounds;
static uint32_t step_seconds;

static void
make_shared(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
}

/* Until all processes have come this far for the nth time. */
static void
meet(unsigned nth)
{
	atomic_fetch_add(&shared->arrived, 1);
	while (atomic_load(&shared->arrived) < nth * PROCESSES &&
	    atomic_load(&shared->failed) == 0)
		sched_yield();
}

static void
failed_if(bool failed)
{
	if (failed)
		atomic_fetch_add(&shared->failed, 1);
}

static enum sesscache_status
issue_patiently(struct issued *issued, uint32_t now)
{
	enum sesscache_status status;
	int i;

	for (i = 0; i < 1000; i++) { /* a host with less to do comes */
		status = issue_in(cache, issued, ASKED, now);
		if (status != SESSCACHE_EBUSY)
			break;
	}
	return status;
}

/* All find at once that a key is due. */
static int
notice(void *arg)
{
	const unsigned me = *(const unsigned *)arg;
	uint32_t now = START;
	struct issued issued;
	unsigned i, j;
	bool renew;

	for (i = 1; i <= rounds; i++) {
		now += step_seconds;
		meet(3 * i - 2);
		failed_if(issue_patiently(&issued, now) != SESSCACHE_OK);
		meet(3 * i - 1);
		failed_if(open_in(cache, &issued, now, &renew) != SESSCACHE_OK);
		failed_if(issue_in(cache, &issued, ASKED, now) != SESSCACHE_OK);
		memcpy(shared->keys[me], issued.cipher, SC_TICKET_KEY);
		meet(3 * i);
		for (j = 0; j < PROCESSES; j++)
			failed_if(memcmp(shared->keys[j], issued.cipher,
				      SC_TICKET_KEY) != 0);
	}
	return 0;
}

static const uint32_t steps[] = { LIFETIME, LIFETIME + 1, 2 * LIFETIME,
	3 * LIFETIME };

START_TEST(key_that_is_due_is_made_once_however_many_notice)
{
	unsigned numbers[PROCESSES], i;
	pid_t pids[PROCESSES];

	make_shared();
	rounds = test_times(400, 20);
	step_seconds = steps[_i];
	for (i = 0; i < PROCESSES; i++) {
		numbers[i] = i;
		pids[i] = test_fork(notice, &numbers[i]);
	}
	for (i = 0; i < PROCESSES; i++)
		ck_assert_int_eq(test_wait(pids[i]), 0);
	ck_assert_uint_eq(atomic_load(&shared->failed), 0);
	ck_assert_uint_eq(stats().key_rotations, rounds);
	ck_assert_uint_eq(stats().unreadable, 0);
	(void)munmap(shared, sizeof(*shared));
}
END_TEST

static int
rotate_for_ever(void *arg)
{
	(void)arg;
	for (;;) {
		if (sc_cache_rotate_keys(cache, START) != SESSCACHE_OK)
			return 1;
		atomic_fetch_add(&shared->done, 1);
	}
}

static void
wait_a_moment(uint64_t *seed)
{
	const struct timespec moment = { 0,
		(long)(test_random(seed) % 400000) };

	(void)nanosleep(&moment, NULL);
}

START_TEST(process_killed_in_a_rotation_leaves_a_ring_that_opens)
{
	unsigned i, n = test_times(400, 30);
	struct issued issued;
	uint64_t seed = 4, done;
	pid_t pid;

	make_shared();
	for (i = 0; i < n; i++) {
		done = atomic_load(&shared->done);
		pid = test_fork(rotate_for_ever, NULL);
		while (atomic_load(&shared->done) == done &&
		    waitpid(pid, NULL, WNOHANG) == 0)
			sched_yield();
		wait_a_moment(&seed);
		ck_assert_int_eq(kill(pid, SIGKILL), 0);
		ck_assert_int_eq(test_wait(pid), -1);
		issued = issue(START);
		ck_done(open_anew(&issued, START));
		ck_assert_uint_ne(name_of(SESSCACHE_KEY_NEXT, START), 0);
		ck_assert_uint_ne(name_of(SESSCACHE_KEY_PREVIOUS, START), 0);
		ck_assert(is_zero(spare_copy(), sizeof(struct sc_ring_copy)));
	}
	ck_assert_uint_eq(stats().unreadable, 0);
	ck_assert_uint_gt(stats().repaired, 0); /* some died inside */
	(void)munmap(shared, sizeof(*shared));
}
END_TEST

/* What a rotation leaves where it may stop for ever. */
static void
before_writing(void)
{
}

static void
half_written(void)
{
	test_fill(spare_copy(), sizeof(struct sc_ring_copy) / 2, 1);
}

static void
not_published(void)
{
	test_fill(spare_copy(), sizeof(struct sc_ring_copy), 2);
}

static void
not_wiped(void)
{
	struct sc_ring_copy before;

	memcpy(&before, used_copy(), sizeof(before));
	ck_done(sc_cache_rotate_keys(cache, START));
	memcpy(spare_copy(), &before, sizeof(before));
}

static void (*const deaths[])(
    void) = { before_writing, half_written, not_published, not_wiped };

static int
die_inside(void *arg)
{
	enum sc_lock_event event;

	if (*(void (*const *)(void))arg == not_wiped)
		not_wiped();
	if (sc_lock_take(&ring->lock, SC_LOCK_TRY, &event) != SESSCACHE_OK)
		return 1;
	if (*(void (*const *)(void))arg != not_wiped)
		(*(void (*const *)(void))arg)();
	return 0;
}

START_TEST(whoever_died_inside_holds_up_nobody)
{
	void (*death)(void) = deaths[_i];
	struct issued issued = issue(START);

	ck_assert_int_eq(test_wait(test_fork(die_inside, &death)), 0);
	ck_done(open_anew(&issued, START));
	ck_assert(is_zero(spare_copy(), sizeof(struct sc_ring_copy)));
	issued = issue(START);
	opens(&issued, START + LIFETIME, true);
	ck_assert_uint_eq(stats().key_rotations, death == not_wiped ? 2 : 1);
	ck_assert_uint_eq(stats().repaired, 1);
	ck_assert_uint_eq(stats().unreadable, 0);
}
END_TEST

START_TEST(lock_that_a_dead_process_left_is_made_anew_by_the_next_opener)
{
	void (*death)(void) = before_writing;
	struct issued issued = issue(START);

	ck_assert_int_eq(test_wait(test_fork(die_inside, &death)), 0);
	sc_cache_close(cache);
	cache = open_cache("cache", LIFETIME);
	opens(&issued, START + LIFETIME, true);
	ck_assert_uint_eq(stats().key_rotations, 1);
	ck_assert_uint_eq(stats().repaired, 0);
}
END_TEST

/* --- threads ------------------------------------------------------------- */

static _Atomic uint32_t clock_now;
static _Atomic bool ended;

static _Atomic unsigned opened, wrong; /* tickets, by all threads */

static void *
issue_and_open(void *arg)
{
	enum sesscache_status status;
	struct issued issued;
	bool renew;

	(void)arg;
	while (!atomic_load(&ended)) {
		status = issue_in(cache, &issued, ASKED,
		    atomic_load(&clock_now));
		if (status == SESSCACHE_OK)
			status = open_in(cache, &issued,
			    atomic_load(&clock_now), &renew);
		/* Between the two all keys may have been replaced. */
		if (status == SESSCACHE_OK)
			(void)atomic_fetch_add(&opened, 1);
		else if (status != SESSCACHE_MISS && status != SESSCACHE_EBUSY)
			(void)atomic_fetch_add(&wrong, 1);
	}
	return NULL;
}

START_TEST(threads_never_see_half_a_ring)
{
	enum { N = 4, WAITS_MAX = 60000 };
	const struct timespec moment = { 0, 1000000 };
	int i, n = (int)test_times(3000, 100);
	pthread_t threads[N];

	atomic_store(&clock_now, START);
	atomic_store(&ended, false);
	atomic_store(&opened, 0);
	atomic_store(&wrong, 0);
	for (i = 0; i < N; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
				     issue_and_open, NULL),
		    0);
	for (i = 0; i < n; i++) {
		atomic_fetch_add(&clock_now, LIFETIME / 4);
		if (i % 16 == 0)
			ck_done(sc_cache_rotate_keys(cache,
			    atomic_load(&clock_now)));
		sched_yield();
	}
	/* Slow threads open their first one when the clock stands still. */
	for (i = 0; atomic_load(&opened) == 0 && i < WAITS_MAX; i++)
		(void)nanosleep(&moment, NULL);
	atomic_store(&ended, true);
	for (i = 0; i < N; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	ck_assert_uint_gt(atomic_load(&opened), 0);
	ck_assert_uint_eq(stats().unreadable, 0);
}
END_TEST

static void
add_tickets(TCase *tc)
{
	tcase_add_test(tc, ticket_opens_with_the_keys_it_was_issued_with);
	tcase_add_test(tc, other_processes_have_the_same_keys);
	tcase_add_test(tc, ticket_under_the_previous_key_opens_and_is_renewed);
	tcase_add_test(tc, older_ticket_is_refused);
	tcase_add_test(tc, key_that_nobody_replaced_in_time_lives_no_longer);
	tcase_add_test(tc, old_keys_are_refused_though_nobody_can_replace_them);
	tcase_add_test(tc, expired_ticket_is_refused);
	tcase_add_test(tc,
	    ticket_that_asked_something_else_is_refused_and_counted);
	tcase_add_test(tc,
	    ticket_that_asked_what_ends_in_zeroes_opens_for_that);
	tcase_add_test(tc, ticket_that_landed_elsewhere_is_refused_and_counted);
	tcase_add_test(tc,
	    ticket_with_client_authentication_has_terms_of_its_own);
	tcase_add_test(tc, ticket_of_what_lately_landed_elsewhere_is_refused);
	tcase_add_test(tc, ticket_that_is_opened_is_counted_by_the_caller);
	tcase_add_test(tc, ivs_differ_and_are_of_their_ticket);
	tcase_add_test(tc, record_of_another_realm_is_counted);
	tcase_add_test(tc, names_that_were_never_issued_are_refused);
	tcase_add_test(tc, names_tell_nothing);
	tcase_add_test(tc, ticket_of_another_cache_is_refused);
	tcase_add_test(tc, hash_is_keyed_and_of_all_bytes);
	tcase_add_test(tc, hash_is_of_64_kib_at_the_most);
}

static void
add_times(TCase *tc)
{
	tcase_add_test(tc, clock_that_goes_back_an_hour_does_no_harm);
	tcase_add_loop_test(tc, after_two_idle_lifetimes_all_keys_are_new, 0,
	    N_OF(idle_seconds));
	tcase_add_test(tc, handles_with_other_lifetimes_do_not_rotate_for_ever);
	tcase_add_test(tc, keys_without_a_lifetime_stay);
	tcase_add_test(tc, keys_are_listed_by_state_and_time);
	tcase_add_test(tc, rotation_by_hand_makes_the_next_key_current);
	tcase_add_test(tc, two_rotations_by_hand_refuse_what_was_issued);
	tcase_add_test(tc, clearing_the_cache_replaces_all_keys);
	tcase_add_test(tc, keys_outlive_all_processes);
	tcase_add_test(tc, public_calls_list_and_rotate_keys);
	tcase_add_test(tc, public_calls_refuse_null);
}

static void
add_rests(TCase *tc)
{
	tcase_add_test(tc, keys_are_sealed_at_rest);
	tcase_add_loop_test(tc,
	    sealed_rings_of_the_past_and_their_keys_are_wiped, 0,
	    N_OF(changes));
	tcase_add_test(tc, copy_of_a_thread_forgets_retired_keys);
	tcase_add_loop_test(tc,
	    ring_that_was_tampered_with_is_counted_and_made_anew, 0, PARTS);
	tcase_add_test(tc,
	    ring_that_was_wiped_is_counted_unless_none_was_ever_made);
	tcase_add_test(tc, ring_made_anew_is_noticed_by_all);
	tcase_add_test(tc, ring_that_was_put_back_does_not_open);
	tcase_add_test(tc, rings_of_two_caches_at_one_turn_are_told_apart);
	tcase_add_test(tc, turns_run_over);
}

static void
add_processes(TCase *tc)
{
	tcase_add_loop_test(tc,
	    key_that_is_due_is_made_once_however_many_notice, 0, N_OF(steps));
	tcase_add_test(tc,
	    process_killed_in_a_rotation_leaves_a_ring_that_opens);
	tcase_add_loop_test(tc, whoever_died_inside_holds_up_nobody, 0,
	    N_OF(deaths));
	tcase_add_test(tc,
	    lock_that_a_dead_process_left_is_made_anew_by_the_next_opener);
	tcase_add_test(tc, threads_never_see_half_a_ring);
}

int
main(void)
{
	Suite *suite = suite_create("keyring");
	TCase *tc = tcase_create("keyring");

	tcase_add_unchecked_fixture(tc, test_root_make, test_root_remove);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	add_tickets(tc);
	add_times(tc);
	add_rests(tc);
	add_processes(tc);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
