/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A control file of any bytes: opening it, and using what was opened, ends
 * with some status.  A record that is found is the one that was stored.  The
 * ring of ticket keys in it is sealed, so it is changed within its seal.
 *
 * Each input runs in a thread of its own, so that no thread has keys of the
 * cache that was there before.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache/seal.h"
#include "fuzz.h"
#include "store/shard.h"

const char fuzz_name[] = "control";

enum {
	NOW = 1000,
	ASKED = 7,
	LANDED = 8,
	/* What an input asks for. */
	FIX_SUM = 0x01,    /* as whoever made these bytes would */
	TRUNCATE = 0x02,   /* or let it grow */
	CREATE = 0x04,     /* the opener may repair */
	RESIZE = 0x08,     /* and wants another size */
	BOTH_AGAIN = 0x10, /* what was opened is opened once more */
	IN_RING = 0x20,    /* only the ticket keys are changed */
};

static const uint8_t known_id[] = "a client's ID";
static const uint8_t known[] = "what was stored before the damage";
static struct fuzz_file control, data;

static enum sesscache_status
put(struct sc_cache *cache, const uint8_t *id, size_t id_len)
{
	const struct sc_record_in in = { .id = id,
		.id_len = id_len,
		.data = known,
		.data_len = sizeof(known),
		.ttl_seconds = 3600 };

	return sc_cache_put(cache, &in, NOW);
}

static enum sesscache_status
get(struct sc_cache *cache, const uint8_t *id, size_t id_len)
{
	uint8_t buf[sizeof(known)];
	struct sc_lookup lookup = { .id = id,
		.id_len = id_len,
		.buf = buf,
		.size = sizeof(buf) };
	enum sesscache_status status;

	status = sc_cache_get(cache, &lookup, NOW);
	if (status == SESSCACHE_OK)
		MUST(lookup.len == sizeof(known) &&
		    memcmp(buf, known, sizeof(known)) == 0);
	return status;
}

static void
finish(void)
{
	free(control.bytes);
	free(data.bytes);
}

static void
begin(void)
{
	struct sc_cache *cache = fuzz_cache(fuzz_dir());
	struct sc_ticket ticket = { .expires_at = NOW + 1 };
	uint8_t key_name[SC_TICKET_NAME], iv[SC_TICKET_IV];
	char name[32];

	MUST(sc_cache_ticket_issue(cache, &ticket, key_name, iv, NOW) ==
	    SESSCACHE_OK);
	MUST(put(cache, known_id, sizeof(known_id)) == SESSCACHE_OK);
	MUST(get(cache, known_id, sizeof(known_id)) == SESSCACHE_OK);
	sc_cache_close(cache);
	fuzz_save(&control, "control");
	sc_shard_name(name, 0);
	fuzz_save(&data, name);
	(void)atexit(finish);
}

/* --- what is done with it ------------------------------------------------ */

static int
visit(const struct sc_scanned *scanned, void *arg)
{
	size_t *left = arg;

	MUST(scanned->id_len <= SESSCACHE_ID_MAX_LEN);
	return --*left == 0;
}

/* Whatever a call says, as long as it comes back with a status. */
static void
check(enum sesscache_status status)
{
	MUST(status >= SESSCACHE_EBUSY && status <= SESSCACHE_EXISTS);
}

