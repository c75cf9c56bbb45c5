/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See evict.h.
 */
#include "cache/evict.h"
#include "cache/record.h"

/* Bounds on one transaction: the pages that it takes are reserved. */
enum {
	STEP = 8, /* removals between two looks at the free pages */
	PROMOTED_BYTES = 12 * 1024,
	SPARED = 256,
	EXPIRED = 64, /* of each queue */
	STEPS = 4096,
};

struct eviction {
	struct sc_room *room;
	uint32_t now;
	size_t promoted_bytes;
	int spared;
};

struct candidate {
	uint64_t seq;
	size_t len; /* bytes of its first piece */
	bool expired;
	bool ticket; /* spent by its first use */
};

static const enum sc_count evicted_from[] = {
	[SESSCACHE_NEWCOMER] = SC_COUNT_EVICTED_NEWCOMERS,
	[SESSCACHE_REGULAR] = SC_COUNT_EVICTED_REGULARS,
};

static void
judge(const struct eviction *ev, const struct sc_span *head,
    struct candidate *found)
{
	uint32_t expires_at = 0;
	unsigned flags = 0;

	/* What cannot be read goes as if its time had come. */
	found->expired = !sc_record_peek(head->bytes, head->len, &flags,
			     &expires_at) ||
	    expires_at <= ev->now;
	found->len = head->len;
	found->ticket = (flags & SC_RECORD_TICKET) != 0;
}

static enum sesscache_status
look(struct eviction *ev, enum sesscache_queue queue, uint64_t from,
    struct candidate *found)
{
	enum sesscache_status status;
	struct sc_span head;

	found->seq = from;
	status = sc_room_first(ev->room, queue, &found->seq, &head);
	if (status == SESSCACHE_OK)
		judge(ev, &head, found);
	return status;
}

/* One of the regulars that the hand has passed may have gone. */
static void
gone_behind_hand(struct eviction *ev, uint64_t seq)
{
	struct sc_hand *hand = sc_room_hand(ev->room);

	if (seq < hand->seq && hand->passed > 0)
		hand->passed--;
}

/* The oldest newcomer goes, or joins the regulars if it was resumed. */
static enum sesscache_status
evict_newcomer(struct eviction *ev)
{
	enum sesscache_status status;
	struct candidate oldest;

	status = look(ev, SESSCACHE_NEWCOMER, 0, &oldest);
	if (status != SESSCACHE_OK)
		return status;
	if (oldest.expired)
		return sc_room_delete(ev->room, SESSCACHE_NEWCOMER, oldest.seq,
		    SC_COUNT_EXPIRED);
	if (!oldest.ticket && ev->promoted_bytes < PROMOTED_BYTES &&
	    sc_room_take_mark(ev->room, oldest.seq)) {
		ev->promoted_bytes += oldest.len;
		return sc_room_promote(ev->room, oldest.seq);
	}
	return sc_room_delete(ev->room, SESSCACHE_NEWCOMER, oldest.seq,
	    SC_COUNT_EVICTED_NEWCOMERS);
}

/* Where the hand points: at a regular of the older half, the oldest first. */
static enum sesscache_status
under_hand(struct eviction *ev, struct sc_hand *hand, struct candidate *found)
{
	uint64_t half = sc_room_records(ev->room, SESSCACHE_REGULAR) / 2;
	enum sesscache_status status = SESSCACHE_MISS;

	/* Those in the newer half have only just become regulars. */
	if (hand->passed < half)
		status = look(ev, SESSCACHE_REGULAR, hand->seq, found);
	if (status == SESSCACHE_MISS) {
		hand->seq = 0;
		hand->passed = 0;
		status = look(ev, SESSCACHE_REGULAR, 0, found);
	}
	return status;
}

/* The next regular under the hand goes, unless it was resumed meanwhile. */
static enum sesscache_status
evict_regular(struct eviction *ev)
{
	struct sc_hand *hand = sc_room_hand(ev->room);
	enum sesscache_status status;
	struct candidate found;

	status = under_hand(ev, hand, &found);
	if (status != SESSCACHE_OK)
		return status;
	hand->seq = found.seq + 1;
	if (found.expired)
		return sc_room_delete(ev->room, SESSCACHE_REGULAR, found.seq,
		    SC_COUNT_EXPIRED);
	if (!found.ticket && ev->spared < SPARED &&
	    sc_room_take_mark(ev->room, found.seq)) {
		ev->spared++;
		hand->passed++;
		return SESSCACHE_OK;
	}
	return sc_room_delete(ev->room, SESSCACHE_REGULAR, found.seq,
	    SC_COUNT_EVICTED_REGULARS);
}

/* Tickets that were used go, however young: nobody will miss them. */
static enum sesscache_status
evict_spent(struct eviction *ev)
{
	enum sesscache_status status;
	enum sesscache_queue queue;
	struct candidate found;
	struct sc_span head;

	do {
		status = sc_room_spent(ev->room, &queue, &found.seq, &head);
		if (status != SESSCACHE_OK)
			break;
		judge(ev, &head, &found);
		if (!found.ticket)
			continue;
		status = sc_room_delete(ev->room, queue, found.seq,
		    evicted_from[queue]);
		if (status == SESSCACHE_OK && queue == SESSCACHE_REGULAR)
			gone_behind_hand(ev, found.seq);
	} while (status == SESSCACHE_OK);
	/* MISS: none is left. */
	return status == SESSCACHE_MISS ? SESSCACHE_OK : status;
}

static enum sesscache_status
evict_one(struct eviction *ev)
{
	uint64_t newcomers = sc_room_records(ev->room, SESSCACHE_NEWCOMER);
	uint64_t regulars = sc_room_records(ev->room, SESSCACHE_REGULAR);

	return newcomers > regulars ? evict_newcomer(ev) : evict_regular(ev);
}

/* Of the oldest of a queue, those whose time is over. */
static enum sesscache_status
remove_expired(struct eviction *ev, enum sesscache_queue queue)
{
	enum sesscache_status status = SESSCACHE_OK;
	struct candidate oldest;
	int i;

	for (i = 0; status == SESSCACHE_OK && i < EXPIRED; i++) {
		status = look(ev, queue, 0, &oldest);
		if (status == SESSCACHE_OK && !oldest.expired)
			break;
		if (status == SESSCACHE_OK)
			status = sc_room_delete(ev->room, queue, oldest.seq,
			    SC_COUNT_EXPIRED);
		if (status == SESSCACHE_OK && queue == SESSCACHE_REGULAR)
			gone_behind_hand(ev, oldest.seq);
	}
	/* MISS: none is left. */
	return status == SESSCACHE_MISS ? SESSCACHE_OK : status;
}

enum sesscache_status
sc_evict(struct sc_room *room, uint32_t now)
{
	struct eviction ev = { .room = room, .now = now };
	enum sesscache_status status;
	int i;

	status = remove_expired(&ev, SESSCACHE_NEWCOMER);
	if (status == SESSCACHE_OK)
		status = remove_expired(&ev, SESSCACHE_REGULAR);
	if (status == SESSCACHE_OK && sc_room_wanted(room))
		status = evict_spent(&ev);
	for (i = 0; status == SESSCACHE_OK && i < STEPS; i++) {
		if (i % STEP == 0 && !sc_room_wanted(room))
			break;
		status = evict_one(&ev);
	}
	/* MISS: nothing is left to go. */
	return status == SESSCACHE_MISS ? SESSCACHE_OK : status;
}
