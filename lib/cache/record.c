/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See record.h.
 */
#include <string.h>

#include "cache/bytes.h"
#include "cache/record.h"
#include "store/store.h"

enum {
	FLAG_SCOPE = 0x40,
	FLAGS_KNOWN = SC_RECORD_ALIASED | FLAG_SCOPE | SC_RECORD_FLAGS,
	MAX_GROUPS = 8, /* of a difference */
};

/* What is left to read; len is SIZE_MAX once something was missing. */
struct input {
	const uint8_t *at;
	size_t left;
	bool failed;
};

static uint64_t
read_int(struct input *in, size_t bytes)
{
	uint64_t n;

	if (in->failed || in->left < bytes) {
		in->failed = true;
		return 0;
	}
	n = sc_read_int(in->at, (int)bytes);
	in->at += bytes;
	in->left -= bytes;
	return n;
}

static uint8_t *
write_groups(uint8_t *at, uint64_t n)
{
	while (n > 0x7f) {
		*at++ = (uint8_t)(n | 0x80);
		n >>= 7;
	}
	*at++ = (uint8_t)n;
	return at;
}

static uint64_t
read_groups(struct input *in)
{
	uint64_t n = 0, group;
	int i;

	for (i = 0; i < MAX_GROUPS; i++) {
		group = read_int(in, 1);
		n |= (group & 0x7f) << (7 * i);
		if ((group & 0x80) == 0)
			return n;
	}
	in->failed = true;
	return 0;
}

size_t
sc_record_encode(struct sc_record *record, uint64_t seq,
    uint8_t head[SC_RECORD_HEAD_MAX])
{
	uint8_t *at = head;
	bool scoped = record->scope.asked != 0 || record->scope.landed != 0;
	unsigned flags = record->flags;

	flags |= record->alias != 0 ? (unsigned)SC_RECORD_ALIASED : 0;
	flags |= scoped ? (unsigned)FLAG_SCOPE : 0;
	*at++ = (uint8_t)flags;
	if (record->alias != 0)
		at = sc_write_int(at, record->alias, 8);
	*at++ = record->epoch;
	at = sc_write_int(at, record->expires_at, 4);
	at = sc_write_int(at, record->ttl_seconds, 4);
	at = write_groups(at, record->write_number - seq);
	if (scoped) {
		at = sc_write_int(at, record->scope.asked, 8);
		at = sc_write_int(at, record->scope.landed, 8);
	}
	if (record->alias != 0) {
		*at++ = (uint8_t)record->id_len;
		memcpy(at, record->id, record->id_len);
		at += record->id_len;
	}
	record->head_len = (size_t)(at - head);
	return record->head_len;
}

static void
read_id(struct sc_record *record, struct input *in)
{
	record->id_len = (size_t)read_int(in, 1);
	record->id = in->at;
	if (in->failed || record->id_len == 0 || record->id_len > in->left ||
	    record->id_len > SESSCACHE_ID_MAX_LEN) {
		in->failed = true;
		return;
	}
	in->at += record->id_len;
	in->left -= record->id_len;
}

static void
read_scope(struct sc_record *record, struct input *in)
{
	record->scope.asked = read_int(in, 8);
	record->scope.landed = read_int(in, 8);
	if (record->scope.asked == 0 && record->scope.landed == 0)
		in->failed = true; /* it would not have been written */
}

enum sesscache_status
sc_record_decode(struct sc_record *record, uint64_t seq, const uint8_t *bytes,
    size_t len)
{
	struct input in = { bytes, len, false };
	unsigned flags;

	memset(record, 0, sizeof(*record));
	flags = (unsigned)read_int(&in, 1);
	record->flags = flags & SC_RECORD_FLAGS;
	if ((flags & SC_RECORD_ALIASED) != 0)
		record->alias = read_int(&in, 8);
	record->epoch = (uint8_t)read_int(&in, 1);
	record->expires_at = (uint32_t)read_int(&in, 4);
	record->ttl_seconds = (uint32_t)read_int(&in, 4);
	record->write_number = seq + read_groups(&in);
	if ((flags & FLAG_SCOPE) != 0)
		read_scope(record, &in);
	if ((flags & SC_RECORD_ALIASED) != 0)
		read_id(record, &in);
	record->head_len = len - in.left;
	record->sealed_len = in.left;
	if (in.failed || (flags & ~(unsigned)FLAGS_KNOWN) != 0 ||
	    in.left < SC_RECORD_TAG ||
	    ((flags & SC_RECORD_ALIASED) != 0 && record->alias == 0))
		return sc_fail(SESSCACHE_ECORRUPT, "a record is damaged");
	return SESSCACHE_OK;
}

bool
sc_record_peek(const uint8_t *bytes, size_t len, unsigned *flags,
    uint32_t *expires_at)
{
	struct input in = { bytes, len, false };

	*flags = (unsigned)read_int(&in, 1);
	if ((*flags & SC_RECORD_ALIASED) != 0)
		read_int(&in, 8);
	read_int(&in, 1);
	*expires_at = (uint32_t)read_int(&in, 4);
	return !in.failed;
}
