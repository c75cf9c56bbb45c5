/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See secrets.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"
#include "secrets.h"

FILE *
must_open(const char *path, const char *mode)
{
	FILE *file = fopen(path, mode);

	MUST(file != NULL);
	return file;
}

static DIR *
must_list(const char *dir)
{
	DIR *list = opendir(dir);

	MUST(list != NULL);
	return list;
}

/* --- secrets ------------------------------------------------------------- */

struct secret
secret_of(const char *what, const void *bytes, size_t len)
{
	struct secret secret;

	memset(&secret, 0, sizeof(secret));
	(void)snprintf(secret.what, sizeof(secret.what), "%s", what);
	secret.len = len < SECRET_MAX ? len : SECRET_MAX;
	secret.len -= secret.len % SECRET_PIECE;
	MUST(secret.len > 0);
	memcpy(secret.bytes, bytes, secret.len);
	return secret;
}

bool
secret_is_in(const struct secret *secret, const void *bytes, size_t len,
    size_t *at)
{
	const uint8_t *found = NULL;
	size_t piece;

	for (piece = 0; found == NULL && piece < secret->len;
	     piece += SECRET_PIECE)
		found = memmem(bytes, len, secret->bytes + piece, SECRET_PIECE);
	if (found != NULL && at != NULL)
		*at = (size_t)(found - (const uint8_t *)bytes);
	return found != NULL;
}

static bool
shows_as_hex(const uint8_t *piece, const char *text, size_t len,
    const char *digits)
{
	char hex[2 * SECRET_PIECE];
	size_t i;

	for (i = 0; i < SECRET_PIECE; i++) {
		hex[2 * i] = digits[piece[i] >> 4];
		hex[2 * i + 1] = digits[piece[i] & 15];
	}
	return memmem(text, len, hex, sizeof(hex)) != NULL;
}

/* Wherever it is within what was encoded: there are three ways. */
static bool
shows_as_base64(const uint8_t *piece, const char *text, size_t len)
{
	uint8_t plain[SECRET_PIECE + 2] = { 0 };
	unsigned char base64[40];
	bool shows = false;
	int lead;

	for (lead = 0; lead < 3; lead++) {
		memcpy(plain + lead, piece, SECRET_PIECE);
		(void)EVP_EncodeBlock(base64, plain, lead + SECRET_PIECE);
		/* Without the characters that others have a part in. */
		shows = shows ||
		    memmem(text, len, base64 + (lead > 0 ? 4 : 0), 16) != NULL;
	}
	return shows;
}

bool
secret_shows(const struct secret *secret, const char *text, size_t len)
{
	bool shows = secret_is_in(secret, text, len, NULL);
	const uint8_t *piece;
	size_t at;

	for (at = 0; at < secret->len; at += SECRET_PIECE) {
		piece = secret->bytes + at;
		shows = shows ||
		    shows_as_hex(piece, text, len, "0123456789abcdef") ||
		    shows_as_hex(piece, text, len, "0123456789ABCDEF") ||
		    shows_as_base64(piece, text, len);
	}
	return shows;
}

/* --- images -------------------------------------------------------------- */

static struct image *
image_new(void)
{
	struct image *image = calloc(1, sizeof(*image));

	MUST(image != NULL);
	return image;
}

void
image_free(struct image *image)
{
	free(image->bytes);
	free(image);
}

/* What can be read of fd from an offset on. */
static void
add_part(struct image *image, const char *name, int fd, uint64_t offset,
    size_t len)
{
	uint8_t *bytes = realloc(image->bytes, image->len + len + 1);
	size_t done = 0;
	ssize_t n = 1;

	MUST(bytes != NULL && image->parts < IMAGE_PARTS);
	image->bytes = bytes;
	image->part[image->parts].at = image->len;
	(void)snprintf(image->part[image->parts].name,
	    sizeof(image->part[0].name), "%s", name);
	image->parts++;
	while (n > 0 && done < len) {
		n = pread(fd, bytes + image->len + done, len - done,
		    (off_t)(offset + done));
		if (n > 0)
			done += (size_t)n;
	}
	image->len += done;
}

static void
add_file(struct image *image, const char *dir, const char *name)
{
	char path[SCRATCH_LEN];
	struct stat st;
	int fd;

	path_join(path, dir, name);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	MUST(fd >= 0 && fstat(fd, &st) == 0);
	add_part(image, name, fd, 0, (size_t)st.st_size);
	MUST(close(fd) == 0);
}

