/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whatever a session or a key is, is nowhere but where it must be: not in a
 * core dump, not in text, not in files that a thief has once its time is
 * over.  And whoever exchanges files, sends forged IDs or floods the cache
 * gains nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/scratch.h"
#include "cache/seal.h"
#include "clock.h"
#include "process.h"
#include "secrets.h"
#include "store/shard.h"
#include "support.h"
#include "tls.h"

enum {
	SECRETS = 64,
	DATA = 160, /* bytes of a usual record */
	LONG = 5000,
	MANY = 500,
	SMALL = 1 << 20, /* bytes of a cache with one shard */
	TIMEOUT = 3600,  /* seconds, as test_cache() has it */
	ASKED = 77,
	NUMBERS = 16, /* writes that a thief tries */
};

/* What a child knows and tells; in no dump. */
static struct known {
	struct secret secrets[SECRETS];
	int n;
	uint8_t data[LONG];
	uint8_t buf[LONG];
} * known;

static struct tls_identity identity;

static void
make_world(void)
{
	test_root_make();
	MUST(tls_identity_new(&identity, "localhost", 0));
	known = shared_new(sizeof(*known));
	MUST(madvise(known, sizeof(*known), MADV_DONTDUMP) == 0);
}

static void
remove_world(void)
{
	tls_identity_free(&identity);
	test_root_remove();
}

static void
setup(void)
{
	test_dir_make();
	memset(known, 0, sizeof(*known));
}

static void
tell(const char *what, const void *bytes, size_t len)
{
	MUST(known->n < SECRETS);
	known->secrets[known->n++] = secret_of(what, bytes, len);
}

/* --- keys, as they are in the files -------------------------------------- */

static struct sc_keys *
keys_in(const struct image *control)
{
	void *at = control->bytes + SC_CONTROL_CACHE_AT;

	ck_assert_uint_ge(control->len,
	    SC_CONTROL_CACHE_AT + sizeof(struct sc_keys));
	return at;
}

static void
tell_ticket_keys(struct sc_ring *ring)
{
	uint64_t turn = atomic_load(&ring->turn);
	struct sc_ring_copy *copy = &ring->copies[turn & 1];
	const struct sc_seal_blob blob = { .key = (const uint8_t *)copy->key,
		.label = "the ticket keys",
		.number = turn };
	struct sc_ring_body body;
	int i;

	ck_done(sc_seal_open_blob(&blob, (const uint8_t *)copy->sealed,
	    sizeof(body), (uint8_t *)&body));
	tell("key of the ring", (const void *)copy->key, SC_RING_KEY);
	for (i = 0; i < SESSCACHE_KEYS_MAX; i++) {
		if (body.keys[i].name == 0)
			continue;
		tell("ticket key", body.keys[i].cipher, SC_TICKET_KEY);
		tell("ticket MAC key", body.keys[i].mac, SC_TICKET_KEY);
	}
}

static void
tell_cache_keys(struct sc_keys *keys)
{
	int i;

	tell("key of places", keys->address.place, 16);
	tell("key of aliases", keys->address.alias, 16);
	tell("key of realms", keys->address.realm, 16);
	tell("key of names", keys->address.name, 16);
	for (i = 0; i < SC_EPOCHS; i++) {
		if (atomic_load(&keys->epochs[i].number) != 0)
			tell("key of an epoch", keys->epochs[i].key, 32);
	}
}

static void
tell_all_keys(const char *dir)
{
	struct image *control = image_of_file(dir, "control");

	tell_ticket_keys(&keys_in(control)->ring);
	tell_cache_keys(keys_in(control));
	image_free(control);
}

/* --- core dumps ---------------------------------------------------------- */

static void
use_record(struct sesscache *cache, uint64_t number, size_t len, bool take)
{
	uint8_t id[SESSCACHE_ID_LEN];
	size_t got = 0;

	test_fill(known->data, len, number);
	tell("record", known->data, SECRET_MAX);
	MUST(sesscache_new_id(cache, id) == SESSCACHE_OK);
	MUST(sesscache_put(cache, id, sizeof(id), known->data, len, 0) ==
	    SESSCACHE_OK);
	MUST(sesscache_get(cache, id, sizeof(id), known->buf,
		 sizeof(known->buf), &got) == SESSCACHE_OK);
	MUST(got == len && memcmp(known->buf, known->data, len) == 0);
	if (take)
		MUST(sesscache_take(cache, id, sizeof(id), known->buf,
			 sizeof(known->buf), &got) == SESSCACHE_OK);
}

static void
use_records(struct sesscache *cache)
{
	int i;

	for (i = 0; i < 12; i++)
		use_record(cache, (uint64_t)i + 1, i % 3 == 2 ? LONG : DATA,
		    i % 2 == 0);
}

static void
tell_session(SSL *ssl)
{
	const SSL_SESSION *session = SSL_get_session(ssl);
	size_t len;

	len = SSL_SESSION_get_master_key(session, known->buf, LONG);
	tell("master secret", known->buf, len);
}

static bool
connect_once(SSL_CTX *server, SSL_CTX *client, SSL_SESSION **session)
{
	struct tls_pair pair;
	bool reused;

	MUST(tls_pair_new(&pair, server, client, *session, "localhost"));
	MUST(tls_pair_handshake(&pair));
	MUST(tls_send(pair.client, pair.server, "question"));
	MUST(tls_send(pair.server, pair.client, "answer"));
	reused = SSL_session_reused(pair.server) == 1;
	tell_session(pair.server);
	tell_session(pair.client);
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(pair.client);
	tls_pair_shutdown(&pair);
	tls_pair_free(&pair);
	return reused;
}

