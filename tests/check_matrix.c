/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every way in which the policies of two contexts can differ, by every way in
 * which a session resumes, in which processes share the cache, and in which a
 * connection finds its context: what a full handshake refuses, no session
 * opens; and what is the same resumes at once.
 *
 * A full handshake on a context without a cache decides what is refused.  The
 * cells that run meet each pair of levels of any two factors; all cells run if
 * SC_TEST_MATRIX is "all".
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "policy.h"
#include "process.h"
#include "sesscache.h"
#include "support.h"
#include "tls.h"
#include "comeback.h"

enum {
	EARLY_BYTES = 1024,
	RETURNS = 3, /* of a client that does not resume at once */
	MAX_PAIRS = 64,
};

/* --- factors -------------------------------------------------------------- */

/* Which of the two policies is in force at first, and which on return. */
enum step { FORTH, BACK, ONE_STAYS, TWO_STAYS };

/* Where the client returns to. */
enum place { BESIDE, CHANGED, CHILD, OTHER, RESTARTED };

enum switching { UNSWITCHED, BY_NAME, BY_HELLO };

enum {
	N_STEPS = TWO_STAYS + 1,
	N_PLACES = RESTARTED + 1,
	N_SWITCHINGS = BY_HELLO + 1,
};

struct way {
	const char *name;
	int version;
	const char *tickets; /* the setting */
	bool rotated;        /* the ticket key, before the return */
	bool early;
};

static const struct way ways[] = {
	{ "TLS 1.2 session ID", TLS1_2_VERSION, "off", false, false },
	{ "TLS 1.2 ticket", TLS1_2_VERSION, "shared", false, false },
	{ "TLS 1.2 ticket, key rotated", TLS1_2_VERSION, "shared", true,
	    false },
	{ "TLS 1.3 stateful ticket", TLS1_3_VERSION, "off", false, false },
	{ "TLS 1.3 stateful ticket, early data", TLS1_3_VERSION, "off", false,
	    true },
	{ "TLS 1.3 stateless ticket", TLS1_3_VERSION, "shared", false, false },
	{ "TLS 1.3 stateless ticket, key rotated", TLS1_3_VERSION, "shared",
	    true, false },
};

enum { N_WAYS = (int)(sizeof(ways) / sizeof(ways[0])) };

static const char *const step_names[N_STEPS] = { "from one to two",
	"from two to one", "one stays", "two stays" };
static const char *const place_names[N_PLACES] = { "another context beside",
	"the same context, changed", "a child", "another process",
	"after a restart" };
static const char *const switching_names[N_SWITCHINGS] = { "not switched",
	"switched by name", "switched by hello" };

/* The factors of a cell, and how many levels each has; pair and step are one,
 * so that each pair of policies meets all others in each step. */
enum factor { STEP, WAY, PLACE, SWITCHING, STOLEN, NAMED, N_FACTORS };

struct cell {
	int level[N_FACTORS];
};

static const int levels[N_FACTORS] = { MAX_PAIRS * N_STEPS, N_WAYS, N_PLACES,
	N_SWITCHINGS, 2, 2 };

static const struct policy_pair *
pair_of(const struct cell *cell)
{
	return &policy_pairs[cell->level[STEP] / N_STEPS];
}

static const struct way *
way_of(const struct cell *cell)
{
	return &ways[cell->level[WAY]];
}

static enum step
step_of(const struct cell *cell)
{
	return (enum step)(cell->level[STEP] % N_STEPS);
}

static enum place
place_of(const struct cell *cell)
{
	return (enum place)cell->level[PLACE];
}

static enum switching
switching_of(const struct cell *cell)
{
	return (enum switching)cell->level[SWITCHING];
}

static bool
is_same(const struct cell *cell)
{
	return step_of(cell) == ONE_STAYS || step_of(cell) == TWO_STAYS;
}

/* The policy under which the session is made, and that of the return. */
static int
first_of(const struct cell *cell)
{
	return step_of(cell) == BACK || step_of(cell) == TWO_STAYS ? 1 : 0;
}