struct image *
image_of_file(const char *dir, const char *name)
{
	struct image *image = image_new();

	add_file(image, dir, name);
	return image;
}

struct image *
image_of_files(const char *dir)
{
	struct image *image = image_new();
	DIR *list = must_list(dir);
	struct dirent *entry;

	for (entry = readdir(list); entry != NULL; entry = readdir(list)) {
		if (entry->d_type == DT_REG)
			add_file(image, dir, entry->d_name);
	}
	(void)closedir(list);
	return image;
}

/* One mapping, as /proc/PID/smaps says. */
struct mapping {
	unsigned long start;
	unsigned long end;
	char access[5];
	char path[256];
	bool left_out; /* of core dumps */
};

static bool
begins_mapping(const char *line, struct mapping *out)
{
	struct mapping mapping = { .path = "" };

	/* NOLINTNEXTLINE(cert-err34-c): the kernel wrote these numbers. */
	if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %255[^\n]", &mapping.start,
		&mapping.end, mapping.access, mapping.path) < 3)
		return false;
	*out = mapping;
	return true;
}

static FILE *
open_mappings(pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	return must_open(path, "re");
}

static bool
next_mapping(FILE *maps, struct mapping *out)
{
	char line[512];

	while (fgets(line, sizeof(line), maps) != NULL) {
		if (strncmp(line, "VmFlags:", 8) != 0) {
			(void)begins_mapping(line, out);
		} else {
			out->left_out = strstr(line, " dd") != NULL;
			return true;
		}
	}
	return false;
}

static void
add_mapping(struct image *image, const struct mapping *mapping, int fd)
{
	const char *slash = strrchr(mapping->path, '/');
	char name[48];

	(void)snprintf(name, sizeof(name), "%.40s",
	    slash != NULL ? slash + 1 : mapping->path);
	add_part(image, name, fd, mapping->start,
	    mapping->end - mapping->start);
}

/* Nothing of ours is in what was never writable, as programs and libraries. */
struct image *
image_of_process(pid_t pid)
{
	struct image *image = image_new();
	struct mapping mapping = { .end = 0 };
	char path[64];
	FILE *maps;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	maps = open_mappings(pid);
	while (next_mapping(maps, &mapping)) {
		if (strncmp(mapping.access, "rw", 2) == 0 && !mapping.left_out)
			add_mapping(image, &mapping, fd);
	}
	(void)fclose(maps);
	MUST(close(fd) == 0);
	return image;
}

struct maps_of_files
maps_of_files(const char *dir)
{
	struct mapping mapping = { .end = 0 };
	struct maps_of_files found = { .n = 0 };
	FILE *maps = open_mappings(getpid());
	size_t len = strlen(dir);

	while (next_mapping(maps, &mapping)) {
		if (strncmp(mapping.path, dir, len) != 0 ||
		    mapping.path[len] != '/')
			continue;
		found.n++;
		if (!mapping.left_out)
			(void)snprintf(found.dumped, sizeof(found.dumped),
			    "%.40s", mapping.path + len + 1);
	}
	(void)fclose(maps);
	return found;
}

bool
is_left_out_of_dumps(const void *at)
{
	struct mapping mapping = { .end = 0 };
	FILE *maps = open_mappings(getpid());
	bool left_out = false;

	while (next_mapping(maps, &mapping)) {
		if ((uintptr_t)at >= mapping.start &&
		    (uintptr_t)at < mapping.end)
			left_out = mapping.left_out;
	}
	(void)fclose(maps);
	return left_out;
}

const char *
image_part_at(const struct image *image, size_t at)
{
	const char *name = "";
	int i;

	for (i = 0; i < image->parts && image->part[i].at <= at; i++)
		name = image->part[i].name;
	return name;
}

/* --- a thief ------------------------------------------------------------- */

enum {
	KEY = 32,
	BLOCK = 16,
	TRIED_MOST = 256, /* numbers of writes */
	FEW = 64,         /* bytes with so few keys that words do not pay */
	WORD = 8,         /* bytes of data to find a block by */
	FIRST_COUNTER = 2 /* of AES-GCM: 1 is the tag's */
};

/* Every 8 bytes of the data, but zeroes; slots NULL: not known. */
struct words {
	uint64_t *slots;
	size_t mask;
};

