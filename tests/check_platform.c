/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operating system as the cache sees it: directories that only their
 * owner could have touched, locks that nobody is held up by, fork, the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/dir.h"
#include "platform/fork.h"
#include "platform/host.h"
#include "platform/lock.h"
#include "support.h"

enum { LOCK_MS = 30 * 1000 };

static const struct sc_owner me = { .given = false };
static struct sc_dir dir;

static void
setup(void)
{
	test_dir_make();
	ck_done(sc_dir_open(&dir, test_dir(""), false, &me));
}

static void
teardown(void)
{
	sc_dir_close(&dir);
	test_dir_remove();
}

/* --- directories --------------------------------------------------------- */

static void
make_file(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	ck_assert_int_eq(close(fd), 0);
}

static void
make_dir(const char *path, mode_t mode)
{
	ck_assert_int_eq(mkdir(path, 0700), 0);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static void
make_link_to_dir(const char *path, mode_t mode)
{
	make_dir(test_dir("real"), mode);
	ck_assert_int_eq(symlink(test_dir("real"), path), 0);
}

static void
make_dangling_link(const char *path, mode_t mode)
{
	(void)mode;
	ck_assert_int_eq(symlink(test_dir("nothing"), path), 0);
}

static void
make_nothing(const char *path, mode_t mode)
{
	(void)path, (void)mode;
}

static const struct {
	const char *name;
	void (*make)(const char *path, mode_t mode);
	mode_t mode;
	bool create;
	enum sesscache_status want;
	const char *says;
} dir_cases[] = {
	{ "one that is there", make_dir, 0700, false, SESSCACHE_OK, NULL },
	{ "one without rights", make_dir, 0500, false, SESSCACHE_OK, NULL },
	{ "none", make_nothing, 0, false, SESSCACHE_MISS, "there is no" },
	{ "a new one", make_nothing, 0, true, SESSCACHE_OK, NULL },
	{ "a file", make_file, 0600, true, SESSCACHE_EUNSAFE, "is a file" },
	{ "a link", make_link_to_dir, 0700, true, SESSCACHE_EUNSAFE,
	    "is a symbolic link" },
	{ "a dangling link", make_dangling_link, 0, true, SESSCACHE_EUNSAFE,
	    "is a symbolic link" },
	{ "for the group", make_dir, 0710, true, SESSCACHE_EUNSAFE,
	    "mode 0710" },
	{ "for others", make_dir, 0701, true, SESSCACHE_EUNSAFE, "mode 0701" },
	{ "for all, sticky", make_dir, 01777, true, SESSCACHE_EUNSAFE,
	    "mode 1777" },
};

START_TEST(directory_is_opened_if_it_is_its_owners_alone)
{
	const char *name = dir_cases[_i].name;
	enum sesscache_status status;
	struct sc_dir opened;
	struct stat st;
	char path[TEST_PATH];

	(void)snprintf(path, sizeof(path), "%s", test_dir("it"));
	dir_cases[_i].make(path, dir_cases[_i].mode);
	status = sc_dir_open(&opened, path, dir_cases[_i].create, &me);
	ck_assert_msg(status == dir_cases[_i].want, "%s: %d (%s)", name, status,
	    sesscache_detail());
	if (status != SESSCACHE_OK) {
		ck_assert_int_lt(opened.fd, 0);
		ck_assert_msg(strstr(sesscache_detail(), path) != NULL &&
			strstr(sesscache_detail(), dir_cases[_i].says) != NULL,
		    "%s: %s", name, sesscache_detail());
		return;
	}
	ck_assert_int_ne(fcntl(opened.fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(fstat(opened.fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 077, 0);
	sc_dir_close(&opened);
	ck_assert_int_lt(opened.fd, 0);
	sc_dir_close(&opened);
}
END_TEST

static const char *const bad_paths[] = { "", ".", "here", "./here", "~/here" };

START_TEST(path_that_is_not_absolute_is_refused)
{
	struct sc_dir opened;

	ck_status(sc_dir_open(&opened, bad_paths[_i], true, &me),
	    SESSCACHE_EINVAL);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "absolute"));
}
END_TEST

START_TEST(path_that_is_too_long_is_refused)
{
	char path[PATH_MAX + 100];
	struct sc_dir opened;

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_lt(sc_dir_open(&opened, path, true, &me), 0);
	path[300] = '\0'; /* a name that is too long */
	ck_status(sc_dir_open(&opened, path, true, &me), SESSCACHE_ESYS);
	ck_assert_ptr_nonnull(
	    strstr(sesscache_detail(), strerror(ENAMETOOLONG)));
}
END_TEST

START_TEST(directory_of_another_is_refused)
{
	const struct sc_owner other = { true, 4711, 4711 };
	struct sc_dir opened;

	make_file(test_dir("something"), 0600);
	ck_status(sc_dir_open(&opened, test_dir(""), false, &other),
	    SESSCACHE_EUNSAFE);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "owner"));
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "4711"));
	if (geteuid() != 0)
		return;
	ck_done(sc_dir_open(&opened, test_dir("new"), true, &other));
	sc_dir_close(&opened);
	ck_status(sc_dir_open(&opened, test_dir("new"), true, &me),
	    SESSCACHE_EUNSAFE);
	/* Of one who died between making it and giving it away. */
	make_dir(test_dir("half"), 0700);
	ck_done(sc_dir_open(&opened, test_dir("half"), true, &other));
	sc_dir_close(&opened);
}
END_TEST

