/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See cache.h.
 */
#include <stdlib.h>
#include <string.h>

#include "cache/address.h"
#include "cache/evict.h"
#include "cache/keyring.h"
#include "cache/landings.h"
#include "cache/record.h"
#include "cache/scratch.h"
#include "cache/seal.h"
#include "cache/terms.h"
#include "cache/ticket.h"

enum {
	TRIES = 4, /* of an operation that finds the journal full */
	MAX_DATA = SC_TREE_MAX_RECORD - SC_RECORD_HEAD_MAX - SC_RECORD_TAG,
};

/* The cache's part of the control file. */
struct part {
	struct sc_keys keys;
	struct sc_landings landings; /* ready when zeroed */
};

struct sc_cache {
	struct sc_store *store;
	struct sc_keys *keys;         /* in the control file */
	struct sc_landings *landings; /* likewise */
	uint32_t timeout_seconds;
	struct sc_address address;
	struct sc_seal seal;
	struct sc_keyring keyring;
};

/* Where a record is, or will be. */
struct spot {
	struct sc_place place;
	uint64_t alias; /* 0: the ID is its address */
};

/* A record as it lies in the store, and decoded. */
struct found {
	struct sc_record record;
	struct sc_place place;
	enum sesscache_queue queue;
	bool damaged; /* it could not be decoded */
	size_t len;
	uint8_t *bytes; /* SC_SCRATCH_RECORD of them, borrowed */
};

_Static_assert((int)SC_SCRATCH_RECORD == (int)SC_TREE_MAX_RECORD,
    "a buffer holds any record");
_Static_assert(sizeof(struct part) <= SC_STORE_CACHE_BYTES,
    "it fits the control file");

/* --- opening ------------------------------------------------------------- */

static enum sesscache_status
init_part(void *at)
{
	struct part *part = at;

	return sc_seal_init(&part->keys);
}

static enum sesscache_status
revive_part(void *at)
{
	struct part *part = at;

	return sc_seal_revive(&part->keys);
}

/* What is in the control file, and how this process uses it. */
static void
take_part(struct sc_cache *cache, const struct sc_cache_config *config)
{
	struct part *part = sc_store_cache_part(cache->store);
	struct sc_keys *keys = &part->keys;
	uint64_t owner;

	memcpy(&owner, sc_store_instance(cache->store), sizeof(owner));
	cache->keys = keys;
	cache->landings = &part->landings;
	cache->timeout_seconds = config->timeout_seconds;
	cache->address.keys = &keys->address;
	cache->address.owner = owner;
	cache->seal.keys = keys;
	cache->seal.owner = owner;
	cache->seal.epoch_seconds = config->timeout_seconds;
	cache->keyring.ring = &keys->ring;
	cache->keyring.store = cache->store;
	cache->keyring.owner = owner;
	cache->keyring.lifetime_seconds = INT32_MAX; /* for ever */
	if (config->ticket_key_lifetime_seconds != 0)
		cache->keyring.lifetime_seconds =
		    config->ticket_key_lifetime_seconds;
}

enum sesscache_status
sc_cache_open(struct sc_cache **out, const struct sc_cache_config *config,
    uint32_t now, struct sc_cache_opened *opened)
{
	const struct sc_store_config store_config = {
		.dir = config->dir,
		.size_bytes = config->size_bytes,
		.resize = config->resize,
		.create = config->create,
		.shards = config->shards,
		.owner_given = config->owner_given,
		.owner_uid = config->owner_uid,
		.owner_gid = config->owner_gid,
		.init = init_part,
		.revive = revive_part,
		.make_room = sc_evict,
	};
	struct sc_store_opened store_opened;
	enum sesscache_status status;
	struct sc_cache *cache;

	*out = NULL;
	cache = calloc(1, sizeof(*cache));
	if (cache == NULL)
		return sc_fail(SESSCACHE_ENOMEM, "out of memory");
	status = sc_store_open(&cache->store, &store_config, &store_opened);
	if (status != SESSCACHE_OK) {
		free(cache);
		return status;
	}
	opened->created = store_opened.created;
	opened->resized = store_opened.resized;
	memcpy(opened->repaired, store_opened.repaired,
	    sizeof(opened->repaired));
	take_part(cache, config);
	if (opened->created)
		cache->keys->made_at = now;
	if (config->create) {
		sc_seal_tend(&cache->seal, now);
		sc_keyring_tend(&cache->keyring, now);
	}
	*out = cache;
	return SESSCACHE_OK;
}

void
sc_cache_close(struct sc_cache *cache)
{
	if (cache == NULL)
		return;
	sc_store_close(cache->store);
	free(cache);
}

/* --- where records are --------------------------------------------------- */

