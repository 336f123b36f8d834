/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/descriptors.c. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/block/fixture.h"
#include "vmm/base/util.h"

#define SIZE (64 * KIB)
#define FROM 700

struct family {
	struct disk *disk;
	uint8_t *model;
};

/* A frozen disk of an image and a file as overlay, both with O_DIRECT. */
static struct family make(void)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct family family = {.model = malloc(SIZE)};

	config.direct = DISK_DIRECT_ON;
	config.overlay.data_fd = fixture_file(false);
	family.disk = fixture_open(&config);
	fixture_fill(1, family.model, SIZE);
	fixture_start(family.disk);
	memset(family.model + 4096, 3, 4096);
	cr_assert_eq(fixture_io(family.disk, DISK_WRITE, 4096, 4096, family.model + 4096), 0);
	fixture_freeze(family.disk);
	return family;
}

/* With nothing open but the disk's own. */
static int live_on_these(void *context)
{
	struct disk_overlay storage = DISK_OVERLAY_IN_MEMORY;
	const struct family *family = context;

	if (close_range(0, FROM - 1, 0) < 0 || close_range(FROM + 4, ~0u, 0) < 0)
		return 1;
	fixture_clone(family->disk, &storage);
	fixture_start(family->disk);
	fixture_check(family->disk, family->model);
	memset(family->model, 4, 8192);
	if (fixture_io(family->disk, DISK_WRITE, 0, 8192, family->model) != 0)
		return 2;
	fixture_check(family->disk, family->model);
	return 0;
}

static void check_numbers(struct disk *disk, int from)
{
	int fds[8];

	cr_assert_eq(disk_descriptors(disk, fds, 8), 4);
	for (int i = 0; i < 4; i++) {
		cr_assert_eq(fds[i], from + i);
		cr_assert_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
	}
}

Test(descriptors, consecutive_numbers)
{
	size_t before = helper_count_fds();
	struct family family = make();
	struct error error = {0};

	cr_assert_eq(helper_count_fds(), before + 4, "none for bitmaps");
	cr_assert_eq(disk_move_descriptors(family.disk, FROM, &error), FROM + 4, "%s", error.text);
	check_numbers(family.disk, FROM);
	cr_assert_eq(helper_in_child(live_on_these, &family), 0);
	/* Onto themselves, and onto what somebody else has. */
	cr_assert_eq(disk_move_descriptors(family.disk, FROM + 2, &error), FROM + 6);
	check_numbers(family.disk, FROM + 2);
	cr_assert_eq(dup2(0, FROM), FROM);
	cr_assert_eq(disk_move_descriptors(family.disk, FROM - 1, &error), FROM + 3);
	check_numbers(family.disk, FROM - 1);
	cr_assert_eq(disk_move_descriptors(family.disk, FROM, &error), FROM + 4);
	cr_assert_eq(helper_in_child(live_on_these, &family), 0);
	disk_free(family.disk);
	free(family.model);
	cr_assert_eq(helper_count_fds(), before);
}

static int move_without_descriptors(void *context)
{
	struct family *family = context;
	struct error error = {0};
	int before[8], after[8];

	disk_descriptors(family->disk, before, 8);
	if (disk_move_descriptors(family->disk, FROM, &error) >= 0)
		return 1;
	disk_descriptors(family->disk, after, 8);
	return memcmp(before, after, 4 * sizeof(*before)) == 0 ? 0 : 2;
}

Test(descriptors, no_numbers_to_be_had)
{
	struct family family = make();

	cr_assert_eq(helper_without_descriptors(move_without_descriptors, &family), 0);
	disk_free(family.disk);
	free(family.model);
}

Test(descriptors, of_an_empty_slot)
{
	struct disk_config empty = {.image_fd = -1, .overlay = DISK_OVERLAY_IN_MEMORY};
	struct disk *disk = fixture_open(&empty);
	struct error error = {0};
	int fds[1];

	cr_assert_eq(disk_descriptors(disk, fds, 1), 0);
	cr_assert_eq(disk_move_descriptors(disk, FROM, &error), FROM);
	disk_free(disk);
}
