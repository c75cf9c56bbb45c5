/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The values of one set of options: settings.c has the one table of them, and
 * is the only file that reads the environment.  Knows nothing of what a setting
 * does.
 */
#ifndef SC_API_OPTIONS_H
#define SC_API_OPTIONS_H

#include <sys/types.h>

#include "sesscache.h"

enum sc_tickets {
	SC_TICKETS_AUTO,
	SC_TICKETS_OFF,
	SC_TICKETS_SHARED,
	SC_TICKETS_OWN /* the application's ticket keys stay */
};
enum sc_single_use { SC_SINGLE_USE_AUTO, SC_SINGLE_USE_ON, SC_SINGLE_USE_OFF };
enum sc_log {
	SC_LOG_OFF,
	SC_LOG_ERROR,
	SC_LOG_WARN,
	SC_LOG_INFO,
	SC_LOG_DEBUG
};

struct sesscache_options {
	char dir[4000];
	bool dir_given;
	uint64_t size_bytes;
	bool size_given; /* a cache of another size is resized */
	uint32_t timeout_seconds;
	uint32_t max_session_bytes;
	uint32_t shards; /* 0: by CPUs and size */
	bool owner_given;
	uid_t owner_uid;
	gid_t owner_gid;
	enum sc_tickets tickets;
	uint32_t ticket_key_lifetime_seconds;
	enum sc_single_use single_use;
	enum sc_log log;
	bool log_syslog;
	bool enable;
	bool create;     /* make, resize or repair; else only open */
	char realm[256]; /* of contexts that name none; "": none */
};

#endif