static void
count(struct sc_cache *cache, unsigned shard, enum sc_count what)
{
	sc_store_count(cache->store, shard, what, 1);
}

/* What is no shard's. */
static void
count_for_all(struct sc_cache *cache, enum sc_count what)
{
	count(cache, sc_store_any(cache->store), what);
}

/* Of a call that wanted the lock of the keys, which is no shard's. */
static enum sesscache_status
count_busy(struct sc_cache *cache, unsigned shard, enum sesscache_status status)
{
	if (status == SESSCACHE_EBUSY)
		count(cache, shard, SC_COUNT_BUSY);
	return status;
}

static enum sesscache_status
check_id(const uint8_t *id, size_t id_len)
{
	if (id == NULL || id_len < 1 || id_len > SESSCACHE_ID_MAX_LEN)
		return sc_fail(SESSCACHE_EINVAL,
		    "an ID has 1 to %d bytes, not %zu", SESSCACHE_ID_MAX_LEN,
		    id == NULL ? 0 : id_len);
	return SESSCACHE_OK;
}

/* For an ID that is no address, seq is left at 0. */
static enum sesscache_status
locate(struct sc_cache *cache, const uint8_t *id, size_t id_len,
    struct spot *spot)
{
	unsigned shards = sc_store_shards(cache->store);
	enum sesscache_status status;
	unsigned number = 0;

	status = check_id(id, id_len);
	if (status != SESSCACHE_OK)
		return status;
	memset(spot, 0, sizeof(*spot));
	status = sc_address_decode(&cache->address, id, id_len, &spot->place);
	if (status == SESSCACHE_OK && spot->place.shard < shards &&
	    spot->place.seq != 0)
		return SESSCACHE_OK;
	if (status < 0)
		return status;
	status = sc_address_alias(&cache->address, id, id_len, &spot->alias,
	    &number);
	spot->place.shard = number & (shards - 1);
	spot->place.seq = 0;
	return status;
}

enum sesscache_status
sc_cache_new_id(struct sc_cache *cache, uint8_t id[SESSCACHE_ID_LEN])
{
	struct sc_place place;

	place.shard = sc_store_pick(cache->store);
	place.seq = sc_store_next_seq(cache->store, place.shard);
	return sc_address_encode(&cache->address, place, id);
}

/*
 * Inside the gate: the record under an ID, live or not.  SESSCACHE_OK,
 * SESSCACHE_MISS or SESSCACHE_ECORRUPT.
 */
static enum sesscache_status
find(struct sc_cache *cache, const struct spot *spot, const uint8_t *id,
    size_t id_len, struct found *found)
{
	enum sesscache_status status = SESSCACHE_OK;

	found->place = spot->place;
	if (spot->alias != 0)
		status = sc_store_find_alias(cache->store, spot->place.shard,
		    spot->alias, &found->place.seq);
	if (status == SESSCACHE_OK)
		status = sc_store_read(cache->store, spot->place.shard,
		    found->place.seq, found->bytes, SC_SCRATCH_RECORD,
		    &found->len, &found->queue);
	if (status != SESSCACHE_OK)
		return status;
	found->damaged = sc_record_decode(&found->record, found->place.seq,
			     found->bytes, found->len) != SESSCACHE_OK;
	if (found->damaged || spot->alias == 0)
		return SESSCACHE_OK;
	/* Another ID may have the same hash. */
	if (found->record.alias != spot->alias ||
	    found->record.id_len != id_len ||
	    !sc_address_is_same(found->record.id, id, id_len))
		return SESSCACHE_MISS;
	return SESSCACHE_OK;
}

static bool
is_live(const struct sc_cache *cache, const struct found *found, uint32_t now)
{
	return !found->damaged && found->record.expires_at > now &&
	    sc_seal_has_key(&cache->seal, found->record.epoch);
}

static struct sc_seal_of
seal_of(const struct sc_record *record, struct sc_place place,
    const uint8_t *bytes)
{
	return (struct sc_seal_of){ place.shard, place.seq,
		record->write_number, { bytes, record->head_len } };
}

/* --- storing ------------------------------------------------------------- */

/* One store under way. */
struct storing {
	struct sc_cache *cache;
	const struct sc_record_in *in;
	struct spot spot;
	uint32_t now;
	bool only_new; /* SESSCACHE_EXISTS if there is one */
	struct sc_stored stored;
	struct sc_scratch *scratch;
	uint8_t *bytes; /* the record; in scratch */
};

static uint32_t
expiry(uint32_t now, uint32_t ttl_seconds)
{
	return ttl_seconds > UINT32_MAX - now ? UINT32_MAX : now + ttl_seconds;
}