static int
next_of(const struct cell *cell)
{
	return step_of(cell) == FORTH || step_of(cell) == TWO_STAYS ? 1 : 0;
}

static const struct policy *
policy_of(const struct cell *cell, int which)
{
	return which == 0 ? &pair_of(cell)->one : &pair_of(cell)->two;
}

static const char *
realm_of(const struct cell *cell, const struct policy *policy)
{
	return cell->level[NAMED] != 0 ? "all" : policy->realm;
}

static const char *
cell_text(const struct cell *cell)
{
	static char text[512];

	(void)snprintf(text, sizeof(text), "%s, %s; %s; %s; %s%s%s",
	    pair_of(cell)->name, step_names[step_of(cell)], way_of(cell)->name,
	    place_names[place_of(cell)], switching_names[switching_of(cell)],
	    cell->level[STOLEN] != 0 ? "; info callback taken" : "",
	    cell->level[NAMED] != 0 ? "; one realm" : "");
	return text;
}

/* --- which cells there are ------------------------------------------------ */

/* The context that the client knows becomes another one. */
static bool
is_changed(const struct cell *cell)
{
	return !is_same(cell) &&
	    (place_of(cell) == CHANGED ||
		(place_of(cell) == CHILD && !pair_of(cell)->fixed));
}

/*
 * A change that no library can see: of what it cannot read from a context, or
 * could not before OpenSSL 3.5; in a realm, which means that it is no change.
 */
static bool
is_unseen(const struct cell *cell)
{
	enum kind kind = pair_of(cell)->kind;
	bool readable = OPENSSL_VERSION_NUMBER >= 0x30500000L;
	bool unseen = false;

	if (kind == CALLBACK)
		unseen = cell->level[NAMED] != 0;
	else if (kind == UNSEEN)
		unseen = !readable &&
		    (cell->level[NAMED] != 0 || is_changed(cell));
	return unseen && !is_same(cell);
}

/* The client can get a session of the first policy. */
static bool
can_begin(const struct cell *cell)
{
	const struct policy_pair *pair = pair_of(cell);

	return (pair->version == 0 || pair->version == way_of(cell)->version) &&
	    (!pair->refused || first_of(cell) == 0);
}

/* There is such a change, and it means something. */
static bool
can_change(const struct cell *cell)
{
	const struct policy_pair *pair = pair_of(cell);
	bool changed = place_of(cell) == CHANGED;

	return (!changed || (!is_same(cell) && !pair->fixed)) &&
	    (pair->kind != REALM || cell->level[NAMED] == 0);
}

static bool
is_cell(const struct cell *cell)
{
	return cell->level[STEP] < policy_pairs_count * N_STEPS &&
	    can_begin(cell) && can_change(cell) && !is_unseen(cell);
}

/* --- what must become of the return --------------------------------------- */

enum want { RESUMES, FULL, EITHER };

/* Without client certificates, and where only one of the policies has them. */
static enum want
want_of_servers(const struct cell *cell)
{
	enum switching switching = switching_of(cell);
	bool switched = switching != UNSWITCHED;
	bool named = cell->level[NAMED] != 0;
	enum want want = FULL;

	switch (pair_of(cell)->kind) {
	case RENEWAL:
		want = RESUMES;
		break;
	case COVERED:
		if (switching == BY_NAME && !named)
			want = RESUMES;
		else if (switched || named)
			want = EITHER;
		break;
	case NAMES:
		/* The certificate of the first covers the name. */
		want = named ||
			(switching == BY_NAME && step_of(cell) == BACK) ?
		    EITHER :
		    FULL;
		break;
	case SUPPLIER:
		want = EITHER;
		break;
	case NARROWER:
		want = switched || step_of(cell) == BACK ? EITHER : FULL;
		break;
	case ID_CONTEXT:
	case DISJOINT:
		want = switched ? EITHER : FULL;
		break;
	case REALM:
	case CLIENTS:
	case CALLBACK:
	case UNSEEN:
	case HINT:
		break;
	}
	return want;
}

