/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The benchmarks' own contracts: the systems that are compared, the pool of
 * session IDs that the processes share, the workers, and what is reported.
 * The library is known by its public header only.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_ID_LEN 32        /* bytes */
#define BENCH_RECORD_MIN 16    /* bytes; 8 of them repeat a part of the ID */
#define BENCH_RECORD_MAX 4096  /* bytes */
#define BENCH_PROCESSES_MAX 64 /* in one cell */
#define BENCH_COUNTS_MAX 8     /* different numbers of processes */
#define BENCH_ROUNDS_MAX 99
#define BENCH_SETTINGS_MAX 16 /* -o options */
#define BENCH_SYSTEMS 6
#define BENCH_DETAIL_BYTES 160 /* of a failure's sentence, with its NUL */
#define BENCH_MODEL_BYTES 128  /* of a CPU's name, with its NUL */

/* --- the systems ----------------------------------------------------------- */

enum bench_answer { BENCH_DONE = 0, BENCH_MISS = 1, BENCH_FAILED = -1 };

/* What a system is made for. */
struct bench_shape {
	const char *dir;     /* where it may make files of its own */
	size_t records;      /* that it holds when it is full */
	size_t record_len;   /* bytes of each */
	uint64_t size_bytes; /* of sesscache, to hold that many */
	const char *settings[BENCH_SETTINGS_MAX]; /* of sesscache, name=value */
	size_t n_settings;
};

/*
 * One system.  make() creates it, empty; enter() makes it usable in the
 * calling process and leave() ends that: the maker has left before it forks,
 * and each child enters.  take() is NULL where only lookups are compared.
 * All but destroy() and leave() return 0, or report on standard error why not.
 */
struct bench_system {
	const char *name;  /* short, for the tables and for -S */
	const char *title; /* what it is, in a few words */
	bool stores;       /* false: lookups only */
	bool alternative;  /* another way to make IDs: stores only */
	int (*make)(void **out, const struct bench_shape *shape);
	int (*enter)(void *state);
	void (*leave)(void *state);
	void (*destroy)(void *state);
	enum bench_answer (*new_id)(void *state, uint8_t id[BENCH_ID_LEN]);
	enum bench_answer (*put)(void *state, const uint8_t *id,
	    const uint8_t *data, size_t data_len);
	enum bench_answer (*get)(void *state, const uint8_t *id, uint8_t *buf,
	    size_t size, size_t *len);
	enum bench_answer (*take)(void *state, const uint8_t *id, uint8_t *buf,
	    size_t size, size_t *len);
	const char *(*detail)(void); /* of the last failure; may be NULL */
};

extern const struct bench_system bench_sesscache;
extern const struct bench_system bench_lmdb;
extern const struct bench_system bench_shm;
extern const struct bench_system bench_floor;
/* The same baselines with IDs that cost nothing. */
extern const struct bench_system bench_lmdb_free_ids;
extern const struct bench_system bench_shm_free_ids;

/* In the order of the tables: the library first. */
extern const struct bench_system *const bench_systems[BENCH_SYSTEMS];

enum { BENCH_OURS, BENCH_A, BENCH_B, BENCH_C, BENCH_A_FREE, BENCH_B_FREE };

/*
 * Find the size at which a full sesscache holds shape->records records, and
 * put it into the shape.  Returns 0 or reports why not.
 */
int bench_sesscache_calibrate(struct bench_shape *shape);

/*
 * IDs as OpenSSL's default generator makes them: what a server that uses the
 * baselines pays for each session.
 */
enum bench_answer bench_random_id(void *state, uint8_t id[BENCH_ID_LEN]);

/* IDs that cost a few nanoseconds; unique, not secret. */
enum bench_answer bench_cheap_id(void *state, uint8_t id[BENCH_ID_LEN]);

/* --- helpers --------------------------------------------------------------- */

uint64_t bench_now_ns(void); /* CLOCK_MONOTONIC */
uint64_t bench_cpu_ns(void); /* of this process, system and user */
uint64_t bench_random(void); /* of this process; fast, not secret */
void bench_random_seed(uint64_t seed);
void bench_sort(double *values, size_t count);
double bench_median(const double *values, size_t count);

