/* SPDX-License-Identifier: MIT */
/*
 * The layers below a durable overlay, found by what headers say: see export.h.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/block/export.h"
#include "vmm/block/overlay.h"

#define SHOWN_MAX 100u

/*
 * A file of so many blocks is an overlay of how many? n of data, one of header, and the bitmap's
 * pages; 0: of none.
 */
static uint64_t find_data_blocks(uint64_t file_size)
{
	uint64_t pages = file_size / DISK_BLOCK, bitmap;

	if (file_size % DISK_BLOCK || pages < 3)
		return 0;
	bitmap = (pages - 1 + OVERLAY_PAGE_BLOCKS) / (OVERLAY_PAGE_BLOCKS + 1);
	if (overlay_map_bytes((pages - 1 - bitmap) * DISK_BLOCK) != bitmap * PAGE_BYTES)
		return 0;
	return pages - 1 - bitmap;
}

static int check_header(const struct overlay_header *header, uint64_t blocks)
{
	if (header->magic != OVERLAY_MAGIC || header->block != DISK_BLOCK || header->size == 0 ||
	    header->size % DISK_SECTOR || overlay_blocks(header->size) != blocks ||
	    header->above > OVERLAY_ABOVE_OVERLAY ||
	    !memchr(header->origin, '\0', sizeof(header->origin)))
		return -EUCLEAN;
	return 0;
}

/* A path's end: no more of it than leaves room for words. */
static const char *shown(const char *path)
{
	size_t length = strlen(path);

	return length > SHOWN_MAX ? path + length - SHOWN_MAX : path;
}

static int open_file(const char *path, bool may_be_device, struct block_file *file,
		     struct error *error)
{
	int rc = block_file_open_path(file, path, may_be_device ? "image" : "overlay's file",
				      may_be_device, error);

	if (rc < 0)
		error_prefix(error, "%s", shown(path));
	return rc;
}

static int read_header(const struct block_file *file, const char *path,
		       struct overlay_header *header, struct error *error)
{
	uint64_t size = 0, blocks;
	int rc = block_file_size(file, &size, error);

	if (rc < 0)
		return rc;
	blocks = find_data_blocks(size);
	rc = -EUCLEAN;
	if (blocks > 0)
		rc = block_file_read(file, header, blocks * DISK_BLOCK, sizeof(*header));
	if (rc == 0)
		rc = check_header(header, blocks);
	if (rc == -EUCLEAN)
		return error_set(error, EUCLEAN, "%s is no overlay of a durable disk", shown(path));
	return rc < 0 ? error_set_errno(error, -rc, "%s: read its header", shown(path)) : 0;
}

/* The file below is the one that the overlay was made on, and has not changed since. */
static int check_lower(const struct block_file *file, const char *path,
		       const struct overlay_header *above, struct error *error)
{
	uint64_t size = 0, mtime_ns;
	struct stat st;
	int rc = block_file_size(file, &size, error);

	if (rc < 0)
		return rc;
	if (fstat(file->fd, &st) < 0)
		return error_set_errno(error, errno, "%s", shown(path));
	mtime_ns = (uint64_t)st.st_mtim.tv_sec * NS_PER_SEC + (uint64_t)st.st_mtim.tv_nsec;
	if (size == above->lower_size && st.st_ino == above->lower_inode &&
	    mtime_ns == above->lower_mtime_ns)
		return 0;
	return error_set(
		error, ESTALE,
		"%s has changed (it is another file, or has another size or date) since an "
		"overlay was made on it",
		shown(path));
}

/* Where an overlay's origin is: a relative one is beside the overlay. */
static int resolve(char path[PATH_MAX], const char *origin, struct error *error)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int length = slash ? (int)(slash + 1 - path) : 0;

	if (!origin[0])
		return error_set(error, ENOENT,
				 "%s does not say what it lies on: it can only be exported while "
				 "its server runs",
				 shown(path));
	snprintf(folder, sizeof(folder), "%.*s", origin[0] == '/' ? 0 : length, path);
	if (snprintf(path, PATH_MAX, "%s%s", folder, origin) >= PATH_MAX)
		return error_set(error, ENAMETOOLONG, "%s: what it lies on", shown(folder));
	return 0;
}

/* One overlay, and where to go on from: *path and *header. It becomes the lowest so far. */
static int open_overlay(struct export_source *source, const char *path,
			const struct overlay_header *above, struct overlay_header *ret_header,
			struct error *error)
{
	struct block_file file = BLOCK_FILE_NONE;
	int rc;

	if (source->overlay_count == DISK_LAYERS_MAX)
		return error_set(error, ELOOP, "%s: more than %u overlays on one another",
				 shown(path), DISK_LAYERS_MAX);
	rc = open_file(path, false, &file, error);
	if (rc == 0 && above)
		rc = check_lower(&file, path, above, error);
	if (rc == 0)
		rc = read_header(&file, path, ret_header, error);
	if (rc == 0 && above && ret_header->size != above->size)
		rc = error_set(error, ESTALE, "%s is an overlay of a disk of another size",
			       shown(path));
	if (rc < 0) {
		block_file_close(&file);
		return rc;
	}
	memmove(&source->overlays[1], &source->overlays[0],
		source->overlay_count * sizeof(source->overlays[0]));
	source->overlays[0] = (struct export_layer){.data_fd = file.fd, .map_fd = -1};
	source->overlay_count++;
	source->size = ret_header->size;
	return 0;
}

static int open_image(struct export_source *source, const char *path,
		      const struct overlay_header *above, struct error *error)
{
	struct block_file file = BLOCK_FILE_NONE;
	int rc = open_file(path, true, &file, error);

	if (rc == 0)
		rc = check_lower(&file, path, above, error);
	if (rc == 0 && above->lower_size > above->size)
		rc = error_set(error, EUCLEAN, "%s: larger than the disk it is the image of",
			       shown(path));
	if (rc < 0) {
		block_file_close(&file);
		return rc;
	}
	source->image_fd = file.fd;
	source->image_size = above->lower_size;
	return 0;
}

static int open_chain(const char *overlay_path, struct export_source *source, struct error *error)
{
	struct overlay_header header = {0}, above;
	char path[PATH_MAX];
	int rc;

	if (snprintf(path, sizeof(path), "%s", overlay_path) >= PATH_MAX)
		return error_set(error, ENAMETOOLONG, "the overlay's path is too long");
	rc = open_overlay(source, path, NULL, &header, error);
	while (rc == 0 && header.above == OVERLAY_ABOVE_OVERLAY) {
		above = header;
		rc = resolve(path, above.origin, error);
		if (rc == 0)
			rc = open_overlay(source, path, &above, &header, error);
	}
	if (rc == 0 && header.above == OVERLAY_ABOVE_IMAGE) {
		rc = resolve(path, header.origin, error);
		if (rc == 0)
			rc = open_image(source, path, &header, error);
	}
	return rc;
}

int export_open_chain(const char *overlay_path, struct export_source *ret, struct error *error)
{
	struct export_source source = {.image_fd = -1};
	int rc = open_chain(overlay_path, &source, error);

	if (rc < 0)
		export_close_chain(&source);
	else
		*ret = source;
	return rc;
}

void export_close_chain(struct export_source *source)
{
	for (unsigned int i = 0; i < source->overlay_count; i++)
		fd_close(&source->overlays[i].data_fd);
	source->overlay_count = 0;
	fd_close(&source->image_fd);
}
