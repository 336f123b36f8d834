/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: the file of a durable overlay, as an exporter finds it. Whoever wrote it may have
 * meant harm: what it leads to must be what it says it is, or nothing.
 *
 * An input is the number of blocks of data, flags, the header's numbers, the beginning of its
 * origin, and the bitmap. Flags put right what an input could not know.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"
#include "vmm/block/export.h"
#include "vmm/block/overlay.h"

#define ON_IMAGE     1u /* what lies below is an image that is there */
#define ON_ITSELF    2u /* it is this file */
#define BLOCKS_MAX   32u
#define ORIGIN_BYTES 64u
#define CHANGED_SEC  5 /* when files were last changed, as they say */

static int overlay_fd = -1, image_fd = -1;

static void set_up(void)
{
	if (overlay_fd >= 0)
		return;
	overlay_fd = memfd_create("overlay", MFD_CLOEXEC);
	image_fd = memfd_create("image", MFD_CLOEXEC);
	FUZZ_CHECK(overlay_fd >= 0 && image_fd >= 0);
	FUZZ_CHECK(pwrite(image_fd, "image", 5, 0) == 5);
}

static void describe(struct overlay_header *header, int fd, uint64_t size, uint64_t above)
{
	struct stat st;

	FUZZ_CHECK(fstat(fd, &st) == 0);
	header->above = above;
	header->lower_size = size;
	header->lower_inode = st.st_ino;
	header->lower_mtime_ns = CHANGED_SEC * NS_PER_SEC;
	snprintf(header->origin, sizeof(header->origin), "/proc/self/fd/%d", fd);
}

static void set_date(int fd)
{
	const struct timespec times[] = {{.tv_sec = CHANGED_SEC}, {.tv_sec = CHANGED_SEC}};

	FUZZ_CHECK(futimens(fd, times) == 0);
}

static void write_header(struct input *input, uint64_t flags, uint64_t data_size, uint64_t size)
{
	struct overlay_header header = {0};
	uint64_t *numbers[] = {&header.magic,	      &header.block,	  &header.size,
			       &header.above,	      &header.lower_size, &header.lower_inode,
			       &header.lower_mtime_ns};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		*numbers[i] = input_take(input, 8);
	for (uint32_t i = 0; i < ORIGIN_BYTES; i += 8) {
		uint64_t part = input_take(input, 8);

		memcpy(header.origin + i, &part, sizeof(part));
	}
	if (flags & ON_IMAGE) {
		FUZZ_CHECK(ftruncate(image_fd, (off_t)(header.size % (1 * MIB))) == 0);
		describe(&header, image_fd, header.size % (1 * MIB), OVERLAY_ABOVE_IMAGE);
	}
	if (flags & ON_ITSELF)
		describe(&header, overlay_fd, size, OVERLAY_ABOVE_OVERLAY);
	FUZZ_CHECK(pwrite(overlay_fd, &header, sizeof(header), (off_t)data_size) > 0);
}

/* What an exporter may rely on. */
static void check_source(const struct export_source *source, uint64_t data_size)
{
	struct error error = {0};
	struct stat st;
	int out = memfd_create("out", MFD_CLOEXEC);

	FUZZ_CHECK(overlay_blocks(source->size) * DISK_BLOCK == data_size);
	FUZZ_CHECK(source->image_size <= source->size);
	FUZZ_CHECK(source->overlay_count > 0 && source->overlay_count <= DISK_LAYERS_MAX);
	FUZZ_CHECK(export_write(source, out, NULL, NULL, &error) == 0);
	FUZZ_CHECK(fstat(out, &st) == 0 && (uint64_t)st.st_size == source->size);
	close(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	uint64_t blocks = 1 + input_take(&input, 1) % BLOCKS_MAX, flags = input_take(&input, 1);
	uint64_t data_size = blocks * DISK_BLOCK;
	uint64_t file_size = overlay_map_offset(data_size) + overlay_map_bytes(data_size);
	struct export_source source;
	struct error error = {0};
	char path[32];
	int rc;

	set_up();
	FUZZ_CHECK(ftruncate(overlay_fd, 0) == 0 && ftruncate(overlay_fd, (off_t)file_size) == 0);
	write_header(&input, flags, data_size, file_size);
	FUZZ_CHECK(pwrite(overlay_fd, input.at, input.left % PAGE_BYTES,
			  (off_t)overlay_map_offset(data_size)) >= 0);
	set_date(overlay_fd);
	set_date(image_fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", overlay_fd);
	rc = export_open_chain(path, &source, &error);
	if (rc < 0) {
		FUZZ_CHECK(rc == -error.code && error.text[0] != '\0');
		return 0;
	}
	check_source(&source, data_size);
	export_close_chain(&source);
	return 0;
}
