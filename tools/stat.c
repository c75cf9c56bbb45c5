/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sesscache stat: how full the cache is and how well it does.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "stat.h"

enum { OPTION_JSON = 1, OPTION_OPENMETRICS, OPTION_WATCH, OPTION_COUNT };

#define MAX_SECONDS 86400

/* In the order of struct sesscache_stats. */
const struct stat_field stat_fields[] = {
	{ "size_bytes", offsetof(struct sesscache_stats, size_bytes), true,
	    "What all files take on disk" },
	{ "used_bytes", offsetof(struct sesscache_stats, used_bytes), true,
	    "Of that, in use by records and their index" },
	{ "shards", offsetof(struct sesscache_stats, shards), true,
	    "LMDB environments" },
	{ "records", offsetof(struct sesscache_stats, records), true,
	    "Sessions held now, expired ones not yet removed included" },
	{ "newcomers", offsetof(struct sesscache_stats, newcomers), true,
	    "Of these, of clients that did not come back yet" },
	{ "regulars", offsetof(struct sesscache_stats, regulars), true,
	    "Of these, of clients that came back" },
	{ "stored", offsetof(struct sesscache_stats, stored), false,
	    "Sessions stored" },
	{ "hits", offsetof(struct sesscache_stats, hits), false,
	    "Lookups whose session was resumed or copied" },
	{ "misses", offsetof(struct sesscache_stats, misses), false,
	    "Lookups of its own IDs that found none that may resume" },
	{ "foreign", offsetof(struct sesscache_stats, foreign), false,
	    "Lookups of IDs that this cache never made" },
	{ "taken", offsetof(struct sesscache_stats, taken), false,
	    "Sessions for one use, removed by their lookup; no hits" },
	{ "removed", offsetof(struct sesscache_stats, removed), false,
	    "Sessions removed by a call or a failed handshake" },
	{ "expired", offsetof(struct sesscache_stats, expired), false,
	    "Sessions removed past their lifetime" },
	{ "evicted_newcomers",
	    offsetof(struct sesscache_stats, evicted_newcomers), false,
	    "Newcomers removed to make room" },
	{ "evicted_regulars",
	    offsetof(struct sesscache_stats, evicted_regulars), false,
	    "Regulars removed to make room" },
	{ "promoted", offsetof(struct sesscache_stats, promoted), false,
	    "Newcomers that became regulars" },
	{ "too_big", offsetof(struct sesscache_stats, too_big), false,
	    "Sessions not stored because they are too long" },
	{ "busy", offsetof(struct sesscache_stats, busy), false,
	    "Locks that were not to be had in time" },
	{ "stalled", offsetof(struct sesscache_stats, stalled), false,
	    "Of these, because their owner was stopped" },
	{ "repaired", offsetof(struct sesscache_stats, repaired), false,
	    "Locks taken over from processes that died" },
	{ "remade", offsetof(struct sesscache_stats, remade), false,
	    "Damaged data files made anew, empty" },
	{ "unreadable", offsetof(struct sesscache_stats, unreadable), false,
	    "Records and rings of ticket keys that did not open" },
	{ "undecodable", offsetof(struct sesscache_stats, undecodable), false,
	    "Sessions that this OpenSSL cannot decode; no hits" },
	{ "failed", offsetof(struct sesscache_stats, failed), false,
	    "Errors that were hidden from a handshake" },
	{ "tickets_issued", offsetof(struct sesscache_stats, tickets_issued),
	    false, "Tickets sealed under shared keys" },
	{ "tickets_accepted",
	    offsetof(struct sesscache_stats, tickets_accepted), false,
	    "Tickets under shared keys that were resumed" },
	{ "tickets_refused", offsetof(struct sesscache_stats, tickets_refused),
	    false, "Tickets offered that are expired, damaged or unknown" },
	{ "realm_refused", offsetof(struct sesscache_stats, realm_refused),
	    false, "Sessions and tickets that may not resume here" },
	{ "key_rotations", offsetof(struct sesscache_stats, key_rotations),
	    false, "Ticket keys replaced by a newer one" },
	{ NULL, 0, false, NULL },
};

uint64_t
stat_value(const struct sesscache_stats *stats, const struct stat_field *field)
{
	uint64_t value;

	memcpy(&value, (const char *)stats + field->offset, sizeof value);
	return value;
}

