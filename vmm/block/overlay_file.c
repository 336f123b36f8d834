/* SPDX-License-Identifier: MIT */
/*
 * An overlay's file, from its making to its freeze: see overlay.h.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/call.h"
#include "vmm/base/cleanup.h"
#include "vmm/block/overlay.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static int make_memfd(const char *name, struct error *error)
{
	int fd = call_memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return error_set_errno(error, errno, "disk: memory for an overlay");
	return fd;
}

/* A size for an empty file: all of it a hole. */
static int set_size(int fd, uint64_t size, struct error *error)
{
	struct stat st;

	if (call_fstat(fd, &st) < 0)
		return error_set_errno(error, errno, "disk: look at the overlay");
	if (st.st_size != 0)
		return error_set(error, EINVAL,
				 "disk: the overlay's file is not empty: give a new one");
	if (call_ftruncate(fd, (off_t)size) < 0)
		return error_set_errno(error, errno, "disk: size of the overlay, %llu MiB",
				       (unsigned long long)(size / MIB));
	return 0;
}

/* The bitmaps, from an offset of a file. They cannot be where a full file system may refuse them.
 */
static int map_bitmaps(struct overlay *overlay, int fd, uint64_t offset, struct error *error)
{
	uint64_t bytes = overlay_map_bytes(overlay->size), words = (bytes / PAGE_BYTES + 63) / 64;
	void *map = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	if (map == MAP_FAILED)
		return error_set_errno(error, errno, "disk: map the overlay's bitmap");
	overlay->held = map;
	overlay->holes = overlay->held + bytes / sizeof(*overlay->held);
	overlay->touched = calloc(2 * words, sizeof(*overlay->touched));
	if (!overlay->touched)
		return error_set(error, ENOMEM, "disk: no memory for an overlay");
	return 0;
}

/* A file in memory that no file system's size limits: a page of it can always be had. */
static bool has_room_for_bitmaps(const struct block_file *file)
{
	struct statfs fs;

	return file->in_memory && call_fstatfs(file->fd, &fs) == 0 && fs.f_blocks == 0;
}

static int bitmap_is_inside(struct error *error)
{
	return error_set(error, EINVAL, "disk: an overlay in memory has its bitmap in its file");
}

static int make_bitmaps(struct overlay *overlay, const struct overlay_config *config, int *map_fd,
			struct error *error)
{
	uint64_t offset = overlay_map_offset(overlay->size);
	uint64_t bytes = overlay_map_bytes(overlay->size);
	int rc;

	if (!config->durable && has_room_for_bitmaps(&overlay->file)) {
		if (*map_fd >= 0)
			return bitmap_is_inside(error);
		rc = set_size(overlay->file.fd, offset + 2 * bytes, error);
		return rc < 0 ? rc : map_bitmaps(overlay, overlay->file.fd, offset, error);
	}
	overlay->map_fd = *map_fd >= 0 ? fd_steal(map_fd) : make_memfd("forkvm-bitmap", error);
	if (overlay->map_fd < 0)
		return overlay->map_fd;
	rc = set_size(overlay->file.fd, offset + bytes, error);
	if (rc == 0)
		rc = set_size(overlay->map_fd, 2 * bytes, error);
	return rc < 0 ? rc : map_bitmaps(overlay, overlay->map_fd, 0, error);
}

/* What is known of the file below, so that an exporter can tell whether it is still the same. */
static int describe_lower(const struct overlay_config *config, struct overlay_header *header,
			  struct error *error)
{
	struct stat st;

	header->above = config->above;
	if (config->above == OVERLAY_ABOVE_NOTHING)
		return 0;
	if (call_fstat(config->lower->fd, &st) < 0)
		return error_set_errno(error, errno, "disk: look at what is below the overlay");
	header->lower_inode = st.st_ino;
	header->lower_mtime_ns =
		(uint64_t)st.st_mtim.tv_sec * NS_PER_SEC + (uint64_t)st.st_mtim.tv_nsec;
	return block_file_size(config->lower, &header->lower_size, error);
}

static int write_header(struct overlay *overlay, const struct overlay_config *config,
			struct error *error)
{
	union {
		struct overlay_header header;
		uint8_t bytes[DISK_BLOCK];
	} block = {.header = {.magic = OVERLAY_MAGIC, .block = DISK_BLOCK}};
	const char *origin = config->storage->origin ? config->storage->origin : "";
	int rc = describe_lower(config, &block.header, error);

