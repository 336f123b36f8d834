/* SPDX-License-Identifier: MIT */
/*
 * A disk of an image and overlays: see disk.h. Every request is served when it is submitted.
 */
#include "vmm/block/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

struct layer {
	int fd;
	uint8_t *map; /* shared: one byte of bits for eight blocks */
	uint64_t map_size, held, limit;
};

struct disk {
	int image_fd;
	enum disk_mode mode;
	uint64_t size;
	struct layer layers[DISK_LAYERS_MAX]; /* the lowest first */
	unsigned int layer_count;
	bool frozen;
	struct disk_request *done, **done_end;
	uint32_t in_flight;
	struct disk_stats stats;
};

static bool holds(const struct layer *layer, uint64_t block)
{
	return layer->map[block / 8] >> block % 8 & 1;
}

static void hold(struct layer *layer, uint64_t block)
{
	if (!holds(layer, block))
		layer->held++;
	layer->map[block / 8] |= (uint8_t)(1u << block % 8);
}

static int full_io(bool write, int fd, uint8_t *memory, uint64_t length, uint64_t offset)
{
	while (length > 0) {
		ssize_t count = write ? pwrite(fd, memory, length, (off_t)offset)
				      : pread(fd, memory, length, (off_t)offset);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : -EIO;
		memory += count;
		offset += (uint64_t)count;
		length -= (uint64_t)count;
	}
	return 0;
}

static int read_block(const struct disk *disk, uint8_t *memory, uint64_t offset, uint64_t length)
{
	for (unsigned int i = disk->layer_count; i-- > 0;) {
		if (holds(&disk->layers[i], offset / DISK_BLOCK))
			return full_io(false, disk->layers[i].fd, memory, length, offset);
	}
	return full_io(false, disk->image_fd, memory, length, offset);
}

static int write_block(struct disk *disk, uint8_t *memory, uint64_t offset, uint64_t length)
{
	uint64_t block = offset / DISK_BLOCK, start = block * DISK_BLOCK;
	uint64_t whole = min_u64(DISK_BLOCK, disk->size - start);
	struct layer *top = &disk->layers[disk->layer_count - 1];
	uint8_t copy[DISK_BLOCK];
	int rc;

	if (disk->mode == DISK_READ_ONLY)
		return -EROFS;
	if (disk->mode == DISK_WRITE_THROUGH)
		return full_io(true, disk->image_fd, memory, length, offset);
	if (holds(top, block))
		return full_io(true, top->fd, memory, length, offset);
	if (top->limit && (top->held + 1) * DISK_BLOCK > top->limit)
		return -ENOSPC;
	rc = length < whole ? read_block(disk, copy, start, whole) : 0;
	if (rc < 0)
		return rc;
	memcpy(copy + (offset - start), memory, length);
	rc = full_io(true, top->fd, copy, whole, start);
	if (rc == 0)
		hold(top, block);
	return rc;
}

static int serve_span(struct disk *disk, bool write, uint8_t *memory, uint64_t length,
		      uint64_t offset)
{
	while (length > 0) {
		uint64_t part = min_u64(length, DISK_BLOCK - offset % DISK_BLOCK);
		int rc = write ? write_block(disk, memory, offset, part)
			       : read_block(disk, memory, offset, part);

		if (rc < 0)
			return rc;
		memory += part;
		offset += part;
		length -= part;
	}
	return 0;
}

static int serve_zeroes(struct disk *disk, uint64_t offset, uint64_t length)
{
	uint8_t zeros[DISK_BLOCK] = {0};
	int rc = 0;

	while (length > 0 && rc == 0) {
		uint64_t part = min_u64(length, DISK_BLOCK - offset % DISK_BLOCK);

		rc = write_block(disk, zeros, offset, part);
		offset += part;
		length -= part;
	}
	return rc;
}

static int serve(struct disk *disk, const struct disk_request *request)
{
	uint64_t offset = request->offset;
	int rc = 0;

	if (request->op == DISK_FLUSH)
		return 0;
	if (request->op == DISK_DISCARD || request->op == DISK_WRITE_ZEROES)
		return serve_zeroes(disk, offset, request->length);
	for (uint32_t i = 0; i < request->iov_count && rc == 0; i++) {
		const struct iovec *iov = &request->iov[i];
		rc = serve_span(disk, request->op == DISK_WRITE, iov->iov_base, iov->iov_len,
				offset);
		offset += iov->iov_len;
	}
	return rc;
}

