/* SPDX-License-Identifier: MIT */
/*
 * A disk's layers, read outside of any machine: what the guest would see, into a raw sparse file.
 */
#ifndef FORKVM_VMM_BLOCK_EXPORT_H
#define FORKVM_VMM_BLOCK_EXPORT_H

#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/block/disk.h"

/* One overlay as two descriptors, which stay the caller's. */
struct export_layer {
	int data_fd;
	int map_fd; /* the bitmap from offset 0; -1: it is in data_fd's file, see overlay.h */
};

struct export_source {
	uint64_t size;	     /* of the disk, bytes */
	uint64_t image_size; /* at most size: behind it there are zeros, where no overlay holds more
			      */
	int image_fd;	     /* -1: nothing but zeros below */
	struct export_layer overlays[DISK_LAYERS_MAX]; /* the lowest first */
	unsigned int overlay_count;
};

/*
 * Write all of the disk to out_fd, an empty regular file: what is a hole in the layer that holds it
 * stays one. progress (may be NULL) is called now and then with the bytes done. Does not sync.
 * -EINVAL for another kind of out_fd, -EIO where the image is shorter than it was, and what the
 * file systems say.
 */
int export_write(const struct export_source *source, int out_fd,
		 void (*progress)(void *ctx, uint64_t done), void *ctx, struct error *error);

/*
 * Find the layers of a durable overlay by the origins that headers name, down to an image, and open
 * them for reading. A relative origin is looked up beside the overlay that names it. -EUCLEAN for a
 * file that is no overlay, -ESTALE when something below has changed since, -ELOOP for more than
 * DISK_LAYERS_MAX. export_close_chain closes what is in *ret.
 */
int export_open_chain(const char *overlay_path, struct export_source *ret, struct error *error);
void export_close_chain(struct export_source *source);

#endif