/* Encode and seal: all of the work that needs no lock. */
static enum sesscache_status
prepare(struct storing *st)
{
	const struct sc_record_in *in = st->in;
	struct sc_cache *cache = st->cache;
	struct sc_record record = {
		.flags = in->flags & SC_RECORD_FLAGS,
		.alias = st->spot.alias,
		.expires_at = expiry(st->now, in->ttl_seconds),
		.ttl_seconds = in->ttl_seconds,
		.scope = in->scope,
		.id = in->id,
		.id_len = in->id_len,
	};
	struct sc_place *place = &st->spot.place;
	struct sc_seal_of of;
	uint32_t epoch;

	if (place->seq == 0)
		place->seq = sc_store_next_seq(cache->store, place->shard);
	epoch = sc_seal_epoch(&cache->seal, record.expires_at);
	record.epoch = (uint8_t)epoch;
	record.write_number = sc_store_next_write(cache->store, place->shard,
	    place->seq);
	sc_record_encode(&record, place->seq, st->bytes);
	st->stored.queue = (in->flags & SC_RECORD_REGULAR) != 0 ?
	    SESSCACHE_REGULAR :
	    SESSCACHE_NEWCOMER;
	st->stored.seq = place->seq;
	st->stored.alias = st->spot.alias;
	st->stored.record.bytes = st->bytes;
	st->stored.record.len = record.head_len + in->data_len + SC_RECORD_TAG;
	of = seal_of(&record, *place, st->bytes);
	return count_busy(cache, place->shard,
	    sc_seal_close(&cache->seal, epoch, &of, in->data, in->data_len,
		st->bytes + record.head_len));
}

/*
 * Inside the gate: what the ID leads to now.  SESSCACHE_EXISTS if it may not
 * be replaced; what is replaced under another number is noted.
 */
static enum sesscache_status
look_before(struct storing *st)
{
	enum sesscache_status status;
	struct found found = { .bytes = st->scratch->found };

	if (st->spot.alias == 0 && !st->only_new)
		return SESSCACHE_OK; /* the same number is replaced */
	st->stored.replaces = 0;
	status = find(st->cache, &st->spot, st->in->id, st->in->id_len, &found);
	if (status != SESSCACHE_OK)
		return status == SESSCACHE_MISS ? SESSCACHE_OK : status;
	if (st->only_new && is_live(st->cache, &found, st->now))
		return SESSCACHE_EXISTS;
	if (found.place.seq != st->stored.seq)
		st->stored.replaces = found.place.seq;
	return SESSCACHE_OK;
}

static bool
is_absent(void *arg)
{
	return look_before(arg) != SESSCACHE_EXISTS;
}

static enum sesscache_status
store_short(struct storing *st)
{
	struct sc_store *store = st->cache->store;
	unsigned shard = st->spot.place.shard;
	enum sesscache_status status = SESSCACHE_EBUSY;
	int i;

	for (i = 0; i < TRIES && status == SESSCACHE_EBUSY; i++) {
		status = sc_store_enter(store, shard, SC_LOCK_SERVING_MS);
		if (status != SESSCACHE_OK)
			return status;
		status = look_before(st);
		if (status == SESSCACHE_OK)
			status = sc_store_put(store, shard, &st->stored);
		sc_store_leave(store, shard);
		if (status == SESSCACHE_EBUSY) {
			status = sc_store_flush(store, shard, SC_FLUSH_FULL,
			    st->now);
			if (status != SESSCACHE_OK)
				return status;
			status = SESSCACHE_EBUSY;
		}
	}
	if (status == SESSCACHE_EBUSY)
		status = sc_fail(status, "shard %u is too busy", shard);
	return status;
}

static enum sesscache_status
store_long(struct storing *st)
{
	struct sc_store *store = st->cache->store;
	unsigned shard = st->spot.place.shard;
	enum sesscache_status status;

	status = sc_store_enter(store, shard, SC_LOCK_SERVING_MS);
	if (status != SESSCACHE_OK)
		return status;
	status = look_before(st);
	sc_store_leave(store, shard);
	if (status != SESSCACHE_OK)
		return status;
	return sc_store_put_long(store, shard, &st->stored, st->now,
	    st->only_new || st->spot.alias != 0 ? is_absent : NULL, st);
}

