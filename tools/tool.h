/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the tool share.  The tool sees the public header alone:
 * whatever it can show, a program can.
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sesscache.h"

/* How the tool ends; GO_ON is for functions that may end it or not. */
enum tool_exit {
	TOOL_GO_ON = -1,
	TOOL_DONE = 0,
	TOOL_FAILED = 1,
	TOOL_USAGE = 2,
};

struct tool {
	struct sesscache_options *options; /* NULL until they are needed */
	struct sesscache *cache;           /* NULL until tool_open() */
	char dir[4096];                    /* "": not given */
	bool owner_given;
};

struct command {
	const char *name;
	const char *arguments; /* as the synopsis shows them */
	const char *summary;   /* one line */
	const char *details;   /* lines for the help of this command */
	enum tool_exit (*run)(struct tool *tool, int argc, char **argv);
};

extern const struct command command_check;
extern const struct command command_dump;
extern const struct command command_help;
extern const struct command command_keys;
extern const struct command command_purge;
extern const struct command command_stat;

/* Ends with NULL. */
extern const struct command *const commands[];

/*
 * Open the cache that the arguments and the environment name, without ever
 * making, resizing or repairing one.  TOOL_GO_ON, or it said why not.
 */
enum tool_exit tool_open(struct tool *tool);

/* One line on standard error; returns TOOL_FAILED. */
enum tool_exit complain(const char *format, ...)
    __attribute__((__format__(__printf__, 1, 2)));

/* The same for a call of the library that failed to do what the text says. */
enum tool_exit complain_status(const char *what, enum sesscache_status status);

/*
 * Say what is wrong with the arguments (unless format is NULL: it was said)
 * and where help is.  command is NULL for the tool as a whole.
 */
enum tool_exit misused(const struct command *command, const char *format, ...)
    __attribute__((__format__(__printf__, 2, 3)));

enum tool_exit help_on(const struct command *command);

/* ---- arguments ---- */

/* A filter and the bytes that it borrows. */
struct selection {
	struct sesscache_filter filter;
	uint8_t id[SESSCACHE_ID_MAX_LEN];
	bool given; /* at least one condition */
};

/* The options of a filter, for getopt_long(), and their values. */
enum { OPTION_EXPIRED = 256, OPTION_OLDER_THAN, OPTION_SERVER_NAME, OPTION_ID };

/* clang-format off */
#define SELECTION_OPTIONS \
	{ "expired", no_argument, NULL, OPTION_EXPIRED }, \
	{ "older-than", required_argument, NULL, OPTION_OLDER_THAN }, \
	{ "server-name", required_argument, NULL, OPTION_SERVER_NAME }, \
	{ "id", required_argument, NULL, OPTION_ID }
/* clang-format on */

#define SELECTION_DETAILS \
	"  --expired            sessions past their lifetime\n" \
	"  --older-than TIME    stored longer ago than 90, 90s, 15m, 1h, 2d\n" \
	"  --server-name NAME   of this server name; case does not matter\n" \
	"  --id HEX             of this ID: the one session\n"

/* Take one of them.  TOOL_GO_ON, or TOOL_USAGE if it has no such value. */
enum tool_exit selection_option(struct selection *selection,
    const struct command *command, int option, const char *value);

/* A whole number of min to max. */
bool parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* ---- text ---- */

/*
 * Text that may come from a client as it may reach a terminal: everything but
 * visible ASCII is escaped as \xHH, blanks too, so that a line keeps its
 * columns.  NULL and "" are "-".  Cuts what does not fit.
 */
void text_escape(char *out, size_t size, const char *text);

#define TEXT_ID_BYTES (2 * SESSCACHE_ID_MAX_LEN + 1)
void text_id(char out[TEXT_ID_BYTES], const uint8_t *id, size_t id_len);

#define TEXT_SPAN_BYTES 32
/* A time of seconds in its two greatest units, as 1h05m. */
void text_span(char out[TEXT_SPAN_BYTES], uint64_t seconds);

#define TEXT_BYTES_BYTES 32
/* As 12.5 MiB. */
void text_bytes(char out[TEXT_BYTES_BYTES], uint64_t bytes);

double ratio(uint64_t part, uint64_t whole); /* 0 if whole is */

#define TABLE_COLUMNS 8
#define TABLE_ROWS 256

struct table_column {
	const char *title;
	bool right; /* aligned to the right: a number */
};

/*
 * Columns as wide as their first rows need: these are kept until there are
 * enough of them, those that follow are written at once.
 */
struct table {
	const struct table_column *columns;
	size_t n_columns;
	size_t widths[TABLE_COLUMNS];
	char *rows[TABLE_ROWS][TABLE_COLUMNS];
	size_t n_rows;
	bool written; /* the titles, and the rows that were kept */
};

struct table *table_new(const struct table_column *columns, size_t n_columns);
void table_free(struct table *table);
bool table_row(struct table *table, const char *const *cells);
void table_finish(struct table *table);

/* ---- JSON ---- */

/* JSON on standard output, in ASCII.  A name is NULL in an array. */
struct json {
	bool more;     /* a comma goes before what comes next */
	bool in_array; /* innermost; an array's members have a line each */
};

void json_begin(struct json *json, const char *name, char bracket);
void json_end(struct json *json, char bracket);
void json_text(struct json *json, const char *name, const char *text);
void json_number(struct json *json, const char *name, uint64_t number);
void json_signed(struct json *json, const char *name, int64_t number);
void json_ratio(struct json *json, const char *name, double number);
void json_bool(struct json *json, const char *name, bool value);

#endif