static void
use_tls(struct sesscache *cache, int version, bool tickets)
{
	SSL_CTX *server = tls_server_new(&identity, version);
	SSL_CTX *client = tls_client_new(NULL, version);
	SSL_SESSION *session = NULL;

	MUST(server != NULL && client != NULL);
	if (!tickets)
		(void)SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
	MUST(sesscache_attach(cache, server) == SESSCACHE_OK);
	MUST(!connect_once(server, client, &session));
	MUST(connect_once(server, client, &session));
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

static void
use_tickets(struct sesscache *cache)
{
	use_tls(cache, TLS1_2_VERSION, true);
	use_tls(cache, TLS1_3_VERSION, true);
	known->n = 0; /* what OpenSSL leaves of these is not the cache's */
}

static void
use_tls_1_2(struct sesscache *cache)
{
	use_tls(cache, TLS1_2_VERSION, false);
}

static void
use_tls_1_3(struct sesscache *cache)
{
	use_tls(cache, TLS1_3_VERSION, false);
}

/*
 * Enough to fill pages of the tree, and too few for eviction.  That splits
 * pages, and LMDB copies a page that it splits to memory that is dumped: see
 * SECURITY.md.
 */
static void
use_many(struct sesscache *cache)
{
	struct record record;
	int i;

	for (i = 0; i < MANY; i++) {
		record = (struct record){ .data_len = DATA };
		record_make(cache, &record);
		record_must_be(cache, &record);
	}
}

/* Resizing copies them. */
static void
use_resized(struct sesscache *cache)
{
	use_many(cache);
	sesscache_close(cache_open(test_dir("cache"), "size", "3M", NULL));
}

static const struct life {
	const char *name;
	void (*use)(struct sesscache *cache);
	bool whole;   /* dumped by the kernel, where it may */
	bool removed; /* the directory is, before the dump */
	bool again;   /* opened a second time, which verifies the files */
	bool untold;  /* its sessions are not searched for in the clear */
} lives[] = {
	{ .name = "records", .use = use_records },
	{ .name = "records, removed", .use = use_records, .removed = true },
	{ .name = "records, core dump", .use = use_records, .whole = true },
	{ .name = "records, removed, core dump",
	    .use = use_records,
	    .whole = true,
	    .removed = true },
	{ .name = "many records", .use = use_many, .untold = true },
	{ .name = "many records, again",
	    .use = use_many,
	    .again = true,
	    .untold = true },
	{ .name = "many records, resized", .use = use_resized, .untold = true },
	{ .name = "sessions of TLS 1.2", .use = use_tls_1_2 },
	{ .name = "sessions of TLS 1.3", .use = use_tls_1_3 },
	{ .name = "ticket keys", .use = use_tickets, .untold = true },
};

/*
 * Seconds since the boot.  The first epoch begins with the boot: one is within
 * it, the other in a later epoch.
 */
static const int64_t uptimes[] = { 100, 100000 };

static void
let_dump_all(void)
{
	const struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
	FILE *filter = must_open("/proc/self/coredump_filter", "we");

	MUST(fputs("0x7f", filter) >= 0);
	MUST(fclose(filter) == 0);
	MUST(setrlimit(RLIMIT_CORE, &limit) == 0);
	MUST(chdir(test_dir("core")) == 0);
}

static void
live_and_stop(void *arg)
{
	const struct life *life = arg;
	struct sesscache *cache;

	cache = cache_open(test_dir("cache"), "size", "4M", NULL);
	life->use(cache);
	if (life->again) {
		sesscache_close(cache);
		(void)cache_open(test_dir("cache"), "size", "4M", NULL);
	}
	if (life->whole)
		let_dump_all();
	(void)raise(SIGSTOP);
	abort(); /* when it is continued */
}

/* A secret that stays, so that a search that finds none is one. */
static void
live_and_keep(void *arg)
{
	uint8_t *kept = malloc(DATA);

	(void)arg;
	MUST(kept != NULL);
	test_fill(kept, DATA, 1);
	tell("kept record", kept, SECRET_MAX);
	(void)raise(SIGSTOP);
	free(kept);
}

static pid_t
start_and_wait(child_body *body, const void *arg)
{
	pid_t pid = child_start(body, (void *)(uintptr_t)arg);
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
	return pid;
}

static struct image *
image_of_stopped(child_body *body, const void *arg)
{
	pid_t pid = start_and_wait(body, arg);
	struct image *image = image_of_process(pid);

	child_kill(pid);
	return image;
}

/* Where the kernel writes core dumps, if that is the working directory. */
static bool
dumps_here(void)
{
	char pattern[128] = "";
	FILE *file = fopen("/proc/sys/kernel/core_pattern", "re");
	struct rlimit limit;

	if (file == NULL)
		return false;
	if (fgets(pattern, sizeof(pattern), file) == NULL)
		pattern[0] = '|';
	(void)fclose(file);
	return strncmp(pattern, "core", 4) == 0 && !strchr(pattern, '/') &&
	    getrlimit(RLIMIT_CORE, &limit) == 0 &&
	    limit.rlim_max == RLIM_INFINITY;
}

/* Of one that is stopped. */
static struct image *
image_of_core(pid_t pid)
{
	int status;

	ck_assert_int_eq(kill(pid, SIGCONT), 0);
	status = child_end(pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	ck_assert(WCOREDUMP(status));
	return image_of_files(test_dir("core"));
}

/* What there is of a process at one moment. */
struct remains {
	struct image *dump;
	struct image *data; /* the file of the only shard */
	struct image *control;
};

static void
remains_of(struct remains *remains, const struct life *life)
{
	char name[32];
	pid_t pid;

	sc_shard_name(name, 0);
	ck_assert_int_eq(mkdir(test_dir("core"), 0700), 0);
	pid = start_and_wait(live_and_stop, life);
	remains->data = image_of_file(test_dir("cache"), name);
	remains->control = image_of_file(test_dir("cache"), "control");
	if (life->removed)
		test_remove_tree(test_dir("cache"));
	if (life->whole) {
		remains->dump = image_of_core(pid);
	} else {
		remains->dump = image_of_process(pid);
		child_kill(pid);
	}
}

static void
remains_free(struct remains *remains)
{
	image_free(remains->dump);
	image_free(remains->data);
	image_free(remains->control);
}

static void
must_hold_none(const struct image *image, const char *name)
{
	size_t at = 0;
	int i;

	ck_assert_uint_gt(image->len, 100000); /* or there was no dump */
	for (i = 0; i < known->n; i++)
		ck_assert_msg(!secret_is_in(&known->secrets[i], image->bytes,
				  image->len, &at),
		    "%s: secret %d, a %s, is in the dump: %s", name, i,
		    known->secrets[i].what, image_part_at(image, at));
}

/* Whether an image has a record as it was sealed, in whatever epoch. */
static bool
has_sealed(const struct image *image, struct sc_keys *keys, const uint8_t *data)
{
	struct thief_goal of = { .plain = data,
		.first_number = 1,
		.numbers = NUMBERS };
	struct image key = { .len = sizeof(keys->epochs[0].key) };
	bool found = false;
	int i;

	for (i = 0; !found && i < SC_EPOCHS; i++) {
		key.bytes = keys->epochs[i].key;
		found = atomic_load(&keys->epochs[i].number) != 0 &&
		    thief_opens(&key, image, &of);
	}
	return found;
}

/*
 * Nor any as it was sealed: its key is in the dump, in libcrypto's memory.
 */
static void
must_hold_none_sealed(const struct remains *remains)
{
	struct sc_keys *keys = keys_in(remains->control);
	const uint8_t *data;
	int i;

	for (i = 0; i < known->n; i++) {
		data = known->secrets[i].bytes;
		if (strcmp(known->secrets[i].what, "record") != 0)
			continue;
		ck_assert_msg(has_sealed(remains->data, keys, data),
		    "record %d is not found where it is", i);
		ck_assert_msg(!has_sealed(remains->dump, keys, data),
		    "record %d is in the dump, sealed", i);
	}
}

/* Nothing random of the data file, where all that is random is sealed. */
static void
must_hold_no_copy(const struct remains *remains, const char *name)
{
	size_t at = 0;

	ck_assert_msg(!image_has_copy(remains->dump, remains->data, &at),
	    "%s: a part of the data file is in the dump: %s", name,
	    image_part_at(remains->dump, at));
}

START_TEST(search_of_a_dump_finds_what_is_there)
{
	struct image *image = image_of_stopped(live_and_keep, NULL);

	ck_assert(
	    secret_is_in(&known->secrets[0], image->bytes, image->len, NULL));
	image_free(image);
}
END_TEST

START_TEST(dump_holds_no_session_and_no_ticket_key)
{
	const struct life *life = &lives[_i % N_OF(lives)];
	struct remains remains;

	if (life->whole && !dumps_here())
		return;
	test_clock_boot(uptimes[_i / N_OF(lives)]);
	remains_of(&remains, life);
	ck_assert(known->n > 0 || life->untold);
	must_hold_none_sealed(&remains);
	if (!life->whole) /* its registers have what was copied last */
		must_hold_no_copy(&remains, life->name);
	tell_ticket_keys(&keys_in(remains.control)->ring);
	must_hold_none(remains.dump, life->name);
	remains_free(&remains);
}
END_TEST

static void *
use_all(void *arg)
{
	struct sesscache *cache;

	(void)arg;
	cache = cache_open(test_dir("cache"), "size", "4M", NULL);
	use_records(cache);
	sesscache_close(cache);
	return NULL;
}

static void
live_in_a_thread(void *arg)
{
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, use_all, arg) == 0);
	MUST(pthread_join(thread, NULL) == 0);
	(void)raise(SIGSTOP);
}

