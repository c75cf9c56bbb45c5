/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A data file that turns out to be damaged while the cache serves, or that a
 * process left half made when it died: whoever comes by makes it anew, once,
 * and the others map it again.  Who cannot do it does no harm.
 */
#include <check.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"
#include "store/shard.h"
#include "support.h"
#include "tls.h"

enum {
	KEPT = 400,  /* records: they all fit */
	MANY = 8,    /* processes that come by at once */
	TRIES = 200, /* calls: some are to try whether it can be made anew */
	WAITS = 20 * 1000, /* of a millisecond, for another process */
	LINE = 600,
};

#define DATA_FILE "shard-00.lmdb-0"

static char scratch[SCRATCH_LEN];
static char dir[SCRATCH_LEN];
static struct sesscache *cache;
static struct record records[KEPT];
static struct tls_identity identity;

/* What the test and its children share. */
struct talk {
	atomic_int step;  /* that the test has come to */
	atomic_int ready; /* children that wait for the next one */
	struct record record;
};

static struct talk *talk;

static void
wait_for(atomic_int *value, int least)
{
	int i;

	for (i = 0; i < WAITS && atomic_load(value) < least; i++)
		pause_ms(1);
	MUST(atomic_load(value) >= least);
}

static void
wait_for_step(int step)
{
	atomic_fetch_add(&talk->ready, 1);
	wait_for(&talk->step, step);
}

/* Once that many children wait for it. */
static void
take_step(int step, int children)
{
	wait_for(&talk->ready, step * children);
	atomic_store(&talk->step, step);
}

static void
make_identity(void)
{
	ck_assert(tls_identity_new(&identity, "mend", 0));
}

static void
free_identity(void)
{
	tls_identity_free(&identity);
}

static void
open_with(const char *shards)
{
	int i;

	cache = cache_open(dir, "size", "4M", "shards", shards, "log", "off",
	    NULL);
	for (i = 0; i < KEPT; i++)
		record_make(cache, &records[i]);
}

static void
setup(void)
{
	scratch_make(scratch, "check_mend");
	path_join(dir, scratch, "cache");
	talk = shared_new(sizeof(*talk));
	memset(records, 0, sizeof(records));
}

static void
setup_one(void)
{
	setup();
	open_with("1");
}

static void
teardown(void)
{
	sesscache_close(cache);
	scratch_remove(scratch);
}

static struct stat
data_file(void)
{
	char path[SCRATCH_LEN];
	struct stat st;

	path_join(path, dir, DATA_FILE);
	MUST(stat(path, &st) == 0);
	return st;
}

static uint64_t
times_remade(void)
{
	struct sesscache_stats stats;

	ck_done(sesscache_stats(cache, &stats));
	return stats.remade;
}

static int
count_gone(void)
{
	enum sesscache_status status;
	int i, gone = 0;

	for (i = 0; i < KEPT; i++) {
		status = record_get(cache, &records[i]);
		MUST(status == SESSCACHE_OK || status == SESSCACHE_MISS);
		gone += status == SESSCACHE_MISS;
	}
	return gone;
}

/* --- by whoever comes by -------------------------------------------------- */

static const struct {
	const char *shards;
	int least_gone, most_gone; /* of the records */
} caches[] = { { "1", KEPT, KEPT }, { "4", KEPT / 8, KEPT / 2 } };

/* It has had the cache since before; from the test, or by itself. */
static void
come_later(void *arg)
{
	struct record own = { .version = 1 };

	if (arg != NULL) {
		sesscache_close(cache);
		cache = cache_open(dir, NULL);
	}
	wait_for_step(1);
	record_must_be(cache, &talk->record);
	record_make(cache, &own);
	record_must_be(cache, &own);
	MUST(count_gone() >= caches[1].least_gone);
}

START_TEST(next_call_makes_it_anew_and_the_other_files_stay)
{
	pid_t heir, other;
	int i, gone;

	open_with(caches[_i].shards);
	heir = child_start(come_later, NULL);
	other = child_start(come_later, talk);
	wait_for(&talk->ready, 2);
	leave_half_made(dir, 0);
	gone = count_gone();
	ck_assert_int_ge(gone, caches[_i].least_gone);
	ck_assert_int_le(gone, caches[_i].most_gone);
	ck_assert_uint_eq(times_remade(), 1);
	for (i = 0; i < KEPT; i++)
		record_make(cache, &talk->record);
	take_step(1, 2);
	ck_assert(child_ended_well(heir));
	ck_assert(child_ended_well(other));
	ck_assert_int_eq(count_gone(), gone);
	ck_assert_uint_eq(times_remade(), 1);
}
END_TEST

/* Stores alone go round a damaged shard, and have to come by now and then. */
START_TEST(stores_make_it_anew_too)
{
	struct record record = { .version = 1 };
	int i;

	open_with("4");
	leave_half_made(dir, 0);
	for (i = 0; i < KEPT; i++) {
		record_make(cache, &record);
		record_must_be(cache, &record);
	}
	ck_assert_uint_eq(times_remade(), 1);
}
END_TEST

