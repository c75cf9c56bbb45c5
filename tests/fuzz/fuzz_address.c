/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client may send back: session IDs and key names of tickets.  Those
 * that were made are read as they were made, all others are not ours.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/seal.h"
#include "fuzz.h"
#include "store/shard.h"

const char fuzz_name[] = "address";

enum { NOW = 1000, EXPIRES_AT = 2000, ASKED = 7, LANDED = 8 };

static const struct sc_address_keys fixed = { "place", "alias", "realm",
	"name" };
static const struct sc_address address = { &fixed, 1 };

static void
check_id(struct fuzz_input *in)
{
	struct sc_place place = { 0, 0 }, again;
	uint8_t id[SESSCACHE_ID_LEN];
	enum sesscache_status want = SESSCACHE_OK;

	place.shard = (unsigned)fuzz_number(in, 2);
	place.seq = fuzz_number(in, 8);
	MUST(sc_address_encode(&address, place, id) == SESSCACHE_OK);
	if (fuzz_edit(in, id, sizeof(id)))
		want = SESSCACHE_MISS;
	MUST(sc_address_decode(&address, id, sizeof(id), &again) == want);
	if (want == SESSCACHE_OK)
		MUST(again.shard == place.shard && again.seq == place.seq);
}

/* An ID of any bytes is ours only if it is what its place encodes to. */
static void
check_decoded(const uint8_t *id, size_t len)
{
	uint8_t genuine[SESSCACHE_ID_LEN];
	enum sesscache_status status;
	struct sc_place place;

	status = sc_address_decode(&address, id, len, &place);
	MUST(status == SESSCACHE_OK || status == SESSCACHE_MISS);
	if (status == SESSCACHE_OK) {
		MUST(len == sizeof(genuine));
		MUST(sc_address_encode(&address, place, genuine) ==
		    SESSCACHE_OK);
		MUST(memcmp(genuine, id, len) == 0);
	}
}

/* Any bytes have a hash, the same each time, and another one as no alias. */
static void
check_hash(struct fuzz_input *in)
{
	uint64_t alias = 0, again = 0, number = 0;
	unsigned shard, same;
	const uint8_t *id;
	size_t len;

	id = fuzz_bytes(in, 2 * SESSCACHE_ID_MAX_LEN, &len);
	check_decoded(id, len);
	MUST(sc_address_alias(&address, id, len, &alias, &shard) ==
	    SESSCACHE_OK);
	MUST(
	    sc_address_alias(&address, id, len, &again, &same) == SESSCACHE_OK);
	MUST(alias != 0 && alias == again && shard == same);
	MUST(sc_address_hash(&address, id, len, &number) == SESSCACHE_OK);
	MUST(number != 0 && number != alias);
}

static void
check_name(struct fuzz_input *in)
{
	uint8_t name[SC_ADDRESS_NAME] = "", plain[SC_ADDRESS_NAME],
		again[SC_ADDRESS_NAME];

	(void)fuzz_edit(in, name, sizeof(name));
	MUST(sc_address_read_name(&address, name, plain) == SESSCACHE_OK);
	MUST(sc_address_name(&address, plain, again) == SESSCACHE_OK);
	MUST(memcmp(name, again, sizeof(name)) == 0);
}

/* --- a real cache -------------------------------------------------------- */

static struct sc_cache *cache;
static struct sc_address_keys keys;
static struct sc_address real = { &keys, 0 };

static void
close_cache(void)
{
	sc_cache_close(cache);
}

/* Its keys, so that names are no riddle: from the control file. */
static void
open_cache(void)
{
	struct sc_control control;
	struct sc_keys all;
	char path[512];
	int fd;

	cache = fuzz_cache(fuzz_dir());
	(void)atexit(close_cache);
	fuzz_path(path, sizeof(path), "control");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	MUST(pread(fd, &control, sizeof(control), 0) ==
	    (ssize_t)sizeof(control));
	MUST(pread(fd, &all, sizeof(all), SC_CONTROL_CACHE_AT) ==
	    (ssize_t)sizeof(all));
	(void)close(fd);
	keys = all.address;
	memcpy(&real.owner, control.instance, sizeof(real.owner));
}

/* What a name says, with changes: opens only if that may be. */
static void
check_ticket(struct fuzz_input *in)
{
	struct sc_ticket ticket = { .scope = { ASKED, LANDED },
		.expires_at = EXPIRES_AT };
	uint32_t now = NOW + (uint32_t)fuzz_number(in, 2);
	uint8_t said[SC_ADDRESS_NAME], plain[SC_ADDRESS_NAME];
	uint8_t *iv = said + SC_TICKET_NAME;
	enum sesscache_status status;
	bool changed;

	if (cache == NULL)
		open_cache();
	MUST(sc_cache_ticket_issue(cache, &ticket, said, iv, NOW) ==
	    SESSCACHE_OK);
	MUST(sc_address_read_name(&real, said, plain) == SESSCACHE_OK);
	changed = fuzz_edit(in, plain, sizeof(plain));
	MUST(sc_address_name(&real, plain, said) == SESSCACHE_OK);
	ticket.terms.open = ticket.scope;
	ticket.expires_at = 0;
	ticket.cipher_key = ticket.mac_key = NULL;
	status = sc_cache_ticket_open(cache, &ticket, said, iv, now);
	MUST(status == SESSCACHE_OK || status == SESSCACHE_MISS);
	if (!changed)
		MUST((status == SESSCACHE_OK) == (now < EXPIRES_AT));
	if (status == SESSCACHE_OK)
		MUST(ticket.expires_at > now && ticket.cipher_key != NULL &&
		    ticket.mac_key != NULL &&
		    ticket.terms.said.landed == LANDED &&
		    (ticket.terms.flags & SC_RECORD_AUTH) == 0);
}

/* A name and an IV of any bytes. */
static void
check_forged(struct fuzz_input *in)
{
	struct sc_ticket ticket = { .terms.open.asked = fuzz_number(in, 8) };
	uint8_t said[SC_ADDRESS_NAME] = "";

	if (cache == NULL)
		open_cache();
	(void)fuzz_edit(in, said, sizeof(said));
	MUST(sc_cache_ticket_open(cache, &ticket, said, said + SC_TICKET_NAME,
		 NOW) == SESSCACHE_MISS);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(struct fuzz_input * in) = { check_id,
		check_hash, check_name, check_ticket, check_forged };
	struct fuzz_input in = { data, size };
	size_t which = (size_t)fuzz_number(&in, 1);

	checks[which % (sizeof(checks) / sizeof(checks[0]))](&in);
	return 0;
}
