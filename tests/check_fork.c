/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A cache that is opened once and inherited: over fork(), nested and amidst
 * busy threads, over exec, chroot and setuid, into another PID namespace.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

enum {
	CHILDREN = 8,
	THREADS = 4,
	FORKS = 300,
	CONNECTIONS = 1000,
	FORK_DATA_LEN =
	    700, /* bytes: 2 * CONNECTIONS fit, if all shards are used */
};

static char scratch[SCRATCH_LEN];
static char dir[SCRATCH_LEN];
static struct sesscache *cache;
static struct record *shared; /* 2 * CONNECTIONS of them */

static void
make_scratch(void)
{
	scratch_make(scratch, "check_fork");
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
	scratch_remove(dir); /* of a test that failed */
	cache = cache_open(dir, "size", "4M", "shards", "4", NULL);
	shared = shared_new(sizeof(*shared) * 2 * CONNECTIONS);
}

static void
teardown(void)
{
	sesscache_close(cache);
	scratch_remove(dir);
}

/* --- fork ---------------------------------------------------------------- */

static void
find_and_make(void *arg)
{
	record_must_be(cache, &shared[0]);
	record_make(cache, arg);
}

START_TEST(children_use_what_their_parent_opened)
{
	int i;

	record_make(cache, &shared[0]);
	for (i = 1; i <= CHILDREN; i++)
		ck_assert(child_does(find_and_make, &shared[i]));
	for (i = 1; i <= CHILDREN; i++)
		ck_assert_int_eq(record_get(cache, &shared[i]), SESSCACHE_OK);
}
END_TEST

/* Each generation closes its copy, and the next one was made before. */
static void
descend(void *arg)
{
	struct record *own = arg;
	pid_t child;

	record_must_be(cache, &shared[0]);
	record_make(cache, own);
	if (own == &shared[CHILDREN])
		return;
	child = child_start(descend, own + 1);
	sesscache_close(cache);
	MUST(child_ended_well(child));
}

START_TEST(grandchildren_go_on_after_their_parents_closed)
{
	int i;

	record_make(cache, &shared[0]);
	ck_assert(child_does(descend, &shared[1]));
	for (i = 1; i <= CHILDREN; i++)
		ck_assert_int_eq(record_get(cache, &shared[i]), SESSCACHE_OK);
	record_make(cache, &shared[0]);
}
END_TEST

static void
close_and_open_again(void *arg)
{
	struct sesscache *own;

	sesscache_close(cache);
	own = cache_open(dir, NULL);
	record_must_be(own, &shared[0]);
	record_make(own, arg);
	sesscache_close(own);
}

START_TEST(a_child_may_close_and_open_on_its_own)
{
	record_make(cache, &shared[0]);
	ck_assert(child_does(close_and_open_again, &shared[1]));
	ck_assert_int_eq(record_get(cache, &shared[1]), SESSCACHE_OK);
}
END_TEST

static void
wait_then_use(void *arg)
{
	char byte;

	MUST(read(*(int *)arg, &byte, 1) == 0); /* the parent has closed */
	find_and_make(&shared[1]);
}

START_TEST(a_child_outlives_the_handle_of_its_parent)
{
	int ends[2];
	pid_t child;

	ck_assert_int_eq(pipe(ends), 0);
	record_make(cache, &shared[0]);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		close(ends[1]);
		wait_then_use(&ends[0]);
		_exit(0);
	}
	sesscache_close(cache);
	close(ends[0]);
	close(ends[1]);
	ck_assert(child_ended_well(child));
	cache = cache_open(dir, NULL);
	ck_assert_int_eq(record_get(cache, &shared[1]), SESSCACHE_OK);
}
END_TEST

/* --- fork among threads -------------------------------------------------- */

static atomic_bool stop;

/* Put, get and take without a pause. */
static void *
keep_busy(void *arg)
{
	struct record own = { .version = 0 };

	(void)arg;
	while (!atomic_load(&stop)) {
		record_make(cache, &own);
		record_must_be(cache, &own);
		record_must_be(cache, &shared[0]);
		MUST(record_take(cache, &own) == SESSCACHE_OK);
		MUST(record_get(cache, &own) == SESSCACHE_MISS);
	}
	return NULL;
}

static void
make_some(void *arg)
{
	struct record own = { .version = 1 };
	int i;

	(void)arg;
	record_must_be(cache, &shared[0]);
	for (i = 0; i < 10; i++) {
		record_make(cache, &own);
		record_must_be(cache, &own);
		MUST(record_take(cache, &own) == SESSCACHE_OK);
		MUST(record_get(cache, &own) == SESSCACHE_MISS);
	}
}

