/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/virtio/rng.c. */
#include "vmm/virtio/rng.h"

#include <criterion/criterion.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/virtio/driver.h"
#include "vmm/base/util.h"

#define SIZE  VIRTIO_RNG_QUEUE_SIZE
#define WRITE VRING_DESC_F_WRITE

static struct guest_ram ram;
static struct driver driver;
static struct virtio_mmio mmio;
static struct virtio_rng rng;
static struct error error;
static char complaint[2 * ERROR_TEXT_SIZE];

static void complain(void *ctx, const char *device, const struct error *why)
{
	(void)ctx;
	snprintf(complaint, sizeof(complaint), "%s: %s", device, why->text);
}

static void set_up(void)
{
	const struct irq_line irq = {0};
	const struct virtio_log log = {.error = complain};

	cr_assert_eq(guest_ram_init(&ram, DRIVER_RAM_SIZE, NULL, &error), 0, "%s", error.text);
	driver_init(&driver, &ram, SIZE);
	virtio_rng_init(&rng);
	virtio_mmio_init(&mmio, &rng.device, &ram, &irq, &log);
	driver_start(&mmio, &driver.layout, EVENT_IDX | INDIRECT);
}

static void tear_down(void)
{
	guest_ram_done(&ram);
}

TestSuite(rng, .init = set_up, .fini = tear_down);

static uint8_t *data(uint64_t offset, uint64_t size)
{
	return guest_ram_at(&ram, DRIVER_DATA + offset, size);
}

static uint64_t count_zeros(const uint8_t *bytes, uint64_t size)
{
	uint64_t zeros = 0;

	for (uint64_t i = 0; i < size; i++)
		zeros += bytes[i] == 0;
	return zeros;
}

Test(rng, is_an_entropy_device)
{
	cr_assert_eq(driver_read(&mmio, VIRTIO_MMIO_DEVICE_ID), 4);
	cr_assert_eq(driver_read(&mmio, VIRTIO_MMIO_QUEUE_NUM_MAX), SIZE);
}

/* All of the buffer, and not a byte beside it. */
Test(rng, fills_every_segment)
{
	driver_desc(&driver, DRIVER_DESC, 0, DRIVER_DATA, 1000, WRITE | VRING_DESC_F_NEXT, 1);
	driver_desc(&driver, DRIVER_DESC, 1, DRIVER_DATA + 5000, 1, WRITE | VRING_DESC_F_NEXT, 2);
	driver_desc(&driver, DRIVER_DESC, 2, DRIVER_DATA + 8000, 3000, WRITE, 0);
	driver_offer(&driver, 0);
	virtio_mmio_notify(&mmio, 0);
	cr_assert_eq(*driver_used_index(&driver), 1);
	cr_assert_eq(driver_used(&driver, 0)->len, 4001);
	cr_assert_lt(count_zeros(data(0, 1000), 1000), 50);
	cr_assert_lt(count_zeros(data(8000, 3000), 3000), 80);
	cr_assert_eq(count_zeros(data(1000, 4000), 4000), 4000);
	cr_assert_eq(count_zeros(data(11000, 4000), 4000), 4000);
	cr_assert_eq(rng.device.stats.requests, 1);
	cr_assert_eq(rng.device.stats.bytes, 4001);
	cr_assert_eq(rng.device.stats.notifications, 1);
	cr_assert_eq(rng.device.stats.interrupts, 1);
}

Test(rng, never_the_same)
{
	driver_offer_writable(&driver, 0, 32);
	virtio_mmio_notify(&mmio, 0);
	memcpy(data(4096, 32), data(0, 32), 32);
	driver_offer_writable(&driver, 0, 32);
	virtio_mmio_notify(&mmio, 0);
	cr_assert_neq(memcmp(data(4096, 32), data(0, 32), 32), 0);
}

Test(rng, a_large_request_is_cut)
{
	driver_offer_writable(&driver, 0, 1 << 20);
	virtio_mmio_notify(&mmio, 0);
	cr_assert_eq(driver_used(&driver, 0)->len, VIRTIO_RNG_REQUEST_MAX);
	cr_assert_eq(count_zeros(data(VIRTIO_RNG_REQUEST_MAX, 4096), 4096), 4096);
}

