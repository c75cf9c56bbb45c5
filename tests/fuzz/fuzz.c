/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See fuzz.h.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { EDITS = 32 /* at most, of one input */ };

static char root[256];
static pid_t owner;

_Noreturn void
fuzz_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s (%s)\n", file, line, what,
	    sesscache_detail());
	abort();
}

uint64_t
fuzz_number(struct fuzz_input *in, size_t bytes)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < bytes; i++) {
		n = n << 8 | (in->left > 0 ? *in->at : 0U);
		if (in->left > 0) {
			in->at++;
			in->left--;
		}
	}
	return n;
}

const uint8_t *
fuzz_bytes(struct fuzz_input *in, size_t max, size_t *len)
{
	const uint8_t *at = in->at;

	*len = in->left < max ? in->left : max;
	in->at += *len;
	in->left -= *len;
	return at;
}

char *
fuzz_text(struct fuzz_input *in, size_t max)
{
	size_t most = in->left < max ? in->left : max, len = 0;
	char *text;

	while (len < most && in->at[len] != 0)
		len++;
	text = strndup((const char *)in->at, len);
	MUST(text != NULL);
	if (len < most)
		len++; /* the 0 */
	in->at += len;
	in->left -= len;
	return text;
}

uint8_t *
fuzz_copy(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	if (copy == NULL)
		fuzz_failed(__FILE__, __LINE__, "there is memory");
	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

bool
fuzz_edit(struct fuzz_input *in, uint8_t *bytes, size_t len)
{
	size_t at, n, i, edits;
	const uint8_t *what;
	bool changed = false;
	uint8_t *before = fuzz_copy(bytes, len);

	for (edits = 0; len > 0 && in->left > 3 && edits < EDITS; edits++) {
		at = (size_t)fuzz_number(in, 2) % len;
		n = (size_t)fuzz_number(in, 1) + 1;
		what = fuzz_bytes(in, n, &n);
		for (i = 0; i < n && at + i < len; i++)
			bytes[at + i] ^= what[i];
	}
	changed = memcmp(before, bytes, len) != 0;
	free(before);
	return changed;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void
remove_root(void)
{
	if (getpid() == owner)
		(void)nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *
fuzz_dir(void)
{
	const char *base = getenv("TMPDIR");

	if (root[0] != '\0')
		return root;
	if (base == NULL || base[0] == '\0')
		base = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" :
							      "/tmp";
	(void)snprintf(root, sizeof(root), "%.200s/fuzz_sesscache.XXXXXX",
	    base);
	MUST(mkdtemp(root) != NULL);
	owner = getpid();
	(void)atexit(remove_root);
	return root;
}

void
fuzz_path(char *out, size_t size, const char *name)
{
	int n = snprintf(out, size, "%s/%s", fuzz_dir(), name);

	MUST(n > 0 && (size_t)n < size);
}

void
fuzz_save(struct fuzz_file *out, const char *name)
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

void
fuzz_restore(const struct fuzz_file *file, const uint8_t *bytes,
    size_t file_len)
{
	int fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	MUST(fd >= 0);
	MUST(pwrite(fd, bytes, file->len, 0) == (ssize_t)file->len);
	MUST(ftruncate(fd, (off_t)file_len) == 0);
	(void)close(fd);
}

struct sc_cache_config
fuzz_config(const char *dir)
{
	return (struct sc_cache_config){
		.dir = dir,
		.size_bytes = FUZZ_CACHE_BYTES,
		.create = true,
		.shards = 1,
		.timeout_seconds = 3600,
		.ticket_key_lifetime_seconds = 3600,
	};
}

struct sc_cache *
fuzz_cache(const char *dir)
{
	const struct sc_cache_config config = fuzz_config(dir);
	struct sc_cache_opened opened;
	struct sc_cache *cache = NULL;

	MUST(sc_cache_open(&cache, &config, 1, &opened) == SESSCACHE_OK);
	return cache;
}

struct sesscache *
fuzz_handle(void)
{
	struct sesscache_options *options = NULL;
	struct sesscache *handle = NULL;

	MUST(sesscache_options_new(&options) == SESSCACHE_OK);
	MUST(sesscache_options_set(options, "dir", fuzz_dir()) == SESSCACHE_OK);
	MUST(sesscache_options_set(options, "size", "1M") == SESSCACHE_OK);
	MUST(sesscache_options_set(options, "log", "off") == SESSCACHE_OK);
	/* What is made at the beginning lives longer than any run. */
	MUST(sesscache_options_set(options, "timeout", "7d") == SESSCACHE_OK);
	MUST(sesscache_options_set(options, "ticket-key-lifetime", "7d") ==
	    SESSCACHE_OK);
	MUST(sesscache_open(&handle, options) == SESSCACHE_OK);
	sesscache_options_free(options);
	return handle;
}
