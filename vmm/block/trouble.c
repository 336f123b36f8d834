/* SPDX-License-Identifier: MIT */
/*
 * What people get to know of a disk's errors: each kind once.
 */
#include <errno.h>

#include "vmm/block/internal.h"

void disk_note_trouble(struct disk *disk, enum trouble trouble, int code)
{
	if (!disk->trouble[trouble])
		disk->trouble[trouble] = code;
}

int disk_note_error(struct disk *disk, const struct block_file *file, bool write, int rc)
{
	bool ended = rc == -ENODATA;

	if (ended)
		rc = -EIO;
	if (rc == -EDQUOT)
		rc = -ENOSPC;
	if (ended && file == &disk->image)
		disk_note_trouble(disk, TROUBLE_SHRUNK, EIO);
	else if (rc == -ENOSPC)
		disk_note_trouble(disk, TROUBLE_SPACE, ENOSPC);
	else if (rc != -EFAULT) /* that is the guest's memory */
		disk_note_trouble(disk, write ? TROUBLE_WRITE : TROUBLE_READ, -rc);
	return rc;
}

static void describe(const struct disk *disk, enum trouble trouble, struct error *ret)
{
	int code = disk->trouble[trouble];

	switch (trouble) {
	case TROUBLE_LIMIT:
		error_set(ret, code,
			  "the overlay's limit of %llu KiB is reached: the guest's writes to new "
			  "blocks fail; give it a higher limit",
			  (unsigned long long)(disk->top->limit * DISK_BLOCK / KIB));
		break;
	case TROUBLE_SPACE:
		error_set(ret, code,
			  "the host has no space left for the guest's writes, and they fail: make "
			  "room, or set a limit");
		break;
	case TROUBLE_SHRUNK:
		error_set(ret, code,
			  "the image has become smaller than the %llu bytes it had, and reads "
			  "behind its end fail: leave images alone while they are in use",
			  (unsigned long long)disk->image_size);
		break;
	case TROUBLE_READ:
		error_set_errno(ret, code, "reads fail");
		break;
	case TROUBLE_WRITE:
		error_set_errno(ret, code, "writes fail");
		break;
	default:
		error_set_errno(ret, code,
				"a flush has failed, and from now on all do: what the guest wrote "
				"since the last good one may be lost");
	}
}

bool disk_take_trouble(struct disk *disk, struct error *ret)
{
	for (enum trouble i = TROUBLE_LIMIT; i < TROUBLE_COUNT; i++) {
		if (disk->trouble[i] && !disk->told[i]) {
			disk->told[i] = true;
			describe(disk, i, ret);
			return true;
		}
	}
	return false;
}
