/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The directory of a cache: its control file, who opens it, and the one store
 * that a process has for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/shard.h"

#define CONTROL "control"
#define CONTROL_NEW "control.new"

enum {
	SHARDS_PER_CPU = 4,
	OPENING_MS = 5000, /* to wait for others who open */
};

static const uint64_t usual_shard_bytes = UINT64_C(4) << 20;
static const uint64_t least_shard_bytes = UINT64_C(512) << 10;

static struct sc_store *stores; /* of this process; under the fork lock */

/* --- the control file ---------------------------------------------------- */

static size_t
control_bytes(unsigned shards)
{
	size_t page = sc_host_page_size();
	size_t bytes = SC_CONTROL_SHARDS_AT + shards * sizeof(struct sc_state);

	return (bytes + page - 1) / page * page;
}

static uint64_t
shard_bytes(uint64_t size_bytes, unsigned shards)
{
	uint64_t page = sc_host_page_size();

	return (size_bytes - control_bytes(shards)) / shards / page * page;
}

/* FNV-1a: finds damage, not malice. */
static uint64_t
sum(const struct sc_control *control)
{
	const uint8_t *at = (const uint8_t *)control;
	const uint8_t *end = at + offsetof(struct sc_control, sum);
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; at < end; at++)
		hash = (hash ^ *at) * UINT64_C(0x100000001b3);
	return hash;
}

static struct sc_state *
state_at(const struct sc_store *store, unsigned shard)
{
	char *base = (char *)store->control;

	return (struct sc_state *)(void *)(base + SC_CONTROL_SHARDS_AT) + shard;
}

static enum sesscache_status
map_control(struct sc_store *store, size_t bytes)
{
	void *map;
	unsigned i;

	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
	    store->control_fd, 0);
	if (map == MAP_FAILED)
		return sc_fail(errno == ENOMEM ? SESSCACHE_ENOMEM :
						 SESSCACHE_ESYS,
		    "cannot map %s/" CONTROL ": %s", store->dir.path,
		    strerror(errno));
	store->control = map;
	store->control_bytes = bytes;
	for (i = 0; i < store->shards; i++)
		store->shard[i].state = state_at(store, i);
	/* It holds keys: in no core dump, and not in swap if that may be. */
	(void)mlock((char *)map + SC_CONTROL_CACHE_AT, SC_STORE_CACHE_BYTES);
	return sc_host_hide(map, bytes);
}

static void
unmap_control(struct sc_store *store)
{
	unsigned i;

	for (i = 0; i < store->shards; i++)
		sc_shard_close(&store->shard[i]);
	if (store->control != NULL)
		munmap(store->control, store->control_bytes);
	store->control = NULL;
	if (store->control_fd >= 0)
		close(store->control_fd);
	store->control_fd = -1;
}

static enum sesscache_status
another_format(const struct sc_store *store, const char *what,
    unsigned long theirs, unsigned long ours)
{
	return sc_fail(SESSCACHE_EFORMAT,
	    "%s/" CONTROL " has %s %lu, this program %lu", store->dir.path,
	    what, theirs, ours);
}

/*
 * An older program made it.  Nobody will read it again, unless some of its
 * processes still do: then the new program has to wait for the last of them.
 */
static enum sesscache_status
older_format(const struct sc_store *store, const struct sc_control *control)
{
	enum sesscache_status status = another_format(store, "format",
	    control->format, SC_FORMAT);

	return flock(store->control_fd, LOCK_EX | LOCK_NB) == 0 ?
	    SESSCACHE_ECORRUPT :
	    status;
}

/* Of a control file that is whole: whether this program can use it. */
static enum sesscache_status
check_format(const struct sc_store *store, const struct sc_control *control)
{
	if (control->byte_order != SC_BYTE_ORDER)
		return another_format(store, "byte order", control->byte_order,
		    SC_BYTE_ORDER);
	if (control->format < SC_FORMAT)
		return older_format(store, control);
	if (control->format != SC_FORMAT)
		return another_format(store, "format", control->format,
		    SC_FORMAT);
	if (control->lmdb_format != sc_tree_format())
		return another_format(store, "LMDB version",
		    control->lmdb_format, sc_tree_format());
	if (control->page_bytes != sc_host_page_size())
		return another_format(store, "pages of bytes",
		    control->page_bytes, sc_host_page_size());
	if (control->lock_bytes != sizeof(struct sc_lock))
		return another_format(store, "locks of bytes",
		    control->lock_bytes, sizeof(struct sc_lock));
	if (control->state_bytes != sizeof(struct sc_state))
		return another_format(store, "shard states of bytes",
		    control->state_bytes, sizeof(struct sc_state));
	return SESSCACHE_OK;
}