static void
come_at_once(void *arg)
{
	struct record own = { .version = 1 };
	enum sesscache_status status = SESSCACHE_ECORRUPT;
	int i;

	(void)arg;
	sesscache_close(cache);
	cache = cache_open(dir, NULL);
	wait_for_step(1);
	for (i = 0; i < WAITS && status == SESSCACHE_ECORRUPT; i++) {
		record_new_id(cache, &own);
		status = record_put(cache, &own);
		if (status == SESSCACHE_ECORRUPT) /* one of them is at it */
			pause_ms(1);
	}
	MUST(status == SESSCACHE_OK);
	wait_for_step(2);
	record_must_be(cache, &own);
}

START_TEST(of_many_that_come_at_once_one_makes_it_anew)
{
	pid_t children[MANY];
	int i;

	for (i = 0; i < MANY; i++)
		children[i] = child_start(come_at_once, NULL);
	wait_for(&talk->ready, MANY);
	leave_half_made(dir, 0);
	take_step(1, MANY);
	take_step(2, MANY);
	for (i = 0; i < MANY; i++)
		ck_assert(child_ended_well(children[i]));
	ck_assert_uint_eq(times_remade(), 1);
}
END_TEST

/* --- by those who can ----------------------------------------------------- */

static void
expect_refusals(void)
{
	struct record record = { .version = 1 };
	int i;

	for (i = 0; i < TRIES; i++) {
		record_new_id(cache, &record);
		MUST(record_put(cache, &record) == SESSCACHE_ECORRUPT);
	}
}

/* In the tries that may pass until this process sees about it again. */
static void
expect_use(void)
{
	struct record record = { .version = 1 };
	int i = 0;

	do
		record_new_id(cache, &record);
	while (record_put(cache, &record) == SESSCACHE_ECORRUPT && ++i < TRIES);
	record_must_be(cache, &record);
}

static void
open_without_create(void *arg)
{
	(void)arg;
	sesscache_close(cache);
	cache = cache_open(dir, "create", "off", NULL);
	wait_for_step(1);
	expect_refusals();
	MUST(strstr(sesscache_detail(), dir) != NULL);
}

START_TEST(who_may_not_create_leaves_it_alone)
{
	pid_t child = child_start(open_without_create, NULL);

	wait_for(&talk->ready, 1);
	leave_half_made(dir, 0);
	take_step(1, 1);
	ck_assert(child_ended_well(child));
	ck_assert_int_eq(data_file().st_size, 0);
	expect_use();
	ck_assert_int_gt(data_file().st_size, 0);
}
END_TEST

START_TEST(nobody_waits_for_one_who_is_opening)
{
	int lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(lock_fd, 0);
	ck_assert_int_eq(flock(lock_fd, LOCK_EX), 0);
	leave_half_made(dir, 0);
	expect_refusals();
	ck_assert_ptr_nonnull(strstr(sesscache_detail(), "not made anew yet"));
	ck_assert_int_eq(close(lock_fd), 0);
	expect_use();
	ck_assert_uint_eq(times_remade(), 1);
}
END_TEST

static void
make_another(void *arg)
{
	int i;

	(void)arg;
	sesscache_close(cache);
	open_with("1");
	wait_for_step(1);
	for (i = 0; i < KEPT; i++)
		record_must_be(cache, &records[i]);
	MUST(times_remade() == 0);
}

START_TEST(files_of_another_cache_in_the_directory_are_not_touched)
{
	const uint32_t broken = 1;
	char path[SCRATCH_LEN];
	struct stat theirs;
	pid_t child;
	int fd;

	path_join(path, dir, "control");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(unlink(path), 0);
	child = child_start(make_another, NULL);
	wait_for(&talk->ready, 1);
	theirs = data_file();
	ck_assert_int_eq(pwrite(fd, &broken, sizeof(broken),
			     SC_CONTROL_SHARDS_AT +
				 offsetof(struct sc_state, broken)),
	    sizeof(broken));
	ck_assert_int_eq(close(fd), 0);
	expect_refusals();
	ck_assert_uint_eq(data_file().st_ino, theirs.st_ino);
	ck_assert_int_eq(data_file().st_size, theirs.st_size);
	take_step(1, 1);
	ck_assert(child_ended_well(child));
}
END_TEST

