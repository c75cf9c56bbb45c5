/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sesscache dump: one line a session, never a secret.
 */
#include <getopt.h>
#include <stdio.h>
#include <time.h>

#include "tool.h"

enum { OPTION_JSON = 1, OPTION_LIMIT };

struct dump {
	struct selection selection;
	struct table *table; /* NULL: as JSON */
	struct json json;
	uint64_t limit; /* sessions */
	uint64_t shown;
	uint64_t now; /* seconds since 1970 */
	bool failed;
};

static const struct table_column columns[] = { { "ID", false },
	{ "PROTOCOL", false }, { "CIPHER", false }, { "SERVER-NAME", false },
	{ "AGE", true }, { "EXPIRES-IN", true }, { "BYTES", true },
	{ "QUEUE", false } };

#define N_COLUMNS (sizeof columns / sizeof columns[0])

static uint64_t
age_seconds(const struct dump *dump, const struct sesscache_info *info)
{
	return dump->now > info->created_at ? dump->now - info->created_at : 0;
}

static const char *
queue_name(enum sesscache_queue queue)
{
	const char *name = "-";

	switch (queue) {
	case SESSCACHE_NEWCOMER:
		name = "newcomer";
		break;
	case SESSCACHE_REGULAR:
		name = "regular";
		break;
	}
	return name;
}

static bool
show_row(struct dump *dump, const struct sesscache_info *info)
{
	char id[TEXT_ID_BYTES], protocol[32], cipher[128], server_name[1024];
	char age[TEXT_SPAN_BYTES], left[TEXT_SPAN_BYTES] = "expired";
	char bytes[24];
	const char *const cells[N_COLUMNS] = { id, protocol, cipher,
		server_name, age, left, bytes, queue_name(info->queue) };

	text_id(id, info->id, info->id_len);
	text_escape(protocol, sizeof protocol, info->protocol);
	text_escape(cipher, sizeof cipher, info->cipher);
	text_escape(server_name, sizeof server_name, info->server_name);
	text_span(age, age_seconds(dump, info));
	if (!info->expired)
		text_span(left,
		    info->expires_at > dump->now ?
			info->expires_at - dump->now :
			0);
	(void)snprintf(bytes, sizeof bytes, "%zu", info->record_len);
	return table_row(dump->table, cells);
}

static bool
show_json(struct dump *dump, const struct sesscache_info *info)
{
	struct json *json = &dump->json;
	char id[TEXT_ID_BYTES];

	text_id(id, info->id, info->id_len);
	json_begin(json, NULL, '{');
	json_text(json, "id", id);
	json_text(json, "protocol", info->protocol);
	json_text(json, "cipher", info->cipher);
	json_text(json, "server_name", info->server_name);
	json_number(json, "created_at", info->created_at);
	json_number(json, "expires_at", info->expires_at);
	json_number(json, "age_seconds", age_seconds(dump, info));
	json_signed(json, "expires_in_seconds",
	    (int64_t)(info->expires_at - dump->now));
	json_bool(json, "expired", info->expired);
	json_bool(json, "used", info->used);
	json_number(json, "bytes", info->record_len);
	json_number(json, "data_bytes", info->data_len);
	json_text(json, "queue", queue_name(info->queue));
	json_text(json, "problem", info->problem);
	json_end(json, '}');
	return true;
}

static int
visit(const struct sesscache_info *info, void *arg)
{
	struct dump *dump = arg;
	bool shown;

	if (sesscache_filter_match(&dump->selection.filter, info, dump->now)) {
		shown = dump->table != NULL ? show_row(dump, info) :
					      show_json(dump, info);
		dump->failed = !shown || ferror(stdout);
		dump->shown++;
	}
	return dump->failed || dump->shown >= dump->limit;
}

static enum tool_exit
list(struct tool *tool, struct dump *dump)
{
	enum tool_exit end = TOOL_DONE;
	enum sesscache_status status;

	dump->now = (uint64_t)time(NULL);
	if (dump->table == NULL) {
		json_begin(&dump->json, NULL, '{');
		json_begin(&dump->json, "sessions", '[');
	}
	status = sesscache_each(tool->cache, visit, dump);
	if (dump->table == NULL) {
		json_end(&dump->json, ']');
		json_end(&dump->json, '}');
		putchar('\n');
	} else {
		table_finish(dump->table);
	}
	if (status != SESSCACHE_OK)
		end = complain_status("the listing is not complete", status);
	else if (dump->failed && !ferror(stdout))
		end = complain("the listing is not complete: out of memory");
	return end;
}

static enum tool_exit
take_option(struct dump *dump, int option, bool *as_json)
{
	enum tool_exit end = TOOL_GO_ON;

	switch (option) {
	case OPTION_JSON:
		*as_json = true;
		break;
	case OPTION_LIMIT:
		if (!parse_count(optarg, 1, UINT64_MAX, &dump->limit))
			end = misused(&command_dump,
			    "--limit takes a number from 1 on, not \"%s\"",
			    optarg);
		break;
	case 'h':
		end = help_on(&command_dump);
		break;
	case '?':
		end = misused(&command_dump, NULL);
		break;
	default:
		end = selection_option(&dump->selection, &command_dump, option,
		    optarg);
		break;
	}
	return end;
}

static enum tool_exit
run(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		SELECTION_OPTIONS,
		{ "limit", required_argument, NULL, OPTION_LIMIT },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct dump dump = { .limit = UINT64_MAX };
	enum tool_exit end = TOOL_GO_ON;
	bool as_json = false;
	int option = 0;

	while (end == TOOL_GO_ON && option != -1) {
		option = getopt_long(argc, argv, "h", options, NULL);
		if (option != -1)
			end = take_option(&dump, option, &as_json);
	}
	if (end == TOOL_GO_ON && optind < argc)
		end = misused(&command_dump, "what is \"%s\"?", argv[optind]);
	if (end == TOOL_GO_ON)
		end = tool_open(tool);
	if (end == TOOL_GO_ON && !as_json) {
		dump.table = table_new(columns, N_COLUMNS);
		if (dump.table == NULL)
			end = complain("out of memory");
	}
	if (end == TOOL_GO_ON)
		end = list(tool, &dump);
	table_free(dump.table);
	return end;
}

const struct command command_dump = {
	.name = "dump",
	.arguments = "[filter ...] [--limit N] [--json]",
	.summary = "list the sessions",
	.details = SELECTION_DETAILS
	"  --limit N            no more than N sessions\n"
	"  --json               as JSON\n"
	"Sessions that fit every filter are shown; without one, all are.\n",
	.run = run,
};