void
stat_json(const struct sesscache_stats *stats, const char *dir)
{
	const struct stat_field *field;
	struct json json = { .more = false };

	json_begin(&json, NULL, '{');
	json_text(&json, "dir", dir);
	json_text(&json, "version", sesscache_version());
	json_number(&json, "time", (uint64_t)time(NULL));
	json_number(&json, "created_at", stats->created_at);
	for (field = stat_fields; field->name != NULL; field++)
		json_number(&json, field->name, stat_value(stats, field));
	json_ratio(&json, "fill_ratio",
	    ratio(stats->used_bytes, stats->size_bytes));
	json_ratio(&json, "hit_ratio",
	    ratio(stats->hits, stats->hits + stats->misses));
	json_end(&json, '}');
	putchar('\n');
}

/* One family of OpenMetrics; suffix is what its sample's name ends with. */
static void
show_family(const char *name, const char *type, const char *help,
    const char *suffix, uint64_t value)
{
	size_t len = strlen(name);

	printf("# TYPE sesscache_%s %s\n", name, type);
	if (len > 6 && strcmp(name + len - 6, "_bytes") == 0)
		printf("# UNIT sesscache_%s bytes\n", name);
	else if (len > 8 && strcmp(name + len - 8, "_seconds") == 0)
		printf("# UNIT sesscache_%s seconds\n", name);
	printf("# HELP sesscache_%s %s.\n", name, help);
	printf("sesscache_%s%s %" PRIu64 "\n", name, suffix, value);
}

static void
show_openmetrics(const struct sesscache_stats *stats)
{
	const struct stat_field *field;

	printf("# TYPE sesscache_build info\n"
	       "# HELP sesscache_build The version of the library.\n"
	       "sesscache_build_info{version=\"%s\"} 1\n",
	    sesscache_version());
	show_family("created_timestamp_seconds", "gauge",
	    "When the cache was made", "", stats->created_at);
	for (field = stat_fields; field->name != NULL; field++)
		show_family(field->name, field->gauge ? "gauge" : "counter",
		    field->help, field->gauge ? "" : "_total",
		    stat_value(stats, field));
	puts("# EOF");
}

static void
show_head(const struct sesscache_stats *stats, const char *dir)
{
	char size[TEXT_BYTES_BYTES], used[TEXT_BYTES_BYTES];
	char age[TEXT_SPAN_BYTES], made[32] = "-";
	time_t created_at = (time_t)stats->created_at;
	uint64_t now = (uint64_t)time(NULL);
	struct tm tm;

	if (localtime_r(&created_at, &tm) != NULL)
		(void)strftime(made, sizeof made, "%Y-%m-%d %H:%M:%S", &tm);
	text_span(age, now > stats->created_at ? now - stats->created_at : 0);
	text_bytes(size, stats->size_bytes);
	text_bytes(used, stats->used_bytes);
	printf("cache                 %s\n", dir);
	printf("made                  %s, %s ago\n", made, age);
	printf("size                  %s in %" PRIu64 " shard%s\n", size,
	    stats->shards, stats->shards == 1 ? "" : "s");
	printf("in use                %s, %.1f %%\n", used,
	    100 * ratio(stats->used_bytes, stats->size_bytes));
	printf("hit ratio             %.1f %% of %" PRIu64
	       " lookups of its own IDs\n\n",
	    100 * ratio(stats->hits, stats->hits + stats->misses),
	    stats->hits + stats->misses);
}

static void
show_text(const struct sesscache_stats *stats, const char *dir)
{
	const struct stat_field *field;

	show_head(stats, dir);
	for (field = stat_fields; field->name != NULL; field++) {
		if (strcmp(field->name, "size_bytes") == 0 ||
		    strcmp(field->name, "used_bytes") == 0 ||
		    strcmp(field->name, "shards") == 0)
			continue;
		printf("%-20s %12" PRIu64 "  %s\n", field->name,
		    stat_value(stats, field), field->help);
	}
}