START_TEST(thread_that_has_ended_leaves_no_key_at_all)
{
	struct image *image = image_of_stopped(live_in_a_thread, NULL);

	tell_all_keys(test_dir("cache"));
	must_hold_none(image, "thread");
	image_free(image);
}
END_TEST

/* --- text ---------------------------------------------------------------- */

static struct text {
	char bytes[1 << 20];
	size_t len;
} text;

static void
add_text(const char *what)
{
	size_t len = strlen(what);

	ck_assert_uint_lt(text.len + len, sizeof(text.bytes));
	memcpy(text.bytes + text.len, what, len);
	text.len += len;
}

/* What a command writes, to standard error too. */
static void
add_output(const char *options, const char *command)
{
	const char *top = getenv("top_builddir");
	char line[1024];
	FILE *output;

	(void)snprintf(line, sizeof(line),
	    "'%s/tools/sesscache' -d '%s' -o log=debug %s %s 2>&1",
	    top != NULL ? top : ".", test_dir("cache"), options, command);
	/* NOLINTNEXTLINE(cert-env33-c): the shell gets what stands here. */
	output = popen(line, "re");
	ck_assert_ptr_nonnull(output);
	text.len += fread(text.bytes + text.len, 1,
	    sizeof(text.bytes) - 1 - text.len, output);
	ck_assert(WIFEXITED(pclose(output)));
}

static void
add_outputs(void)
{
	static const char *const commands[] = { "dump", "dump --json", "stat",
		"stat --json", "stat --openmetrics", "check", "check --json",
		"keys", "keys --json", "keys --rotate", "purge --expired" };
	int i;

	for (i = 0; i < N_OF(commands); i++)
		add_output("", commands[i]);
	add_output("-o max-session=none", "stat");
	add_output("-o size=2M", "stat");
}

/* Change bytes of the control file of a cache that nobody has open. */
static void
change_control(size_t at, const void *bytes, size_t len)
{
	char path[SCRATCH_LEN];
	int fd;

	path_join(path, test_dir("cache"), "control");
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, len, (off_t)at), (ssize_t)len);
	ck_assert_int_eq(close(fd), 0);
}

static const uint8_t noise[64] = { 0xa5, 0x5a, 0xa5, 0x5a, 1, 2, 3, 4, 5, 6 };

static void
leave_alone(void)
{
}

/* Of the epoch that the sessions are sealed in: it depends on the uptime. */
static void
damage_epoch_key(void)
{
	struct image *control = image_of_file(test_dir("cache"), "control");
	size_t slot = atomic_load(&keys_in(control)->current) % SC_EPOCHS;

	image_free(control);
	change_control(SC_CONTROL_CACHE_AT + offsetof(struct sc_keys, epochs) +
		slot * sizeof(struct sc_epoch) + offsetof(struct sc_epoch, key),
	    noise, 8);
}

static void
damage_ring(void)
{
	change_control(SC_CONTROL_CACHE_AT +
		offsetof(struct sc_keys, ring.copies),
	    noise, sizeof(noise));
	change_control(SC_CONTROL_CACHE_AT +
		offsetof(struct sc_keys, ring.copies[1]),
	    noise, sizeof(noise));
}

static void
damage_format(void)
{
	change_control(offsetof(struct sc_control, format), noise, 4);
}

static void
damage_head(void)
{
	change_control(offsetof(struct sc_control, instance), noise, 16);
}

static void
mark_broken(void)
{
	const uint32_t broken = 1;

	change_control(SC_CONTROL_SHARDS_AT + offsetof(struct sc_state, broken),
	    &broken, sizeof(broken));
}

static void
damage_numbers(void)
{
	change_control(SC_CONTROL_SHARDS_AT +
		offsetof(struct sc_state, next_seq),
	    noise, 8);
}

