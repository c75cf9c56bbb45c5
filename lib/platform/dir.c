/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See dir.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "platform/dir.h"

/* The status of a failed call on dir/name; name may be "". */
static enum sesscache_status
call_failed(const struct sc_dir *dir, const char *name, const char *what)
{
	bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;

	return sc_fail(full ? SESSCACHE_ENOSPC : SESSCACHE_ESYS,
	    "cannot %s %s%s%s: %s", what, dir->path, *name ? "/" : "", name,
	    strerror(errno));
}

static enum sesscache_status
check_owner(const struct sc_dir *dir, const char *name, const struct stat *st)
{
	const char *slash = *name ? "/" : "";

	if (st->st_uid != dir->owner.uid)
		return sc_fail(SESSCACHE_EUNSAFE,
		    "%s%s%s belongs to user %lu, not to user %lu (see the "
		    "setting owner)",
		    dir->path, slash, name, (unsigned long)st->st_uid,
		    (unsigned long)dir->owner.uid);
	if ((st->st_mode & 077) != 0)
		return sc_fail(SESSCACHE_EUNSAFE,
		    "%s%s%s has mode %04o: others than its owner may reach it",
		    dir->path, slash, name, (unsigned)st->st_mode & 07777);
	return SESSCACHE_OK;
}

static enum sesscache_status
make_dir(struct sc_dir *dir)
{
	if (mkdir(dir->path, 0700) != 0 && errno != EEXIST)
		return call_failed(dir, "", "make the directory");
	return SESSCACHE_OK;
}

static enum sesscache_status
look_whether_empty(const struct sc_dir *dir, bool *empty)
{
	int fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	int entries = 0;

	if (list == NULL) {
		if (fd >= 0)
			close(fd);
		return call_failed(dir, "", "list");
	}
	for (entry = readdir(list); entry != NULL && entries <= 2;
	     entry = readdir(list))
		entries++; /* "." and ".." are two */
	closedir(list);
	*empty = entries <= 2;
	return SESSCACHE_OK;
}

/*
 * Give the new directory away, of a process that died before it could too: by
 * descriptor, for somebody may put something else under its name.
 */
static enum sesscache_status
hand_over(const struct sc_dir *dir, struct stat *st)
{
	enum sesscache_status status;
	bool empty = false;

	if (!dir->owner.given || st->st_uid == dir->owner.uid ||
	    st->st_uid != geteuid())
		return SESSCACHE_OK;
	status = look_whether_empty(dir, &empty);
	if (status == SESSCACHE_OK && empty &&
	    (fchown(dir->fd, dir->owner.uid, dir->owner.gid) != 0 ||
		fstat(dir->fd, st) != 0))
		status = call_failed(dir, "", "change the owner of");
	return status;
}

static enum sesscache_status
open_dir(struct sc_dir *dir)
{
	struct stat st;

	dir->fd = open(dir->path,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir->fd >= 0)
		return SESSCACHE_OK;
	if (errno == ENOENT)
		return sc_fail(SESSCACHE_MISS, "there is no %s", dir->path);
	if (errno == ENOTDIR || errno == ELOOP) {
		errno = ENOTDIR;
		return sc_fail(SESSCACHE_EUNSAFE, "%s is %s, not a directory",
		    dir->path,
		    lstat(dir->path, &st) == 0 && S_ISLNK(st.st_mode) ?
			"a symbolic link" :
			"a file");
	}
	return call_failed(dir, "", "open");
}

enum sesscache_status
sc_dir_open(struct sc_dir *dir, const char *path, bool create,
    const struct sc_owner *owner)
{
	enum sesscache_status status;
	struct stat st;

	dir->fd = -1;
	dir->owner = *owner;
	if (!owner->given) {
		dir->owner.uid = geteuid();
		dir->owner.gid = getegid();
	}
	if (*path != '/' || strlen(path) >= sizeof(dir->path) - 64)
		return sc_fail(SESSCACHE_EINVAL,
		    "dir \"%.100s\" is not an absolute path", path);
	memcpy(dir->path, path, strlen(path) + 1);
	status = open_dir(dir);
	if (status == SESSCACHE_MISS && create) {
		status = make_dir(dir);
		if (status == SESSCACHE_OK)
			status = open_dir(dir);
	}
	if (status != SESSCACHE_OK)
		return status;
	if (fstat(dir->fd, &st) != 0)
		status = call_failed(dir, "", "inspect");
	else
		status = create ? hand_over(dir, &st) : SESSCACHE_OK;
	if (status == SESSCACHE_OK)
		status = check_owner(dir, "", &st);
	if (status != SESSCACHE_OK)
		sc_dir_close(dir);
	return status;
}

