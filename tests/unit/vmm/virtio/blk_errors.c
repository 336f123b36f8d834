/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/virtio/blk.c: what drivers get wrong, and what the host cannot do. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/virtio/blk_bench.h"
#include "vmm/base/util.h"

#define CAPACITY    (BENCH_DISK_SIZE / 512)
#define RANGE_BYTES ((uint32_t)sizeof(struct virtio_blk_discard_write_zeroes))

static struct bench bench;

static void set_up(void)
{
	const struct bench_setup setup = {0};

	bench_start(&bench, &setup);
}

static void tear_down(void)
{
	bench_end(&bench);
}

TestSuite(blk_errors, .init = set_up, .fini = tear_down);

static void restart(const struct bench_setup *setup)
{
	bench_end(&bench);
	bench_start(&bench, setup);
}

static uint8_t io(uint32_t type, uint64_t sector, uint32_t len)
{
	return bench_do(&bench,
			&(struct bench_request){.type = type, .sector = sector, .len = len});
}

Test(blk_errors, sectors_and_lengths)
{
	static const struct {
		uint64_t sector;
		uint32_t len;
		uint8_t status;
	} cases[] = {
		{0, 0, VIRTIO_BLK_S_OK},
		{CAPACITY, 0, VIRTIO_BLK_S_OK},
		{CAPACITY - 1, 512, VIRTIO_BLK_S_OK},
		{CAPACITY + 1, 0, VIRTIO_BLK_S_IOERR},
		{CAPACITY, 512, VIRTIO_BLK_S_IOERR},
		{CAPACITY - 1, 1024, VIRTIO_BLK_S_IOERR},
		{UINT64_MAX, 512, VIRTIO_BLK_S_IOERR},
		{UINT64_MAX, 1024, VIRTIO_BLK_S_IOERR},
		{1ull << 55, 512, VIRTIO_BLK_S_IOERR},
		{0, 1, VIRTIO_BLK_S_IOERR},
		{0, 511, VIRTIO_BLK_S_IOERR},
		{0, 513, VIRTIO_BLK_S_IOERR},
	};

	memset(bench_at(&bench, DRIVER_DATA, 4096), 0x5a, 4096);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cr_assert_eq(io(VIRTIO_BLK_T_OUT, cases[i].sector, cases[i].len), cases[i].status,
			     "case %zu", i);
		cr_assert_eq(io(VIRTIO_BLK_T_IN, cases[i].sector, cases[i].len), cases[i].status,
			     "case %zu", i);
	}
	cr_assert_eq(disk_get_stats(bench.disk)->requests[DISK_READ], 1);
	cr_assert_eq(disk_get_stats(bench.disk)->requests[DISK_WRITE], 1);
	cr_assert_eq(bench.complaints, 0);
}

Test(blk_errors, a_failed_read_writes_nothing_but_its_status)
{
	memset(bench_at(&bench, DRIVER_DATA, 512), 0x5a, 512);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, CAPACITY, 512), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(driver_used(&bench.drivers[0], 0)->len, 1);
	for (uint64_t i = 0; i < 512; i++)
		cr_assert_eq(*bench_at(&bench, DRIVER_DATA + i, 1), 0x5a);
}