	static_assert(sizeof(struct overlay_header) <= DISK_BLOCK, "there is room for one block");
	if (rc < 0)
		return rc;
	if (strlen(origin) >= sizeof(block.header.origin))
		return error_set(error, ENAMETOOLONG,
				 "disk: the image's name has more than %u bytes",
				 OVERLAY_ORIGIN_SIZE - 1);
	memcpy(block.header.origin, origin, strlen(origin));
	block.header.size = overlay->size;
	rc = block_file_write(&overlay->file, &block, overlay_header_offset(overlay->size),
			      sizeof(block));
	return rc < 0 ? error_set_errno(error, -rc, "disk: write the overlay's header") : 0;
}

static int set_up(struct overlay *overlay, const struct overlay_config *config, int *data_fd,
		  int *map_fd, struct error *error)
{
	const struct disk_overlay *storage = config->storage;
	int fd = *data_fd >= 0 ? fd_steal(data_fd) : -1, rc;

	overlay->size = config->size;
	overlay->limit = storage->limit ? storage->limit / DISK_BLOCK : UINT64_MAX;
	if (fd < 0 && config->durable)
		return error_set(error, EINVAL, "disk: a durable overlay needs a file");
	if (fd < 0 && *map_fd >= 0)
		return bitmap_is_inside(error);
	if (fd < 0) {
		overlay->folder_fd = storage->folder_fd > 0 ? storage->folder_fd : -1;
		overlay->file.in_memory = overlay->folder_fd < 0;
		overlay->number = storage->data_number;
		overlay->map_number = storage->map_number;
		return 0;
	}
	rc = block_file_open(&overlay->file, fd, "overlay's file", false, true, config->durable,
			     config->direct, error);
	if (rc < 0)
		return rc;
	rc = make_bitmaps(overlay, config, map_fd, error);
	if (rc < 0 || !config->durable)
		return rc;
	overlay->dirty =
		overlay->touched + (overlay_map_bytes(overlay->size) / PAGE_BYTES + 63) / 64;
	return write_header(overlay, config, error);
}

int overlay_init(struct overlay *overlay, const struct overlay_config *config, struct error *error)
{
	_cleanup_close_ int data_fd = config->storage->data_fd;
	_cleanup_close_ int map_fd = config->storage->map_fd > 0 ? config->storage->map_fd : -1;
	int rc;

	*overlay = OVERLAY_NONE;
	rc = set_up(overlay, config, &data_fd, &map_fd, error);
	if (rc < 0)
		overlay_done(overlay);
	return rc;
}

static void unmap_bitmaps(struct overlay *overlay)
{
	uint64_t bytes = overlay_map_bytes(overlay->size);

	if (overlay->held)
		munmap(overlay->held, overlay->holes ? 2 * bytes : bytes);
	free(overlay->touched);
	overlay->held = overlay->holes = overlay->touched = NULL;
}

void overlay_done(struct overlay *overlay)
{
	unmap_bitmaps(overlay);
	fd_close(&overlay->map_fd);
	block_file_close(&overlay->file);
	*overlay = OVERLAY_NONE;
}

/*
 * What follows is done by calls that are allowed to whoever runs a guest (disk.h), so not by those
 * of call.h.
 */

/* Give a new descriptor (-1: errno) its number, 0: any. Taken on errors too. -errno. */
static int place(int fd, int number)
{
	int rc;

	if (fd < 0)
		return -errno;
	if (number == 0 || number == fd)
		return fd;
	rc = dup3(fd, number, O_CLOEXEC) < 0 ? -errno : number;
	close(fd);
	return rc;
}

/* Data and bitmap: one memfd, in which the bitmap begins at an offset, or a file and a memfd. */
struct made {
	int fd, map_fd;
	uint64_t map_offset;
};