static enum sesscache_status
store(struct sc_cache *cache, const struct sc_record_in *in, bool only_new,
    uint32_t now)
{
	struct storing st;
	enum sesscache_status status;

	st.cache = cache;
	st.in = in;
	st.now = now;
	st.only_new = only_new;
	st.stored.replaces = 0;
	st.scratch = sc_scratch();
	if (st.scratch == NULL)
		return SESSCACHE_ENOMEM;
	st.bytes = st.scratch->stored;
	status = locate(cache, in->id, in->id_len, &st.spot);
	if (status == SESSCACHE_OK && in->data == NULL && in->data_len > 0)
		status = sc_fail(SESSCACHE_EINVAL, "data is NULL");
	if (status != SESSCACHE_OK)
		return status;
	if (in->data_len > MAX_DATA)
		return sc_fail(SESSCACHE_ETOOBIG,
		    "%zu bytes are too many: %d at most", in->data_len,
		    MAX_DATA);
	if (st.spot.alias != 0)
		atomic_store_explicit(&cache->keys->aliased, 1,
		    memory_order_relaxed);
	sc_seal_tend(&cache->seal, now);
	status = prepare(&st);
	if (status == SESSCACHE_OK)
		status = sc_store_is_short(st.stored.record.len) ?
		    store_short(&st) :
		    store_long(&st);
	if (status == SESSCACHE_OK)
		count(cache, st.spot.place.shard, SC_COUNT_STORED);
	return status;
}

enum sesscache_status
sc_cache_put(struct sc_cache *cache, const struct sc_record_in *in,
    uint32_t now)
{
	return store(cache, in, false, now);
}

enum sesscache_status
sc_cache_add(struct sc_cache *cache, const struct sc_record_in *in,
    uint32_t now)
{
	return store(cache, in, true, now);
}

/* --- looking up and removing --------------------------------------------- */

/* One lookup or removal under way. */
struct looking {
	struct sc_cache *cache;
	const uint8_t *id;
	size_t id_len;
	struct sc_lookup *lookup; /* NULL: a removal */
	bool take;                /* whatever is found */
	bool unready; /* this thread has no key yet for what was found */
	uint32_t now;
	struct spot spot;
	struct found found;
};

/* Inside the gate: whether what was found answers the lookup. */
static enum sesscache_status
judge(struct looking *lk)
{
	struct sc_record *record = &lk->found.record;
	const struct sc_said said = { record->scope, record->flags, 64 };
	struct sc_lookup *lookup = lk->lookup;

	if (lookup == NULL)
		return SESSCACHE_OK;
	if (!sc_terms_are_met(&lookup->terms, &said, lk->cache->landings,
		lk->now)) {
		if (!lookup->terms.wants_auth)
			count(lk->cache, lk->spot.place.shard,
			    SC_COUNT_REALM_REFUSED);
		return SESSCACHE_MISS;
	}
	lookup->len = record->sealed_len - SC_RECORD_TAG;
	lookup->expires_at = record->expires_at;
	lookup->created_at = record->expires_at > record->ttl_seconds ?
	    record->expires_at - record->ttl_seconds :
	    0;
	if (lookup->len > lookup->size)
		return sc_fail(SESSCACHE_ETOOBIG,
		    "the record has %zu bytes, the buffer %zu", lookup->len,
		    lookup->size);
	return SESSCACHE_OK;
}

static bool
is_for_once(const struct looking *lk)
{
	return lk->take || (lk->found.record.flags & SC_RECORD_ONCE) != 0;
}

/* Inside the gate: remove what was found and judged, or note its use. */
static enum sesscache_status
use(struct looking *lk)
{
	struct sc_store *store = lk->cache->store;
	const struct found *found = &lk->found;
	unsigned shard = lk->spot.place.shard;
	bool spent = (found->record.flags & SC_RECORD_TICKET) != 0;
	enum sesscache_status status;

	if (lk->lookup == NULL)
		return sc_store_remove(store, shard, found->place.seq);
	if (is_for_once(lk)) {
		/* What is taken must be sure to open: get the key first. */
		lk->unready = !sc_seal_is_ready(&lk->cache->seal,
		    found->record.epoch);
		if (lk->unready)
			return SESSCACHE_EBUSY;
		status = sc_store_remove(store, shard, found->place.seq);
		lk->lookup->taken = status == SESSCACHE_OK;
		return status;
	}
	if (lk->lookup->counted_later)
		sc_store_use(store, shard, found->place.seq, spent);
	else
		sc_store_hit(store, shard, found->place.seq, spent);
	return SESSCACHE_OK;
}

/* Inside the gate; SESSCACHE_EBUSY: flush, and come again. */
static enum sesscache_status
look_inside(struct looking *lk)
{
	struct sc_store *store = lk->cache->store;
	unsigned shard = lk->spot.place.shard;
	enum sesscache_status status;

	lk->unready = false;
	status = find(lk->cache, &lk->spot, lk->id, lk->id_len, &lk->found);
	if (status != SESSCACHE_OK)
		return status;
	if (lk->lookup != NULL && !is_live(lk->cache, &lk->found, lk->now)) {
		status = sc_store_remove(store, shard, lk->found.place.seq);
		if (status == SESSCACHE_OK)
			count(lk->cache, shard,
			    lk->found.damaged ? SC_COUNT_UNREADABLE :
						SC_COUNT_EXPIRED);
		return SESSCACHE_MISS; /* and if not, it goes later */
	}
	status = judge(lk);
	return status == SESSCACHE_OK ? use(lk) : status;
}

