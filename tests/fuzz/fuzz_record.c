/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bytes of a record: what decodes is within the bytes, is what peeking
 * says, and encodes to what decodes to the same.
 */
#include <stdlib.h>
#include <string.h>

#include "cache/record.h"
#include "fuzz.h"
#include "store/store.h"

const char fuzz_name[] = "record";

static void
check_bounds(const struct sc_record *record, const uint8_t *bytes, size_t len)
{
	MUST(record->head_len <= SC_RECORD_HEAD_MAX);
	MUST(record->sealed_len >= SC_RECORD_TAG);
	MUST(record->head_len + record->sealed_len == len);
	MUST((record->alias != 0) == (record->id != NULL));
	if (record->id != NULL)
		MUST(record->id_len > 0 &&
		    record->id_len <= SESSCACHE_ID_MAX_LEN &&
		    record->id > bytes &&
		    record->id + record->id_len == bytes + record->head_len);
}

static bool
is_same_id(const struct sc_record *a, const struct sc_record *b)
{
	return a->id_len == b->id_len &&
	    (a->id_len == 0 || memcmp(a->id, b->id, a->id_len) == 0);
}

static bool
is_same(const struct sc_record *a, const struct sc_record *b)
{
	return a->flags == b->flags && a->alias == b->alias &&
	    a->epoch == b->epoch && a->expires_at == b->expires_at &&
	    a->ttl_seconds == b->ttl_seconds &&
	    a->write_number == b->write_number &&
	    a->scope.asked == b->scope.asked &&
	    a->scope.landed == b->scope.landed &&
	    a->sealed_len == b->sealed_len && is_same_id(a, b);
}

/* An encoded head is never longer than one that decodes to the same. */
static void
check_round_trip(const struct sc_record *record, uint64_t seq,
    const uint8_t *bytes)
{
	struct sc_record copy = *record, again;
	uint8_t *written = malloc(SC_RECORD_HEAD_MAX + record->sealed_len);
	size_t head_len;

	MUST(written != NULL);
	head_len = sc_record_encode(&copy, seq, written);
	MUST(head_len <= record->head_len);
	memcpy(written + head_len, bytes + record->head_len,
	    record->sealed_len);
	MUST(sc_record_decode(&again, seq, written,
		 head_len + record->sealed_len) == SESSCACHE_OK);
	MUST(again.head_len == head_len && is_same(&again, record));
	free(written);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint64_t seq = fuzz_number(&in, 8);
	struct sc_record record;
	enum sesscache_status status;
	uint32_t expires_at = 0;
	unsigned flags = 0;
	bool peeked;

	status = sc_record_decode(&record, seq, in.at, in.left);
	peeked = sc_record_peek(in.at, in.left, &flags, &expires_at);
	MUST(status == SESSCACHE_OK || status == SESSCACHE_ECORRUPT);
	if (status == SESSCACHE_OK) {
		check_bounds(&record, in.at, in.left);
		MUST(peeked && expires_at == record.expires_at);
		MUST((flags & SC_RECORD_FLAGS) == record.flags);
		check_round_trip(&record, seq, in.at);
	}
	return 0;
}
