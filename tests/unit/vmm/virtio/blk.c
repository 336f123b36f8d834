/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/virtio/blk.c: what a driver sees that does everything right. */
#include "vmm/virtio/blk.h"

#include <criterion/criterion.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/vmm/virtio/blk_bench.h"
#include "vmm/base/util.h"

#define LARGE 0x800000ull /* guest memory for more data than there is at DRIVER_DATA */

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

TestSuite(blk, .init = set_up, .fini = tear_down);

static void restart(const struct bench_setup *setup)
{
	bench_end(&bench);
	bench_start(&bench, setup);
}

static uint64_t config(uint32_t offset, uint32_t size)
{
	uint64_t value = 0;
	struct mmio_access access = {
		.offset = VIRTIO_MMIO_CONFIG + offset, .size = size, .data = (uint8_t *)&value};

	cr_assert_eq(virtio_mmio_access(&bench.mmio, &access, NULL), 0);
	return value;
}

#define CONFIG(field)                                     \
	config(offsetof(struct virtio_blk_config, field), \
	       sizeof(((struct virtio_blk_config *)NULL)->field))

static bool offers(unsigned int feature)
{
	return bench.blk.device.offered & 1ull << feature;
}

static uint8_t out(uint64_t sector, uint32_t len)
{
	return bench_do(&bench, &(struct bench_request){
					.type = VIRTIO_BLK_T_OUT, .sector = sector, .len = len});
}

static uint8_t in(uint64_t sector, uint32_t len)
{
	return bench_do(&bench, &(struct bench_request){
					.type = VIRTIO_BLK_T_IN, .sector = sector, .len = len});
}

Test(blk, is_a_block_device)
{
	cr_assert_eq(driver_read(&bench.mmio, VIRTIO_MMIO_DEVICE_ID), 2);
	cr_assert_eq(driver_read(&bench.mmio, VIRTIO_MMIO_QUEUE_NUM_MAX), VIRTIO_BLK_QUEUE_SIZE);
	cr_assert_eq(CONFIG(capacity), BENCH_DISK_SIZE / 512);
	cr_assert_eq(CONFIG(seg_max), VIRTIO_BLK_SEGMENTS_MAX);
	cr_assert_eq(CONFIG(geometry.cylinders), BENCH_DISK_SIZE / 512 / (16 * 63));
	cr_assert_eq(CONFIG(blk_size), 512);
	cr_assert_eq(CONFIG(physical_block_exp), 3);
	cr_assert_eq(CONFIG(min_io_size), 8);
	cr_assert_eq(CONFIG(wce), 1);
	cr_assert_eq(CONFIG(num_queues), BENCH_QUEUES);
	cr_assert_eq(CONFIG(max_discard_seg), VIRTIO_BLK_RANGES_MAX);
	cr_assert_eq(CONFIG(write_zeroes_may_unmap), 1);
	cr_assert(offers(VIRTIO_BLK_F_FLUSH) && offers(VIRTIO_BLK_F_CONFIG_WCE));
	cr_assert(offers(VIRTIO_BLK_F_MQ) && offers(VIRTIO_BLK_F_DISCARD));
	cr_assert(offers(VIRTIO_BLK_F_WRITE_ZEROES) && !offers(VIRTIO_BLK_F_RO));
	/* What lies behind the features offered is not there. */
	cr_assert_eq(CONFIG(max_secure_erase_sectors), 0);
}

Test(blk, what_is_written_is_read)
{
	bench_fill(&bench, DRIVER_DATA, 65536, 3);
	cr_assert_eq(out(8, 65536), VIRTIO_BLK_S_OK);
	cr_assert_eq(driver_used(&bench.drivers[0], 0)->len, 1);
	memset(bench_at(&bench, DRIVER_DATA, 65536), 0, 65536);
	cr_assert_eq(in(8, 65536), VIRTIO_BLK_S_OK);
	cr_assert_eq(driver_used(&bench.drivers[0], 1)->len, 65537);
	cr_assert(bench_is(&bench, DRIVER_DATA, 65536, 3));
	/* Around it, and in the image, there is nothing. */
	cr_assert_eq(in(0, 4096), VIRTIO_BLK_S_OK);
	cr_assert(bench_is_zero(&bench, DRIVER_DATA, 4096));
	cr_assert_eq(in(136, 4096), VIRTIO_BLK_S_OK);
	cr_assert(bench_is_zero(&bench, DRIVER_DATA, 4096));
	cr_assert_eq(lseek(bench.image_fd, 0, SEEK_DATA), -1);
	cr_assert_eq(bench.blk.device.stats.requests, 4);
	cr_assert_eq(bench.blk.device.stats.bytes, 2 * 65536 + 2 * 4096);
	cr_assert_eq(bench.interrupts, 4);
}

