/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/virtio/blk.c: freezing and cloning, and slots that were empty. */
#include <criterion/criterion.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/virtio/blk_bench.h"
#include "vmm/base/util.h"

static struct bench bench;

static void tear_down(void)
{
	bench_end(&bench);
}

TestSuite(blk_fork, .fini = tear_down);

static uint8_t io(uint32_t type, uint64_t sector, uint32_t len)
{
	return bench_do(&bench,
			&(struct bench_request){.type = type, .sector = sector, .len = len});
}

static void freeze(void)
{
	cr_assert_eq(virtio_mmio_fork_before(&bench.mmio, &bench.error), 0, "%s", bench.error.text);
	cr_assert_eq(disk_in_flight(bench.disk), 0);
	cr_assert_null(bench.blk.records);
	cr_assert_eq(guest_ram_seal(&bench.ram, &bench.error), 0, "%s", bench.error.text);
}

/* In a clone: an overlay of its own, and the device awake. */
static bool revive(void)
{
	const struct disk_overlay overlay = {.data_fd = -1};

	return disk_clone(bench.disk, &overlay, &bench.error) == 0 &&
	       disk_start(bench.disk, &bench.error) == 0 &&
	       virtio_mmio_fork_child(&bench.mmio, &bench.error) == 0;
}

/* What is offered and even what waits for a record is served before the freeze. */
Test(blk_fork, nothing_is_left_under_way)
{
	const struct bench_setup setup = {.depth = 2, .polled = true};

	bench_start(&bench, &setup);
	for (uint32_t i = 0; i < 30; i++)
		bench_offer(&bench, &(struct bench_request){.type = VIRTIO_BLK_T_OUT,
							    .sector = 128ull * i,
							    .len = 65536,
							    .queue = i % 2});
	bench_notify(&bench, 0); /* the other one stands in its eventfd */
	freeze();
	cr_assert_eq(*driver_used_index(&bench.drivers[0]), 15);
	cr_assert_eq(*driver_used_index(&bench.drivers[1]), 15);
	cr_assert_eq(disk_get_stats(bench.disk)->requests[DISK_WRITE], 30);
}

static int write_in_a_clone(void *context)
{
	const uint64_t *seed = context;
	bool fine = revive();

	fine &= bench.blk.device.stats.requests == 0;
	/* The template's, then its own. */
	fine &= io(VIRTIO_BLK_T_IN, 0, 8192) == VIRTIO_BLK_S_OK;
	fine &= bench_is(&bench, DRIVER_DATA, 8192, 1);
	bench_fill(&bench, DRIVER_DATA, 4096, *seed);
	fine &= io(VIRTIO_BLK_T_OUT, 8, 4096) == VIRTIO_BLK_S_OK;
	memset(bench_at(&bench, DRIVER_DATA, 4096), 0, 4096);
	fine &= io(VIRTIO_BLK_T_IN, 8, 4096) == VIRTIO_BLK_S_OK;
	fine &= bench_is(&bench, DRIVER_DATA, 4096, *seed);
	return fine ? 0 : 1;
}

Test(blk_fork, clones_have_the_templates_writes_and_their_own)
{
	const struct bench_setup setup = {0};

	bench_start(&bench, &setup);
	bench_fill(&bench, DRIVER_DATA, 8192, 1);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 0, 8192), VIRTIO_BLK_S_OK);
	freeze();
	for (uint64_t seed = 2; seed < 5; seed++)
		cr_assert_eq(helper_in_child(write_in_a_clone, &seed), 0);
	virtio_mmio_fork_parent(&bench.mmio);
	cr_assert_eq(lseek(bench.image_fd, 0, SEEK_DATA), -1, "the image was written");
}

/* A complaint in the template does not keep a clone from its own. */
static int complain_in_a_clone(void *context)
{
	(void)context;
	if (!revive())
		return 1;
	bench.complaints = 0;
	return io(VIRTIO_BLK_T_IN, 8, 512) == VIRTIO_BLK_S_IOERR && bench.complaints == 1 ? 0 : 2;
}

Test(blk_fork, complaints_begin_anew)
{
	const struct bench_setup setup = {0};

	bench_start(&bench, &setup);
	cr_assert_eq(ftruncate(bench.image_fd, 4096), 0);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 8, 512), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(bench.complaints, 1);
	freeze();
	cr_assert_eq(helper_in_child(complain_in_a_clone, NULL), 0);
}

/* ---- An empty slot ---- */

static uint64_t capacity(void)
{
	uint64_t low = driver_read(&bench.mmio, VIRTIO_MMIO_CONFIG);

	return low | (uint64_t)driver_read(&bench.mmio, VIRTIO_MMIO_CONFIG + 4) << 32;
}

Test(blk_fork, an_empty_slot)
{
	const struct bench_setup setup = {.disk.image_fd = -2};

	bench_start(&bench, &setup);
	cr_assert_eq(capacity(), 0);
	cr_assert_eq(io(VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR);
	cr_assert_eq(io(VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	cr_assert_eq(io(VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
	cr_assert_eq(bench.complaints, 0);
}

static int insert(void *context)
{
	const enum disk_mode *mode = context;
	struct disk_config config = {.mode = *mode, .depth = 8, .overlay = {.data_fd = -1}};
	uint32_t generation = driver_read(&bench.mmio, VIRTIO_MMIO_CONFIG_GENERATION);
	uint8_t wanted = *mode == DISK_READ_ONLY ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK;

	config.image_fd = memfd_create("inserted", 0);
	if (ftruncate(config.image_fd, 3 * MIB) < 0 ||
	    disk_insert(bench.disk, &config, &bench.error) < 0 ||
	    disk_start(bench.disk, &bench.error) < 0)
		return 1;
	virtio_blk_insert(&bench.blk, config.depth);
	bench.interrupts = 0;
	driver_write(&bench.mmio, VIRTIO_MMIO_INTERRUPT_ACK, 3);
	if (virtio_mmio_fork_child(&bench.mmio, &bench.error) < 0)
		return 2;
	/* The driver is told, once. */
	if (bench.interrupts != 1 || capacity() != 3 * MIB / 512 ||
	    driver_read(&bench.mmio, VIRTIO_MMIO_INTERRUPT_STATUS) != VIRTIO_MMIO_INT_CONFIG ||
	    driver_read(&bench.mmio, VIRTIO_MMIO_CONFIG_GENERATION) != generation + 1)
		return 3;
	if (io(VIRTIO_BLK_T_OUT, 8, 4096) != wanted ||
	    io(VIRTIO_BLK_T_IN, 6143, 512) != VIRTIO_BLK_S_OK ||
	    io(VIRTIO_BLK_T_IN, 6143, 1024) != VIRTIO_BLK_S_IOERR)
		return 4;
	return (int)bench.complaints;
}

Test(blk_fork, an_empty_slot_is_given_an_image)
{
	static const enum disk_mode modes[] = {DISK_OVERLAY, DISK_READ_ONLY, DISK_WRITE_THROUGH};
	const struct bench_setup setup = {.disk.image_fd = -2};

	bench_start(&bench, &setup);
	cr_assert_eq(io(VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
	freeze();
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		enum disk_mode mode = modes[i];

		cr_assert_eq(helper_in_child(insert, &mode), 0, "mode %d", mode);
	}
}