void
sc_dir_close(struct sc_dir *dir)
{
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
}

enum sesscache_status
sc_dir_lock(const struct sc_dir *dir, unsigned wait_ms, int *lock_fd)
{
	const struct timespec millisecond = { 0, 1000000 };
	unsigned waited_ms;
	int rc = -1;

	/* A description of its own: that of dir->fd is shared over fork(). */
	*lock_fd = openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*lock_fd < 0)
		return call_failed(dir, "", "open");
	for (waited_ms = 0;; waited_ms++) {
		rc = flock(*lock_fd, LOCK_EX | LOCK_NB);
		if (rc == 0 || (errno != EWOULDBLOCK && errno != EINTR) ||
		    waited_ms >= wait_ms)
			break;
		nanosleep(&millisecond, NULL);
	}
	if (rc == 0)
		return SESSCACHE_OK;
	rc = errno;
	close(*lock_fd);
	*lock_fd = -1;
	errno = rc;
	if (rc == EWOULDBLOCK || rc == EINTR)
		return sc_fail(SESSCACHE_EBUSY,
		    "another process has been opening %s for %u ms", dir->path,
		    wait_ms);
	return call_failed(dir, "", "lock");
}

void
sc_dir_unlock(int lock_fd)
{
	if (lock_fd < 0)
		return;
	flock(lock_fd, LOCK_UN);
	close(lock_fd);
}

enum sesscache_status
sc_dir_open_file(const struct sc_dir *dir, const char *name, int *fd,
    struct stat *st)
{
	enum sesscache_status status = SESSCACHE_OK;

	*fd = openat(dir->fd, name,
	    O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (*fd < 0 && errno == ENOENT)
		return sc_fail(SESSCACHE_MISS, "there is no %s/%s", dir->path,
		    name);
	if (*fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO))
		return sc_fail(SESSCACHE_EUNSAFE, "%s/%s is not a plain file",
		    dir->path, name);
	if (*fd < 0 || fstat(*fd, st) != 0)
		status = call_failed(dir, name, "open");
	else if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
		status = sc_fail(SESSCACHE_EUNSAFE,
		    "%s/%s is not a plain file, or has another name too",
		    dir->path, name);
	else
		status = check_owner(dir, name, st);
	if (status != SESSCACHE_OK && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	return status;
}

enum sesscache_status
sc_dir_allocate(const struct sc_dir *dir, const char *name, int fd,
    uint64_t bytes)
{
	int rc;

	do
		rc = posix_fallocate(fd, 0, (off_t)bytes);
	while (rc == EINTR);
	if (rc == 0)
		return SESSCACHE_OK;
	errno = rc;
	return call_failed(dir, name, "allocate");
}

enum sesscache_status
sc_dir_make_file(const struct sc_dir *dir, const char *name, uint64_t bytes,
    int *fd)
{
	enum sesscache_status status = SESSCACHE_OK;

	sc_dir_remove_file(dir, name);
	*fd = openat(dir->fd, name,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd < 0)
		return call_failed(dir, name, "make");
	/* The umask may have taken bits away; LMDB opens the file again. */
	if (fchmod(*fd, 0600) != 0)
		status = call_failed(dir, name, "set the mode of");
	if (status == SESSCACHE_OK && dir->owner.given &&
	    fchown(*fd, dir->owner.uid, dir->owner.gid) != 0)
		status = call_failed(dir, name, "change the owner of");
	if (status == SESSCACHE_OK && bytes > 0)
		status = sc_dir_allocate(dir, name, *fd, bytes);
	if (status != SESSCACHE_OK) {
		close(*fd);
		*fd = -1;
		sc_dir_remove_file(dir, name);
	}
	return status;
}

enum sesscache_status
sc_dir_rename(const struct sc_dir *dir, const char *from, const char *to)
{
	if (renameat(dir->fd, from, dir->fd, to) != 0)
		return call_failed(dir, to, "put in place");
	return SESSCACHE_OK;
}

void
sc_dir_remove_file(const struct sc_dir *dir, const char *name)
{
	int saved_errno = errno;

	if (unlinkat(dir->fd, name, 0) != 0 && errno == EISDIR)
		unlinkat(dir->fd, name, AT_REMOVEDIR);
	errno = saved_errno;
}