static enum want
want_of_clients(const struct cell *cell)
{
	bool named = cell->level[NAMED] != 0;
	const struct policy *one = &pair_of(cell)->one;
	const struct policy *two = &pair_of(cell)->two;
	enum want want = FULL;

	/* What a realm does not compare, and what a context does not tell. */
	if (pair_of(cell)->kind == HINT && (named || is_changed(cell)))
		want = EITHER;
	else if (named && one->leaf != two->leaf)
		want = EITHER;
	return want;
}

/*
 * A session that has to do with client certificates belongs to the context
 * that made it, here or in a child, unless a realm is named.
 */
static enum want
want_of_same(const struct cell *cell)
{
	const struct policy *policy = policy_of(cell, first_of(cell));
	bool inherits = place_of(cell) == BESIDE || place_of(cell) == CHILD;
	enum want want = RESUMES;

	/* Whoever sets a certificate in a callback is known to itself alone. */
	if (pair_of(cell)->kind == SUPPLIER && !inherits)
		want = EITHER;
	/* The context that comes first is its own, and names no realm. */
	else if (pair_of(cell)->kind == REALM && policy_asks(policy) &&
	    !inherits && switching_of(cell) != UNSWITCHED)
		want = EITHER;
	/* OpenSSL itself compares the context that was there before. */
	else if (policy->id_context != NULL && switching_of(cell) != UNSWITCHED)
		want = EITHER;
	/* It makes no stateless tickets from level 3 on. */
	else if (policy->level > 2)
		want = EITHER;
	else if (policy_asks(policy) && realm_of(cell, policy) == NULL &&
	    !inherits)
		want = FULL;
	return want;
}

static enum want
want_of(const struct cell *cell)
{
	enum want want;

	if (is_same(cell))
		want = want_of_same(cell);
	else if (policy_asks(&pair_of(cell)->one) &&
	    policy_asks(&pair_of(cell)->two))
		want = want_of_clients(cell);
	else
		want = want_of_servers(cell);
	return want;
}

/*
 * Where the context is switched after the session was found, what must not
 * resume can only be closed: once, for then it is known.  What a realm is named
 * for is never closed.
 */
static int
closings_of(const struct cell *cell)
{
	enum kind kind = pair_of(cell)->kind;
	bool shared = cell->level[NAMED] != 0 &&
	    (kind == NAMES || kind == COVERED);
	bool late = switching_of(cell) == BY_NAME;

	return late && !shared && want_of(cell) != RESUMES ? 1 : 0;
}

/* --- a server ------------------------------------------------------------- */

enum { MAX_CONTEXTS = 3 };

/* What a process has: its handle, and contexts of which one is current. */
struct site {
	const struct cell *cell;
	struct sesscache *cache; /* NULL: a server without */
	SSL_CTX *contexts[MAX_CONTEXTS];
	int n;
	SSL_CTX *front; /* what SSL_new() gets */
	SSL_CTX *current;
};

static void
watch(const SSL *ssl, int where, int ret)
{
	(void)ssl, (void)where, (void)ret;
}

static int
on_name(SSL *ssl, int *alert, void *arg)
{
	const struct site *site = arg;

	(void)alert;
	if (switching_of(site->cell) == BY_NAME)
		MUST(policy_switch(ssl, site->current));
	if (site->cell->level[STOLEN] != 0)
		SSL_set_info_callback(ssl, watch);
	return SSL_TLSEXT_ERR_OK;
}

static int
on_hello(SSL *ssl, int *alert, void *arg)
{
	const struct site *site = arg;

	(void)alert;
	MUST(policy_switch(ssl, site->current));
	return SSL_CLIENT_HELLO_SUCCESS;
}

static void
set_callbacks(struct site *site, SSL_CTX *ctx)
{
	if (switching_of(site->cell) == BY_NAME ||
	    site->cell->level[STOLEN] != 0) {
		(void)SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
		(void)SSL_CTX_set_tlsext_servername_arg(ctx, site);
	}
	if (switching_of(site->cell) == BY_HELLO)
		SSL_CTX_set_client_hello_cb(ctx, on_hello, site);
}

