/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes wrong around a cache: each failure has its status and a sentence
 * that names what is wrong, costs no session that it need not cost, and leaves
 * a cache that the next opener can use.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "store/shard.h"
#include "support.h"

#define N_OF(array) ((int)(sizeof(array) / sizeof(array)[0]))
#define SHARD_0 "shard-00.lmdb-0"

enum {
	SHARDS = 2,
	RECORDS = 200,
	KEPT_SHORT = 3000, /* bytes of a record that fits the journal */
	MAX_STEPS = 6000,  /* of one open, two a system call */
};

static char scratch[SCRATCH_LEN], dir[SCRATCH_LEN];
static struct record *records; /* RECORDS of them, shared */

static void
make_scratch(void)
{
	scratch_make(scratch, "check_faults");
	path_join(dir, scratch, "cache");
}

static void
remove_scratch(void)
{
	scratch_remove(scratch);
}

static void
setup(void)
{
	scratch_remove(dir);
	records = shared_new(sizeof(*records) * RECORDS);
}

static struct sesscache *
open_usual(void)
{
	return cache_open(dir, "size", "4M", "shards", "2", NULL);
}

static void
fill(struct sesscache *cache)
{
	int i;

	for (i = 0; i < RECORDS; i++)
		record_make(cache, &records[i]);
}

/* How many are still there; none has wrong bytes. */
static int
count_kept(struct sesscache *cache)
{
	int i, n = 0;

	for (i = 0; i < RECORDS; i++)
		n += record_get(cache, &records[i]) == SESSCACHE_OK;
	return n;
}

static void
make_filled(void)
{
	struct sesscache *cache = open_usual();

	fill(cache);
	sesscache_close(cache);
}

/* It opens, keeps from this many of the records to that many, and works. */
static void
expect_usable(int least, int most)
{
	struct record own = { .version = 0 };
	struct sesscache *cache = open_usual();
	int kept = count_kept(cache), i;

	ck_assert_int_ge(kept, least);
	ck_assert_int_le(kept, most);
	for (i = 0; i < 50; i++) {
		record_make(cache, &own);
		record_must_be(cache, &own);
		MUST(record_take(cache, &own) == SESSCACHE_OK);
	}
	sesscache_close(cache);
}

/* It does not open, with this status and this in the sentence. */
static void
expect_refusal(enum sesscache_status want, const char *in_detail)
{
	struct sesscache *cache = NULL;
	enum sesscache_status got;

	got = cache_try(&cache, dir, "size", "4M", "shards", "2", NULL);
	ck_assert_msg(got == want, "%d (%s), not %d", got, sesscache_detail(),
	    want);
	ck_assert_ptr_null(cache);
	ck_assert_msg(strstr(sesscache_detail(), in_detail) != NULL,
	    "\"%s\" does not say \"%s\"", sesscache_detail(), in_detail);
}

static void
in_dir(char path[SCRATCH_LEN], const char *name)
{
	path_join(path, dir, name);
}

/* --- the directory ------------------------------------------------------- */

START_TEST(a_file_is_no_directory)
{
	int fd = open(dir, O_CREAT | O_WRONLY, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
	expect_refusal(SESSCACHE_EUNSAFE, "a file, not a directory");
	ck_assert_int_eq(unlink(dir), 0);
}
END_TEST

START_TEST(a_symbolic_link_is_not_followed)
{
	char real[SCRATCH_LEN];

	path_join(real, scratch, "real");
	ck_assert_int_eq(mkdir(real, 0700), 0);
	ck_assert_int_eq(symlink(real, dir), 0);
	expect_refusal(SESSCACHE_EUNSAFE, "a symbolic link");
	ck_assert_int_eq(unlink(dir), 0);
	ck_assert_int_eq(rmdir(real), 0);
}
END_TEST

START_TEST(a_directory_open_to_others_is_refused)
{
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(chmod(dir, 0777), 0);
	expect_refusal(SESSCACHE_EUNSAFE, "0777");
	expect_refusal(SESSCACHE_EUNSAFE, dir);
}
END_TEST

START_TEST(a_missing_parent_is_named)
{
	char deep[SCRATCH_LEN];
	struct sesscache *cache = NULL;

	path_join(deep, dir, "deep");
	ck_assert_int_eq(cache_try(&cache, deep, NULL), SESSCACHE_ESYS);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), deep));
}
END_TEST

START_TEST(without_create_nothing_is_made)
{
	struct sesscache *cache = NULL;

	ck_assert_int_eq(cache_try(&cache, dir, "create", "off", NULL),
	    SESSCACHE_MISS);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), dir));
	ck_assert_int_ne(access(dir, F_OK), 0);
}
END_TEST

/* --- files --------------------------------------------------------------- */

struct damage {
	const char *file;
	const char *name;
	void (*inflict)(const char *path);
	enum sesscache_status want; /* OK: opens, perhaps without sessions */
	const char *detail;
	int least; /* that must be kept */
	int most;
};

static uint64_t
size_of(const char *path)
{
	struct stat st;

	MUST(stat(path, &st) == 0);
	return (uint64_t)st.st_size;
}

