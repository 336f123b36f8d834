/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/trouble.c: what goes wrong, for the guest and for people. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/block/fixture.h"
#include "vmm/base/util.h"
#include "vmm/block/internal.h"

#define SIZE (1 * MIB)

static struct disk *start_with(struct disk_config config)
{
	struct disk *disk = fixture_open(&config);

	fixture_start(disk);
	return disk;
}

/* Exactly this is to be told, and once. */
static void check_trouble(struct disk *disk, int code, const char *words)
{
	struct error error = {0};

	cr_assert(disk_take_trouble(disk, &error));
	cr_assert_eq(error.code, code);
	cr_assert_not_null(strstr(error.text, words), "%s", error.text);
	cr_assert_not(disk_take_trouble(disk, &error), "%s", error.text);
}

static void reach_limit(struct disk_config config)
{
	uint8_t *memory = calloc(1, 64 * KIB), *wanted = malloc(SIZE);
	struct disk *disk;

	config.overlay.limit = 10 * DISK_BLOCK;
	disk = start_with(config);
	fixture_fill(1, wanted, SIZE);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 0, 8 * DISK_BLOCK, memory), 0);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 64 * KIB, 3 * DISK_BLOCK, memory), -ENOSPC);
	check_trouble(disk, ENOSPC, "limit of 40 KiB");
	cr_assert_eq(fixture_io(disk, DISK_READ, 64 * KIB, 4 * DISK_BLOCK, memory), 0);
	cr_assert_eq(memcmp(memory, wanted + 64 * KIB, 4 * DISK_BLOCK), 0,
		     "nothing of it is there");
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 64 * KIB + 512, DISK_BLOCK, memory), 0);
	cr_assert_eq(disk_get_stats(disk)->overlay_bytes, 10 * DISK_BLOCK);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 128 * KIB, 512, memory), -ENOSPC);
	cr_assert_eq(fixture_io(disk, DISK_WRITE_ZEROES, 128 * KIB, 512, NULL), -ENOSPC);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 0, 8 * DISK_BLOCK, memory), 0, "held already");
	cr_assert_eq(fixture_io(disk, DISK_DISCARD, 128 * KIB, SIZE - 128 * KIB, NULL), 0,
		     "holes need no room");
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 128 * KIB, 512, memory), -ENOSPC);
	cr_assert_eq(fixture_io(disk, DISK_WRITE_ZEROES, 512, 7 * DISK_BLOCK, NULL), 0);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 128 * KIB, 512, memory), 0);
	disk_free(disk);
	free(memory);
	free(wanted);
}

Test(trouble, limit)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));

	reach_limit(config);
	config = fixture_config(fixture_image(false, 1, SIZE));
	config.overlay.data_fd = fixture_file(false);
	reach_limit(config);
	config = fixture_config(fixture_image(false, 1, SIZE));
	config.force_sync = true;
	reach_limit(config);
}

/* The same block many times at once needs room for one; what looks like more than there is waits.
 */
Test(trouble, limit_is_exact_for_writes_at_once)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct disk_request requests[32];
	uint8_t block[DISK_BLOCK] = {0};
	struct iovec iov = {block, sizeof(block)};
	struct disk *disk;

	config.overlay.data_fd = fixture_file(false);
	config.overlay.limit = 2 * DISK_BLOCK;
	disk = start_with(config);
	for (uint32_t i = 0; i < 32; i++) {
		requests[i] = (struct disk_request){.op = DISK_WRITE,
						    .offset = (i % 2) * DISK_BLOCK,
						    .length = DISK_BLOCK,
						    .iov = &iov,
						    .iov_count = 1};
		disk_submit(disk, &requests[i]);
	}
	disk_kick_wait(disk);
	while (disk_reap(disk))
		;
	for (uint32_t i = 0; i < 32; i++)
		cr_assert_eq(requests[i].result, 0);
	cr_assert_eq(disk_get_stats(disk)->overlay_bytes, 2 * DISK_BLOCK);
	cr_assert_gt(disk_get_stats(disk)->alone, 0);
	disk_free(disk);
}

static void shrink(bool in_memory, bool force_sync)
{
	int fd = fixture_image(in_memory, 1, SIZE), copy = dup(fd);
	struct disk_config config = fixture_config(fd);
	uint8_t *memory = malloc(SIZE), *model = malloc(SIZE);
	struct disk *disk;

	config.force_sync = force_sync;
	disk = start_with(config);
	fixture_fill(1, model, SIZE);
	cr_assert_eq(ftruncate(copy, SIZE / 2 + 1024), 0);
	cr_assert_eq(fixture_io(disk, DISK_READ, 0, SIZE / 2, memory), 0);
	cr_assert_eq(memcmp(memory, model, SIZE / 2), 0);
	cr_assert_eq(fixture_io(disk, DISK_READ, 0, SIZE, memory), -EIO);
	cr_assert_eq(fixture_io(disk, DISK_READ, SIZE - 4096, 4096, memory), -EIO);
	check_trouble(disk, EIO, "smaller");
	cr_assert_eq(fixture_io(disk, DISK_WRITE, SIZE - 512, 512, memory), -EIO,
		     "the rest of the block is not to be had");
	cr_assert_eq(disk->top->claimed, 0);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, SIZE - 4096, 4096, memory), 0);
	cr_assert_eq(fixture_io(disk, DISK_READ, SIZE - 4096, 4096, memory), 0);
	disk_free(disk);
	close(copy);
	free(memory);
	free(model);
}

