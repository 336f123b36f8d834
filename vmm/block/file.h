/* SPDX-License-Identifier: MIT */
/*
 * A file that disks are made of: an image or an overlay's data, with and without O_DIRECT.
 *
 * O_DIRECT is a property of an open file, which others may share, and asks for aligned memory and
 * offsets, which a guest need not have. So there are two descriptors, and each transfer takes the
 * one that suits it. The kernel keeps both views the same, but for two writes to one page at once.
 */
#ifndef FORKVM_VMM_BLOCK_FILE_H
#define FORKVM_VMM_BLOCK_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/error.h"
#include "vmm/block/disk.h"

struct block_file {
	int fd;	       /* owned; without O_DIRECT; -1: no file */
	int direct_fd; /* owned; the same file with O_DIRECT; -1: it is not wanted, or not to be had
			*/
	uint32_t memory_align, offset_align; /* of direct_fd; powers of two */
	bool in_memory; /* a memfd, or on tmpfs: transfers never wait for a device */
};

#define BLOCK_FILE_NONE ((struct block_file){.fd = -1, .direct_fd = -1})

/*
 * Check that fd (taken, on errors too) is a regular file or, if may_be_device, a block device, open
 * for reading, and for writing if writable; and open it with O_DIRECT if durable (a disk is, or is
 * written through) and direct say so. what is its name in errors. -EISDIR, -EINVAL, -EACCES,
 * -EOPNOTSUPP.
 */
int block_file_open(struct block_file *file, int fd, const char *what, bool may_be_device,
		    bool writable, bool durable, enum disk_direct direct, struct error *error);

/*
 * The same by its name, for reading, without O_DIRECT. What is no such file is not even opened, so
 * that no device notices. -errno of open(2), too.
 */
int block_file_open_path(struct block_file *file, const char *path, const char *what,
			 bool may_be_device, struct error *error);

/* Close both. */
void block_file_close(struct block_file *file);

/* Bytes in it, of a block device too. */
int block_file_size(const struct block_file *file, uint64_t *ret, struct error *error);

/* Open both anew, for reading only, and close the old ones. -errno. */
int block_file_make_read_only(struct block_file *file);

/* The descriptor for a transfer between the file and part of iov, from its byte skip on. */
int block_file_pick(const struct block_file *file, const struct iovec *iov, uint32_t count,
		    uint64_t skip, uint64_t offset, uint64_t length);

/* It is the one with O_DIRECT. */
static inline bool block_file_is_direct(const struct block_file *file, int fd)
{
	return fd >= 0 && fd == file->direct_fd;
}

/*
 * Read or write all of it, waiting. -ENODATA when the file ends before; -errno. What has been
 * transferred then is not known.
 */
int block_file_transfer(const struct block_file *file, bool write, const struct iovec *iov,
			uint32_t count, uint64_t skip, uint64_t offset, uint64_t length);

/* The same for one piece of memory. */
int block_file_read(const struct block_file *file, void *memory, uint64_t offset, uint64_t length);
int block_file_write(const struct block_file *file, const void *memory, uint64_t offset,
		     uint64_t length);

/* Write zeros, not a hole. */
int block_file_write_zeros(const struct block_file *file, uint64_t offset, uint64_t length);

/* Make a hole. -EOPNOTSUPP where the file system has none. */
int block_file_punch(const struct block_file *file, uint64_t offset, uint64_t length);

#endif