/* Fill a part of a file, with random bytes or zeros. */
static void
overwrite(const char *path, off_t at, uint64_t len, bool random)
{
	static uint8_t bytes[4096];
	int fd = open(path, O_WRONLY), source = -1;
	size_t n;

	MUST(fd >= 0);
	memset(bytes, 0, sizeof(bytes));
	if (random)
		source = open("/dev/urandom", O_RDONLY);
	for (; len > 0; at += (off_t)n, len -= n) {
		n = len < sizeof(bytes) ? (size_t)len : sizeof(bytes);
		MUST(!random || read(source, bytes, n) == (ssize_t)n);
		MUST(pwrite(fd, bytes, n, at) == (ssize_t)n);
	}
	if (source >= 0)
		close(source);
	close(fd);
}

static void
truncate_to_0(const char *path)
{
	MUST(truncate(path, 0) == 0);
}

static void
truncate_to_half(const char *path)
{
	MUST(truncate(path, (off_t)size_of(path) / 2) == 0);
}

static void
lengthen(const char *path)
{
	MUST(truncate(path, (off_t)size_of(path) + 4096) == 0);
}

static void
zero(const char *path)
{
	overwrite(path, 0, size_of(path), false);
}

static void
scramble(const char *path)
{
	overwrite(path, 0, size_of(path), true);
}

/* The magic, format and boot stay. */
static void
scramble_the_keys(const char *path)
{
	overwrite(path, SC_CONTROL_CACHE_AT, SC_STORE_CACHE_BYTES, true);
}

static void
scramble_the_shards(const char *path)
{
	overwrite(path, SC_CONTROL_SHARDS_AT,
	    size_of(path) - SC_CONTROL_SHARDS_AT, true);
}

static void
remove_it(const char *path)
{
	MUST(unlink(path) == 0);
}

static void
make_directory(const char *path)
{
	MUST(unlink(path) == 0 && mkdir(path, 0700) == 0);
}

static void
make_fifo(const char *path)
{
	MUST(unlink(path) == 0 && mkfifo(path, 0600) == 0);
}

static void
make_symlink(const char *path)
{
	char other[SCRATCH_LEN];

	path_join(other, scratch, "other");
	MUST(rename(path, other) == 0 && symlink(other, path) == 0);
}

static void
make_hard_link(const char *path)
{
	char other[SCRATCH_LEN];

	path_join(other, scratch, "other");
	(void)unlink(other);
	MUST(link(path, other) == 0);
}

static void
loosen(const char *path)
{
	MUST(chmod(path, 0640) == 0);
}

/* Change the head of the control file, and make its sum right again. */
static void
rewrite_head(const char *path, void (*change)(struct sc_control *head))
{
	const uint8_t *byte;
	struct sc_control head;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	int fd = open(path, O_RDWR);

	MUST(fd >= 0 && pread(fd, &head, sizeof(head), 0) == sizeof(head));
	change(&head);
	for (byte = (const uint8_t *)&head;
	     byte < (const uint8_t *)&head + offsetof(struct sc_control, sum);
	     byte++)
		sum = (sum ^ *byte) * UINT64_C(0x100000001b3);
	head.sum = sum;
	MUST(pwrite(fd, &head, sizeof(head), 0) == sizeof(head));
	close(fd);
}

static void
raise_format(struct sc_control *head)
{
	head->format++;
}

static void
lower_format(struct sc_control *head)
{
	head->format--;
}

static void
swap_byte_order(struct sc_control *head)
{
	head->byte_order = 0x04030201;
}

static void
change_boot(struct sc_control *head)
{
	memset(head->boot_id, 'f', 8);
}

static void
raise_lmdb(struct sc_control *head)
{
	head->lmdb_format++;
}

static void
change_instance(struct sc_control *head)
{
	head->instance[0] ^= 1;
}

static void
double_shards(struct sc_control *head)
{
	head->shards *= 2;
}

static void
another_format(const char *path)
{
	rewrite_head(path, raise_format);
}

static void
older_format(const char *path)
{
	rewrite_head(path, lower_format);
}

static void
another_byte_order(const char *path)
{
	rewrite_head(path, swap_byte_order);
}

static void
another_boot(const char *path)
{
	rewrite_head(path, change_boot);
}

static void
another_lmdb(const char *path)
{
	rewrite_head(path, raise_lmdb);
}

static void
another_instance(const char *path)
{
	rewrite_head(path, change_instance);
}

static void
more_shards(const char *path)
{
	rewrite_head(path, double_shards);
}

/* The same file of another cache of the same size. */
static void
take_from_another(const char *path)
{
	char other[SCRATCH_LEN], from[SCRATCH_LEN];

	path_join(other, scratch, "another");
	sesscache_close(cache_open(other, "size", "4M", "shards", "2", NULL));
	path_join(from, other, strrchr(path, '/') + 1);
	MUST(rename(from, path) == 0);
	scratch_remove(other);
}

/* As if the owner had died without the kernel noticing. */
static void
leave_locked(const char *path)
{
	size_t at = SC_CONTROL_SHARDS_AT;
	struct sc_state state;
	int i, fd = open(path, O_RDWR);

	MUST(fd >= 0);
	for (i = 0; i < SHARDS; i++, at += sizeof(state)) {
		MUST(pread(fd, &state, sizeof(state), (off_t)at) ==
		    sizeof(state));
		memset(&state.gate, 0x11, sizeof(state.gate));
		memset(&state.work, 0x11, sizeof(state.work));
		MUST(pwrite(fd, &state, sizeof(state), (off_t)at) ==
		    sizeof(state));
	}
	close(fd);
}