Test(trouble, image_that_shrank)
{
	shrink(false, false);
	shrink(false, true);
	shrink(true, false);
}

Test(trouble, full_host)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	uint8_t *memory = calloc(1, SIZE), *model = malloc(SIZE);
	struct disk *disk;

	config.overlay.data_fd = fixture_mounted_file("tmpfs", "size=64k");
	disk = start_with(config);
	fixture_fill(1, model, SIZE);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 0, 32 * KIB, memory), 0);
	memset(model, 0, 32 * KIB);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 128 * KIB, 128 * KIB, memory), -ENOSPC);
	check_trouble(disk, ENOSPC, "no space left");
	fixture_check(disk, model);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 512, 4096, memory), 0);
	cr_assert_eq(disk->top->claimed, 0);
	disk_free(disk);
	free(memory);
	free(model);
}

Test(trouble, file_system_without_holes)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	uint8_t *model = malloc(SIZE);
	struct disk *disk;

	config.overlay.data_fd = fixture_mounted_file("ramfs", NULL);
	config.overlay.limit = 10 * DISK_BLOCK;
	disk = start_with(config);
	fixture_fill(1, model, SIZE);
	cr_assert_eq(fixture_io(disk, DISK_DISCARD, 0, SIZE, NULL), 0, "it may do nothing");
	fixture_check(disk, model);
	cr_assert_eq(fixture_io(disk, DISK_WRITE_ZEROES, 1024, 8 * DISK_BLOCK, NULL), 0);
	memset(model + 1024, 0, 8 * DISK_BLOCK);
	fixture_check(disk, model);
	cr_assert_eq(disk_get_stats(disk)->overlay_bytes, 9 * DISK_BLOCK);
	cr_assert_eq(fixture_io(disk, DISK_WRITE_ZEROES, SIZE / 2, 8 * DISK_BLOCK, NULL), -ENOSPC);
	check_trouble(disk, ENOSPC, "limit");
	disk_free(disk);
	free(model);
}

/* A write that the file system ends early; io_uring's threads share our limits. */
static int write_beyond_file_limit(void *context)
{
	const struct rlimit limit = {SIZE / 2, SIZE / 2};
	uint8_t *memory = calloc(1, SIZE);
	struct disk *disk = context;
	struct error error = {0};

	fixture_start(disk);
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return 1;
	if (fixture_io(disk, DISK_WRITE, SIZE / 2 - 4096, 8192, memory) != -EFBIG)
		return 2;
	if (disk->top->claimed != 0 || disk->top->data != 0)
		return 3;
	if (fixture_io(disk, DISK_WRITE, SIZE / 2 + 512, 512, memory) != -EFBIG)
		return 4;
	if (fixture_io(disk, DISK_WRITE, SIZE / 2 - 4096, 4096, memory) != 0)
		return 5;
	if (fixture_io(disk, DISK_WRITE_ZEROES, SIZE / 2 + 512, 512, NULL) != -EFBIG)
		return 6;
	if (!disk_take_trouble(disk, &error) || !strstr(error.text, "writes fail"))
		return 7;
	free(memory);
	return 0;
}

Test(trouble, writes_that_fail)
{
	for (int i = 0; i < 2; i++) {
		struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
		struct disk *disk;

		config.overlay.data_fd = fixture_file(false);
		config.force_sync = i;
		disk = fixture_open(&config);
		cr_assert_eq(helper_in_child(write_beyond_file_limit, disk), 0);
		disk_free(disk);
	}
}

static int read_what_cannot_be_read(void *context)
{
	uint8_t memory[DISK_BLOCK] = {0};
	struct disk *disk = context;
	struct error error = {0};

	fixture_start(disk);
	fixture_refuse(SYS_preadv, EIO);
	if (fixture_io(disk, DISK_READ, 0, 4096, memory) != -EIO)
		return 1;
	if (fixture_io(disk, DISK_WRITE, 512, 512, memory) != -EIO)
		return 2;
	if (disk->top->claimed != 0 || disk->top->data != 0)
		return 3;
	if (fixture_io(disk, DISK_WRITE, 0, 4096, memory) != 0)
		return 4;
	return disk_take_trouble(disk, &error) && strstr(error.text, "reads fail") ? 0 : 5;
}

Test(trouble, reads_that_fail)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct disk *disk;

	config.force_sync = true;
	disk = fixture_open(&config);
	cr_assert_eq(helper_in_child(read_what_cannot_be_read, disk), 0);
	disk_free(disk);
}