/* Less than a block, at its beginning, middle and end, keeps what is beside it. */
Test(blk, sectors)
{
	bench_fill(&bench, DRIVER_DATA, 4096, 1);
	cr_assert_eq(out(16, 4096), VIRTIO_BLK_S_OK);
	for (uint64_t sector = 16; sector < 24; sector += 3) {
		bench_fill(&bench, DRIVER_DATA, 512, sector);
		cr_assert_eq(out(sector, 512), VIRTIO_BLK_S_OK);
	}
	cr_assert_eq(in(16, 4096), VIRTIO_BLK_S_OK);
	for (uint64_t i = 0; i < 8; i++) {
		const uint8_t *at = bench_at(&bench, DRIVER_DATA + i * 512, 512);

		for (uint64_t j = 0; j < 512; j++)
			cr_assert_eq(at[j],
				     i % 3 ? bench_byte(1, i * 512 + j) : bench_byte(16 + i, j));
	}
}

/* 2.7.4.1: the device must not depend on how a request is cut into descriptors. */
Test(blk, any_layout)
{
	static const uint32_t data_parts[] = {1, 2, 3, 16, 200};
	uint64_t seed = 1;

	for (unsigned int how = 0; how < 8; how++) {
		for (size_t i = 0; i < ARRAY_SIZE(data_parts); i++, seed++) {
			struct bench_request request = {
				.type = VIRTIO_BLK_T_OUT,
				.sector = 100,
				.len = 7 * 4096 + 512,
				.data_parts = data_parts[i],
				.header_parts = how & 1 ? 16 : 1,
				.merged = how & 2,
				.indirect = how & 4,
				.data = LARGE + 512 * seed,
			};

			bench_fill(&bench, request.data, request.len, seed);
			bench.next[0] = 0;
			cr_assert_eq(bench_do(&bench, &request), VIRTIO_BLK_S_OK);
			memset(bench_at(&bench, request.data, request.len), 0, request.len);
			request.type = VIRTIO_BLK_T_IN;
			bench.next[0] = 0;
			cr_assert_eq(bench_do(&bench, &request), VIRTIO_BLK_S_OK);
			cr_assert(bench_is(&bench, request.data, request.len, seed),
				  "layout %u, %u segments", how, data_parts[i]);
		}
	}
}

/* As many segments as the device says it takes, a header in pieces around them. */
Test(blk, the_longest_chain)
{
	struct bench_request request = {
		.type = VIRTIO_BLK_T_OUT,
		.len = VIRTIO_BLK_SEGMENTS_MAX * 512,
		.data_parts = VIRTIO_BLK_SEGMENTS_MAX,
		.header_parts = 15,
	};

	bench_fill(&bench, DRIVER_DATA, request.len, 4);
	cr_assert_eq(bench_do(&bench, &request), VIRTIO_BLK_S_OK);
	memset(bench_at(&bench, DRIVER_DATA, request.len), 0, request.len);
	request.type = VIRTIO_BLK_T_IN;
	bench.next[0] = 0;
	cr_assert_eq(bench_do(&bench, &request), VIRTIO_BLK_S_OK);
	cr_assert(bench_is(&bench, DRIVER_DATA, request.len, 4));
}

/* One pass: one kick, one interrupt. */
static void batch(uint32_t queue)
{
	struct disk_stats before = *disk_get_stats(bench.disk);
	unsigned int interrupts = bench.interrupts;
	struct bench_place places[32];

	for (uint32_t i = 0; i < 32; i++)
		places[i] = bench_offer(&bench, &(struct bench_request){.type = VIRTIO_BLK_T_IN,
									.sector = 8ull * i,
									.len = 4096,
									.data = LARGE + i * 4096,
									.queue = queue});
	bench_notify(&bench, queue);
	cr_assert_eq(*driver_used_index(&bench.drivers[queue]), 32);
	for (uint32_t i = 0; i < 32; i++)
		cr_assert_eq(*bench_at(&bench, places[i].status, 1), VIRTIO_BLK_S_OK);
	cr_assert_eq(disk_get_stats(bench.disk)->passes, before.passes + 1);
	cr_assert_eq(disk_get_stats(bench.disk)->requests[DISK_READ],
		     before.requests[DISK_READ] + 32);
	cr_assert_eq(bench.interrupts, interrupts + 1);
}

Test(blk, one_pass_of_many)
{
	batch(0);
	batch(1);
}

/* Nobody waits: what is done is polled for. */
Test(blk, polled)
{
	const struct bench_setup setup = {.polled = true};

	restart(&setup);
	for (uint32_t i = 0; i < 20; i++)
		bench_offer(&bench, &(struct bench_request){.type = VIRTIO_BLK_T_IN, .len = 512});
	bench_notify(&bench, 0);
	bench_settle(&bench);
	cr_assert_eq(*driver_used_index(&bench.drivers[0]), 20);
	virtio_blk_poll(&bench.blk);
	cr_assert_eq(*driver_used_index(&bench.drivers[0]), 20);
}

