/* SPDX-License-Identifier: MIT */
/*
 * A file that disks are made of: see file.h.
 */
#include "vmm/block/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/call.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/block/iov.h"

#define BATCH	   64u	/* iovecs a system call */
#define DIRECT_MIN 512u /* alignment where the kernel does not tell */

/* The same file, opened anew: its flags are not shared with whoever gave us the first one. */
static int reopen(int fd, int flags)
{
	char name[48];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	fd = call_open(name, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int check_type(mode_t mode, const char *what, bool may_be_device, struct error *error)
{
	if (S_ISREG(mode) || (may_be_device && S_ISBLK(mode)))
		return 0;
	if (S_ISDIR(mode))
		return error_set(error, EISDIR, "disk: the %s is a directory", what);
	return error_set(error, EINVAL, "disk: the %s is a %s: give a regular file%s", what,
			 S_ISBLK(mode)	  ? "block device"
			 : S_ISCHR(mode)  ? "character device"
			 : S_ISFIFO(mode) ? "pipe"
			 : S_ISSOCK(mode) ? "socket"
					  : "file without content",
			 may_be_device ? " or a block device" : "");
}

static int check_flags(int flags, const char *what, bool writable, struct error *error)
{
	int access = flags & O_ACCMODE;

	if (flags & O_PATH || access == O_WRONLY)
		return error_set(error, EACCES, "disk: the %s is not open for reading", what);
	if (writable && access != O_RDWR)
		return error_set(error, EACCES,
				 "disk: the %s is open for reading only, and is to be written",
				 what);
	if (writable && flags & O_APPEND)
		return error_set(error, EINVAL,
				 "disk: the %s is open for appending: open it without O_APPEND",
				 what);
	return 0;
}

static bool is_in_memory(int fd)
{
	struct statfs fs;

	return call_fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* What O_DIRECT asks for. False: the kernel says that it does not go at all. */
static bool find_alignment(struct block_file *file)
{
	file->memory_align = file->offset_align = DIRECT_MIN;
#ifdef STATX_DIOALIGN
	struct statx stx;

	if (call_statx(file->direct_fd, STATX_DIOALIGN, &stx) == 0 &&
	    stx.stx_mask & STATX_DIOALIGN) {
		file->memory_align = stx.stx_dio_mem_align;
		file->offset_align = stx.stx_dio_offset_align;
	}
#endif
	return file->memory_align > 0 && file->offset_align > 0;
}

/* flags are those of file->fd as it was given. */
static int open_direct(struct block_file *file, int flags, const char *what, bool must,
		       struct error *error)
{
	int rc = reopen(file->fd, (flags & O_ACCMODE) | O_DIRECT);

	if (rc >= 0) {
		file->direct_fd = rc;
		if (find_alignment(file))
			return 0;
		fd_close(&file->direct_fd);
		rc = -EINVAL;
	}
	if (must)
		return error_set(error, EOPNOTSUPP,
				 "disk: the %s cannot be opened with O_DIRECT (%s): leave direct "
				 "I/O off",
				 what, rc == -EINVAL ? "its file system has none" : "no access");
	return 0;
}

int block_file_open(struct block_file *file, int fd, const char *what, bool may_be_device,
		    bool writable, bool durable, enum disk_direct direct, struct error *error)
{
	int flags = fcntl(fd, F_GETFL), rc;
	struct stat st;

	*file = BLOCK_FILE_NONE;
	file->fd = fd;
	if (flags < 0 || call_fstat(fd, &st) < 0)
		rc = error_set_errno(error, errno, "disk: look at the %s", what);
	else
		rc = check_type(st.st_mode, what, may_be_device, error);
	if (rc == 0)
		rc = check_flags(flags, what, writable, error);
	if (rc == 0 && flags & O_DIRECT) {
		rc = reopen(fd, flags & O_ACCMODE);
		if (rc < 0) {
			rc = error_set_errno(error, -rc, "disk: open the %s without O_DIRECT",
					     what);
		} else {
			close(fd);
			file->fd = rc;
			rc = 0;
		}
	}
	if (rc == 0)
		file->in_memory = is_in_memory(file->fd);
	if (rc == 0 && !file->in_memory &&
	    (direct == DISK_DIRECT_ON || (direct == DISK_DIRECT_AUTO && durable)))
		rc = open_direct(file, flags, what, direct == DISK_DIRECT_ON, error);
	if (rc < 0)
		block_file_close(file);
	return rc;
}

int block_file_open_path(struct block_file *file, const char *path, const char *what,
			 bool may_be_device, struct error *error)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	int rc;

	*file = BLOCK_FILE_NONE;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(error, errno, "disk: open the %s", what);
	rc = check_type(st.st_mode, what, may_be_device, error);
	if (rc < 0)
		return rc;
	rc = reopen(fd, O_RDONLY);
	if (rc < 0)
		return error_set_errno(error, -rc, "disk: open the %s", what);
	return block_file_open(file, rc, what, may_be_device, false, false, DISK_DIRECT_OFF, error);
}

void block_file_close(struct block_file *file)
{
	fd_close(&file->fd);
	fd_close(&file->direct_fd);
	*file = BLOCK_FILE_NONE;
}

int block_file_size(const struct block_file *file, uint64_t *ret, struct error *error)
{
	uint64_t bytes = 0;
	struct stat st;

	if (call_fstat(file->fd, &st) < 0)
		return error_set_errno(error, errno, "disk: size of the image");
	if (!S_ISBLK(st.st_mode))
		bytes = (uint64_t)st.st_size;
	else if (call_ioctl(file->fd, BLKGETSIZE64, &bytes) < 0)
		return error_set_errno(error, errno, "disk: size of the block device");
	*ret = bytes;
	return 0;
}

int block_file_make_read_only(struct block_file *file)
{
	_cleanup_close_ int fd = reopen(file->fd, O_RDONLY);
	_cleanup_close_ int direct_fd = -1;

	if (fd < 0)
		return fd;
	if (file->direct_fd >= 0) {
		direct_fd = reopen(file->direct_fd, O_RDONLY | O_DIRECT);
		if (direct_fd < 0)
			return direct_fd;
	}
	fd_close(&file->fd);
	fd_close(&file->direct_fd);
	file->fd = fd_steal(&fd);
	file->direct_fd = fd_steal(&direct_fd);
	return 0;
}

int block_file_pick(const struct block_file *file, const struct iovec *iov, uint32_t count,
		    uint64_t skip, uint64_t offset, uint64_t length)
{
	uint64_t last = (file->offset_align ? file->offset_align : 1) - 1;
	uint64_t wrong = (offset | length) & last;

	if (file->direct_fd < 0)
		return file->fd;
	for (uint32_t i = 0; i < count && length > 0; i++) {
		uint64_t part;

		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		part = min_u64(iov[i].iov_len - skip, length);
		wrong |= ((uintptr_t)iov[i].iov_base + skip) & (file->memory_align - 1);
		wrong |= part & last;
		length -= part;
		skip = 0;
	}
	return wrong ? file->fd : file->direct_fd;
}

/* One system call's worth; how many bytes, or -errno. */
static ssize_t transfer_some(const struct block_file *file, bool write, const struct iovec *iov,
			     uint32_t count, uint64_t offset, uint64_t length)
{
	int fd = block_file_pick(file, iov, count, 0, offset, length);

	for (;;) {
		ssize_t done = write ? pwritev(fd, iov, (int)count, (off_t)offset)
				     : preadv(fd, iov, (int)count, (off_t)offset);

		if (done >= 0)
			return done;
		if (errno == EINVAL && block_file_is_direct(file, fd))
			fd = file->fd; /* more is asked for than we were told */
		else if (errno != EINTR)
			return -errno;
	}
}

int block_file_transfer(const struct block_file *file, bool write, const struct iovec *iov,
			uint32_t count, uint64_t skip, uint64_t offset, uint64_t length)
{
	struct iovec slice[BATCH];
	uint64_t part;

	while (length > 0) {
		uint32_t used = iov_slice(iov, count, skip, length, slice, BATCH, &part);
		ssize_t done;

		if (used == 0)
			return -EINVAL;
		done = transfer_some(file, write, slice, used, offset, part);
		if (done <= 0)
			return done < 0 ? (int)done : write ? -EIO : -ENODATA;
		skip += (uint64_t)done;
		offset += (uint64_t)done;
		length -= (uint64_t)done;
	}
	return 0;
}

int block_file_read(const struct block_file *file, void *memory, uint64_t offset, uint64_t length)
{
	struct iovec iov = {memory, length};

	return block_file_transfer(file, false, &iov, 1, 0, offset, length);
}

int block_file_write(const struct block_file *file, const void *memory, uint64_t offset,
		     uint64_t length)
{
	struct iovec iov = {.iov_len = length};

	memcpy(&iov.iov_base, &memory, sizeof(memory)); /* it is only read */
	return block_file_transfer(file, true, &iov, 1, 0, offset, length);
}

int block_file_write_zeros(const struct block_file *file, uint64_t offset, uint64_t length)
{
	static const uint8_t zeros[DISK_BLOCK] __attribute__((aligned(DISK_BLOCK)));
	const uint8_t *zero = zeros;
	struct iovec iov[BATCH];
	int rc = 0;

	for (uint32_t i = 0; i < BATCH; i++) {
		iov[i].iov_len = sizeof(zeros);
		memcpy(&iov[i].iov_base, &zero, sizeof(zero)); /* it is only read */
	}
	while (rc == 0 && length > 0) {
		uint64_t part = min_u64(length, sizeof(zeros) * BATCH);

		rc = block_file_transfer(file, true, iov, BATCH, 0, offset, part);
		offset += part;
		length -= part;
	}
	return rc;
}

int block_file_punch(const struct block_file *file, uint64_t offset, uint64_t length)
{
	int rc;

	do
		rc = fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			       (off_t)length);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}
