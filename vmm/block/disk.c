/* SPDX-License-Identifier: MIT */
/*
 * A disk's life, from its configuration to its end: see disk.h. Requests are in engine.c.
 */
#include "vmm/block/disk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/cleanup.h"
#include "vmm/block/internal.h"

#define DISK_SIZE_MAX (1ull << 60)

static int check_config(const struct disk_config *config, struct error *error)
{
	uint32_t depth = config->depth;

	if (config->image_fd < 0 && config->size == 0)
		return 0; /* an empty slot */
	if (depth == 0 || depth > DISK_DEPTH_MAX || depth & (depth - 1))
		return error_set(error, EINVAL, "disk: depth %u: give a power of two, to %u", depth,
				 DISK_DEPTH_MAX);
	if (config->image_fd < 0 && config->mode != DISK_OVERLAY)
		return error_set(error, EINVAL,
				 "disk: without an image, there is only what an overlay holds");
	return 0;
}

static int check_sizes(const struct disk *disk, struct error *error)
{
	unsigned long long size = disk->size, image = disk->image_size;

	if (disk->image.fd >= 0 && image == 0)
		return error_set(error, EINVAL, "disk: the image is empty");
	if (image % DISK_SECTOR)
		return error_set(error, EINVAL,
				 "disk: the image has %llu bytes: not a multiple of %u, as a raw "
				 "image's size is",
				 image, DISK_SECTOR);
	if (size % DISK_SECTOR)
		return error_set(error, EINVAL, "disk: a size of %llu bytes: not a multiple of %u",
				 size, DISK_SECTOR);
	if (size < image || (size > image && disk->mode == DISK_WRITE_THROUGH))
		return error_set(error, EINVAL,
				 "disk: a size of %llu bytes, and an image of %llu: it can only be "
				 "made larger, and by an overlay",
				 size, image);
	if (size > DISK_SIZE_MAX)
		return error_set(error, EFBIG, "disk: %llu bytes are too many", size);
	return 0;
}

/* image_fd is taken. */
static int set_image(struct disk *disk, const struct disk_config *config, int image_fd,
		     struct error *error)
{
	bool through = config->mode == DISK_WRITE_THROUGH;
	int rc = 0;

	if (image_fd >= 0)
		rc = block_file_open(&disk->image, image_fd, "image", true, through,
				     config->durable || through, config->direct, error);
	if (rc == 0 && image_fd >= 0)
		rc = block_file_size(&disk->image, &disk->image_size, error);
	if (rc < 0)
		return rc;
	disk->size = config->size ? config->size : disk->image_size;
	disk->mode = config->mode;
	disk->direct = config->direct;
	disk->always_durable = disk->durable = config->durable;
	disk->force_sync = config->force_sync;
	disk->depth = config->depth;
	return check_sizes(disk, error);
}

/* What lies below an overlay that is to be. */
static const struct block_file *find_lower(const struct disk *disk, uint64_t *ret_above)
{
	if (disk->overlay_count > 0) {
		*ret_above = OVERLAY_ABOVE_OVERLAY;
		return &disk->overlays[disk->overlay_count - 1].file;
	}
	*ret_above = disk->image.fd >= 0 ? OVERLAY_ABOVE_IMAGE : OVERLAY_ABOVE_NOTHING;
	return &disk->image;
}

static void close_overlay(const struct disk_overlay *storage)
{
	if (storage->data_fd >= 0)
		close(storage->data_fd);
	if (storage->map_fd > 0)
		close(storage->map_fd);
}

/* storage is taken. */
static int add_overlay(struct disk *disk, const struct disk_overlay *storage, struct error *error)
{
	struct overlay_config config = {
		.storage = storage,
		.size = disk->size,
		.durable = disk->always_durable || storage->durable,
		.direct = disk->direct,
	};
	struct overlay *top = &disk->overlays[disk->overlay_count];
	int rc;

	if (disk->overlay_count == DISK_LAYERS_MAX) {
		close_overlay(storage);
		return error_set(error, EINVAL, "disk: more than %u overlays", DISK_LAYERS_MAX);
	}
	config.lower = find_lower(disk, &config.above);
	rc = overlay_init(top, &config, error);
	if (rc < 0)
		return rc;
	disk->overlay_count++;
	disk->top = top;
	disk->durable = config.durable;
	return 0;
}

/* The descriptors in config are taken. On failure the disk is to be cleared. */
static int set_up(struct disk *disk, const struct disk_config *config, struct error *error)
{
	bool overlay = config->mode == DISK_OVERLAY;
	_cleanup_close_ int image_fd = config->image_fd;
	int rc = check_config(config, error);

	if (rc == 0)
		rc = set_image(disk, config, fd_steal(&image_fd), error);
	if (rc == 0 && overlay && disk->size > 0)
		return add_overlay(disk, &config->overlay, error);
	if (overlay)
		close_overlay(&config->overlay);
	return rc;
}

