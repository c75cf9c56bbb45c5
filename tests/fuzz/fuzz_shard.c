/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of a shard with bytes that are not what they were: in its meta
 * pages, its trees, the list of free pages, the journals and whatever else is
 * in its area.  Opening it never ends the process; a record that is found is
 * the one that was stored; and the cache is of use, at once or when it is
 * opened again.
 *
 * Each input runs in a thread of its own, so that no thread has keys of the
 * cache that was there before.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "store/shard.h"

const char fuzz_name[] = "shard";

enum {
	NOW = 1000,
	FIRST = 120, /* records, of which the first go again */
	REMOVED = 40,
	LATER = 12,  /* that are still in the journal */
	KNOWN = 40,  /* records to look for */
	SHORT = 150, /* bytes */
	FILLER = 3000,
	LONG = 9000,
	MOST = 2000, /* records, to fill it */
	EDITS = 24,  /* at most, of one input */
	PAGE = 4096,
	/* What an input asks for. */
	TRUNCATE = 0x01,   /* or let it grow */
	CREATE = 0x02,     /* the opener may repair */
	RESIZE = 0x04,     /* and wants another size */
	BOTH_METAS = 0x08, /* what is changed in one, in the other too */
	IN_FULL = 0x10,    /* of the two caches, the one that is full */
};

struct known {
	uint8_t id[SESSCACHE_ID_LEN];
	uint8_t first; /* of its bytes, which count up */
	size_t len;
};

/* Two caches: one with room, and one that is full, so that stores evict. */
enum { ROOMY, FULL, STATES };

static struct state {
	struct fuzz_file control, data;
	struct known known[KNOWN];
	unsigned n_known;
	uint16_t
	    used[FUZZ_CACHE_BYTES / PAGE]; /* pages that are not all zeroes */
	unsigned n_used;
} states[STATES];

/* --- records ------------------------------------------------------------- */

static void
fill(uint8_t *bytes, size_t len, uint8_t first)
{
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(first + i);
}

static enum sesscache_status
put(struct sc_cache *cache, const struct known *what, unsigned flags)
{
	uint8_t bytes[LONG];
	const struct sc_record_in in = { .id = what->id,
		.id_len = sizeof(what->id),
		.data = bytes,
		.data_len = what->len,
		.ttl_seconds = 3600,
		.flags = flags };

	fill(bytes, what->len, what->first);
	return sc_cache_put(cache, &in, NOW);
}

static enum sesscache_status
get(struct sc_cache *cache, const struct known *what)
{
	uint8_t buf[LONG], want[LONG];
	struct sc_lookup lookup = { .id = what->id,
		.id_len = sizeof(what->id),
		.buf = buf,
		.size = sizeof(buf) };
	enum sesscache_status status;

	status = sc_cache_get(cache, &lookup, NOW);
	if (status == SESSCACHE_OK) {
		fill(want, what->len, what->first);
		MUST(lookup.len == what->len);
		MUST(memcmp(buf, want, what->len) == 0);
	}
	return status;
}

static void
note(struct state *state, const struct known *one)
{
	state->known[state->n_known % KNOWN] = *one;
	state->n_known++;
}

/* Some of each kind: own IDs and foreign ones, both queues, spent tickets. */
static void
store(struct sc_cache *cache, struct state *state, unsigned i, size_t len)
{
	struct known one = { .id = "", .first = (uint8_t)i, .len = len };

	if (i % 3 == 0)
		memset(one.id, (int)(i + 1), sizeof(one.id));
	else
		MUST(sc_cache_new_id(cache, one.id) == SESSCACHE_OK);
	MUST(put(cache, &one,
		 (i % 4 == 1 ? SC_RECORD_REGULAR : 0U) |
		     (i % 5 == 2 ? SC_RECORD_TICKET : 0U)) == SESSCACHE_OK);
	MUST(get(cache, &one) == SESSCACHE_OK);
	if (i < REMOVED)
		MUST(sc_cache_remove(cache, one.id, sizeof(one.id)) ==
		    SESSCACHE_OK);
	else
		note(state, &one);
}

/* --- the file ------------------------------------------------------------ */

static void
finish(void)
{
	int i;

	for (i = 0; i < STATES; i++) {
		free(states[i].control.bytes);
		free(states[i].data.bytes);
	}
}

static int
visit(const struct sc_scanned *scanned, void *arg)
{
	size_t *left = arg;

	MUST(scanned->id_len <= SESSCACHE_ID_MAX_LEN);
	return --*left == 0;
}

static void
save(struct state *state)
{
	static const uint8_t zeroes[PAGE];
	char name[32];
	size_t i;

	fuzz_save(&state->control, "control");
	sc_shard_name(name, 0);
	fuzz_save(&state->data, name);
	for (i = 0; i < state->data.len / PAGE; i++) {
		if (memcmp(state->data.bytes + i * PAGE, zeroes, PAGE) != 0)
			state->used[state->n_used++] = (uint16_t)i;
	}
	if (state->n_known > KNOWN)
		state->n_known = KNOWN;
}

static bool
is_full(struct sc_cache *cache)
{
	struct sesscache_stats stats;
	uint32_t created_at;

	MUST(sc_cache_stats(cache, &stats, &created_at) == SESSCACHE_OK);
	return stats.evicted_newcomers > 0;
}

