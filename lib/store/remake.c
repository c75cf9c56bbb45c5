/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening a shard's file, and making it anew: at first, when it is damaged,
 * and with another size.  The file stays the same one, so that processes that
 * have it mapped, and could not open it any more, map it again by themselves.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/shard.h"
#include "store/verify.h"

enum {
	RECORDS_PER_PAGE = 24, /* of the shortest sessions */
	MARKS_PER_RECORD = 8,  /* so that few collide: a regular that was not
	                          used must not look so */
	PAGE = 4096,
	PAGE_ROOM = PAGE - 16, /* less its header */
	NODE_OVERHEAD = 20,    /* bytes: node, key, index, rounding */
	ALIAS_OVERHEAD = 160,  /* bytes: their tree's pages are 2/3 full, and
	                          three times as many are kept free */
	MARGIN_PAGES = 90,     /* the reserve, meta pages, roots */
	COPY_BATCH = 2048,     /* records a transaction */
	SUSPICIOUS = 3,        /* deaths in the locks of a shard */
};

size_t
sc_shard_area_bytes(uint64_t file_bytes)
{
	uint64_t records = file_bytes / PAGE * RECORDS_PER_PAGE;

	return sizeof(struct sc_area) + records * MARKS_PER_RECORD / 8;
}

void
sc_shard_take_area(struct sc_shard *sh)
{
	size_t len;

	sh->area = sc_tree_area(sh->tree, &len);
	sh->mark_bits = (len - sizeof(*sh->area)) * 8;
}

void
sc_shard_name(char name[32], unsigned shard)
{
	snprintf(name, 32, "shard-%02u.lmdb-%u", shard, sc_tree_format());
}

void
sc_shard_close(struct sc_shard *sh)
{
	sc_tree_close(sh->tree);
	sh->tree = NULL;
	sh->area = NULL;
}

/*
 * LMDB opens by name.  This one leads to the file that is open here, whatever
 * somebody puts in its place meanwhile.
 */
static void
path_of(int fd, char path[80])
{
	snprintf(path, 80, "/proc/self/fd/%d", fd);
}

static enum sesscache_status
check_area(struct sc_store *store, unsigned shard, struct sc_tree *tree)
{
	struct sc_area *area;
	size_t len;

	area = sc_tree_area(tree, &len);
	if (len < sizeof(*area) ||
	    len !=
		sc_shard_area_bytes(
		    atomic_load(&store->shard[shard].state->file_bytes)) ||
	    area->shard != shard ||
	    memcmp(area->instance, store->control->instance,
		sizeof(area->instance)) != 0)
		return sc_fail(SESSCACHE_ECORRUPT,
		    "it does not belong to the control file");
	if (!sc_journal_is_sound(&area->journals[0]) ||
	    !sc_journal_is_sound(&area->journals[1]))
		return sc_fail(SESSCACHE_ECORRUPT, "its journal is damaged");
	return SESSCACHE_OK;
}

static enum sesscache_status
open_tree(struct sc_store *store, unsigned shard, int fd, const struct stat *st)
{
	struct sc_shard *sh = &store->shard[shard];
	uint64_t bytes = atomic_load(&sh->state->file_bytes);
	enum sesscache_status status;
	struct sc_tree *tree = NULL;
	struct stat opened;
	char path[80];

	path_of(fd, path);
	status = sc_tree_open(&tree, path, bytes, false, 0);
	if (status != SESSCACHE_OK)
		return status;
	if (fstat(sc_tree_fd(tree), &opened) != 0)
		status = sc_fail(SESSCACHE_ESYS, "cannot inspect it: %s",
		    strerror(errno));
	else if (opened.st_ino != st->st_ino || opened.st_dev != st->st_dev)
		status = sc_fail(SESSCACHE_EUNSAFE,
		    "it was replaced while it was opened");
	else
		status = check_area(store, shard, tree);
	if (status != SESSCACHE_OK) {
		sc_tree_close(tree);
		return status;
	}
	sh->tree = tree;
	sc_shard_take_area(sh);
	sh->generation = atomic_load(&sh->state->generation);
	return SESSCACHE_OK;
}