static void
use(struct sc_cache *cache)
{
	struct sc_ticket_key keys[SESSCACHE_KEYS_MAX];
	struct sc_ticket ticket = { .scope = { ASKED, LANDED },
		.terms.open = { ASKED, LANDED },
		.expires_at = NOW + 1 };
	uint8_t id[SESSCACHE_ID_LEN], name[SC_TICKET_NAME] = "";
	uint8_t iv[SC_TICKET_IV] = "";
	struct sesscache_stats stats;
	uint32_t created_at;
	uint64_t removed;
	size_t n = 100;

	check(get(cache, known_id, sizeof(known_id)));
	if (sc_cache_new_id(cache, id) == SESSCACHE_OK &&
	    put(cache, id, sizeof(id)) == SESSCACHE_OK)
		check(get(cache, id, sizeof(id)));
	check(put(cache, known_id, sizeof(known_id)));
	check(sc_cache_ticket_issue(cache, &ticket, name, iv, NOW));
	check(sc_cache_ticket_open(cache, &ticket, name, iv, NOW));
	sc_cache_mislanded(cache, ASKED, 0, LANDED, NOW);
	check(sc_cache_ticket_open(cache, &ticket, name, iv, NOW));
	check(sc_cache_keys(cache, keys, &n, NOW));
	n = 100;
	check(sc_cache_scan(cache, visit, &n));
	check(sc_cache_stats(cache, &stats, &created_at));
	check(sc_cache_remove(cache, known_id, sizeof(known_id)));
	check(sc_cache_rotate_keys(cache, NOW));
	check(sc_cache_clear(cache, NOW, &removed));
}

static void
open_and_use(unsigned what)
{
	struct sc_cache_config config = fuzz_config(fuzz_dir());
	struct sc_cache_opened opened;
	enum sesscache_status status;
	struct sc_cache *cache = NULL;

	config.resize = (what & RESIZE) != 0;
	config.create = (what & CREATE) != 0;
	if (config.resize)
		config.size_bytes *= 2;
	status = sc_cache_open(&cache, &config, NOW, &opened);
	MUST((status == SESSCACHE_OK) == (cache != NULL));
	MUST(status <= SESSCACHE_MISS && status >= SESSCACHE_EBUSY);
	if (cache != NULL)
		use(cache);
	sc_cache_close(cache);
}

/* --- what an input does -------------------------------------------------- */

/* As lib/store/store.c has it. */
static void
fix_sum(uint8_t *bytes)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	size_t i;

	for (i = 0; i < offsetof(struct sc_control, sum); i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	memcpy(bytes + offsetof(struct sc_control, sum), &hash, sizeof(hash));
}

/* Ticket keys as whoever has the file could make them. */
static void
edit_ring(struct fuzz_input *in, uint8_t *bytes)
{
	uint8_t *at = bytes + SC_CONTROL_CACHE_AT +
	    offsetof(struct sc_keys, ring);
	struct sc_seal_blob blob = { .label = "the ticket keys" };
	struct sc_ring_body body;
	struct sc_ring_copy *copy;
	struct sc_ring ring;

	memcpy(&ring, at, sizeof(ring));
	copy = &ring.copies[ring.turn & 1];
	blob.key = (const uint8_t *)copy->key;
	blob.number = ring.turn;
	MUST(sc_seal_open_blob(&blob, (const uint8_t *)copy->sealed,
		 sizeof(body), (uint8_t *)&body) == SESSCACHE_OK);
	(void)fuzz_edit(in, (uint8_t *)&body, sizeof(body));
	MUST(sc_seal_close_blob(&blob, (const uint8_t *)&body, sizeof(body),
		 (uint8_t *)copy->sealed) == SESSCACHE_OK);
	memcpy(at, &ring, sizeof(ring));
}

static void *
run(void *arg)
{
	struct fuzz_input *in = arg;
	unsigned what = (unsigned)fuzz_number(in, 1);
	uint8_t *bytes = fuzz_copy(control.bytes, control.len);
	size_t len = control.len;

	if ((what & TRUNCATE) != 0)
		len = (size_t)fuzz_number(in, 2);
	if ((what & IN_RING) != 0)
		edit_ring(in, bytes);
	else
		(void)fuzz_edit(in, bytes, control.len);
	if ((what & FIX_SUM) != 0)
		fix_sum(bytes);
	fuzz_restore(&control, bytes, len);
	fuzz_restore(&data, data.bytes, data.len);
	free(bytes);
	open_and_use(what);
	if ((what & BOTH_AGAIN) != 0)
		open_and_use(what ^ CREATE);
	return NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz_input in = { bytes, size };
	pthread_t thread;

	if (control.bytes == NULL)
		begin();
	MUST(pthread_create(&thread, NULL, run, &in) == 0);
	MUST(pthread_join(thread, NULL) == 0);
	return 0;
}
