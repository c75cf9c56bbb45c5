/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sesscache keys: the ticket keys by name and age, never a key; and the next
 * one made the current one.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "tool.h"

enum { OPTION_JSON = 1, OPTION_ROTATE };

struct keys {
	struct sesscache_key keys[SESSCACHE_KEYS_MAX];
	size_t n;
	uint64_t now; /* seconds since 1970 */
	bool rotate;
	bool as_json;
};

static const struct table_column columns[] = { { "NAME", false },
	{ "STATE", false }, { "AGE", true }, { "RETIRES-IN", true } };

#define N_COLUMNS (sizeof columns / sizeof columns[0])

#define NAME_BYTES 9

static void
name_of(char out[NAME_BYTES], const struct sesscache_key *key)
{
	(void)snprintf(out, NAME_BYTES, "%08" PRIx32, key->name);
}

static const char *
state_name(enum sesscache_key_state state)
{
	const char *name = "-";

	switch (state) {
	case SESSCACHE_KEY_NEXT:
		name = "next";
		break;
	case SESSCACHE_KEY_CURRENT:
		name = "current";
		break;
	case SESSCACHE_KEY_PREVIOUS:
		name = "previous";
		break;
	}
	return name;
}

static uint64_t
age_seconds(const struct keys *keys, const struct sesscache_key *key)
{
	return keys->now > key->made_at ? keys->now - key->made_at : 0;
}

static bool
show_row(struct table *table, const struct keys *keys,
    const struct sesscache_key *key)
{
	char name[NAME_BYTES], age[TEXT_SPAN_BYTES],
	    left[TEXT_SPAN_BYTES] = "-";
	const char *const cells[N_COLUMNS] = { name, state_name(key->state),
		age, left };

	name_of(name, key);
	text_span(age, age_seconds(keys, key));
	if (key->retires_at != 0)
		text_span(left,
		    key->retires_at > keys->now ? key->retires_at - keys->now :
						  0);
	return table_row(table, cells);
}

static enum tool_exit
show_table(const struct keys *keys)
{
	struct table *table = table_new(columns, N_COLUMNS);
	bool shown = table != NULL;
	size_t i;

	for (i = 0; shown && i < keys->n; i++)
		shown = show_row(table, keys, &keys->keys[i]);
	if (shown)
		table_finish(table);
	table_free(table);
	return shown ? TOOL_DONE :
		       complain("the listing is not complete: out of memory");
}

static void
show_json(const struct keys *keys)
{
	struct json json = { .more = false };
	const struct sesscache_key *key;
	char name[NAME_BYTES];
	size_t i;

	json_begin(&json, NULL, '{');
	json_begin(&json, "keys", '[');
	for (i = 0; i < keys->n; i++) {
		key = &keys->keys[i];
		name_of(name, key);
		json_begin(&json, NULL, '{');
		json_text(&json, "name", name);
		json_text(&json, "state", state_name(key->state));
		json_number(&json, "made_at", key->made_at);
		json_number(&json, "age_seconds", age_seconds(keys, key));
		if (key->retires_at != 0)
			json_number(&json, "retires_at", key->retires_at);
		else
			json_text(&json, "retires_at", NULL);
		json_end(&json, '}');
	}
	json_end(&json, ']');
	json_end(&json, '}');
	putchar('\n');
}

static void
show_current(const struct keys *keys)
{
	char name[NAME_BYTES];
	size_t i;

	for (i = 0; i < keys->n; i++) {
		name_of(name, &keys->keys[i]);
		if (keys->keys[i].state == SESSCACHE_KEY_CURRENT)
			printf("%s is the current ticket key now\n", name);
	}
}

static enum tool_exit
show(struct tool *tool, struct keys *keys)
{
	enum tool_exit end = TOOL_DONE;
	enum sesscache_status status = SESSCACHE_OK;

	if (keys->rotate)
		status = sesscache_rotate_keys(tool->cache);
	if (status != SESSCACHE_OK) {
		end = complain_status("the keys are as they were", status);
		goto out;
	}
	status = sesscache_keys(tool->cache, keys->keys, &keys->n);
	if (status != SESSCACHE_OK) {
		end = complain_status("cannot list the keys", status);
		goto out;
	}
	keys->now = (uint64_t)time(NULL);
	if (keys->as_json)
		show_json(keys);
	else if (keys->rotate)
		show_current(keys);
	else
		end = show_table(keys);
out:
	return end;
}

static enum tool_exit
take_option(struct keys *keys, int option)
{
	enum tool_exit end = TOOL_GO_ON;

	switch (option) {
	case OPTION_JSON:
		keys->as_json = true;
		break;
	case OPTION_ROTATE:
		keys->rotate = true;
		break;
	case 'h':
		end = help_on(&command_keys);
		break;
	default:
		end = misused(&command_keys, NULL);
		break;
	}
	return end;
}

static enum tool_exit
run(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		{ "rotate", no_argument, NULL, OPTION_ROTATE },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct keys keys = { .n = 0 };
	enum tool_exit end = TOOL_GO_ON;
	int option = 0;

	while (end == TOOL_GO_ON && option != -1) {
		option = getopt_long(argc, argv, "h", options, NULL);
		if (option != -1)
			end = take_option(&keys, option);
	}
	if (end == TOOL_GO_ON && optind < argc)
		end = misused(&command_keys, "what is \"%s\"?", argv[optind]);
	if (end == TOOL_GO_ON)
		end = tool_open(tool);
	if (end == TOOL_GO_ON)
		end = show(tool, &keys);
	return end;
}

const struct command command_keys = {
	.name = "keys",
	.arguments = "[--rotate] [--json]",
	.summary = "list the ticket keys, or make the next one current",
	.details =
	    "  --rotate             let the next key become the current "
	    "one now\n"
	    "  --json               as JSON\n"
	    "Tickets under the current key resume after a rotation, those "
	    "under the\nprevious one do not: to refuse all, rotate "
	    "twice.\n",
	.run = run,
};