static enum sesscache_status
look(struct looking *lk)
{
	struct sc_store *store = lk->cache->store;
	unsigned shard = lk->spot.place.shard;
	enum sesscache_status status;
	int i;

	for (i = 0; i < TRIES; i++) {
		status = sc_store_enter(store, shard, SC_LOCK_SERVING_MS);
		if (status != SESSCACHE_OK)
			return status;
		status = look_inside(lk);
		sc_store_leave(store, shard);
		if (status != SESSCACHE_EBUSY)
			return status;
		status = lk->unready ?
		    count_busy(lk->cache, shard,
			sc_seal_get_ready(&lk->cache->seal,
			    lk->found.record.epoch)) :
		    sc_store_flush(store, shard, SC_FLUSH_FULL, lk->now);
		if (status != SESSCACHE_OK)
			return status;
	}
	return sc_fail(SESSCACHE_EBUSY, "shard %u is too busy", shard);
}

/* It will never open and only takes room, unless it was replaced meanwhile. */
static void
remove_unreadable(struct looking *lk)
{
	uint64_t write_number = lk->found.record.write_number;
	struct sc_place place = lk->found.place;
	struct sc_store *store = lk->cache->store;

	if (sc_store_enter(store, place.shard, SC_LOCK_TRY) != SESSCACHE_OK)
		return;
	if (find(lk->cache, &lk->spot, lk->id, lk->id_len, &lk->found) ==
		SESSCACHE_OK &&
	    lk->found.place.seq == place.seq &&
	    lk->found.record.write_number == write_number &&
	    sc_store_remove(store, place.shard, place.seq) == SESSCACHE_OK)
		count(lk->cache, place.shard, SC_COUNT_REMOVED);
	sc_store_leave(store, place.shard);
}

/* Outside the gate. */
static enum sesscache_status
open_found(struct looking *lk)
{
	struct found *found = &lk->found;
	struct sc_seal_of of;
	enum sesscache_status status;

	of = seal_of(&found->record, found->place, found->bytes);
	status = count_busy(lk->cache, found->place.shard,
	    sc_seal_open(&lk->cache->seal, found->record.epoch, &of,
		found->bytes + found->record.head_len, found->record.sealed_len,
		lk->lookup->buf));
	if (status != SESSCACHE_ECORRUPT)
		return status;
	count(lk->cache, found->place.shard, SC_COUNT_UNREADABLE);
	remove_unreadable(lk);
	return SESSCACHE_MISS;
}

static void
count_lookup(struct looking *lk, enum sesscache_status status)
{
	unsigned shard = lk->spot.place.shard;

	/* Hits are counted inside the gate, or later. */
	if (status == SESSCACHE_OK && lk->lookup->taken)
		count(lk->cache, shard, SC_COUNT_TAKEN);
	else if (status == SESSCACHE_MISS && !lk->lookup->terms.wants_auth)
		count(lk->cache, shard,
		    lk->spot.alias == 0 ? SC_COUNT_MISSES : SC_COUNT_FOREIGN);
}

static enum sesscache_status
lookup(struct sc_cache *cache, struct sc_lookup *lookup, bool take,
    uint32_t now)
{
	struct sc_scratch *scratch = sc_scratch();
	struct looking lk = {
		.cache = cache,
		.id = lookup->id,
		.id_len = lookup->id_len,
		.lookup = lookup,
		.take = take,
		.now = now,
	};
	enum sesscache_status status;

	lookup->len = 0;
	lookup->taken = false;
	lookup->terms.wants_auth = false;
	if (scratch == NULL)
		return SESSCACHE_ENOMEM;
	lk.found.bytes = scratch->found;
	sc_seal_tend(&cache->seal, now);
	status = locate(cache, lookup->id, lookup->id_len, &lk.spot);
	if (status != SESSCACHE_OK)
		return status;
	/* The usual case of a foreign ID: there are none to be found. */
	if (lk.spot.alias != 0 &&
	    atomic_load_explicit(&cache->keys->aliased, memory_order_relaxed) ==
		0)
		status = SESSCACHE_MISS;
	else
		status = look(&lk);
	if (status == SESSCACHE_OK)
		status = open_found(&lk);
	count_lookup(&lk, status);
	return status;
}

enum sesscache_status
sc_cache_get(struct sc_cache *cache, struct sc_lookup *lk, uint32_t now)
{
	return lookup(cache, lk, false, now);
}

