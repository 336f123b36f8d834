/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/virtio/mmio.c: registers and states, in front of a device that records. */
#include "vmm/virtio/mmio.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/vmm/virtio/driver.h"
#include "tests/unit/vmm/virtio/recorder.h"
#include "vmm/base/util.h"

#define OWN_FEATURE (1ull << 3)
#define VERSION_1   (1ull << VIRTIO_F_VERSION_1)
#define SIZE	    16u

#define ACK	    VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER	    VIRTIO_CONFIG_S_DRIVER
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define FAILED	    VIRTIO_CONFIG_S_FAILED

static struct guest_ram ram;
static struct driver driver;
static struct virtio_mmio mmio;
static struct recorder recorder;
static struct error error;
static unsigned int edges, complaints;
static char complaint[2 * ERROR_TEXT_SIZE];

static void edge(void *ctx)
{
	(void)ctx;
	edges++;
}

static void complain(void *ctx, const char *device, const struct error *why)
{
	cr_assert_eq(ctx, &complaints);
	complaints++;
	snprintf(complaint, sizeof(complaint), "%s: %s", device, why->text);
}

static void put_behind_registers(const struct virtio_ops *ops)
{
	const struct irq_line irq = {.raise = edge};
	const struct virtio_log log = {.error = complain, .ctx = &complaints};

	recorder = (struct recorder){.config = "0123456789"};
	virtio_device_init(&recorder.device, ops, OWN_FEATURE);
	virtio_mmio_init(&mmio, &recorder.device, &ram, &irq, &log);
	edges = complaints = 0;
}

static void set_up(void)
{
	cr_assert_eq(guest_ram_init(&ram, DRIVER_RAM_SIZE, NULL, &error), 0, "%s", error.text);
	driver_init(&driver, &ram, SIZE);
	put_behind_registers(&recorder_full);
}

static void tear_down(void)
{
	guest_ram_done(&ram);
}

TestSuite(mmio, .init = set_up, .fini = tear_down);

static uint32_t get(uint64_t offset)
{
	return driver_read(&mmio, offset);
}

static void set(uint64_t offset, uint32_t value)
{
	driver_write(&mmio, offset, value);
}

static uint32_t status(void)
{
	return get(VIRTIO_MMIO_STATUS);
}

static void start(void)
{
	driver_start(&mmio, &driver.layout, 0);
	cr_assert_eq(status(), ACK | DRIVER | FEATURES_OK | DRIVER_OK);
}

