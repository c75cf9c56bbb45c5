/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that are not alike on one directory: of another build, in another
 * container.  The one that runs loses nothing by those that come.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "store/shard.h"
#include "support.h"

enum {
	SHARDS = 4,
	KEPT = 400, /* records: they all fit */
	TRIES = 10, /* to open what is in use */
};

/* What the process that runs, which is a child, and the test share. */
struct talk {
	atomic_int made; /* by it, of the records */
	atomic_bool stop;
	struct record records[KEPT];
	struct record other; /* of whoever came */
};

static char scratch[SCRATCH_LEN];
static char dir[SCRATCH_LEN];
static struct talk *talk;
static pid_t running;

static void
wait_until_made(int n)
{
	uint64_t end_ns = clock_ns() + CHILD_SECONDS * UINT64_C(1000000000);

	while (atomic_load(&talk->made) < n) {
		MUST(clock_ns() < end_ns);
		pause_ms(1);
	}
}

/* Make all there are, those of the second half while others come. */
static void
run(void *arg)
{
	struct sesscache *cache;
	int i;

	(void)arg;
	cache = cache_open(dir, "size", "4M", "shards", "4", "timeout", "1h",
	    NULL);
	for (i = 0; i < KEPT; i++) {
		record_make(cache, &talk->records[i]);
		record_must_be(cache, &talk->records[i / 2]);
		atomic_store(&talk->made, i + 1);
		if (i >= KEPT / 2 && !atomic_load(&talk->stop))
			pause_ms(1);
	}
	while (!atomic_load(&talk->stop))
		pause_ms(1);
	for (i = 0; i < KEPT; i++)
		record_must_be(cache, &talk->records[i]);
	if (talk->other.id_len != 0)
		record_must_be(cache, &talk->other);
	sesscache_close(cache);
}

static void
setup(void)
{
	scratch_make(scratch, "check_coexist");
	path_join(dir, scratch, "cache");
	talk = shared_new(sizeof(*talk));
	running = child_start(run, NULL);
	wait_until_made(KEPT / 2);
}

static void
teardown(void)
{
	scratch_remove(scratch);
}

/* It has lost nothing, and made all it was to make. */
static void
stop_the_running_one(void)
{
	atomic_store(&talk->stop, true);
	ck_assert(child_ended_well(running));
}

static void
use_what_the_other_made(const char *path)
{
	struct sesscache *cache = cache_open(path, NULL);

	record_must_be(cache, &talk->records[0]);
	record_make(cache, &talk->other);
	sesscache_close(cache);
}

/* --- builds --------------------------------------------------------------- */

static const struct {
	const char *name;
	size_t at; /* in the control file */
	uint32_t theirs;
	const char *says;
} headers[] = {
	{ "format", offsetof(struct sc_control, format), SC_FORMAT + 1,
	    "has format 4, this program 3" },
	{ "older format", offsetof(struct sc_control, format), SC_FORMAT - 1,
	    "has format 2, this program 3" },
	{ "LMDB", offsetof(struct sc_control, lmdb_format), 1,
	    "has LMDB version 1, this program 0" },
	{ "byte order", offsetof(struct sc_control, byte_order), 0x04030201,
	    "has byte order 67305985, this program 16909060" },
	{ "page size", offsetof(struct sc_control, page_bytes), 1 << 20,
	    "has pages of bytes 1048576, this program " },
	{ "locks", offsetof(struct sc_control, lock_bytes), 4096,
	    "has locks of bytes 4096, this program " },
	{ "states", offsetof(struct sc_control, state_bytes), 4096,
	    "has shard states of bytes 4096, this program " },
};

/* Put what is there into *value, and that in its place. */
static void
exchange(size_t at, void *value, size_t len)
{
	char path[SCRATCH_LEN], was[64];
	int fd;

	path_join(path, dir, "control");
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_uint_le(len, sizeof(was));
	ck_assert_int_eq(pread(fd, was, len, (off_t)at), (ssize_t)len);
	ck_assert_int_eq(pwrite(fd, value, len, (off_t)at), (ssize_t)len);
	memcpy(value, was, len);
	close(fd);
}

/* The files, by number. */
static void
look_at_files(ino_t files[SHARDS + 1])
{
	char path[SCRATCH_LEN], name[32];
	struct stat st;
	unsigned i;

	for (i = 0; i <= SHARDS; i++) {
		(void)snprintf(name, sizeof(name), "shard-%02u.lmdb-0", i);
		path_join(path, dir, i < SHARDS ? name : "control");
		ck_assert_int_eq(stat(path, &st), 0);
		files[i] = st.st_ino;
	}
}

