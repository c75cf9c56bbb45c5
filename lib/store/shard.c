/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One shard at work: its gate, its journals, and their way to the tree.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/shard.h"

/*
 * Pages that making room leaves free.  LMDB may reuse the pages that a
 * transaction freed only two transactions later, so this is three times what
 * one takes: the journal's records, the paths to both ends of two trees, some
 * aliases and the list of free pages.
 */
enum {
	RESERVE_PAGES = 72,
	/* Pages of aliases that a transaction changes: one for each record
	 * that it writes, removes or evicts. */
	SCATTERED_MOST = 3 * SC_JOURNAL_ENTRIES,
};

/*
 * Removals in one transaction; and spent records, which lie anywhere too.
 * Before a journal is written, as many of these go as it has records.
 */
enum { REMOVALS = 16, SPENT_RUNS = SC_JOURNAL_ENTRIES / REMOVALS };

/*
 * Of the turns of a thread, and of the calls that a damaged shard refuses, one
 * in so many: odd, so that a thread meets each shard.
 */
enum { DOUBT = 61 };

struct sc_room {
	struct sc_store *store;
	unsigned shard;
	struct sc_write *write;
	uint64_t reserve_pages;
	uint64_t highest;  /* sequence number in the tree */
	uint32_t spent_at; /* where in the ring of spent ones */
	unsigned spent;    /* of these, found in this transaction */
	bool only_spent;   /* if there are some, nothing else goes */
	bool tight;        /* spare nothing: that would take pages itself */
};

/* --- counters and numbers ------------------------------------------------ */

void
sc_store_count(struct sc_store *store, unsigned shard, enum sc_count count,
    uint64_t n)
{
	atomic_fetch_add_explicit(&store->shard[shard].state->counts[count], n,
	    memory_order_relaxed);
}

uint64_t
sc_store_counted(const struct sc_store *store, unsigned shard,
    enum sc_count count)
{
	struct sc_state *state = store->shard[shard].state;
	uint64_t n = atomic_load_explicit(&state->counts[count],
	    memory_order_relaxed);

	if (count == SC_COUNT_HITS)
		n += atomic_load_explicit(&state->hits, memory_order_relaxed);
	return n;
}

uint64_t
sc_store_next_seq(struct sc_store *store, unsigned shard)
{
	return atomic_fetch_add_explicit(&store->shard[shard].state->next_seq,
	    1, memory_order_relaxed);
}

uint64_t
sc_store_next_write(struct sc_store *store, unsigned shard, uint64_t seq)
{
	_Atomic uint64_t *last = &store->shard[shard].state->last_write;
	uint64_t before = atomic_load_explicit(last, memory_order_relaxed);
	uint64_t number;

	do
		number = before >= seq ? before + 1 : seq;
	while (!atomic_compare_exchange_weak_explicit(last, &before, number,
	    memory_order_relaxed, memory_order_relaxed));
	return number;
}

/* Where this thread is in its round over the shards; 0: nowhere yet. */
static _Thread_local unsigned turn;

/* Children of one parent must not all begin their rounds where it was. */
void
sc_shard_in_child(void)
{
	turn = 0;
}

/*
 * That a lock does not seem free is a hint, and one that a process leaves
 * behind when it dies: now and then it is not believed, or nobody would ever
 * take that lock again and correct it.  The gate is taken by the next store.
 */
static void
doubt(struct sc_store *store, unsigned shard)
{
	if (!sc_lock_seems_free(&store->shard[shard].state->work) &&
	    sc_shard_try_work(store, shard))
		sc_shard_rest(store, shard);
}

static bool
seems_usable(struct sc_store *store, unsigned shard)
{
	struct sc_shard *sh = &store->shard[shard];

	if (atomic_load_explicit(&sh->state->broken, memory_order_relaxed) != 0)
		return turn % DOUBT == 0 &&
		    sc_shard_mend(store, shard) == SESSCACHE_OK;
	if (sc_lock_seems_free(&sh->state->gate) &&
	    sc_lock_seems_free(&sh->state->work))
		return true;
	if (turn % DOUBT != 0)
		return false;
	doubt(store, shard);
	return true;
}

/* Threads and processes start apart. */
static void
begin_round(void)
{
	static _Atomic unsigned threads;

	if (turn == 0)
		turn = atomic_fetch_add(&threads, 7) + (unsigned)getpid() + 1;
}

unsigned
sc_store_any(const struct sc_store *store)
{
	begin_round();
	return turn & (store->shards - 1);
}

unsigned
sc_store_pick(struct sc_store *store)
{
	unsigned i, shard;

	begin_round();
	for (i = 0; i < store->shards; i++) {
		shard = turn++ & (store->shards - 1);
		if (seems_usable(store, shard))
			return shard;
	}
	return turn++ & (store->shards - 1);
}

/* --- locks --------------------------------------------------------------- */

void
sc_shard_repaired(struct sc_store *store, unsigned shard)
{
	sc_store_count(store, shard, SC_COUNT_REPAIRED, 1);
	atomic_fetch_add(&store->shard[shard].state->deaths, 1);
	/* A commit may have happened without having been counted. */
	atomic_fetch_add(&store->shard[shard].state->commits, 1);
}