/* Offer a head that is out of range, and notify. */
static void break_it(void)
{
	driver_offer(&driver, 999);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

Test(mmio, what_it_is)
{
	cr_assert_eq(get(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	cr_assert_eq(get(VIRTIO_MMIO_VERSION), 2);
	cr_assert_eq(get(VIRTIO_MMIO_DEVICE_ID), 42);
	cr_assert_eq(get(VIRTIO_MMIO_VENDOR_ID), 0x4d564b46);
	for (uint64_t at = VIRTIO_MMIO_SHM_LEN_LOW; at <= VIRTIO_MMIO_SHM_BASE_HIGH; at += 4) {
		set(VIRTIO_MMIO_SHM_SEL, (uint32_t)at);
		cr_assert_eq(get(at), UINT32_MAX);
	}
}

Test(mmio, features_are_shown_in_words)
{
	cr_assert_eq(get(VIRTIO_MMIO_DEVICE_FEATURES), OWN_FEATURE | EVENT_IDX | INDIRECT);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	cr_assert_eq(get(VIRTIO_MMIO_DEVICE_FEATURES), VERSION_1 >> 32);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
	cr_assert_eq(get(VIRTIO_MMIO_DEVICE_FEATURES), 0);
	set(VIRTIO_MMIO_DEVICE_FEATURES_SEL, UINT32_MAX);
	cr_assert_eq(get(VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

Test(mmio, status_in_order)
{
	set(VIRTIO_MMIO_STATUS, DRIVER);
	cr_assert_eq(status(), 0);
	set(VIRTIO_MMIO_STATUS, ACK);
	set(VIRTIO_MMIO_STATUS, ACK | DRIVER_OK);
	cr_assert_eq(status(), ACK);
	set(VIRTIO_MMIO_STATUS, ACK | DRIVER);
	cr_assert_eq(status(), ACK | DRIVER);
	/* Without VERSION_1. */
	set(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	cr_assert_eq(status(), ACK | DRIVER);
	cr_assert_eq(recorder.activated, 0);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(VIRTIO_MMIO_DRIVER_FEATURES, VERSION_1 >> 32);
	set(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK);
	cr_assert_eq(status(), ACK | DRIVER | FEATURES_OK);
	/* Bits are not taken back, unknown ones and the device's own not taken. */
	set(VIRTIO_MMIO_STATUS, ACK | NEEDS_RESET | 0xffffff30);
	cr_assert_eq(status(), ACK | DRIVER | FEATURES_OK);
	set(VIRTIO_MMIO_STATUS, UINT32_MAX);
	cr_assert_eq(status(), ACK | DRIVER | FEATURES_OK | DRIVER_OK | FAILED);
	cr_assert_eq(recorder.activated, 1);
	set(VIRTIO_MMIO_STATUS, UINT32_MAX);
	cr_assert_eq(recorder.activated, 1);
	set(VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(status(), 0);
	cr_assert_eq(recorder.resets, 1);
}

Test(mmio, unknown_features_are_refused)
{
	static const uint64_t wrong[] = {1, 1ull << 34, 1ull << 63, UINT64_MAX};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		cr_assert_eq(driver_negotiate(&mmio, wrong[i]), ACK | DRIVER);
	cr_assert_eq(recorder.device.features, 0);
	cr_assert(driver_negotiate(&mmio, OWN_FEATURE | EVENT_IDX) & FEATURES_OK);
	cr_assert_eq(recorder.device.features, OWN_FEATURE | EVENT_IDX | VERSION_1);
}

Test(mmio, accepted_features_stay)
{
	driver_negotiate(&mmio, OWN_FEATURE);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	set(VIRTIO_MMIO_DRIVER_FEATURES, 0);
	set(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	cr_assert_eq(recorder.device.features, OWN_FEATURE | VERSION_1);
	/* Words beyond the second have no effect at any time. */
	set(VIRTIO_MMIO_STATUS, 0);
	set(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 2);
	set(VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
	cr_assert_eq(mmio.driver_features, 0);
}

Test(mmio, queues)
{
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_NUM_MAX), SIZE);
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_NUM_MAX), 4);
	for (uint32_t beyond = 2; beyond; beyond *= 2) {
		driver_set_queue(&mmio, beyond, &driver.layout);
		cr_assert_eq(get(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		cr_assert_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	}
	/* Not before the features are settled. */
	driver_set_queue(&mmio, 0, &driver.layout);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	driver_negotiate(&mmio, 0);
	driver_set_queue(&mmio, 0, &driver.layout);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_READY), 1);
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	/* It stays where it is while it is ready. */
	driver_set_queue(&mmio, 0, &(struct virtqueue_layout){0});
	cr_assert_eq(recorder.device.queues[0].desc, DRIVER_DESC);
	cr_assert_eq(recorder.device.queues[0].size, SIZE);
	cr_assert_eq(status(), ACK | DRIVER | FEATURES_OK);
	set(VIRTIO_MMIO_QUEUE_READY, 2);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_READY), 1);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_eq(recorder.stopped, 1);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	cr_assert_eq(recorder.stopped, 1);
	/* Nor was anything kept of what was written meanwhile. */
	set(VIRTIO_MMIO_QUEUE_READY, 1);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_READY), 1);
	cr_assert_eq(recorder.device.queues[0].desc, DRIVER_DESC);
}

Test(mmio, high_halves_of_addresses)
{
	const struct virtqueue_layout high = {4, 0x100000000, 0x200000000, 0x300000000};

	driver_negotiate(&mmio, 0);
	driver_set_queue(&mmio, 0, &high);
	cr_assert_eq(mmio.layouts[0].desc, high.desc);
	cr_assert_eq(mmio.layouts[0].avail, high.avail);
	cr_assert_eq(mmio.layouts[0].used, high.used);
	/* They are not RAM. */
	cr_assert_eq(status(), ACK | DRIVER | FEATURES_OK | NEEDS_RESET);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_eq(complaints, 1);
	cr_assert_not_null(strstr(complaint, "recorder: queue 0: descriptor table"), "%s",
			   complaint);
	/* Before DRIVER_OK nobody is told, and it never becomes active. */
	cr_assert_eq(edges, 0);
	set(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	cr_assert_eq(status(), ACK | DRIVER | FEATURES_OK | NEEDS_RESET);
	cr_assert_eq(recorder.activated, 0);
}

Test(mmio, requests_and_interrupts)
{
	start();
	driver_offer_writable(&driver, 3, 100);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	cr_assert_eq(*driver_used_index(&driver), 1);
	cr_assert_eq(driver_used(&driver, 0)->id, 3);
	cr_assert_eq(edges, 1);
	cr_assert_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	/* An edge for each, acknowledged or not. */
	driver_offer_writable(&driver, 4, 100);
	virtio_mmio_notify(&mmio, 0);
	cr_assert_eq(edges, 2);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	set(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	cr_assert_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	cr_assert_eq(recorder.device.stats.notifications, 2);
	cr_assert_eq(recorder.device.stats.interrupts, 2);
}

Test(mmio, notifications_that_are_ignored)
{
	driver_negotiate(&mmio, 0);
	driver_set_queue(&mmio, 0, &driver.layout);
	driver_offer_writable(&driver, 0, 16);
	virtio_mmio_notify(&mmio, 0); /* before DRIVER_OK */
	set(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	virtio_mmio_notify(&mmio, 1); /* not ready */
	virtio_mmio_notify(&mmio, 2); /* not there */
	virtio_mmio_notify(&mmio, UINT32_MAX);
	cr_assert_eq(recorder.notified[0] + recorder.notified[1], 0);
	virtio_mmio_notify(&mmio, 0);
	cr_assert_eq(recorder.notified[0], 1);
	cr_assert_eq(*driver_used_index(&driver), 1);
}

Test(mmio, a_broken_driver_breaks_its_device_only)
{
	start();
	driver_offer_writable(&driver, 1, 16);
	break_it();
	/* What came before the mistake is answered. */
	cr_assert_eq(*driver_used_index(&driver), 1);
	cr_assert(status() & NEEDS_RESET);
	cr_assert_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS),
		     VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG);
	cr_assert_eq(edges, 2);
	cr_assert_str_eq(complaint,
			 "recorder: queue 0: chain 999: descriptor 999 of a table of 16");
	cr_assert_eq(recorder.device.stats.errors, 1);
	/* Deaf until it is reset. */
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	driver_set_queue(&mmio, 0, &driver.layout);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	cr_assert_eq(recorder.notified[0], 1);
	cr_assert_eq(complaints, 1);

	driver_init(&driver, &ram, SIZE);
	start();
	cr_assert_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	driver_offer_writable(&driver, 1, 16);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	cr_assert_eq(*driver_used_index(&driver), 1);
	cr_assert_eq(status() & NEEDS_RESET, 0);
}

Test(mmio, complaints_end)
{
	for (unsigned int i = 0; i < 3 * VIRTIO_LOG_MAX; i++) {
		driver_init(&driver, &ram, SIZE);
		start();
		break_it();
		cr_assert(status() & NEEDS_RESET);
	}
	cr_assert_eq(complaints, VIRTIO_LOG_MAX);
	cr_assert_eq(recorder.device.stats.errors, 3 * VIRTIO_LOG_MAX);
}

Test(mmio, reset_forgets_everything)
{
	start();
	set(VIRTIO_MMIO_QUEUE_SEL, 1);
	driver_offer_writable(&driver, 0, 16);
	set(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	set(VIRTIO_MMIO_STATUS, 0);
	cr_assert_eq(status(), 0);
	cr_assert_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_READY), 0);
	cr_assert_eq(recorder.device.features, 0);
	cr_assert_eq(mmio.queue_sel, 0);
	cr_assert_eq(mmio.layouts[0].desc, 0);
	virtio_mmio_notify(&mmio, 0);
	cr_assert_eq(recorder.notified[0], 1);
}

Test(mmio, activation_that_fails)
{
	recorder.activate_rc = -EIO;
	driver_start(&mmio, &driver.layout, 0);
	cr_assert(status() & NEEDS_RESET);
	cr_assert_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
	cr_assert_str_eq(complaint, "recorder: as told");
}

static void config_access(uint64_t offset, uint32_t size, bool is_write, uint8_t *data)
{
	struct mmio_access access = {
		.offset = offset, .size = size, .is_write = is_write, .data = data};

	cr_assert_eq(virtio_mmio_access(&mmio, &access, &error), 0);
}

Test(mmio, configuration_space)
{
	uint8_t data[8] = {0};

	for (uint32_t size = 1; size <= 8; size++) {
		memset(data, 0, sizeof(data));
		config_access(0x100 + 1, size, false, data);
		cr_assert_eq(memcmp(data, "12345678", size), 0);
		cr_assert(size == 8 || data[size] == 0);
	}
	config_access(0x100 + 4, 2, true, (uint8_t[]){'x', 'y'});
	cr_assert_eq(memcmp(recorder.config, "0123xy6789", RECORDER_CONFIG), 0);
	/* Not inside: nothing. */
	memset(data, 0, sizeof(data));
	config_access(0x100 + 8, 4, false, data);
	config_access(0x100 + RECORDER_CONFIG, 1, false, data);
	config_access(VIRTIO_MMIO_BYTES - 1, 1, false, data);
	config_access(UINT64_MAX, 1, false, data);
	cr_assert_eq(memcmp(data, (uint8_t[8]){0}, 8), 0);
	config_access(0x100 + 8, 4, true, data);
	config_access(VIRTIO_MMIO_BYTES - 4, 4, true, data);
	cr_assert_eq(memcmp(recorder.config, "0123xy6789", RECORDER_CONFIG), 0);
}

Test(mmio, configuration_changes)
{
	uint32_t generation = get(VIRTIO_MMIO_CONFIG_GENERATION);

	virtio_device_config_changed(&recorder.device);
	cr_assert_eq(get(VIRTIO_MMIO_CONFIG_GENERATION), generation + 1);
	cr_assert_eq(edges, 0);
	start();
	virtio_device_config_changed(&recorder.device);
	cr_assert_eq(get(VIRTIO_MMIO_CONFIG_GENERATION), generation + 2);
	cr_assert_eq(edges, 1);
	cr_assert_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
}

/* Every access there can be, from two states: none has an effect that only proper ones have. */
Test(mmio, misuse)
{
	static const uint32_t sizes[] = {1, 2, 3, 5, 6, 7, 8};
	uint8_t ones[8], zeros[8];

	memset(ones, 0xff, sizeof(ones));
	start();
	for (uint64_t offset = 0; offset < 0x100; offset++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			memset(zeros, 0, sizeof(zeros));
			config_access(offset, sizes[i], true, ones);
			config_access(offset, sizes[i], false, zeros);
			cr_assert_eq(memcmp(zeros, (uint8_t[8]){0}, 8), 0);
		}
		if (offset % 4) {
			config_access(offset, 4, true, ones);
			memset(zeros, 0, sizeof(zeros));
			config_access(offset, 4, false, zeros);
			cr_assert_eq(memcmp(zeros, (uint8_t[8]){0}, 8), 0);
		}
	}
	cr_assert_eq(status(), ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	cr_assert(recorder.device.queues[0].ready);
	/* Read-only registers and those of other versions: nothing is written. */
	for (uint64_t offset = 0; offset < 0x100; offset += 4) {
		if (offset != VIRTIO_MMIO_QUEUE_SEL && offset != VIRTIO_MMIO_STATUS)
			set(offset, UINT32_MAX);
	}
	cr_assert_eq(status(), ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	cr_assert_eq(get(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	cr_assert_eq(complaints, 0);
	/* Write-only ones read as zeros. */
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_SEL), 0);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_NUM), 0);
	cr_assert_eq(get(VIRTIO_MMIO_DRIVER_FEATURES), 0);
	cr_assert_eq(get(VIRTIO_MMIO_QUEUE_DESC_LOW), 0);
}

Test(mmio, before_a_fork_nothing_is_left)
{
	start();
	driver_offer_writable(&driver, 0, 16); /* its notification is lost on the way */
	cr_assert_eq(virtio_mmio_fork_before(&mmio, &error), 0);
	cr_assert_eq(*driver_used_index(&driver), 1);
	cr_assert_eq(edges, 1);
	cr_assert_eq(recorder.before, 1);
	cr_assert_eq(virtio_mmio_fork_child(&mmio, &error), 0);
	cr_assert_eq(recorder.child, 1);
	cr_assert_eq(recorder.device.stats.interrupts, 0);
	virtio_mmio_fork_parent(&mmio);
	cr_assert_eq(recorder.parent, 1);
	cr_assert_eq(get(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
}

Test(mmio, a_broken_driver_does_not_hinder_a_fork)
{
	start();
	driver_offer(&driver, 999);
	cr_assert_eq(virtio_mmio_fork_before(&mmio, &error), 0);
	cr_assert(status() & NEEDS_RESET);
	start();
	recorder.before_rc = -EPROTO;
	cr_assert_eq(virtio_mmio_fork_before(&mmio, &error), 0);
	cr_assert(status() & NEEDS_RESET);
}

Test(mmio, hooks_that_fail)
{
	recorder.before_rc = recorder.child_rc = -EIO;
	cr_assert_eq(virtio_mmio_fork_before(&mmio, &error), -EIO);
	cr_assert_str_eq(error.text, "recorder: as told");
	cr_assert_eq(virtio_mmio_fork_child(&mmio, &error), -EIO);
	cr_assert_str_eq(error.text, "recorder: as told");
}

Test(mmio, a_device_of_the_bare_minimum)
{
	uint8_t data[4] = {0};

	put_behind_registers(&recorder_bare);
	mmio.irq = (struct irq_line){0};
	mmio.log = (struct virtio_log){0};
	start();
	config_access(0x100, 4, false, data);
	config_access(0x100, 4, true, data);
	driver_offer_writable(&driver, 0, 16);
	cr_assert_eq(virtio_mmio_fork_before(&mmio, &error), 0);
	cr_assert_eq(virtio_mmio_fork_child(&mmio, &error), 0);
	virtio_mmio_fork_parent(&mmio);
	cr_assert_eq(*driver_used_index(&driver), 1);
	set(VIRTIO_MMIO_QUEUE_READY, 0);
	driver_init(&driver, &ram, SIZE);
	driver_set_queue(&mmio, 0, &driver.layout);
	break_it();
	cr_assert(status() & NEEDS_RESET);
	set(VIRTIO_MMIO_STATUS, 0);
}
