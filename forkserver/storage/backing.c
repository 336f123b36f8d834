/* SPDX-License-Identifier: MIT */
/*
 * The image below a disk: see backing.h.
 */
#include "forkserver/storage/backing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/base/sys.h"
#include "forkserver/base/tool.h"
#include "forkserver/proto/disk_lock.h"
#include "forkserver/storage/qcow2.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* What qemu-img check says of an image that is in order, but has clusters that nobody uses. */
#define CHECK_FOUND_LEAKS 3

static int check_kind(mode_t mode, struct error *error)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFBLK:
		return 0;
	case S_IFDIR:
		return error_set(error, EISDIR,
				 "is a directory, where a disk is a file or a block "
				 "device");
	case S_IFCHR:
		return error_set(error, EINVAL,
				 "is a character device, where a disk is a file or "
				 "a block device");
	default:
		return error_set(error, EINVAL,
				 "is a pipe or a socket, where a disk is a file or "
				 "a block device");
	}
}

static int check_size(uint64_t size, struct error *error)
{
	if (!size)
		return error_set(error, EINVAL,
				 "is empty: a disk has at least one sector of %u "
				 "bytes",
				 DISK_SECTOR);
	if (size % DISK_SECTOR)
		return error_set(error, EINVAL,
				 "has %" PRIu64 " bytes, which is no multiple of %u: pad it "
				 "(truncate -s %" PRIu64 ")",
				 size, DISK_SECTOR, (uint64_t)round_up(size, DISK_SECTOR));
	return 0;
}

/* Open it for reading; nothing that could make the caller wait is opened. */
static int open_file(const char *path, struct backing *image, struct error *error)
{
	struct stat stat_buffer;
	off_t size;
	int rc;

	if (stat(path, &stat_buffer) < 0)
		return error_set_errno(error, errno, "cannot be used");
	rc = check_kind(stat_buffer.st_mode, error);
	if (rc < 0)
		return rc;
	image->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (image->fd < 0)
		return error_set_errno(error, errno, "cannot be opened for reading");
	rc = disk_lock(image->fd, false, error);
	if (rc < 0)
		return rc;
	if (!realpath(path, image->path))
		return error_set_errno(error, errno, "its absolute name cannot be found");
	size = lseek(image->fd, 0, SEEK_END);
	if (size < 0)
		return error_set_errno(error, errno, "its size cannot be found");
	image->size = (uint64_t)size;
	return 0;
}

/* Look at the header of what may be qcow2. 1: it is; *ret is filled. */
static int look_at_format(const struct backing *image, enum serve_disk_format format,
			  struct qcow2_header *ret, struct error *error)
{
	uint8_t bytes[QCOW2_HEADER_SIZE];
	ssize_t len = pread(image->fd, bytes, sizeof(bytes), 0);
	int rc;

	if (len < 0)
		return error_set_errno(error, errno, "cannot be read");
	if (format == SERVE_DISK_RAW ||
	    (format == SERVE_DISK_AUTO && !qcow2_is(bytes, (size_t)len)))
		return 0;
	rc = qcow2_parse(bytes, (size_t)len, ret, error);
	if (rc < 0)
		return rc;
	/*
	 * A guest can write such a header to the start of a disk that is raw. Found by chance, it
	 * must not have us read other files for it.
	 */
	if (ret->names_others && format == SERVE_DISK_AUTO)
		return error_set(
			error, EINVAL,
			"looks like a qcow2 image that needs other files (a backing file): "
			"say format=qcow2 if they are to be read, or format=raw");
	if (ret->least_bytes > image->size)
		return error_set(error, EUCLEAN,
				 "is truncated: its tables end at byte %" PRIu64 ", the file at "
				 "%" PRIu64,
				 ret->least_bytes, image->size);
	return 1;
}

/* qemu-img itself reads what lies behind a truncated image's end as zeros, and does not mind. */
static int check_qcow2(const struct backing *image, int stop_fd, struct error *error)
{
	const char *const argv[] = {"qemu-img", "check", "-f", "qcow2", image->path, NULL};
	const struct tool tool = {argv, "qemu-utils", -1, stop_fd};
	char words[TOOL_WORDS_SIZE];
	int rc = tool_run(&tool, words, error);

	if (rc <= 0 || rc == CHECK_FOUND_LEAKS)
		return rc < 0 ? rc : 0;
	return error_set(error, EUCLEAN, "is damaged or truncated (qemu-img check: %s)", words);
}