static enum sesscache_status
verify(struct sc_store *store, unsigned shard, int fd, const struct stat *st)
{
	uint64_t bytes = atomic_load(&store->shard[shard].state->file_bytes);

	if ((uint64_t)st->st_size != bytes)
		return sc_fail(SESSCACHE_ECORRUPT,
		    "it has %lld bytes, not %llu", (long long)st->st_size,
		    (unsigned long long)bytes);
	return sc_verify_file(fd, bytes);
}

enum sesscache_status
sc_shard_suspect(struct sc_store *store, unsigned shard)
{
	struct sc_shard *sh = &store->shard[shard];
	enum sesscache_status status;
	struct stat st;

	if (atomic_load(&sh->state->deaths) < SUSPICIOUS || sh->tree == NULL ||
	    !sc_tree_stat(sh->tree, &st))
		return SESSCACHE_OK;
	status = verify(store, shard, sc_tree_fd(sh->tree), &st);
	if (status == SESSCACHE_ECORRUPT)
		return sc_shard_check(store, shard, status);
	if (status == SESSCACHE_OK) /* else it could not be read, for once */
		atomic_store(&sh->state->deaths, 0);
	return SESSCACHE_OK;
}

/* As sc_store_enter() does, but a shard that is damaged or not open, too. */
static enum sesscache_status
take_gate(struct sc_store *store, unsigned shard, unsigned wait_ms)
{
	enum sesscache_status status;
	enum sc_lock_event event;

	status = sc_lock_take(&store->shard[shard].state->gate, wait_ms,
	    &event);
	if (status == SESSCACHE_OK && event == SC_LOCK_REPAIRED)
		sc_shard_repaired(store, shard);
	return status;
}

/*
 * The same while nobody commits: with the work lock, or, where a process is
 * stopped that has it, inside the gate.
 */
static enum sesscache_status
verify_alone(struct sc_store *store, unsigned shard, int fd,
    const struct stat *st)
{
	enum sesscache_status status;

	status = sc_shard_work(store, shard, SC_LOCK_SERVING_MS);
	if (status == SESSCACHE_OK) {
		status = verify(store, shard, fd, st);
		sc_shard_rest(store, shard);
	} else if (status == SESSCACHE_EBUSY) {
		status = take_gate(store, shard, SC_LOCK_PATIENT_MS);
		if (status != SESSCACHE_OK)
			return status;
		status = verify(store, shard, fd, st);
		sc_store_leave(store, shard);
	}
	return status;
}

/*
 * Inside the gate, for what LMDB reads while it opens is a snapshot that two
 * commits would take away.
 */
static enum sesscache_status
open_tree_inside(struct sc_store *store, unsigned shard, int fd,
    const struct stat *st)
{
	enum sesscache_status status;

	status = take_gate(store, shard, SC_LOCK_PATIENT_MS);
	if (status != SESSCACHE_OK)
		return status;
	status = open_tree(store, shard, fd, st);
	sc_store_leave(store, shard);
	return status;
}

/*
 * LMDB gets to see nothing but a file that is whole.  Without a lock at first:
 * others need not wait, and seldom commit twice meanwhile.
 */
static enum sesscache_status
open_verified(struct sc_store *store, unsigned shard, int fd,
    const struct stat *st)
{
	enum sesscache_status status = verify(store, shard, fd, st);

	if (status == SESSCACHE_ECORRUPT)
		status = verify_alone(store, shard, fd, st);
	if (status == SESSCACHE_OK)
		status = open_tree_inside(store, shard, fd, st);
	return status;
}

/* The file of a shard, as one of the ways to open it wants it. */
static enum sesscache_status
open_file(struct sc_store *store, unsigned shard,
    enum sesscache_status (
	*open_it)(struct sc_store *, unsigned, int, const struct stat *))
{
	enum sesscache_status status;
	struct stat st;
	char name[32];
	int fd = -1;

	sc_shard_name(name, shard);
	if (atomic_load(&store->shard[shard].state->broken) != 0)
		return sc_fail(SESSCACHE_ECORRUPT, "%s/%s is marked as damaged",
		    store->dir.path, name);
	status = sc_dir_open_file(&store->dir, name, &fd, &st);
	if (status == SESSCACHE_MISS)
		return sc_fail(SESSCACHE_ECORRUPT, "%s/%s is missing",
		    store->dir.path, name);
	if (status != SESSCACHE_OK)
		return status;
	status = open_it(store, shard, fd, &st);
	close(fd);
	/* Of a file that LMDB does not take for one of its own. */
	if (status == SESSCACHE_EFORMAT)
		status = SESSCACHE_ECORRUPT;
	return status == SESSCACHE_OK ?
	    status :
	    sc_fail_in(status, store->dir.path, name);
}