/* A queue full of greed: everybody gets something, and the work is bounded. */
Test(rng, a_full_queue)
{
	uint64_t total = 0;

	for (uint16_t i = 0; i < SIZE; i++)
		driver_offer_writable(&driver, i, 1 << 16);
	virtio_mmio_notify(&mmio, 0);
	cr_assert_eq(*driver_used_index(&driver), SIZE);
	for (uint16_t i = 0; i < SIZE; i++) {
		cr_assert_eq(driver_used(&driver, i)->id, i);
		cr_assert_geq(driver_used(&driver, i)->len, VIRTIO_RNG_SMALL);
		total += driver_used(&driver, i)->len;
	}
	cr_assert_leq(total, VIRTIO_RNG_PASS_MAX + SIZE * VIRTIO_RNG_SMALL);
	cr_assert_eq(rng.device.stats.bytes, total);
	/* One notification, one interrupt; and the next request is answered as ever. */
	cr_assert_eq(rng.device.stats.interrupts, 1);
	driver_offer_writable(&driver, 0, 4096);
	virtio_mmio_notify(&mmio, 0);
	cr_assert_eq(driver_used(&driver, SIZE)->len, 4096);
}

Test(rng, through_an_indirect_table)
{
	driver_desc(&driver, DRIVER_DATA + 0x8000, 0, DRIVER_DATA, 64, WRITE, 0);
	driver_desc(&driver, DRIVER_DESC, 9, DRIVER_DATA + 0x8000, 16, VRING_DESC_F_INDIRECT, 0);
	driver_offer(&driver, 9);
	virtio_mmio_notify(&mmio, 0);
	cr_assert_eq(driver_used(&driver, 0)->id, 9);
	cr_assert_eq(driver_used(&driver, 0)->len, 64);
}

Test(rng, nothing_to_read_in_a_request)
{
	driver_desc(&driver, DRIVER_DESC, 0, DRIVER_DATA, 8, VRING_DESC_F_NEXT, 1);
	driver_desc(&driver, DRIVER_DESC, 1, DRIVER_DATA, 8, WRITE, 0);
	driver_offer(&driver, 0);
	virtio_mmio_notify(&mmio, 0);
	cr_assert(driver_read(&mmio, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	cr_assert_str_eq(complaint,
			 "virtio-rng: queue 0: chain 0: a request with something to read");
	cr_assert_eq(count_zeros(data(0, 8), 8), 8);
}

/* Memory that the kernel cannot write: as much as could be written, or the device fails. */
Test(rng, memory_that_fails)
{
	cr_assert_eq(mprotect(data(0x10000, 4096), 4096, PROT_NONE), 0);
	driver_desc(&driver, DRIVER_DESC, 0, DRIVER_DATA, 8, WRITE | VRING_DESC_F_NEXT, 1);
	driver_desc(&driver, DRIVER_DESC, 1, DRIVER_DATA + 0x10000, 8, WRITE, 0);
	driver_offer(&driver, 0);
	virtio_mmio_notify(&mmio, 0);
	cr_assert_eq(driver_used(&driver, 0)->len, 8);
	driver_offer(&driver, 1);
	virtio_mmio_notify(&mmio, 0);
	cr_assert(driver_read(&mmio, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	cr_assert_str_eq(complaint, "virtio-rng: queue 0: chain 1: getrandom: Bad address");
}

static int draw_in_a_child(void *context)
{
	virtio_mmio_fork_child(&mmio, &error);
	driver_offer_writable(&driver, 0, 32);
	virtio_mmio_notify(&mmio, 0);
	memcpy(context, data(0, 32), 32);
	return driver_used(&driver, 1)->len == 32 && rng.device.stats.requests == 1 ? 0 : 1;
}

/* What is asked for before the freeze is answered before it; clones draw for themselves. */
Test(rng, clones)
{
	uint8_t *draws =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(draws, MAP_FAILED);
	driver_offer_writable(&driver, 0, 32);
	cr_assert_eq(virtio_mmio_fork_before(&mmio, &error), 0);
	cr_assert_eq(*driver_used_index(&driver), 1);
	memcpy(draws, data(0, 32), 32);
	cr_assert_eq(guest_ram_seal(&ram, &error), 0, "%s", error.text);
	for (int i = 1; i <= 3; i++)
		cr_assert_eq(helper_in_child(draw_in_a_child, draws + 32 * i), 0);
	virtio_mmio_fork_parent(&mmio);
	for (int i = 0; i < 4; i++) {
		cr_assert_neq(count_zeros(draws + 32 * i, 32), 32);
		for (int j = 0; j < i; j++)
			cr_assert_neq(memcmp(draws + 32 * i, draws + 32 * j, 32), 0);
	}
	cr_assert_eq(*driver_used_index(&driver), 1);
}
