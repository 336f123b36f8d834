/* SPDX-License-Identifier: MIT */
/*
 * Keeping two from spoiling a disk's file: whoever writes to it has it alone, as far as forkvm is
 * concerned. An advisory lock on one byte far behind any file's end, so that QEMU's locks, which
 * are for the same purpose, are not in the way; it belongs to the open file (F_OFD_SETLK), travels
 * with descriptors of it, and goes with the last of them.
 */
#ifndef FORKVM_FORKSERVER_PROTO_DISK_LOCK_H
#define FORKVM_FORKSERVER_PROTO_DISK_LOCK_H

#include <stdbool.h>

#include "vmm/base/error.h"

/*
 * Lock the open file behind fd, without waiting: alone for one who writes, with others else. 0 as
 * well where the file system has no locks. -EBUSY, in words.
 */
int disk_lock(int fd, bool writes, struct error *error);

#endif
