/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See keyring.h.
 */
#include <pthread.h>
#include <string.h>

#include "cache/keyring.h"
#include "cache/scratch.h"
#include "cache/seal.h"

_Static_assert(sizeof(struct sc_ring_body) % 8 == 0 &&
	sizeof(struct sc_ring_body) ==
	    SESSCACHE_KEYS_MAX * (4 * 4 + 2 * SC_TICKET_KEY),
    "whole words, and no byte between them");
_Static_assert((int)SC_RING_KEY == (int)SC_SEAL_BLOB_KEY &&
	SC_RING_SEALED == sizeof(struct sc_ring_body) + SC_SEAL_BLOB_TAG,
    "a copy holds a sealed ring and its key");

enum { TRIES = 8 }; /* of a read that finds the ring changing */

/* What to do to a ring, with its lock held. */
enum change { WHAT_IS_DUE, ROTATE, REPLACE };

/* A copy out of the shared memory. */
struct image {
	uint8_t key[SC_RING_KEY];
	uint8_t sealed[SC_RING_SEALED];
};

/* The ring that a thread opened last; in no core dump. */
struct opened {
	uint64_t owner; /* 0: none */
	uint64_t turn;
	struct sc_ring_body body;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_end;
static _Thread_local struct opened *local;

/* --- copies -------------------------------------------------------------- */

static struct sc_ring_copy *
copy_of(const struct sc_keyring *keyring, uint64_t turn)
{
	return &keyring->ring->copies[turn & 1];
}

/* With acquire order: whatever a wiped word follows is seen after it. */
static void
read_words(_Atomic uint64_t *words, uint8_t *out, size_t len)
{
	uint64_t word;
	size_t at;

	for (at = 0; at < len; at += sizeof(word)) {
		word = atomic_load_explicit(words++, memory_order_acquire);
		memcpy(out + at, &word, sizeof(word));
	}
}

static void
write_words(_Atomic uint64_t *words, const uint8_t *bytes, size_t len)
{
	uint64_t word;
	size_t at;

	for (at = 0; at < len; at += sizeof(word)) {
		memcpy(&word, bytes + at, sizeof(word));
		atomic_store_explicit(words++, word, memory_order_release);
	}
}

static void
read_copy(const struct sc_keyring *keyring, uint64_t turn, struct image *image)
{
	struct sc_ring_copy *copy = copy_of(keyring, turn);

	read_words(copy->key, image->key, sizeof(image->key));
	read_words(copy->sealed, image->sealed, sizeof(image->sealed));
}

static void
write_copy(const struct sc_keyring *keyring, uint64_t turn,
    const struct image *image)
{
	struct sc_ring_copy *copy = copy_of(keyring, turn);

	write_words(copy->key, image->key, sizeof(image->key));
	write_words(copy->sealed, image->sealed, sizeof(image->sealed));
}

static bool
is_wiped(const struct sc_keyring *keyring, uint64_t turn)
{
	static const struct image zeroes;
	struct image image;
	bool wiped;

	read_copy(keyring, turn, &image);
	wiped = memcmp(&image, &zeroes, sizeof(image)) == 0;
	sc_seal_wipe(&image, sizeof(image));
	return wiped;
}

static void
wipe_copy(const struct sc_keyring *keyring, uint64_t turn)
{
	static const struct image zeroes;

	write_copy(keyring, turn, &zeroes);
}

static struct sc_seal_blob
blob_of(const struct image *image, uint64_t turn)
{
	return (struct sc_seal_blob){ .key = image->key,
		.label = "the ticket keys",
		.number = turn };
}

/* Open the ring that counts; SESSCACHE_ECORRUPT if it does not, or none was
 * made yet. */
static enum sesscache_status
open_ring(const struct sc_keyring *keyring, uint64_t *turn,
    struct sc_ring_body *body)
{
	enum sesscache_status status = SESSCACHE_EBUSY;
	struct sc_seal_blob blob;
	struct image image;
	int i;

