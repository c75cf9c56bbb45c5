/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking for secrets where none may be: in what a core dump of a process
 * holds, in the files of a directory, in text; and the work of a thief who
 * has these files and tries whatever could be a key on whatever could be
 * sealed.  Knows how records are sealed, not where they are.
 */
#ifndef SC_TESTS_SECRETS_H
#define SC_TESTS_SECRETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum {
	SECRET_MAX = 64,   /* bytes */
	SECRET_PIECE = 16, /* bytes of a secret that give it away */
};

struct secret {
	char what[24];
	uint8_t bytes[SECRET_MAX];
	size_t len; /* bytes, a whole number of pieces */
};

/* The part that fits of some bytes, as a secret. */
struct secret secret_of(const char *what, const void *bytes, size_t len);

/* Whether a piece of it is in these bytes; at, if not NULL, is where. */
bool secret_is_in(const struct secret *secret, const void *bytes, size_t len,
    size_t *at);

/* The same, also as hexadecimal digits or base64. */
bool secret_shows(const struct secret *secret, const char *text, size_t len);

/* --- images: bytes of several places, one after the other ---------------- */

enum { IMAGE_PARTS = 512 };

struct image {
	uint8_t *bytes;
	size_t len;
	int parts;
	struct {
		size_t at; /* of its first byte */
		char name[48];
	} part[IMAGE_PARTS];
};

/* All plain files of a directory, or one of them. */
struct image *image_of_files(const char *dir);
struct image *image_of_file(const char *dir, const char *name);

/*
 * What a core dump of a process of ours would hold that is stopped: all memory
 * but what it asked to be left out.
 */
struct image *image_of_process(pid_t pid);

/*
 * Whether 32 bytes of an image that look random are in data too; at is where
 * they are in the image.
 */
bool image_has_copy(const struct image *image, const struct image *data,
    size_t *at);

/* The maps that this process has of files in a directory, by its real path. */
struct maps_of_files {
	int n;
	char dumped[48]; /* the name of one that is in core dumps; or "" */
};
struct maps_of_files maps_of_files(const char *dir);

/* Whether core dumps of this process leave out what is at this address. */
bool is_left_out_of_dumps(const void *at);

const char *image_part_at(const struct image *image, size_t at);
void image_free(struct image *image);

/* --- a thief ------------------------------------------------------------- */

/* What is known of one thing that was sealed. */
struct thief_goal {
	const uint8_t *plain; /* SECRET_PIECE bytes of it */
	unsigned block;       /* which of it these are, counted from 0 */
	unsigned shard;
	uint64_t first_number; /* of writes: those to try */
	unsigned numbers;
};

/*
 * Try every 32 bytes of keys, as an AES-256-GCM key, on every byte of data
 * that the goal could be sealed at; whether one of them opens it.
 */
bool thief_opens(const struct image *keys, const struct image *data,
    const struct thief_goal *goal);

/* A stream; for children. */
FILE *must_open(const char *path, const char *mode);

#endif
