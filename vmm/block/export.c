/* SPDX-License-Identifier: MIT */
/*
 * A disk's layers into a raw sparse file: see export.h.
 *
 * The bitmaps are read a page at a time, so one window is what a page is about. In it, each run of
 * blocks that the same layer holds is copied, but for its holes.
 */
#include "vmm/block/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/block/overlay.h"

#define COPY_BYTES (1 * MIB)
#define BELOW	   UINT32_MAX /* no overlay holds it */

struct export
{
	const struct export_source *source;
	int out_fd;
	void (*progress)(void *ctx, uint64_t done);
	void *ctx;
	uint8_t *buffer; /* owned; COPY_BYTES */
	/* one page of each overlay's bitmap */
	uint64_t maps[DISK_LAYERS_MAX][PAGE_BYTES / sizeof(uint64_t)];
	bool no_copy_range; /* the kernel cannot copy between these files */
	struct error *error;
};

static int read_failed(struct export *export, uint32_t layer, ssize_t rc)
{
	if (rc < 0)
		return error_set_errno(export->error, errno, "export: read %s",
				       layer == BELOW ? "the image" : "an overlay");
	return error_set(export->error, EIO,
			 "export: the %s is shorter than it was when the disk was made",
			 layer == BELOW ? "image" : "overlay's file");
}

static int write_failed(struct export *export)
{
	return error_set_errno(export->error, errno, "export: write");
}