enum sesscache_status
sc_cache_take(struct sc_cache *cache, struct sc_lookup *lk, uint32_t now)
{
	return lookup(cache, lk, true, now);
}

enum sesscache_status
sc_cache_remove(struct sc_cache *cache, const uint8_t *id, size_t id_len)
{
	struct sc_scratch *scratch = sc_scratch();
	struct looking lk = { .cache = cache, .id = id, .id_len = id_len };
	enum sesscache_status status;

	if (scratch == NULL)
		return SESSCACHE_ENOMEM;
	lk.found.bytes = scratch->found;
	status = locate(cache, id, id_len, &lk.spot);
	if (status == SESSCACHE_OK)
		status = look(&lk);
	if (status == SESSCACHE_OK)
		count(cache, lk.spot.place.shard, SC_COUNT_REMOVED);
	return status;
}

/* --- all records --------------------------------------------------------- */

/* Write both journals out.  That a writer is stuck hides no more than what
 * its journal holds. */
static enum sesscache_status
flush_all(struct sc_cache *cache, unsigned shard, uint32_t now)
{
	enum sesscache_status status = SESSCACHE_OK;
	int i;

	for (i = 0; status == SESSCACHE_OK && i < 2; i++)
		status = sc_store_flush(cache->store, shard, SC_FLUSH_ALL, now);
	return status == SESSCACHE_EBUSY ? SESSCACHE_OK : status;
}

struct scan {
	struct sc_cache *cache;
	sc_scan_visit *visit;
	void *arg;
	bool stopped;
	struct found found;
	uint8_t bytes[SC_TREE_MAX_RECORD];
	uint8_t data[SC_TREE_MAX_RECORD];
};

/* Outside the gate: open what was found, and show it. */
static enum sesscache_status
show(struct scan *scan, bool used, enum sesscache_status decoded)
{
	struct found *found = &scan->found;
	struct sc_record *record = &found->record;
	struct sc_scanned shown = { .record_len = found->len,
		.queue = found->queue,
		.used = used };
	uint8_t id[SESSCACHE_ID_LEN];
	struct sc_seal_of of;
	enum sesscache_status status;

	status = sc_address_encode(&scan->cache->address, found->place, id);
	if (status != SESSCACHE_OK)
		return status;
	shown.id = id;
	shown.id_len = sizeof(id);
	if (decoded == SESSCACHE_OK && record->alias != 0) {
		shown.id = record->id;
		shown.id_len = record->id_len;
	}
	if (decoded != SESSCACHE_OK) {
		shown.problem = "the record is damaged";
	} else {
		shown.expires_at = record->expires_at;
		shown.created_at = record->expires_at - record->ttl_seconds;
		shown.flags = record->flags;
		shown.scope = record->scope;
		of = seal_of(record, found->place, found->bytes);
		status = sc_seal_open(&scan->cache->seal, record->epoch, &of,
		    found->bytes + record->head_len, record->sealed_len,
		    scan->data);
		shown.data_len = record->sealed_len - SC_RECORD_TAG;
		if (status == SESSCACHE_OK)
			shown.data = scan->data;
		else if (status == SESSCACHE_MISS)
			shown.problem = "its key has been destroyed";
		else
			shown.problem = "it does not open";
	}
	scan->stopped = scan->visit(&shown, scan->arg) != 0;
	sc_seal_wipe(scan->data, shown.data != NULL ? shown.data_len : 0);
	return SESSCACHE_OK;
}

static enum sesscache_status
scan_queue(struct scan *scan, unsigned shard, enum sesscache_queue queue)
{
	struct sc_store *store = scan->cache->store;
	struct found *found = &scan->found;
	enum sesscache_status status, decoded;
	uint64_t seq = 0;
	bool used;

	found->place.shard = shard;
	found->queue = queue;
	while (!scan->stopped) {
		status = sc_store_enter(store, shard, SC_LOCK_PATIENT_MS);
		if (status != SESSCACHE_OK)
			return status;
		status = sc_store_next(store, shard, queue, &seq, found->bytes,
		    SC_SCRATCH_RECORD, &found->len);
		used = status == SESSCACHE_OK &&
		    sc_store_is_marked(store, shard, seq);
		sc_store_leave(store, shard);
		if (status != SESSCACHE_OK)
			return status == SESSCACHE_MISS ? SESSCACHE_OK : status;
		found->place.seq = seq++;
		decoded = sc_record_decode(&found->record, found->place.seq,
		    found->bytes, found->len);
		status = show(scan, used, decoded);
		if (status != SESSCACHE_OK)
			return status;
	}
	return SESSCACHE_OK;
}