/* Whoever may make a cache, and whoever may not. */
static void
open_in_vain(enum sesscache_status want, const char *says)
{
	struct sesscache *cache = NULL;
	int i;

	for (i = 0; i < TRIES; i++) {
		ck_status(cache_try(&cache, dir, "create",
			      i % 2 == 0 ? "on" : "off", NULL),
		    want);
		ck_assert_ptr_null(cache);
		ck_assert_msg(strstr(sesscache_detail(), says) != NULL, "%s",
		    sesscache_detail());
	}
}

START_TEST(program_of_another_build_is_refused_and_the_running_one_goes_on)
{
	ino_t before[SHARDS + 1], after[SHARDS + 1];
	uint32_t number = headers[_i].theirs;

	look_at_files(before);
	exchange(headers[_i].at, &number, sizeof(number));
	open_in_vain(SESSCACHE_EFORMAT, headers[_i].says);
	look_at_files(after);
	ck_assert_mem_eq(before, after, sizeof(before));
	exchange(headers[_i].at, &number, sizeof(number));
	ck_assert_uint_eq(number, headers[_i].theirs);
	use_what_the_other_made(dir);
	stop_the_running_one();
	use_what_the_other_made(dir);
}
END_TEST

/* Nobody has it any more: it is of no use. */
static void
look_in_vain(void)
{
	struct sesscache *cache = cache_open(dir, NULL);
	int i;

	for (i = 0; i < KEPT; i++)
		ck_status(record_get(cache, &talk->records[i]), SESSCACHE_MISS);
	sesscache_close(cache);
}

START_TEST(cache_of_an_older_program_is_made_anew_when_nobody_has_it)
{
	const uint32_t older = SC_FORMAT - 1;
	uint32_t number = older;

	exchange(offsetof(struct sc_control, format), &number, sizeof(number));
	open_in_vain(SESSCACHE_EFORMAT, "has format 2, this program 3");
	stop_the_running_one();
	look_in_vain();
	number = older;
	exchange(offsetof(struct sc_control, format), &number, sizeof(number));
	ck_assert_uint_eq(number, SC_FORMAT);
}
END_TEST

START_TEST(boot_by_another_id_is_refused_while_the_cache_is_in_use)
{
	ino_t before[SHARDS + 1], after[SHARDS + 1];
	char id[SC_BOOT_ID_LEN];

	memset(id, '0', sizeof(id));
	look_at_files(before);
	exchange(offsetof(struct sc_control, boot_id), id, sizeof(id));
	open_in_vain(SESSCACHE_EFORMAT, "another ID");
	look_at_files(after);
	ck_assert_mem_eq(before, after, sizeof(before));
	stop_the_running_one();
	look_in_vain();
}
END_TEST

/* --- containers, for root ------------------------------------------------- */

/* Whether this process may make such namespaces, with mounts of their own. */
static bool
may_unshare(int flags)
{
	pid_t child = fork();

	if (child == 0)
		_exit(unshare(flags) == 0 &&
			    ((flags & CLONE_NEWNS) == 0 ||
				mount("none", "/", "none", MS_REC | MS_PRIVATE,
				    NULL) == 0) ?
			0 :
			1);
	if (child_end(child) == 0)
		return true;
	printf("skipped: no namespaces of its own here\n");
	return false;
}