/* One in eight ends with exit(), and one in eight has a child. */
static void
live_shortly(void *arg)
{
	int turn = *(int *)arg;

	make_some(NULL);
	if (turn % 8 == 1)
		exit(0);
	if (turn % 8 == 2)
		MUST(child_does(make_some, NULL));
	if (turn % 8 == 3)
		sesscache_close(cache);
}

static void *
keep_forking(void *arg)
{
	int turn;

	(void)arg;
	for (turn = 0; turn < FORKS / 2; turn++)
		MUST(child_does(live_shortly, &turn));
	return NULL;
}

START_TEST(forks_among_busy_threads_leave_nothing_locked)
{
	struct sesscache_stats stats;
	pthread_t threads[THREADS], forker;
	int i;

	atomic_store(&stop, false);
	record_make(cache, &shared[0]);
	for (i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, keep_busy,
				     NULL),
		    0);
	ck_assert_int_eq(pthread_create(&forker, NULL, keep_forking, NULL), 0);
	(void)keep_forking(NULL);
	pthread_join(forker, NULL);
	atomic_store(&stop, true);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_eq(sesscache_stats(cache, &stats), SESSCACHE_OK);
	ck_assert_uint_eq(stats.failed, 0);
	ck_assert_uint_eq(stats.unreadable, 0);
	ck_assert_uint_eq(stats.evicted_newcomers + stats.evicted_regulars, 0);
}
END_TEST

/* Opening and closing, too, may happen while another thread forks. */
static void *
keep_opening(void *arg)
{
	struct sesscache *own;

	(void)arg;
	while (!atomic_load(&stop)) {
		own = cache_open(dir, NULL);
		record_must_be(own, &shared[0]);
		sesscache_close(own);
	}
	return NULL;
}

START_TEST(forks_while_a_thread_opens_and_closes_are_safe)
{
	pthread_t opener;
	int turn;

	atomic_store(&stop, false);
	record_make(cache, &shared[0]);
	ck_assert_int_eq(pthread_create(&opener, NULL, keep_opening, NULL), 0);
	for (turn = 0; turn < FORKS / 4; turn++)
		ck_assert(child_does(close_and_open_again, &shared[1]));
	atomic_store(&stop, true);
	pthread_join(opener, NULL);
}
END_TEST

/* --- a child a connection ------------------------------------------------ */

static void
serve_connection(void *arg)
{
	struct record *own = arg;

	if (own > shared)
		record_must_be(cache, own - 1);
	own[0].data_len = FORK_DATA_LEN;
	own[1].data_len = FORK_DATA_LEN;
	record_make(cache, &own[0]);
	record_make(cache, &own[1]);
}

/* Children that start alike must not all store in the same shard: what they
 * store fits only if it is spread. */
START_TEST(a_child_a_connection_fills_all_shards)
{
	struct sesscache_stats stats;
	int i;

	record_make(cache, &shared[2 * CONNECTIONS - 1]);
	for (i = 0; i < CONNECTIONS; i++)
		ck_assert(child_does(serve_connection, &shared[2 * i]));
	for (i = 0; i < 2 * CONNECTIONS; i++)
		ck_assert_msg(record_get(cache, &shared[i]) == SESSCACHE_OK,
		    "record %d of %d is lost", i, 2 * CONNECTIONS);
	ck_assert_int_eq(sesscache_stats(cache, &stats), SESSCACHE_OK);
	ck_assert_uint_eq(stats.evicted_newcomers + stats.evicted_regulars, 0);
}
END_TEST

/* --- exec ---------------------------------------------------------------- */

/* How many descriptors lead to something under a directory. */
static int
count_open_under(const char *list, const char *path)
{
	char name[SCRATCH_LEN + 300], target[SCRATCH_LEN];
	struct dirent *entry;
	DIR *fds = opendir(list);
	int n = 0;
	ssize_t len;

	ck_assert_ptr_nonnull(fds);
	for (entry = readdir(fds); entry != NULL; entry = readdir(fds)) {
		(void)snprintf(name, sizeof(name), "%s/%s", list,
		    entry->d_name);
		len = readlink(name, target, sizeof(target) - 1);
		target[len > 0 ? len : 0] = '\0';
		n += strncmp(target, path, strlen(path)) == 0;
	}
	closedir(fds);
	return n;
}

