/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A control file of any bytes: opening it, and using what was opened, ends
 * with some status.  A record that is found is the one that was stored.
 *
 * Each input runs in a thread of its own, so that no thread has keys of the
 * cache that was there before.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "store/shard.h"

const char fuzz_name[] = "control";

enum {
	CACHE_BYTES = 1 << 20,
	NOW = 1000,
	/* What an input asks for. */
	FIX_SUM = 0x01,    /* as whoever made these bytes would */
	TRUNCATE = 0x02,   /* or let it grow */
	CREATE = 0x04,     /* the opener may repair */
	RESIZE = 0x08,     /* and wants another size */
	BOTH_AGAIN = 0x10, /* what was opened is opened once more */
};

/* A file as it was when the cache was whole. */
struct saved {
	char path[512];
	uint8_t *bytes;
	size_t len;
};

static const uint8_t known_id[] = "a client's ID";
static const uint8_t known[] = "what was stored before the damage";
static struct saved control, data;

static void
write_file(const char *path, const uint8_t *bytes, size_t len, size_t file_len)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	MUST(fd >= 0);
	MUST(pwrite(fd, bytes, len, 0) == (ssize_t)len);
	MUST(ftruncate(fd, (off_t)file_len) == 0);
	(void)close(fd);
}

static void
save(struct saved *out, const char *name)
{
	struct stat st;
	int fd;

	fuzz_path(out->path, sizeof(out->path), name);
	fd = open(out->path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0 && fstat(fd, &st) == 0);
	out->len = (size_t)st.st_size;
	out->bytes = malloc(out->len);
	MUST(out->bytes != NULL);
	MUST(pread(fd, out->bytes, out->len, 0) == (ssize_t)out->len);
	(void)close(fd);
}

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
	char name[32];

	MUST(put(cache, known_id, sizeof(known_id)) == SESSCACHE_OK);
	MUST(get(cache, known_id, sizeof(known_id)) == SESSCACHE_OK);
	sc_cache_close(cache);
	save(&control, "control");
	sc_shard_name(name, 0);
	save(&data, name);
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
	struct sc_ticket ticket = { .expires_at = NOW + 1 };
	uint8_t id[SESSCACHE_ID_LEN], name[SC_TICKET_NAME] = "";
	struct sesscache_stats stats;
	uint32_t created_at;
	uint64_t removed;
	size_t n = 100;

	check(get(cache, known_id, sizeof(known_id)));
	if (sc_cache_new_id(cache, id) == SESSCACHE_OK &&
	    put(cache, id, sizeof(id)) == SESSCACHE_OK)
		check(get(cache, id, sizeof(id)));
	check(put(cache, known_id, sizeof(known_id)));
	check(sc_cache_ticket_issue(cache, &ticket, name, NOW));
	check(sc_cache_ticket_open(cache, &ticket, name, NOW));
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
	const struct sc_cache_config config = {
		.dir = fuzz_dir(),
		.size_bytes = (what & RESIZE) != 0 ? 2 * CACHE_BYTES :
						     CACHE_BYTES,
		.resize = (what & RESIZE) != 0,
		.create = (what & CREATE) != 0,
		.shards = 1,
		.timeout_seconds = 3600,
		.ticket_key_lifetime_seconds = 3600,
	};
	struct sc_cache_opened opened;
	enum sesscache_status status;
	struct sc_cache *cache = NULL;

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

static void *
run(void *arg)
{
	struct fuzz_input *in = arg;
	unsigned what = (unsigned)fuzz_number(in, 1);
	uint8_t *bytes = fuzz_copy(control.bytes, control.len);
	size_t len = control.len;

	if ((what & TRUNCATE) != 0)
		len = (size_t)fuzz_number(in, 2);
	(void)fuzz_edit(in, bytes, control.len);
	if ((what & FIX_SUM) != 0)
		fix_sum(bytes);
	write_file(control.path, bytes, control.len, len);
	write_file(data.path, data.bytes, data.len, data.len);
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