/* --- files --------------------------------------------------------------- */

static void
make_fifo(const char *path, mode_t mode)
{
	ck_assert_int_eq(mkfifo(path, mode), 0);
}

static void
make_second_name(const char *path, mode_t mode)
{
	make_file(test_dir("first"), mode);
	ck_assert_int_eq(link(test_dir("first"), path), 0);
}

static void
make_link_to_file(const char *path, mode_t mode)
{
	make_file(test_dir("real"), mode);
	ck_assert_int_eq(symlink(test_dir("real"), path), 0);
}

static const struct {
	const char *name;
	void (*make)(const char *path, mode_t mode);
	mode_t mode;
	enum sesscache_status want;
} file_cases[] = {
	{ "a file", make_file, 0600, SESSCACHE_OK },
	{ "none", make_nothing, 0, SESSCACHE_MISS },
	{ "for the group", make_file, 0640, SESSCACHE_EUNSAFE },
	{ "for others to write", make_file, 0602, SESSCACHE_EUNSAFE },
	{ "a directory", make_dir, 0700, SESSCACHE_EUNSAFE },
	{ "a fifo", make_fifo, 0600, SESSCACHE_EUNSAFE },
	{ "a link", make_link_to_file, 0600, SESSCACHE_EUNSAFE },
	{ "of two names", make_second_name, 0600, SESSCACHE_EUNSAFE },
};

START_TEST(file_is_opened_if_it_is_plain_and_its_owners_alone)
{
	enum sesscache_status status;
	struct stat st;
	int fd = -1;

	file_cases[_i].make(test_dir("it"), file_cases[_i].mode);
	status = sc_dir_open_file(&dir, "it", &fd, &st);
	ck_assert_msg(status == file_cases[_i].want, "%s: %d (%s)",
	    file_cases[_i].name, status, sesscache_detail());
	ck_assert_int_eq(status == SESSCACHE_OK, fd >= 0);
	if (status == SESSCACHE_OK) {
		ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
		ck_assert_int_eq(close(fd), 0);
	} else {
		ck_assert_ptr_nonnull(
		    strstr(sesscache_detail(), test_dir("it")));
	}
}
END_TEST

