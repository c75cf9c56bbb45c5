/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sesscache check: open every record, say what is wrong, change nothing.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

struct check {
	struct json json;
	bool as_json;
	uint64_t records;
	uint64_t expired;
	uint64_t problems;
};

static int
visit(const struct sesscache_info *info, void *arg)
{
	struct check *check = arg;
	char id[TEXT_ID_BYTES];

	check->records++;
	if (info->expired)
		check->expired++;
	if (info->problem != NULL) {
		check->problems++;
		text_id(id, info->id, info->id_len);
		if (check->as_json) {
			json_begin(&check->json, NULL, '{');
			json_text(&check->json, "id", id);
			json_text(&check->json, "problem", info->problem);
			json_end(&check->json, '}');
		} else {
			printf("%s  %s\n", id, info->problem);
		}
	}
	return ferror(stdout);
}

static void
summarize(struct check *check, bool complete)
{
	if (check->as_json) {
		json_end(&check->json, ']');
		json_number(&check->json, "records", check->records);
		json_number(&check->json, "expired", check->expired);
		json_number(&check->json, "with_problem", check->problems);
		json_bool(&check->json, "complete", complete);
		json_end(&check->json, '}');
		putchar('\n');
	} else {
		printf("%" PRIu64 " record%s read, %" PRIu64
		       " expired, %" PRIu64 " with a problem\n",
		    check->records, check->records == 1 ? "" : "s",
		    check->expired, check->problems);
	}
}

static enum tool_exit
read_all(struct tool *tool, struct check *check)
{
	enum tool_exit end = TOOL_DONE;
	enum sesscache_status status;

	if (check->as_json) {
		json_begin(&check->json, NULL, '{');
		json_begin(&check->json, "problems", '[');
	}
	status = sesscache_each(tool->cache, visit, check);
	summarize(check, status == SESSCACHE_OK);
	if (status != SESSCACHE_OK)
		end = complain_status("the check is not complete", status);
	else if (check->problems > 0)
		end = TOOL_FAILED;
	return end;
}

static enum tool_exit
run(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct check check = { .as_json = false };
	enum tool_exit end = TOOL_GO_ON;
	int option = 0;

	while (end == TOOL_GO_ON && option != -1) {
		option = getopt_long(argc, argv, "h", options, NULL);
		if (option == 'j')
			check.as_json = true;
		else if (option == 'h')
			end = help_on(&command_check);
		else if (option != -1)
			end = misused(&command_check, NULL);
	}
	if (end == TOOL_GO_ON && optind < argc)
		end = misused(&command_check, "what is \"%s\"?", argv[optind]);
	if (end == TOOL_GO_ON)
		end = tool_open(tool);
	if (end == TOOL_GO_ON)
		end = read_all(tool, &check);
	return end;
}

const struct command command_check = {
	.name = "check",
	.arguments = "[--json]",
	.summary = "read every record and report what is wrong",
	.details = "  --json               as JSON\n"
		   "Changes nothing.  The exit status is 1 if a record has a "
		   "problem.\n",
	.run = run,
};