	for (i = 0; status == SESSCACHE_EBUSY && i < TRIES; i++) {
		*turn = atomic_load_explicit(&keyring->ring->turn,
		    memory_order_acquire);
		read_copy(keyring, *turn, &image);
		if (atomic_load_explicit(&keyring->ring->turn,
			memory_order_relaxed) != *turn)
			continue;
		blob = blob_of(&image, *turn);
		status = sc_seal_open_blob(&blob, image.sealed, sizeof(*body),
		    (uint8_t *)body);
	}
	if (status == SESSCACHE_EBUSY)
		status = sc_fail(status, "the ticket keys are changing");
	sc_seal_wipe(&image, sizeof(image));
	return status;
}

/* With the lock held: let this be the ring.  The new turn is not the one that
 * is, and its other copy. */
static enum sesscache_status
publish(const struct sc_keyring *keyring, uint64_t turn,
    const struct sc_ring_body *body)
{
	enum sesscache_status status;
	struct sc_seal_blob blob;
	struct image image;

	blob = blob_of(&image, turn);
	status = sc_seal_random(image.key, sizeof(image.key));
	if (status == SESSCACHE_OK)
		status = sc_seal_close_blob(&blob, (const uint8_t *)body,
		    sizeof(*body), image.sealed);
	if (status == SESSCACHE_OK) {
		write_copy(keyring, turn, &image);
		atomic_store_explicit(&keyring->ring->turn, turn,
		    memory_order_release);
		wipe_copy(keyring, turn + 1);
	}
	sc_seal_wipe(&image, sizeof(image));
	return status;
}

/* --- time ---------------------------------------------------------------- */

/* A clock that stands before the start of something: it has just started. */
static uint32_t
age_of(const struct sc_ring_key *key, uint32_t now)
{
	return now > key->current_at ? now - key->current_at : 0;
}

static uint32_t
after(uint32_t moment, uint32_t seconds)
{
	return seconds > UINT32_MAX - moment ? UINT32_MAX : moment + seconds;
}

/* The current key is too old even for a previous one. */
static bool
is_overdue(const struct sc_keyring *keyring, const struct sc_ring_body *body,
    uint32_t now)
{
	return age_of(&body->keys[SESSCACHE_KEY_CURRENT], now) / 2 >=
	    keyring->lifetime_seconds;
}

static bool
is_rotation_due(const struct sc_keyring *keyring,
    const struct sc_ring_body *body, uint32_t now)
{
	return age_of(&body->keys[SESSCACHE_KEY_CURRENT], now) >=
	    keyring->lifetime_seconds;
}

static bool
is_retired(const struct sc_ring_key *previous, uint32_t now)
{
	return previous->retires_at <= now;
}

static bool
is_due(const struct sc_keyring *keyring, const struct sc_ring_body *body,
    uint32_t now)
{
	const struct sc_ring_key *previous =
	    &body->keys[SESSCACHE_KEY_PREVIOUS];

	return is_rotation_due(keyring, body, now) ||
	    (previous->name != 0 && is_retired(previous, now));
}

/* --- changes, with the lock held ----------------------------------------- */

static void
count(const struct sc_keyring *keyring, enum sc_count what)
{
	sc_store_count(keyring->store, sc_store_any(keyring->store), what, 1);
}

static bool
has_name(const struct sc_ring_body *body, uint32_t name)
{
	bool has = name == 0;
	int i;

	for (i = 0; i < SESSCACHE_KEYS_MAX; i++)
		has = has || body->keys[i].name == name;
	return has;
}

static enum sesscache_status
make_key(struct sc_ring_body *body, enum sesscache_key_state state,
    uint32_t now)
{
	struct sc_ring_key *key = &body->keys[state];
	enum sesscache_status status;
	uint32_t name = 0;

	do
		status = sc_seal_random(&name, sizeof(name));
	while (status == SESSCACHE_OK && has_name(body, name));
	if (status == SESSCACHE_OK)
		status = sc_seal_random(key->cipher, sizeof(key->cipher));
	if (status == SESSCACHE_OK)
		status = sc_seal_random(key->mac, sizeof(key->mac));
	key->name = name;
	key->made_at = now;
	key->current_at = 0;
	key->retires_at = 0;
	return status;
}

/* From now on it seals. */
static void
make_current(const struct sc_keyring *keyring, struct sc_ring_body *body,
    uint32_t now)
{
	struct sc_ring_key *current = &body->keys[SESSCACHE_KEY_CURRENT];

	current->current_at = now;
	current->retires_at = after(now, 2 * keyring->lifetime_seconds);
}

/* Two new keys; none of those that were, if they are known. */
static enum sesscache_status
replace(const struct sc_keyring *keyring, struct sc_ring_body *body,
    uint32_t now)
{
	enum sesscache_status status;

	status = make_key(body, SESSCACHE_KEY_CURRENT, now);
	make_current(keyring, body, now);
	if (status == SESSCACHE_OK)
		status = make_key(body, SESSCACHE_KEY_NEXT, now);
	sc_seal_wipe(&body->keys[SESSCACHE_KEY_PREVIOUS],
	    sizeof(body->keys[SESSCACHE_KEY_PREVIOUS]));
	return status;
}

static enum sesscache_status
rotate(const struct sc_keyring *keyring, struct sc_ring_body *body,
    uint32_t now)
{
	struct sc_ring_key *keys = body->keys;
	struct sc_ring_key *previous = &keys[SESSCACHE_KEY_PREVIOUS];
	uint32_t retires_at = after(now, keyring->lifetime_seconds);

	*previous = keys[SESSCACHE_KEY_CURRENT];
	/* That nobody noticed in time makes its life no longer. */
	if (previous->retires_at > retires_at)
		previous->retires_at = retires_at;
	keys[SESSCACHE_KEY_CURRENT] = keys[SESSCACHE_KEY_NEXT];
	make_current(keyring, body, now);
	return make_key(body, SESSCACHE_KEY_NEXT, now);
}

/* Of a ring that opens: work out what it is next, if anything is to be done. */
static enum sesscache_status
advance(const struct sc_keyring *keyring, struct sc_ring_body *body,
    enum change change, uint32_t now)
{
	enum sesscache_status status = SESSCACHE_OK;
	struct sc_ring_key *previous = &body->keys[SESSCACHE_KEY_PREVIOUS];

