/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See log.h.
 */
#include "api/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

static int
priority(enum sc_log level)
{
	switch (level) {
	case SC_LOG_OFF:
	case SC_LOG_ERROR:
		return LOG_ERR;
	case SC_LOG_WARN:
		return LOG_WARNING;
	case SC_LOG_INFO:
		return LOG_INFO;
	case SC_LOG_DEBUG:
		return LOG_DEBUG;
	}
	return LOG_ERR;
}

void
sc_log(const struct sesscache_options *options, enum sc_log level,
    const char *format, ...)
{
	int saved_errno = errno;
	char line[600];
	va_list args;
	int n;

	if (level > options->log || level == SC_LOG_OFF)
		return;
	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n > 0 && options->log_syslog)
		syslog(LOG_DAEMON | priority(level), "sesscache: %s", line);
	else if (n > 0) /* one write, so that workers' lines do not mix */
		dprintf(STDERR_FILENO, "sesscache: %s\n", line);
	errno = saved_errno;
}