START_TEST(no_descriptor_is_left_after_exec)
{
	char list[64];
	int ends[2];
	char byte;
	pid_t child;

	ck_assert_int_gt(count_open_under("/proc/self/fd", dir), 0);
	ck_assert_int_eq(pipe(ends), 0);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", "echo; exec sleep 60",
		    (char *)NULL);
		_exit(1);
	}
	ck_assert_int_eq(read(ends[0], &byte, 1), 1); /* exec has happened */
	(void)snprintf(list, sizeof(list), "/proc/%d/fd", (int)child);
	ck_assert_int_eq(count_open_under(list, dir), 0);
	child_kill(child);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(no_descriptor_is_left_after_close)
{
	sesscache_close(cache);
	cache = NULL;
	ck_assert_int_eq(count_open_under("/proc/self/fd", dir), 0);
}
END_TEST

/* --- openers beside inheritors ------------------------------------------- */

static void
open_on_its_own(void *arg)
{
	struct sesscache *own = cache_open(dir, NULL);
	struct record *records = arg;
	int i;

	for (i = 0; i < 500; i++)
		record_make(own, &records[i]);
	record_must_be(own, &shared[0]);
	sesscache_close(own);
}

static void
inherit(void *arg)
{
	struct record *records = arg;
	int i;

	for (i = 0; i < 500; i++)
		record_make(cache, &records[i]);
	record_must_be(cache, &shared[0]);
}

/* The openers are forked before the cache is opened here. */
START_TEST(openers_and_inheritors_share_one_cache)
{
	pid_t children[2];
	int i;

	record_make(cache, &shared[0]);
	sesscache_close(cache);
	children[0] = child_start(open_on_its_own, &shared[1]);
	cache = cache_open(dir, NULL);
	children[1] = child_start(inherit, &shared[501]);
	for (i = 0; i < 2; i++)
		ck_assert(child_ended_well(children[i]));
	for (i = 0; i <= 1000; i++)
		ck_assert_int_eq(record_get(cache, &shared[i]), SESSCACHE_OK);
}
END_TEST

/* --- other worlds: for root ---------------------------------------------- */

/* In a PID namespace of its own, with its own /proc: first what it inherits,
 * then what it opens. */
static void
live_elsewhere(void *arg)
{
	(void)arg;
	MUST(getpid() == 1);
	MUST(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0);
	MUST(mount("proc", "/proc", "proc", 0, NULL) == 0);
	inherit(&shared[1]);
	sesscache_close(cache);
	open_on_its_own(&shared[501]);
}

static void
enter_elsewhere(void *arg)
{
	MUST(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0);
	MUST(child_does(live_elsewhere, arg));
}

static bool
may_unshare(void)
{
	pid_t child = fork();

	/* In a chroot that is no mount point, mounts would be seen outside. */
	if (child == 0)
		_exit(unshare(CLONE_NEWPID | CLONE_NEWNS) == 0 &&
			    mount("none", "/", "none", MS_REC | MS_PRIVATE,
				NULL) == 0 ?
			0 :
			1);
	return child_end(child) == 0;
}

START_TEST(another_pid_namespace_shares_the_cache)
{
	struct record own = { .version = 2 };
	pid_t child;
	int i;

	if (!may_unshare()) {
		printf("skipped: no namespaces of its own here\n");
		return;
	}
	record_make(cache, &shared[0]);
	child = child_start(enter_elsewhere, NULL);
	for (i = 0; i < 2000; i++) {
		record_make(cache, &own);
		MUST(record_take(cache, &own) == SESSCACHE_OK);
	}
	ck_assert(child_ended_well(child));
	for (i = 0; i <= 1000; i++)
		ck_assert_int_eq(record_get(cache, &shared[i]), SESSCACHE_OK);
}
END_TEST

static void
become_nobody(void)
{
	MUST(setgroups(0, NULL) == 0);
	MUST(setgid(NOBODY) == 0);
	MUST(setuid(NOBODY) == 0);
}

/* Shared with the one in the jail. */
struct talk {
	atomic_int made;    /* records from the jail */
	atomic_int resizes; /* that have been */
	atomic_bool stop;
};

static void
live_in_jail(void *arg)
{
	struct talk *talk = arg;
	int i = 1;

	MUST(chroot(scratch) == 0 && chdir("/") == 0);
	become_nobody();
	MUST(access("/proc", F_OK) != 0);
	while (!atomic_load(&talk->stop)) {
		record_must_be(cache, &shared[0]);
		if (i <= 100 * (atomic_load(&talk->resizes) + 1)) {
			record_make(cache, &shared[i]);
			atomic_store(&talk->made, i++);
		}
	}
	record_make(cache, &shared[CONNECTIONS]);
	MUST(record_get(cache, &shared[CONNECTIONS]) == SESSCACHE_OK);
}