Test(blk_errors, types_there_are_none_of)
{
	static const uint32_t types[] = {2,  3,	 5,  6,	 7,	     9,		10,
					 12, 14, 15, 16, 0x80000000, UINT32_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		cr_assert_eq(io(types[i], 0, 512), VIRTIO_BLK_S_UNSUPP, "type %u", types[i]);
	cr_assert_eq(bench.complaints, 0);
}

static uint8_t range(uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes list = {sector, sectors, flags};

	memcpy(bench_at(&bench, DRIVER_DATA, RANGE_BYTES), &list, RANGE_BYTES);
	return io(type, 0, RANGE_BYTES);
}

Test(blk_errors, ranges)
{
	static const uint32_t types[] = {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		uint32_t type = types[i];

		cr_assert_eq(range(type, CAPACITY - 1, 1, 0), VIRTIO_BLK_S_OK);
		cr_assert_eq(range(type, CAPACITY, 0, 0), VIRTIO_BLK_S_OK);
		cr_assert_eq(range(type, CAPACITY - 1, 2, 0), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(range(type, UINT64_MAX, 2, 0), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(range(type, 0, UINT32_MAX, 0), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(range(type, 0, 8, 2), VIRTIO_BLK_S_UNSUPP);
		cr_assert_eq(range(type, 0, 8, 1u << 31), VIRTIO_BLK_S_UNSUPP);
		/* 5.2.6.2: the unmap flag belongs to write zeroes alone. */
		cr_assert_eq(range(type, 0, 8, 1), i == 0 ? VIRTIO_BLK_S_UNSUPP : VIRTIO_BLK_S_OK);
		cr_assert_eq(io(type, 0, 0), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(io(type, 0, RANGE_BYTES - 1), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(io(type, 0, RANGE_BYTES + 1), VIRTIO_BLK_S_IOERR);
		cr_assert_eq(io(type, 0, (VIRTIO_BLK_RANGES_MAX + 1) * RANGE_BYTES),
			     VIRTIO_BLK_S_IOERR);
	}
	cr_assert_eq(bench.complaints, 0);
}

/* One range that cannot be: none is carried out. */
Test(blk_errors, a_bad_range_among_good_ones)
{
	const struct virtio_blk_discard_write_zeroes list[] = {{0, 8, 0}, {CAPACITY, 1, 0}};

	bench_fill(&bench, DRIVER_DATA, 4096, 1);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 0, 4096), VIRTIO_BLK_S_OK);
	memcpy(bench_at(&bench, DRIVER_DATA, sizeof(list)), list, sizeof(list));
	cr_assert_eq(io(VIRTIO_BLK_T_WRITE_ZEROES, 0, sizeof(list)), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	cr_assert(bench_is(&bench, DRIVER_DATA, 4096, 1));
}

Test(blk_errors, what_was_not_negotiated)
{
	bench_negotiate(&bench, 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES);
	cr_assert_eq(range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	cr_assert_eq(range(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
}

Test(blk_errors, read_only)
{
	const struct bench_setup setup = {.disk.mode = DISK_READ_ONLY};

	restart(&setup);
	cr_assert(bench.blk.device.offered & 1ull << VIRTIO_BLK_F_RO);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(range(VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
	cr_assert_eq(io(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	cr_assert_eq(bench.complaints, 0);
}

/* ---- Chains that are no requests ---- */

static void expect_failure(const char *complaint)
{
	cr_assert(driver_read(&bench.mmio, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	cr_assert_str_eq(bench.complaint, complaint);
	cr_assert_eq(bench.complaints, 1);
	/* As good as new after a reset. */
	bench_negotiate(&bench, 0);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	cr_assert_leq(bench.blk.touched, 3);
}

/* One descriptor in descriptor 0, flags as given. */
static void offer_one(uint32_t len, int flags)
{
	driver_desc(&bench.drivers[0], DRIVER_DESC, 0, DRIVER_DATA, len, flags, 1);
	driver_offer(&bench.drivers[0], 0);
}

Test(blk_errors, no_status)
{
	offer_one(16, 0);
	bench_notify(&bench, 0);
	expect_failure("virtio-blk: queue 0: chain 0: nowhere to put a status");
}

Test(blk_errors, no_header)
{
	offer_one(513, VRING_DESC_F_WRITE);
	bench_notify(&bench, 0);
	expect_failure("virtio-blk: queue 0: chain 0: a header of 0 bytes, not 16");
}

Test(blk_errors, a_short_header)
{
	driver_desc(&bench.drivers[0], DRIVER_DESC, 1, DRIVER_DATA, 1, VRING_DESC_F_WRITE, 0);
	offer_one(15, VRING_DESC_F_NEXT);
	bench_notify(&bench, 0);
	expect_failure("virtio-blk: queue 0: chain 0: a header of 15 bytes, not 16");
}

Test(blk_errors, a_chain_outside_ram)
{
	driver_desc(&bench.drivers[0], DRIVER_DESC, 0, DRIVER_RAM_SIZE, 16, 0, 0);
	driver_offer(&bench.drivers[0], 0);
	bench_notify(&bench, 0);
	cr_assert_not_null(strstr(bench.complaint, "not RAM"));
	expect_failure(bench.complaint);
}

/* What was taken before the bad chain is served, though nobody can be told. */
Test(blk_errors, a_bad_chain_behind_good_ones)
{
	const struct bench_setup setup = {.polled = true};
	struct bench_place place;

	restart(&setup);
	bench_fill(&bench, DRIVER_DATA, 4096, 7);
	bench.next[0] = 8;
	bench_offer(&bench, &(struct bench_request){.type = VIRTIO_BLK_T_OUT, .len = 4096});
	place = bench_offer(&bench, &(struct bench_request){
					    .type = VIRTIO_BLK_T_OUT, .sector = 8, .len = 4096});
	offer_one(16, 0);
	bench_notify(&bench, 0);
	bench_settle(&bench);
	cr_assert_eq(*driver_used_index(&bench.drivers[0]), 0);
	cr_assert_eq(*bench_at(&bench, place.status, 1), VIRTIO_BLK_S_OK);
	expect_failure("virtio-blk: queue 0: chain 0: nowhere to put a status");
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 8, 4096), VIRTIO_BLK_S_OK);
	cr_assert(bench_is(&bench, DRIVER_DATA, 4096, 7));
}

/* One queue's fault is the device's, and what the other still waits for is forgotten. */
Test(blk_errors, a_bad_chain_beside_a_queue_that_waits)
{
	const struct bench_setup setup = {.depth = 1, .polled = true};

	restart(&setup);
	for (int i = 0; i < 8; i++)
		bench_offer(&bench, &(struct bench_request){
					    .type = VIRTIO_BLK_T_IN, .len = 65536, .queue = 1});
	bench_notify(&bench, 1);
	offer_one(16, 0);
	bench_notify(&bench, 0);
	bench_settle(&bench);
	cr_assert_eq(bench.complaints, 1);
	expect_failure("virtio-blk: queue 0: chain 0: nowhere to put a status");
}

/* ---- Resets with requests under way ---- */

Test(blk_errors, nothing_comes_after_a_reset)
{
	const struct bench_setup setup = {.depth = 8, .polled = true};

	restart(&setup);
	for (int i = 0; i < 40; i++)
		bench_offer(&bench, &(struct bench_request){.type = VIRTIO_BLK_T_IN, .len = 65536});
	bench_notify(&bench, 0);
	driver_write(&bench.mmio, VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(disk_in_flight(bench.disk), 0);
	memset(bench_at(&bench, 0, DRIVER_RAM_SIZE), 0x5a, DRIVER_RAM_SIZE);
	virtio_blk_poll(&bench.blk);
	for (gpa_t at = 0; at < DRIVER_RAM_SIZE; at += 64)
		cr_assert_eq(*bench_at(&bench, at, 1), 0x5a);
	bench_negotiate(&bench, 0);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
}

Test(blk_errors, a_queue_that_ends_and_one_that_goes_on)
{
	const struct bench_setup setup = {.depth = 8, .polled = true};

	restart(&setup);
	for (uint32_t i = 0; i < 40; i++)
		bench_offer(&bench, &(struct bench_request){
					    .type = VIRTIO_BLK_T_IN, .len = 4096, .queue = i % 2});
	bench_notify(&bench, 0);
	bench_notify(&bench, 1);
	driver_write(&bench.mmio, VIRTIO_MMIO_QUEUE_SEL, 0);
	driver_write(&bench.mmio, VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(driver_read(&bench.mmio, VIRTIO_MMIO_QUEUE_READY), 0);
	bench_settle(&bench);
	cr_assert_eq(*driver_used_index(&bench.drivers[1]), 20);
	cr_assert_eq(bench.complaints, 0);
}

/* ---- The host's errors ---- */

Test(blk_errors, an_overlay_that_is_full)
{
	const struct bench_setup setup = {.disk.overlay.limit = 64 * KIB};
	unsigned int failed = 0;

	restart(&setup);
	for (uint64_t i = 0; i < 32; i++) {
		uint8_t status = io(VIRTIO_BLK_T_OUT, 8 * i, 4096);

		cr_assert(status == VIRTIO_BLK_S_OK || status == VIRTIO_BLK_S_IOERR);
		failed += status != VIRTIO_BLK_S_OK;
	}
	cr_assert_eq(failed, 16);
	cr_assert_eq(bench.complaints, 1, "%s", bench.complaint);
	cr_assert_not_null(strstr(bench.complaint, "limit of 64 KiB is reached"));
	/* It reads as ever, and what it holds can be written again. */
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 0, 4096), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 8 * 31, 4096), VIRTIO_BLK_S_OK);
	cr_assert_eq(driver_read(&bench.mmio, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

Test(blk_errors, an_image_that_shrinks)
{
	cr_assert_eq(ftruncate(bench.image_fd, 4096), 0);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, 4096), VIRTIO_BLK_S_OK);
	for (int i = 0; i < 20; i++)
		cr_assert_eq(io(VIRTIO_BLK_T_IN, 8, 4096), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(bench.complaints, 1);
	cr_assert_not_null(strstr(bench.complaint, "the image has become smaller"), "%s",
			   bench.complaint);
	/* A write does not need it. */
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 8, 4096), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 8, 4096), VIRTIO_BLK_S_OK);
	cr_assert_eq(disk_get_stats(bench.disk)->errors, 20);
}

/* Without memory for requests the device asks for a reset. */
static int without_memory(void *context)
{
	struct rlimit limit = {0};

	(void)context;
	if (setrlimit(RLIMIT_AS, &limit) < 0)
		return 100;
	offer_one(16, 0);
	bench_notify(&bench, 0);
	return strncmp(bench.complaint, "virtio-blk: queue 0: memory for 128 requests: ", 46) != 0;
}

Test(blk_errors, no_memory_for_requests)
{
	cr_assert_eq(helper_in_child(without_memory, NULL), 0);
}