START_TEST(file_is_made_in_the_place_of_what_was_there)
{
	const mode_t mask = umask(0777);
	struct stat st;
	int fd = -1;

	(void)umask(_i == 0 ? 0777 : mask);
	if (_i > 1)
		file_cases[_i].make(test_dir("it"), 0600);
	ck_done(sc_dir_make_file(&dir, "it", 10000, &fd));
	(void)umask(mask);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode, S_IFREG | 0600);
	ck_assert_int_eq(st.st_size, 10000);
	ck_assert_int_ge(st.st_blocks, 10000 / 512);
	ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_assert_int_eq(close(fd), 0);
	ck_done(sc_dir_open_file(&dir, "it", &fd, &st));
	ck_assert_int_eq(close(fd), 0);
}
END_TEST

START_TEST(file_that_does_not_fit_is_not_left_behind)
{
	int fd = 7;

	ck_status(sc_dir_make_file(&dir, "it", UINT64_C(1) << 60, &fd),
	    SESSCACHE_ENOSPC);
	ck_assert_int_lt(fd, 0);
	ck_assert_int_ne(access(test_dir("it"), F_OK), 0);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), test_dir("it")));
}
END_TEST

START_TEST(file_is_renamed_over_another)
{
	make_file(test_dir("a"), 0600);
	make_file(test_dir("b"), 0600);
	ck_done(sc_dir_rename(&dir, "a", "b"));
	ck_assert_int_ne(access(test_dir("a"), F_OK), 0);
	ck_status(sc_dir_rename(&dir, "a", "b"), SESSCACHE_ESYS);
	errno = 42;
	sc_dir_remove_file(&dir, "a"); /* is not there: no failure */
	ck_assert_int_eq(errno, 42);
	sc_dir_remove_file(&dir, "b");
	ck_assert_int_ne(access(test_dir("b"), F_OK), 0);
}
END_TEST

static int
lock_dir(void *arg)
{
	const int *ends = arg;
	int lock_fd;
	char c;

	if (sc_dir_lock(&dir, LOCK_MS, &lock_fd) != SESSCACHE_OK ||
	    write(ends[1], "x", 1) != 1)
		return 1;
	if (read(ends[2], &c, 1) < 0)
		return 1;
	/* The end of a process releases it, too. */
	return 0;
}

START_TEST(directory_is_locked_by_one_at_a_time)
{
	int ends[4], lock_fd = -1, second_fd = -1;
	pid_t child;
	char c;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(pipe(ends + 2), 0);
	child = test_fork(lock_dir, ends);
	ck_assert_int_eq(read(ends[0], &c, 1), 1);
	if (_i == 0) {
		ck_assert_int_eq(write(ends[3], "x", 1), 1);
	} else {
		ck_assert_int_eq(kill(child, SIGKILL), 0);
	}
	ck_done(sc_dir_lock(&dir, LOCK_MS, &lock_fd));
	ck_assert_int_eq(test_wait(child), _i == 0 ? 0 : -1);
	ck_assert_int_ne(fcntl(lock_fd, F_GETFD) & FD_CLOEXEC, 0);
	ck_status(sc_dir_lock(&dir, 0, &second_fd), SESSCACHE_EBUSY);
	ck_assert_int_eq(second_fd, -1);
	sc_dir_unlock(lock_fd);
	ck_done(sc_dir_lock(&dir, 0, &lock_fd));
	sc_dir_unlock(lock_fd);
	sc_dir_unlock(-1);
	(void)close(ends[0]), (void)close(ends[1]);
	(void)close(ends[2]), (void)close(ends[3]);
}
END_TEST

/* --- locks --------------------------------------------------------------- */

struct shared {
	struct sc_lock lock;
	unsigned counter;
	int ends[4];
};

static struct shared *shared;

static void
map_shared(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	ck_done(sc_lock_init(&shared->lock));
	ck_assert_int_eq(pipe(shared->ends), 0);
	ck_assert_int_eq(pipe(shared->ends + 2), 0);
}

static void
unmap_shared(void)
{
	int i;

	for (i = 0; i < 4; i++)
		(void)close(shared->ends[i]);
	ck_assert_int_eq(munmap(shared, sizeof(*shared)), 0);
}