enum sesscache_status
sc_cache_scan(struct sc_cache *cache, sc_scan_visit *visit, void *arg)
{
	unsigned shard, shards = sc_store_shards(cache->store);
	enum sesscache_status status = SESSCACHE_OK;
	struct scan *scan;

	scan = sc_private_new(sizeof(*scan));
	if (scan == NULL)
		return SESSCACHE_ENOMEM;
	scan->cache = cache;
	scan->visit = visit;
	scan->arg = arg;
	scan->stopped = false;
	scan->found.bytes = scan->bytes;
	for (shard = 0; status == SESSCACHE_OK && shard < shards; shard++) {
		status = flush_all(cache, shard, 0);
		if (status == SESSCACHE_OK)
			status = scan_queue(scan, shard, SESSCACHE_NEWCOMER);
		if (status == SESSCACHE_OK)
			status = scan_queue(scan, shard, SESSCACHE_REGULAR);
	}
	sc_private_free(scan, sizeof(*scan));
	return status;
}

enum sesscache_status
sc_cache_clear(struct sc_cache *cache, uint32_t now, uint64_t *removed)
{
	unsigned shard, shards = sc_store_shards(cache->store);
	enum sesscache_status status;
	uint64_t n;

	*removed = 0;
	status = sc_seal_destroy(&cache->seal, now);
	if (status == SESSCACHE_OK)
		status = sc_keyring_replace(&cache->keyring, now);
	for (shard = 0; status == SESSCACHE_OK && shard < shards; shard++) {
		status = flush_all(cache, shard, 0);
		do {
			n = 0;
			if (status == SESSCACHE_OK)
				status = sc_store_drop(cache->store, shard, &n);
			sc_store_count(cache->store, shard, SC_COUNT_REMOVED,
			    n);
			*removed += n;
		} while (n > 0);
	}
	return status;
}

/* --- tickets ------------------------------------------------------------- */

static void
lend(struct sc_ticket *ticket, const struct sc_ring_key *key)
{
	ticket->cipher_key = key->cipher;
	ticket->mac_key = key->mac;
}

enum sesscache_status
sc_cache_ticket_issue(struct sc_cache *cache, struct sc_ticket *ticket,
    uint8_t name[SC_TICKET_NAME], uint8_t iv[SC_TICKET_IV], uint32_t now)
{
	const struct sc_ring_key *key;
	enum sesscache_status status;

	status = sc_keyring_current(&cache->keyring, now, &key);
	if (status != SESSCACHE_OK)
		return status;
	status = sc_ticket_write(&cache->address, ticket, key->name, name, iv);
	if (status != SESSCACHE_OK)
		return status;
	ticket->renew = false;
	lend(ticket, key);
	count_for_all(cache, SC_COUNT_TICKETS_ISSUED);
	return SESSCACHE_OK;
}

static enum sesscache_status
refuse(struct sc_cache *cache, enum sc_count why)
{
	count_for_all(cache, why);
	return SESSCACHE_MISS;
}

enum sesscache_status
sc_cache_ticket_open(struct sc_cache *cache, struct sc_ticket *ticket,
    const uint8_t name[SC_TICKET_NAME], const uint8_t iv[SC_TICKET_IV],
    uint32_t now)
{
	const struct sc_ring_key *key;
	struct sc_ticket_words words;
	enum sesscache_status status;

	ticket->terms.wants_auth = false;
	status = sc_ticket_read(&cache->address, name, iv, &words);
	if (status == SESSCACHE_OK)
		status = sc_keyring_find(&cache->keyring, words.key, now, &key,
		    &ticket->renew);
	if (status == SESSCACHE_OK && words.expires_at <= now)
		status = SESSCACHE_MISS;
	if (status == SESSCACHE_MISS)
		return refuse(cache, SC_COUNT_TICKETS_REFUSED);
	if (status != SESSCACHE_OK)
		return status;
	if (!sc_terms_are_met(&ticket->terms, &words.said, cache->landings,
		now))
		return ticket->terms.wants_auth ?
		    SESSCACHE_MISS :
		    refuse(cache, SC_COUNT_REALM_REFUSED);
	ticket->cipher = words.cipher;
	ticket->expires_at = words.expires_at;
	lend(ticket, key);
	return SESSCACHE_OK;
}

uint64_t
sc_cache_hash(struct sc_cache *cache, const uint8_t *bytes, size_t len)
{
	uint64_t number = 0;

	if (len > SC_HASH_MAX ||
	    sc_address_hash(&cache->address, bytes, len, &number) !=
		SESSCACHE_OK)
		number = 0;
	return number;
}

void
sc_cache_mislanded(struct sc_cache *cache, uint64_t place, unsigned flags,
    uint64_t landed_now, uint32_t now)
{
	if (place == 0)
		return;
	sc_landings_note(cache->landings, place, flags, landed_now, now,
	    expiry(now, cache->timeout_seconds));
}