static SSL_CTX *
add_context(struct site *site, const struct policy *policy)
{
	const char *realm = realm_of(site->cell, policy);
	SSL_CTX *ctx = policy_server_new(policy, way_of(site->cell)->version);
	enum sesscache_status status = SESSCACHE_OK;

	MUST(site->n < MAX_CONTEXTS);
	site->contexts[site->n++] = ctx;
	if (way_of(site->cell)->early)
		MUST(SSL_CTX_set_max_early_data(ctx, EARLY_BYTES) == 1);
	if (site->cache != NULL && realm != NULL)
		status = sesscache_attach_realm(site->cache, ctx, realm);
	else if (site->cache != NULL)
		status = sesscache_attach(site->cache, ctx);
	MUST(status == SESSCACHE_OK);
	return ctx;
}

/* Have the client's name lead to a new context of this policy. */
static void
lead_to(struct site *site, const struct policy *policy)
{
	site->current = add_context(site, policy);
	if (switching_of(site->cell) == UNSWITCHED) {
		site->front = site->current;
		set_callbacks(site, site->front);
	}
}

static void
site_open(struct site *site, const struct cell *cell, const char *dir,
    const struct policy *policy)
{
	static const struct policy front = { .leaf = FRONT };

	memset(site, 0, sizeof(*site));
	site->cell = cell;
	if (dir != NULL)
		site->cache = cache_open(dir, "size", "1M", "shards", "1",
		    "tickets", way_of(cell)->tickets, NULL);
	if (switching_of(cell) != UNSWITCHED) {
		site->front = add_context(site, &front);
		set_callbacks(site, site->front);
	}
	lead_to(site, policy);
}

static void
site_close(struct site *site)
{
	for (int i = 0; i < site->n; i++)
		SSL_CTX_free(site->contexts[i]);
	sesscache_close(site->cache);
}

/* --- one cell ------------------------------------------------------------- */

/* Shared with the processes that play it. */
struct play {
	struct cell cell;
	char dir[TEST_PATH];
	int returns; /* how many */
	struct comeback first;
	struct comeback seen[RETURNS];
	struct comeback_session session;
	struct comeback_session
	    minted[RETURNS];            /* by connections that failed */
	struct comeback abuse[RETURNS]; /* of these */
	bool abused[RETURNS];
};

static SSL_CTX *
client_of(const struct cell *cell)
{
	return policy_client_new(pair_of(cell)->client, pair_of(cell)->groups,
	    way_of(cell)->version);
}

static void
play_first(struct play *play, struct site *site)
{
	SSL_CTX *client = client_of(&play->cell);

	play->first = comeback_server(site->front, client, POLICY_NAME, NULL,
	    &play->session);
	if (way_of(&play->cell)->rotated)
		MUST(sesscache_rotate_keys(site->cache) == SESSCACHE_OK);
	SSL_CTX_free(client);
}

/* What a failed connection left may open what the session could not. */
static void
play_abuse(struct play *play, const struct site *site, SSL_CTX *client, int i)
{
	if (comeback_is_served(&play->seen[i]) || play->minted[i].len == 0)
		return;
	play->abused[i] = true;
	play->abuse[i] = comeback_server(site->front, client, POLICY_NAME,
	    &play->minted[i], NULL);
}

static void
play_returns(struct play *play, const struct site *site)
{
	SSL_CTX *client = client_of(&play->cell);

	for (int i = 0; i < play->returns; i++)
		play->seen[i] = comeback_server(site->front, client,
		    POLICY_NAME, &play->session, &play->minted[i]);
	for (int i = 0; i < play->returns; i++)
		play_abuse(play, site, client, i);
	SSL_CTX_free(client);
}

static const struct policy *
next_policy(const struct play *play)
{
	return policy_of(&play->cell, next_of(&play->cell));
}

static void
open_first(const struct play *play, struct site *site)
{
	site_open(site, &play->cell, play->dir,
	    policy_of(&play->cell, first_of(&play->cell)));
}