enum sesscache_status
sc_shard_open(struct sc_store *store, unsigned shard)
{
	enum sesscache_status status = open_file(store, shard, open_verified);

	store->shard[shard].late = status == SESSCACHE_EBUSY;
	return status;
}

/* Nobody commits inside the gate. */
static enum sesscache_status
open_late(struct sc_store *store, unsigned shard, int fd, const struct stat *st)
{
	enum sesscache_status status = verify(store, shard, fd, st);

	if (status == SESSCACHE_OK) {
		pthread_mutex_lock(&store->remap);
		status = open_tree(store, shard, fd, st);
		pthread_mutex_unlock(&store->remap);
	}
	return status;
}

enum sesscache_status
sc_shard_open_late(struct sc_store *store, unsigned shard)
{
	struct sc_shard *sh = &store->shard[shard];
	uint32_t generation = atomic_load(&sh->state->generation);
	enum sesscache_status status;

	if (!sh->late && sh->generation == generation)
		return sc_fail(SESSCACHE_ECORRUPT,
		    "shard %u of %s could not be opened", shard,
		    store->dir.path);
	sh->late = false; /* whatever comes of it */
	sh->generation = generation;
	status = open_file(store, shard, open_late);
	/* Not sc_shard_check(): the sentence names the file already. */
	if (status == SESSCACHE_ECORRUPT)
		atomic_store(&sh->state->broken, 1);
	return status;
}

/* --- what is kept -------------------------------------------------------- */

/*
 * What a shard takes along: its journals, and its newest records in a map
 * that is filled from the end, so that they can be read in their order.
 */
struct kept {
	uint8_t *bytes;
	size_t size;
	size_t first;         /* offset of the oldest record */
	uint64_t pages;       /* that may still be filled */
	size_t left[2];       /* bytes of the page under way, by queue */
	struct sc_area *area; /* copied, but for the marks; NULL: nothing */
};

struct kept_record {
	uint64_t seq;
	uint32_t len;
	uint8_t queue;
	uint8_t marked;
};

/* Whether the record fits the pages of the new file; then it takes them. */
static bool
charge(struct kept *kept, const struct kept_record *head, const uint8_t *bytes)
{
	size_t need = head->len + NODE_OVERHEAD;
	size_t *left = &kept->left[head->queue];
	uint64_t pages;

	if (head->len > 0 && (bytes[0] & SC_RECORD_ALIASED) != 0)
		need += ALIAS_OVERHEAD;
	if (need <= *left) {
		*left -= need;
		return true;
	}
	pages = (need + PAGE_ROOM - 1) / PAGE_ROOM;
	if (pages > kept->pages)
		return false;
	kept->pages -= pages;
	*left = (size_t)pages * PAGE_ROOM - need;
	return true;
}

static bool
keep_record(struct kept *kept, const struct kept_record *head,
    const uint8_t *bytes)
{
	if (kept->first < sizeof(*head) + head->len ||
	    !charge(kept, head, bytes))
		return false;
	kept->first -= head->len;
	memcpy(kept->bytes + kept->first, bytes, head->len);
	kept->first -= sizeof(*head);
	memcpy(kept->bytes + kept->first, head, sizeof(*head));
	return true;
}