static void
count_event(struct sc_store *store, unsigned shard,
    enum sesscache_status status, enum sc_lock_event event)
{
	if (status == SESSCACHE_EBUSY)
		sc_store_count(store, shard, SC_COUNT_BUSY, 1);
	switch (event) {
	case SC_LOCK_PLAIN:
		break;
	case SC_LOCK_REPAIRED:
		sc_shard_repaired(store, shard);
		break;
	case SC_LOCK_TIMED_OUT:
		sc_store_count(store, shard, SC_COUNT_STALLED, 1);
		break;
	}
}

enum sesscache_status
sc_shard_check(struct sc_store *store, unsigned shard,
    enum sesscache_status status)
{
	char name[32];

	if (status != SESSCACHE_ECORRUPT ||
	    atomic_exchange(&store->shard[shard].state->broken, 1) != 0)
		return status;
	sc_shard_name(name, shard);
	return sc_fail_in(status, store->dir.path, name);
}

/* What a process that died in the gate may have left half done. */
static void
repair(struct sc_shard *sh)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (!sc_journal_is_sound(&sh->area->journals[i]))
			sc_journal_clear(&sh->area->journals[i]);
	}
}

static void
let_go(struct sc_store *store, struct sc_shard *sh)
{
	pthread_mutex_lock(&store->remap);
	sc_shard_close(sh);
	sh->late = true;
	pthread_mutex_unlock(&store->remap);
}

static enum sesscache_status
map_again(struct sc_store *store, unsigned shard, uint32_t generation)
{
	struct sc_shard *sh = &store->shard[shard];
	enum sesscache_status status;

	pthread_mutex_lock(&store->remap);
	status = sc_tree_remap(sh->tree, atomic_load(&sh->state->file_bytes));
	sc_shard_take_area(sh);
	if (status == SESSCACHE_OK)
		sh->generation = generation;
	pthread_mutex_unlock(&store->remap);
	return sc_shard_check(store, shard, status);
}

enum sesscache_status
sc_shard_remap(struct sc_store *store, unsigned shard)
{
	struct sc_shard *sh = &store->shard[shard];
	uint32_t generation;
	struct stat st;

	generation = atomic_load_explicit(&sh->state->generation,
	    memory_order_relaxed);
	if (generation == sh->generation && sh->area != NULL)
		return SESSCACHE_OK;
	if (!sc_tree_stat(sh->tree, &st) || st.st_nlink > 0)
		return map_again(store, shard, generation);
	let_go(store, sh); /* another file has its name */
	return sc_shard_open_late(store, shard);
}

static enum sesscache_status
refuse(const struct sc_store *store, unsigned shard)
{
	return sc_fail(SESSCACHE_ECORRUPT,
	    "shard %u of %s is damaged and not made anew yet", shard,
	    store->dir.path);
}

static enum sesscache_status
enter(struct sc_store *store, unsigned shard, unsigned wait_ms)
{
	struct sc_shard *sh = &store->shard[shard];
	enum sesscache_status status;
	enum sc_lock_event event;

	status = sc_lock_take(&sh->state->gate, wait_ms, &event);
	if (status != SESSCACHE_OK || event != SC_LOCK_PLAIN)
		count_event(store, shard, status, event);
	if (status != SESSCACHE_OK)
		return status;
	if (atomic_load_explicit(&sh->state->broken, memory_order_relaxed))
		status = refuse(store, shard);
	else if (sh->tree == NULL)
		status = sc_shard_open_late(store, shard);
	else
		status = sc_shard_remap(store, shard);
	if (status == SESSCACHE_OK && event == SC_LOCK_REPAIRED) {
		status = sc_shard_suspect(store, shard);
		if (status == SESSCACHE_OK)
			repair(sh);
	}
	if (status != SESSCACHE_OK)
		sc_store_leave(store, shard);
	return status;
}

enum sesscache_status
sc_store_enter(struct sc_store *store, unsigned shard, unsigned wait_ms)
{
	enum sesscache_status status = enter(store, shard, wait_ms);

	if (status != SESSCACHE_ECORRUPT ||
	    atomic_fetch_add(&store->shard[shard].refused, 1) % DOUBT != 0)
		return status;
	status = sc_shard_mend(store, shard);
	if (status == SESSCACHE_OK)
		return enter(store, shard, wait_ms);
	/* The sentence says why it is still damaged. */
	return status == SESSCACHE_EBUSY ? refuse(store, shard) :
					   SESSCACHE_ECORRUPT;
}

void
sc_store_leave(struct sc_store *store, unsigned shard)
{
	sc_lock_release(&store->shard[shard].state->gate);
}

enum sesscache_status
sc_shard_work(struct sc_store *store, unsigned shard, unsigned wait_ms)
{
	struct sc_shard *sh = &store->shard[shard];
	enum sc_lock_event event = SC_LOCK_PLAIN;
	enum sesscache_status status;

	/* First that of this process: fork() finds no transaction open. */
	if (sc_lock_local(&sh->work, wait_ms) != 0) {
		status = sc_fail(SESSCACHE_EBUSY,
		    "another thread is writing to shard %u", shard);
	} else {
		status = sc_lock_take(&sh->state->work, wait_ms, &event);
		if (status != SESSCACHE_OK)
			pthread_mutex_unlock(&sh->work);
	}
	if (status != SESSCACHE_OK || event != SC_LOCK_PLAIN)
		count_event(store, shard, status, event);
	return status;
}