static int convert_into(const struct backing *image, int fd, int stop_fd, struct error *error)
{
	char target[32];
	const char *const argv[] = {"qemu-img",	 "convert", "-n", "--target-is-zero",
				    "-f",	 "qcow2",   "-O", "raw",
				    image->path, target,    NULL};
	const struct tool tool = {argv, "qemu-utils", fd, stop_fd};
	char words[TOOL_WORDS_SIZE];
	int rc;

	snprintf(target, sizeof(target), "/proc/self/fd/%d", fd);
	rc = tool_run(&tool, words, error);
	if (rc > 0)
		return error_set(error, EIO, "cannot be converted (%s)", words);
	return rc;
}

/* A descriptor of its own for the same file, open for reading only. */
static int reopen(int fd, struct error *error)
{
	char path[32];
	int copy;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, O_RDONLY | O_CLOEXEC);
	return copy < 0 ? error_set_errno(error, errno, "its copy cannot be opened") : copy;
}

static int convert(struct backing *image, uint64_t size, const char *folder, int stop_fd,
		   struct error *error)
{
	_cleanup_close_ int fd = -1;
	struct stat stat_buffer;
	uint64_t from_ns = now_ns();
	int rc = check_qcow2(image, stop_fd, error);

	if (rc < 0)
		return rc;
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(error, errno,
				       "is qcow2 and would be converted into %s, where no file "
				       "can be made",
				       folder);
	if (ftruncate(fd, (off_t)size) < 0)
		return error_set_errno(error, errno, "its copy in %s", folder);
	log_info("disk %s is qcow2: it is converted to raw, into an unlinked file in %s",
		 image->path, folder);
	rc = convert_into(image, fd, stop_fd, error);
	if (rc < 0)
		return rc;
	rc = reopen(fd, error);
	if (rc < 0)
		return rc;
	fd_close(&image->fd);
	image->fd = rc;
	image->size = size;
	image->is_converted = true;
	if (fstat(fd, &stat_buffer) == 0)
		image->converted_bytes = (uint64_t)stat_buffer.st_blocks * 512;
	log_info("disk %s: converted in %" PRIu64 " ms; the copy takes %" PRIu64
		 " MiB of the host's disk for %" PRIu64 " MiB of the guest's",
		 image->path, (now_ns() - from_ns) / 1000000,
		 (uint64_t)(image->converted_bytes / MIB), (uint64_t)(size / MIB));
	return 0;
}

int backing_open(const struct serve_disk *disk, const char *folder, int stop_fd,
		 struct backing *ret, struct error *error)
{
	struct qcow2_header header = {0};
	bool is_qcow2;
	int rc;

	*ret = (struct backing){.fd = -1};
	rc = open_file(disk->path, ret, error);
	if (rc == 0)
		rc = look_at_format(ret, disk->format, &header, error);
	if (rc > 0 && disk->durable)
		rc = error_set(error, EINVAL,
			       "is qcow2, and the raw copy made of it goes with the server, where "
			       "a durable disk needs an image that stays: convert it first "
			       "(qemu-img convert -O raw)");
	is_qcow2 = rc > 0;
	if (rc >= 0)
		rc = check_size(is_qcow2 ? header.size : ret->size, error);
	if (rc == 0 && is_qcow2)
		rc = convert(ret, header.size, folder, stop_fd, error);
	if (rc < 0) {
		fd_close(&ret->fd);
		error_prefix(error, "--disk %.80s", disk->path);
	}
	return rc;
}

int backing_check_given(int fd, bool writable, struct error *error)
{
	struct statx found = {0};
	int flags = fcntl(fd, F_GETFL);
	int rc = flags < 0 ? -errno : sys_statx(fd, &found);

	if (rc < 0)
		return error_set_errno(error, -rc, "cannot be used");
	rc = check_kind(found.stx_mode, error);
	if (rc < 0)
		return rc;
	if (flags & O_PATH || (flags & O_ACCMODE) == O_WRONLY)
		return error_set(error, EACCES, "is not open for reading");
	if (writable && (flags & O_ACCMODE) != O_RDWR)
		return error_set(error, EACCES,
				 "is open for reading only, and was given for "
				 "writing");
	if (flags & (O_APPEND | O_NONBLOCK | O_DIRECT))
		return error_set(error, EINVAL,
				 "is open with O_APPEND, O_NONBLOCK or O_DIRECT: a disk's file has "
				 "none of them");
	return S_ISREG(found.stx_mode) ? check_size(found.stx_size, error) : 0;
}
