/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/disk.c: a disk's life. */
#include "vmm/block/disk.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/block/fixture.h"
#include "vmm/base/util.h"
#include "vmm/block/internal.h"

#define SIZE (256 * KIB)

static struct disk *open_image(uint64_t seed)
{
	struct disk_config config = fixture_config(fixture_image(false, seed, SIZE));

	return fixture_open(&config);
}

/* disk_open says no, with this text, and keeps nothing. */
static void refuse(struct disk_config config, int code, const char *words)
{
	size_t before = helper_count_fds();
	struct error error = {0};
	struct disk *disk = NULL;

	before -= (config.image_fd >= 0 ? 1u : 0u) + (config.overlay.data_fd >= 0 ? 1u : 0u);
	cr_assert_eq(disk_open(&config, &disk, &error), -code, "%s", error.text);
	cr_assert_not_null(strstr(error.text, words), "%s", error.text);
	cr_assert_null(disk);
	cr_assert_eq(helper_count_fds(), before);
}

Test(disk, sizes)
{
	const uint64_t good[] = {512, 4096, 4608, SIZE};
	struct disk_config config;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct disk *disk;

		config = fixture_config(fixture_image(false, 1, good[i]));
		disk = fixture_open(&config);
		cr_assert_eq(disk_size(disk), good[i]);
		cr_assert_eq(disk_get_mode(disk), DISK_OVERLAY);
		disk_free(disk);
	}
	refuse(fixture_config(fixture_file(false)), EINVAL, "is empty");
	refuse(fixture_config(fixture_image(false, 1, 511)), EINVAL, "not a multiple of 512");
	refuse(fixture_config(fixture_image(false, 1, 4097)), EINVAL, "4097 bytes");
	config = fixture_config(fixture_image(false, 1, SIZE));
	config.size = SIZE - 512;
	refuse(config, EINVAL, "made larger");
	config = fixture_config(fixture_image(false, 1, SIZE));
	config.size = SIZE + 5;
	refuse(config, EINVAL, "not a multiple");
	config = fixture_config(fixture_image(false, 1, SIZE));
	config.size = 1ull << 61;
	refuse(config, EFBIG, "too many");
	config = fixture_config(fixture_image(false, 1, SIZE));
	config.size = 2 * SIZE;
	config.mode = DISK_WRITE_THROUGH;
	refuse(config, EINVAL, "by an overlay");
}

Test(disk, depths)
{
	const uint32_t bad[] = {0, 3, 2 * DISK_DEPTH_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));

		config.depth = bad[i];
		refuse(config, EINVAL, "power of two");
	}
}

Test(disk, refused_descriptors)
{
	struct disk_config config = fixture_config(open("/", O_RDONLY | O_CLOEXEC));

	refuse(config, EISDIR, "directory");
	config = fixture_config(open("/dev/null", O_RDONLY | O_CLOEXEC));
	config.mode = DISK_WRITE_THROUGH;
	refuse(config, EINVAL, "character device");
	config = fixture_config(fixture_image(false, 1, SIZE));
	config.overlay.data_fd = fixture_image(false, 1, 4096);
	refuse(config, EINVAL, "not empty");
	config = fixture_config(fixture_image(false, 1, SIZE));
	config.durable = true;
	refuse(config, EINVAL, "needs a file");
	config = fixture_config(-1);
	config.mode = DISK_READ_ONLY;
	config.size = SIZE;
	refuse(config, EINVAL, "without an image");
}

Test(disk, without_an_image)
{
	struct disk_config config = fixture_config(-1);
	uint8_t *model = calloc(1, SIZE);
	struct export_source source;
	struct disk *disk;

	config.size = SIZE;
	disk = fixture_open(&config);
	fixture_start(disk);
	fixture_check(disk, model);
	memset(model + 5120, 1, 1024);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 5120, 1024, model + 5120), 0);
	fixture_check(disk, model);
	disk_get_source(disk, &source);
	fixture_check_export(&source, model);
	disk_free(disk);
	free(model);
}

Test(disk, read_only)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	size_t before = helper_count_fds();
	uint8_t *model = malloc(SIZE), sector[DISK_SECTOR] = {0};
	struct disk_overlay storage = {.data_fd = fixture_file(false)};
	struct disk *disk;

	fixture_fill(1, model, SIZE);
	config.mode = DISK_READ_ONLY;
	disk = fixture_open(&config);
	fixture_start(disk);
	fixture_check(disk, model);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 0, 512, sector), -EROFS);
	cr_assert_eq(fixture_io(disk, DISK_DISCARD, 0, 4096, NULL), -EROFS);
	cr_assert_eq(fixture_io(disk, DISK_WRITE_ZEROES, 0, 4096, NULL), -EROFS);
	cr_assert_eq(fixture_io(disk, DISK_FLUSH, 0, 0, NULL), 0);
	fixture_freeze(disk);
	fixture_clone(disk, &storage);
	fixture_start(disk);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 0, 512, sector), -EROFS);
	fixture_check(disk, model);
	disk_free(disk);
	cr_assert_eq(helper_count_fds(), before - 1);
	free(model);
}