static void
begin(void)
{
	struct sc_cache *cache = fuzz_cache(fuzz_dir());
	size_t left = SIZE_MAX;
	unsigned i;

	for (i = 0; i < FIRST; i++)
		store(cache, &states[ROOMY], i, i == REMOVED ? LONG : SHORT);
	/* Which writes the journal to the trees. */
	MUST(sc_cache_scan(cache, visit, &left) == SESSCACHE_OK);
	for (; i < FIRST + LATER; i++)
		store(cache, &states[ROOMY], i, SHORT);
	save(&states[ROOMY]);
	for (; i < MOST && !is_full(cache); i++)
		store(cache, &states[FULL], i, FILLER);
	MUST(is_full(cache));
	save(&states[FULL]);
	sc_cache_close(cache);
	(void)atexit(finish);
}

/* --- what is done with it ------------------------------------------------ */

/* Whatever a call says, as long as it comes back with a status. */
static void
check(enum sesscache_status status)
{
	MUST(status >= SESSCACHE_EBUSY && status <= SESSCACHE_EXISTS);
}

static void
use(struct sc_cache *cache, const struct state *state)
{
	struct sesscache_stats stats;
	uint32_t created_at;
	size_t left = 1000;
	unsigned i;

	for (i = 0; i < state->n_known; i++)
		check(get(cache, &state->known[i]));
	for (i = 0; i < state->n_known; i += 2)
		check(sc_cache_remove(cache, state->known[i].id,
		    SESSCACHE_ID_LEN));
	check(sc_cache_scan(cache, visit, &left));
	for (i = 0; i < state->n_known; i++)
		check(put(cache, &state->known[i], i % 3));
	left = 1000;
	check(sc_cache_scan(cache, visit, &left));
	check(sc_cache_stats(cache, &stats, &created_at));
}

/* A store, and what was stored is there. */
static bool
is_of_use(struct sc_cache *cache)
{
	struct known fresh = { .first = 77, .len = SHORT };

	return sc_cache_new_id(cache, fresh.id) == SESSCACHE_OK &&
	    put(cache, &fresh, 0) == SESSCACHE_OK &&
	    get(cache, &fresh) == SESSCACHE_OK;
}

/* Whether it could be opened, and was of use, after all that was done. */
static bool
open_and_use(unsigned what)
{
	struct sc_cache_config config = fuzz_config(fuzz_dir());
	struct sc_cache_opened opened;
	enum sesscache_status status;
	struct sc_cache *cache = NULL;
	bool of_use = false;

	config.resize = (what & RESIZE) != 0;
	config.create = (what & CREATE) != 0;
	if (config.resize)
		config.size_bytes *= 2;
	status = sc_cache_open(&cache, &config, NOW, &opened);
	MUST((status == SESSCACHE_OK) == (cache != NULL));
	check(status);
	MUST(status == SESSCACHE_OK || (what & CREATE) == 0);
	if (cache != NULL) {
		use(cache, &states[(what & IN_FULL) != 0]);
		of_use = is_of_use(cache);
	}
	sc_cache_close(cache);
	return of_use;
}

/* --- what an input does -------------------------------------------------- */

/* Where an edit is: a page that is in use, and an offset in it. */
static size_t
choose(const struct state *state, struct fuzz_input *in)
{
	size_t page = state->used[fuzz_number(in, 1) % state->n_used];

	return page * PAGE + (size_t)fuzz_number(in, 2) % PAGE;
}

/* Each edit: where, how many bytes, and these, to be there or to combine. */
static void
edit(const struct state *state, struct fuzz_input *in, uint8_t *bytes,
    unsigned what)
{
	const uint8_t *given;
	size_t at, i, n;
	unsigned edits, how;

	for (edits = 0; in->left > 3 && edits < EDITS; edits++) {
		at = choose(state, in);
		how = (unsigned)fuzz_number(in, 1);
		given = fuzz_bytes(in, 1 + how / 2 % 32, &n);
		for (i = 0; i < n && at + i < state->data.len; i++) {
			bytes[at + i] = given[i] ^
			    ((how & 1) != 0 ? bytes[at + i] : 0);
			if ((what & BOTH_METAS) != 0 && at + i < 2 * PAGE)
				bytes[(at + i) ^ PAGE] = bytes[at + i];
		}
	}
}

static void *
run(void *arg)
{
	struct fuzz_input *in = arg;
	unsigned what = (unsigned)fuzz_number(in, 1);
	const struct state *state = &states[(what & IN_FULL) != 0];
	size_t len = state->data.len;
	uint8_t *bytes = fuzz_copy(state->data.bytes, len);

	if ((what & TRUNCATE) != 0)
		len = (size_t)fuzz_number(in, 3);
	edit(state, in, bytes, what);
	fuzz_restore(&state->control, state->control.bytes, state->control.len);
	fuzz_restore(&state->data, bytes, len);
	free(bytes);
	if (!open_and_use(what) && !open_and_use(what | CREATE))
		MUST(open_and_use((what & IN_FULL) | CREATE));
	return NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz_input in = { bytes, size };
	pthread_t thread;

	if (states[ROOMY].control.bytes == NULL)
		begin();
	MUST(pthread_create(&thread, NULL, run, &in) == 0);
	MUST(pthread_join(thread, NULL) == 0);
	return 0;
}