static void
become_nobody(void)
{
	MUST(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
}

static void
enter_jail(void)
{
	MUST(chroot(scratch) == 0 && chdir("/") == 0);
	MUST(access("/proc", F_OK) != 0);
}

static const struct {
	const char *name;
	void (*confine)(void);
	const char *says;
} confined[] = {
	{ "another user", become_nobody, "Permission denied" },
	{ "a jail without /proc", enter_jail, "/proc/self/fd/" },
};

static void
serve_confined(void *arg)
{
	struct record own = { .version = 1 };
	int row = *(const int *)arg;

	confined[row].confine();
	wait_for_step(1);
	record_new_id(cache, &own);
	MUST(record_put(cache, &own) == SESSCACHE_ECORRUPT);
	MUST(strstr(sesscache_detail(), confined[row].says) != NULL);
	expect_refusals();
	wait_for_step(2);
	record_must_be(cache, &talk->record);
	expect_use();
}

START_TEST(who_cannot_make_it_goes_on_when_another_did)
{
	pid_t child;

	if (geteuid() != 0) {
		printf("skipped: setuid and chroot need root\n");
		return;
	}
	child = child_start(serve_confined, &_i);
	wait_for(&talk->ready, 1);
	leave_half_made(dir, 0);
	take_step(1, 1);
	wait_for(&talk->ready, 2);
	expect_use();
	record_make(cache, &talk->record);
	take_step(2, 1);
	ck_assert_msg(child_ended_well(child), "%s", confined[_i].name);
	ck_assert_uint_eq(times_remade(), 1);
}
END_TEST

/* --- a file that was deleted ---------------------------------------------- */

static void
open_after_deletion(void *arg)
{
	struct record own = { .version = 1 };

	(void)arg;
	sesscache_close(cache);
	cache = cache_open(dir, "log", "off", NULL);
	record_make(cache, &own);
	talk->record = own;
	wait_for_step(1);
	record_must_be(cache, &talk->record);
}

START_TEST(who_has_a_deleted_file_open_takes_the_new_one)
{
	char path[SCRATCH_LEN];
	pid_t child;

	path_join(path, dir, DATA_FILE);
	ck_assert_int_eq(unlink(path), 0);
	child = child_start(open_after_deletion, NULL);
	wait_for(&talk->ready, 1);
	record_must_be(cache, &talk->record);
	ck_assert_int_eq(count_gone(), KEPT);
	record_make(cache, &talk->record);
	take_step(1, 1);
	ck_assert(child_ended_well(child));
}
END_TEST

/* --- handshakes ----------------------------------------------------------- */

static void
serve(void *arg)
{
	SSL_CTX *server = tls_server_new(&identity, TLS1_2_VERSION);
	SSL_CTX *client = tls_client_new(NULL, TLS1_2_VERSION);
	int i, resumed, lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	SSL_SESSION *session = NULL;

	MUST(freopen(arg, "we", stderr) != NULL);
	MUST(dup2(fileno(stderr), STDERR_FILENO) >= 0);
	sesscache_close(cache);
	cache = cache_open(dir, "log", "warn", NULL);
	(void)SSL_CTX_set_options(server, SSL_OP_NO_TICKET);
	MUST(sesscache_attach(cache, server) == SESSCACHE_OK);
	MUST(tls_visit(server, client, &session) == 0);
	MUST(tls_visit(server, client, &session) == 1);
	MUST(lock_fd >= 0 && flock(lock_fd, LOCK_EX) == 0);
	leave_half_made(dir, 0);
	for (i = 0; i < 10; i++)
		MUST(tls_visit(server, client, &session) == 0);
	MUST(close(lock_fd) == 0);
	for (i = 0; (resumed = tls_visit(server, client, &session)) == 0; i++)
		MUST(i < TRIES);
	MUST(resumed == 1);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	SSL_CTX_free(server);
}

START_TEST(handshakes_succeed_meanwhile_and_the_log_says_so_once)
{
	char path[SCRATCH_LEN], line[LINE], more[LINE];
	FILE *log;

	path_join(path, scratch, "log");
	ck_assert(child_does(serve, path));
	log = fopen(path, "re");
	ck_assert_ptr_nonnull(log);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), log));
	ck_assert_ptr_nonnull(strstr(line, "shard 0 of"));
	ck_assert_ptr_nonnull(strstr(line, "is damaged"));
	ck_assert_msg(fgets(more, sizeof(more), log) == NULL, "%s", more);
	ck_assert_int_eq(fclose(log), 0);
	ck_assert_uint_eq(times_remade(), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mend");
	TCase *any = tcase_create("any number of files");
	TCase *one = tcase_create("one file");

	tcase_set_timeout(any, 2 * CHILD_SECONDS);
	tcase_add_checked_fixture(any, setup, teardown);
	tcase_add_loop_test(any,
	    next_call_makes_it_anew_and_the_other_files_stay, 0, N_OF(caches));
	tcase_add_test(any, stores_make_it_anew_too);
	suite_add_tcase(suite, any);

	tcase_set_timeout(one, 2 * CHILD_SECONDS);
	tcase_add_unchecked_fixture(one, make_identity, free_identity);
	tcase_add_checked_fixture(one, setup_one, teardown);
	tcase_add_test(one, of_many_that_come_at_once_one_makes_it_anew);
	tcase_add_test(one, who_may_not_create_leaves_it_alone);
	tcase_add_test(one, nobody_waits_for_one_who_is_opening);
	tcase_add_test(one,
	    files_of_another_cache_in_the_directory_are_not_touched);
	tcase_add_loop_test(one, who_cannot_make_it_goes_on_when_another_did, 0,
	    N_OF(confined));
	tcase_add_test(one, who_has_a_deleted_file_open_takes_the_new_one);
	tcase_add_test(one,
	    handshakes_succeed_meanwhile_and_the_log_says_so_once);
	suite_add_tcase(suite, one);
	return test_run(suite);
}
