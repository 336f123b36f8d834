/* SPDX-License-Identifier: MIT */
/*
 * Reading through a disk's layers: see internal.h.
 */
#include <string.h>

#include "vmm/block/internal.h"
#include "vmm/block/iov.h"

/* What no overlay holds: the image, and zeros behind it. */
static uint64_t find_below(const struct disk *disk, uint64_t offset, uint64_t length,
			   const struct block_file **ret)
{
	if (offset >= disk->image_size) {
		*ret = NULL;
		return length;
	}
	*ret = &disk->image;
	return min_u64(length, disk->image_size - offset);
}

uint64_t disk_find_layer(const struct disk *disk, uint64_t offset, uint64_t length,
			 const struct block_file **ret)
{
	uint64_t first = offset / DISK_BLOCK, end = overlay_blocks(offset + length);
	const struct block_file *file = NULL;

	for (unsigned int i = disk->overlay_count; i-- > 0 && !file;) {
		const struct overlay *overlay = &disk->overlays[i];
		bool held;

		end = first + overlay_run(overlay, first, end, &held);
		if (held)
			file = &overlay->file;
	}
	length = min_u64(length, end * DISK_BLOCK - offset);
	if (!file)
		return find_below(disk, offset, length, ret);
	*ret = file;
	return length;
}

void disk_read(struct disk *disk, struct disk_request *request)
{
	uint64_t part;

	for (uint64_t at = 0; at < request->length; at += part) {
		struct piece piece = {.op = PIECE_READ, .request = request, .skip = at};

		piece.offset = request->offset + at;
		part = disk_find_layer(disk, piece.offset, request->length - at, &piece.file);
		piece.length = part;
		if (piece.file)
			disk_issue(disk, &piece);
		else
			iov_zero(request->iov, request->iov_count, at, part);
	}
	disk_put_request(disk, request);
}

int disk_read_now(struct disk *disk, void *memory, uint64_t offset, uint64_t length)
{
	uint64_t part;
	int rc = 0;

	for (uint64_t at = 0; at < length && rc == 0; at += part) {
		uint8_t *to = (uint8_t *)memory + at;
		const struct block_file *file;

		part = disk_find_layer(disk, offset + at, length - at, &file);
		if (!file) {
			memset(to, 0, part);
			continue;
		}
		rc = block_file_read(file, to, offset + at, part);
		if (rc < 0)
			rc = disk_note_error(disk, file, false, rc);
	}
	return rc;
}