bool
sc_shard_try_work(struct sc_store *store, unsigned shard)
{
	struct sc_shard *sh = &store->shard[shard];
	enum sc_lock_event event;

	if (pthread_mutex_trylock(&sh->work) != 0)
		return false;
	if (sc_lock_take(&sh->state->work, SC_LOCK_TRY, &event) !=
	    SESSCACHE_OK) {
		pthread_mutex_unlock(&sh->work);
		return false;
	}
	if (event == SC_LOCK_REPAIRED)
		sc_shard_repaired(store, shard);
	return true;
}

void
sc_shard_rest(struct sc_store *store, unsigned shard)
{
	struct sc_shard *sh = &store->shard[shard];

	sc_lock_release(&sh->state->work);
	pthread_mutex_unlock(&sh->work);
}

/* --- inside the gate ----------------------------------------------------- */

static struct sc_journal *
active_journal(struct sc_area *area)
{
	return &area->journals[atomic_load_explicit(&area->active,
				   memory_order_relaxed) &
	    1];
}

static struct sc_journal *
sealed_journal(struct sc_area *area)
{
	return &area->journals[~atomic_load_explicit(&area->active,
				   memory_order_relaxed) &
	    1];
}

static uint32_t
commits(const struct sc_shard *sh)
{
	return atomic_load_explicit(&sh->state->commits, memory_order_relaxed);
}

/* What the journals say of a record, the newer one first. */
static enum sc_journal_answer
ask_journals(struct sc_area *area, uint64_t seq, struct sc_span *record,
    enum sesscache_queue *queue)
{
	enum sc_journal_answer answer;

	answer = sc_journal_find(active_journal(area), seq, record, queue);
	if (answer == SC_JOURNAL_UNKNOWN)
		answer = sc_journal_find(sealed_journal(area), seq, record,
		    queue);
	return answer;
}

enum sesscache_status
sc_store_read(struct sc_store *store, unsigned shard, uint64_t seq,
    uint8_t *buf, size_t size, size_t *len, enum sesscache_queue *queue)
{
	struct sc_shard *sh = &store->shard[shard];
	struct sc_span record;

	switch (ask_journals(sh->area, seq, &record, queue)) {
	case SC_JOURNAL_FOUND:
		if (record.len > size)
			return SESSCACHE_ETOOBIG;
		memcpy(buf, record.bytes, record.len);
		*len = record.len;
		return SESSCACHE_OK;
	case SC_JOURNAL_REMOVED:
		return SESSCACHE_MISS;
	case SC_JOURNAL_UNKNOWN:
		break;
	}
	return sc_shard_check(store, shard,
	    sc_tree_read(sh->tree, commits(sh), seq, buf, size, len, queue));
}

enum sesscache_status
sc_store_find_alias(struct sc_store *store, unsigned shard, uint64_t alias,
    uint64_t *seq)
{
	struct sc_shard *sh = &store->shard[shard];

	if (sc_journal_find_alias(active_journal(sh->area), alias, seq) ||
	    sc_journal_find_alias(sealed_journal(sh->area), alias, seq))
		return SESSCACHE_OK;
	return sc_shard_check(store, shard,
	    sc_tree_find_alias(sh->tree, commits(sh), alias, seq));
}

static _Atomic uint8_t *
mark_of(const struct sc_shard *sh, uint64_t seq, uint8_t *bit)
{
	uint64_t at = seq % sh->mark_bits;

	*bit = (uint8_t)(1u << (at & 7));
	return &sh->area->marks[at >> 3];
}

/* Set a mark; whether it was clear. */
static bool
set_mark(const struct sc_shard *sh, uint64_t seq)
{
	uint8_t bit;
	_Atomic uint8_t *mark = mark_of(sh, seq, &bit);

	/* Most are set already: leave their cache lines clean. */
	if ((atomic_load_explicit(mark, memory_order_relaxed) & bit) != 0)
		return false;
	atomic_fetch_or_explicit(mark, bit, memory_order_relaxed);
	return true;
}

void
sc_store_mark(struct sc_store *store, unsigned shard, uint64_t seq)
{
	(void)set_mark(&store->shard[shard], seq);
}

void
sc_store_hit(struct sc_store *store, unsigned shard, uint64_t seq, bool spent)
{
	_Atomic uint64_t *hits = &store->shard[shard].state->hits;
	uint64_t n = atomic_load_explicit(hits, memory_order_relaxed);

	/* The gate makes it one step; a locked addition would cost more. */
	atomic_store_explicit(hits, n + 1, memory_order_relaxed);
	sc_store_use(store, shard, seq, spent);
}

void
sc_store_use(struct sc_store *store, unsigned shard, uint64_t seq, bool spent)
{
	struct sc_shard *sh = &store->shard[shard];

	if (set_mark(sh, seq) && spent) /* by this use, and no earlier one */
		sc_spent_push(&sh->area->spent, seq);
}