/* The newest record before a number, of both queues. */
static enum sesscache_status
read_newest(struct sc_shard *sh, uint64_t before, struct kept_record *head,
    uint8_t *buf, size_t size)
{
	uint32_t commits = atomic_load(&sh->state->commits);
	uint64_t seq[2] = { before, before };
	enum sesscache_status status[2];
	size_t len = 0;
	int q;

	for (q = 0; q < 2; q++)
		status[q] = sc_tree_read_before(sh->tree, commits,
		    (enum sesscache_queue)q, &seq[q], buf, size, &len);
	q = status[1] == SESSCACHE_OK &&
	    (status[0] != SESSCACHE_OK || seq[1] > seq[0]);
	if (q == 0 && status[0] == SESSCACHE_OK && status[1] == SESSCACHE_OK) {
		seq[0] = before; /* the other one is in buf */
		status[0] = sc_tree_read_before(sh->tree, commits,
		    SESSCACHE_NEWCOMER, &seq[0], buf, size, &len);
	}
	head->seq = seq[q];
	head->len = (uint32_t)len;
	head->queue = (uint8_t)q;
	return status[q];
}

static void
collect(struct sc_store *store, unsigned shard, struct kept *kept)
{
	struct kept_record head = { .seq = UINT64_MAX >> 8 };
	uint8_t buf[SC_TREE_MAX_RECORD];

	/* What cannot be read ends it: the newest are kept. */
	while (read_newest(&store->shard[shard], head.seq, &head, buf,
		   sizeof(buf)) == SESSCACHE_OK) {
		head.marked = sc_store_is_marked(store, shard, head.seq);
		if (!keep_record(kept, &head, buf))
			break;
	}
	explicit_bzero(buf, sizeof(buf)); /* the stack is dumped */
}

static enum sesscache_status
keep(struct sc_store *store, unsigned shard, uint64_t file_bytes,
    struct kept *kept)
{
	struct sc_shard *sh = &store->shard[shard];
	uint64_t old = atomic_load(&sh->state->file_bytes);
	uint64_t spent = sc_shard_area_bytes(file_bytes) / PAGE + MARGIN_PAGES;
	uint64_t pages = file_bytes / PAGE;
	enum sesscache_status status;
	void *map;

	kept->first = (size_t)(old < file_bytes ? old : file_bytes);
	kept->size = kept->first;
	map = mmap(NULL, kept->size + sizeof(*kept->area),
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	    -1, 0);
	if (map == MAP_FAILED)
		return sc_fail(SESSCACHE_ENOMEM,
		    "no memory to copy the sessions of a shard");
	status = sc_host_hide(map, kept->size + sizeof(*kept->area));
	if (status != SESSCACHE_OK) {
		munmap(map, kept->size + sizeof(*kept->area));
		return status;
	}
	kept->bytes = map;
	kept->area = (struct sc_area *)(void *)(kept->bytes + kept->size);
	memcpy(kept->area, sh->area, sizeof(*kept->area));
	/* One page in 128 is above the others in the trees. */
	kept->pages = pages > spent ? (pages - spent) * 127 / 128 : 0;
	collect(store, shard, kept);
	return SESSCACHE_OK;
}

static void
keep_nothing(struct kept *kept)
{
	if (kept->bytes != NULL)
		munmap(kept->bytes, kept->size + sizeof(*kept->area));
}

static enum sesscache_status
put_back_one(struct sc_write *write, const struct kept_record *head,
    const uint8_t *bytes)
{
	struct sc_span record = { bytes, head->len };
	uint64_t alias = sc_shard_alias(record);
	enum sesscache_status status;

	status = sc_tree_put(write, (enum sesscache_queue)head->queue,
	    head->seq, record);
	if (status == SESSCACHE_OK && alias != 0)
		status = sc_tree_put_alias(write, alias, head->seq);
	return status;
}

static enum sesscache_status
put_back(struct sc_store *store, unsigned shard, const struct kept *kept)
{
	struct sc_tree *tree = store->shard[shard].tree;
	enum sesscache_status status = SESSCACHE_OK;
	size_t at = kept->first;
	struct kept_record head;
	struct sc_write *write;
	int i;

	while (status == SESSCACHE_OK && at < kept->size) {
		status = sc_tree_begin(tree, &write);
		if (status != SESSCACHE_OK)
			break;
		for (i = 0; status == SESSCACHE_OK && at < kept->size &&
		     i < COPY_BATCH;
		     i++) {
			memcpy(&head, kept->bytes + at, sizeof(head));
			at += sizeof(head);
			status = put_back_one(write, &head, kept->bytes + at);
			at += head.len;
			if (head.marked)
				sc_store_mark(store, shard, head.seq);
		}
		if (status == SESSCACHE_OK)
			status = sc_tree_commit(write);
		else
			sc_tree_abort(write);
	}
	return status;
}

