/* SPDX-License-Identifier: MIT */
/*
 * A disk's descriptors, for a fork server: see disk.h.
 */
#include <errno.h>
#include <fcntl.h>

#include "vmm/base/cleanup.h"
#include "vmm/block/export.h"
#include "vmm/block/internal.h"

#define FDS_MAX (2 * (DISK_LAYERS_MAX + 1))

/* Where they are kept. Bitmaps are not among them: a mapping needs none. */
static unsigned int find_all(struct disk *disk, int *list[FDS_MAX])
{
	unsigned int count = 0;

	for (unsigned int i = 0; i <= disk->overlay_count; i++) {
		struct block_file *file = i ? &disk->overlays[i - 1].file : &disk->image;

		if (file->fd >= 0)
			list[count++] = &file->fd;
		if (file->direct_fd >= 0)
			list[count++] = &file->direct_fd;
	}
	return count;
}

unsigned int disk_descriptors(struct disk *disk, int *fds, unsigned int max)
{
	int *list[FDS_MAX];
	unsigned int count = find_all(disk, list);

	for (unsigned int i = 0; i < count && i < max; i++)
		fds[i] = *list[i];
	return count;
}

int disk_move_descriptors(struct disk *disk, int from, struct error *error)
{
	int *list[FDS_MAX], copies[FDS_MAX];
	int count = (int)find_all(disk, list), rc = 0;

	for (int i = 0; i < count; i++) {
		copies[i] = fcntl(*list[i], F_DUPFD_CLOEXEC, from + count);
		if (copies[i] >= 0)
			continue;
		rc = error_set_errno(error, errno, "disk: renumber its descriptors");
		while (i-- > 0)
			close(copies[i]);
		return rc;
	}
	for (int i = 0; i < count; i++) {
		close(*list[i]);
		*list[i] = copies[i];
	}
	for (int i = 0; i < count; i++) {
		if (dup3(copies[i], from + i, O_CLOEXEC) < 0)
			return error_set_errno(error, errno, "disk: renumber its descriptors");
		close(copies[i]);
		*list[i] = from + i;
	}
	return from + count;
}

void disk_get_source(const struct disk *disk, struct export_source *ret)
{
	*ret = (struct export_source){
		.size = disk->size,
		.image_size = disk->image_size,
		.image_fd = disk->image.fd,
		.overlay_count = disk->overlay_count,
	};
	/* One that is not made holds nothing; it is the top. */
	if (disk->top && !overlay_is_made(disk->top))
		ret->overlay_count--;
	for (unsigned int i = 0; i < ret->overlay_count; i++) {
		ret->overlays[i] = (struct export_layer){
			.data_fd = disk->overlays[i].file.fd,
			.map_fd = disk->overlays[i].map_fd,
		};
	}
}