/* The CPU's name as the kernel shows it, or "". */
void bench_cpu_model(char model[BENCH_MODEL_BYTES]);

/* Complain as printf() would; returns -1. */
int bench_fail(const char *format, ...)
    __attribute__((__format__(__printf__, 1, 2)));

/* The number in text, of this option, within bounds; 0, or -1 with a
 * complaint. */
int bench_number(char option, const char *text, unsigned long min,
    unsigned long max, size_t *out);

/* Remove a directory and all that is in it; one that is absent is fine. */
void bench_remove_tree(const char *path);

/*
 * Call run() in a child, with a new directory under parent; returns the exit
 * status that it returned.  However it ends, the directory is removed, and no
 * process that it started is left.
 */
int bench_in_scratch(const char *parent,
    int (*run)(const char *dir, const void *arg), const void *arg);

/* Zeroed memory that children share, or NULL. */
void *bench_shared_alloc(size_t size);
void bench_shared_free(void *memory, size_t size);

/* Heap allocations of this process so far; 0 where they are not counted. */
uint64_t bench_heap_allocations(void);
bool bench_heap_is_counted(void);

/* --- the pool: IDs that all processes see ---------------------------------- */

struct bench_pool;

/* Returns a pool for so many IDs, or NULL. */
struct bench_pool *bench_pool_new(size_t capacity);
void bench_pool_free(struct bench_pool *pool);

/* Add an ID in the place of the oldest. */
void bench_pool_add(struct bench_pool *pool, const uint8_t id[BENCH_ID_LEN]);

/* A random one; false if none could be read. */
bool bench_pool_pick(struct bench_pool *pool, uint8_t id[BENCH_ID_LEN]);

/* The IDs by age, 0 the oldest; only while nobody adds. */
void bench_pool_read(struct bench_pool *pool, size_t index,
    uint8_t id[BENCH_ID_LEN]);
size_t bench_pool_count(const struct bench_pool *pool);
void bench_pool_keep_newest(struct bench_pool *pool, size_t count);
/* Keep those for which keep() is true, in their order. */
void bench_pool_filter(struct bench_pool *pool,
    bool (*keep)(const uint8_t *id, void *arg), void *arg);

/* --- latencies ------------------------------------------------------------- */

#define BENCH_BUCKETS 2304 /* 64 an octave, to 2^41 ns */

struct bench_histogram {
	uint32_t buckets[BENCH_BUCKETS];
};

void bench_histogram_add(struct bench_histogram *histogram, uint64_t ns);
void bench_histogram_merge(struct bench_histogram *into,
    const struct bench_histogram *from);
/* The latency in ns below which this share of the samples is; 0 if none. */
double bench_histogram_quantile(const struct bench_histogram *histogram,
    double share);

/* --- the workers ----------------------------------------------------------- */

enum bench_op {
	BENCH_LOOKUP, /* of an ID in the pool */
	BENCH_STORE,  /* of a session with a fresh ID */
	BENCH_FEED,   /* the same, and the ID goes into the pool */
	BENCH_MIX,    /* nine lookups to one feed, at random */
	BENCH_TAKE,   /* of sessions stored before; only the takes are timed */
};

struct bench_job {
	const struct bench_system *system;
	void *state;
	struct bench_pool *pool;
	size_t record_len;
	double seconds; /* measured, after the warm-up */
	unsigned processes;
	enum bench_op ops[BENCH_PROCESSES_MAX]; /* one for each process */
};

/* What one process did in the measured time. */
struct bench_count {
	double rate; /* operations a second */
	uint64_t operations;
	uint64_t misses;
	uint64_t wrong; /* found, but with other bytes than stored */
	uint64_t failed;
	uint64_t allocations; /* on the heap */
	uint64_t cpu_ns;      /* system and user */
};

struct bench_outcome {
	struct bench_count sum;
	double p50_ns;
	double p99_ns;
	char detail[BENCH_DETAIL_BYTES]; /* of a failure; "": there was none */
};