static enum sesscache_status
take(unsigned wait_ms, enum sc_lock_event want)
{
	enum sc_lock_event event = (enum sc_lock_event) - 1;
	enum sesscache_status status;

	status = sc_lock_take(&shared->lock, wait_ms, &event);
	ck_assert_int_eq(event, want);
	return status;
}

static int
hold(void *arg)
{
	enum sc_lock_event event;
	char c;

	(void)arg;
	if (sc_lock_take(&shared->lock, SC_LOCK_TRY, &event) != SESSCACHE_OK ||
	    write(shared->ends[1], "x", 1) != 1)
		return 1;
	if (read(shared->ends[2], &c, 1) < 0)
		return 1;
	sc_lock_release(&shared->lock);
	return 0;
}

static pid_t
start_holder(void)
{
	pid_t child = test_fork(hold, NULL);
	char c;

	ck_assert_int_eq(read(shared->ends[0], &c, 1), 1);
	return child;
}

static void
let_go(pid_t child)
{
	ck_assert_int_eq(write(shared->ends[3], "x", 1), 1);
	ck_assert_int_eq(test_wait(child), 0);
}

START_TEST(lock_is_held_by_one_at_a_time)
{
	pid_t child;

	ck_assert(sc_lock_seems_free(&shared->lock));
	ck_done(take(SC_LOCK_TRY, SC_LOCK_PLAIN));
	ck_assert(!sc_lock_seems_free(&shared->lock));
	sc_lock_release(&shared->lock);
	ck_assert(sc_lock_seems_free(&shared->lock));
	child = start_holder();
	ck_assert(!sc_lock_seems_free(&shared->lock));
	ck_status(take(SC_LOCK_TRY, SC_LOCK_PLAIN), SESSCACHE_EBUSY);
	let_go(child);
	ck_done(take(SC_LOCK_SERVING_MS, SC_LOCK_PLAIN));
	sc_lock_release(&shared->lock);
}
END_TEST

START_TEST(holder_that_stops_costs_one_wait)
{
	pid_t child = start_holder();
	int i;

	ck_status(take(SC_LOCK_SERVING_MS, SC_LOCK_TIMED_OUT), SESSCACHE_EBUSY);
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "lock"));
	ck_assert(!sc_lock_seems_free(&shared->lock));
	for (i = 0; i < 1000; i++) /* else 20 s */
		ck_status(take(SC_LOCK_SERVING_MS, SC_LOCK_PLAIN),
		    SESSCACHE_EBUSY);
	ck_assert(!sc_lock_seems_free(&shared->lock));
	let_go(child);
	ck_done(take(SC_LOCK_SERVING_MS, SC_LOCK_PLAIN));
	sc_lock_release(&shared->lock);
	ck_assert(sc_lock_seems_free(&shared->lock));
}
END_TEST

START_TEST(lock_of_one_who_died_is_had_at_once_and_said_so)
{
	static const unsigned waits[] = { SC_LOCK_TRY, SC_LOCK_SERVING_MS,
		SC_LOCK_PATIENT_MS };
	pid_t child;
	int i;

	for (i = 0; i < 3; i++) {
		child = start_holder();
		ck_assert_int_eq(kill(child, SIGKILL), 0);
		ck_assert_int_eq(test_wait(child), -1);
		ck_done(take(waits[_i], SC_LOCK_REPAIRED));
		ck_assert(!sc_lock_seems_free(&shared->lock));
		sc_lock_release(&shared->lock);
		ck_assert(sc_lock_seems_free(&shared->lock));
		ck_done(take(waits[_i], SC_LOCK_PLAIN));
		sc_lock_release(&shared->lock);
	}
}
END_TEST

START_TEST(memory_that_holds_no_lock_is_corrupt)
{
	enum sc_lock_event event;
	struct sc_lock lock;

	memset(&lock, 0x7f, sizeof(lock));
	ck_assert_int_lt(sc_lock_take(&lock, SC_LOCK_TRY, &event), 0);
}
END_TEST

