/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See ticket.h.
 */
#include "cache/ticket.h"

#include <string.h>

#include "cache/bytes.h"
#include "cache/seal.h"

enum {
	HOST = 0,
	ASKED_BYTES = 3,
	RANDOM = 8, /* bytes */
	FLAGS = SC_RECORD_AUTH | SC_RECORD_EMS | SC_TICKET_CONTEXT,
};

_Static_assert((int)SC_ADDRESS_NAME == (int)SC_TICKET_NAME + (int)SC_TICKET_IV,
    "name and IV are encrypted in one call");

enum sesscache_status
sc_ticket_write(const struct sc_address *address,
    const struct sc_ticket *ticket, uint32_t key, uint8_t name[SC_TICKET_NAME],
    uint8_t iv[SC_TICKET_IV])
{
	uint8_t plain[SC_ADDRESS_NAME], out[SC_ADDRESS_NAME], *at = plain;
	enum sesscache_status status;

	at = sc_write_int(at, key, 4);
	at = sc_write_int(at, ticket->expires_at, 4);
	at = sc_write_int(at, HOST, 2);
	at = sc_write_int(at, ticket->cipher, 2);
	at = sc_write_int(at, ticket->scope.asked, ASKED_BYTES);
	at = sc_write_int(at, ticket->flags & FLAGS, 1);
	at = sc_write_int(at, ticket->scope.landed, 8);
	status = sc_seal_random(at, RANDOM);
	if (status == SESSCACHE_OK)
		status = sc_address_name(address, plain, out);
	if (status != SESSCACHE_OK)
		return status;
	memcpy(name, out, SC_TICKET_NAME);
	memcpy(iv, out + SC_TICKET_NAME, SC_TICKET_IV);
	return SESSCACHE_OK;
}

enum sesscache_status
sc_ticket_read(const struct sc_address *address,
    const uint8_t name[SC_TICKET_NAME], const uint8_t iv[SC_TICKET_IV],
    struct sc_ticket_words *words)
{
	uint8_t in[SC_ADDRESS_NAME], plain[SC_ADDRESS_NAME];
	enum sesscache_status status;

	memcpy(in, name, SC_TICKET_NAME);
	memcpy(in + SC_TICKET_NAME, iv, SC_TICKET_IV);
	status = sc_address_read_name(address, in, plain);
	if (status != SESSCACHE_OK)
		return status;
	words->key = (uint32_t)sc_read_int(plain, 4);
	words->expires_at = (uint32_t)sc_read_int(plain + 4, 4);
	words->cipher = (uint16_t)sc_read_int(plain + 10, 2);
	words->said.scope.asked = sc_read_int(plain + 12, ASKED_BYTES);
	words->said.asked_bits = 8 * ASKED_BYTES;
	words->said.flags = (unsigned)sc_read_int(plain + 15, 1);
	words->said.scope.landed = sc_read_int(plain + 16, 8);
	if (sc_read_int(plain + 8, 2) != HOST ||
	    (words->said.flags & ~(unsigned)FLAGS) != 0)
		return SESSCACHE_MISS;
	return SESSCACHE_OK;
}