/* --- making anew --------------------------------------------------------- */

static void
lay_out_area(struct sc_store *store, unsigned shard, const struct kept *kept)
{
	struct sc_area *area = store->shard[shard].area;

	if (kept->area != NULL &&
	    sc_journal_is_sound(&kept->area->journals[0]) &&
	    sc_journal_is_sound(&kept->area->journals[1])) {
		memcpy(area, kept->area, sizeof(*area));
	} else {
		sc_journal_clear(&area->journals[0]);
		sc_journal_clear(&area->journals[1]);
	}
	memcpy(area->instance, store->control->instance,
	    sizeof(area->instance));
	area->shard = shard;
}

/* Empty the file and make an environment in it, with what is kept. */
static enum sesscache_status
make_tree(struct sc_store *store, unsigned shard, int fd,
    const struct kept *kept)
{
	struct sc_shard *sh = &store->shard[shard];
	uint64_t bytes = atomic_load(&sh->state->file_bytes);
	enum sesscache_status status;
	struct sc_tree *tree = NULL;
	char path[80];

	if (ftruncate(fd, 0) != 0)
		return sc_fail(SESSCACHE_ESYS, "cannot empty it: %s",
		    strerror(errno));
	path_of(fd, path);
	status = sc_tree_open(&tree, path, bytes, true,
	    sc_shard_area_bytes(bytes));
	if (status != SESSCACHE_OK)
		return status;
	sh->tree = tree;
	sc_shard_take_area(sh);
	lay_out_area(store, shard, kept);
	return put_back(store, shard, kept);
}

/* The file under this name, fit to be emptied; made if there is none. */
static enum sesscache_status
claim_file(struct sc_store *store, const char *name, uint64_t bytes, int *fd)
{
	enum sesscache_status status;
	char fresh[40];
	struct stat st;

	status = sc_dir_open_file(&store->dir, name, fd, &st);
	if (status == SESSCACHE_MISS || status == SESSCACHE_EUNSAFE) {
		/* It has its name once it has its owner. */
		snprintf(fresh, sizeof(fresh), "%s.new", name);
		sc_dir_remove_file(&store->dir, name);
		status = sc_dir_make_file(&store->dir, fresh, 0, fd);
		return status == SESSCACHE_OK ?
		    sc_dir_rename(&store->dir, fresh, name) :
		    status;
	}
	/* While it still has its sessions, see that the new size can be had. */
	if (status == SESSCACHE_OK && (uint64_t)st.st_size < bytes) {
		status = sc_dir_allocate(&store->dir, name, *fd, bytes);
		if (status != SESSCACHE_OK && ftruncate(*fd, st.st_size) != 0)
			status = sc_fail(SESSCACHE_ESYS, "%s/%s: %s",
			    store->dir.path, name, strerror(errno));
	}
	return status;
}

/* Of what turned out not to fit: give up the oldest quarter. */
static bool
skip_oldest(struct kept *kept)
{
	size_t stop = kept->first + (kept->size - kept->first) / 4;
	struct kept_record head;

	if (kept->first >= kept->size)
		return false;
	while (kept->first <= stop && kept->first < kept->size) {
		memcpy(&head, kept->bytes + kept->first, sizeof(head));
		kept->first += sizeof(head) + head.len;
	}
	return true;
}

/* What is closed here must be to be opened again: by a name in /proc. */
static enum sesscache_status
check_path(int fd)
{
	struct stat st;
	char path[80];

	path_of(fd, path);
	if (stat(path, &st) != 0)
		return sc_fail(SESSCACHE_ESYS, "cannot be reached by %s: %s",
		    path, strerror(errno));
	return SESSCACHE_OK;
}

/* With both locks of the shard, or alone. */
static enum sesscache_status
remake_locked(struct sc_store *store, unsigned shard, uint64_t file_bytes,
    struct kept *kept)
{
	struct sc_shard *sh = &store->shard[shard];
	enum sesscache_status status;
	char name[32];
	int fd = -1;