static void write_through(bool force_sync, enum disk_direct direct)
{
	int fd = fixture_image(false, 1, SIZE), copy = dup(fd);
	struct disk_config config = fixture_config(fd);
	uint8_t *model = malloc(SIZE), *memory = malloc(SIZE);
	struct error error = {0};
	struct disk *disk;

	config.mode = DISK_WRITE_THROUGH;
	config.force_sync = force_sync;
	config.direct = direct;
	config.durable = true;
	disk = fixture_open(&config);
	fixture_start(disk);
	fixture_fill(1, model, SIZE);
	fixture_check(disk, model);
	memset(model + 1024, 7, 9216);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 1024, 9216, model + 1024), 0);
	cr_assert_eq(fixture_io(disk, DISK_WRITE_ZEROES, 20480 + 512, 8192, NULL), 0);
	memset(model + 20480 + 512, 0, 8192);
	cr_assert_eq(fixture_io(disk, DISK_DISCARD, 40960 + 512, 8192, NULL), 0);
	memset(model + 45056, 0, 4096);
	cr_assert_eq(fixture_io(disk, DISK_FLUSH, 0, 0, NULL), 0);
	fixture_check(disk, model);
	cr_assert_eq(pread(copy, memory, SIZE, 0), (ssize_t)SIZE);
	cr_assert_eq(memcmp(memory, model, SIZE), 0);
	cr_assert_eq(disk_freeze(disk, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "written through"), "%s", error.text);
	disk_free(disk);
	close(copy);
	free(model);
	free(memory);
}

Test(disk, write_through)
{
	write_through(false, DISK_DIRECT_OFF);
	write_through(true, DISK_DIRECT_OFF);
	write_through(false, DISK_DIRECT_ON);
}

struct family {
	struct disk *disk;
	uint8_t *model;
};

/* A clone that finds the template's disk, and leaves its own. */
static int live_as_clone(void *context)
{
	struct disk_overlay storage = DISK_OVERLAY_IN_MEMORY;
	const struct family *family = context;

	fixture_clone(family->disk, &storage);
	fixture_start(family->disk);
	fixture_check(family->disk, family->model);
	memset(family->model + 7168, 3, 8192);
	if (fixture_io(family->disk, DISK_WRITE, 7168, 8192, family->model + 7168) != 0)
		return 1;
	fixture_check(family->disk, family->model);
	disk_free(family->disk);
	return 0;
}

Test(disk, clones_share_nothing_they_write)
{
	struct family family = {open_image(1), malloc(SIZE)};

	fixture_fill(1, family.model, SIZE);
	fixture_start(family.disk);
	memset(family.model + 8192, 2, 4096);
	cr_assert_eq(fixture_io(family.disk, DISK_WRITE, 8192, 4096, family.model + 8192), 0);
	fixture_freeze(family.disk);
	cr_assert_eq(helper_in_child(live_as_clone, &family), 0);
	cr_assert_eq(helper_in_child(live_as_clone, &family), 0);
	cr_assert_eq(live_as_clone(&family), 0);
	free(family.model);
}

Test(disk, a_template_that_wrote_nothing_leaves_no_layer)
{
	struct disk_overlay storage = DISK_OVERLAY_IN_MEMORY;
	struct disk *disk = open_image(1);
	struct export_source source;

	fixture_start(disk);
	fixture_freeze(disk);
	disk_get_source(disk, &source);
	cr_assert_eq(source.overlay_count, 0);
	fixture_clone(disk, &storage);
	fixture_start(disk);
	cr_assert_eq(fixture_io(disk, DISK_DISCARD, 0, SIZE, NULL), 0);
	fixture_freeze(disk);
	disk_get_source(disk, &source);
	cr_assert_eq(source.overlay_count, 1, "holes are something");
	disk_free(disk);
}

Test(disk, as_many_layers_as_there_may_be)
{
	struct disk_overlay storage = DISK_OVERLAY_IN_MEMORY;
	struct disk *disk = open_image(1);
	uint8_t *model = malloc(SIZE);
	struct error error = {0};

	fixture_fill(1, model, SIZE);
	for (uint8_t i = 1; i <= DISK_LAYERS_MAX; i++) {
		fixture_start(disk);
		memset(model + i * 3072ul, i, 2048);
		cr_assert_eq(fixture_io(disk, DISK_WRITE, i * 3072ul, 2048, model + i * 3072ul), 0);
		fixture_check(disk, model);
		fixture_freeze(disk);
		storage.data_fd = fixture_file(i % 2);
		if (i < DISK_LAYERS_MAX)
			fixture_clone(disk, &storage);
	}
	cr_assert_eq(disk_clone(disk, &storage, &error), -EINVAL);
	cr_assert_not_null(strstr(error.text, "more than 8"), "%s", error.text);
	cr_assert_eq(fcntl(storage.data_fd, F_GETFD), -1);
	disk_free(disk);
	free(model);
}

