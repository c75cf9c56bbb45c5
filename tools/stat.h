/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What "sesscache stat" and its --watch share.
 */
#ifndef TOOL_STAT_H
#define TOOL_STAT_H

#include "tool.h"

enum stat_form { STAT_TEXT, STAT_JSON, STAT_OPENMETRICS };

struct stat_watch {
	enum stat_form form;
	uint64_t interval_seconds; /* 0: show it once */
	uint64_t count;            /* lines; 0: without end */
};

/* One number of struct sesscache_stats. */
struct stat_field {
	const char *name; /* in JSON, and in OpenMetrics after "sesscache_" */
	size_t offset;    /* in struct sesscache_stats */
	bool gauge;       /* else it only ever grows */
	const char *help;
};

/* Ends with a NULL name. */
extern const struct stat_field stat_fields[];

uint64_t stat_value(const struct sesscache_stats *stats,
    const struct stat_field *field);

/* One line. */
void stat_json(const struct sesscache_stats *stats, const char *dir);

enum tool_exit stat_run_watch(struct tool *tool,
    const struct stat_watch *watch);

#endif