/* Both pages that say where everything is. */
static void
damage_data(void)
{
	char path[SCRATCH_LEN], name[32];
	uint8_t bytes[8192];
	int fd;

	sc_shard_name(name, 0);
	path_join(path, test_dir("cache"), name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	test_fill(bytes, sizeof(bytes), 11);
	ck_assert_int_eq(pwrite(fd, bytes, sizeof(bytes), 0),
	    (ssize_t)sizeof(bytes));
	ck_assert_int_eq(close(fd), 0);
}

static void
open_to_others(void)
{
	char path[SCRATCH_LEN];

	path_join(path, test_dir("cache"), "control");
	ck_assert_int_eq(chmod(path, 0644), 0);
}

static const struct {
	const char *name;
	void (*damage)(void);
} damages[] = {
	{ "none", leave_alone },
	{ "key of an epoch", damage_epoch_key },
	{ "ring of ticket keys", damage_ring },
	{ "format", damage_format },
	{ "head of the control file", damage_head },
	{ "shard marked", mark_broken },
	{ "numbers", damage_numbers },
	{ "data", damage_data },
	{ "mode", open_to_others },
};

/* What is said of a call that failed, and of one that did not. */
static void
add_detail(enum sesscache_status status)
{
	add_text(sesscache_strerror(status));
	add_text(sesscache_detail());
}

/* Ask for whatever fails; what the session's lookup said. */
static enum sesscache_status
add_details(const uint8_t *id, const char *const settings[2])
{
	struct sesscache_key keys[SESSCACHE_KEYS_MAX];
	uint8_t few[4], *much = calloc(1, 100000);
	const size_t id_len = SESSCACHE_ID_LEN;
	enum sesscache_status found = SESSCACHE_MISS;
	struct sesscache *cache = NULL;
	size_t n;

	ck_assert_ptr_nonnull(much);
	add_detail(cache_try(&cache, test_dir("cache"), settings[0],
	    settings[1], NULL));
	if (cache != NULL) {
		add_detail(sesscache_get(cache, id, id_len, few, 4, &n));
		found = sesscache_get(cache, id, id_len, much, 9999, &n);
		add_detail(found);
		add_detail(sesscache_take(cache, id, id_len, much, 9999, &n));
		add_detail(sesscache_put(cache, id, 65, much, 10, 0));
		add_detail(sesscache_put(cache, id, id_len, much, 100000, 0));
		add_detail(sesscache_keys(cache, keys, &n));
		add_detail(sesscache_rotate_keys(cache));
		add_detail(sesscache_purge(cache, NULL, NULL));
	}
	sesscache_close(cache);
	free(much);
	return found;
}

/* A log of everything, of sessions that resume and of some that do not. */
static void
log_to_file(void *arg)
{
	const char *const *settings = arg;
	struct sesscache *cache;
	uint8_t id[SESSCACHE_ID_LEN];

	MUST(freopen(test_dir("log"), "we", stderr) != NULL);
	MUST(dup2(fileno(stderr), STDERR_FILENO) >= 0);
	cache = cache_open(test_dir("cache"), "size", "1M", "log", "debug",
	    settings[0], settings[1], NULL);
	MUST(sesscache_new_id(cache, id) == SESSCACHE_OK);
	memcpy(known->buf, id, sizeof(id)); /* for the parent */
	test_fill(known->data, DATA, 1);
	tell("record", known->data, SECRET_MAX);
	MUST(sesscache_put(cache, id, sizeof(id), known->data, DATA, 0) ==
	    SESSCACHE_OK);
	memcpy(known->data + DATA, id, sizeof(id));
	use_tls(cache, TLS1_2_VERSION, false);
	use_tls(cache, TLS1_3_VERSION, false);
	use_tls(cache, TLS1_2_VERSION, true);
	sesscache_close(cache);
	(void)fflush(stderr);
}

START_TEST(text_holds_no_secret)
{
	static const char *const settings[2] = { "max-session", "4K" };
	enum sesscache_status found;
	struct image *log;
	int i;

	ck_assert(child_does(log_to_file, (void *)(uintptr_t)settings));
	tell_all_keys(test_dir("cache"));
	damages[_i].damage();
	found = add_details(known->data + DATA, settings);
	if (damages[_i].damage == leave_alone)
		ck_assert_int_eq(found, SESSCACHE_OK);
	if (damages[_i].damage == damage_epoch_key)
		ck_assert_int_eq(found, SESSCACHE_MISS);
	add_outputs();
	log = image_of_file(test_dir(""), "log");
	ck_assert_uint_gt(text.len, 500); /* or nothing was said */
	for (i = 0; i < known->n; i++) {
		ck_assert_msg(!secret_shows(&known->secrets[i], text.bytes,
				  text.len),
		    "damage %s: a %s is in: %s", damages[_i].name,
		    known->secrets[i].what, text.bytes);
		ck_assert_msg(!secret_shows(&known->secrets[i],
				  (const char *)log->bytes, log->len),
		    "a %s is in the log", known->secrets[i].what);
	}
	image_free(log);
}
END_TEST

START_TEST(search_of_text_finds_any_spelling)
{
	static const uint8_t bytes[16] = "0123456789abcde";
	static const char *const spellings[] = { "-0123456789abcde",
		"id=303132333435363738396162636465 00",
		"30313233343536373839616263646500", "MDEyMzQ1Njc4OWFiY2RlAA==",
		"YTAxMjM0NTY3ODlhYmNkZQA=", "YWEwMTIzNDU2Nzg5YWJjZGUA" };
	static const bool shows[] = { true, false, true, true, true, true };
	struct secret secret = secret_of("text", bytes, sizeof(bytes));
	size_t len = strlen(spellings[_i]) + 1;

	ck_assert_int_eq(secret_shows(&secret, spellings[_i], len), shows[_i]);
}
END_TEST

/* --- maps ---------------------------------------------------------------- */

enum { SHARDS = 4 };

static void
must_be_left_out(const char *when)
{
	char dir[PATH_MAX];
	struct maps_of_files maps;

	ck_assert_ptr_nonnull(realpath(test_dir("cache"), dir));
	maps = maps_of_files(dir);
	ck_assert_int_ge(maps.n, SHARDS + 1); /* parts of one */
	ck_assert_msg(maps.dumped[0] == '\0', "%s: %s is in core dumps", when,
	    maps.dumped);
}

static void
resize(void *arg)
{
	(void)arg;
	sesscache_close(cache_open(test_dir("cache"), "size", "8M", NULL));
}

static int
look_in_a_child(void *arg)
{
	char dir[PATH_MAX];

	(void)arg;
	MUST(realpath(test_dir("cache"), dir) != NULL);
	return maps_of_files(dir).dumped[0] != '\0';
}

START_TEST(every_map_of_a_cache_is_left_out_of_dumps)
{
	struct sesscache *cache = cache_open(test_dir("cache"), "size", "4M",
	    "shards", "4", NULL);

	must_be_left_out("made");
	sesscache_close(cache);
	cache = cache_open(test_dir("cache"), NULL);
	must_be_left_out("opened");
	ck_assert(child_does(resize, NULL));
	use_records(cache);
	must_be_left_out("resized by another process");
	mark_broken();
	use_records(cache);
	must_be_left_out("a shard made anew");
	ck_assert_int_eq(test_wait(test_fork(look_in_a_child, NULL)), 0);
	sesscache_close(cache);
}
END_TEST

START_TEST(buffers_are_left_out_of_dumps)
{
	char *pages = sc_private_new(3 * SMALL);

	ck_assert_ptr_nonnull(pages);
	ck_assert(is_left_out_of_dumps(pages));
	ck_assert(is_left_out_of_dumps(pages + 3 * SMALL - 1));
	ck_assert(is_left_out_of_dumps(sc_scratch()));
	ck_assert(!is_left_out_of_dumps(&identity));
	sc_private_free(pages, 3 * SMALL);
}
END_TEST

/* --- thieves ------------------------------------------------------------- */

/* How far a record has come when it is stolen. */
enum stage { IN_JOURNAL, IN_TREE };

/* Stores others behind it, so that it goes to the tree. */
static void
push(struct sc_cache *cache, int count, uint32_t now)
{
	uint8_t id[SESSCACHE_ID_LEN], data[DATA];
	const struct sc_record_in in = { .id = id,
		.id_len = sizeof(id),
		.data = data,
		.data_len = sizeof(data),
		.ttl_seconds = TIMEOUT };
	int i;

	for (i = 0; i < count; i++) {
		test_fill(data, sizeof(data), 1000 + (uint64_t)i);
		ck_done(sc_cache_new_id(cache, id));
		ck_done(sc_cache_put(cache, &in, now));
	}
}

/* The session that is stolen; its ID is left in id. */
static void
store_goal(struct sc_cache *cache, size_t len, uint8_t id[SESSCACHE_ID_LEN])
{
	const struct sc_record_in in = { .id = id,
		.id_len = SESSCACHE_ID_LEN,
		.data = known->data,
		.data_len = len,
		.ttl_seconds = TIMEOUT };

	test_fill(known->data, len, 7);
	ck_done(sc_cache_new_id(cache, id));
	ck_done(sc_cache_put(cache, &in, 10));
}

static struct thief_goal
goal(void)
{
	return (struct thief_goal){ .plain = known->data,
		.first_number = 1,
		.numbers = NUMBERS };
}

static bool
thief_finds(const char *name, const struct thief_goal *of)
{
	struct image *all = image_of_files(test_dir(name));
	struct image *control = image_of_file(test_dir(name), "control");
	bool opens = thief_opens(control, all, of);

	ck_assert_ptr_null(
	    memmem(all->bytes, all->len, of->plain, SECRET_PIECE));
	image_free(control);
	image_free(all);
	return opens;
}

typedef void ending(struct sc_cache *cache, const uint8_t *id);

static void
stay(struct sc_cache *cache, const uint8_t *id)
{
	(void)cache, (void)id;
}

static void
be_removed(struct sc_cache *cache, const uint8_t *id)
{
	ck_done(sc_cache_remove(cache, id, SESSCACHE_ID_LEN));
}

/* The next epoch begins with what is stored after the timeout; an eighth of
 * it later somebody looks again. */
static void
end_epoch(struct sc_cache *cache, const uint8_t *id)
{
	(void)id;
	push(cache, 1, 10 + TIMEOUT);
	push(cache, 1, 10 + TIMEOUT + TIMEOUT / 8 + 2);
}

static void
be_removed_and_end_epoch(struct sc_cache *cache, const uint8_t *id)
{
	be_removed(cache, id);
	end_epoch(cache, id);
}

static void
be_purged(struct sc_cache *cache, const uint8_t *id)
{
	uint64_t removed;

	(void)id;
	ck_done(sc_cache_clear(cache, 20, &removed));
}

static const struct theft {
	const char *name;
	ending *end;
	size_t len;
	enum stage stage;
	bool found;
} thefts[] = {
	{ "live, in the journal", stay, DATA, IN_JOURNAL, true },
	{ "live, in the tree", stay, DATA, IN_TREE, true },
	{ "live, long", stay, LONG, IN_TREE, true },
	{ "removed, its epoch lasts", be_removed, DATA, IN_TREE, true },
	{ "expired, in the journal", end_epoch, DATA, IN_JOURNAL, false },
	{ "expired, in the tree", end_epoch, DATA, IN_TREE, false },
	{ "expired, long", end_epoch, LONG, IN_TREE, false },
	{ "removed, its epoch is over", be_removed_and_end_epoch, DATA, IN_TREE,
	    false },
	{ "purged, in the journal", be_purged, DATA, IN_JOURNAL, false },
	{ "purged, in the tree", be_purged, DATA, IN_TREE, false },
	{ "purged, long", be_purged, LONG, IN_TREE, false },
};

START_TEST(thief_of_all_files_opens_what_is_alive_alone)
{
	const struct theft *theft = &thefts[_i];
	struct sc_cache *cache = test_cache("cache", SMALL, 1);
	struct thief_goal of = goal();
	uint8_t id[SESSCACHE_ID_LEN];

	store_goal(cache, theft->len, id);
	if (theft->stage == IN_TREE)
		push(cache, 3 * SC_JOURNAL_ENTRIES, 10);
	ck_assert_msg(thief_finds("cache", &of), "%s: too bad a thief",
	    theft->name);
	theft->end(cache, id);
	ck_assert_msg(thief_finds("cache", &of) == theft->found,
	    "%s: found is not %d", theft->name, theft->found);
	sc_cache_close(cache);
}
END_TEST

/* What was stolen before the end is no use with the keys that are left. */
START_TEST(data_stolen_before_a_purge_do_not_open_with_the_keys_after_it)
{
	struct sc_cache *cache = test_cache("cache", SMALL, 1);
	struct thief_goal of = goal();
	struct image *data, *before, *after;
	uint8_t id[SESSCACHE_ID_LEN];

	store_goal(cache, DATA, id);
	data = image_of_files(test_dir("cache"));
	before = image_of_file(test_dir("cache"), "control");
	be_purged(cache, id);
	after = image_of_file(test_dir("cache"), "control");
	ck_assert(thief_opens(before, data, &of));
	ck_assert(!thief_opens(after, data, &of));
	image_free(after);
	image_free(before);
	image_free(data);
	sc_cache_close(cache);
}
END_TEST

START_TEST(data_file_gives_nothing_without_its_own_control_file)
{
	struct sc_cache *cache = test_cache("cache", SMALL, 1);
	struct sc_cache *other = test_cache("other", SMALL, 1);
	struct thief_goal of = goal();
	uint8_t id[SESSCACHE_ID_LEN];
	struct image *data, *control;
	char name[32];

	store_goal(other, DATA, id);
	store_goal(cache, DATA, id);
	push(cache, 2 * SC_JOURNAL_ENTRIES, 10);
	sc_shard_name(name, 0);
	data = image_of_file(test_dir("cache"), name);
	control = image_of_file(test_dir("cache"), "control");
	ck_assert(thief_opens(control, data, &of));
	ck_assert(!thief_opens(data, data, &of));
	image_free(control);
	control = image_of_file(test_dir("other"), "control");
	ck_assert(!thief_opens(control, data, &of));
	image_free(control);
	image_free(data);
	sc_cache_close(other);
	sc_cache_close(cache);
}
END_TEST

static void
move_file(const char *from, const char *to, const char *name)
{
	char source[SCRATCH_LEN], target[SCRATCH_LEN];

	path_join(source, from, name);
	path_join(target, to, name);
	ck_assert_int_eq(rename(source, target), 0);
}

/* Whether a cache of another's files has the session; with its control file
 * too, or only its data. */
START_TEST(cache_opens_no_records_of_another)
{
	struct sc_cache *cache = test_cache("cache", SMALL, 1);
	struct sc_lookup lookup = { .id_len = SESSCACHE_ID_LEN,
		.buf = known->buf,
		.size = LONG };
	uint8_t id[SESSCACHE_ID_LEN];
	bool control_too = _i == 1;
	char name[32];

	store_goal(cache, DATA, id);
	sc_cache_close(cache);
	sc_cache_close(test_cache("other", SMALL, 1));
	sc_shard_name(name, 0);
	move_file(test_dir("cache"), test_dir("other"), name);
	if (control_too)
		move_file(test_dir("cache"), test_dir("other"), "control");
	cache = test_cache("other", SMALL, 1);
	lookup.id = id;
	ck_status(sc_cache_get(cache, &lookup, 10),
	    control_too ? SESSCACHE_OK : SESSCACHE_MISS);
	sc_cache_close(cache);
}
END_TEST

/* --- ticket keys --------------------------------------------------------- */

/* As the ring has them when it is sealed. */
static const unsigned key_blocks[] = {
	(80 * SESSCACHE_KEY_NEXT + 16) / SECRET_PIECE,
	(80 * SESSCACHE_KEY_CURRENT + 16) / SECRET_PIECE,
	(80 * SESSCACHE_KEY_PREVIOUS + 16) / SECRET_PIECE,
};

_Static_assert(sizeof(struct sc_ring_key) == 80 &&
	offsetof(struct sc_ring_key, cipher) == 16,
    "where the blocks of keys are");

static uint64_t
turn_of(const char *name)
{
	struct image *control = image_of_file(test_dir(name), "control");
	uint64_t turn = atomic_load(&keys_in(control)->ring.turn);

	image_free(control);
	return turn;
}

static bool
thief_finds_ticket_key(const uint8_t *key)
{
	struct thief_goal of = { .plain = key, .numbers = NUMBERS };
	bool found = false;
	int i;

	of.first_number = turn_of("cache") - NUMBERS + 1;
	for (i = 0; i < N_OF(key_blocks); i++) {
		of.block = key_blocks[i];
		found = found || thief_finds("cache", &of);
	}
	return found;
}

START_TEST(ticket_key_that_was_retired_is_nowhere)
{
	struct sc_cache *cache = test_cache("cache", SMALL, 1);
	struct sc_ticket ticket = { .scope = { ASKED, ASKED },
		.expires_at = TIMEOUT };
	uint8_t name[SC_TICKET_NAME], iv[SC_TICKET_IV], key[SC_TICKET_KEY];
	uint64_t removed;

	ck_done(sc_cache_ticket_issue(cache, &ticket, name, iv, 10));
	memcpy(key, ticket.cipher_key, sizeof(key));
	ck_assert(thief_finds_ticket_key(key));
	ck_done(sc_cache_rotate_keys(cache, 10));
	ck_assert(thief_finds_ticket_key(key)); /* the previous one */
	if (_i == 0)
		ck_done(sc_cache_rotate_keys(cache, 10));
	else
		ck_done(sc_cache_clear(cache, 10, &removed));
	ck_assert(!thief_finds_ticket_key(key));
	sc_cache_close(cache);
}
END_TEST

/* --- exchanges ----------------------------------------------------------- */

/*
 * Somebody who may write to the directory, its owner, puts links in the place
 * of what root is about to open.
 */
struct exchange {
	const char *name;   /* "": the directory itself */
	const char *target; /* in the place that nobody may touch */
};

static const struct exchange exchanges[] = {
	{ "", "" },
	{ "control", "full" },
	{ "control", "absent" },
	{ "control.new", "full" },
	{ "shard", "full" },
	{ "shard", "empty" },
	{ "shard", "absent" },
	{ "shard.new", "absent" },
	{ "shard", "cache" },
};

enum { VICTIM_BYTES = 6000, ROUNDS = 100 };

/* The name that the shard's file has here. */
static void
exchanged_path(const struct exchange *exchange, char path[SCRATCH_LEN])
{
	char shard[32];

	sc_shard_name(shard, 0);
	if (strncmp(exchange->name, "shard", 5) == 0)
		(void)snprintf(path, SCRATCH_LEN, "%s/%s%s", test_dir("cache"),
		    shard, exchange->name + 5);
	else
		(void)snprintf(path, SCRATCH_LEN, "%s%s%s", test_dir("cache"),
		    exchange->name[0] != '\0' ? "/" : "", exchange->name);
}

/* It may be there already. */
static void
put_link(const char *target, const char *path)
{
	MUST(symlink(target, path) == 0 || errno == EEXIST);
}

static void
exchange_for_ever(void *arg)
{
	const struct exchange *exchange = arg;
	char path[SCRATCH_LEN], target[SCRATCH_LEN], aside[SCRATCH_LEN];

	exchanged_path(exchange, path);
	path_join(target, test_dir("victim"), exchange->target);
	(void)snprintf(aside, sizeof(aside), "%s", test_dir("aside"));
	while (getppid() != 1) {
		if (renameat2(AT_FDCWD, path, AT_FDCWD, aside,
			RENAME_EXCHANGE) != 0)
			put_link(target,
			    access(aside, F_OK) != 0 ? aside : path);
	}
}

static void
write_file(const char *dir, const char *name, size_t len)
{
	uint8_t bytes[VICTIM_BYTES];
	char path[SCRATCH_LEN];
	int fd;

	test_fill(bytes, sizeof(bytes), 99);
	path_join(path, dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	ck_assert_int_eq(close(fd), 0);
}

/* Files that look like those of a cache, too. */
static void
make_victim(void)
{
	const char *victim = test_dir("victim");
	char name[32], from[SCRATCH_LEN], to[SCRATCH_LEN];

	sc_cache_close(test_cache("victim", SMALL, 1));
	sc_shard_name(name, 0);
	path_join(from, victim, name);
	path_join(to, victim, "cache");
	ck_assert_int_eq(rename(from, to), 0);
	write_file(victim, name, VICTIM_BYTES);
	write_file(victim, "full", VICTIM_BYTES);
	write_file(victim, "empty", 0);
}

/* Whoever has the directory for a while, as a server that starts has it. */
static void
open_once(bool anew)
{
	struct sesscache *cache = NULL;
	enum sesscache_status status;
	char path[SCRATCH_LEN];

	if (anew) {
		path_join(path, test_dir("cache"), "control");
		(void)unlink(path);
	}
	status = cache_try(&cache, test_dir("cache"), "size", "1M", "shards",
	    "1", NULL);
	ck_assert_msg(status == SESSCACHE_OK ? cache != NULL : cache == NULL,
	    "%d", status);
	ck_assert_msg(status != SESSCACHE_EINVAL && status != SESSCACHE_ENOMEM,
	    "%s", sesscache_detail());
	sesscache_close(cache);
}

static bool
is_same_image(const struct image *a, const struct image *b)
{
	return a->len == b->len && a->parts == b->parts &&
	    memcmp(a->bytes, b->bytes, a->len) == 0 &&
	    memcmp(a->part, b->part, sizeof(a->part)) == 0;
}

START_TEST(link_that_is_put_in_the_way_leads_nowhere)
{
	const struct exchange *exchange = &exchanges[_i];
	struct image *before, *after;
	unsigned i, rounds = test_times(ROUNDS, 20);
	pid_t pid;

	sc_cache_close(test_cache("cache", SMALL, 1));
	make_victim();
	before = image_of_files(test_dir("victim"));
	pid = child_start(exchange_for_ever, (void *)(uintptr_t)exchange);
	for (i = 0; i < rounds; i++)
		open_once(i % 3 == 0 && exchange->name[0] != '\0');
	child_kill(pid);
	after = image_of_files(test_dir("victim"));
	ck_assert_msg(is_same_image(before, after), "%s -> %s: %s",
	    exchange->name, exchange->target, "another place was changed");
	image_free(after);
	image_free(before);
}
END_TEST

/* --- floods -------------------------------------------------------------- */

enum { REGULARS = 100, NEWCOMERS = 6000, FORGED = 200000, FLOOD = 40000 };

static struct sc_cache *
full_cache(uint8_t (*regulars)[SESSCACHE_ID_LEN])
{
	struct sc_cache *cache = test_cache("cache", 2 * SMALL, 1);
	struct sc_record_in in = { .id_len = SESSCACHE_ID_LEN,
		.data = known->data,
		.data_len = DATA,
		.ttl_seconds = TIMEOUT,
		.flags = SC_RECORD_REGULAR };
	int i;

	for (i = 0; i < REGULARS; i++) {
		ck_done(sc_cache_new_id(cache, regulars[i]));
		in.id = regulars[i];
		ck_done(sc_cache_put(cache, &in, 10));
	}
	push(cache, NEWCOMERS, 10);
	return cache;
}

static struct sesscache_stats
stats_of(struct sc_cache *cache)
{
	struct sesscache_stats stats;
	uint32_t created_at;

	ck_done(sc_cache_stats(cache, &stats, &created_at));
	return stats;
}

/* An ID of the wrong length, one of nobody's, and one that is nearly right. */
static size_t
forge(uint64_t *state, const uint8_t *real, uint8_t id[SESSCACHE_ID_MAX_LEN])
{
	uint64_t number = test_random(state);
	size_t len = SESSCACHE_ID_LEN;

	test_fill(id, SESSCACHE_ID_MAX_LEN, number);
	if (number % 3 == 0)
		len = 1 + number / 3 % SESSCACHE_ID_MAX_LEN;
	if (number % 3 == 1) {
		memcpy(id, real, SESSCACHE_ID_LEN);
		id[number / 3 % 32] ^= (uint8_t)(1 << number / 96 % 8);
	}
	return len;
}

static void
look_up_forged(struct sc_cache *cache, const uint8_t *real, unsigned count)
{
	uint8_t id[SESSCACHE_ID_MAX_LEN];
	struct sc_lookup lookup = { .id = id, .buf = known->buf, .size = LONG };
	struct sc_ticket ticket = { .terms.open.asked = ASKED };
	uint64_t state = 5;
	unsigned i;

	for (i = 0; i < count; i++) {
		lookup.id_len = forge(&state, real, id);
		if (i % 3 == 0)
			ck_status(sc_cache_take(cache, &lookup, 10),
			    SESSCACHE_MISS);
		else if (i % 3 == 1)
			ck_status(sc_cache_get(cache, &lookup, 10),
			    SESSCACHE_MISS);
		else
			ck_status(sc_cache_ticket_open(cache, &ticket, id,
				      id + SC_TICKET_NAME, 10),
			    SESSCACHE_MISS);
	}
}

/* But for the three that count it, all is as it was. */
static void
must_be_untouched(struct sesscache_stats before, struct sesscache_stats after,
    unsigned count)
{
	uint64_t refused = after.tickets_refused - before.tickets_refused;

	ck_assert_uint_eq(after.foreign - before.foreign + refused, count);
	ck_assert_uint_eq(refused, count / 3);
	before.foreign = after.foreign = 0;
	before.tickets_refused = after.tickets_refused = 0;
	ck_assert_mem_eq(&before, &after, sizeof(before));
}

/* Once with IDs of an application's own among those that are stored. */
START_TEST(flood_of_forged_ids_and_tickets_changes_nothing)
{
	uint8_t regulars[REGULARS][SESSCACHE_ID_LEN];
	struct sc_cache *cache = full_cache(regulars);
	const struct sc_record_in own = { .id = (const uint8_t *)"own",
		.id_len = 3,
		.data = known->data,
		.data_len = DATA,
		.ttl_seconds = TIMEOUT };
	unsigned count = test_times(FORGED, 600) / 3 * 3;
	struct sesscache_stats before;
	struct image *files, *again;
	size_t allocated;

	if (_i == 1)
		ck_done(sc_cache_put(cache, &own, 10));
	look_up_forged(cache, regulars[0], 30); /* the first key is made */
	before = stats_of(cache);
	files = image_of_files(test_dir("cache"));
	allocated = mallinfo2().uordblks;
	look_up_forged(cache, regulars[0], count);
	ck_assert_uint_eq(mallinfo2().uordblks, allocated);
	must_be_untouched(before, stats_of(cache), count);
	again = image_of_files(test_dir("cache"));
	ck_assert_uint_eq(files->len, again->len);
	image_free(again);
	image_free(files);
	sc_cache_close(cache);
}
END_TEST

START_TEST(flood_of_full_handshakes_evicts_no_regular)
{
	uint8_t regulars[REGULARS][SESSCACHE_ID_LEN];
	struct sc_cache *cache = full_cache(regulars);
	struct sesscache_stats before = stats_of(cache), after;
	struct test_sizes sizes = test_measure(test_dir("cache"));
	struct sc_lookup lookup = { .id_len = SESSCACHE_ID_LEN,
		.buf = known->buf,
		.size = LONG };
	int i, count = (int)test_times(FLOOD, 2 * NEWCOMERS);

	push(cache, count, 10);
	after = stats_of(cache);
	ck_assert_uint_gt(after.evicted_newcomers, (uint64_t)count / 2);
	ck_assert_uint_eq(after.evicted_regulars, 0);
	ck_assert_uint_eq(after.regulars, before.regulars);
	ck_assert_uint_le(test_measure(test_dir("cache")).disk_bytes,
	    sizes.disk_bytes);
	for (i = 0; i < REGULARS; i++) {
		lookup.id = regulars[i];
		ck_done(sc_cache_get(cache, &lookup, 10));
	}
	sc_cache_close(cache);
}
END_TEST

/* --- near misses --------------------------------------------------------- */

/* Holds the gate, without which no record can be read. */
struct gatekeeper {
	struct sc_state *state;
	void *map;
	size_t len;
};

static void
hold_gate(struct gatekeeper *keeper)
{
	char path[SCRATCH_LEN];
	enum sc_lock_event event;
	struct stat st;
	int fd;

	path_join(path, test_dir("cache"), "control");
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert(fd >= 0 && fstat(fd, &st) == 0);
	keeper->len = (size_t)st.st_size;
	keeper->map = mmap(NULL, keeper->len, PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(keeper->map, MAP_FAILED);
	ck_assert_int_eq(close(fd), 0);
	keeper->state = (void *)((char *)keeper->map + SC_CONTROL_SHARDS_AT);
	ck_done(sc_lock_take(&keeper->state->gate, SC_LOCK_PATIENT_MS, &event));
}

static void
release_gate(struct gatekeeper *keeper)
{
	sc_lock_release(&keeper->state->gate);
	ck_assert_int_eq(munmap(keeper->map, keeper->len), 0);
}

static enum sesscache_status
look_for(struct sc_cache *cache, const uint8_t *id)
{
	struct sc_lookup lookup = { .id = id,
		.id_len = SESSCACHE_ID_LEN,
		.buf = known->buf,
		.size = LONG };

	return sc_cache_get(cache, &lookup, 10);
}

/*
 * All that a near miss does, a miss of any other does: no more than to find
 * that the ID is none.  Were a record looked at, or where it might be, the
 * gate would be needed, which is held.
 */
START_TEST(id_that_is_nearly_right_is_as_any_other)
{
	struct sc_cache *cache = test_cache("cache", SMALL, 1);
	uint8_t id[SESSCACHE_ID_LEN], random[SESSCACHE_ID_LEN];
	struct sesscache_stats before, after;
	struct gatekeeper keeper;
	int bit;

	store_goal(cache, DATA, id);
	ck_done(look_for(cache, id));
	test_fill(random, sizeof(random), 3);
	before = stats_of(cache);
	hold_gate(&keeper);
	ck_status(look_for(cache, random), SESSCACHE_MISS);
	for (bit = 0; bit < 8 * SESSCACHE_ID_LEN; bit++) {
		id[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_status(look_for(cache, id), SESSCACHE_MISS);
		id[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	ck_status(look_for(cache, id), SESSCACHE_EBUSY);
	release_gate(&keeper);
	after = stats_of(cache);
	ck_assert_uint_eq(after.foreign - before.foreign,
	    8 * SESSCACHE_ID_LEN + 1);
	ck_assert_uint_eq(after.hits, before.hits);
	ck_assert_uint_eq(after.misses, before.misses);
	ck_done(look_for(cache, id));
	sc_cache_close(cache);
}
END_TEST

/* --- the suite ----------------------------------------------------------- */

/* Memory of a program that a sanitizer or valgrind runs is not its own. */
static void
add_dumps(TCase *tc)
{
	if (TEST_SANITIZED || test_in_valgrind())
		return;
	tcase_add_test(tc, search_of_a_dump_finds_what_is_there);
	tcase_add_loop_test(tc, dump_holds_no_session_and_no_ticket_key, 0,
	    N_OF(lives) * N_OF(uptimes));
	tcase_add_test(tc, thread_that_has_ended_leaves_no_key_at_all);
}

static void
add_thieves(TCase *tc)
{
	tcase_add_loop_test(tc, thief_of_all_files_opens_what_is_alive_alone, 0,
	    N_OF(thefts));
	tcase_add_test(tc,
	    data_stolen_before_a_purge_do_not_open_with_the_keys_after_it);
	tcase_add_test(tc,
	    data_file_gives_nothing_without_its_own_control_file);
	tcase_add_loop_test(tc, cache_opens_no_records_of_another, 0, 2);
	tcase_add_loop_test(tc, ticket_key_that_was_retired_is_nowhere, 0, 2);
}

int
main(void)
{
	Suite *suite = suite_create("secrets");
	TCase *tc = tcase_create("secrets");

	tcase_add_unchecked_fixture(tc, make_world, remove_world);
	tcase_add_checked_fixture(tc, setup, test_dir_remove);
	tcase_set_timeout(tc, 300);
	add_dumps(tc);
	tcase_add_test(tc, every_map_of_a_cache_is_left_out_of_dumps);
	tcase_add_test(tc, buffers_are_left_out_of_dumps);
	tcase_add_loop_test(tc, search_of_text_finds_any_spelling, 0, 6);
	tcase_add_loop_test(tc, text_holds_no_secret, 0, N_OF(damages));
	add_thieves(tc);
	tcase_add_loop_test(tc, link_that_is_put_in_the_way_leads_nowhere, 0,
	    N_OF(exchanges));
	tcase_add_loop_test(tc, flood_of_forged_ids_and_tickets_changes_nothing,
	    0, 2);
	tcase_add_test(tc, flood_of_full_handshakes_evicts_no_regular);
	tcase_add_test(tc, id_that_is_nearly_right_is_as_any_other);
	suite_add_tcase(suite, tc);
	return test_run(suite);
}