#define CONTROL "control"
#define ALL RECORDS

static const struct damage damages[] = {
	{ CONTROL, "emptied", truncate_to_0, SESSCACHE_OK, NULL, 0, 0 },
	{ CONTROL, "truncated", truncate_to_half, SESSCACHE_OK, NULL, 0, 0 },
	{ CONTROL, "too long", lengthen, SESSCACHE_OK, NULL, 0, 0 },
	{ CONTROL, "all zeros", zero, SESSCACHE_OK, NULL, 0, 0 },
	{ CONTROL, "random", scramble, SESSCACHE_OK, NULL, 0, 0 },
	{ CONTROL, "with random keys", scramble_the_keys, SESSCACHE_OK, NULL, 0,
	    0 },
	{ CONTROL, "with random shards", scramble_the_shards, SESSCACHE_OK,
	    NULL, 0, 0 },
	{ CONTROL, "missing", remove_it, SESSCACHE_OK, NULL, 0, 0 },
	{ CONTROL, "of another boot", another_boot, SESSCACHE_OK, NULL, 0, 0 },
	{ CONTROL, "of another instance", another_instance, SESSCACHE_OK, NULL,
	    0, 0 },
	{ CONTROL, "of more shards", more_shards, SESSCACHE_OK, NULL, 0, 0 },
	{ CONTROL, "of another cache", take_from_another, SESSCACHE_OK, NULL, 0,
	    0 },
	{ CONTROL, "left locked", leave_locked, SESSCACHE_OK, NULL, ALL, ALL },
	{ CONTROL, "of another format", another_format, SESSCACHE_EFORMAT,
	    "format 4", ALL, ALL },
	{ CONTROL, "of an older format", older_format, SESSCACHE_OK, NULL, 0,
	    0 },
	{ CONTROL, "of another byte order", another_byte_order,
	    SESSCACHE_EFORMAT, "byte order", ALL, ALL },
	{ CONTROL, "of another LMDB", another_lmdb, SESSCACHE_EFORMAT, "LMDB",
	    ALL, ALL },
	{ CONTROL, "a directory", make_directory, SESSCACHE_EUNSAFE, CONTROL, 0,
	    0 },
	{ CONTROL, "a FIFO", make_fifo, SESSCACHE_EUNSAFE, CONTROL, 0, 0 },
	{ CONTROL, "a link", make_symlink, SESSCACHE_EUNSAFE, CONTROL, 0, 0 },
	{ CONTROL, "linked twice", make_hard_link, SESSCACHE_EUNSAFE, CONTROL,
	    0, 0 },
	{ CONTROL, "loose", loosen, SESSCACHE_EUNSAFE, "0640", 0, 0 },
	{ SHARD_0, "emptied", truncate_to_0, SESSCACHE_OK, NULL, 1, ALL - 1 },
	{ SHARD_0, "truncated", truncate_to_half, SESSCACHE_OK, NULL, 1,
	    ALL - 1 },
	{ SHARD_0, "too long", lengthen, SESSCACHE_OK, NULL, 1, ALL - 1 },
	{ SHARD_0, "all zeros", zero, SESSCACHE_OK, NULL, 1, ALL - 1 },
	{ SHARD_0, "random", scramble, SESSCACHE_OK, NULL, 1, ALL - 1 },
	{ SHARD_0, "missing", remove_it, SESSCACHE_OK, NULL, 1, ALL - 1 },
	{ SHARD_0, "of another cache", take_from_another, SESSCACHE_OK, NULL, 1,
	    ALL - 1 },
	{ SHARD_0, "a directory", make_directory, SESSCACHE_EUNSAFE, SHARD_0, 0,
	    0 },
	{ SHARD_0, "a FIFO", make_fifo, SESSCACHE_EUNSAFE, SHARD_0, 0, 0 },
	{ SHARD_0, "a link", make_symlink, SESSCACHE_EUNSAFE, SHARD_0, 0, 0 },
	{ SHARD_0, "linked twice", make_hard_link, SESSCACHE_EUNSAFE, SHARD_0,
	    0, 0 },
	{ SHARD_0, "loose", loosen, SESSCACHE_EUNSAFE, "0640", 0, 0 },
};

/* A refusal changes nothing: what was refused is there as before. */
START_TEST(damage_is_repaired_or_refused)
{
	const struct damage *damage = &damages[_i];
	char path[SCRATCH_LEN], saved[SCRATCH_LEN];
	struct stat before, after;

	in_dir(path, damage->file);
	path_join(saved, scratch, "saved");
	make_filled();
	damage->inflict(path);
	if (damage->want == SESSCACHE_OK) {
		expect_usable(damage->least, damage->most);
	} else {
		ck_assert_int_eq(lstat(path, &before), 0);
		expect_refusal(damage->want, damage->detail);
		ck_assert_int_eq(lstat(path, &after), 0);
		ck_assert_uint_eq(before.st_ino, after.st_ino);
		ck_assert_int_eq(before.st_size, after.st_size);
	}
	path_join(saved, scratch, "other");
	(void)unlink(saved);
}
END_TEST

