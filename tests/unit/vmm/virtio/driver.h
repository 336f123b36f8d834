/* SPDX-License-Identifier: MIT */
/*
 * The other side, for tests: a driver that builds rings in a guest's RAM, well or badly, and one
 * that sets up a device by its registers.
 */
#ifndef FORKVM_TESTS_UNIT_VMM_VIRTIO_DRIVER_H
#define FORKVM_TESTS_UNIT_VMM_VIRTIO_DRIVER_H

#include <linux/virtio_ring.h>
#include <stdint.h>

#include "vmm/mem/guest_ram.h"
#include "vmm/virtio/mmio.h"
#include "vmm/virtio/virtqueue.h"

#define DRIVER_RAM_SIZE (16ull << 20)
#define DRIVER_DESC	0x10000ull
#define DRIVER_AVAIL	0x20000ull
#define DRIVER_USED	0x30000ull
#define DRIVER_DATA	0x100000ull /* nothing but data from here */

#define EVENT_IDX	(1ull << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT	(1ull << VIRTIO_RING_F_INDIRECT_DESC)

struct driver {
	const struct guest_ram *ram;
	struct virtqueue_layout layout;
	uint16_t avail; /* its own index */
};

/* A queue of size descriptors at the addresses above, everything zero. */
void driver_init(struct driver *driver, const struct guest_ram *ram, uint32_t size);

/* Write descriptor index of the table at gpa table. */
void driver_desc(struct driver *driver, gpa_t table, uint32_t index, gpa_t addr, uint32_t len,
		 int flags, int next);

/* Offer a chain and let it be seen; or put it in the ring without moving the index. */
void driver_offer(struct driver *driver, uint16_t head);
void driver_stage(struct driver *driver, uint16_t head);

/* A one-descriptor chain of len writable bytes at DRIVER_DATA + 64 KiB * head, offered. */
void driver_offer_writable(struct driver *driver, uint16_t head, uint32_t len);

/* Fields of the rings. */
uint16_t *driver_avail_flags(struct driver *driver);
uint16_t *driver_avail_index(struct driver *driver);
uint16_t *driver_used_event(struct driver *driver);
uint16_t *driver_used_flags(struct driver *driver);
uint16_t *driver_used_index(struct driver *driver);
uint16_t *driver_avail_event(struct driver *driver);
struct vring_used_elem *driver_used(struct driver *driver, uint16_t index);

/* Registers of a device. */
uint32_t driver_read(struct virtio_mmio *mmio, uint64_t offset);
void driver_write(struct virtio_mmio *mmio, uint64_t offset, uint32_t value);

/* 3.1.1, up to FEATURES_OK with these and VERSION_1; the status read back. */
uint32_t driver_negotiate(struct virtio_mmio *mmio, uint64_t features);

/* Tell the device of a queue and make it ready. */
void driver_set_queue(struct virtio_mmio *mmio, uint32_t queue,
		      const struct virtqueue_layout *layout);

/* All of 3.1.1 for a device of one queue. */
void driver_start(struct virtio_mmio *mmio, const struct virtqueue_layout *layout,
		  uint64_t features);

#endif
