/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the benchmarks have in common: the clock, random numbers, medians,
 * latencies, shared memory, complaints.
 */
#include <errno.h>
#include <ftw.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define NS_PER_SECOND UINT64_C(1000000000)
#define TREE_FDS 16 /* directories that are open at a time */
#define SUB_BITS 6  /* of a histogram: 64 buckets an octave */

static uint64_t random_state = 1;

static uint64_t
read_clock(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint64_t
bench_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t
bench_cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void
bench_random_seed(uint64_t seed)
{
	random_state = seed;
}

/* splitmix64: one addition and two multiplications. */
uint64_t
bench_random(void)
{
	uint64_t mixed;

	random_state += UINT64_C(0x9e3779b97f4a7c15);
	mixed = random_state;
	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return mixed ^ (mixed >> 31);
}

enum bench_answer
bench_random_id(void *state, uint8_t id[BENCH_ID_LEN])
{
	(void)state;
	return RAND_bytes(id, BENCH_ID_LEN) == 1 ? BENCH_DONE : BENCH_FAILED;
}

enum bench_answer
bench_cheap_id(void *state, uint8_t id[BENCH_ID_LEN])
{
	uint64_t words[BENCH_ID_LEN / sizeof(uint64_t)];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof words / sizeof words[0]; i++)
		words[i] = bench_random();
	memcpy(id, words, sizeof words);
	return BENCH_DONE;
}

static int
compare_doubles(const void *left, const void *right)
{
	const double *a = left;
	const double *b = right;

	return (*a > *b) - (*a < *b);
}

void
bench_sort(double *values, size_t count)
{
	qsort(values, count, sizeof *values, compare_doubles);
}

double
bench_median(const double *values, size_t count)
{
	double sorted[BENCH_ROUNDS_MAX];
	double median = 0.0;

	if (count > 0 && count <= BENCH_ROUNDS_MAX) {
		memcpy(sorted, values, count * sizeof *values);
		bench_sort(sorted, count);
		median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0;
	}
	return median;
}

int
bench_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fprintf(stderr, "%s: ", program_invocation_short_name);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	return -1;
}

void
bench_cpu_model(char model[BENCH_MODEL_BYTES])
{
	char line[256];
	const char *colon;
	FILE *file;

	model[0] = '\0';
	file = fopen("/proc/cpuinfo", "re");
	while (file != NULL && model[0] == '\0' &&
	    fgets(line, sizeof line, file) != NULL) {
		colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) == 0 && colon != NULL)
			(void)snprintf(model, BENCH_MODEL_BYTES, "%.*s",
			    (int)strcspn(colon + 2, "\n"), colon + 2);
	}
	if (file != NULL)
		(void)fclose(file);
}

static int
remove_entry(const char *path, const struct stat *meta, int type,
    struct FTW *walk)
{
	(void)meta;
	(void)type;
	(void)walk;
	(void)remove(path);
	return 0;
}

void
bench_remove_tree(const char *path)
{
	(void)nftw(path, remove_entry, TREE_FDS, FTW_DEPTH | FTW_PHYS);
}

void *
bench_shared_alloc(size_t size)
{
	int flags = MAP_SHARED | MAP_ANONYMOUS;
	void *memory;

	/* cppcheck-suppress invalidFunctionArg ; no file has descriptor -1 */
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (memory == MAP_FAILED)
		memory = NULL;
	return memory;
}

void
bench_shared_free(void *memory, size_t size)
{
	if (memory != NULL)
		(void)munmap(memory, size);
}

/* --- latencies ------------------------------------------------------------- */

void
bench_histogram_add(struct bench_histogram *histogram, uint64_t ns)
{
	unsigned shift = 0;
	size_t index;

	if (ns >> SUB_BITS != 0)
		shift = (unsigned)(63 - __builtin_clzll(ns)) - SUB_BITS;
	index = ((size_t)shift << SUB_BITS) + (size_t)(ns >> shift);
	if (index >= BENCH_BUCKETS)
		index = BENCH_BUCKETS - 1;
	histogram->buckets[index]++;
}

void
bench_histogram_merge(struct bench_histogram *into,
    const struct bench_histogram *from)
{
	size_t i;

	for (i = 0; i < BENCH_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

/* The middle of a bucket, in ns. */
static double
bucket_ns(size_t index)
{
	size_t shift = 0;
	uint64_t low = index;

	if (index >> SUB_BITS != 0) {
		shift = (index >> SUB_BITS) - 1;
		low = (uint64_t)(index - (shift << SUB_BITS)) << shift;
	}
	return (double)low + (double)(UINT64_C(1) << shift) / 2.0;
}

double
bench_histogram_quantile(const struct bench_histogram *histogram, double share)
{
	uint64_t total = 0;
	uint64_t below = 0;
	double found = 0.0;
	size_t i;

	for (i = 0; i < BENCH_BUCKETS; i++)
		total += histogram->buckets[i];
	for (i = 0; i < BENCH_BUCKETS && total > 0; i++) {
		below += histogram->buckets[i];
		if ((double)below >= share * (double)total) {
			found = bucket_ns(i);
			total = 0;
		}
	}
	return found;
}

int
bench_number(char option, const char *text, unsigned long min,
    unsigned long max, size_t *out)
{
	unsigned long number;
	char *end;
	int rc = 0;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *text == '-' ||
	    number < min || number > max)
		rc = bench_fail("-%c %s: not a number from %lu to %lu", option,
		    text, min, max);
	else
		*out = number;
	return rc;
}
