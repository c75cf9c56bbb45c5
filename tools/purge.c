/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sesscache purge: remove sessions.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

enum { OPTION_JSON = 1, OPTION_ALL };

struct purge {
	struct selection selection;
	bool all;
	bool as_json;
};

static enum tool_exit
empty(struct tool *tool, const struct purge *purge)
{
	enum tool_exit end = TOOL_DONE;
	enum sesscache_status status;
	struct json json = { .more = false };
	uint64_t removed = 0;

	status = sesscache_purge(tool->cache,
	    purge->all ? NULL : &purge->selection.filter, &removed);
	if (purge->as_json) {
		json_begin(&json, NULL, '{');
		json_number(&json, "removed", removed);
		json_bool(&json, "complete", status == SESSCACHE_OK);
		json_end(&json, '}');
		putchar('\n');
	} else {
		printf("%" PRIu64 " session%s removed\n", removed,
		    removed == 1 ? "" : "s");
	}
	if (status != SESSCACHE_OK)
		end = complain_status("the purge is not complete", status);
	return end;
}

static enum tool_exit
take_option(struct purge *purge, int option)
{
	enum tool_exit end = TOOL_GO_ON;

	switch (option) {
	case OPTION_JSON:
		purge->as_json = true;
		break;
	case OPTION_ALL:
		purge->all = true;
		break;
	case 'h':
		end = help_on(&command_purge);
		break;
	case '?':
		end = misused(&command_purge, NULL);
		break;
	default:
		end = selection_option(&purge->selection, &command_purge,
		    option, optarg);
		break;
	}
	return end;
}

static enum tool_exit
run(struct tool *tool, int argc, char **argv)
{
	static const struct option options[] = {
		SELECTION_OPTIONS,
		{ "all", no_argument, NULL, OPTION_ALL },
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct purge purge = { .all = false };
	enum tool_exit end = TOOL_GO_ON;
	int option = 0;

	while (end == TOOL_GO_ON && option != -1) {
		option = getopt_long(argc, argv, "h", options, NULL);
		if (option != -1)
			end = take_option(&purge, option);
	}
	if (end == TOOL_GO_ON && optind < argc)
		end = misused(&command_purge, "what is \"%s\"?", argv[optind]);
	if (end == TOOL_GO_ON && !purge.all && !purge.selection.given)
		end = misused(&command_purge,
		    "purge takes --all or at least one filter");
	if (end == TOOL_GO_ON && purge.all && purge.selection.given)
		end = misused(&command_purge,
		    "purge takes --all or filters, not both");
	if (end == TOOL_GO_ON)
		end = tool_open(tool);
	if (end == TOOL_GO_ON)
		end = empty(tool, &purge);
	return end;
}

const struct command command_purge = {
	.name = "purge",
	.arguments = "--all | filter ... [--json]",
	.summary = "remove sessions",
	.details = "  --all                all sessions, and the keys that "
		   "sealed them\n"
		   "                       and tickets\n" SELECTION_DETAILS
		   "  --json               as JSON\n"
		   "Sessions that fit every filter are removed.\n",
	.run = run,
};
