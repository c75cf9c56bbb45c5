/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tool's arguments: whatever they are, it does what it was told or says
 * why not, ends with one of its three statuses, and leaves nothing behind.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fuzz.h"
#include "tool_main.h"

const char fuzz_name[] = "tool";

enum { LINES = 8, ARGUMENTS = 16, LONGEST = 300, NAPS = 2, EXIT_MAX = 2 };

static struct sc_cache *cache; /* it exists before the tool looks for it */
static FILE *nowhere, *full;
static unsigned naps;

/* "stat --watch" goes on for ever: after a while its reader goes away. */
int
tool_sleep(const struct timespec *wanted, struct timespec *left)
{
	(void)wanted, (void)left;
	if (++naps >= NAPS)
		stdout = full;
	return 0;
}

static void
fill(struct sc_cache *to)
{
	static const uint8_t id[] = "an ID", data[] = "no session";
	const struct sc_record_in in = { .id = id,
		.id_len = sizeof(id),
		.data = data,
		.data_len = sizeof(data),
		.ttl_seconds = UINT32_MAX };

	MUST(sc_cache_put(to, &in, 1) == SESSCACHE_OK);
}

static void
finish(void)
{
	sc_cache_close(cache);
	(void)fclose(nowhere);
	(void)fclose(full);
}

static void
begin(void)
{
	nowhere = fopen("/dev/null", "w");
	full = fopen("/dev/full", "w");
	MUST(nowhere != NULL && full != NULL);
	MUST(setenv("SESSCACHE_DIR", fuzz_dir(), 1) == 0);
	cache = fuzz_cache(fuzz_dir());
	(void)atexit(finish);
}

/* With what it writes going nowhere. */
static int
run(int argc, char **argv)
{
	FILE *saved_out = stdout, *saved_err = stderr;
	int end;

	naps = 0;
	optind = 0; /* getopt() begins anew */
	stdout = stderr = nowhere;
	end = tool_main(argc, argv);
	stdout = saved_out;
	stderr = saved_err;
	clearerr(full);
	clearerr(nowhere);
	return end;
}

/* The arguments of one command line: it ends with the input or with "\n". */
static void
run_line(struct fuzz_input *in)
{
	char *argv[ARGUMENTS + 2] = { NULL }, *texts[ARGUMENTS];
	int argc = 1, i, end;

	while (in->left > 0 && argc <= ARGUMENTS) {
		argv[argc] = texts[argc - 1] = fuzz_text(in, LONGEST);
		argc++;
		if (strcmp(argv[argc - 1], "\n") == 0) {
			free(argv[--argc]);
			argv[argc] = NULL;
			break;
		}
	}
	end = run(argc, argv);
	MUST(end >= 0 && end <= EXIT_MAX);
	for (i = 0; i < argc - 1; i++)
		free(texts[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	int lines;

	/* What is logged there would reach the log of this host. */
	if (memmem(data, size, "syslog", 6) != NULL)
		return 0;
	if (cache == NULL)
		begin();
	fill(cache);
	for (lines = 0; in.left > 0 && lines < LINES; lines++)
		run_line(&in);
	return 0;
}