/* The same with "create" off: nothing is repaired, nothing is changed. */
START_TEST(without_create_damage_is_left_alone)
{
	const struct damage *damage = &damages[_i];
	struct sesscache *cache = NULL;
	enum sesscache_status status;
	char path[SCRATCH_LEN];
	struct stat before, after;

	in_dir(path, damage->file);
	make_filled();
	damage->inflict(path);
	(void)memset(&before, 0, sizeof(before));
	(void)memset(&after, 0, sizeof(after));
	(void)lstat(path, &before);
	status = cache_try(&cache, dir, "create", "off", NULL);
	ck_assert(status != SESSCACHE_OK || damage->want == SESSCACHE_OK);
	(void)lstat(path, &after);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_int_eq(before.st_size, after.st_size);
	sesscache_close(cache);
	path_join(path, scratch, "other");
	(void)unlink(path);
}
END_TEST

/* --- limits -------------------------------------------------------------- */

START_TEST(too_few_descriptors_lose_nothing)
{
	struct rlimit limit, less;
	struct sesscache *cache = NULL;
	enum sesscache_status status = SESSCACHE_ESYS;
	int refusals = 0;

	make_filled();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	less = limit;
	less.rlim_cur = 3;
	while (status != SESSCACHE_OK && less.rlim_cur < 64) {
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &less), 0);
		status = cache_try(&cache, dir, NULL);
		if (status != SESSCACHE_OK) {
			ck_assert_msg(status == SESSCACHE_ESYS, "%s",
			    sesscache_detail());
			ck_assert_ptr_nonnull(
			    strstr(sesscache_detail(), strerror(EMFILE)));
			refusals++;
		}
		less.rlim_cur++;
	}
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert_int_eq(status, SESSCACHE_OK);
	ck_assert_int_gt(refusals, SHARDS);
	ck_assert_int_eq(count_kept(cache), RECORDS);
	sesscache_close(cache);
}
END_TEST

/* Another process has made the cache so large that it cannot be mapped. */
static void
outgrow(void *arg)
{
	struct sesscache *cache = open_usual();
	struct rlimit limit = { 0, 0 };
	enum sesscache_status status;
	struct record own;
	int i;

	MUST(child_does(arg, NULL));
	limit.rlim_cur = limit.rlim_max = 4096;
	MUST(setrlimit(RLIMIT_AS, &limit) == 0);
	memset(&own, 0, sizeof(own));
	for (i = 0; i < 10 * SHARDS; i++) {
		MUST(sesscache_new_id(cache, own.id) == SESSCACHE_OK);
		own.id_len = SESSCACHE_ID_LEN;
		status = record_put(cache, &own);
		MUST(status < 0);
	}
}

static void
grow(void *arg)
{
	(void)arg;
	sesscache_close(cache_open(dir, "size", "256M", NULL));
}

START_TEST(a_map_that_no_longer_fits_the_process_is_no_crash)
{
	if (SANITIZED) {
		printf("skipped: a limit on memory needs a plain build\n");
		return;
	}
	sesscache_close(open_usual());
	ck_assert(child_does(outgrow, grow));
	expect_usable(0, RECORDS);
}
END_TEST

/* --- sizes --------------------------------------------------------------- */

START_TEST(a_size_that_is_too_small_is_refused_and_loses_nothing)
{
	struct sesscache *cache = NULL;

	cache = cache_open(dir, "size", "64M", "shards", "16", NULL);
	fill(cache);
	sesscache_close(cache);
	ck_assert_int_eq(cache_try(&cache, dir, "size", "1M", NULL),
	    SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "size"));
	cache = cache_open(dir, NULL);
	ck_assert_int_eq(count_kept(cache), RECORDS);
	sesscache_close(cache);
}
END_TEST

struct resizer {
	const char *size;
	int first; /* of its records */
};

/* Opens with its size again and again, and finds all that it ever stored. */
static void
keep_resizing(void *arg)
{
	const struct resizer *resizer = arg;
	struct sesscache *cache;
	int i, j;

	for (i = 0; i < 10; i++) {
		cache = cache_open(dir, "size", resizer->size, NULL);
		for (j = 0; j < 5; j++)
			record_make(cache,
			    &records[resizer->first + 5 * i + j]);
		for (j = 0; j < 5 * i; j++)
			record_must_be(cache, &records[resizer->first + j]);
		sesscache_close(cache);
	}
}

START_TEST(openers_with_two_sizes_lose_nothing)
{
	static struct resizer resizers[] = { { "4M", 0 }, { "8M", 50 },
		{ "6M", 100 } };
	struct sesscache *cache = open_usual();
	pid_t children[N_OF(resizers)];
	int i;

	for (i = 0; i < N_OF(resizers); i++)
		children[i] = child_start(keep_resizing, &resizers[i]);
	for (i = 0; i < N_OF(resizers); i++)
		ck_assert(child_ended_well(children[i]));
	for (i = 0; i < 150; i++)
		ck_assert_int_eq(record_get(cache, &records[i]), SESSCACHE_OK);
	sesscache_close(cache);
}
END_TEST