/*
 * Some containers give the boot an ID of their own.  Whoever has the cache is
 * of this boot all the same: that it is made anew, by one container after the
 * other, would do nobody good.
 */
static enum sesscache_status
another_boot(const struct sc_store *store)
{
	if (flock(store->control_fd, LOCK_EX | LOCK_NB) != 0)
		return sc_fail(SESSCACHE_EFORMAT,
		    "%s is in use where the boot of the system has another ID, "
		    "as in another container",
		    store->dir.path);
	return sc_fail(SESSCACHE_ECORRUPT,
	    "%s is of another boot of the system", store->dir.path);
}

/*
 * Look at the head of a control file.  SESSCACHE_ECORRUPT and a sentence: it
 * is of no use to anybody, and may be made anew.
 */
static enum sesscache_status
check_control(struct sc_store *store, const struct stat *st)
{
	char boot_id[SC_BOOT_ID_LEN];
	enum sesscache_status status;
	struct sc_control head;
	ssize_t n;

	status = sc_host_boot_id(boot_id);
	if (status != SESSCACHE_OK)
		return status;
	n = pread(store->control_fd, &head, sizeof(head), 0);
	if (n < 0) /* that it cannot be read now is no reason to give it up */
		return sc_fail(SESSCACHE_ESYS, "cannot read %s/" CONTROL ": %s",
		    store->dir.path, strerror(errno));
	if (n != (ssize_t)sizeof(head) ||
	    memcmp(head.magic, SC_CONTROL_MAGIC, sizeof(head.magic)) != 0)
		return sc_fail(SESSCACHE_ECORRUPT,
		    "%s/" CONTROL " is no control file of a cache",
		    store->dir.path);
	if (memcmp(head.boot_id, boot_id, sizeof(boot_id)) != 0)
		return another_boot(store);
	status = check_format(store, &head);
	if (status != SESSCACHE_OK)
		return status;
	if (head.sum != sum(&head) || head.shards == 0 ||
	    head.shards > SC_STORE_MAX_SHARDS ||
	    (head.shards & (head.shards - 1)) != 0 ||
	    (uint64_t)st->st_size != control_bytes(head.shards))
		return sc_fail(SESSCACHE_ECORRUPT, "%s/" CONTROL " is damaged",
		    store->dir.path);
	store->shards = head.shards;
	return SESSCACHE_OK;
}

/* --- opening ------------------------------------------------------------- */

static enum sesscache_status
init_locks(struct sc_store *store)
{
	enum sesscache_status status = SESSCACHE_OK;
	unsigned i;

	for (i = 0; status == SESSCACHE_OK && i < store->shards; i++) {
		status = sc_lock_init(&store->shard[i].state->gate);
		if (status == SESSCACHE_OK)
			status = sc_lock_init(&store->shard[i].state->work);
	}
	return status;
}

/*
 * Numbers that no cache reaches in its life, and a size that none of its files
 * has (all have it, but in the middle of a resize): somebody wrote over them.
 */
static enum sesscache_status
check_states(const struct sc_store *store)
{
	uint64_t bytes = shard_bytes(sc_store_size(store), store->shards);
	struct sc_state *state;
	bool is_right = false;
	unsigned i;

	for (i = 0; i < store->shards; i++) {
		state = store->shard[i].state;
		is_right |= atomic_load(&state->file_bytes) == bytes;
		if (atomic_load(&state->next_seq) - 1 >= SC_STORE_SEQ_END ||
		    atomic_load(&state->last_write) >= 2 * SC_STORE_SEQ_END)
			return sc_fail(SESSCACHE_ECORRUPT,
			    "%s/" CONTROL " is damaged: shard %u",
			    store->dir.path, i);
	}
	return is_right ?
	    SESSCACHE_OK :
	    sc_fail(SESSCACHE_ECORRUPT, "%s/" CONTROL " is damaged: its size",
		store->dir.path);
}