bool
sc_store_is_marked(struct sc_store *store, unsigned shard, uint64_t seq)
{
	uint8_t bit;
	_Atomic uint8_t *mark = mark_of(&store->shard[shard], seq, &bit);

	return (atomic_load_explicit(mark, memory_order_relaxed) & bit) != 0;
}

static bool
clear_mark(const struct sc_shard *sh, uint64_t seq)
{
	uint8_t bit;
	_Atomic uint8_t *mark = mark_of(sh, seq, &bit);

	if ((atomic_load_explicit(mark, memory_order_relaxed) & bit) == 0)
		return false;
	atomic_fetch_and_explicit(mark, (uint8_t)~bit, memory_order_relaxed);
	return true;
}

bool
sc_store_is_short(size_t record_len)
{
	return record_len <= SC_JOURNAL_LONGEST;
}

enum sesscache_status
sc_store_put(struct sc_store *store, unsigned shard,
    const struct sc_stored *stored)
{
	struct sc_area *area = store->shard[shard].area;
	struct sc_journal *journal = active_journal(area);

	if (!sc_journal_has_room(journal, stored->record.len) ||
	    (stored->replaces != 0 && !sc_journal_can_remove(journal)))
		return SESSCACHE_EBUSY;
	clear_mark(&store->shard[shard], stored->seq);
	sc_journal_put(journal, stored->queue, stored->seq, stored->alias,
	    stored->record);
	if (stored->replaces != 0)
		sc_journal_remove(journal, stored->replaces);
	return SESSCACHE_OK;
}

enum sesscache_status
sc_store_remove(struct sc_store *store, unsigned shard, uint64_t seq)
{
	struct sc_area *area = store->shard[shard].area;
	struct sc_journal *journal = active_journal(area);

	if (!sc_journal_can_remove(journal))
		return SESSCACHE_EBUSY;
	sc_journal_remove(journal, seq);
	return SESSCACHE_OK;
}

enum sesscache_status
sc_store_next(struct sc_store *store, unsigned shard,
    enum sesscache_queue queue, uint64_t *seq, uint8_t *buf, size_t size,
    size_t *len)
{
	struct sc_shard *sh = &store->shard[shard];
	enum sesscache_status status;
	enum sesscache_queue in_journal;
	struct sc_span newer;

	for (;;) {
		status = sc_tree_read_from(sh->tree, commits(sh), queue, seq,
		    buf, size, len);
		if (status != SESSCACHE_OK)
			return sc_shard_check(store, shard, status);
		if (ask_journals(sh->area, *seq, &newer, &in_journal) !=
		    SC_JOURNAL_REMOVED)
			return SESSCACHE_OK;
		++*seq;
	}
}

/* What a journal says of a record, if it is its to say. */
static enum sc_journal_answer
own_answer(const struct sc_journal *journal, const struct sc_journal *newer,
    uint64_t seq)
{
	enum sesscache_queue queue;
	struct sc_span record;

	if (newer != NULL &&
	    sc_journal_find(newer, seq, &record, &queue) != SC_JOURNAL_UNKNOWN)
		return SC_JOURNAL_UNKNOWN;
	return sc_journal_find(journal, seq, &record, &queue);
}

/* A record of the tree that a journal replaces or removes does not count. */
static enum sesscache_status
discount(struct sc_shard *sh, uint64_t seq, struct sc_tree_usage *usage)
{
	enum sesscache_status status;
	enum sesscache_queue queue;
	uint8_t none[1];
	size_t len;

	status = sc_tree_read(sh->tree, commits(sh), seq, none, 0, &len,
	    &queue);
	if (status == SESSCACHE_OK || status == SESSCACHE_ETOOBIG)
		usage->records[queue]--;
	return status == SESSCACHE_MISS || status == SESSCACHE_ETOOBIG ?
	    SESSCACHE_OK :
	    status;
}

/* Change the counts as writing a journal to the tree would. */
static enum sesscache_status
count_journal(struct sc_shard *sh, const struct sc_journal *journal,
    const struct sc_journal *newer, struct sc_tree_usage *usage)
{
	enum sesscache_status status = SESSCACHE_OK;
	uint32_t i, j;

	for (i = 0; status == SESSCACHE_OK && i < sc_journal_count(journal);
	     i++) {
		if (atomic_load(&journal->entries[i].dead) != 0 ||
		    own_answer(journal, newer, journal->seqs[i]) !=
			SC_JOURNAL_FOUND)
			continue;
		usage->records[journal->entries[i].queue & 1]++;
		status = discount(sh, journal->seqs[i], usage);
	}
	for (i = 0; status == SESSCACHE_OK && i < sc_journal_removals(journal);
	     i++) {
		for (j = 0; j < i; j++) {
			if (journal->removed[j] == journal->removed[i])
				break;
		}
		if (j == i &&
		    own_answer(journal, newer, journal->removed[i]) ==
			SC_JOURNAL_REMOVED)
			status = discount(sh, journal->removed[i], usage);
	}
	return status;
}