static void
use_for_a_while(void *arg)
{
	struct sesscache *cache = open_usual();
	struct record own = { .version = 0 };
	int i;

	(void)arg;
	for (i = 0; i < 200; i++) {
		record_make(cache, &own);
		record_must_be(cache, &own);
		MUST(record_take(cache, &own) == SESSCACHE_OK);
	}
	sesscache_close(cache);
}

START_TEST(many_more_processes_than_processors_make_and_use_one_cache)
{
	pid_t children[40];
	int i;

	for (i = 0; i < N_OF(children); i++)
		children[i] = child_start(use_for_a_while, NULL);
	for (i = 0; i < N_OF(children); i++)
		ck_assert(child_ended_well(children[i]));
}
END_TEST

/* --- killed while opening ------------------------------------------------ */

static void
make_it(void *arg)
{
	(void)arg;
	sesscache_close(open_usual());
}

static void
resize_it(void *arg)
{
	(void)arg;
	sesscache_close(cache_open(dir, "size", "6M", NULL));
}

static void
make_damaged(void)
{
	char path[SCRATCH_LEN];

	make_filled();
	in_dir(path, SHARD_0);
	truncate_to_half(path);
}

static void
make_for_nobody(void *arg)
{
	(void)arg;
	sesscache_close(cache_open(dir, "size", "4M", "shards", "2", "owner",
	    "65534:65534", NULL));
}

static void
make_without_shard(void)
{
	char path[SCRATCH_LEN];

	make_for_nobody(NULL);
	in_dir(path, SHARD_0);
	remove_it(path);
}

struct opening {
	const char *name;
	void (*prepare)(void); /* NULL: there is nothing yet */
	child_body *body;
	int least; /* sessions that it keeps, at whatever moment it dies */
	bool for_nobody;
};

static const struct opening openings[] = {
	{ "make", NULL, make_it, 0, false },
	{ "open", make_filled, make_it, RECORDS, false },
	{ "resize", make_filled, resize_it, 1, false },
	{ "repair", make_damaged, make_it, 1, false },
	{ "make for another user", NULL, make_for_nobody, 0, true },
	{ "repair for another user", make_without_shard, make_for_nobody, 0,
	    true },
};

/* Let a child run to its n-th system call and kill it there; false: it ended
 * before. */