static void
change(const struct play *play, struct site *site)
{
	if (is_changed(&play->cell))
		policy_apply(site->current, next_policy(play),
		    pair_of(&play->cell)->grows);
	else if (!is_same(&play->cell))
		lead_to(site, next_policy(play));
}

struct heir {
	struct play *play;
	struct site *site;
};

static void
play_heir(void *arg)
{
	struct heir *heir = arg;

	change(heir->play, heir->site);
	play_returns(heir->play, heir->site);
	site_close(heir->site);
}

static void
play_here(struct play *play)
{
	struct site site;
	struct heir heir = { play, &site };

	open_first(play, &site);
	play_first(play, &site);
	if (place_of(&play->cell) == CHILD) {
		MUST(child_does(play_heir, &heir));
	} else {
		change(play, &site);
		play_returns(play, &site);
	}
	site_close(&site);
}

static void
play_one_process(void *arg)
{
	struct play *play = arg;
	struct site site;

	open_first(play, &site);
	play_first(play, &site);
	site_close(&site);
}

static void
play_next_process(void *arg)
{
	struct play *play = arg;
	struct site site;

	site_open(&site, &play->cell, play->dir, next_policy(play));
	play_returns(play, &site);
	site_close(&site);
}

struct waiting {
	struct play *play;
	int ends[2]; /* of a pipe: a byte says when */
};

static void
play_other_process(void *arg)
{
	struct waiting *waiting = arg;
	char byte;

	MUST(close(waiting->ends[1]) == 0);
	MUST(read(waiting->ends[0], &byte, 1) == 1);
	play_next_process(waiting->play);
}

/* Forked before anything is attached; the first one goes on serving. */
static void
play_both(struct play *play)
{
	struct waiting waiting = { .play = play };
	struct site site;
	pid_t other;

	MUST(pipe(waiting.ends) == 0);
	other = child_start(play_other_process, &waiting);
	open_first(play, &site);
	play_first(play, &site);
	MUST(write(waiting.ends[1], "", 1) == 1);
	MUST(child_ended_well(other));
	site_close(&site);
	MUST(close(waiting.ends[0]) == 0 && close(waiting.ends[1]) == 0);
}

/* In a process whose parent has attached nothing. */
static void
play_cell(struct play *play)
{
	switch (place_of(&play->cell)) {
	case BESIDE:
	case CHANGED:
	case CHILD:
		play_here(play);
		break;
	case OTHER:
		play_both(play);
		break;
	case RESTARTED:
		MUST(child_does(play_one_process, play));
		MUST(child_does(play_next_process, play));
		break;
	}
}

/* --- judgement ------------------------------------------------------------ */

/* Whether a full handshake is served without a cache, by pair and policy. */
enum plain { UNKNOWN, SERVED, REFUSED };

static uint8_t (*plain)[2][2][N_SWITCHINGS];

static enum plain
ask_plain(const struct cell *cell, int which)
{
	SSL_CTX *client = client_of(cell);
	struct site site;
	struct comeback seen;

	site_open(&site, cell, NULL, policy_of(cell, which));
	seen = comeback_server(site.front, client, POLICY_NAME, NULL, NULL);
	MUST(comeback_is_served(&seen) || comeback_is_shut(&seen));
	SSL_CTX_free(client);
	site_close(&site);
	return comeback_is_served(&seen) ? SERVED : REFUSED;
}

static bool
is_refused(const struct cell *cell, int which)
{
	int old = way_of(cell)->version == TLS1_2_VERSION ? 1 : 0;
	uint8_t *answer =
	    &plain[cell->level[STEP] / N_STEPS][which][old][switching_of(cell)];

	if (*answer == UNKNOWN)
		*answer = (uint8_t)ask_plain(cell, which);
	return *answer == REFUSED;
}

static void
judge_refused(const struct play *play)
{
	const char *text = cell_text(&play->cell);

	for (int i = 0; i < play->returns; i++) {
		ck_assert_msg(comeback_is_shut(&play->seen[i]),
		    "%s: return %d of a client that is refused: %s", text, i,
		    comeback_text(&play->seen[i]));
		ck_assert_msg(!play->abused[i] ||
			comeback_is_shut(&play->abuse[i]),
		    "%s: return with what refusal %d left: %s", text, i,
		    comeback_text(&play->abuse[i]));
	}
}