	if (change == REPLACE || is_overdue(keyring, body, now))
		status = replace(keyring, body, now);
	else if (change == ROTATE || is_rotation_due(keyring, body, now))
		status = rotate(keyring, body, now);
	else
		sc_seal_wipe(previous, sizeof(*previous));
	return status;
}

/* In the place of what does not open.  The turn is one that no thread can
 * have seen: some may have keys that opened. */
static enum sesscache_status
make_anew(const struct sc_keyring *keyring, uint64_t before, uint32_t now)
{
	struct sc_ring_body body = { 0 };
	enum sesscache_status status;
	uint64_t turn;

	if (before != 0 || !is_wiped(keyring, 0) || !is_wiped(keyring, 1))
		count(keyring, SC_COUNT_UNREADABLE);
	status = sc_seal_random(&turn, sizeof(turn));
	if (status == SESSCACHE_OK)
		status = replace(keyring, &body, now);
	turn = ((turn | 2) & ~UINT64_C(1)) | (~before & 1);
	if (status == SESSCACHE_OK)
		status = publish(keyring, turn, &body);
	sc_seal_wipe(&body, sizeof(body));
	return status;
}

static uint64_t
turn_after(uint64_t turn)
{
	return turn == UINT64_MAX ? 2 : turn + 1; /* 0: there is no ring */
}

static enum sesscache_status
change_locked(const struct sc_keyring *keyring, enum change change,
    uint32_t now)
{
	enum sesscache_status status;
	struct sc_ring_body body;
	uint32_t current;
	uint64_t turn;

	status = open_ring(keyring, &turn, &body);
	if (status == SESSCACHE_ECORRUPT)
		status = make_anew(keyring, turn, now);
	else if (status == SESSCACHE_OK &&
	    (change != WHAT_IS_DUE || is_due(keyring, &body, now))) {
		current = body.keys[SESSCACHE_KEY_CURRENT].name;
		status = advance(keyring, &body, change, now);
		if (status == SESSCACHE_OK)
			status = publish(keyring, turn_after(turn), &body);
		if (status == SESSCACHE_OK &&
		    body.keys[SESSCACHE_KEY_CURRENT].name != current)
			count(keyring, SC_COUNT_KEY_ROTATIONS);
	}
	sc_seal_wipe(&body, sizeof(body));
	return status;
}

static enum sesscache_status
lock(const struct sc_keyring *keyring, unsigned wait_ms)
{
	enum sesscache_status status;
	enum sc_lock_event event;

	status = sc_lock_take(&keyring->ring->lock, wait_ms, &event);
	if (event == SC_LOCK_REPAIRED)
		count(keyring, SC_COUNT_REPAIRED);
	if (status == SESSCACHE_EBUSY && wait_ms != SC_LOCK_TRY)
		count(keyring, SC_COUNT_BUSY);
	if (event == SC_LOCK_TIMED_OUT)
		count(keyring, SC_COUNT_STALLED);
	return status;
}

static enum sesscache_status
change(const struct sc_keyring *keyring, enum change what, unsigned wait_ms,
    uint32_t now)
{
	enum sesscache_status status = lock(keyring, wait_ms);

	if (status != SESSCACHE_OK)
		return status;
	status = change_locked(keyring, what, now);
	sc_lock_release(&keyring->ring->lock);
	return status;
}

/* --- a thread's copy ----------------------------------------------------- */

static void
forget(void)
{
	if (local != NULL)
		sc_seal_wipe(local, sizeof(*local));
}

/* As that of the scratch buffers, it may be asked for again. */
static void
free_local(void *arg)
{
	sc_private_free(arg, sizeof(*local));
	local = NULL;
}

static void
make_thread_end(void)
{
	(void)pthread_key_create(&thread_end, free_local);
}

static enum sesscache_status
make_local(void)
{
	if (local != NULL)
		return SESSCACHE_OK;
	pthread_once(&once, make_thread_end);
	local = sc_private_new(sizeof(*local));
	if (local == NULL)
		return SESSCACHE_ENOMEM;
	pthread_setspecific(thread_end, local);
	return SESSCACHE_OK;
}

/* Who died between a change and the wiping of what was before, left that. */
static void
tidy(const struct sc_keyring *keyring)
{
	uint64_t turn;

	if (is_wiped(keyring, local->turn + 1) ||
	    lock(keyring, SC_LOCK_TRY) != SESSCACHE_OK)
		return;
	turn = atomic_load_explicit(&keyring->ring->turn, memory_order_relaxed);
	wipe_copy(keyring, turn + 1);
	sc_lock_release(&keyring->ring->lock);
}

/* Have the ring that counts in local. */
static enum sesscache_status
refresh(const struct sc_keyring *keyring)
{
	uint64_t turn = atomic_load_explicit(&keyring->ring->turn,
	    memory_order_acquire);
	enum sesscache_status status = make_local();

	if (status != SESSCACHE_OK ||
	    (local->owner == keyring->owner && local->turn == turn))
		return status;
	forget();
	status = open_ring(keyring, &local->turn, &local->body);
	if (status != SESSCACHE_OK)
		return status;
	local->owner = keyring->owner;
	tidy(keyring);
	return SESSCACHE_OK;
}

/* The same, and whatever is due is done. */
static enum sesscache_status
get_ready(const struct sc_keyring *keyring, uint32_t now)
{
	enum sesscache_status status = refresh(keyring);
	bool usable = status == SESSCACHE_OK;

	if (!usable && status != SESSCACHE_ECORRUPT)
		return status;
	if (usable && !is_due(keyring, &local->body, now))
		return SESSCACHE_OK;
	/* With a key that will do, no handshake waits for another. */
	usable = usable && !is_overdue(keyring, &local->body, now);
	status = change(keyring, WHAT_IS_DUE,
	    usable ? SC_LOCK_TRY : SC_LOCK_SERVING_MS, now);
	return usable || status == SESSCACHE_OK ? refresh(keyring) : status;
}

void
sc_keyring_tend(const struct sc_keyring *keyring, uint32_t now)
{
	if (get_ready(keyring, now) != SESSCACHE_OK)
		forget();
}

enum sesscache_status
sc_keyring_current(const struct sc_keyring *keyring, uint32_t now,
    const struct sc_ring_key **key)
{
	enum sesscache_status status = get_ready(keyring, now);

	if (status == SESSCACHE_OK)
		*key = &local->body.keys[SESSCACHE_KEY_CURRENT];
	return status;
}

enum sesscache_status
sc_keyring_find(const struct sc_keyring *keyring, uint32_t name, uint32_t now,
    const struct sc_ring_key **key, bool *renew)
{
	enum sesscache_status status = get_ready(keyring, now);
	const struct sc_ring_key *keys;

	if (status != SESSCACHE_OK)
		return status;
	keys = local->body.keys;
	if (name == 0) {
		status = SESSCACHE_MISS;
	} else if (name == keys[SESSCACHE_KEY_CURRENT].name) {
		*key = &keys[SESSCACHE_KEY_CURRENT];
		*renew = is_rotation_due(keyring, &local->body, now);
	} else if (name == keys[SESSCACHE_KEY_PREVIOUS].name &&
	    !is_retired(&keys[SESSCACHE_KEY_PREVIOUS], now)) {
		*key = &keys[SESSCACHE_KEY_PREVIOUS];
		*renew = true;
	} else {
		status = SESSCACHE_MISS;
	}
	return status;
}

/* --- by hand ------------------------------------------------------------- */

enum sesscache_status
sc_keyring_rotate(const struct sc_keyring *keyring, uint32_t now)
{
	return change(keyring, ROTATE, SC_LOCK_PATIENT_MS, now);
}

enum sesscache_status
sc_keyring_replace(const struct sc_keyring *keyring, uint32_t now)
{
	return change(keyring, REPLACE, SC_LOCK_PATIENT_MS, now);
}

enum sesscache_status
sc_keyring_list(const struct sc_keyring *keyring,
    struct sc_ticket_key keys[SESSCACHE_KEYS_MAX], size_t *n, uint32_t now)
{
	enum sesscache_status status;
	const struct sc_ring_key *key;
	struct sc_ring_body body;
	uint64_t turn;
	int i;

	*n = 0;
	status = open_ring(keyring, &turn, &body);
	if (status == SESSCACHE_ECORRUPT && turn == 0)
		status = SESSCACHE_MISS;
	for (i = 0; status == SESSCACHE_OK && i < SESSCACHE_KEYS_MAX; i++) {
		key = &body.keys[i];
		if (key->name == 0 ||
		    (i == SESSCACHE_KEY_PREVIOUS && is_retired(key, now)))
			continue;
		keys[*n].name = key->name;
		keys[*n].state = (enum sesscache_key_state)i;
		keys[*n].made_at = key->made_at;
		keys[*n].retires_at = key->retires_at;
		(*n)++;
	}
	sc_seal_wipe(&body, sizeof(body));
	return status == SESSCACHE_MISS ? SESSCACHE_OK : status;
}