static bool
kill_at(child_body *body, int n)
{
	pid_t child = fork();
	int i, status = 0;

	MUST(child >= 0);
	if (child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(77);
		raise(SIGSTOP);
		body(NULL);
		_exit(0);
	}
	MUST(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
	for (i = 0; i < n; i++) {
		MUST(ptrace(PTRACE_SYSCALL, child, NULL, NULL) == 0);
		MUST(waitpid(child, &status, 0) == child);
		if (!WIFSTOPPED(status)) {
			MUST(status == 0);
			return false;
		}
	}
	child_kill(child);
	return true;
}

static bool
may_trace(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
	return child_end(child) == 0;
}

/* A process that is killed between any two steps leaves a cache that opens;
 * only what it was copying at that moment may be lost. */
START_TEST(killed_at_any_system_call_an_open_leaves_a_usable_cache)
{
	const struct opening *opening = &openings[_i];
	int n, some = 12 / (int)test_times(12, 4);
	bool killed = may_trace();

	if (!killed || (opening->for_nobody && geteuid() != 0)) {
		printf("skipped: %s: not permitted here\n", opening->name);
		return;
	}
	/* Every other stop: each call has one before it and one after.  Fewer
	 * where each takes its time. */
	for (n = 1; killed && n < MAX_STEPS; n += 2 * some) {
		scratch_remove(dir);
		if (opening->prepare != NULL)
			opening->prepare();
		killed = kill_at(opening->body, n);
		if (opening->for_nobody)
			ck_assert(child_does(make_for_nobody, NULL));
		else
			expect_usable(opening->least, RECORDS);
	}
	ck_assert_int_lt(n, MAX_STEPS);
}
END_TEST

/* --- a damaged record ---------------------------------------------------- */

/* The only shard of the cache, mapped by somebody who writes into it. */
static uint8_t *
map_file(const char *name, size_t *len)
{
	char path[SCRATCH_LEN];
	uint8_t *map;
	int fd;

	in_dir(path, name);
	fd = open(path, O_RDWR);
	MUST(fd >= 0);
	*len = (size_t)size_of(path);
	map = mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(map != MAP_FAILED);
	close(fd);
	return map;
}

/* Where a record has just been written: the longest run of changes. */
static size_t
find_change(const uint8_t *before, const uint8_t *after, size_t len,
    size_t *run)
{
	size_t at, first = 0, best = 0, same = 0;

	*run = 0;
	for (at = 0; at < len; at++) {
		same = before[at] == after[at] ? same + 1 : 0;
		if (same >= 8)
			first = at + 1;
		else if (at + 1 - same - first > *run &&
		    at + 1 - same > first) {
			*run = at + 1 - same - first;
			best = first;
		}
	}
	return best;
}

static int
count_one(const struct sesscache_info *info, void *arg)
{
	(void)info;
	++*(int *)arg;
	return 0;
}

/* Store a record; *at and *run are where its bytes are, in the journal. */
static void
store_and_find(struct sesscache *cache, struct record *record,
    const uint8_t *map, size_t len, size_t *at, size_t *run)
{
	uint8_t *before = malloc(len);

	ck_assert_ptr_nonnull(before);
	memcpy(before, map, len);
	record->data_len = KEPT_SHORT;
	record_make(cache, record);
	*at = find_change(before, map, len, run);
	ck_assert_uint_ge(*run, KEPT_SHORT - 100);
	free(before);
}

/* Flip one byte wherever these bytes are: in the journal, or in the tree. */
static int
flip_everywhere(uint8_t *map, size_t len, const uint8_t *bytes, size_t n,
    size_t which)
{
	uint8_t *at = map, *found;
	int flips = 0;

	for (;;) {
		found = memmem(at, len - (size_t)(at - map), bytes, n);
		if (found == NULL)
			return flips;
		found[which] ^= 0x40;
		flips++;
		at = found + 1;
	}
}

/* Flip a byte of a record, in the journal or in the tree. */
static void
flip_and_look(struct sesscache *cache, uint8_t *map, size_t len, size_t offset,
    bool in_tree)
{
	struct record record = { .version = 0 };
	struct sesscache_stats before, after;
	uint8_t bytes[KEPT_SHORT];
	size_t at, run, n = 512;
	int seen = 0;

	store_and_find(cache, &record, map, len, &at, &run);
	memcpy(bytes, map + at + offset, n);
	if (in_tree) /* a visit writes the journal out */
		MUST(sesscache_each(cache, count_one, &seen) == SESSCACHE_OK);
	MUST(sesscache_stats(cache, &before) == SESSCACHE_OK);
	ck_assert_int_gt(flip_everywhere(map, len, bytes, n, 0), 0);
	ck_assert_int_eq(record_get(cache, &record), SESSCACHE_MISS);
	ck_assert_int_eq(record_get(cache, &record), SESSCACHE_MISS);
	MUST(sesscache_stats(cache, &after) == SESSCACHE_OK);
	ck_assert_uint_eq(after.unreadable + after.expired,
	    before.unreadable + before.expired + 1);
	record_make(cache, &record);
	record_must_be(cache, &record);
	MUST(record_remove(cache, &record) == SESSCACHE_OK);
}

START_TEST(a_flipped_byte_is_a_miss_and_the_record_goes)
{
	struct sesscache *cache;
	size_t len, offset;
	uint8_t *map;

	cache = cache_open(dir, "size", "4M", "shards", "1", NULL);
	map = map_file(SHARD_0, &len);
	for (offset = 0; offset < 60; offset++) {
		flip_and_look(cache, map, len, offset, false);
		flip_and_look(cache, map, len, offset, true);
	}
	munmap(map, len);
	sesscache_close(cache);
}
END_TEST

/* --- damage while processes have it mapped ------------------------------- */

static struct sc_area *
find_area(uint8_t *map, size_t len)
{
	struct sc_control *control;
	struct sc_area *area;
	size_t control_len;

	control = (void *)map_file(CONTROL, &control_len);
	area = memmem(map, len, control->instance, sizeof(control->instance));
	MUST(area != NULL);
	munmap(control, control_len);
	return area;
}

/* Use a cache whose bytes may be anything: no crash, no wrong byte. */
static void
use_damaged(struct sesscache *cache)
{
	struct record own = { .version = 0 };
	struct sesscache_stats stats;
	uint8_t data[RECORD_MAX_LEN];
	size_t len;
	int i, seen = 0;

	(void)count_kept(cache);
	for (i = 0; i < 200; i++) {
		record_new_id(cache, &own);
		len = record_bytes(&own, data);
		(void)!sesscache_put(cache, own.id, own.id_len, data, len, 0);
		(void)record_get(cache, &own);
		if (i % 3 == 0)
			(void)record_remove(cache, &own);
	}
	(void)!sesscache_each(cache, count_one, &seen);
	(void)!sesscache_stats(cache, &stats);
}

static unsigned dice;

static uint8_t
roll(void)
{
	dice = dice * 1103515245 + 12345;
	return (uint8_t)(dice >> 16);
}

/* Overwrite some bytes of the journals, or of one's counts. */
static void
damage_journals(struct sc_area *area, bool counts)
{
	struct sc_journal *journal = &area->journals[roll() % 2];
	uint8_t *bytes = (uint8_t *)area->journals;
	size_t at, len = counts ? 24 : 40;
	size_t size = counts ? 1 : sizeof(area->journals) - len;

	if (counts)
		bytes = (uint8_t *)journal;
	for (at = (size_t)(roll() << 8 | roll()) % size; len > 0; len--)
		bytes[at++] = roll();
}

static void
scribble(void *arg)
{
	unsigned seed = *(unsigned *)arg;
	struct sesscache *cache;
	struct sc_area *area;
	uint8_t *map;
	size_t len;
	int i;

	dice = seed;
	cache = cache_open(dir, "size", "4M", "shards", "1", NULL);
	map = map_file(SHARD_0, &len);
	area = find_area(map, len);
	fill(cache);
	for (i = 0; i < 20; i++) {
		damage_journals(area, seed % 4 == 0);
		use_damaged(cache);
	}
}

START_TEST(damage_to_a_journal_crashes_nobody)
{
	unsigned seed = (unsigned)_i;
	struct sesscache *cache;

	ck_assert(child_does(scribble, &seed));
	cache = cache_open(dir, NULL);
	fill(cache);
	ck_assert_int_eq(count_kept(cache), RECORDS);
	sesscache_close(cache);
}
END_TEST

/* --- a lock whose owner dies, or stops ----------------------------------- */

struct holder {
	int shard;
	bool work; /* the work lock, else the gate */
};

/* Take a lock as the store does, say so, and wait for what comes. */
static void
hold(const struct holder *holder, int say)
{
	enum sc_lock_event event;
	struct sc_state *state;
	uint8_t *map;
	size_t len;

	map = map_file(CONTROL, &len);
	state = (void *)(map + SC_CONTROL_SHARDS_AT);
	state += holder->shard;
	MUST(sc_lock_take(holder->work ? &state->work : &state->gate,
		 SC_LOCK_PATIENT_MS, &event) == SESSCACHE_OK);
	MUST(write(say, "", 1) == 1);
	for (;;)
		pause();
}

static pid_t
start_holder(const struct holder *holder)
{
	int ends[2];
	pid_t child;
	char byte;

	MUST(pipe(ends) == 0);
	child = fork();
	MUST(child >= 0);
	if (child == 0)
		hold(holder, ends[1]);
	MUST(read(ends[0], &byte, 1) == 1);
	close(ends[0]);
	close(ends[1]);
	return child;
}

static uint64_t
next_seq(int shard)
{
	struct sc_state *state;
	uint64_t seq;
	uint8_t *map;
	size_t len;

	map = map_file(CONTROL, &len);
	state = (void *)(map + SC_CONTROL_SHARDS_AT);
	seq = atomic_load(&state[shard].next_seq);
	munmap(map, len);
	return seq;
}

static const struct holder holders[] = { { 0, false }, { 1, true } };

/* Those that go on must not shun the shard for ever. */
START_TEST(a_shard_whose_worker_died_in_a_lock_is_used_again)
{
	const struct holder *holder = &holders[_i];
	struct sesscache *cache = open_usual();
	uint64_t before;

	fill(cache);
	child_kill(start_holder(holder));
	ck_assert_int_eq(count_kept(cache), RECORDS);
	before = next_seq(holder->shard);
	fill(cache);
	fill(cache);
	ck_assert_uint_ge(next_seq(holder->shard), before + RECORDS / 2);
	ck_assert_int_eq(count_kept(cache), RECORDS);
	sesscache_close(cache);
}
END_TEST

static void
do_nothing(void *arg)
{
	(void)arg;
}

/* While it is stopped: no call takes long, forks do not hang, the rest of the
 * cache serves; afterwards all of it. */
START_TEST(a_worker_that_is_stopped_in_a_lock_holds_up_nobody)
{
	const struct holder *holder = &holders[_i];
	struct sesscache *cache = open_usual();
	struct record own = { .version = 0 };
	uint8_t data[RECORD_MAX_LEN];
	uint64_t begun_ns, before;
	size_t len;
	pid_t child;
	int i, done = 0;

	fill(cache);
	child = start_holder(holder);
	begun_ns = clock_ns();
	for (i = 0; i < 5000; i++) {
		record_new_id(cache, &own);
		len = record_bytes(&own, data);
		done += sesscache_put(cache, own.id, own.id_len, data, len,
			    0) == SESSCACHE_OK;
	}
	ck_assert_uint_lt(clock_ns() - begun_ns, UINT64_C(10000000000));
	ck_assert_int_gt(done, 4000);
	ck_assert(child_does(do_nothing, NULL));
	child_kill(child);
	ck_assert(child_does(do_nothing, NULL));
	fill(cache);
	ck_assert_int_eq(count_kept(cache), RECORDS);
	before = next_seq(holder->shard);
	fill(cache);
	fill(cache);
	ck_assert_uint_ge(next_seq(holder->shard), before + RECORDS / 2);
	sesscache_close(cache);
}
END_TEST

/* --- file systems: for root ---------------------------------------------- */

/* A file system of our own at dir's parent, seen by this child alone. */
static void
mount_tmpfs(const char *options)
{
	MUST(unshare(CLONE_NEWNS) == 0);
	MUST(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
	MUST(mount("tmpfs", scratch, "tmpfs", 0, options) == 0);
}

static void
use_read_only(void *arg)
{
	struct sesscache *cache = NULL;

	(void)arg;
	mount_tmpfs("size=8m");
	make_filled();
	MUST(
	    mount("none", scratch, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL) == 0);
	MUST(cache_try(&cache, dir, NULL) == SESSCACHE_ESYS);
	MUST(errno == EROFS);
	MUST(strstr(sesscache_detail(), dir) != NULL);
	MUST(mount("none", scratch, "tmpfs", MS_REMOUNT, NULL) == 0);
	cache = cache_open(dir, NULL);
	MUST(count_kept(cache) == RECORDS);
	MUST(cache_try(&cache, scratch, NULL) != SESSCACHE_OK);
}

/* Too small for any of it, or for the last shard. */
static void
use_full(void *arg)
{
	struct sesscache *cache = NULL;
	char path[SCRATCH_LEN];

	mount_tmpfs(arg);
	MUST(cache_try(&cache, dir, "size", "4M", "shards", "2", NULL) ==
	    SESSCACHE_ENOSPC);
	MUST(strstr(sesscache_detail(), dir) != NULL);
	in_dir(path, SHARD_0);
	MUST(access(path, F_OK) != 0); /* nothing is left lying there */
	cache = cache_open(dir, "size", "1M", "shards", "1", NULL);
	fill(cache);
	/* It cannot grow, and loses nothing by that. */
	sesscache_close(cache);
	MUST(cache_try(&cache, dir, "size", "4M", NULL) == SESSCACHE_ENOSPC);
	MUST(strstr(sesscache_detail(), dir) != NULL);
	cache = cache_open(dir, NULL);
	MUST(count_kept(cache) == RECORDS);
	sesscache_close(cache);
}

static void
become_another(void *arg)
{
	MUST(setgroups(0, NULL) == 0);
	MUST(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
	expect_refusal(*(enum sesscache_status *)arg, dir);
}

static bool
may_mount(void)
{
	pid_t child = fork();

	/* In a chroot that is no mount point, mounts would be seen outside. */
	if (child == 0)
		_exit(unshare(CLONE_NEWNS) == 0 &&
			    mount("none", "/", "none", MS_REC | MS_PRIVATE,
				NULL) == 0 ?
			0 :
			1);
	return child_end(child) == 0;
}

START_TEST(file_systems_that_are_full_or_read_only_lose_nothing)
{
	char small[] = "size=1100k", smaller[] = "size=3m";

	if (!may_mount()) {
		printf("skipped: no mounts of its own here\n");
		return;
	}
	ck_assert(child_does(use_read_only, NULL));
	ck_assert(child_does(use_full, small));
	ck_assert(child_does(use_full, smaller));
}
END_TEST

START_TEST(what_belongs_to_another_user_is_refused)
{
	enum sesscache_status want = SESSCACHE_ESYS;

	make_filled();
	ck_assert(child_does(become_another, &want)); /* cannot even look */
	ck_assert_int_eq(chown(dir, NOBODY, NOBODY), 0);
	expect_refusal(SESSCACHE_EUNSAFE, "user 65534");
	/* The directory would do, but the files are root's. */
	ck_assert(child_does(become_another, &want));
	ck_assert_int_eq(chown(dir, 0, 0), 0);
	expect_usable(RECORDS, RECORDS);
}
END_TEST

/* ------------------------------------------------------------------------- */

static TCase *
add_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 2 * CHILD_SECONDS);
	tcase_add_unchecked_fixture(tc, make_scratch, remove_scratch);
	tcase_add_checked_fixture(tc, setup, NULL);
	suite_add_tcase(suite, tc);
	return tc;
}

static Suite *
make_suite(void)
{
	Suite *suite = suite_create("faults");
	TCase *tc = add_case(suite, "directory");

	tcase_add_test(tc, a_file_is_no_directory);
	tcase_add_test(tc, a_symbolic_link_is_not_followed);
	tcase_add_test(tc, a_directory_open_to_others_is_refused);
	tcase_add_test(tc, a_missing_parent_is_named);
	tcase_add_test(tc, without_create_nothing_is_made);
	tc = add_case(suite, "files");
	tcase_add_loop_test(tc, damage_is_repaired_or_refused, 0,
	    N_OF(damages));
	tcase_add_loop_test(tc, without_create_damage_is_left_alone, 0,
	    N_OF(damages));
	tc = add_case(suite, "limits");
	tcase_add_test(tc, too_few_descriptors_lose_nothing);
	tcase_add_test(tc, a_map_that_no_longer_fits_the_process_is_no_crash);
	tcase_add_test(tc,
	    a_size_that_is_too_small_is_refused_and_loses_nothing);
	tcase_add_test(tc, openers_with_two_sizes_lose_nothing);
	tcase_add_test(tc,
	    many_more_processes_than_processors_make_and_use_one_cache);
	tc = add_case(suite, "killed");
	tcase_add_loop_test(tc,
	    killed_at_any_system_call_an_open_leaves_a_usable_cache, 0,
	    N_OF(openings));
	tc = add_case(suite, "live");
	tcase_add_test(tc, a_flipped_byte_is_a_miss_and_the_record_goes);
	tcase_add_loop_test(tc, damage_to_a_journal_crashes_nobody, 0, 12);
	tcase_add_loop_test(tc,
	    a_shard_whose_worker_died_in_a_lock_is_used_again, 0,
	    N_OF(holders));
	tcase_add_loop_test(tc,
	    a_worker_that_is_stopped_in_a_lock_holds_up_nobody, 0,
	    N_OF(holders));
	return suite;
}

int
main(void)
{
	Suite *suite = make_suite();
	SRunner *runner;
	TCase *tc;
	int failed;

	if (geteuid() == 0) {
		tc = add_case(suite, "root");
		tcase_add_test(tc,
		    file_systems_that_are_full_or_read_only_lose_nothing);
		tcase_add_test(tc, what_belongs_to_another_user_is_refused);
	} else {
		printf("skipped: mounts and other users need root\n");
	}
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