static void
write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	MUST(fd >= 0);
	MUST(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static void
mount_read_only(void)
{
	const unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY;

	MUST(unshare(CLONE_NEWNS) == 0);
	MUST(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
	MUST(mount(dir, dir, "none", MS_BIND, NULL) == 0);
	MUST(mount("none", dir, "none", flags, NULL) == 0);
	MUST(access(dir, W_OK) != 0 && errno == EROFS);
}

static void
open_read_only(void *arg)
{
	struct sesscache *cache = NULL;

	(void)arg;
	mount_read_only();
	MUST(cache_try(&cache, dir, NULL) == SESSCACHE_ESYS);
	MUST(strstr(sesscache_detail(), strerror(EROFS)) != NULL);
	MUST(cache_try(&cache, dir, "create", "off", NULL) == SESSCACHE_ESYS);
	MUST(strstr(sesscache_detail(), strerror(EROFS)) != NULL);
}

START_TEST(read_only_mount_is_refused_and_said_so)
{
	ino_t before[SHARDS + 1], after[SHARDS + 1];

	if (may_unshare(CLONE_NEWNS)) {
		look_at_files(before);
		ck_assert(child_does(open_read_only, NULL));
		look_at_files(after);
		ck_assert_mem_eq(before, after, sizeof(before));
	}
	stop_the_running_one();
}
END_TEST

/* What is open does not ask again how it is mounted. */
static void
go_on_read_only(void *arg)
{
	struct sesscache *cache = cache_open(dir, NULL);

	(void)arg;
	mount_read_only();
	use_what_the_other_made(dir);
	sesscache_close(cache);
}

START_TEST(what_is_open_goes_on_below_a_read_only_mount)
{
	if (may_unshare(CLONE_NEWNS))
		ck_assert(child_does(go_on_read_only, NULL));
	stop_the_running_one();
}
END_TEST

/* The owner of the files is this user, by whatever number. */
static void
be_another_number(void *arg)
{
	(void)arg;
	MUST(unshare(CLONE_NEWUSER) == 0);
	write_to("/proc/self/uid_map", "1000 0 1");
	MUST(geteuid() == 1000);
	use_what_the_other_made(dir);
}

START_TEST(user_namespace_of_the_owner_shares_the_cache)
{
	if (may_unshare(CLONE_NEWUSER))
		ck_assert(child_does(be_another_number, NULL));
	stop_the_running_one();
}
END_TEST

/* All who are not known there have one number, this user and the owner too. */
static void
be_nobody_among_nobodies(void *arg)
{
	struct sesscache *cache = NULL;
	struct stat st;

	(void)arg;
	MUST(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
	MUST(unshare(CLONE_NEWUSER) == 0);
	MUST(stat(dir, &st) == 0 && st.st_uid == geteuid());
	MUST(cache_try(&cache, dir, NULL) == SESSCACHE_ESYS);
	MUST(strstr(sesscache_detail(), strerror(EACCES)) != NULL);
}

START_TEST(user_namespace_that_knows_nobody_lets_no_stranger_in)
{
	if (may_unshare(CLONE_NEWUSER))
		ck_assert(child_does(be_nobody_among_nobodies, NULL));
	stop_the_running_one();
}
END_TEST

/* --- another clock -------------------------------------------------------- */

enum { LIFETIME = 3600, AHEAD = 864000 /* seconds */ };

/* Everything lives as long as it should, for whoever looks. */
static int
look_at_lifetime(const struct sesscache_info *info, void *arg)
{
	uint64_t now = (uint64_t)time(NULL);

	(void)arg;
	MUST(!info->expired && info->expires_at > now);
	MUST(info->expires_at <= now + LIFETIME + 2);
	return 0;
}

static void
look_at_lifetimes(void *arg)
{
	struct sesscache *cache = cache_open(dir, "timeout", "1h", NULL);
	struct sesscache_stats stats;

	(void)arg;
	record_must_be(cache, &talk->records[0]);
	MUST(sesscache_each(cache, look_at_lifetime, NULL) == SESSCACHE_OK);
	MUST(sesscache_stats(cache, &stats) == SESSCACHE_OK);
	MUST(stats.expired == 0 && stats.unreadable == 0);
	MUST(stats.key_rotations == 0);
	sesscache_close(cache);
}

static void
live_ahead(void *arg)
{
	struct timespec now;

	MUST(clock_gettime(CLOCK_BOOTTIME, &now) == 0 && now.tv_sec > AHEAD);
	use_what_the_other_made(dir);
	look_at_lifetimes(arg);
}

static void
go_ahead(void *arg)
{
	MUST(unshare(CLONE_NEWTIME) == 0);
	write_to("/proc/self/timens_offsets", "boottime 864000 5\n");
	MUST(child_does(live_ahead, arg));
}

START_TEST(another_time_namespace_shares_the_cache_and_its_time)
{
	if (may_unshare(CLONE_NEWTIME)) {
		ck_assert(child_does(go_ahead, NULL));
		ck_assert(child_does(look_at_lifetimes, NULL));
	}
	stop_the_running_one();
}
END_TEST

/* ------------------------------------------------------------------------- */

static TCase *
add_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 2 * CHILD_SECONDS);
	tcase_add_checked_fixture(tc, setup, teardown);
	suite_add_tcase(suite, tc);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("coexist");
	TCase *tc = add_case(suite, "builds");

	tcase_add_loop_test(tc,
	    program_of_another_build_is_refused_and_the_running_one_goes_on, 0,
	    N_OF(headers));
	tcase_add_test(tc,
	    cache_of_an_older_program_is_made_anew_when_nobody_has_it);
	tcase_add_test(tc,
	    boot_by_another_id_is_refused_while_the_cache_is_in_use);
	if (geteuid() != 0) {
		printf("skipped: containers need root\n");
		return test_run(suite);
	}
	tc = add_case(suite, "containers");
	tcase_add_test(tc, read_only_mount_is_refused_and_said_so);
	tcase_add_test(tc, what_is_open_goes_on_below_a_read_only_mount);
	tcase_add_test(tc, user_namespace_of_the_owner_shares_the_cache);
	tcase_add_test(tc,
	    user_namespace_that_knows_nobody_lets_no_stranger_in);
	tcase_add_test(tc,
	    another_time_namespace_shares_the_cache_and_its_time);
	return test_run(suite);
}