enum sesscache_status
sc_store_usage(struct sc_store *store, unsigned shard,
    struct sc_tree_usage *usage)
{
	struct sc_shard *sh = &store->shard[shard];
	const struct sc_journal *newer = active_journal(sh->area);
	enum sesscache_status status;

	status = sc_tree_usage(sh->tree, commits(sh), usage);
	if (status == SESSCACHE_OK)
		status = count_journal(sh, newer, NULL, usage);
	if (status == SESSCACHE_OK)
		status = count_journal(sh, sealed_journal(sh->area), newer,
		    usage);
	return sc_shard_check(store, shard, status);
}

/* --- making room --------------------------------------------------------- */

bool
sc_room_wanted(struct sc_room *room)
{
	struct sc_tree_usage usage;
	uint64_t scattered;

	if (room->only_spent && room->spent > 0)
		return false; /* the next transaction has the pages of these */
	if (sc_tree_written(room->write, &usage) != SESSCACHE_OK)
		return false;
	/* Aliases come and go all over their tree. */
	scattered = usage.alias_pages < SCATTERED_MOST ? usage.alias_pages :
							 SCATTERED_MOST;
	return usage.pages - usage.pages_used <
	    room->reserve_pages + 3 * scattered;
}

uint64_t
sc_room_records(struct sc_room *room, enum sesscache_queue queue)
{
	struct sc_tree_usage usage;

	if (sc_tree_written(room->write, &usage) != SESSCACHE_OK)
		return 0;
	return usage.records[queue];
}

enum sesscache_status
sc_room_first(struct sc_room *room, enum sesscache_queue queue, uint64_t *seq,
    struct sc_span *head)
{
	return sc_tree_first(room->write, queue, seq, head);
}

uint64_t
sc_shard_alias(struct sc_span head)
{
	uint64_t alias = 0;
	int i;

	if (head.len <= 8 || (head.bytes[0] & SC_RECORD_ALIASED) == 0)
		return 0;
	for (i = 1; i <= 8; i++)
		alias = alias << 8 | head.bytes[i];
	return alias;
}

/* Delete a record and its alias; SESSCACHE_MISS if it is not in the queue. */
static enum sesscache_status
erase(struct sc_write *write, enum sesscache_queue queue, uint64_t seq)
{
	enum sesscache_status status;
	struct sc_span head;
	uint64_t alias;

	status = sc_tree_peek(write, queue, seq, &head);
	if (status != SESSCACHE_OK)
		return status;
	alias = sc_shard_alias(head);
	if (alias != 0)
		status = sc_tree_delete_alias(write, alias, seq);
	if (status == SESSCACHE_OK)
		status = sc_tree_delete(write, queue, seq);
	return status;
}

/* The same, whichever queue it is in. */
static enum sesscache_status
erase_anywhere(struct sc_write *write, uint64_t seq)
{
	enum sesscache_status status;

	status = erase(write, SESSCACHE_NEWCOMER, seq);
	if (status == SESSCACHE_MISS)
		status = erase(write, SESSCACHE_REGULAR, seq);
	return status == SESSCACHE_MISS ? SESSCACHE_OK : status;
}

/* A record of the tree, or of the journal that is on its way there. */
static enum sesscache_status
peek_anywhere(struct sc_room *room, uint64_t seq, enum sesscache_queue *queue,
    struct sc_span *head)
{
	struct sc_area *area = room->store->shard[room->shard].area;
	enum sesscache_status status;

	*queue = SESSCACHE_NEWCOMER;
	status = sc_tree_peek(room->write, *queue, seq, head);
	if (status == SESSCACHE_MISS) {
		*queue = SESSCACHE_REGULAR;
		status = sc_tree_peek(room->write, *queue, seq, head);
	}
	if (status == SESSCACHE_MISS &&
	    sc_journal_find(sealed_journal(area), seq, head, queue) ==
		SC_JOURNAL_FOUND)
		status = SESSCACHE_OK;
	return status;
}

enum sesscache_status
sc_room_spent(struct sc_room *room, enum sesscache_queue *queue, uint64_t *seq,
    struct sc_span *head)
{
	struct sc_spent *spent = &room->store->shard[room->shard].area->spent;
	enum sesscache_status status = SESSCACHE_MISS;

	while (status == SESSCACHE_MISS && !room->tight &&
	    room->spent < REMOVALS &&
	    sc_spent_next(spent, &room->spent_at, seq)) {
		/* Without its mark, it is one that was stored anew. */
		if (*seq < SC_STORE_SEQ_END &&
		    sc_store_is_marked(room->store, room->shard, *seq))
			status = peek_anywhere(room, *seq, queue, head);
	}
	if (status == SESSCACHE_OK)
		room->spent++;
	return status;
}

enum sesscache_status
sc_room_delete(struct sc_room *room, enum sesscache_queue queue, uint64_t seq,
    enum sc_count why)
{
	struct sc_area *area = room->store->shard[room->shard].area;
	enum sesscache_status status = erase(room->write, queue, seq);

	if (status == SESSCACHE_MISS &&
	    sc_journal_give_up(sealed_journal(area), seq))
		status = SESSCACHE_OK;
	if (status == SESSCACHE_OK)
		sc_store_count(room->store, room->shard, why, 1);
	return status;
}

