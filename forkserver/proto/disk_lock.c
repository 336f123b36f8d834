/* SPDX-License-Identifier: MIT */
/*
 * Keeping two from spoiling a disk's file: see disk_lock.h.
 */
#include "forkserver/proto/disk_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "vmm/base/call.h"

#define LOCKED_BYTE (INT64_MAX - 1)

int disk_lock(int fd, bool writes, struct error *error)
{
	struct flock lock = {
		.l_type = writes ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = LOCKED_BYTE,
		.l_len = 1,
	};

	if (call_fcntl_lock(fd, &lock) == 0 || (errno != EAGAIN && errno != EACCES))
		return 0;
	return error_set(error, EBUSY,
			 writes ? "is in use by a server or a clone, and can be written to by none "
				  "beside them"
				: "is being written to by a clone");
}