/* Alone: whatever was left in the locks, nobody is waiting. */
static enum sesscache_status
revive(struct sc_store *store, const struct sc_store_config *config)
{
	enum sesscache_status status = check_states(store);

	if (status == SESSCACHE_OK)
		status = init_locks(store);
	if (status == SESSCACHE_OK && config->revive != NULL)
		status = config->revive(sc_store_cache_part(store));
	return status;
}

/*
 * Every process that has the cache holds a shared flock on the control file.
 * Whoever finds that it is alone makes the locks anew.
 */
static enum sesscache_status
join(struct sc_store *store, const struct sc_store_config *config)
{
	enum sesscache_status status = SESSCACHE_OK;

	if (flock(store->control_fd, LOCK_EX | LOCK_NB) == 0)
		status = revive(store, config);
	if (flock(store->control_fd, LOCK_SH | LOCK_NB) != 0 &&
	    status == SESSCACHE_OK)
		status = sc_fail(SESSCACHE_ESYS,
		    "cannot lock %s/" CONTROL ": %s", store->dir.path,
		    strerror(errno));
	return status;
}

/* In the place of a damaged one; its sentence is the reason. */
static enum sesscache_status
make_shard_anew(struct sc_store *store, unsigned shard,
    struct sc_store_opened *opened)
{
	uint64_t size_bytes = atomic_load(&store->control->size_bytes);
	char reason[sizeof(opened->repaired)];
	enum sesscache_status status;

	snprintf(reason, sizeof(reason), "%s", sesscache_detail());
	status = sc_shard_remake(store, shard,
	    shard_bytes(size_bytes, store->shards), false);
	if (status == SESSCACHE_OK) {
		sc_store_count(store, shard, SC_COUNT_REMADE, 1);
		memcpy(opened->repaired, reason, sizeof(reason));
	}
	return status;
}

/* A process that is stopped in the locks of one keeps nobody from the others.
 */
static enum sesscache_status
or_late(enum sesscache_status status)
{
	return status == SESSCACHE_EBUSY ? SESSCACHE_OK : status;
}

static enum sesscache_status
open_shards(struct sc_store *store, bool may_repair,
    struct sc_store_opened *opened)
{
	enum sesscache_status status = SESSCACHE_OK;
	unsigned i;

	for (i = 0; status == SESSCACHE_OK && i < store->shards; i++) {
		status = sc_shard_open(store, i);
		if (status == SESSCACHE_ECORRUPT && may_repair)
			status = make_shard_anew(store, i, opened);
		status = or_late(status);
	}
	return status;
}

/* Those that turned out to be damaged since this process opened them. */
static enum sesscache_status
repair_shards(struct sc_store *store, struct sc_store_opened *opened)
{
	enum sesscache_status status = SESSCACHE_OK;
	unsigned i;

	for (i = 0; status == SESSCACHE_OK && i < store->shards; i++) {
		if (atomic_load(&store->shard[i].state->broken) == 0)
			continue;
		(void)sc_fail(SESSCACHE_ECORRUPT, "shard %u of %s is damaged",
		    i, store->dir.path);
		status = or_late(make_shard_anew(store, i, opened));
	}
	return status;
}

static enum sesscache_status
open_existing(struct sc_store *store, const struct sc_store_config *config,
    struct sc_store_opened *opened)
{
	enum sesscache_status status;
	struct stat st;

	status = sc_dir_open_file(&store->dir, CONTROL, &store->control_fd,
	    &st);
	if (status != SESSCACHE_OK)
		return status;
	store->dev = st.st_dev;
	store->ino = st.st_ino;
	status = check_control(store, &st);
	if (status == SESSCACHE_OK)
		status = map_control(store, control_bytes(store->shards));
	if (status == SESSCACHE_OK)
		status = join(store, config);
	if (status == SESSCACHE_OK)
		status = open_shards(store, config->create, opened);
	return status;
}

/* --- making -------------------------------------------------------------- */

static unsigned
shard_count(const struct sc_store_config *config)
{
	uint64_t fit = config->size_bytes / usual_shard_bytes;
	unsigned wanted = sc_host_cpus() * SHARDS_PER_CPU;
	unsigned n = 1;

	if (config->shards != 0)
		return config->shards;
	while (n < wanted && n < SC_STORE_MAX_SHARDS && 2 * n <= fit)
		n *= 2;
	return n;
}