enum sesscache_status
sc_room_promote(struct sc_room *room, uint64_t seq)
{
	enum sesscache_status status;

	status = sc_tree_move(room->write, SESSCACHE_NEWCOMER,
	    SESSCACHE_REGULAR, seq);
	if (status == SESSCACHE_OK)
		sc_store_count(room->store, room->shard, SC_COUNT_PROMOTED, 1);
	return status;
}

bool
sc_room_take_mark(struct sc_room *room, uint64_t seq)
{
	return !room->tight &&
	    clear_mark(&room->store->shard[room->shard], seq);
}

struct sc_hand *
sc_room_hand(struct sc_room *room)
{
	return &room->store->shard[room->shard].area->hand;
}

/* --- from the journal to the tree ---------------------------------------- */

static enum sesscache_status
place(struct sc_room *room, const struct sc_stored *stored)
{
	enum sesscache_status status = SESSCACHE_OK;

	if (stored->seq <= room->highest)
		status = erase_anywhere(room->write, stored->seq);
	else
		room->highest = stored->seq;
	if (status == SESSCACHE_OK && stored->replaces != 0)
		status = erase_anywhere(room->write, stored->replaces);
	if (status == SESSCACHE_OK)
		status = sc_tree_put(room->write, stored->queue, stored->seq,
		    stored->record);
	if (status == SESSCACHE_OK && stored->alias != 0)
		status = sc_tree_put_alias(room->write, stored->alias,
		    stored->seq);
	return status;
}

static enum sesscache_status
place_journal(struct sc_room *room, const struct sc_journal *journal)
{
	enum sesscache_status status = SESSCACHE_OK;
	const struct sc_journal_entry *entry;
	uint8_t order[SC_JOURNAL_ENTRIES];
	struct sc_stored stored;
	unsigned i, n;

	for (i = 0; status == SESSCACHE_OK && i < sc_journal_removals(journal);
	     i++)
		status = erase_anywhere(room->write, journal->removed[i]);
	n = sc_journal_order(journal, order);
	for (i = 0; status == SESSCACHE_OK && i < n; i++) {
		entry = &journal->entries[order[i]];
		if (atomic_load_explicit(&entry->dead, memory_order_relaxed))
			continue;
		stored.queue = (enum sesscache_queue)entry->queue;
		stored.seq = journal->seqs[order[i]];
		stored.alias = entry->alias;
		stored.replaces = 0; /* is among the removals */
		stored.record.bytes = journal->data + entry->offset;
		stored.record.len = entry->len;
		status = place(room, &stored);
	}
	return status;
}

/* Of a journal's removals, those of one transaction. */
static enum sesscache_status
remove_some(struct sc_room *room, const struct sc_journal *journal,
    uint32_t first)
{
	enum sesscache_status status = SESSCACHE_OK;
	uint32_t i;

	for (i = first; status == SESSCACHE_OK && i < first + REMOVALS; i++)
		status = erase_anywhere(room->write, journal->removed[i]);
	return status;
}

static enum sesscache_status
find_highest(struct sc_room *room)
{
	enum sesscache_status status;
	uint64_t other = 0;

	status = sc_tree_last(room->write, SESSCACHE_NEWCOMER, &room->highest);
	if (status == SESSCACHE_OK)
		status = sc_tree_last(room->write, SESSCACHE_REGULAR, &other);
	if (other > room->highest)
		room->highest = other;
	return status;
}

/* What one transaction is to do. */
struct batch {
	struct sc_journal *journal;     /* NULL: none */
	const struct sc_stored *stored; /* a long record; NULL: none */
	bool (*absent)(void *arg);      /* NULL: store it in any case */
	void *arg;
	uint32_t now;
	uint64_t reserve_pages;
	bool tight; /* there was no room for the last one */
	bool spent; /* only if room is wanted, and spent ones make it */
	const struct sc_journal *removing; /* some removals of it alone */
	uint32_t first;                    /* of these */
};

/* Commit inside the gate: no lookup sees half of it, nor the record twice. */
static enum sesscache_status
commit(struct sc_store *store, unsigned shard, struct sc_write *write,
    const struct batch *batch)
{
	struct sc_shard *sh = &store->shard[shard];
	enum sesscache_status status;

	status = sc_store_enter(store, shard, SC_LOCK_SERVING_MS);
	if (status == SESSCACHE_OK && batch->absent != NULL &&
	    !batch->absent(batch->arg)) {
		sc_store_leave(store, shard);
		status = SESSCACHE_EXISTS;
	}
	if (status != SESSCACHE_OK) {
		sc_tree_abort(write);
		return status;
	}
	status = sc_tree_commit(write);
	atomic_fetch_add_explicit(&sh->state->commits, 1, memory_order_relaxed);
	if (status == SESSCACHE_OK && batch->journal != NULL)
		sc_journal_clear(batch->journal);
	if (status == SESSCACHE_OK && batch->stored != NULL) {
		clear_mark(sh, batch->stored->seq);
		sc_journal_forget(active_journal(sh->area), batch->stored->seq);
		sc_journal_forget(active_journal(sh->area),
		    batch->stored->replaces);
	}
	sc_store_leave(store, shard);
	return status;
}