static enum tool_exit
show_once(struct tool *tool, enum stat_form form)
{
	enum tool_exit end = TOOL_DONE;
	enum sesscache_status status;
	struct sesscache_stats stats;

	status = sesscache_stats(tool->cache, &stats);
	if (status != SESSCACHE_OK) {
		end = complain_status("cannot read the counters", status);
		goto out;
	}
	switch (form) {
	case STAT_TEXT:
		show_text(&stats, tool->dir);
		break;
	case STAT_JSON:
		stat_json(&stats, tool->dir);
		break;
	case STAT_OPENMETRICS:
		show_openmetrics(&stats);
		break;
	}
out:
	return end;
}

static enum tool_exit
take_interval(struct stat_watch *watch, const char *text)
{
	enum tool_exit end = TOOL_GO_ON;

	if (!parse_count(text, 1, MAX_SECONDS, &watch->interval_seconds))
		end = misused(&command_stat,
		    "--watch takes seconds, 1 to %d, not \"%s\"", MAX_SECONDS,
		    text);
	return end;
}

static enum tool_exit
take_option(struct stat_watch *watch, int option)
{
	enum tool_exit end = TOOL_GO_ON;

	switch (option) {
	case OPTION_JSON:
		watch->form = STAT_JSON;
		break;
	case OPTION_OPENMETRICS:
		watch->form = STAT_OPENMETRICS;
		break;
	case OPTION_WATCH:
		watch->interval_seconds = 1;
		if (optarg != NULL)
			end = take_interval(watch, optarg);
		break;
	case OPTION_COUNT:
		if (!parse_count(optarg, 1, UINT64_MAX, &watch->count))
			end = misused(&command_stat,
			    "--count takes a number from 1 on, not \"%s\"",
			    optarg);
		break;
	case 'h':
		end = help_on(&command_stat);
		break;
	default:
		end = misused(&command_stat, NULL);
		break;
	}
	return end;
}

/* What may not go together. */
static enum tool_exit
check_options(const struct stat_watch *watch)
{
	enum tool_exit end = TOOL_GO_ON;

	if (watch->interval_seconds > 0 && watch->form == STAT_OPENMETRICS)
		end = misused(&command_stat,
		    "--openmetrics is one answer: it goes without --watch");
	else if (watch->interval_seconds == 0 && watch->count > 0)
		end = misused(&command_stat, "--count goes with --watch");
	return end;
}

static enum tool_exit
parse(struct stat_watch *watch, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, OPTION_JSON },
		{ "openmetrics", no_argument, NULL, OPTION_OPENMETRICS },
		{ "watch", optional_argument, NULL, OPTION_WATCH },
		{ "count", required_argument, NULL, OPTION_COUNT },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	enum tool_exit end = TOOL_GO_ON;
	int option = 0;

	while (end == TOOL_GO_ON && option != -1) {
		option = getopt_long(argc, argv, "h", options, NULL);
		if (option != -1)
			end = take_option(watch, option);
	}
	/* getopt_long() takes --watch=5 alone; "--watch 5" is meant as well */
	if (end == TOOL_GO_ON && watch->interval_seconds > 0 && optind < argc)
		end = take_interval(watch, argv[optind++]);
	if (end == TOOL_GO_ON && optind < argc)
		end = misused(&command_stat, "what is \"%s\"?", argv[optind]);
	if (end == TOOL_GO_ON)
		end = check_options(watch);
	return end;
}

static enum tool_exit
run(struct tool *tool, int argc, char **argv)
{
	struct stat_watch watch = { .form = STAT_TEXT };
	enum tool_exit end;

	end = parse(&watch, argc, argv);
	if (end == TOOL_GO_ON)
		end = tool_open(tool);
	if (end == TOOL_GO_ON && watch.interval_seconds > 0)
		end = stat_run_watch(tool, &watch);
	else if (end == TOOL_GO_ON)
		end = show_once(tool, watch.form);
	return end;
}

const struct command command_stat = {
	.name = "stat",
	.arguments = "[--json | --openmetrics] [--watch [SECONDS] [--count N]]",
	.summary = "show sizes, hit ratio and counters",
	.details = "  --json               as JSON, one line\n"
		   "  --openmetrics        as OpenMetrics, for Prometheus\n"
		   "  --watch [SECONDS]    a line every 1 or so many seconds\n"
		   "  --count N            end after N lines\n",
	.run = run,
};