static void
judge_served(const struct play *play)
{
	const char *text = cell_text(&play->cell);
	enum want want = want_of(&play->cell);
	const struct comeback *seen;
	int closed = 0;

	for (int i = 0; i < play->returns; i++) {
		seen = &play->seen[i];
		if (!comeback_is_served(seen))
			closed++;
		ck_assert_msg(closed <= closings_of(&play->cell),
		    "%s: return %d: closed: %s", text, i, comeback_text(seen));
		ck_assert_msg(comeback_is_served(seen) ||
			comeback_is_shut(seen),
		    "%s: return %d: closed late: %s", text, i,
		    comeback_text(seen));
		ck_assert_msg(want != FULL || !comeback_is_served(seen) ||
			!seen->resumed,
		    "%s: return %d: resumed", text, i);
	}
	ck_assert_msg(want != RESUMES || play->seen[0].resumed,
	    "%s: a full handshake", text);
	ck_assert_msg(want != RESUMES || !way_of(&play->cell)->early ||
		play->seen[0].early,
	    "%s: early data was not taken", text);
}

static void
run(const struct cell *cell)
{
	struct play *play = shared_new(sizeof(*play));
	bool refused = is_refused(cell, next_of(cell));

	ck_assert_msg(!is_refused(cell, first_of(cell)),
	    "%s: no session can be made", cell_text(cell));
	play->cell = *cell;
	play->returns = want_of(cell) == RESUMES ? 1 : RETURNS;
	(void)snprintf(play->dir, sizeof(play->dir), "%s", test_dir("cache"));
	play_cell(play);
	ck_assert_msg(comeback_is_served(&play->first) && play->session.len > 0,
	    "%s: first: %s", cell_text(cell), comeback_text(&play->first));
	if (refused)
		judge_refused(play);
	else
		judge_served(play);
}

/* --- the cells that run --------------------------------------------------- */

enum { MAX_CELLS = 100 * 1000 };

static struct cell cells[MAX_CELLS];
static int n_cells;

/* The next combination of levels, of the last factors first; false: none. */
static bool
step_on(struct cell *cell, int from)
{
	int at = N_FACTORS - 1;

	while (at >= from && cell->level[at] == levels[at] - 1)
		cell->level[at--] = 0;
	if (at >= from)
		cell->level[at]++;
	return at >= from;
}

/* Pairs of levels of two factors that cells have met. */
static bool met[N_FACTORS][N_FACTORS][MAX_PAIRS * N_STEPS][N_WAYS];

/* How often all levels but the first have met. */
static unsigned times_met[N_WAYS][N_PLACES][N_SWITCHINGS][2][2];

static unsigned *
times_of(const struct cell *cell)
{
	const int *level = cell->level;

	return &times_met[level[WAY]][level[PLACE]][level[SWITCHING]]
			 [level[STOLEN]][level[NAMED]];
}

static int
gain_of(const struct cell *cell)
{
	int gain = 0;

	for (int i = 0; i < N_FACTORS; i++) {
		for (int j = i + 1; j < N_FACTORS; j++)
			gain += met[i][j][cell->level[i]][cell->level[j]] ? 0 :
									    1;
	}
	return gain;
}

static void
add_cell(const struct cell *cell)
{
	MUST(n_cells < MAX_CELLS);
	cells[n_cells++] = *cell;
	(*times_of(cell))++;
	for (int i = 0; i < N_FACTORS; i++) {
		for (int j = i + 1; j < N_FACTORS; j++)
			met[i][j][cell->level[i]][cell->level[j]] = true;
	}
}

/*
 * Of the cells with these first levels, the one that meets most; of several,
 * the one whose other levels have met the fewest times.
 */
static void
add_best(const struct cell *first)
{
	struct cell cell = *first, best = *first;
	unsigned times = 0;
	int gain, most = 0;

	do {
		gain = is_cell(&cell) ? gain_of(&cell) : 0;
		if (gain > most || (gain == most && *times_of(&cell) < times)) {
			most = gain;
			times = *times_of(&cell);
			best = cell;
		}
	} while (step_on(&cell, PLACE));
	if (most > 0)
		add_cell(&best);
}

