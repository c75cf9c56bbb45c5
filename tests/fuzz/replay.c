/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main() of a fuzz target where no engine brings one: feeds it the files
 * of its corpus, or those that are named.  It is in an archive, so that the
 * engine's comes first.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { INPUT_MAX_BYTES = 1 << 20 };

static void
replay(const char *path)
{
	uint8_t *all = malloc(INPUT_MAX_BYTES), *data;
	FILE *file = fopen(path, "rb");
	size_t size;

	if (all == NULL || file == NULL) {
		perror(path);
		exit(1);
	}
	size = fread(all, 1, INPUT_MAX_BYTES, file);
	(void)fclose(file);
	data = realloc(all, size > 0 ? size : 1); /* reads beyond it show */
	if (data == NULL)
		data = all;
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
}

static int
is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* In the order of their names, so that every run is the same; how many. */
static int
replay_corpus(const char *dir)
{
	struct dirent **entries = NULL;
	char *path;
	int n, i;

	n = scandir(dir, &entries, is_input, alphasort);
	for (i = 0; i < n; i++) {
		MUST(asprintf(&path, "%s/%s", dir, entries[i]->d_name) > 0);
		replay(path);
		free(path);
		free(entries[i]);
	}
	free(entries);
	return n;
}

int
main(int argc, char **argv)
{
	const char *top = getenv("top_srcdir");
	int i, n = argc - 1;
	char *dir;

	for (i = 1; i < argc; i++)
		replay(argv[i]);
	if (n == 0) {
		MUST(asprintf(&dir, "%s/tests/fuzz/corpus/%s",
			 top != NULL ? top : ".", fuzz_name) > 0);
		n = replay_corpus(dir);
		free(dir);
	}
	if (n <= 0)
		fprintf(stderr, "no inputs for %s\n", fuzz_name);
	else
		printf("%s: %d inputs\n", fuzz_name, n);
	return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