static int
count_up(void *arg)
{
	unsigned i, n = test_times(20000, 1000);
	enum sc_lock_event event;

	for (i = 0; i < n; i++) {
		while (sc_lock_take(&shared->lock, SC_LOCK_PATIENT_MS,
			   &event) != SESSCACHE_OK)
			continue;
		shared->counter++;
		sc_lock_release(&shared->lock);
	}
	return arg == NULL;
}

static void *
count_up_in_thread(void *arg)
{
	(void)count_up(arg);
	return NULL;
}

START_TEST(threads_and_processes_exclude_each_other)
{
	unsigned n = test_times(20000, 1000);
	pthread_t threads[2];
	pid_t children[2];
	int i;

	for (i = 0; i < 2; i++)
		children[i] = test_fork(count_up, shared);
	for (i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
				     count_up_in_thread, NULL),
		    0);
	for (i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_int_eq(test_wait(children[i]), 0);
	}
	ck_assert_uint_eq(shared->counter, 4 * n);
}
END_TEST

/* --- fork ---------------------------------------------------------------- */

static char log_of_forks[64];

static void
note(char what, const char *whose)
{
	size_t len = strlen(log_of_forks);

	log_of_forks[len] = what;
	log_of_forks[len + 1] = *whose;
}

static void
note_prepare(void *arg)
{
	note('b', arg);
}

static void
note_parent(void *arg)
{
	note('p', arg);
}

static void
note_child(void *arg)
{
	note('c', arg);
}

static int
compare_log(void *arg)
{
	enum sesscache_status status;

	/* The lock is free in the child. */
	status = sc_fork_lock();
	if (status == SESSCACHE_OK)
		sc_fork_unlock();
	return status == SESSCACHE_OK && strcmp(log_of_forks, arg) == 0 ? 0 : 1;
}

START_TEST(hooks_are_called_around_a_fork_until_they_are_removed)
{
	static char one[] = "1", two[] = "2";
	static char in_child[] = "b2b1c2c1", later[] = "b2c2", none[] = "";
	struct sc_fork_hook first = { note_prepare, note_parent, note_child,
		one, NULL };
	struct sc_fork_hook second = { note_prepare, note_parent, note_child,
		two, NULL };

	ck_done(sc_fork_lock());
	sc_fork_add(&first);
	sc_fork_add(&second);
	sc_fork_unlock();
	ck_assert_int_eq(test_wait(test_fork(compare_log, in_child)), 0);
	ck_assert_str_eq(log_of_forks, "b2b1p2p1");

	memset(log_of_forks, 0, sizeof(log_of_forks));
	ck_done(sc_fork_lock());
	sc_fork_remove(&first);
	sc_fork_remove(&first); /* is not there: nothing happens */
	sc_fork_unlock();
	ck_assert_int_eq(test_wait(test_fork(compare_log, later)), 0);

	memset(log_of_forks, 0, sizeof(log_of_forks));
	ck_done(sc_fork_lock());
	sc_fork_remove(&second);
	sc_fork_unlock();
	ck_assert_int_eq(test_wait(test_fork(compare_log, none)), 0);
}
END_TEST

/* --- the host and statuses ----------------------------------------------- */

START_TEST(host_is_described)
{
	char id[SC_BOOT_ID_LEN], again[SC_BOOT_ID_LEN];
	size_t page = sc_host_page_size();

	ck_done(sc_host_boot_id(id));
	ck_done(sc_host_boot_id(again));
	ck_assert_mem_eq(id, again, sizeof(id));
	ck_assert_ptr_nonnull(memchr(id, '-', sizeof(id)));
	ck_assert_uint_ge(sc_host_cpus(), 1);
	ck_assert_uint_ge(page, 4096);
	ck_assert_uint_eq(page & (page - 1), 0);
}
END_TEST