/* No image, no overlays, and nothing that disk_start makes: an empty slot. */
static void clear(struct disk *disk)
{
	disk_stop(disk);
	for (unsigned int i = 0; i < disk->overlay_count; i++)
		overlay_done(&disk->overlays[i]);
	block_file_close(&disk->image);
	*disk = (struct disk){.image = BLOCK_FILE_NONE, .ring = RING_NONE};
}

/* What a clone writes of it is on one page, which is all that is copied. */
static struct disk *allocate(void)
{
	const size_t size = (size_t)round_up(sizeof(struct disk), PAGE_BYTES);
	struct disk *disk = aligned_alloc(PAGE_BYTES, size);

	if (disk)
		memset(disk, 0, size);
	return disk;
}

int disk_open(const struct disk_config *config, struct disk **ret, struct error *error)
{
	struct disk *disk = allocate();
	int rc;

	if (!disk) {
		if (config->image_fd >= 0)
			close(config->image_fd);
		if (config->mode == DISK_OVERLAY)
			close_overlay(&config->overlay);
		return error_set(error, ENOMEM, "disk: no memory");
	}
	disk->image = BLOCK_FILE_NONE;
	disk->ring = RING_NONE;
	rc = set_up(disk, config, error);
	if (rc < 0)
		disk_free(disk);
	else
		*ret = disk;
	return rc;
}

void disk_free(struct disk *disk)
{
	if (!disk)
		return;
	clear(disk);
	free(disk);
}

uint64_t disk_size(const struct disk *disk)
{
	return disk->size;
}

enum disk_mode disk_get_mode(const struct disk *disk)
{
	return disk->mode;
}

const struct disk_stats *disk_get_stats(const struct disk *disk)
{
	return &disk->stats;
}

void disk_count_doorbells(struct disk *disk, uint64_t notifications, uint64_t interrupts)
{
	disk->stats.notifications = notifications;
	disk->stats.interrupts = interrupts;
}

/* There are transfers that wait for a device. */
static bool wants_ring(const struct disk *disk)
{
	bool wants = disk->image.fd >= 0 && !disk->image.in_memory;

	for (unsigned int i = 0; i < disk->overlay_count; i++)
		wants = wants || !disk->overlays[i].file.in_memory;
	return wants && !disk->force_sync;
}

static void begin(struct disk *disk)
{
	assert(!disk->arena);
	disk->stats = (struct disk_stats){0};
	memset(disk->trouble, 0, sizeof(disk->trouble));
	memset(disk->told, 0, sizeof(disk->told));
}

void disk_start_late(struct disk *disk)
{
	begin(disk);
	disk->ring_is_late = wants_ring(disk);
}

int disk_start(struct disk *disk, struct error *error)
{
	int rc;

	begin(disk);
	if (!wants_ring(disk))
		return 0;
	rc = ring_open(&disk->ring, disk->depth);
	if (rc == 0 || ring_is_refused(rc))
		return 0;
	return error_set_errno(error, -rc, "disk: make an io_uring");
}

void disk_stop(struct disk *disk)
{
	assert(disk->pieces == 0);
	ring_close(&disk->ring);
	disk->ring_is_late = false;
	disk->expected = 0;
	if (disk->arena)
		munmap(disk->arena, sizeof(*disk->arena));
	disk->arena = NULL;
	disk->free_pieces = NULL;
	disk->fresh_pieces = disk->used_slices = 0;
}

static int write_out(struct disk *disk, struct error *error)
{
	struct disk_request flush = {.op = DISK_FLUSH};

	disk_submit(disk, &flush);
	disk_kick_wait(disk);
	disk_reap(disk);
	return flush.result < 0 ? error_set_errno(error, -flush.result, "disk: write it out") : 0;
}

int disk_freeze(struct disk *disk, struct error *error)
{
	bool empty = disk->top && disk->top->data == 0 && !disk->top->punched;
	int rc = 0;

	assert(disk->in_flight == 0);
	/* What is left is done without it: it would give this thread a worker, for good. */
	ring_close(&disk->ring);
	disk->ring_is_late = false;
	if (disk->mode == DISK_WRITE_THROUGH && disk->size > 0)
		return error_set(error, EINVAL,
				 "disk: written through, which only a single VM's disk can be");
	if (disk->arena && disk->durable)
		rc = write_out(disk, error);
	disk_stop(disk);
	if (rc < 0 || !disk->top)
		return rc;
	if (empty && !disk->durable) {
		overlay_done(disk->top);
		disk->overlay_count--;
	} else {
		rc = overlay_freeze(disk->top, disk->durable, error);
	}
	disk->top = NULL;
	return rc;
}

int disk_clone(struct disk *disk, const struct disk_overlay *overlay, struct error *error)
{
	assert(!disk->top);
	if (disk->mode == DISK_OVERLAY && disk->size > 0)
		return add_overlay(disk, overlay, error);
	close_overlay(overlay);
	return 0;
}

int disk_insert(struct disk *disk, const struct disk_config *config, struct error *error)
{
	int rc;

	assert(disk->size == 0);
	rc = set_up(disk, config, error);
	if (rc < 0)
		clear(disk);
	return rc;
}
