/* SPDX-License-Identifier: MIT */
/*
 * A driver for tests: see driver.h.
 */
#include "tests/unit/vmm/virtio/driver.h"

#include <criterion/criterion.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

static void *at(const struct driver *driver, gpa_t gpa, uint64_t size)
{
	void *pointer = guest_ram_at(driver->ram, gpa, size);

	cr_assert_not_null(pointer);
	return pointer;
}

void driver_init(struct driver *driver, const struct guest_ram *ram, uint32_t size)
{
	*driver = (struct driver){
		.ram = ram,
		.layout = {.size = size,
			   .desc = DRIVER_DESC,
			   .avail = DRIVER_AVAIL,
			   .used = DRIVER_USED},
	};
	memset(at(driver, DRIVER_DESC, 16ull * size), 0, 16ull * size);
	memset(at(driver, DRIVER_AVAIL, 6 + 2ull * size), 0, 6 + 2ull * size);
	memset(at(driver, DRIVER_USED, 6 + 8ull * size), 0, 6 + 8ull * size);
}

void driver_desc(struct driver *driver, gpa_t table, uint32_t index, gpa_t addr, uint32_t len,
		 int flags, int next)
{
	struct vring_desc desc = {
		.addr = addr, .len = len, .flags = (uint16_t)flags, .next = (uint16_t)next};

	memcpy(at(driver, table + 16ull * index, 16), &desc, sizeof(desc));
}

void driver_stage(struct driver *driver, uint16_t head)
{
	uint32_t slot = driver->avail++ & (driver->layout.size - 1);

	memcpy(at(driver, driver->layout.avail + 4 + 2ull * slot, 2), &head, 2);
}

void driver_offer(struct driver *driver, uint16_t head)
{
	driver_stage(driver, head);
	__atomic_store_n(driver_avail_index(driver), driver->avail, __ATOMIC_RELEASE);
}

void driver_offer_writable(struct driver *driver, uint16_t head, uint32_t len)
{
	driver_desc(driver, driver->layout.desc, head, DRIVER_DATA + 0x10000ull * head, len,
		    VRING_DESC_F_WRITE, 0);
	driver_offer(driver, head);
}

uint16_t *driver_avail_flags(struct driver *driver)
{
	return at(driver, driver->layout.avail, 2);
}

uint16_t *driver_avail_index(struct driver *driver)
{
	return at(driver, driver->layout.avail + 2, 2);
}

uint16_t *driver_used_event(struct driver *driver)
{
	return at(driver, driver->layout.avail + 4 + 2ull * driver->layout.size, 2);
}

uint16_t *driver_used_flags(struct driver *driver)
{
	return at(driver, driver->layout.used, 2);
}

uint16_t *driver_used_index(struct driver *driver)
{
	return at(driver, driver->layout.used + 2, 2);
}

uint16_t *driver_avail_event(struct driver *driver)
{
	return at(driver, driver->layout.used + 4 + 8ull * driver->layout.size, 2);
}

struct vring_used_elem *driver_used(struct driver *driver, uint16_t index)
{
	uint32_t slot = index & (driver->layout.size - 1);

	return at(driver, driver->layout.used + 4 + 8ull * slot, 8);
}

uint32_t driver_read(struct virtio_mmio *mmio, uint64_t offset)
{
	uint32_t value = 0;
	struct mmio_access access = {.offset = offset, .size = 4, .data = (uint8_t *)&value};

	cr_assert_eq(virtio_mmio_access(mmio, &access, NULL), 0);
	return value;
}

void driver_write(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct mmio_access access = {
		.offset = offset, .size = 4, .is_write = true, .data = (uint8_t *)&value};

	cr_assert_eq(virtio_mmio_access(mmio, &access, NULL), 0);
}

uint32_t driver_negotiate(struct virtio_mmio *mmio, uint64_t features)
{
	uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE;

	features |= 1ull << VIRTIO_F_VERSION_1;
	driver_write(mmio, VIRTIO_MMIO_STATUS, 0);
	driver_write(mmio, VIRTIO_MMIO_STATUS, status);
	status |= VIRTIO_CONFIG_S_DRIVER;
	driver_write(mmio, VIRTIO_MMIO_STATUS, status);
	for (uint32_t word = 0; word < 2; word++) {
		driver_write(mmio, VIRTIO_MMIO_DRIVER_FEATURES_SEL, word);
		driver_write(mmio, VIRTIO_MMIO_DRIVER_FEATURES,
			     (uint32_t)(features >> (32 * word)));
	}
	driver_write(mmio, VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_FEATURES_OK);
	return driver_read(mmio, VIRTIO_MMIO_STATUS);
}

void driver_set_queue(struct virtio_mmio *mmio, uint32_t queue,
		      const struct virtqueue_layout *layout)
{
	driver_write(mmio, VIRTIO_MMIO_QUEUE_SEL, queue);
	driver_write(mmio, VIRTIO_MMIO_QUEUE_NUM, layout->size);
	driver_write(mmio, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)layout->desc);
	driver_write(mmio, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(layout->desc >> 32));
	driver_write(mmio, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)layout->avail);
	driver_write(mmio, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(layout->avail >> 32));
	driver_write(mmio, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)layout->used);
	driver_write(mmio, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(layout->used >> 32));
	driver_write(mmio, VIRTIO_MMIO_QUEUE_READY, 1);
}

void driver_start(struct virtio_mmio *mmio, const struct virtqueue_layout *layout,
		  uint64_t features)
{
	uint32_t status = driver_negotiate(mmio, features);

	cr_assert(status & VIRTIO_CONFIG_S_FEATURES_OK);
	driver_set_queue(mmio, 0, layout);
	driver_write(mmio, VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_DRIVER_OK);
}