static enum sesscache_status
check_size(const struct sc_store *store, uint64_t size_bytes, unsigned shards)
{
	uint64_t least = shards * least_shard_bytes + control_bytes(shards);

	if (shards == 1)
		least = SC_STORE_MIN_BYTES;
	if (size_bytes >= least && size_bytes >= SC_STORE_MIN_BYTES)
		return SESSCACHE_OK;
	return sc_fail(SESSCACHE_EINVAL,
	    "size %llu is too small for the %u shards of %s: %llu at least",
	    (unsigned long long)size_bytes, shards, store->dir.path,
	    (unsigned long long)least);
}

static enum sesscache_status
fill_control(struct sc_store *store, const struct sc_store_config *config)
{
	struct sc_control *control = store->control;
	enum sesscache_status status;
	unsigned i;

	memcpy(control->magic, SC_CONTROL_MAGIC, sizeof(control->magic));
	control->format = SC_FORMAT;
	control->byte_order = SC_BYTE_ORDER;
	control->lmdb_format = sc_tree_format();
	control->page_bytes = (uint32_t)sc_host_page_size();
	control->lock_bytes = sizeof(struct sc_lock);
	control->state_bytes = sizeof(struct sc_state);
	control->shards = store->shards;
	atomic_store(&control->size_bytes, config->size_bytes);
	for (i = 0; i < store->shards; i++)
		atomic_store(&store->shard[i].state->next_seq, 1);
	status = sc_host_boot_id(control->boot_id);
	if (status == SESSCACHE_OK)
		status = sc_host_random(control->instance,
		    sizeof(control->instance));
	if (status == SESSCACHE_OK)
		status = config->init(sc_store_cache_part(store));
	control->sum = sum(control);
	return status;
}

static void
remove_files(struct sc_store *store)
{
	char name[32];
	unsigned i;

	for (i = 0; i < SC_STORE_MAX_SHARDS; i++) {
		sc_shard_name(name, i);
		sc_dir_remove_file(&store->dir, name);
	}
	sc_dir_remove_file(&store->dir, CONTROL_NEW);
}

static enum sesscache_status
make_files(struct sc_store *store, const struct sc_store_config *config)
{
	enum sesscache_status status;
	uint64_t bytes;
	unsigned i;

	bytes = shard_bytes(config->size_bytes, store->shards);
	status = sc_dir_make_file(&store->dir, CONTROL_NEW,
	    control_bytes(store->shards), &store->control_fd);
	if (status == SESSCACHE_OK)
		status = map_control(store, control_bytes(store->shards));
	if (status == SESSCACHE_OK)
		status = init_locks(store);
	if (status == SESSCACHE_OK)
		status = fill_control(store, config);
	for (i = 0; status == SESSCACHE_OK && i < store->shards; i++)
		status = sc_shard_remake(store, i, bytes, false);
	if (status == SESSCACHE_OK)
		status = join(store, config);
	if (status == SESSCACHE_OK) /* complete: now it is there */
		status = sc_dir_rename(&store->dir, CONTROL_NEW, CONTROL);
	return status;
}

/* Make a cache in the place of whatever is there. */
static enum sesscache_status
make(struct sc_store *store, const struct sc_store_config *config)
{
	enum sesscache_status status;
	struct stat st;

	unmap_control(store);
	store->shards = shard_count(config);
	status = check_size(store, config->size_bytes, store->shards);
	if (status != SESSCACHE_OK)
		return status;
	/* Not emptied but removed: processes may still have them mapped. */
	remove_files(store);
	sc_dir_remove_file(&store->dir, CONTROL);
	status = make_files(store, config);
	if (status == SESSCACHE_OK && fstat(store->control_fd, &st) != 0)
		status = sc_fail(SESSCACHE_ESYS, "%s: %s", store->dir.path,
		    strerror(errno));
	if (status != SESSCACHE_OK) {
		remove_files(store);
		return status;
	}
	store->dev = st.st_dev;
	store->ino = st.st_ino;
	return SESSCACHE_OK;
}

/* --- resizing ------------------------------------------------------------ */

