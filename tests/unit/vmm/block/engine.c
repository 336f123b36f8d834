/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/engine.c, pieces.c and change.c: requests of every kind. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static void submit_write(struct disk *disk, struct disk_request *request, struct iovec *iov,
			 void *memory, uint64_t offset)
{
	*iov = (struct iovec){memory, DISK_BLOCK};
	*request = (struct disk_request){.op = DISK_WRITE,
					 .offset = offset,
					 .length = DISK_BLOCK,
					 .iov = iov,
					 .iov_count = 1};
	disk_submit(disk, request);
}

/* Memory that O_DIRECT does not like, beside memory that it does. */
Test(engine, no_two_views_of_a_file_are_written_at_once)
{
	struct disk_config config = fixture_config(fixture_image(false, 1, SIZE));
	uint8_t *memory = aligned_alloc(DISK_BLOCK, 4ul * DISK_BLOCK);
	struct disk_request requests[3];
	struct iovec iov[3];
	struct disk *disk;

	memset(memory, 0, 4ul * DISK_BLOCK);
	config.overlay.data_fd = fixture_file(false);
	config.direct = DISK_DIRECT_ON;
	disk = start_with(config);
	submit_write(disk, &requests[0], &iov[0], memory, 0);
	cr_assert_not(disk->alone);
	submit_write(disk, &requests[1], &iov[1], memory + 1, DISK_BLOCK);
	cr_assert_eq(disk->waiting.first, &requests[1]);
	disk_kick_wait(disk);
	while (disk_reap(disk))
		;
	submit_write(disk, &requests[1], &iov[1], memory + 1, DISK_BLOCK);
	cr_assert(disk->alone);
	submit_write(disk, &requests[2], &iov[2], memory, 2ul * DISK_BLOCK);
	cr_assert_eq(disk->waiting.first, &requests[2]);
	disk_kick_wait(disk);
	while (disk_reap(disk))
		;
	cr_assert_not(disk->alone);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(requests[i].result, 0);
	disk_free(disk);
	free(memory);
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

/* The kernel reads 2 GiB at most by one submission; most of the memory here is the same. */
Test(engine, more_than_one_submission_can_transfer)
{
	const uint64_t part = 2 * MIB + 16 * KIB, last = (DISK_IOV_MAX - 1) * part;
	struct disk_config config = fixture_config(fixture_file(false));
	uint8_t *memory = aligned_alloc(DISK_BLOCK, part), *end = aligned_alloc(DISK_BLOCK, 4096);
	struct iovec iov[DISK_IOV_MAX];
	struct disk_request request = {
		.op = DISK_READ, .length = last + 4096, .iov = iov, .iov_count = DISK_IOV_MAX};
	struct disk *disk;

	cr_assert_gt(last, 1ull << 31);
	cr_assert_eq(ftruncate(config.image_fd, (off_t)last + 4096), 0);
	cr_assert_eq(pwrite(config.image_fd, "end", 3, (off_t)last), 3);
	config.direct = DISK_DIRECT_ON;
	disk = start_with(config);
	for (uint32_t i = 0; i < DISK_IOV_MAX - 1; i++)
		iov[i] = (struct iovec){memory, part};
	iov[DISK_IOV_MAX - 1] = (struct iovec){end, 4096};
	memset(memory, 1, part);
	disk_submit(disk, &request);
	disk_kick_wait(disk);
	cr_assert_eq(disk_reap(disk), &request);
	cr_assert_eq(request.result, 0);
	cr_assert_eq(disk_get_stats(disk)->sync, 1, "the rest");
	cr_assert_eq(memcmp(end, "end", 4), 0);
	cr_assert_eq(memory[part - 1], 0);
	disk_free(disk);
	free(memory);
	free(end);
}
