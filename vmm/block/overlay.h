/* SPDX-License-Identifier: MIT */
/*
 * An overlay: some blocks of a disk, in a sparse file at the offsets they have on the disk, and a
 * bitmap that says which.
 *
 * The bitmap, one bit a DISK_BLOCK, least significant first, is a shared mapping of a memfd of its
 * own: pages that were never written cost nothing, and a fork copies none of it. A bit is set when
 * the block's data has been written, not before.
 *
 * A file. Behind the disk's last block (its size rounded up to DISK_BLOCK) there is room for one
 * block of header and for the bitmap. Both are written only by durable overlays: a flush writes the
 * data out, then the bitmap's changed pages as they were before that, then those out. So what the
 * file's bitmap says is there is there, after any crash.
 *
 *	0                      size, rounded up     + 4096
 *	| blocks ..............| header             | bitmap |
 */
#ifndef FORKVM_VMM_BLOCK_OVERLAY_H
#define FORKVM_VMM_BLOCK_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/error.h"

#define OVERLAY_MAGIC	    0x3159414c52564bull /* "KVRLAY1" */
#define OVERLAY_ORIGIN_SIZE 3072u

/* In the file, little-endian. */
struct overlay_header {
	uint64_t magic;
	uint64_t block; /* DISK_BLOCK */
	uint64_t size;	/* of the disk, bytes */
	/* of the file below, when this one was made: a changed one makes nonsense of an overlay */
	uint64_t lower_size, lower_inode, lower_mtime_ns;
	char origin[OVERLAY_ORIGIN_SIZE]; /* what lies below: a path, zero-terminated; may be empty
					   */
};

#endif
