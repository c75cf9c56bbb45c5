/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Settings: names and values of any bytes.  What is refused changes nothing
 * and says why, what is accepted is within its range, and the environment is
 * read as the same value would be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/options.h"
#include "fuzz.h"

const char fuzz_name[] = "settings";

enum { PAIRS = 16, TEXT_MAX = 5000 };

static void
check_ranges(const struct sesscache_options *options)
{
	MUST(options->dir[0] == '/');
	MUST(memchr(options->dir, '\0', sizeof(options->dir)) != NULL);
	MUST(options->size_bytes >= UINT64_C(1) << 20);
	MUST(options->size_bytes <= UINT64_C(1) << 40);
	MUST(options->timeout_seconds >= 1);
	MUST(options->timeout_seconds <= 7 * 24 * 3600);
	MUST(options->max_session_bytes >= 512);
	MUST(options->max_session_bytes <= 30 * 1024);
	MUST(options->shards <= 64);
	MUST((options->shards & (options->shards - 1)) == 0);
	MUST(options->tickets <= SC_TICKETS_OWN);
	MUST(memchr(options->realm, '\0', sizeof(options->realm)) != NULL);
	MUST(options->ticket_key_lifetime_seconds >= 60);
	MUST(options->ticket_key_lifetime_seconds <= 7 * 24 * 3600);
	MUST(options->single_use <= SC_SINGLE_USE_OFF);
	MUST(options->log <= SC_LOG_DEBUG);
	MUST(!options->owner_given || options->owner_uid != (uid_t)-1);
	MUST(!options->owner_given || options->owner_gid != (gid_t)-1);
}

/* One line, of visible ASCII. */
static void
check_sentence(const char *text)
{
	MUST(text[0] != '\0');
	for (; *text != '\0'; text++)
		MUST(*text >= ' ' && *text <= '~');
}

static bool
is_same(const uint8_t *before, const uint8_t *after)
{
	return memcmp(before, after, sizeof(struct sesscache_options)) == 0;
}

static enum sesscache_status
set(struct sesscache_options *options, const char *name, const char *value)
{
	uint8_t before[sizeof(*options)]; /* padding too: nobody writes it */
	enum sesscache_status status;

	memcpy(before, options, sizeof(before));
	status = sesscache_options_set(options, name, value);
	MUST(status == SESSCACHE_OK || status == SESSCACHE_EINVAL);
	check_ranges(options);
	if (status != SESSCACHE_OK) {
		MUST(is_same(before, (const uint8_t *)options));
		check_sentence(sesscache_detail());
	}
	return status;
}

/* A value that was taken can be written as a number, or as it was. */
static void
check_size_again(struct sesscache_options *options)
{
	uint64_t size_bytes = options->size_bytes;
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu",
	    (unsigned long long)size_bytes);
	MUST(set(options, "size", text) == SESSCACHE_OK);
	MUST(options->size_bytes == size_bytes);
	(void)snprintf(text, sizeof(text), "%us", options->timeout_seconds);
	MUST(set(options, "timeout", text) == SESSCACHE_OK);
	(void)snprintf(text, sizeof(text), "%u", options->max_session_bytes);
	MUST(set(options, "max-session", text) == SESSCACHE_OK);
}

static char *
variable_of(const char *name, const char *value)
{
	const struct sesscache_setting *setting = sesscache_setting(0);
	const char *prefix = "SESSCACHE_";
	char *text = NULL;
	size_t i;

	for (i = 1; setting != NULL && strcmp(setting->name, name) != 0; i++)
		setting = sesscache_setting(i);
	if (setting != NULL) {
		name = setting->variable;
		prefix = "";
	}
	MUST(asprintf(&text, "%s%s=%s", prefix, name, value) > 0);
	return text;
}

/* A setting of its own, or a variable that is none and is named to the log. */
static void
check_environment(const char *name, const char *value,
    enum sesscache_status want)
{
	static char quiet[] = "SESSCACHE_LOG=off";
	char *variable = variable_of(name, value);
	char *fuzzed[] = { variable, quiet, NULL };
	char **saved = environ;
	struct sesscache_options *options = NULL;
	enum sesscache_status status;

	environ = fuzzed;
	status = sesscache_options_new(&options);
	environ = saved;
	MUST((options != NULL) == (status == SESSCACHE_OK));
	if (want == SESSCACHE_OK)
		MUST(status == SESSCACHE_OK);
	if (options != NULL)
		check_ranges(options);
	sesscache_options_free(options);
	free(variable);
}

static char *
take_name(struct fuzz_input *in)
{
	const struct sesscache_setting *setting;
	char *name;

	setting = sesscache_setting((size_t)fuzz_number(in, 1));
	if (setting == NULL)
		return fuzz_text(in, TEXT_MAX);
	name = strdup(setting->name);
	MUST(name != NULL);
	return name;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct sesscache_options *options = NULL;
	enum sesscache_status status;
	char *name, *value;
	int i;

	MUST(sesscache_options_new(&options) == SESSCACHE_OK);
	for (i = 0; in.left > 0 && i < PAIRS; i++) {
		name = take_name(&in);
		value = fuzz_text(&in, TEXT_MAX);
		status = set(options, name, value);
		if (i == 0)
			check_environment(name, value, status);
		free(name);
		free(value);
	}
	check_size_again(options);
	sesscache_options_free(options);
	return 0;
}