/* Run one cell.  Returns 0 or reports why not. */
int bench_run(const struct bench_job *job, struct bench_outcome *out);

/* Store count records in this process, their IDs into the pool. */
int bench_fill(const struct bench_system *system, void *state,
    size_t record_len, struct bench_pool *pool, size_t count);

/* --- what was asked and what was found ------------------------------------- */

enum bench_phase {
	BENCH_PHASE_LOOKUP,
	BENCH_PHASE_STORE,
	BENCH_PHASE_MIX,
	BENCH_PHASE_TAKE,
	BENCH_PHASE_BESIDE,
	BENCH_PHASE_ALONE, /* what BESIDE is compared with; same phase */
	BENCH_PHASES
};

struct bench_options {
	struct bench_shape shape;
	double seconds;
	unsigned rounds;
	unsigned counts[BENCH_COUNTS_MAX]; /* numbers of processes */
	size_t n_counts;
	bool systems[BENCH_SYSTEMS]; /* which of them run */
	bool phases[BENCH_PHASES];
	bool capacity; /* the capacity test runs */
	bool strict;
	const char *json; /* a file name, or NULL */
};

/* Medians over the rounds. */
struct bench_cell {
	bool measured;
	double rate;
	double slowest; /* round */
	double fastest;
	double p50_ns;
	double p99_ns;
	double cpu_ns;      /* an operation */
	double allocations; /* an operation */
	uint64_t misses;    /* these and the following: sums */
	uint64_t wrong;
	uint64_t failed;
	char detail[BENCH_DETAIL_BYTES]; /* of one that failed */
};

struct bench_capacity {
	bool measured;
	uint64_t size_bytes; /* the setting */
	size_t record_len;
	size_t stored;
	size_t found;
	size_t newest_run;    /* found without a gap, from the newest on */
	uint64_t most_bytes;  /* sum of st_size at its highest */
	uint64_t most_blocks; /* bytes in st_blocks at their highest */
};

struct bench_report {
	struct bench_cell cells[BENCH_PHASES][BENCH_COUNTS_MAX][BENCH_SYSTEMS];
	struct bench_capacity capacity;
	size_t live[BENCH_SYSTEMS]; /* IDs that the lookups chose from */
	uint64_t size_bytes;        /* of sesscache, to be full with them */
};

/* Run everything that was asked for.  Returns 0 or reports why not. */
int bench_measure(const struct bench_options *options,
    struct bench_report *report);

/* Store 200,000 sessions of 130 bytes into 16 MiB, and count what is left. */
int bench_measure_capacity(const struct bench_options *options,
    struct bench_capacity *out);

/* Whether the files never were larger than the size. */
bool bench_capacity_is_bounded(const struct bench_capacity *capacity);

/* --- the report ------------------------------------------------------------ */

#define BENCH_TARGETS 11

struct bench_target {
	const char *text;
	const char *unit;
	double wanted;
	double value;
	bool at_most;  /* else at least */
	bool measured; /* else the options left it out */
	bool met;
};

/* Hold the report against what the library must reach. */
void bench_judge(const struct bench_report *report,
    const struct bench_options *options,
    struct bench_target targets[BENCH_TARGETS]);

/* The index of a number of processes, or BENCH_COUNTS_MAX. */
size_t bench_count_index(const struct bench_options *options,
    unsigned processes);

/* What a cell's rate is to that of another system; 0 if unknown. */
double bench_ratio(const struct bench_cell *cell,
    const struct bench_cell *other);

/*
 * The share of a CPU that a process of the lookups had which never waits: much
 * less than 1 if the machine was busy with other things.  0 if unknown.
 */
double bench_cpu_share(const struct bench_options *options,
    const struct bench_report *report);

/* The name of a phase, in the tables and for -t. */
const char *bench_phase_name(enum bench_phase phase);

void bench_print_text(FILE *file, const struct bench_options *options,
    const struct bench_report *report,
    const struct bench_target targets[BENCH_TARGETS]);
void bench_print_json(FILE *file, const struct bench_options *options,
    const struct bench_report *report,
    const struct bench_target targets[BENCH_TARGETS]);

#endif
