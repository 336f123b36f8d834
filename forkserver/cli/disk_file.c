/* SPDX-License-Identifier: MIT */
/*
 * Files of disks: see disk_file.h.
 *
 * A new file has no name while it is filled (O_TMPFILE), so that nothing is left of it when that
 * is interrupted. Then it is written out, given a name beside its place, renamed into it, and the
 * folder is written out.
 */
#include "forkserver/cli/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "forkserver/proto/disk_lock.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* How long a file may be in use before that is an error, and how often to look. */
#define LOCK_WAIT_NS (2 * NS_PER_SEC)
#define LOCK_LOOK_MS 5

/* A clone that has just been killed may have transfers under way, which end soon. */
static int lock(int fd, bool writes, struct error *error)
{
	uint64_t until_ns = now_ns() + LOCK_WAIT_NS;
	int rc = disk_lock(fd, writes, error);

	while (rc == -EBUSY && now_ns() < until_ns) {
		(void)poll(NULL, 0, LOCK_LOOK_MS);
		rc = disk_lock(fd, writes, error);
	}
	return rc;
}

int disk_file_open(const char *path, bool writes, struct error *error)
{
	_cleanup_close_ int fd = -1;
	struct stat found;
	int rc = 0;

	if (stat(path, &found) < 0)
		return error_set_errno(error, errno, "cannot open %.120s", path);
	/* Before it is opened, which for a FIFO would wait. */
	if (!S_ISREG(found.st_mode) && !S_ISBLK(found.st_mode))
		return error_set(error, EINVAL, "%.120s is %s: a disk is a file or a block device",
				 path, S_ISDIR(found.st_mode) ? "a directory" : "no regular file");
	fd = open(path, (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot open %.120s%s", path,
				       writes ? " for writing" : "");
	rc = lock(fd, writes, error);
	if (rc < 0) {
		error_prefix(error, "%.120s", path);
		return rc;
	}
	return fd_steal(&fd);
}

/* A place in a folder. */
struct place {
	int folder; /* owned */
	const char *name;
	char temporary[80]; /* a name beside it */
};

static int open_folder(const char *path, struct place *ret, struct error *error)
{
	const char *slash = strrchr(path, '/');
	char folder[4096] = ".";

	*ret = (struct place){.name = slash ? slash + 1 : path, .folder = -1};
	if (slash && (size_t)(slash - path) + 1 >= sizeof(folder))
		return error_set(error, ENAMETOOLONG, "%.80s...: the name is too long", path);
	if (slash)
		snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path),
			 path);
	snprintf(ret->temporary, sizeof(ret->temporary), ".forkvm-%d.part", getpid());
	ret->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ret->folder < 0)
		return error_set_errno(error, errno, "cannot open the folder %.120s", folder);
	return 0;
}

/* Only a regular file may be replaced. */
static int check_place(const struct place *place, const char *path, struct error *error)
{
	struct stat found;

	if (!place->name[0])
		return error_set(error, EISDIR, "%.120s is a directory", path);
	if (fstatat(place->folder, place->name, &found, 0) < 0) {
		if (errno == ENOENT)
			return 0;
		return error_set_errno(error, errno, "%.120s", path);
	}
	if (S_ISREG(found.st_mode))
		return 0;
	return error_set(error, S_ISDIR(found.st_mode) ? EISDIR : EEXIST,
			 "%.120s is %s: it is not replaced", path,
			 S_ISDIR(found.st_mode) ? "a directory" : "no regular file");
}

/* A new file there. *ret_named: with the temporary name, because it cannot be without one. */
static int make(const struct place *place, bool *ret_named, struct error *error)
{
	int fd = openat(place->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);

	*ret_named = false;
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		fd = openat(place->folder, place->temporary, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC,
			    0666);
		*ret_named = fd >= 0;
	}
	return fd < 0 ? error_set_errno(error, errno, "cannot make a file there") : fd;
}

static int put_in_place(const struct place *place, int fd, bool *named, struct error *error)
{
	char link[32];

	if (fsync(fd) < 0)
		return error_set_errno(error, errno, "cannot write it out");
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (!*named && linkat(AT_FDCWD, link, place->folder, place->temporary, AT_SYMLINK_FOLLOW))
		return error_set_errno(error, errno, "cannot give it a name");
	*named = true;
	if (renameat(place->folder, place->temporary, place->folder, place->name) < 0)
		return error_set_errno(error, errno, "cannot put it in place");
	*named = false;
	if (fsync(place->folder) < 0)
		return error_set_errno(error, errno, "cannot write out its folder");
	return 0;
}

int disk_file_replace(const char *path, disk_file_fill *fill, void *ctx, struct error *error)
{
	struct place place = {.folder = -1, .name = ""};
	_cleanup_close_ int fd = -1;
	bool named = false;
	int rc = open_folder(path, &place, error);

	if (rc < 0)
		return rc;
	rc = check_place(&place, path, error);
	if (rc == 0) {
		fd = make(&place, &named, error);
		rc = fd < 0 ? fd : fill(ctx, fd, error);
		if (rc == 0)
			rc = put_in_place(&place, fd, &named, error);
		if (rc < 0)
			error_prefix(error, "%.120s", path);
	}
	if (named)
		unlinkat(place.folder, place.temporary, 0);
	fd_close(&place.folder);
	return rc;
}
