/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the unit tests of the core share: directories that go away again,
 * caches in them, bytes to store, and children.
 */
#ifndef SC_TESTS_SUPPORT_H
#define SC_TESTS_SUPPORT_H

#include <check.h>
#include <sys/types.h>

#include "cache/cache.h"

/* Their own locks do not survive a fork() amidst threads. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

#define N_OF(array) ((int)(sizeof(array) / sizeof(array)[0]))

/*
 * Assert a status, and show the sentence of the failure.  Says nothing to
 * Check where all is well: some tests ask a hundred thousand times.
 */
#define ck_status(call, want) \
	do { \
		enum sesscache_status got_ = (call); \
		if (got_ != (want)) \
			ck_abort_msg("%s: got %d (%s), want %d", #call, got_, \
			    sesscache_detail(), (want)); \
	} while (0)

#define ck_done(call) ck_status(call, SESSCACHE_OK)

enum { TEST_PATH = 512 };

/* Run a suite, which goes with it; the exit status of the program. */
int test_run(Suite *suite);

/* Unchecked fixture: a directory for all tests of a case. */
void test_root_make(void);
void test_root_remove(void);

/* Checked fixture: a directory for one test, test_dir(""). */
void test_dir_make(void);
void test_dir_remove(void);

/* Its path, for "", or of an entry of it: static, eight of these in turn. */
const char *test_dir(const char *name);

void test_remove_tree(const char *path);

/* Bytes of all files of a directory: st_size, and what they take on disk. */
struct test_sizes {
	uint64_t bytes;
	uint64_t disk_bytes;
};
struct test_sizes test_measure(const char *path);

/*
 * How often to do what is done often: count, or a part of it where it takes
 * its time, as under valgrind; least at the least.  SC_TEST_SCALE, a number
 * of percent, decides if it is set.
 */
unsigned test_times(unsigned count, unsigned least);

/* Whether valgrind runs this. */
bool test_in_valgrind(void);

/* A generator that gives the same numbers in every run. */
uint64_t test_random(uint64_t *state);
void test_fill(void *buf, size_t len, uint64_t seed);

/* A child that runs a function and exits with what it returns. */
typedef int test_child(void *arg);
pid_t test_fork(test_child *child, void *arg);

/* What it returned; -1 if it died of a signal. */
int test_wait(pid_t pid);

/* A cache in test_dir(name), or the test fails. */
struct sc_cache *test_cache(const char *name, uint64_t size_bytes,
    uint32_t shards);

#endif