START_TEST(random_bytes_fill_the_buffer_and_no_more)
{
	uint8_t a[300], b[300];

	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	ck_done(sc_host_random(a, sizeof(a) - 1));
	ck_done(sc_host_random(b, sizeof(b) - 1));
	ck_done(sc_host_random(b, 0));
	ck_assert_mem_ne(a, b, sizeof(a));
	ck_assert_uint_eq(a[sizeof(a) - 1], 0);
	ck_assert_uint_eq(b[sizeof(b) - 1], 0);
}
END_TEST

static void *
fail_in_thread(void *arg)
{
	*(bool *)arg = *sesscache_detail() == '\0';
	(void)sc_fail(SESSCACHE_ESYS, "in the thread");
	return NULL;
}

START_TEST(sentence_is_of_the_threads_own_last_failure)
{
	pthread_t thread;
	bool empty = false;
	char longer[1000];

	errno = 42;
	ck_assert_int_eq(sc_fail(SESSCACHE_EINVAL, "number %d", 7),
	    SESSCACHE_EINVAL);
	ck_assert_int_eq(errno, 42);
	ck_assert_int_eq(sc_fail_in(SESSCACHE_ESYS, "/dir", "file"),
	    SESSCACHE_ESYS);
	ck_assert_str_eq(sesscache_detail(), "/dir/file: number 7");
	ck_assert_int_eq(pthread_create(&thread, NULL, fail_in_thread, &empty),
	    0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(empty);
	ck_assert_str_eq(sesscache_detail(), "/dir/file: number 7");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	(void)sc_fail(SESSCACHE_ESYS, "%s", longer);
	(void)sc_fail_in(SESSCACHE_ESYS, longer, longer);
	ck_assert_uint_lt(strlen(sesscache_detail()), sizeof(longer));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("platform");
	TCase *dirs = tcase_create("directories");
	TCase *locks = tcase_create("locks"), *others = tcase_create("others");

	tcase_add_unchecked_fixture(dirs, test_root_make, test_root_remove);
	tcase_add_checked_fixture(dirs, setup, teardown);
	tcase_set_timeout(dirs, 300);
	tcase_add_loop_test(dirs, directory_is_opened_if_it_is_its_owners_alone,
	    0, N_OF(dir_cases));
	tcase_add_loop_test(dirs, path_that_is_not_absolute_is_refused, 0,
	    N_OF(bad_paths));
	tcase_add_test(dirs, path_that_is_too_long_is_refused);
	tcase_add_test(dirs, directory_of_another_is_refused);
	tcase_add_loop_test(dirs,
	    file_is_opened_if_it_is_plain_and_its_owners_alone, 0,
	    N_OF(file_cases));
	tcase_add_loop_test(dirs, file_is_made_in_the_place_of_what_was_there,
	    0, N_OF(file_cases));
	tcase_add_test(dirs, file_that_does_not_fit_is_not_left_behind);
	tcase_add_test(dirs, file_is_renamed_over_another);
	tcase_add_loop_test(dirs, directory_is_locked_by_one_at_a_time, 0, 2);
	suite_add_tcase(suite, dirs);

	tcase_add_checked_fixture(locks, map_shared, unmap_shared);
	tcase_set_timeout(locks, 300);
	tcase_add_test(locks, lock_is_held_by_one_at_a_time);
	tcase_add_test(locks, holder_that_stops_costs_one_wait);
	tcase_add_loop_test(locks,
	    lock_of_one_who_died_is_had_at_once_and_said_so, 0, 3);
	tcase_add_test(locks, memory_that_holds_no_lock_is_corrupt);
	tcase_add_test(locks, threads_and_processes_exclude_each_other);
	suite_add_tcase(suite, locks);

	tcase_add_test(others,
	    hooks_are_called_around_a_fork_until_they_are_removed);
	tcase_add_test(others, host_is_described);
	tcase_add_test(others, random_bytes_fill_the_buffer_and_no_more);
	tcase_add_test(others, sentence_is_of_the_threads_own_last_failure);
	suite_add_tcase(suite, others);

	return test_run(suite);
}
