/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the fuzz targets share: each is a LLVMFuzzerTestOneInput() that a
 * fuzzing engine calls with bytes of its choice, or replay.c with the bytes of
 * files.  A target ends the process with abort() if a promise is broken.
 *
 * With AFL++ 4 (Debian: afl++) instead of libFuzzer, in a build directory of
 * its own, for ten minutes:
 *	configure CC=afl-clang-fast CFLAGS='-g -O1' \
 *	    --with-sanitizer=address,undefined
 *	make LDFLAGS=-fsanitize=fuzzer tests/fuzz/fuzz_settings
 *	afl-fuzz -V 600 -m none -t 5000 -i CORPUS/settings -o findings \
 *	    -- tests/fuzz/fuzz_settings
 * It wants AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 where the kernel pipes core
 * dumps to a program, and AFL_SKIP_CPUFREQ=1 in a virtual machine.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/cache.h"

/* The target: its corpus has this name. */
extern const char fuzz_name[];
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do { \
		if (!(condition)) \
			fuzz_failed(__FILE__, __LINE__, #condition); \
	} while (0)
_Noreturn void fuzz_failed(const char *file, int line, const char *what);

/* The input, as far as it is left; what is missing is 0. */
struct fuzz_input {
	const uint8_t *at;
	size_t left; /* bytes */
};

uint64_t fuzz_number(struct fuzz_input *in, size_t bytes);

/* The next bytes, max at most, as they are; *len is how many there were. */
const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t max, size_t *len);

/*
 * The next bytes, up to one that is 0, max at most, as a string that the
 * caller frees: a sanitizer sees its end.
 */
char *fuzz_text(struct fuzz_input *in, size_t max);

/* A copy of len bytes, or of nothing, that the caller frees. */
uint8_t *fuzz_copy(const uint8_t *bytes, size_t len)
    __attribute__((__returns_nonnull__));

/*
 * Change len bytes as the rest of the input says: each edit is where (2
 * bytes), how many (1) and what the bytes are combined with (exclusive or).
 * Whether one of them is another than before.
 */
bool fuzz_edit(struct fuzz_input *in, uint8_t *bytes, size_t len);

/* A directory of this process, in memory if that can be; it goes at the end. */
const char *fuzz_dir(void);
void fuzz_path(char *out, size_t size, const char *name);

/* A file of it, as it was at some time. */
struct fuzz_file {
	char path[512];
	uint8_t *bytes;
	size_t len;
};

void fuzz_save(struct fuzz_file *out, const char *name);

/* Write it anew with these bytes, as long as they are, but cut or grown. */
void fuzz_restore(const struct fuzz_file *file, const uint8_t *bytes,
    size_t file_len);

enum { FUZZ_CACHE_BYTES = 1 << 20 };

/* The smallest cache, in this directory, which is made if there is none. */
struct sc_cache_config fuzz_config(const char *dir);

/* The same, new. */
struct sc_cache *fuzz_cache(const char *dir);

/* The same in fuzz_dir(), silent, as an application has it. */
struct sesscache *fuzz_handle(void);

#endif
