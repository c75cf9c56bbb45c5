/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tests with processes of their own share: scratch directories, children
 * that cannot hang the test, and records whose every byte can be verified.
 */
#ifndef TESTS_PROCESS_H
#define TESTS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sesscache.h"

enum {
	SCRATCH_LEN = 256,
	RECORD_MAX_LEN = 8192, /* bytes: some bypass the journal */
	CHILD_SECONDS = 60,    /* more than any child takes on a busy host */
	NOBODY = 65534,        /* user and group */
};

/*
 * Whether a sanitizer is at work: its allocator may be locked for ever in the
 * child of a process with threads, and it needs the whole address space.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* A new directory for the test, mode 0755; or the end of the program. */
void scratch_make(char path[SCRATCH_LEN], const char *name);
void scratch_remove(const char *path);
void path_join(char path[SCRATCH_LEN], const char *dir, const char *name);

/*
 * Open a cache; pairs of a setting's name and value follow, then NULL.  The
 * second never fails: it ends the process with a line that says why.
 */
enum sesscache_status cache_try(struct sesscache **out, const char *dir, ...)
    __attribute__((__sentinel__));
struct sesscache *cache_open(const char *dir, ...)
    __attribute__((__sentinel__, __returns_nonnull__));

/* What a process leaves that dies while it makes the data file of a shard. */
void leave_half_made(const char *dir, unsigned shard);

/* Memory that is shared with children, zeroed; for the rest of the test. */
void *shared_new(size_t bytes);

uint64_t clock_ns(void);
void pause_ms(unsigned ms);

/* --- records: their bytes follow from their ID and version --------------- */

struct record {
	uint8_t id[SESSCACHE_ID_MAX_LEN];
	size_t id_len;
	uint32_t version;
	size_t data_len; /* 0: as ID and version say */
};

/* The same calls; they come again while the lock is busy, for seconds. */
void record_new_id(struct sesscache *cache, struct record *record);
enum sesscache_status record_put(struct sesscache *cache,
    const struct record *record);
enum sesscache_status record_get(struct sesscache *cache,
    const struct record *record);
enum sesscache_status record_take(struct sesscache *cache,
    const struct record *record);
enum sesscache_status record_remove(struct sesscache *cache,
    const struct record *record);

size_t record_bytes(const struct record *record, uint8_t data[RECORD_MAX_LEN]);
/* Whether these are the bytes of the record. */
bool record_is(const struct record *record, const uint8_t *data, size_t len);

/* A record that is put at once, and one that must be there. */
void record_make(struct sesscache *cache, struct record *record);
void record_must_be(struct sesscache *cache, const struct record *record);

/* --- children ------------------------------------------------------------ */

/* In any process: if it does not hold, say so and exit with 1. */
#define MUST(condition) \
	do { \
		if (!(condition)) \
			must_failed(__FILE__, __LINE__, #condition); \
	} while (0)
_Noreturn void must_failed(const char *file, int line, const char *what);

typedef void child_body(void *arg);

/* A child that runs body and then ends with _exit(0). */
pid_t child_start(child_body *body, void *arg);

/* Wait for it; false if it did not exit with 0, or not in CHILD_SECONDS. */
bool child_ended_well(pid_t pid);
/* The same, and what waitpid() said; -1: it had to be killed. */
int child_end(pid_t pid);
/* Kill and wait. */
void child_kill(pid_t pid);

/* Run body in a child and expect it to end well. */
bool child_does(child_body *body, void *arg);

#endif