static int make_in_memory(const struct overlay *overlay, struct made *ret)
{
	ret->fd = memfd_create("forkvm-overlay", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ret->map_offset = overlay_map_offset(overlay->size);
	if (ret->fd < 0 ||
	    ftruncate(ret->fd, (off_t)(ret->map_offset + 2 * overlay_map_bytes(overlay->size))) < 0)
		return -errno;
	return 0;
}

static int make_in_folder(const struct overlay *overlay, struct made *ret)
{
	uint64_t bytes = overlay_map_bytes(overlay->size);

	ret->map_fd = memfd_create("forkvm-bitmap", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ret->map_fd < 0 || ftruncate(ret->map_fd, (off_t)(2 * bytes)) < 0)
		return -errno;
	ret->fd = openat(overlay->folder_fd, ".", DISK_OVERLAY_OPEN, OVERLAY_MODE);
	if (ret->fd < 0 ||
	    ftruncate(ret->fd, (off_t)(overlay_map_offset(overlay->size) + bytes)) < 0)
		return -errno;
	return 0;
}

/* Under their numbers. The bitmap's first: who finds data there finds its bitmap, too. */
static int place_both(const struct overlay *overlay, struct made *made)
{
	if (made->map_fd >= 0) {
		made->map_fd = place(made->map_fd, overlay->map_number);
		if (made->map_fd < 0)
			return made->map_fd;
	}
	made->fd = place(made->fd, overlay->number);
	return made->fd < 0 ? made->fd : 0;
}

int overlay_make(struct overlay *overlay)
{
	struct made made = {.fd = -1, .map_fd = -1};
	struct error error;
	int rc = overlay->folder_fd < 0 ? make_in_memory(overlay, &made)
					: make_in_folder(overlay, &made);

	if (rc == 0)
		rc = map_bitmaps(overlay, made.map_fd < 0 ? made.fd : made.map_fd, made.map_offset,
				 &error);
	if (rc == 0)
		rc = place_both(overlay, &made);
	if (rc < 0) {
		unmap_bitmaps(overlay);
		fd_close(&made.fd);
		fd_close(&made.map_fd);
		return rc;
	}
	overlay->file.fd = made.fd;
	overlay->map_fd = made.map_fd;
	return 0;
}

/* The bitmap of a memfd, into the place that the file has for it. */
static int store_bitmap(const struct overlay *overlay)
{
	uint64_t pages = overlay_map_bytes(overlay->size) / PAGE_BYTES;
	int rc = 0;

	for (uint64_t page = 0; page < pages && rc == 0; page++) {
		if (overlay->touched[page / 64] >> (page % 64) & 1)
			rc = block_file_write(
				&overlay->file, (const uint8_t *)overlay->held + page * PAGE_BYTES,
				overlay_map_offset(overlay->size) + page * PAGE_BYTES, PAGE_BYTES);
	}
	return rc;
}

/* Files that cannot be sealed are not memfds, or not made for it. */
static int seal(int fd)
{
	const int seals = F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

	if (fcntl(fd, F_ADD_SEALS, seals) < 0 && errno != EPERM && errno != EINVAL)
		return -errno;
	return 0;
}

/* Put a mapping that cannot be made writable in the place of the bitmap's. */
static int remap(const struct overlay *overlay, int fd, uint64_t offset)
{
	void *map = mmap(overlay->held, overlay_map_bytes(overlay->size), PROT_READ,
			 MAP_SHARED | MAP_FIXED, fd, (off_t)offset);

	return map == MAP_FAILED ? -errno : 0;
}

static int make_read_only(struct overlay *overlay)
{
	struct block_file map = {.fd = overlay->map_fd, .direct_fd = -1};
	uint64_t bytes = overlay_map_bytes(overlay->size);
	int rc = seal(overlay->file.fd);

	if (rc == 0 && map.fd >= 0)
		rc = seal(map.fd);
	if (rc == 0)
		rc = block_file_make_read_only(&overlay->file);
	if (rc < 0)
		return rc;
	munmap((uint8_t *)overlay->held + bytes, bytes);
	overlay->holes = NULL;
	overlay->punched = false;
	if (map.fd < 0)
		return remap(overlay, overlay->file.fd, overlay_map_offset(overlay->size));
	rc = block_file_make_read_only(&map);
	if (rc == 0)
		rc = remap(overlay, map.fd, 0);
	overlay->map_fd = -1;
	block_file_close(&map);
	return rc;
}

int overlay_freeze(struct overlay *overlay, bool durable, struct error *error)
{
	int rc = 0;

	assert(overlay->claimed == 0);
	if (overlay->map_fd >= 0)
		rc = store_bitmap(overlay);
	/* With the time of its last change: overlays above will name that. */
	if (rc == 0 && durable && fsync(overlay->file.fd) < 0)
		rc = -errno;
	if (rc == 0)
		rc = make_read_only(overlay);
	return rc < 0 ? error_set_errno(error, -rc, "disk: freeze the overlay") : 0;
}
