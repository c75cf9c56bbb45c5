/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The directory of a cache and its files: opened without following links,
 * refused if anybody but the owner could have touched them, everything
 * relative to one descriptor.  Knows nothing of what the files hold.
 */
#ifndef SC_PLATFORM_DIR_H
#define SC_PLATFORM_DIR_H

#include <limits.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "status.h"

struct sc_owner {
	bool given; /* else the user of the process, and nothing is changed */
	uid_t uid;
	gid_t gid;
};

struct sc_dir {
	int fd;
	struct sc_owner owner; /* whose everything in it must be */
	char path[PATH_MAX];   /* for messages */
};

/*
 * Open the directory, making it (mode 0700) if create is set and it is not
 * there.  Returns SESSCACHE_OK, SESSCACHE_MISS (not there), SESSCACHE_EINVAL,
 * SESSCACHE_ESYS, SESSCACHE_ENOSPC or SESSCACHE_EUNSAFE.  After SESSCACHE_OK
 * sc_dir_close() releases it.
 */
enum sesscache_status sc_dir_open(struct sc_dir *dir, const char *path,
    bool create, const struct sc_owner *owner) SESSCACHE_MUST_CHECK;
void sc_dir_close(struct sc_dir *dir);

/*
 * Keep other openers out of the directory; *lock_fd goes to sc_dir_unlock().
 * Returns SESSCACHE_OK, SESSCACHE_ESYS, or SESSCACHE_EBUSY after wait_ms, about.
 */
enum sesscache_status sc_dir_lock(const struct sc_dir *dir, unsigned wait_ms,
    int *lock_fd) SESSCACHE_MUST_CHECK;
void sc_dir_unlock(int lock_fd);

/*
 * Open a file for reading and writing, close-on-exec; *st is its fstat().
 * Returns SESSCACHE_OK, SESSCACHE_MISS, SESSCACHE_ESYS or SESSCACHE_EUNSAFE.
 */
enum sesscache_status sc_dir_open_file(const struct sc_dir *dir,
    const char *name, int *fd, struct stat *st) SESSCACHE_MUST_CHECK;

/*
 * Make a file of this many allocated, zeroed bytes, in the place of what had
 * the name.  Returns SESSCACHE_OK, SESSCACHE_ESYS or SESSCACHE_ENOSPC.
 */
enum sesscache_status sc_dir_make_file(const struct sc_dir *dir,
    const char *name, uint64_t bytes, int *fd) SESSCACHE_MUST_CHECK;

/* Allocate bytes of an open file: later writes to a map cannot fail. */
enum sesscache_status sc_dir_allocate(const struct sc_dir *dir,
    const char *name, int fd, uint64_t bytes) SESSCACHE_MUST_CHECK;

enum sesscache_status sc_dir_rename(const struct sc_dir *dir, const char *from,
    const char *to) SESSCACHE_MUST_CHECK;

/* A file that is not there is none. */
void sc_dir_remove_file(const struct sc_dir *dir, const char *name);

#endif