	sc_shard_name(name, shard);
	status = claim_file(store, name, file_bytes, &fd);
	if (status == SESSCACHE_OK)
		status = check_path(fd);
	if (status != SESSCACHE_OK)
		goto out;
	atomic_store(&sh->state->broken, 1); /* until it is whole again */
	pthread_mutex_lock(&store->remap);
	sc_shard_close(sh);
	sh->late = false;
	atomic_store(&sh->state->file_bytes, file_bytes);
	status = make_tree(store, shard, fd, kept);
	while (status == SESSCACHE_ENOSPC && skip_oldest(kept)) {
		sc_shard_close(sh);
		status = make_tree(store, shard, fd, kept);
	}
	sh->generation = atomic_load(&sh->state->generation) + 1;
	pthread_mutex_unlock(&store->remap);
	atomic_store(&sh->state->generation, sh->generation);
	atomic_fetch_add(&sh->state->commits, 1);
	atomic_store(&sh->state->deaths, 0);
	if (status == SESSCACHE_OK)
		atomic_store(&sh->state->broken, 0);
	else
		status = sc_fail_in(status, store->dir.path, name);
out:
	if (fd >= 0)
		close(fd);
	return status;
}

enum sesscache_status
sc_shard_remake(struct sc_store *store, unsigned shard, uint64_t file_bytes,
    bool keep_newest)
{
	struct sc_shard *sh = &store->shard[shard];
	struct kept kept = { .bytes = NULL };
	enum sesscache_status status;

	status = sc_shard_work(store, shard, SC_LOCK_PATIENT_MS);
	if (status != SESSCACHE_OK)
		return status;
	/* Not sc_store_enter(): that refuses a damaged shard. */
	status = take_gate(store, shard, SC_LOCK_PATIENT_MS);
	if (status != SESSCACHE_OK)
		goto rest;
	if (keep_newest && sh->late)
		status = sc_shard_open_late(store, shard);
	else if (keep_newest && sh->tree != NULL)
		status = sc_shard_remap(store, shard);
	if (keep_newest && sh->tree != NULL && status == SESSCACHE_OK)
		status = keep(store, shard, file_bytes, &kept);
	if (status == SESSCACHE_OK)
		status = remake_locked(store, shard, file_bytes, &kept);
	keep_nothing(&kept);
	sc_store_leave(store, shard);
rest:
	sc_shard_rest(store, shard);
	return status;
}

/* Inside both locks; another process may have been faster. */
static enum sesscache_status
mend_locked(struct sc_store *store, unsigned shard)
{
	struct sc_shard *sh = &store->shard[shard];
	struct kept nothing = { .bytes = NULL };
	enum sesscache_status status;

	if (atomic_load(&sh->state->broken) == 0) {
		/* What kept this process from opening it may be over. */
		sh->late = sh->tree == NULL;
		return SESSCACHE_OK;
	}
	status = remake_locked(store, shard,
	    atomic_load(&sh->state->file_bytes), &nothing);
	if (status == SESSCACHE_OK)
		sc_store_count(store, shard, SC_COUNT_REMADE, 1);
	return status;
}

enum sesscache_status
sc_shard_mend(struct sc_store *store, unsigned shard)
{
	enum sesscache_status status;
	int lock_fd = -1;

	/* The work lock first: then no child inherits the directory's. */
	if (!atomic_load(&store->may_mend) || !sc_shard_try_work(store, shard))
		return SESSCACHE_EBUSY;
	status = sc_dir_lock(&store->dir, 0, &lock_fd);
	/* Where another cache is, the files of these names are its own. */
	if (status == SESSCACHE_OK && !sc_store_is_in(store, &store->dir))
		status = SESSCACHE_EBUSY;
	if (status == SESSCACHE_OK)
		status = take_gate(store, shard, SC_LOCK_SERVING_MS);
	if (status == SESSCACHE_OK) {
		status = mend_locked(store, shard);
		sc_store_leave(store, shard);
	}
	sc_dir_unlock(lock_fd);
	sc_shard_rest(store, shard);
	return status;
}