/* However it ends, one shard at the least has the size that is noted. */
static enum sesscache_status
resize(struct sc_store *store, uint64_t size_bytes)
{
	_Atomic uint64_t *last_bytes =
	    &store->shard[store->shards - 1].state->file_bytes;
	uint64_t old_bytes = sc_store_size(store);
	enum sesscache_status status;
	uint64_t bytes;
	unsigned i;

	status = check_size(store, size_bytes, store->shards);
	if (status != SESSCACHE_OK)
		return status;
	bytes = shard_bytes(size_bytes, store->shards);
	for (i = 0; status == SESSCACHE_OK && i < store->shards; i++) {
		if (i == store->shards - 1)
			atomic_store(&store->control->size_bytes, size_bytes);
		if (atomic_load(&store->shard[i].state->file_bytes) != bytes)
			status = sc_shard_remake(store, i, bytes, true);
	}
	if (status != SESSCACHE_OK && atomic_load(last_bytes) != bytes)
		atomic_store(&store->control->size_bytes, old_bytes);
	return status;
}

/* Whether a resize ended before its end: some shards have another size. */
static bool
is_uneven(const struct sc_store *store)
{
	uint64_t bytes = shard_bytes(sc_store_size(store), store->shards);
	bool uneven = false;
	unsigned i;

	for (i = 0; i < store->shards; i++)
		uneven |= atomic_load(&store->shard[i].state->file_bytes) !=
		    bytes;
	return uneven;
}

/*
 * To the size that is asked for.  If it is that already, but for a resize that
 * was killed: to its end, and if that cannot be now, then at another time.
 */
static enum sesscache_status
settle_size(struct sc_store *store, const struct sc_store_config *config,
    struct sc_store_opened *opened)
{
	uint64_t noted_bytes = sc_store_size(store);
	enum sesscache_status status = SESSCACHE_OK;

	if (!config->create || opened->created)
		return SESSCACHE_OK;
	if (config->resize && config->size_bytes != noted_bytes) {
		status = resize(store, config->size_bytes);
		opened->resized = status == SESSCACHE_OK;
	} else if (is_uneven(store)) {
		(void)resize(store, noted_bytes);
	}
	return status;
}

/* --- fork ---------------------------------------------------------------- */

static void
before_fork(void *arg)
{
	struct sc_store *store = arg;
	unsigned i;

	for (i = 0; i < store->shards; i++)
		pthread_mutex_lock(&store->shard[i].work);
	pthread_mutex_lock(&store->remap);
}

static void
after_fork(void *arg)
{
	struct sc_store *store = arg;
	unsigned i;

	pthread_mutex_unlock(&store->remap);
	for (i = 0; i < store->shards; i++)
		pthread_mutex_unlock(&store->shard[i].work);
}

static void
in_child(void *arg)
{
	struct sc_store *store = arg;
	unsigned i;

	/* All of them: fork() copies the pages of a process one after another
	 * while its other threads go on, so that no flag would tell which. */
	for (i = 0; i < store->shards; i++) {
		if (store->shard[i].tree != NULL)
			sc_tree_forget(store->shard[i].tree);
	}
	sc_shard_in_child();
	after_fork(store);
}

/* --- one store a directory ----------------------------------------------- */

