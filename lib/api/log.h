/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: one line at a time.  Private to the library.
 */
#ifndef SC_API_LOG_H
#define SC_API_LOG_H

#include "api/options.h"

/*
 * Write one line to where the settings say (standard error, or syslog) if
 * their level includes this one.  errno stays as it is.
 */
void sc_log(const struct sesscache_options *options, enum sc_log level,
    const char *format, ...) __attribute__((__format__(__printf__, 3, 4)));

#endif