static int image_size(int fd, uint64_t *ret, struct error *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set_errno(error, errno, "disk: stat the image");
	*ret = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, ret) < 0)
		return error_set_errno(error, errno, "disk: size of the image");
	if (S_ISDIR(st.st_mode))
		return error_set(error, EISDIR, "disk: the image is a directory");
	if (*ret == 0 || *ret % DISK_SECTOR)
		return error_set(error, EINVAL, "disk: no size for a disk: %llu bytes",
				 (unsigned long long)*ret);
	return 0;
}

static int push_layer(struct disk *disk, const struct disk_overlay *overlay, struct error *error)
{
	_cleanup_close_ int fd =
		overlay->data_fd >= 0 ? overlay->data_fd : memfd_create("overlay", MFD_CLOEXEC);
	struct layer *layer = &disk->layers[disk->layer_count];
	uint64_t map_size = disk->size / DISK_BLOCK / 8 + 1;
	uint8_t *map;

	if (disk->layer_count == DISK_LAYERS_MAX)
		return error_set(error, EINVAL, "disk: too many layers");
	if (fd < 0 || ftruncate(fd, (off_t)round_up(disk->size, DISK_BLOCK)) < 0)
		return error_set_errno(error, errno, "disk: overlay");
	map = mmap(NULL, map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return error_set_errno(error, errno, "disk: bitmap");
	*layer = (struct layer){
		.fd = fd_steal(&fd), .map = map, .map_size = map_size, .limit = overlay->limit};
	disk->layer_count++;
	return 0;
}

static int set_up(struct disk *disk, const struct disk_config *config, struct error *error)
{
	int overlay_fd = config->overlay.data_fd, rc = 0;

	disk->image_fd = config->image_fd;
	disk->mode = config->mode;
	if (config->image_fd >= 0)
		rc = image_size(config->image_fd, &disk->size, error);
	if (rc == 0 && config->image_fd >= 0 && config->mode == DISK_OVERLAY)
		return push_layer(disk, &config->overlay, error);
	if (config->mode == DISK_OVERLAY && overlay_fd >= 0)
		close(overlay_fd);
	return rc;
}

int disk_open(const struct disk_config *config, struct disk **ret, struct error *error)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	int rc;

	if (!disk)
		abort();
	disk->done_end = &disk->done;
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
	for (unsigned int i = 0; i < disk->layer_count; i++) {
		close(disk->layers[i].fd);
		munmap(disk->layers[i].map, disk->layers[i].map_size);
	}
	fd_close(&disk->image_fd);
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

int disk_start(struct disk *disk, struct error *error)
{
	(void)disk;
	(void)error;
	return 0;
}

int disk_event_fd(const struct disk *disk)
{
	(void)disk;
	return -1;
}

void disk_submit(struct disk *disk, struct disk_request *request)
{
	request->result = serve(disk, request);
	request->next = NULL;
	*disk->done_end = request;
	disk->done_end = &request->next;
	disk->in_flight++;
	disk->stats.requests[request->op]++;
	disk->stats.bytes[request->op] += request->length;
	disk->stats.errors += request->result < 0;
}

void disk_kick(struct disk *disk)
{
	disk->stats.passes++;
}

struct disk_request *disk_reap(struct disk *disk)
{
	struct disk_request *request = disk->done;

	if (!request)
		return NULL;
	disk->done = request->next;
	if (!disk->done)
		disk->done_end = &disk->done;
	disk->in_flight--;
	return request;
}

uint32_t disk_in_flight(const struct disk *disk)
{
	return disk->in_flight;
}

void disk_drain(struct disk *disk)
{
	(void)disk;
}

void disk_stop(struct disk *disk)
{
	(void)disk;
}

int disk_freeze(struct disk *disk, struct error *error)
{
	(void)error;
	disk->frozen = true;
	return 0;
}

int disk_clone(struct disk *disk, const struct disk_overlay *overlay, struct error *error)
{
	disk->stats = (struct disk_stats){0};
	if (disk->size > 0 && disk->mode == DISK_OVERLAY)
		return push_layer(disk, overlay, error);
	if (overlay->data_fd >= 0)
		close(overlay->data_fd);
	return 0;
}

int disk_insert(struct disk *disk, const struct disk_config *config, struct error *error)
{
	return set_up(disk, config, error);
}

const struct disk_stats *disk_get_stats(const struct disk *disk)
{
	return &disk->stats;
}