static uint64_t
word_at(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

static size_t
slot_of(const struct words *words, uint64_t word)
{
	uint64_t mixed = (word ^ word >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	size_t at = (size_t)(mixed >> 32) & words->mask;

	while (words->slots[at] != 0 && words->slots[at] != word)
		at = (at + 1) & words->mask;
	return at;
}

static void
words_make(struct words *words, const struct image *data)
{
	size_t at, size = 1024;
	uint64_t word;

	while (size < 2 * data->len)
		size *= 2;
	words->mask = size - 1;
	words->slots = calloc(size, sizeof(*words->slots));
	MUST(words->slots != NULL);
	for (at = 0; at + WORD <= data->len; at++) {
		word = word_at(data->bytes + at);
		words->slots[slot_of(words, word)] = word;
	}
}

static bool
may_have(const struct words *words, uint64_t word)
{
	return words->slots == NULL || words->slots[slot_of(words, word)] != 0;
}

/* The counter blocks whose encryptions a sealed goal may have been mixed
 * with; how many bytes. */
static int
counters(const struct thief_goal *goal, uint8_t *blocks)
{
	uint64_t number = goal->first_number;
	unsigned i, counter = goal->block + FIRST_COUNTER;
	int byte;

	MUST(goal->numbers <= TRIED_MOST);
	memset(blocks, 0, (size_t)goal->numbers * BLOCK);
	for (i = 0; i < goal->numbers; i++, number++, blocks += BLOCK) {
		blocks[0] = (uint8_t)(goal->shard >> 8);
		blocks[1] = (uint8_t)goal->shard;
		for (byte = 0; byte < 8; byte++)
			blocks[4 + byte] = (uint8_t)(number >> (56 - 8 * byte));
		blocks[14] = (uint8_t)(counter >> 8);
		blocks[15] = (uint8_t)counter;
	}
	return (int)goal->numbers * BLOCK;
}

/* Whether data have the goal as any of these streams would have sealed it. */
static bool
fits(const struct words *words, const struct image *data,
    const struct thief_goal *goal, const uint8_t *stream)
{
	uint8_t sealed[BLOCK];
	bool found = false;
	unsigned i;
	int byte;

	for (i = 0; !found && i < goal->numbers; i++, stream += BLOCK) {
		for (byte = 0; byte < BLOCK; byte++)
			sealed[byte] = stream[byte] ^ goal->plain[byte];
		found = may_have(words, word_at(sealed)) &&
		    memmem(data->bytes, data->len, sealed, BLOCK) != NULL;
	}
	return found;
}

bool
thief_opens(const struct image *keys, const struct image *data,
    const struct thief_goal *goal)
{
	uint8_t blocks[TRIED_MOST * BLOCK], stream[TRIED_MOST * BLOCK];
	int len = counters(goal, blocks), done;
	EVP_CIPHER *aes = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	struct words words = { NULL, 0 };
	bool opens = false;
	size_t at;

	MUST(aes != NULL && ctx != NULL);
	if (keys->len > FEW)
		words_make(&words, data);
	for (at = 0; !opens && at + KEY <= keys->len; at++) {
		if (word_at(keys->bytes + at) == 0)
			continue; /* not random: no key begins like this */
		MUST(EVP_EncryptInit_ex(ctx, aes, NULL, keys->bytes + at,
			 NULL) == 1);
		MUST(EVP_EncryptUpdate(ctx, stream, &done, blocks, len) == 1);
		opens = fits(&words, data, goal, stream);
	}
	free(words.slots);
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(aes);
	return opens;
}

/* --- copies -------------------------------------------------------------- */

enum {
	COPY = 4 * WORD, /* bytes that are no coincidence */
	DISTINCT = 22,   /* of these, in what is random; text has fewer */
};

static bool
looks_random(const uint8_t *bytes)
{
	bool seen[256] = { false };
	int i, distinct = 0;

	for (i = 0; i < COPY; i++) {
		distinct += !seen[bytes[i]];
		seen[bytes[i]] = true;
	}
	return distinct >= DISTINCT;
}

static bool
may_hold(const struct words *words, const uint8_t *bytes)
{
	int at;

	for (at = 0; at < COPY; at += WORD) {
		if (!may_have(words, word_at(bytes + at)))
			return false;
	}
	return true;
}

bool
image_has_copy(const struct image *image, const struct image *data, size_t *at)
{
	struct words words;
	const uint8_t *bytes;
	bool found = false;
	size_t i;

	words_make(&words, data);
	for (i = 0; !found && i + COPY <= image->len; i++) {
		bytes = image->bytes + i;
		found = may_hold(&words, bytes) && looks_random(bytes) &&
		    memmem(data->bytes, data->len, bytes, COPY) != NULL;
		*at = i;
	}
	free(words.slots);
	return found;
}