bool
sc_store_is_in(const struct sc_store *store, const struct sc_dir *dir)
{
	struct stat st;

	return fstatat(dir->fd, CONTROL, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    store->dev == st.st_dev && store->ino == st.st_ino;
}

static struct sc_store *
find_open(const struct sc_dir *dir)
{
	struct sc_store *store = stores;

	while (store != NULL && !sc_store_is_in(store, dir))
		store = store->next;
	return store;
}

static struct sc_store *
new_store(const struct sc_dir *dir, const struct sc_store_config *config)
{
	struct sc_store *store;
	unsigned i;

	store = calloc(1, sizeof(*store));
	if (store == NULL)
		return NULL;
	store->dir = *dir;
	store->control_fd = -1;
	store->make_room = config->make_room;
	store->hook.prepare = before_fork;
	store->hook.parent = after_fork;
	store->hook.child = in_child;
	store->hook.arg = store;
	pthread_mutex_init(&store->remap, NULL);
	for (i = 0; i < SC_STORE_MAX_SHARDS; i++)
		pthread_mutex_init(&store->shard[i].work, NULL);
	return store;
}

static void
free_store(struct sc_store *store)
{
	unsigned i;

	unmap_control(store);
	sc_dir_close(&store->dir);
	pthread_mutex_destroy(&store->remap);
	for (i = 0; i < SC_STORE_MAX_SHARDS; i++)
		pthread_mutex_destroy(&store->shard[i].work);
	free(store);
}

/* With the directory locked: open, make or repair, as is called for. */
static enum sesscache_status
open_store(struct sc_store *store, const struct sc_store_config *config,
    struct sc_store_opened *opened)
{
	enum sesscache_status status;

	status = open_existing(store, config, opened);
	if (!config->create)
		return status;
	if (status == SESSCACHE_ECORRUPT)
		snprintf(opened->repaired, sizeof(opened->repaired), "%s",
		    sesscache_detail());
	if (status == SESSCACHE_MISS || status == SESSCACHE_ECORRUPT) {
		status = make(store, config);
		opened->created = status == SESSCACHE_OK;
	}
	return status;
}

/* Under the fork lock, with the directory open and locked. */
static enum sesscache_status
find_or_open(struct sc_store **out, const struct sc_dir *dir,
    const struct sc_store_config *config, struct sc_store_opened *opened)
{
	struct sc_store *store = find_open(dir), *fresh = NULL;
	enum sesscache_status status = SESSCACHE_OK;

	if (store == NULL) {
		store = fresh = new_store(dir, config);
		if (store == NULL)
			return sc_fail(SESSCACHE_ENOMEM, "out of memory");
		status = open_store(store, config, opened);
	} else if (config->create) {
		status = repair_shards(store, opened);
	}
	if (status == SESSCACHE_OK)
		status = settle_size(store, config, opened);
	if (status != SESSCACHE_OK) {
		if (fresh != NULL) {
			fresh->dir.fd = -1; /* the caller's */
			free_store(fresh);
		}
		return status;
	}
	if (fresh != NULL) {
		store->next = stores;
		stores = store;
		sc_fork_add(&store->hook);
	}
	if (config->create)
		atomic_store(&store->may_mend, true);
	store->refs++;
	*out = store;
	return SESSCACHE_OK;
}

enum sesscache_status
sc_store_open(struct sc_store **out, const struct sc_store_config *config,
    struct sc_store_opened *opened)
{
	const struct sc_owner owner = { config->owner_given, config->owner_uid,
		config->owner_gid };
	enum sesscache_status status;
	struct sc_dir dir;
	int lock_fd = -1;

	*out = NULL;
	memset(opened, 0, sizeof(*opened));
	status = sc_fork_lock();
	if (status != SESSCACHE_OK)
		return status;
	status = sc_dir_open(&dir, config->dir, config->create, &owner);
	if (status == SESSCACHE_OK) {
		status = sc_dir_lock(&dir, OPENING_MS, &lock_fd);
		if (status == SESSCACHE_OK)
			status = find_or_open(out, &dir, config, opened);
		sc_dir_unlock(lock_fd);
		if (*out == NULL || (*out)->dir.fd != dir.fd)
			sc_dir_close(&dir); /* no new store took it over */
	}
	sc_fork_unlock();
	return status;
}

static void
unlist(struct sc_store *store)
{
	struct sc_store **at = &stores;

	while (*at != NULL && *at != store)
		at = &(*at)->next;
	if (*at != NULL)
		*at = store->next;
	sc_fork_remove(&store->hook);
}

void
sc_store_close(struct sc_store *store)
{
	if (store == NULL || sc_fork_lock() != SESSCACHE_OK)
		return;
	if (--store->refs == 0) {
		unlist(store);
		free_store(store);
	}
	sc_fork_unlock();
}

unsigned
sc_store_shards(const struct sc_store *store)
{
	return store->shards;
}

uint64_t
sc_store_size(const struct sc_store *store)
{
	return atomic_load(&store->control->size_bytes);
}

void *
sc_store_cache_part(const struct sc_store *store)
{
	return (char *)store->control + SC_CONTROL_CACHE_AT;
}

const uint8_t *
sc_store_instance(const struct sc_store *store)
{
	return store->control->instance;
}