enum sesscache_status
sc_cache_keys(struct sc_cache *cache,
    struct sc_ticket_key keys[SESSCACHE_KEYS_MAX], size_t *n, uint32_t now)
{
	return sc_keyring_list(&cache->keyring, keys, n, now);
}

enum sesscache_status
sc_cache_rotate_keys(struct sc_cache *cache, uint32_t now)
{
	return sc_keyring_rotate(&cache->keyring, now);
}

/* --- counting ------------------------------------------------------------ */

void
sc_cache_count(struct sc_cache *cache, enum sc_event event)
{
	switch (event) {
	case SC_EVENT_TOO_BIG:
		count_for_all(cache, SC_COUNT_TOO_BIG);
		break;
	case SC_EVENT_FAILED:
		count_for_all(cache, SC_COUNT_FAILED);
		break;
	case SC_EVENT_TICKET:
		count_for_all(cache, SC_COUNT_TICKETS_REFUSED);
		break;
	case SC_EVENT_REALM:
		count_for_all(cache, SC_COUNT_REALM_REFUSED);
		break;
	case SC_EVENT_TICKET_ACCEPTED:
		count_for_all(cache, SC_COUNT_TICKETS_ACCEPTED);
		break;
	case SC_EVENT_HIT:
		count_for_all(cache, SC_COUNT_HITS);
		break;
	case SC_EVENT_UNDECODABLE:
		count_for_all(cache, SC_COUNT_UNDECODABLE);
		break;
	}
}

static uint64_t
total(const struct sc_cache *cache, enum sc_count what)
{
	unsigned i, shards = sc_store_shards(cache->store);
	uint64_t n = 0;

	for (i = 0; i < shards; i++)
		n += sc_store_counted(cache->store, i, what);
	return n;
}

static void
fill_counts(const struct sc_cache *cache, struct sesscache_stats *out)
{
	out->stored = total(cache, SC_COUNT_STORED);
	out->hits = total(cache, SC_COUNT_HITS);
	out->misses = total(cache, SC_COUNT_MISSES);
	out->foreign = total(cache, SC_COUNT_FOREIGN);
	out->taken = total(cache, SC_COUNT_TAKEN);
	out->removed = total(cache, SC_COUNT_REMOVED);
	out->expired = total(cache, SC_COUNT_EXPIRED);
	out->evicted_newcomers = total(cache, SC_COUNT_EVICTED_NEWCOMERS);
	out->evicted_regulars = total(cache, SC_COUNT_EVICTED_REGULARS);
	out->promoted = total(cache, SC_COUNT_PROMOTED);
	out->too_big = total(cache, SC_COUNT_TOO_BIG);
	out->busy = total(cache, SC_COUNT_BUSY);
	out->stalled = total(cache, SC_COUNT_STALLED);
	out->repaired = total(cache, SC_COUNT_REPAIRED);
	out->unreadable = total(cache, SC_COUNT_UNREADABLE);
	out->failed = total(cache, SC_COUNT_FAILED);
	out->tickets_issued = total(cache, SC_COUNT_TICKETS_ISSUED);
	out->tickets_accepted = total(cache, SC_COUNT_TICKETS_ACCEPTED);
	out->tickets_refused = total(cache, SC_COUNT_TICKETS_REFUSED);
	out->realm_refused = total(cache, SC_COUNT_REALM_REFUSED);
	out->key_rotations = total(cache, SC_COUNT_KEY_ROTATIONS);
	out->remade = total(cache, SC_COUNT_REMADE);
	out->undecodable = total(cache, SC_COUNT_UNDECODABLE);
}

enum sesscache_status
sc_cache_stats(struct sc_cache *cache, struct sesscache_stats *out,
    uint32_t *created_at)
{
	unsigned i, shards = sc_store_shards(cache->store);
	enum sesscache_status status;
	struct sc_tree_usage usage;

	memset(out, 0, sizeof(*out));
	out->size_bytes = sc_store_size(cache->store);
	out->shards = shards;
	*created_at = cache->keys->made_at;
	fill_counts(cache, out);
	for (i = 0; i < shards; i++) {
		status = sc_store_enter(cache->store, i, SC_LOCK_PATIENT_MS);
		if (status != SESSCACHE_OK)
			return status;
		status = sc_store_usage(cache->store, i, &usage);
		sc_store_leave(cache->store, i);
		if (status != SESSCACHE_OK)
			return status;
		out->newcomers += usage.records[SESSCACHE_NEWCOMER];
		out->regulars += usage.records[SESSCACHE_REGULAR];
		out->used_bytes += usage.pages_used * usage.page_bytes;
	}
	out->records = out->newcomers + out->regulars;
	return SESSCACHE_OK;
}