/* Make room, and put what there is to put. */
static enum sesscache_status
fill(struct sc_room *room, const struct batch *batch)
{
	enum sesscache_status status;

	status = room->store->make_room(room, batch->now);
	if (status == SESSCACHE_OK)
		status = find_highest(room);
	if (status == SESSCACHE_OK && batch->removing != NULL)
		status = remove_some(room, batch->removing, batch->first);
	if (status == SESSCACHE_OK && batch->journal != NULL)
		status = place_journal(room, batch->journal);
	if (status == SESSCACHE_OK && batch->stored != NULL)
		status = place(room, batch->stored);
	return status;
}

static enum sesscache_status
run(struct sc_store *store, unsigned shard, const struct batch *batch)
{
	struct sc_shard *sh = &store->shard[shard];
	struct sc_room room = { .store = store,
		.shard = shard,
		.reserve_pages = batch->reserve_pages,
		.only_spent = batch->spent,
		.tight = batch->tight };
	enum sesscache_status status;

	status = sc_tree_begin(sh->tree, &room.write);
	if (status != SESSCACHE_OK)
		return sc_shard_check(store, shard, status);
	room.spent_at = sc_spent_first(&sh->area->spent);
	status = batch->spent && !sc_room_wanted(&room) ? SESSCACHE_MISS :
							  fill(&room, batch);
	if (status == SESSCACHE_OK)
		status = commit(store, shard, room.write, batch);
	else
		sc_tree_abort(room.write);
	if (status == SESSCACHE_OK) /* else they are to be taken again */
		sc_spent_done(&sh->area->spent, room.spent_at);
	return sc_shard_check(store, shard, status);
}

/*
 * What is spent goes before the rest, in transactions of its own: it seldom
 * frees a page by itself, and the oldest must not go in its place meanwhile.
 */
static enum sesscache_status
run_spent_first(struct sc_store *store, unsigned shard,
    const struct batch *batch)
{
	struct sc_spent *spent = &store->shard[shard].area->spent;
	struct batch part = { .now = batch->now,
		.reserve_pages = batch->reserve_pages,
		.spent = true };
	enum sesscache_status status = SESSCACHE_OK;
	int i;

	for (i = 0; status == SESSCACHE_OK && i < SPENT_RUNS &&
	     sc_spent_waiting(spent) > REMOVALS;
	     i++)
		status = run(store, shard, &part);
	return status == SESSCACHE_MISS ? SESSCACHE_OK : status;
}

/*
 * Removals hit pages anywhere, one or two each, and what they free can be used
 * again only two transactions later: all but the last few have transactions of
 * their own.  The journal stays until the last.
 */
static enum sesscache_status
run_removals_first(struct sc_store *store, unsigned shard,
    const struct batch *batch)
{
	struct batch part = { .now = batch->now,
		.reserve_pages = batch->reserve_pages,
		.removing = batch->journal };
	enum sesscache_status status = SESSCACHE_OK;

	for (; status == SESSCACHE_OK && batch->journal != NULL &&
	     part.first + REMOVALS < sc_journal_removals(batch->journal);
	     part.first += REMOVALS)
		status = run(store, shard, &part);
	return status == SESSCACHE_OK ? run(store, shard, batch) : status;
}

/*
 * Run a batch.  If it does not fit in spite of the reserve, make more room in
 * transactions of their own, so that LMDB may reuse the pages, and run it
 * again.  Records that do not fit then are given up: a shard must not stop.
 * Removals never are, or what was removed would come back.
 */
static enum sesscache_status
run_surely(struct sc_store *store, unsigned shard, const struct batch *batch)
{
	struct batch room_only = { .now = batch->now,
		.reserve_pages = batch->reserve_pages,
		.tight = true };
	enum sesscache_status status = run_spent_first(store, shard, batch);
	int i;

	if (status == SESSCACHE_OK)
		status = run_removals_first(store, shard, batch);
	for (i = 0; status == SESSCACHE_ENOSPC && i < 4; i++) {
		room_only.reserve_pages += RESERVE_PAGES / 3;
		status = run(store, shard, &room_only);
		if (status == SESSCACHE_OK)
			status = i < 2 ?
			    SESSCACHE_ENOSPC :
			    run_removals_first(store, shard, batch);
	}
	if (status == SESSCACHE_ENOSPC && batch->journal != NULL) {
		sc_store_count(store, shard, SC_COUNT_FAILED,
		    batch->journal->count);
		if (sc_store_enter(store, shard, SC_LOCK_SERVING_MS) ==
		    SESSCACHE_OK) {
			sc_journal_give_up_all(batch->journal);
			sc_store_leave(store, shard);
		}
	}
	return status == SESSCACHE_ENOSPC ? SESSCACHE_EBUSY : status;
}

/*
 * The journal to write out, or NULL if there is nothing to do.  One that a
 * process left behind when it died is first.
 */
static enum sesscache_status
seal(struct sc_store *store, unsigned shard, enum sc_flush what,
    struct sc_journal **sealed)
{
	struct sc_area *area;
	struct sc_journal *journal;
	enum sesscache_status status;
	bool full;

