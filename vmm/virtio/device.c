/* SPDX-License-Identifier: MIT */
/*
 * What all virtio devices have in common: see device.h.
 */
#include "vmm/virtio/device.h"

#include <assert.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#define COMMON_FEATURES                                                 \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX | \
	 1ull << VIRTIO_RING_F_INDIRECT_DESC)

void virtio_device_init(struct virtio_device *device, const struct virtio_ops *ops,
			uint64_t features)
{
	assert(ops->queue_count <= VIRTIO_QUEUES_MAX);
	*device = (struct virtio_device){
		.ops = ops,
		.offered = features | COMMON_FEATURES,
		.queue_count = ops->queue_count,
	};
}

void virtio_device_flush(struct virtio_device *device, uint32_t queue)
{
	assert(queue < device->queue_count);
	if (virtqueue_flush(&device->queues[queue]))
		device->transport.used(device->transport.ctx);
}

void virtio_device_config_changed(struct virtio_device *device)
{
	device->transport.config(device->transport.ctx);
}

void virtio_device_complain(struct virtio_device *device, const struct error *why)
{
	device->transport.complain(device->transport.ctx, why);
}

void virtio_device_fail(struct virtio_device *device, const struct error *why)
{
	device->transport.fail(device->transport.ctx, why);
}
