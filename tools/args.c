/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments of the commands: numbers, times, IDs, and the options of a
 * filter.  Nothing is accepted that is not exactly what the manual says.
 */
#include <getopt.h>
#include <string.h>

#include "tool.h"

bool
parse_count(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t number = 0, digit;
	bool ok = *text != '\0';

	for (; ok && *text != '\0'; text++) {
		digit = (uint64_t)(unsigned char)*text - '0';
		ok = digit <= 9 && number <= (UINT64_MAX - digit) / 10;
		if (ok)
			number = number * 10 + digit;
	}
	ok = ok && number >= min && number <= max;
	if (ok)
		*out = number;
	return ok;
}

/* A time of at least a second, as 90, 90s, 15m, 1h or 2d. */
static bool
parse_span(const char *text, uint64_t *seconds)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	size_t len = strspn(text, "0123456789");
	uint64_t factor = text[len] == '\0' ? 1 : 0;
	char digits[21] = "";
	uint64_t number = 0;
	size_t i;
	bool ok;

	for (i = 0; i < sizeof units / sizeof units[0]; i++) {
		if (text[len] == units[i].unit && text[len + 1] == '\0')
			factor = units[i].seconds;
	}
	ok = len < sizeof digits && factor != 0;
	if (ok) {
		memcpy(digits, text, len);
		ok = parse_count(digits, 1, UINT64_MAX / factor, &number);
	}
	if (ok)
		*seconds = number * factor;
	return ok;
}

static int
hex_digit(char c)
{
	int value = -1;

	if (c >= '0' && c <= '9')
		value = c - '0';
	else if (c >= 'a' && c <= 'f')
		value = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		value = c - 'A' + 10;
	return value;
}

static bool
parse_id(const char *text, uint8_t id[SESSCACHE_ID_MAX_LEN], size_t *id_len)
{
	size_t len = strlen(text), i;
	bool ok = len > 0 && len % 2 == 0 && len <= 2 * SESSCACHE_ID_MAX_LEN;
	int high, low;

	for (i = 0; ok && i < len / 2; i++) {
		high = hex_digit(text[2 * i]);
		low = hex_digit(text[2 * i + 1]);
		ok = high >= 0 && low >= 0;
		if (ok)
			id[i] = (uint8_t)(high << 4 | low);
	}
	*id_len = len / 2;
	return ok;
}

static enum tool_exit
take_id(struct selection *selection, const struct command *command,
    const char *value)
{
	struct sesscache_filter *filter = &selection->filter;
	enum tool_exit end = TOOL_GO_ON;

	if (parse_id(value, selection->id, &filter->id_len))
		filter->id = selection->id;
	else
		end = misused(command,
		    "--id takes 1 to 64 bytes in hexadecimal, not \"%s\"",
		    value);
	return end;
}

enum tool_exit
selection_option(struct selection *selection, const struct command *command,
    int option, const char *value)
{
	struct sesscache_filter *filter = &selection->filter;
	enum tool_exit end = TOOL_GO_ON;

	selection->given = true;
	if (option == OPTION_EXPIRED) {
		filter->expired = true;
	} else if (option == OPTION_OLDER_THAN) {
		if (!parse_span(value, &filter->older_than_seconds))
			end = misused(command,
			    "--older-than takes a time as 90, 90s, 15m, 1h or "
			    "2d, not \"%s\"",
			    value);
	} else if (option == OPTION_SERVER_NAME) {
		filter->server_name = value;
		if (*value == '\0')
			end = misused(command, "--server-name is empty");
	} else {
		end = take_id(selection, command, value);
	}
	return end;
}