/* More chains than records, of both queues: those that wait for one are served all the same. */
static void few_records(bool polled)
{
	const struct bench_setup setup = {.depth = 4, .polled = polled};

	restart(&setup);
	for (uint64_t i = 0; i < 64; i++) {
		struct bench_request request = {.type = VIRTIO_BLK_T_OUT,
						.sector = i,
						.len = 512,
						.data = DRIVER_DATA + i * 512,
						.queue = i % 2};

		bench_fill(&bench, request.data, 512, i);
		bench_offer(&bench, &request);
	}
	bench_notify(&bench, 0);
	bench_notify(&bench, 1);
	bench_settle(&bench);
	cr_assert_eq(*driver_used_index(&bench.drivers[0]), 32);
	cr_assert_eq(*driver_used_index(&bench.drivers[1]), 32);
	cr_assert_leq(bench.blk.touched, 4);
	memset(bench_at(&bench, DRIVER_DATA, 64 * 512), 0, 64 * 512);
	cr_assert_eq(in(0, 64 * 512), VIRTIO_BLK_S_OK);
	for (uint64_t i = 0; i < 64; i++)
		cr_assert(bench_is(&bench, DRIVER_DATA + i * 512, 512, i));
}

Test(blk, few_records_waited_for)
{
	few_records(false);
}

Test(blk, few_records_polled)
{
	few_records(true);
}

Test(blk, records_are_used_again)
{
	for (int i = 0; i < 1000; i++)
		cr_assert_eq(in(0, 512), VIRTIO_BLK_S_OK);
	cr_assert_eq(bench.blk.touched, 1);
}

Test(blk, serial_text)
{
	struct bench_request request = {.type = VIRTIO_BLK_T_GET_ID, .len = 20};

	memset(bench_at(&bench, DRIVER_DATA, 64), 0x5a, 64);
	cr_assert_eq(bench_do(&bench, &request), VIRTIO_BLK_S_OK);
	cr_assert_str_eq((char *)bench_at(&bench, DRIVER_DATA, 20), "forkvm-disk0");
	cr_assert_eq(*bench_at(&bench, DRIVER_DATA + 19, 1), 0);
	cr_assert_eq(driver_used(&bench.drivers[0], 0)->len, 21);
	/* In pieces, and with more room and less. */
	request.data_parts = 7;
	request.len = 40;
	cr_assert_eq(bench_do(&bench, &request), VIRTIO_BLK_S_OK);
	cr_assert_eq(driver_used(&bench.drivers[0], 1)->len, 21);
	cr_assert_eq(*bench_at(&bench, DRIVER_DATA + 20, 1), 0x5a);
	request.data_parts = 1;
	request.len = 3;
	memset(bench_at(&bench, DRIVER_DATA, 64), 0x5a, 64);
	cr_assert_eq(bench_do(&bench, &request), VIRTIO_BLK_S_OK);
	cr_assert_eq(memcmp(bench_at(&bench, DRIVER_DATA, 4), "forZ", 4), 0);
}

/* ---- Flush, and caches ---- */

static uint64_t flushes(void)
{
	return disk_get_stats(bench.disk)->requests[DISK_FLUSH];
}

static void set_cache(uint8_t value)
{
	struct mmio_access access = {
		.offset = VIRTIO_MMIO_CONFIG + offsetof(struct virtio_blk_config, wce),
		.size = 1,
		.is_write = true,
		.data = &value,
	};

	cr_assert_eq(virtio_mmio_access(&bench.mmio, &access, NULL), 0);
}

Test(blk, flush)
{
	const struct bench_request request = {.type = VIRTIO_BLK_T_FLUSH, .sector = 77};

	cr_assert_eq(bench_do(&bench, &request), VIRTIO_BLK_S_OK);
	cr_assert_eq(flushes(), 1);
	cr_assert_eq(out(0, 512), VIRTIO_BLK_S_OK);
	cr_assert_eq(flushes(), 1);
}

/* 5.2.6.2: with writeback 0 each write is followed by a flush before it is done. */
Test(blk, a_cache_that_is_switched_off)
{
	set_cache(0);
	cr_assert_eq(CONFIG(wce), 0);
	cr_assert_eq(out(0, 4096), VIRTIO_BLK_S_OK);
	cr_assert_eq(flushes(), 1);
	cr_assert_eq(in(0, 4096), VIRTIO_BLK_S_OK);
	cr_assert_eq(flushes(), 1);
	set_cache(7);
	cr_assert_eq(CONFIG(wce), 1);
	cr_assert_eq(out(0, 4096), VIRTIO_BLK_S_OK);
	cr_assert_eq(flushes(), 1);
	/* A reset takes the choice back. */
	set_cache(0);
	bench_negotiate(&bench, 0);
	cr_assert_eq(CONFIG(wce), 1);
}

