/* SPDX-License-Identifier: MIT */
/*
 * The image below a disk: opened by its name, looked at, and made raw if it is not.
 */
#ifndef FORKVM_FORKSERVER_STORAGE_BACKING_H
#define FORKVM_FORKSERVER_STORAGE_BACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "forkserver/storage/serve_disks.h"
#include "vmm/base/error.h"

struct backing {
	int fd;				 /* owned; open for reading only          */
	uint64_t size;			 /* of the disk, bytes                    */
	char path[SERVE_DISK_PATH_SIZE]; /* absolute                           */
	bool is_converted;		 /* fd is an unlinked raw copy of it      */
	uint64_t converted_bytes;	 /* what that takes on the host           */
};

/*
 * Open the file or block device that the option names. A qcow2 image is converted by qemu-img into
 * an unlinked sparse file in folder, which takes its time; when stop_fd becomes readable that is
 * given up. Errors, in words that name the file and the remedy: -ENOENT, -EISDIR, -EACCES, -EINVAL
 * (no image, or of no possible size), -EUCLEAN (damaged), -ENOSPC, -EINTR, ...
 */
int backing_open(const struct serve_disk *disk, const char *folder, int stop_fd,
		 struct backing *ret, struct error *error);

/*
 * May a descriptor that a client gave be a clone's disk? writable: it is to be written to. By what
 * the kernel knows without waiting for anybody. Errors, in words: -EINVAL, -EISDIR, -EACCES.
 */
int backing_check_given(int fd, bool writable, struct error *error);

#endif
