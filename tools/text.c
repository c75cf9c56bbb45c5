/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text for people: safe on a terminal, aligned, with units.  The locale is
 * never set, so that numbers look the same everywhere.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

void
text_escape(char *out, size_t size, const char *text)
{
	const unsigned char *p;
	size_t len = 0;

	if (text == NULL || *text == '\0')
		text = "-";
	for (p = (const unsigned char *)text; *p != '\0' && len + 5 <= size;
	     p++) {
		if (*p > ' ' && *p <= '~' && *p != '\\')
			out[len++] = (char)*p;
		else
			len += (size_t)snprintf(out + len, size - len,
			    "\\x%02x", *p);
	}
	out[len] = '\0';
}

void
text_id(char out[TEXT_ID_BYTES], const uint8_t *id, size_t id_len)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < id_len && i < SESSCACHE_ID_MAX_LEN; i++) {
		out[2 * i] = digits[id[i] >> 4];
		out[2 * i + 1] = digits[id[i] & 15];
	}
	out[2 * i] = '\0';
}

void
text_span(char out[TEXT_SPAN_BYTES], uint64_t seconds)
{
	uint64_t minutes = seconds / 60, hours = minutes / 60;

	if (seconds < 60)
		(void)snprintf(out, TEXT_SPAN_BYTES, "%" PRIu64 "s", seconds);
	else if (minutes < 60)
		(void)snprintf(out, TEXT_SPAN_BYTES,
		    "%" PRIu64 "m%02" PRIu64 "s", minutes, seconds % 60);
	else if (hours < 24)
		(void)snprintf(out, TEXT_SPAN_BYTES,
		    "%" PRIu64 "h%02" PRIu64 "m", hours, minutes % 60);
	else
		(void)snprintf(out, TEXT_SPAN_BYTES,
		    "%" PRIu64 "d%02" PRIu64 "h", hours / 24, hours % 24);
}

void
text_bytes(char out[TEXT_BYTES_BYTES], uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB",
		"TiB" };
	double scaled = (double)bytes;
	size_t unit = 0;

	while (scaled >= 1024 && unit < sizeof units / sizeof units[0] - 1) {
		scaled /= 1024;
		unit++;
	}
	(void)snprintf(out, TEXT_BYTES_BYTES, "%.*f %s", unit == 0 ? 0 : 1,
	    scaled, units[unit]);
}

double
ratio(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : (double)part / (double)whole;
}

struct table *
table_new(const struct table_column *columns, size_t n_columns)
{
	struct table *table = calloc(1, sizeof *table);
	size_t i;

	if (table != NULL) {
		table->columns = columns;
		table->n_columns = n_columns;
		for (i = 0; i < n_columns; i++)
			table->widths[i] = strlen(columns[i].title);
	}
	return table;
}

static void
forget_rows(struct table *table)
{
	size_t row, i;

	for (row = 0; row < table->n_rows; row++) {
		for (i = 0; i < table->n_columns; i++)
			free(table->rows[row][i]);
	}
	table->n_rows = 0;
}

void
table_free(struct table *table)
{
	if (table != NULL)
		forget_rows(table);
	free(table);
}

static void
write_cell(const struct table *table, size_t i, const char *cell)
{
	size_t len = strlen(cell);
	int blanks = 0;

	if (len < table->widths[i])
		blanks = (int)(table->widths[i] - len);
	if (i > 0)
		fputs("  ", stdout);
	if (table->columns[i].right)
		printf("%*s%s", blanks, "", cell);
	else if (i + 1 < table->n_columns)
		printf("%s%*s", cell, blanks, "");
	else
		fputs(cell, stdout);
}

static void
write_row(const struct table *table, const char *const *cells)
{
	size_t i;

	for (i = 0; i < table->n_columns; i++)
		write_cell(table, i, cells[i]);
	putchar('\n');
}

/* The titles and the rows kept so far: from here on the widths are known. */
static void
write_kept(struct table *table)
{
	size_t row, i;

	for (i = 0; i < table->n_columns; i++)
		write_cell(table, i, table->columns[i].title);
	putchar('\n');
	for (row = 0; row < table->n_rows; row++)
		write_row(table, (const char *const *)table->rows[row]);
	forget_rows(table);
	table->written = true;
}

static bool
keep_row(struct table *table, const char *const *cells)
{
	char **row = table->rows[table->n_rows];
	bool kept = true;
	size_t i, len;

	table->n_rows++;
	for (i = 0; i < table->n_columns; i++) {
		row[i] = strdup(cells[i]);
		kept = kept && row[i] != NULL;
		len = strlen(cells[i]);
		if (len > table->widths[i])
			table->widths[i] = len;
	}
	return kept;
}

bool
table_row(struct table *table, const char *const *cells)
{
	bool done = true;

	if (!table->written && table->n_rows == TABLE_ROWS)
		write_kept(table);
	if (table->written)
		write_row(table, cells);
	else
		done = keep_row(table, cells);
	return done;
}

void
table_finish(struct table *table)
{
	if (!table->written)
		write_kept(table);
}