static bool is_zero(const uint8_t *bytes, uint64_t length)
{
	return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

/* Write what is in the buffer, but for blocks of zeros. */
static int write_buffer(struct export *export, uint64_t offset, uint64_t length)
{
	for (uint64_t at = 0; at < length;) {
		uint64_t part = min_u64(length - at, DISK_BLOCK);
		ssize_t done = (ssize_t)part;

		if (!is_zero(export->buffer + at, part))
			done = pwrite(export->out_fd, export->buffer + at, part,
				      (off_t)(offset + at));
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return write_failed(export);
		at += (uint64_t)done;
	}
	return 0;
}

/* Through memory. *ret: how many bytes of them. */
static int copy_by_hand(struct export *export, uint32_t layer, int fd, uint64_t offset,
			uint64_t length, uint64_t *ret)
{
	ssize_t got;

	do
		got = pread(fd, export->buffer, min_u64(length, COPY_BYTES), (off_t)offset);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return read_failed(export, layer, got);
	*ret = (uint64_t)got;
	return write_buffer(export, offset, *ret);
}

/* By the kernel, which may share the blocks. False: it will not. */
static bool copy_by_kernel(struct export *export, int fd, uint64_t offset, uint64_t length,
			   uint64_t *ret)
{
	off_t from = (off_t)offset, to = (off_t)offset;
	ssize_t done = 0;

	if (!export->no_copy_range)
		done = copy_file_range(fd, &from, export->out_fd, &to, length, 0);
	export->no_copy_range = export->no_copy_range || done < 0;
	*ret = (uint64_t)done;
	return done > 0;
}

/* All of it is data. */
static int copy_data(struct export *export, uint32_t layer, int fd, uint64_t offset,
		     uint64_t length)
{
	int rc = 0;

	while (length > 0 && rc == 0) {
		uint64_t done;

		if (!copy_by_kernel(export, fd, offset, min_u64(length, 64 * COPY_BYTES), &done))
			rc = copy_by_hand(export, layer, fd, offset, length, &done);
		if (rc < 0)
			return rc;
		offset += done;
		length -= done;
		if (export->progress)
			export->progress(export->ctx, offset);
	}
	return rc;
}

/* Data from offset on, at most to end: *ret_from and *ret_to, which are both end if there is none.
 * A device knows no holes. */
static void find_data(int fd, uint64_t offset, uint64_t end, uint64_t *ret_from, uint64_t *ret_to)
{
	off_t from = lseek(fd, (off_t)offset, SEEK_DATA), to;

	*ret_from = *ret_to = end;
	if (from < 0 && errno == ENXIO)
		return;
	if (from < 0)
		from = (off_t)offset;
	to = lseek(fd, from, SEEK_HOLE);
	*ret_from = min_u64((uint64_t)from, end);
	if (to > from)
		*ret_to = min_u64((uint64_t)to, end);
}

/* A run that one file has. */
static int copy_run(struct export *export, uint32_t layer, int fd, uint64_t offset, uint64_t end)
{
	int rc = 0;

	while (offset < end && rc == 0) {
		uint64_t from, to;

		find_data(fd, offset, end, &from, &to);
		if (from < to)
			rc = copy_data(export, layer, fd, from, to - from);
		offset = to;
	}
	return rc;
}

static int read_map(struct export *export, uint32_t layer, uint64_t page)
{
	const struct export_layer *overlay = &export->source->overlays[layer];
	struct block_file file = {.fd = overlay->map_fd, .direct_fd = -1};
	uint64_t offset = page * PAGE_BYTES;
	int rc;

	if (file.fd < 0) {
		file.fd = overlay->data_fd;
		offset += overlay_map_offset(export->source->size);
	}
	rc = block_file_read(&file, export->maps[layer], offset, PAGE_BYTES);
	if (rc == -ENODATA)
		return read_failed(export, layer, 0);
	return rc < 0 ? error_set_errno(export->error, -rc, "export: read a bitmap") : 0;
}

/* The highest overlay that holds a block, which is counted from the window's first. */
static uint32_t holder(const struct export *export, uint64_t block)
{
	for (uint32_t i = export->source->overlay_count; i-- > 0;) {
		if (export->maps[i][block / 64] >> (block % 64) & 1)
			return i;
	}
	return BELOW;
}

static int copy_part(struct export *export, uint32_t layer, uint64_t offset, uint64_t end)
{
	const struct export_source *source = export->source;

	if (layer != BELOW)
		return copy_run(export, layer, source->overlays[layer].data_fd, offset, end);
	if (source->image_fd < 0)
		return 0;
	return copy_run(export, layer, source->image_fd, offset,
			min_u64(end, max_u64(offset, source->image_size)));
}

static int copy_window(struct export *export, uint64_t page)
{
	uint64_t base = page * OVERLAY_PAGE_BLOCKS, size = export->source->size;
	uint64_t blocks = min_u64(overlay_blocks(size) - base, OVERLAY_PAGE_BLOCKS);
	uint64_t run = 0;
	int rc = 0;

	for (uint32_t i = 0; i < export->source->overlay_count && rc == 0; i++)
		rc = read_map(export, i, page);
	for (uint64_t block = 0; block < blocks && rc == 0; block = run) {
		uint32_t layer = holder(export, block);

		for (run = block + 1; run < blocks && holder(export, run) == layer;)
			run++;
		rc = copy_part(export, layer, (base + block) * DISK_BLOCK,
			       min_u64((base + run) * DISK_BLOCK, size));
	}
	if (rc == 0 && export->progress)
		export->progress(export->ctx, min_u64((base + blocks) * DISK_BLOCK, size));
	return rc;
}

/* It has to be there, all of it: what lies behind its end would be a hole otherwise. */
static int check_image(const struct export_source *source, struct error *error)
{
	struct block_file image = {.fd = source->image_fd, .direct_fd = -1};
	uint64_t size = 0;
	int rc;

	if (source->image_fd < 0)
		return 0;
	rc = block_file_size(&image, &size, error);
	if (rc == 0 && size < source->image_size)
		return error_set(error, EIO,
				 "export: the image has %llu bytes, and had %llu when the disk was "
				 "made",
				 (unsigned long long)size, (unsigned long long)source->image_size);
	return rc;
}

static int check_out(int out_fd, uint64_t size, struct error *error)
{
	struct stat st;

	if (fstat(out_fd, &st) < 0)
		return error_set_errno(error, errno, "export: look at the output");
	if (!S_ISREG(st.st_mode) || st.st_size != 0)
		return error_set(error, EINVAL, "export: the output is not an empty regular file");
	if (ftruncate(out_fd, (off_t)size) < 0)
		return error_set_errno(error, errno, "export: size of the output");
	return 0;
}

int export_write(const struct export_source *source, int out_fd,
		 void (*progress)(void *ctx, uint64_t done), void *ctx, struct error *error)
{
	_cleanup_free_ struct export *export = calloc(1, sizeof(*export));
	_cleanup_free_ uint8_t *buffer = aligned_alloc(DISK_BLOCK, COPY_BYTES);
	uint64_t windows = overlay_map_bytes(source->size) / PAGE_BYTES;
	int rc;

	if (!export || !buffer)
		return error_set(error, ENOMEM, "export: no memory");
	export->source = source;
	export->out_fd = out_fd;
	export->progress = progress;
	export->ctx = ctx;
	export->buffer = buffer;
	export->error = error;
	rc = check_image(source, error);
	if (rc == 0)
		rc = check_out(out_fd, source->size, error);
	for (uint64_t page = 0; page < windows && rc == 0; page++)
		rc = copy_window(export, page);
	return rc;
}
