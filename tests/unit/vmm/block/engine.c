/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/engine.c, pieces.c, change.c and trouble.c: requests of every kind. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
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

static struct disk *start_image(void)
{
	return start_with(fixture_config(fixture_image(false, 1, SIZE)));
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

Test(engine, malformed_requests)
{
	struct disk *disk = start_image();
	uint8_t memory[8192];
	struct iovec many[DISK_IOV_MAX + 1] = {{0}}, iov = {memory, 4096};
	struct disk_request request = {
		.op = DISK_WRITE, .length = 8192, .iov = &iov, .iov_count = 1};
	struct error error;

	cr_assert_eq(fixture_io(disk, DISK_READ, 100, 512, memory), -EINVAL);
	cr_assert_eq(fixture_io(disk, DISK_READ, 512, 100, memory), -EINVAL);
	cr_assert_eq(fixture_io(disk, DISK_READ, SIZE, 512, memory), -EINVAL);
	cr_assert_eq(fixture_io(disk, DISK_READ, SIZE - 512, 1024, memory), -EINVAL);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, UINT64_MAX - 511, 512, memory), -EINVAL);
	cr_assert_eq(fixture_io(disk, DISK_DISCARD, 0, UINT64_MAX - 511, NULL), -EINVAL);
	disk_submit(disk, &request);
	cr_assert_eq(disk_reap(disk), &request);
	cr_assert_eq(request.result, -EINVAL, "memory for half of it");
	request.iov = many;
	request.iov_count = DISK_IOV_MAX + 1;
	request.length = 0;
	disk_submit(disk, &request);
	cr_assert_eq(disk_reap(disk), &request);
	cr_assert_eq(request.result, -EINVAL);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, SIZE, 0, memory), 0, "nothing at all");
	cr_assert_eq(disk_get_stats(disk)->errors, 8);
	cr_assert_not(disk_take_trouble(disk, &error));
	disk_free(disk);
}

Test(engine, one_enter_a_pass)
{
	struct disk *disk = start_image();
	uint8_t *memory = malloc(64 * 4096ul), wanted[4096];
	struct disk_request requests[64];
	const struct disk_stats *stats = disk_get_stats(disk);
	struct iovec iov[64];
	uint64_t counted = 0;

	for (uint32_t i = 0; i < 64; i++) {
		iov[i] = (struct iovec){memory + i * 4096ul, 4096};
		requests[i] = (struct disk_request){.op = DISK_READ,
						    .offset = (63 - i) * 4096ull,
						    .length = 4096,
						    .iov = &iov[i],
						    .iov_count = 1};
		disk_submit(disk, &requests[i]);
	}
	cr_assert_eq(stats->enters, 0);
	disk_kick_wait(disk);
	while (disk_reap(disk))
		;
	for (uint32_t i = 0; i < 64; i++) {
		uint8_t *whole = malloc(64 * 4096ul);

		fixture_fill(1, whole, 64 * 4096ul);
		memcpy(wanted, whole + (63 - i) * 4096ul, 4096);
		free(whole);
		cr_assert_eq(requests[i].result, 0);
		cr_assert_eq(memcmp(memory + i * 4096ul, wanted, 4096), 0);
	}
	cr_assert_eq(stats->enters, 1);
	cr_assert_eq(stats->submitted, 64);
	cr_assert_eq(stats->sync, 0);
	cr_assert_eq(stats->passes, 1);
	cr_assert_eq(stats->pass_max, 64);
	cr_assert_eq(stats->depth_max, 64);
	cr_assert_eq(stats->depth_sum, 64);
	cr_assert_eq(stats->reaps, 1);
	cr_assert_eq(stats->reaped, 64);
	cr_assert_eq(stats->requests[DISK_READ], 64);
	cr_assert_eq(stats->bytes[DISK_READ], 64 * 4096);
	for (uint32_t i = 0; i < DISK_LATENCY_BUCKETS; i++)
		counted += stats->latency_us[i];
	cr_assert_eq(counted, 64);
	disk_kick(disk);
	cr_assert_eq(stats->passes, 1, "nothing to do");
	disk_free(disk);
	free(memory);
}

Test(engine, drained_and_reaped_later)
{
	struct disk *disk = start_image();
	uint8_t memory[4096], wanted[4096];
	struct iovec iov = {memory, 4096};
	struct disk_request request = {
		.op = DISK_READ, .length = 4096, .iov = &iov, .iov_count = 1};
	struct pollfd event = {.fd = disk_event_fd(disk), .events = POLLIN};

	cr_assert_eq(poll(&event, 1, 0), 0);
	disk_submit(disk, &request);
	disk_drain(disk);
	cr_assert_eq(disk_in_flight(disk), 1);
	fixture_fill(1, wanted, 4096);
	cr_assert_eq(memcmp(memory, wanted, 4096), 0);
	cr_assert_eq(disk_reap(disk), &request);
	cr_assert_null(disk_reap(disk));
	cr_assert_eq(poll(&event, 1, 0), 0);
	disk_free(disk);
}

