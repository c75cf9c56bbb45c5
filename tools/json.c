/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A writer of JSON (RFC 8259).  What it writes is ASCII whatever the strings
 * hold: bytes that are no UTF-8 become U+FFFD.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tool.h"

#define REPLACEMENT 0xfffdu

/*
 * The code point at the start of text, of *len bytes; U+FFFD of one byte if
 * that is not the shortest form of one in UTF-8.
 */
static uint32_t
decode_utf8(const unsigned char *text, size_t *len)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t point = text[0];
	size_t want = 1, i;

	if (point >= 0xf0 && point <= 0xf4)
		want = 4;
	else if (point >= 0xe0 && point <= 0xef)
		want = 3;
	else if (point >= 0xc2 && point <= 0xdf)
		want = 2;
	if (want > 1)
		point &= 0xffu >> (want + 1);
	for (i = 1; i < want && (text[i] & 0xc0) == 0x80; i++)
		point = point << 6 | (text[i] & 0x3fu);
	if (i < want || point < smallest[want] || point > 0x10ffff ||
	    (point >= 0xd800 && point <= 0xdfff) || (want == 1 && point > 0x7f))
		want = 0;
	*len = want == 0 ? 1 : want;
	return want == 0 ? REPLACEMENT : point;
}

static void
write_point(uint32_t point)
{
	if (point == '"' || point == '\\') {
		printf("\\%c", (int)point);
	} else if (point >= 0x20 && point < 0x7f) {
		putchar((int)point);
	} else if (point < 0x10000) {
		printf("\\u%04" PRIx32, point);
	} else {
		point -= 0x10000;
		printf("\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + (point >> 10),
		    0xdc00 + (point & 0x3ff));
	}
}

static void
write_string(const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t len;

	putchar('"');
	for (; *p != '\0'; p += len)
		write_point(decode_utf8(p, &len));
	putchar('"');
}

/* What goes before a value. */
static void
write_name(struct json *json, const char *name)
{
	if (json->more)
		putchar(',');
	if (json->in_array)
		putchar('\n');
	else if (json->more)
		putchar(' ');
	if (name != NULL) {
		write_string(name);
		fputs(": ", stdout);
	}
	json->more = true;
}

void
json_begin(struct json *json, const char *name, char bracket)
{
	write_name(json, name);
	putchar(bracket);
	json->more = false;
	json->in_array = bracket == '[';
}

/* Arrays hold objects and objects hold arrays, two deep at most. */
void
json_end(struct json *json, char bracket)
{
	if (bracket == ']' && json->more)
		putchar('\n');
	putchar(bracket);
	json->more = true;
	json->in_array = bracket == '}';
}

void
json_text(struct json *json, const char *name, const char *text)
{
	write_name(json, name);
	if (text != NULL)
		write_string(text);
	else
		fputs("null", stdout);
}

void
json_number(struct json *json, const char *name, uint64_t number)
{
	write_name(json, name);
	printf("%" PRIu64, number);
}

void
json_signed(struct json *json, const char *name, int64_t number)
{
	write_name(json, name);
	printf("%" PRId64, number);
}

void
json_ratio(struct json *json, const char *name, double number)
{
	write_name(json, name);
	printf("%.6f", number);
}

void
json_bool(struct json *json, const char *name, bool value)
{
	write_name(json, name);
	fputs(value ? "true" : "false", stdout);
}
