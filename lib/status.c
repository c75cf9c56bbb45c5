/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sentence of a thread's last failure.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "status.h"

static _Thread_local char detail[512];

enum sesscache_status
sc_fail(enum sesscache_status status, const char *format, ...)
{
	int saved_errno = errno;
	va_list args;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	errno = saved_errno;
	return status;
}

enum sesscache_status
sc_fail_in(enum sesscache_status status, const char *path, const char *name)
{
	char sentence[sizeof(detail)];

	memcpy(sentence, detail, sizeof(sentence));
	return sc_fail(status, "%.200s/%s: %s", path, name, sentence);
}

const char *
sesscache_detail(void)
{
	return detail;
}

const char *
sesscache_strerror(enum sesscache_status status)
{
	switch (status) {
	case SESSCACHE_OK:
		return "done";
	case SESSCACHE_MISS:
		return "no live record under this ID";
	case SESSCACHE_EXISTS:
		return "a record under this ID exists already";
	case SESSCACHE_EINVAL:
		return "a wrong argument or setting";
	case SESSCACHE_ENOMEM:
		return "out of memory";
	case SESSCACHE_ESYS:
		return "a system call failed";
	case SESSCACHE_EUNSAFE:
		return "a file's owner, mode or type is not safe";
	case SESSCACHE_EFORMAT:
		return "a cache of another format";
	case SESSCACHE_ETOOBIG:
		return "too long";
	case SESSCACHE_ECORRUPT:
		return "a file of the cache is damaged";
	case SESSCACHE_ENOSPC:
		return "no room on the file system";
	case SESSCACHE_EBUSY:
		return "a lock was not to be had in time";
	}
	return "an unknown status";
}
