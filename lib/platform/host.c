/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See host.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "platform/host.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

enum sesscache_status
sc_host_boot_id(char id[SC_BOOT_ID_LEN])
{
	ssize_t n = -1;
	int fd;

	fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, id, SC_BOOT_ID_LEN);
		close(fd);
	}
	if (n != SC_BOOT_ID_LEN)
		return sc_fail(SESSCACHE_ESYS,
		    "cannot read " BOOT_ID " (is /proc mounted?): %s",
		    n < 0 ? strerror(errno) : "it is too short");
	return SESSCACHE_OK;
}

unsigned
sc_host_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (unsigned)n;
}

size_t
sc_host_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

enum sesscache_status
sc_host_random(void *buf, size_t len)
{
	uint8_t *at = buf;
	ssize_t n;

	while (len > 0) {
		n = getrandom(at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sc_fail(SESSCACHE_ESYS, "getrandom: %s",
			    strerror(errno));
		at += n;
		len -= (size_t)n;
	}
	return SESSCACHE_OK;
}

/*
 * Every failure is an error, even EINVAL from a kernel that does not know the
 * advice (before Linux 3.4).  SECURITY.md promises what core dumps do not hold;
 * without an error, nobody would notice that they do.
 */
enum sesscache_status
sc_host_hide(void *at, size_t len)
{
	if (madvise(at, len, MADV_DONTDUMP) == 0)
		return SESSCACHE_OK;
	return sc_fail(errno == ENOMEM ? SESSCACHE_ENOMEM : SESSCACHE_ESYS,
	    "cannot leave memory out of core dumps: %s", strerror(errno));
}