Test(disk, empty_slot)
{
	struct disk_overlay storage = DISK_OVERLAY_IN_MEMORY;
	struct disk_config empty = {.image_fd = -1, .overlay = DISK_OVERLAY_IN_MEMORY}, config;
	struct disk *disk = fixture_open(&empty);
	uint8_t *model = malloc(SIZE);
	struct error error = {0};

	cr_assert_eq(disk_size(disk), 0);
	fixture_start(disk);
	cr_assert_eq(disk_event_fd(disk), -1);
	cr_assert_eq(fixture_io(disk, DISK_FLUSH, 0, 0, NULL), 0);
	cr_assert_eq(fixture_io(disk, DISK_READ, 0, 512, model), -EINVAL);
	fixture_freeze(disk);
	fixture_clone(disk, &storage);
	config = fixture_config(open("/", O_RDONLY | O_CLOEXEC));
	cr_assert_eq(disk_insert(disk, &config, &error), -EISDIR);
	config = fixture_config(fixture_image(false, 2, SIZE));
	config.overlay.data_fd = fixture_image(false, 2, 1);
	cr_assert_eq(disk_insert(disk, &config, &error), -EINVAL);
	cr_assert_eq(disk_size(disk), 0);
	config = fixture_config(fixture_image(false, 2, SIZE));
	cr_assert_eq(disk_insert(disk, &config, &error), 0, "%s", error.text);
	cr_assert_eq(disk_size(disk), SIZE);
	fixture_start(disk);
	fixture_fill(2, model, SIZE);
	fixture_check(disk, model);
	disk_free(disk);
	free(model);
}

Test(disk, figures_are_of_this_process)
{
	struct disk_overlay storage = DISK_OVERLAY_IN_MEMORY;
	struct disk *disk = open_image(1);
	uint8_t block[DISK_BLOCK] = {0};

	fixture_start(disk);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 0, sizeof(block), block), 0);
	cr_assert_eq(disk_get_stats(disk)->overlay_bytes, DISK_BLOCK);
	cr_assert_eq(disk_get_stats(disk)->requests[DISK_WRITE], 1);
	fixture_freeze(disk);
	cr_assert_eq(disk_get_stats(disk)->requests[DISK_WRITE], 1, "the template's last");
	fixture_clone(disk, &storage);
	fixture_start(disk);
	cr_assert_eq(disk_get_stats(disk)->requests[DISK_WRITE], 0);
	cr_assert_eq(disk_get_stats(disk)->overlay_bytes, 0);
	disk_free(disk);
}

/* The overlay is made when the first change comes, or with the next one. */
static int write_without_descriptors(void *context)
{
	uint8_t memory[DISK_BLOCK] = {0};
	struct error error = {0};

	if (fixture_io(context, DISK_WRITE, 0, sizeof(memory), memory) != -EMFILE)
		return 1;
	if (fixture_io(context, DISK_READ, 0, sizeof(memory), memory) != 0)
		return 2;
	return disk_take_trouble(context, &error) && strstr(error.text, "writes fail") ? 0 : 3;
}

static int start_without_descriptors(void *context)
{
	struct error error = {0};

	if (disk_start(context, &error) != -EMFILE)
		return 1;
	return strstr(error.text, "io_uring") ? 0 : 2;
}

Test(disk, no_descriptor_is_left)
{
	struct disk *disk = open_image(1);
	uint8_t memory[DISK_BLOCK] = {0};

	cr_assert_eq(helper_without_descriptors(start_without_descriptors, disk), 0);
	/* A ring cannot be shared with a child. */
	disk->force_sync = true;
	fixture_start(disk);
	cr_assert_eq(helper_without_descriptors(write_without_descriptors, disk), 0);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 0, sizeof(memory), memory), 0);
	disk_stop(disk);
	disk_free(disk);
}

Test(disk, nothing_leaks)
{
	size_t before = helper_count_fds();
	struct disk_overlay storage = DISK_OVERLAY_IN_MEMORY;
	struct disk *disk = open_image(1);

	fixture_start(disk);
	disk_stop(disk);
	fixture_start(disk);
	fixture_freeze(disk);
	fixture_clone(disk, &storage);
	fixture_start(disk);
	disk_free(disk);
	disk_free(NULL);
	cr_assert_eq(helper_count_fds(), before);
}
