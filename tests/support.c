/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See support.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

enum {
	PATHS = 8,
	VALGRIND_PERCENT = 4,
	DISK_BLOCK = 512, /* bytes: the unit of st_blocks */
};

static char root[TEST_PATH - 128];
static char dir[TEST_PATH - 64];
static unsigned made;

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void
test_remove_tree(const char *path)
{
	(void)nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* A file system in memory is kinder to a disk that others use. */
static const char *
base(void)
{
	const char *tmp = getenv("TMPDIR");

	if (tmp != NULL && tmp[0] != '\0')
		return tmp;
	return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
}

void
test_root_make(void)
{
	(void)snprintf(root, sizeof(root), "%s/check_sesscache.XXXXXX", base());
	ck_assert_msg(mkdtemp(root) != NULL, "cannot make %s", root);
}

void
test_root_remove(void)
{
	test_remove_tree(root);
}

void
test_dir_make(void)
{
	(void)snprintf(dir, sizeof(dir), "%s/%ld-%u", root, (long)getpid(),
	    made++);
	ck_assert_msg(mkdir(dir, 0700) == 0, "cannot make %s", dir);
}

void
test_dir_remove(void)
{
	test_remove_tree(dir);
}

const char *
test_dir(const char *name)
{
	static char paths[PATHS][TEST_PATH];
	static unsigned turn;
	char *path = dir;

	if (name[0] != '\0') {
		path = paths[turn++ % PATHS];
		(void)snprintf(path, TEST_PATH, "%s/%.60s", dir, name);
	}
	return path;
}

struct test_sizes
test_measure(const char *path)
{
	struct test_sizes sizes = { 0, 0 };
	struct dirent *entry;
	struct stat st;
	DIR *stream;

	stream = opendir(path);
	ck_assert_ptr_nonnull(stream);
	while ((entry = readdir(stream)) != NULL) {
		if (fstatat(dirfd(stream), entry->d_name, &st,
			AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		sizes.bytes += (uint64_t)st.st_size;
		sizes.disk_bytes += (uint64_t)st.st_blocks * DISK_BLOCK;
	}
	(void)closedir(stream);
	return sizes;
}

bool
test_in_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return getenv("RUNNING_ON_VALGRIND") != NULL ||
	    (preload != NULL && strstr(preload, "vgpreload") != NULL);
}

unsigned
test_times(unsigned count, unsigned least)
{
	const char *scale = getenv("SC_TEST_SCALE");
	unsigned long percent = test_in_valgrind() ? VALGRIND_PERCENT : 100;
	unsigned times;

	if (scale != NULL && scale[0] != '\0')
		percent = strtoul(scale, NULL, 10);
	if (percent > 1000)
		percent = 1000;
	times = (unsigned)((unsigned long)count * percent / 100);
	return times > least ? times : least;
}

/* xorshift64*: of no use for secrets. */
uint64_t
test_random(uint64_t *state)
{
	uint64_t x = *state != 0 ? *state : 1;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

void
test_fill(void *buf, size_t len, uint64_t seed)
{
	uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1, n;
	uint8_t *at = buf;
	size_t i;

	for (i = 0; i < len; i += sizeof(n)) {
		n = test_random(&state);
		memcpy(at + i, &n, len - i < sizeof(n) ? len - i : sizeof(n));
	}
}

pid_t
test_fork(test_child *child, void *arg)
{
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(child(arg));
	return pid;
}

int
test_wait(pid_t pid)
{
	int status = 0;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct sc_cache *
test_cache(const char *name, uint64_t size_bytes, uint32_t shards)
{
	const struct sc_cache_config config = {
		.dir = test_dir(name),
		.size_bytes = size_bytes,
		.create = true,
		.shards = shards,
		.timeout_seconds = 3600,
	};
	struct sc_cache_opened opened;
	struct sc_cache *cache = NULL;

	ck_done(sc_cache_open(&cache, &config, 1, &opened));
	return cache;
}

int
test_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