Test(blk, a_cache_that_cannot_be_flushed)
{
	bench_negotiate(&bench, 1ull << VIRTIO_BLK_F_FLUSH);
	cr_assert_eq(CONFIG(wce), 0);
	cr_assert_eq(out(0, 4096), VIRTIO_BLK_S_OK);
	cr_assert_eq(flushes(), 1);
	bench_negotiate(&bench, 1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_CONFIG_WCE);
	set_cache(1);
	cr_assert_eq(out(0, 4096), VIRTIO_BLK_S_OK);
	cr_assert_eq(flushes(), 2);
	bench_negotiate(&bench, 1ull << VIRTIO_BLK_F_CONFIG_WCE);
	cr_assert_eq(out(0, 4096), VIRTIO_BLK_S_OK);
	cr_assert_eq(flushes(), 2);
}

/* ---- Discard, write zeroes ---- */

static uint8_t ranges(uint32_t type, const struct virtio_blk_discard_write_zeroes *list,
		      uint32_t count, uint32_t parts)
{
	uint32_t bytes = count * (uint32_t)sizeof(*list);

	memcpy(bench_at(&bench, LARGE, bytes), list, bytes);
	return bench_do(&bench,
			&(struct bench_request){
				.type = type, .data = LARGE, .len = bytes, .data_parts = parts});
}

static void zeroed(uint32_t type, uint32_t flags)
{
	const struct virtio_blk_discard_write_zeroes list[] = {
		{.sector = 8, .num_sectors = 8, .flags = flags},
		{.sector = 24, .num_sectors = 0, .flags = flags},
		{.sector = 32, .num_sectors = 16, .flags = flags},
	};

	bench_fill(&bench, DRIVER_DATA, 65536, 2);
	cr_assert_eq(out(0, 65536), VIRTIO_BLK_S_OK);
	cr_assert_eq(ranges(type, list, 3, 3), VIRTIO_BLK_S_OK);
	cr_assert_eq(in(0, 65536), VIRTIO_BLK_S_OK);
	cr_assert(bench_is_zero(&bench, DRIVER_DATA + 4096, 4096));
	cr_assert(bench_is_zero(&bench, DRIVER_DATA + 32ull * 512, 8192));
	memset(bench_at(&bench, DRIVER_DATA, 65536), 0, 4096);
	cr_assert_eq(in(16, 4096), VIRTIO_BLK_S_OK);
	for (uint64_t i = 0; i < 4096; i++)
		cr_assert_eq(*bench_at(&bench, DRIVER_DATA + i, 1), bench_byte(2, 8192 + i));
}

Test(blk, discard)
{
	zeroed(VIRTIO_BLK_T_DISCARD, 0);
	cr_assert_eq(disk_get_stats(bench.disk)->requests[DISK_DISCARD], 2);
}

Test(blk, write_zeroes)
{
	zeroed(VIRTIO_BLK_T_WRITE_ZEROES, 0);
	zeroed(VIRTIO_BLK_T_WRITE_ZEROES, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	cr_assert_eq(disk_get_stats(bench.disk)->requests[DISK_WRITE_ZEROES], 4);
}

Test(blk, as_many_ranges_as_there_may_be)
{
	struct virtio_blk_discard_write_zeroes list[VIRTIO_BLK_RANGES_MAX];

	for (uint32_t i = 0; i < VIRTIO_BLK_RANGES_MAX; i++)
		list[i] = (struct virtio_blk_discard_write_zeroes){.sector = 2ull * i,
								   .num_sectors = 1};
	bench_fill(&bench, DRIVER_DATA, 65536, 6);
	cr_assert_eq(out(0, 65536), VIRTIO_BLK_S_OK);
	set_cache(0);
	cr_assert_eq(ranges(VIRTIO_BLK_T_WRITE_ZEROES, list, VIRTIO_BLK_RANGES_MAX, 5),
		     VIRTIO_BLK_S_OK);
	cr_assert_eq(flushes(), 1);
	cr_assert_eq(in(0, 65536), VIRTIO_BLK_S_OK);
	for (uint64_t i = 0; i < VIRTIO_BLK_RANGES_MAX; i++) {
		cr_assert(bench_is_zero(&bench, DRIVER_DATA + 1024 * i, 512));
		cr_assert_eq(*bench_at(&bench, DRIVER_DATA + 1024 * i + 512, 1),
			     bench_byte(6, 1024 * i + 512));
	}
	cr_assert_eq(bench.complaints, 0);
}