static void
choose_cells(void)
{
	const char *matrix = getenv("SC_TEST_MATRIX");
	bool all = matrix != NULL && strcmp(matrix, "all") == 0;
	struct cell cell = { { 0 } };

	MUST(policy_pairs_count <= MAX_PAIRS);
	for (int i = 0; !all && i < policy_pairs_count * N_STEPS; i++) {
		for (int way = 0; way < N_WAYS; way++)
			add_best(&(struct cell){ { i, way } });
	}
	do {
		if (is_cell(&cell) && (all || gain_of(&cell) > 0))
			add_cell(&cell);
	} while (step_on(&cell, STEP));
}

/* --- tests ---------------------------------------------------------------- */

static bool
may_be_refused(const struct cell *cell)
{
	return pair_of(cell)->refused && next_of(cell) == 1;
}

/* So that no cell proves nothing. */
START_TEST(pair_of_policies_is_what_its_table_says)
{
	struct cell cell = { { _i * N_STEPS + FORTH } };

	do {
		if (is_cell(&cell))
			ck_assert_msg(is_refused(&cell, 1) ==
				pair_of(&cell)->refused,
			    "%s: the second policy %s", cell_text(&cell),
			    pair_of(&cell)->refused ? "serves" : "refuses");
	} while (step_on(&cell, WAY));
}
END_TEST

START_TEST(no_session_opens_what_a_full_handshake_is_refused)
{
	run(&cells[_i]);
}
END_TEST

START_TEST(who_is_served_without_a_session_is_served_with_one_of_another_policy)
{
	run(&cells[_i]);
}
END_TEST

START_TEST(session_of_the_same_policy_resumes_at_its_first_return)
{
	run(&cells[_i]);
}
END_TEST

/* What OpenSSL loads at its first connections, children need not load again. */
static void
warm_up(int version)
{
	static const struct policy policy = { .leaf = HOST_A };
	SSL_CTX *server = policy_server_new(&policy, version);
	SSL_CTX *client = policy_client_new(NO_ONE, NULL, version);
	struct comeback seen = comeback_server(server, client, POLICY_NAME,
	    NULL, NULL);

	MUST(comeback_is_served(&seen));
	SSL_CTX_free(server);
	SSL_CTX_free(client);
}

static void
make_world(void)
{
	policy_world_make();
	warm_up(TLS1_2_VERSION);
	warm_up(TLS1_3_VERSION);
	plain = shared_new(MAX_PAIRS * sizeof(*plain));
}

/* Every cell, or one in some where each takes its time. */
static int
stride(void)
{
	int percent = (int)test_times(100, 4);

	return percent < 100 ? 100 / percent : 1;
}

static void
add_tests(TCase *tc)
{
	const TTest *test;

	for (int i = 0; i < n_cells; i += stride()) {
		if (is_same(&cells[i]))
			test =
			    session_of_the_same_policy_resumes_at_its_first_return;
		else if (may_be_refused(&cells[i]))
			test =
			    no_session_opens_what_a_full_handshake_is_refused;
		else
			test =
			    who_is_served_without_a_session_is_served_with_one_of_another_policy;
		tcase_add_loop_test(tc, test, i, i + 1);
	}
}

int
main(void)
{
	Suite *suite = suite_create("matrix");
	TCase *tc = tcase_create("matrix");

	/* The test of a cell has little of its own to clean up when it ends. */
	MUST(OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) == 1);
	choose_cells();
	tcase_add_unchecked_fixture(tc, make_world, policy_world_remove);
	tcase_add_checked_fixture(tc, test_dir_make, test_dir_remove);
	tcase_set_timeout(tc, 120);
	for (int i = 0; i < policy_pairs_count; i += stride())
		tcase_add_loop_test(tc, pair_of_policies_is_what_its_table_says,
		    i, i + 1);
	add_tests(tc);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
