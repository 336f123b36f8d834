/* SPDX-License-Identifier: MIT */
/*
 * virtio over MMIO, version 2 (VIRTIO 1.2, section 4.2): the registers between a driver and a
 * struct virtio_device.
 *
 * Registers are 32 bits wide and aligned, and configuration space takes accesses of any size. A
 * driver that does otherwise, or does things out of order, reads zeros and writes nothing; a driver
 * that hands over a broken queue has its device ask for a reset. Nothing it does ends the VM.
 *
 * The structure is plain memory and a fork carries it; see virtio_mmio_fork_before. No locking: the
 * caller holds the machine's lock around every function here.
 */
#ifndef FORKVM_VMM_VIRTIO_MMIO_H
#define FORKVM_VMM_VIRTIO_MMIO_H

#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/io/irq.h"
#include "vmm/io/mmiobus.h"
#include "vmm/mem/guest_ram.h"
#include "vmm/virtio/device.h"

/* How often a device may complain in one process before it does so in silence. */
#define VIRTIO_LOG_MAX 8

/* Where a failing device says why. Called under the machine's lock. error NULL: nowhere. */
struct virtio_log {
	void (*error)(void *ctx, const char *device, const struct error *error);
	void *ctx;
};

struct virtio_mmio {
	struct virtio_device *device; /* not owned */
	const struct guest_ram *ram;  /* not owned */
	struct irq_line irq;	      /* edge-triggered */
	struct virtio_log log;
	uint32_t status;	   /* 2.1: VIRTIO_CONFIG_S_*                */
	uint32_t interrupt_status; /* VIRTIO_MMIO_INT_*                     */
	uint32_t config_generation;
	uint32_t complaints; /* in this process */
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features; /* as written; the device's are those that were accepted */
	struct virtqueue_layout layouts[VIRTIO_QUEUES_MAX];
};

/*
 * Put device behind registers. Both pointers must outlive *mmio. irq may lead nowhere; it may be
 * changed at any time. There is nothing to undo.
 */
void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device,
		      const struct guest_ram *ram, const struct irq_line *irq,
		      const struct virtio_log *log);

/* An mmio_handler for VIRTIO_MMIO_BYTES; device is the struct virtio_mmio. Always 0. */
int virtio_mmio_access(void *device, const struct mmio_access *access, struct error *error);

/*
 * What a write of queue to QueueNotify does (4.2.2), for who learns of it in another way (an
 * ioeventfd). Ignored unless the queue is ready, the driver has said DRIVER_OK and the device
 * works: a notification too many is harmless.
 */
void virtio_mmio_notify(struct virtio_mmio *mmio, uint32_t queue);

/*
 * Before the machine is frozen: vCPUs are stopped, interrupts are still delivered. Takes whatever
 * the queues offer, as if each were notified (so that a notification which stands in an eventfd is
 * not lost with it), and has the device finish. A driver that broke a rule makes its device fail
 * and is no error here. From then on, until virtio_mmio_fork_child, no guest memory is written.
 */
int virtio_mmio_fork_before(struct virtio_mmio *mmio, struct error *error);

/* In a clone, when its RAM, VM and interrupt lines are in place and its vCPUs do not run yet. */
int virtio_mmio_fork_child(struct virtio_mmio *mmio, struct error *error);

/* In the template, after each fork. */
void virtio_mmio_fork_parent(struct virtio_mmio *mmio);

#endif