Test(engine, memory_that_is_none)
{
	struct disk_config config = fixture_config(fixture_image(true, 1, SIZE));
	struct disk *disk = start_image(), *in_memory = start_with(config);
	struct error error;

	cr_assert_eq(fixture_io(disk, DISK_READ, 0, 4096, (void *)8), -EFAULT);
	cr_assert_eq(fixture_io(in_memory, DISK_READ, 0, 4096, (void *)8), -EFAULT);
	cr_assert_eq(fixture_io(in_memory, DISK_WRITE, 0, 4096, (void *)8), -EFAULT);
	cr_assert_not(disk_take_trouble(disk, &error), "the guest did it");
	cr_assert_eq(in_memory->top->data, 0);
	cr_assert_eq(in_memory->top->claimed, 0);
	disk_free(disk);
	disk_free(in_memory);
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

Test(engine, limit)
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
Test(engine, limit_is_exact_for_writes_at_once)
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

Test(engine, image_that_shrank)
{
	shrink(false, false);
	shrink(false, true);
	shrink(true, false);
}

Test(engine, full_host)
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

Test(engine, file_system_without_holes)
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

Test(engine, writes_that_fail)
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

Test(engine, reads_that_fail)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct disk *disk;

	config.force_sync = true;
	disk = fixture_open(&config);
	cr_assert_eq(helper_in_child(read_what_cannot_be_read, disk), 0);
	disk_free(disk);
}

Test(engine, more_pieces_than_a_ring_holds)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct disk_overlay storage = {.data_fd = -1};
	uint8_t *model = malloc(SIZE), *memory = malloc(SIZE);
	struct iovec iov[DISK_IOV_MAX];
	struct disk_request request = {
		.op = DISK_READ, .length = SIZE, .iov = iov, .iov_count = DISK_IOV_MAX};
	struct disk *disk;

	config.overlay.data_fd = fixture_file(false);
	config.depth = 4;
	disk = start_with(config);
	fixture_fill(1, model, SIZE);
	for (uint64_t at = 0; at < SIZE; at += 2 * DISK_BLOCK) {
		memset(model + at, (int)at, DISK_BLOCK);
		cr_assert_eq(fixture_io(disk, DISK_WRITE, at, DISK_BLOCK, model + at), 0);
	}
	fixture_freeze(disk);
	fixture_clone(disk, &storage);
	fixture_start(disk);
	for (uint32_t i = 0; i < DISK_IOV_MAX; i++)
		iov[i] = (struct iovec){memory + i * 1024ul, 1024};
	disk_submit(disk, &request);
	disk_kick_wait(disk);
	cr_assert_eq(disk_reap(disk), &request);
	cr_assert_eq(request.result, 0);
	cr_assert_eq(memcmp(memory, model, SIZE), 0);
	cr_assert_gt(disk_get_stats(disk)->sync, 0, "no room in the completion queue");
	disk_free(disk);
	free(model);
	free(memory);
}

Test(engine, iovecs_of_many_parts)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	struct disk_overlay storage = {.data_fd = -1};
	uint8_t *model = malloc(SIZE), *memory = malloc(4 * SIZE);
	struct iovec iov[DISK_IOV_MAX];
	struct disk_request requests[4];
	struct disk *disk;

	config.overlay.data_fd = fixture_file(false);
	config.depth = 1024;
	disk = start_with(config);
	fixture_fill(1, model, SIZE);
	cr_assert_eq(fixture_io(disk, DISK_WRITE, 0, DISK_BLOCK, memset(model, 9, DISK_BLOCK)), 0);
	fixture_freeze(disk);
	fixture_clone(disk, &storage);
	fixture_start(disk);
	for (uint32_t r = 0; r < 4; r++) {
		for (uint32_t i = 0; i < DISK_IOV_MAX; i++)
			iov[i] = (struct iovec){memory + i * 1024ul, 1024};
		requests[r] = (struct disk_request){
			.op = DISK_READ, .length = SIZE, .iov = iov, .iov_count = DISK_IOV_MAX};
		disk_submit(disk, &requests[r]);
	}
	cr_assert_gt(disk_get_stats(disk)->enters, 0, "room for iovecs had to be made");
	disk_kick_wait(disk);
	while (disk_reap(disk))
		;
	for (uint32_t r = 0; r < 4; r++)
		cr_assert_eq(requests[r].result, 0);
	cr_assert_eq(memcmp(memory, model, SIZE), 0);
	disk_free(disk);
	free(model);
	free(memory);
}
