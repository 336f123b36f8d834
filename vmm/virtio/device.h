/* SPDX-License-Identifier: MIT */
/*
 * Between a virtio transport and a virtio device: neither knows more of the other than this.
 *
 * A device embeds struct virtio_device as its first member and has one constant table of
 * operations. All calls come one at a time, under the lock of whoever owns the machine; the guest's
 * vCPUs run meanwhile and may be changing its RAM.
 *
 * Forks. A device is plain memory and a fork carries it as it stands. Descriptors, rings and
 * threads of a device are named in its header, with what becomes of them; fork_before leaves
 * nothing in flight, fork_child makes anew what a clone needs of its own.
 */
#ifndef FORKVM_VMM_VIRTIO_DEVICE_H
#define FORKVM_VMM_VIRTIO_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/virtio/virtqueue.h"

#define VIRTIO_QUEUES_MAX 8

struct virtio_device;

struct virtio_ops {
	const char *name;			    /* for logs: "virtio-rng" */
	uint32_t type;				    /* section 5: VIRTIO_ID_* */
	uint32_t queue_count;			    /* the most it can have */
	uint16_t queue_size_max[VIRTIO_QUEUES_MAX]; /* powers of two, to VIRTQUEUE_SIZE_MAX */
	uint32_t config_size;			    /* bytes of configuration space; may be 0 */

	/*
	 * Configuration space (2.5), always inside [0, config_size). NULL: reads as zeros, writes
	 * are lost. data has no alignment.
	 */
	void (*config_read)(struct virtio_device *device, uint32_t offset, void *data,
			    uint32_t size);
	void (*config_write)(struct virtio_device *device, uint32_t offset, const void *data,
			     uint32_t size);

	/*
	 * The driver is ready (DRIVER_OK): device->features and the queues are final. May be NULL.
	 * On -errno the device is as after virtio_device_fail.
	 */
	int (*activate)(struct virtio_device *device, struct error *error);

	/*
	 * A queue is notified, that is: may have chains to pop. Only while it is ready and the
	 * device works. It must take all that virtqueue_arm counts, or see to it by itself that the
	 * rest is taken later. On -errno (-EPROTO for what the driver did) the device is as after
	 * virtio_device_fail.
	 */
	int (*notify)(struct virtio_device *device, uint32_t queue, struct error *error);

	/*
	 * A queue is about to end, by itself (queue_stop) or with all others (reset). When they
	 * return, nothing that was popped from it is in flight or will be put back, and no guest
	 * memory of it is touched any more. May be NULL for devices that are done with a request
	 * when notify returns.
	 */
	void (*queue_stop)(struct virtio_device *device, uint32_t queue);
	void (*reset)(struct virtio_device *device);

	/*
	 * Around a fork, each may be NULL. fork_before: vCPUs are stopped, all ready queues have
	 * been notified once more; when it returns nothing is in flight, everything that was
	 * finished is put back and flushed, and until fork_child the device writes no guest memory
	 * and raises no interrupt. fork_child: in each clone, with its RAM, VM and interrupt lines
	 * in place, before its vCPUs run. fork_parent: in the template, after each fork. On -errno
	 * of the first two, freezing or the clone fails.
	 */
	int (*fork_before)(struct virtio_device *device, struct error *error);
	int (*fork_child)(struct virtio_device *device, struct error *error);
	void (*fork_parent)(struct virtio_device *device);
};

/* Since this process began to run the guest: the freeze sets them back, so a clone counts from 0.
 */
struct virtio_stats {
	uint64_t requests;	/* chains put back                                */
	uint64_t bytes;		/* of payload, as the device defines it           */
	uint64_t notifications; /* by the driver, that reached a working queue    */
	uint64_t interrupts;	/* of either kind                                 */
	uint64_t errors;	/* how often the device had to ask for a reset */
};

/* What a transport does for its device. */
struct virtio_transport {
	void *ctx;
	void (*used)(void *ctx);   /* used-buffer notification            */
	void (*config)(void *ctx); /* configuration-change notification   */
	void (*complain)(void *ctx, const struct error *why); /* see virtio_device_complain */
	void (*fail)(void *ctx, const struct error *why);     /* see virtio_device_fail     */
};

struct virtio_device {
	const struct virtio_ops *ops;
	uint64_t offered;     /* feature bits (section 6 and the device's own) */
	uint64_t features;    /* those the driver took, since FEATURES_OK      */
	uint32_t queue_count; /* at most ops->queue_count                      */
	struct virtqueue queues[VIRTIO_QUEUES_MAX];
	struct virtio_stats stats;
	struct virtio_transport transport; /* filled in by the transport */
};

/*
 * Make the part of a device that all have. features: the device's own bits; VIRTIO_F_VERSION_1 and
 * what every queue here can do (event indices, indirect descriptors) are added.
 */
void virtio_device_init(struct virtio_device *device, const struct virtio_ops *ops,
			uint64_t features);

/* virtqueue_flush, and the interrupt if the driver wants it. */
void virtio_device_flush(struct virtio_device *device, uint32_t queue);

/* The configuration space has changed: a new generation, and an interrupt (2.5, 4.2.2). */
void virtio_device_config_changed(struct virtio_device *device);

/* Something that the machine's owner should know is wrong; the device goes on. */
void virtio_device_complain(struct virtio_device *device, const struct error *why);

/*
 * The device cannot go on: the reason is logged, its queues end, DEVICE_NEEDS_RESET tells the
 * driver, and nothing else happens until it resets the device (2.1.1, 2.1.2). The VM lives on.
 */
void virtio_device_fail(struct virtio_device *device, const struct error *why);

#endif
