/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See process.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process.h"
#include "store/shard.h"

enum { BUSY_SECONDS = 20 }; /* that a lock may be, on a busy host */

_Noreturn void
must_failed(const char *file, int line, const char *what)
{
	dprintf(STDERR_FILENO, "%s:%d: not so: %s (%s)\n", file, line, what,
	    sesscache_detail());
	_exit(1);
}

/* --- scratch directories ------------------------------------------------- */

void
scratch_make(char path[SCRATCH_LEN], const char *name)
{
	const char *tmp = getenv("TMPDIR");

	if (tmp == NULL || *tmp == '\0')
		tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	(void)snprintf(path, SCRATCH_LEN, "%.128s/%.64s.XXXXXX", tmp, name);
	MUST(mkdtemp(path) != NULL);
	MUST(chmod(path, 0755) == 0);
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void
scratch_remove(const char *path)
{
	(void)nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void
path_join(char path[SCRATCH_LEN], const char *dir, const char *name)
{
	int n = snprintf(path, SCRATCH_LEN, "%s/%s", dir, name);

	MUST(n > 0 && n < SCRATCH_LEN);
}

/* --- caches -------------------------------------------------------------- */

static enum sesscache_status
open_with(struct sesscache **out, const char *dir, va_list pairs)
{
	struct sesscache_options *options = NULL;
	enum sesscache_status status;
	const char *name, *value;

	*out = NULL;
	status = sesscache_options_new(&options);
	if (status == SESSCACHE_OK)
		status = sesscache_options_set(options, "dir", dir);
	if (status == SESSCACHE_OK)
		status = sesscache_options_set(options, "log", "off");
	name = va_arg(pairs, const char *);
	while (status == SESSCACHE_OK && name != NULL) {
		value = va_arg(pairs, const char *);
		status = sesscache_options_set(options, name, value);
		name = va_arg(pairs, const char *);
	}
	if (status == SESSCACHE_OK)
		status = sesscache_open(out, options);
	sesscache_options_free(options);
	return status;
}

enum sesscache_status
cache_try(struct sesscache **out, const char *dir, ...)
{
	enum sesscache_status status;
	va_list pairs;

	va_start(pairs, dir);
	status = open_with(out, dir, pairs);
	va_end(pairs);
	return status;
}

struct sesscache *
cache_open(const char *dir, ...)
{
	struct sesscache *cache = NULL;
	enum sesscache_status status;
	va_list pairs;

	va_start(pairs, dir);
	status = open_with(&cache, dir, pairs);
	va_end(pairs);
	MUST(status == SESSCACHE_OK && cache != NULL);
	return cache;
}

void
leave_half_made(const char *dir, unsigned shard)
{
	const uint32_t broken = 1;
	size_t at = SC_CONTROL_SHARDS_AT + shard * sizeof(struct sc_state) +
	    offsetof(struct sc_state, broken);
	char path[SCRATCH_LEN], name[32];
	int fd;

	path_join(path, dir, "control");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	MUST(fd >= 0);
	MUST(pwrite(fd, &broken, sizeof(broken), (off_t)at) ==
	    (ssize_t)sizeof(broken));
	MUST(close(fd) == 0);
	sc_shard_name(name, shard);
	path_join(path, dir, name);
	MUST(truncate(path, 0) == 0);
}

void *
shared_new(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(memory != MAP_FAILED);
	return memory;
}

uint64_t
clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void
pause_ms(unsigned ms)
{
	struct timespec left = { (time_t)(ms / 1000),
		(long)(ms % 1000) * 1000000L };

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

/* --- records ------------------------------------------------------------- */

static uint64_t
mix(uint64_t n)
{
	n ^= n >> 31;
	n *= UINT64_C(0x7fb5d329728ea185);
	n ^= n >> 27;
	n *= UINT64_C(0x81dadef4bc2dd44d);
	return n ^ n >> 33;
}

static uint64_t
seed(const struct record *record)
{
	uint64_t n = mix(record->version + UINT64_C(0x9e3779b97f4a7c15));
	size_t i;

	for (i = 0; i < record->id_len; i++)
		n = mix(n ^ record->id[i]);
	return n;
}

/* Most are as long as sessions are; one in 64 bypasses the journal. */
static size_t
usual_len(uint64_t n)
{
	return n % 64 == 0 ? 4000 + n / 64 % 4000 : 60 + n / 64 % 700;
}

size_t
record_bytes(const struct record *record, uint8_t data[RECORD_MAX_LEN])
{
	uint64_t n = seed(record);
	size_t len = record->data_len != 0 ? record->data_len : usual_len(n);
	size_t i;

	for (i = 0; i < len; i++) {
		n = n * UINT64_C(6364136223846793005) + 1442695040888963407;
		data[i] = (uint8_t)(n >> 56);
	}
	return len;
}

bool
record_is(const struct record *record, const uint8_t *data, size_t len)
{
	uint8_t want[RECORD_MAX_LEN];
	size_t want_len = record_bytes(record, want);

	return len == want_len && memcmp(data, want, len) == 0;
}

void
record_new_id(struct sesscache *cache, struct record *record)
{
	record->id_len = SESSCACHE_ID_LEN;
	MUST(sesscache_new_id(cache, record->id) == SESSCACHE_OK);
}

/* Whether to call again; *deadline_ns is 0 at first. */
static bool
is_busy(enum sesscache_status status, uint64_t *deadline_ns)
{
	if (status != SESSCACHE_EBUSY)
		return false;
	if (*deadline_ns == 0)
		*deadline_ns = clock_ns() + BUSY_SECONDS * UINT64_C(1000000000);
	pause_ms(1);
	return clock_ns() < *deadline_ns;
}

enum sesscache_status
record_put(struct sesscache *cache, const struct record *record)
{
	enum sesscache_status status;
	uint8_t data[RECORD_MAX_LEN];
	size_t len = record_bytes(record, data);
	uint64_t deadline_ns = 0;

	do
		status = sesscache_put(cache, record->id, record->id_len, data,
		    len, 0);
	while (is_busy(status, &deadline_ns));
	return status;
}

typedef enum sesscache_status lookup_fn(struct sesscache *cache,
    const uint8_t *id, size_t id_len, uint8_t *buf, size_t size, size_t *len);

static enum sesscache_status
look_up(struct sesscache *cache, const struct record *record, lookup_fn *fn)
{
	enum sesscache_status status;
	uint8_t data[RECORD_MAX_LEN];
	uint64_t deadline_ns = 0;
	size_t len = 0;

	do
		status = fn(cache, record->id, record->id_len, data,
		    sizeof(data), &len);
	while (is_busy(status, &deadline_ns));
	MUST(status != SESSCACHE_OK || record_is(record, data, len));
	return status;
}

enum sesscache_status
record_get(struct sesscache *cache, const struct record *record)
{
	return look_up(cache, record, sesscache_get);
}

enum sesscache_status
record_take(struct sesscache *cache, const struct record *record)
{
	return look_up(cache, record, sesscache_take);
}

enum sesscache_status
record_remove(struct sesscache *cache, const struct record *record)
{
	enum sesscache_status status;
	uint64_t deadline_ns = 0;

	do
		status = sesscache_remove(cache, record->id, record->id_len);
	while (is_busy(status, &deadline_ns));
	return status;
}

void
record_make(struct sesscache *cache, struct record *record)
{
	record_new_id(cache, record);
	MUST(record_put(cache, record) == SESSCACHE_OK);
}

void
record_must_be(struct sesscache *cache, const struct record *record)
{
	MUST(record_get(cache, record) == SESSCACHE_OK);
}

/* --- children ------------------------------------------------------------ */

pid_t
child_start(child_body *body, void *arg)
{
	pid_t pid = fork();

	MUST(pid >= 0);
	if (pid == 0) {
		body(arg);
		_exit(0);
	}
	return pid;
}

int
child_end(pid_t pid)
{
	uint64_t deadline = clock_ns() + UINT64_C(1000000000) * CHILD_SECONDS;
	unsigned nap_us = 50;
	int status = -1;
	pid_t got = 0;

	while (got == 0 && clock_ns() < deadline) {
		got = waitpid(pid, &status, WNOHANG);
		if (got == 0)
			usleep(nap_us);
		if (nap_us < 2000)
			nap_us *= 2;
	}
	if (got != pid) {
		dprintf(STDERR_FILENO, "child %d did not end\n", (int)pid);
		child_kill(pid);
		status = -1;
	}
	return status;
}

bool
child_ended_well(pid_t pid)
{
	int status = child_end(pid);

	if (status == 0)
		return true;
	if (status > 0 && WIFSIGNALED(status))
		dprintf(STDERR_FILENO, "child %d died of signal %d\n", (int)pid,
		    WTERMSIG(status));
	return false;
}

void
child_kill(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

bool
child_does(child_body *body, void *arg)
{
	return child_ended_well(child_start(body, arg));
}