	*sealed = NULL;
	status = sc_store_enter(store, shard, SC_LOCK_SERVING_MS);
	if (status != SESSCACHE_OK)
		return status;
	area = store->shard[shard].area;
	journal = active_journal(area);
	full = !sc_journal_has_room(journal, SC_JOURNAL_LONGEST) ||
	    !sc_journal_can_remove(journal);
	if (!sc_journal_is_empty(sealed_journal(area))) {
		*sealed = sealed_journal(area);
	} else if (full ||
	    (what == SC_FLUSH_ALL && !sc_journal_is_empty(journal))) {
		*sealed = journal;
		atomic_fetch_xor_explicit(&area->active, 1,
		    memory_order_relaxed);
	}
	if (*sealed != NULL && !sc_journal_is_sound(*sealed)) {
		sc_journal_clear(*sealed); /* somebody wrote into it */
		*sealed = NULL;
	}
	/* Then what was used so far is in the sealed one, or in the tree. */
	if (sc_journal_is_empty(active_journal(area)))
		sc_spent_ripen(&area->spent);
	sc_store_leave(store, shard);
	return SESSCACHE_OK;
}

/* Take the work lock, to write into a file that is not known to be damaged. */
static enum sesscache_status
begin_work(struct sc_store *store, unsigned shard, unsigned wait_ms)
{
	enum sesscache_status status = sc_shard_work(store, shard, wait_ms);

	if (status == SESSCACHE_OK) {
		status = sc_shard_suspect(store, shard);
		if (status != SESSCACHE_OK)
			sc_shard_rest(store, shard);
	}
	return status;
}

enum sesscache_status
sc_store_flush(struct sc_store *store, unsigned shard, enum sc_flush what,
    uint32_t now)
{
	struct batch batch = { .now = now, .reserve_pages = RESERVE_PAGES };
	enum sesscache_status status;

	status = begin_work(store, shard, SC_LOCK_SERVING_MS);
	if (status != SESSCACHE_OK)
		return status;
	status = seal(store, shard, what, &batch.journal);
	if (status == SESSCACHE_OK && batch.journal != NULL)
		status = run_surely(store, shard, &batch);
	sc_shard_rest(store, shard);
	return status;
}

enum sesscache_status
sc_store_put_long(struct sc_store *store, unsigned shard,
    const struct sc_stored *stored, uint32_t now, bool (*absent)(void *arg),
    void *arg)
{
	struct batch batch = { .stored = stored,
		.absent = absent,
		.arg = arg,
		.now = now };
	enum sesscache_status status;

	batch.reserve_pages = RESERVE_PAGES + 2 * stored->record.len / 4096;
	status = begin_work(store, shard, SC_LOCK_SERVING_MS);
	if (status != SESSCACHE_OK)
		return status;
	status = seal(store, shard, SC_FLUSH_FULL, &batch.journal);
	if (status == SESSCACHE_OK)
		status = run_surely(store, shard, &batch);
	sc_shard_rest(store, shard);
	return status;
}

/* --- dropping ------------------------------------------------------------ */

enum { DROP_BATCH = 512 };

static enum sesscache_status
drop_from(struct sc_write *write, enum sesscache_queue queue, uint64_t *removed)
{
	enum sesscache_status status = SESSCACHE_OK;
	struct sc_span head;
	uint64_t seq = 0;
	int i;

	for (i = 0; status == SESSCACHE_OK && i < DROP_BATCH; i++) {
		status = sc_tree_first(write, queue, &seq, &head);
		if (status == SESSCACHE_OK)
			status = erase(write, queue, seq);
		if (status == SESSCACHE_OK)
			++*removed;
	}
	return status == SESSCACHE_MISS ? SESSCACHE_OK : status;
}

enum sesscache_status
sc_store_drop(struct sc_store *store, unsigned shard, uint64_t *removed)
{
	const struct batch nothing = { .now = 0 };
	enum sesscache_status status;
	struct sc_write *write;

	*removed = 0;
	status = begin_work(store, shard, SC_LOCK_PATIENT_MS);
	if (status != SESSCACHE_OK)
		return status;
	status = sc_store_enter(store, shard, SC_LOCK_PATIENT_MS);
	if (status == SESSCACHE_OK) { /* the map is the newest now */
		sc_store_leave(store, shard);
		status = sc_tree_begin(store->shard[shard].tree, &write);
	}
	if (status != SESSCACHE_OK)
		goto out;
	status = drop_from(write, SESSCACHE_NEWCOMER, removed);
	if (status == SESSCACHE_OK)
		status = drop_from(write, SESSCACHE_REGULAR, removed);
	if (status == SESSCACHE_OK)
		status = commit(store, shard, write, &nothing);
	else
		sc_tree_abort(write);
out:
	sc_shard_rest(store, shard);
	if (status != SESSCACHE_OK)
		*removed = 0;
	/* In a file that somebody damages: to be tried again. */
	if (status == SESSCACHE_ENOSPC)
		status = SESSCACHE_EBUSY;
	return sc_shard_check(store, shard, status);
}