static void
resize(void *arg)
{
	unsigned size_mb = *(unsigned *)arg;
	struct sesscache_stats stats;
	struct sesscache *own;
	char size[16];

	(void)snprintf(size, sizeof(size), "%uM", size_mb);
	own = cache_open(dir, "size", size, NULL);
	record_must_be(own, &shared[0]);
	MUST(sesscache_stats(own, &stats) == SESSCACHE_OK);
	MUST(stats.size_bytes == (uint64_t)size_mb << 20);
	sesscache_close(own);
}

START_TEST(in_a_chroot_as_nobody_the_cache_works_and_is_resized)
{
	static unsigned sizes_mb[] = { 8, 16, 6, 32, 4, 12 };
	struct talk *talk = shared_new(sizeof(*talk));
	pid_t child;
	int i;

	record_make(cache, &shared[0]);
	child = child_start(live_in_jail, talk);
	for (i = 0; i < 6; i++) {
		while (atomic_load(&talk->made) < 100 * i + 50)
			MUST(waitpid(child, NULL, WNOHANG) == 0);
		ck_assert(child_does(resize, &sizes_mb[i]));
		atomic_store(&talk->resizes, i + 1);
	}
	atomic_store(&talk->stop, true);
	ck_assert(child_ended_well(child));
	for (i = 0; i <= atomic_load(&talk->made); i++)
		ck_assert_int_eq(record_get(cache, &shared[i]), SESSCACHE_OK);
	ck_assert_int_eq(record_get(cache, &shared[CONNECTIONS]), SESSCACHE_OK);
}
END_TEST

static void
open_as_nobody(void *arg)
{
	struct sesscache *own = NULL;

	sesscache_close(cache);
	become_nobody();
	if (arg == NULL) {
		MUST(cache_try(&own, dir, NULL) != SESSCACHE_OK);
		return;
	}
	own = cache_open(arg, "size", "6M", NULL);
	record_must_be(own, &shared[0]);
	record_make(own, &shared[1]);
	sesscache_close(own);
}

START_TEST(with_the_owner_setting_workers_open_after_setuid)
{
	char owned[SCRATCH_LEN];
	struct sesscache *other;

	path_join(owned, scratch, "owned");
	other = cache_open(owned, "size", "4M", "owner", "65534:65534", NULL);
	record_make(other, &shared[0]);
	ck_assert(child_does(open_as_nobody, owned));
	ck_assert_int_eq(record_get(other, &shared[1]), SESSCACHE_OK);
	sesscache_close(other);
	/* The next master finds what the worker resized. */
	other = cache_open(owned, "owner", "65534:65534", NULL);
	ck_assert_int_eq(record_get(other, &shared[1]), SESSCACHE_OK);
	sesscache_close(other);
	ck_assert(child_does(open_as_nobody, NULL));
}
END_TEST

/* ------------------------------------------------------------------------- */

static TCase *
add_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, 2 * CHILD_SECONDS);
	tcase_add_unchecked_fixture(tc, make_scratch, remove_scratch);
	tcase_add_checked_fixture(tc, setup, teardown);
	suite_add_tcase(suite, tc);
	return tc;
}

static void
add_with_threads(TCase *tc)
{
	if (SANITIZED) {
		printf("skipped: forks among threads need a plain build\n");
		return;
	}
	tcase_add_test(tc, forks_among_busy_threads_leave_nothing_locked);
	tcase_add_test(tc, forks_while_a_thread_opens_and_closes_are_safe);
}

static void
add_for_root(Suite *suite)
{
	TCase *tc;

	if (geteuid() != 0) {
		printf("skipped: chroot, setuid and namespaces need root\n");
		return;
	}
	tc = add_case(suite, "root");
	tcase_add_test(tc, another_pid_namespace_shares_the_cache);
	tcase_add_test(tc,
	    in_a_chroot_as_nobody_the_cache_works_and_is_resized);
	tcase_add_test(tc, with_the_owner_setting_workers_open_after_setuid);
}

int
main(void)
{
	Suite *suite = suite_create("fork");
	TCase *tc = add_case(suite, "fork");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, children_use_what_their_parent_opened);
	tcase_add_test(tc, grandchildren_go_on_after_their_parents_closed);
	tcase_add_test(tc, a_child_may_close_and_open_on_its_own);
	tcase_add_test(tc, a_child_outlives_the_handle_of_its_parent);
	tcase_add_test(tc, a_child_a_connection_fills_all_shards);
	tcase_add_test(tc, no_descriptor_is_left_after_exec);
	tcase_add_test(tc, no_descriptor_is_left_after_close);
	tcase_add_test(tc, openers_and_inheritors_share_one_cache);
	add_with_threads(tc);
	add_for_root(suite);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
