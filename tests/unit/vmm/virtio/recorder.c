/* SPDX-License-Identifier: MIT */
/*
 * A device that records: see recorder.h.
 */
#include "tests/unit/vmm/virtio/recorder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static int give(int rc, struct error *where)
{
	return rc < 0 ? error_set(where, -rc, "as told") : 0;
}

static void config_read(struct virtio_device *device, uint32_t offset, void *data, uint32_t size)
{
	memcpy(data, ((struct recorder *)device)->config + offset, size);
}

static void config_write(struct virtio_device *device, uint32_t offset, const void *data,
			 uint32_t size)
{
	memcpy(((struct recorder *)device)->config + offset, data, size);
}

static int activate(struct virtio_device *device, struct error *where)
{
	struct recorder *r = (struct recorder *)device;

	r->activated++;
	return give(r->activate_rc, where);
}

static int notify(struct virtio_device *device, uint32_t queue, struct error *where)
{
	struct recorder *r = (struct recorder *)device;
	struct virtqueue_chain chain;
	struct iovec iov[RECORDER_QUEUE_SIZE];
	int rc = 0;

	r->notified[queue]++;
	while (queue == 0 && (rc = virtqueue_pop(&device->queues[0], iov, RECORDER_QUEUE_SIZE,
						 &chain, where)) > 0)
		virtqueue_put(&device->queues[0], chain.head, chain.writable_bytes);
	virtio_device_flush(device, queue);
	return rc;
}

static void queue_stop(struct virtio_device *device, uint32_t queue)
{
	cr_assert(device->queues[queue].ready);
	((struct recorder *)device)->stopped++;
}

static void reset(struct virtio_device *device)
{
	((struct recorder *)device)->resets++;
}

static int fork_before(struct virtio_device *device, struct error *where)
{
	struct recorder *r = (struct recorder *)device;

	r->before++;
	return give(r->before_rc, where);
}

static int fork_child(struct virtio_device *device, struct error *where)
{
	struct recorder *r = (struct recorder *)device;

	r->child++;
	return give(r->child_rc, where);
}

static void fork_parent(struct virtio_device *device)
{
	((struct recorder *)device)->parent++;
}

const struct virtio_ops recorder_full = {
	.name = "recorder",
	.type = 42,
	.queue_count = 2,
	.queue_size_max = {RECORDER_QUEUE_SIZE, 4},
	.config_size = RECORDER_CONFIG,
	.config_read = config_read,
	.config_write = config_write,
	.activate = activate,
	.notify = notify,
	.queue_stop = queue_stop,
	.reset = reset,
	.fork_before = fork_before,
	.fork_child = fork_child,
	.fork_parent = fork_parent,
};

/* What may be left out is. */
const struct virtio_ops recorder_bare = {.name = "bare",
					 .type = 1,
					 .queue_count = 1,
					 .queue_size_max = {RECORDER_QUEUE_SIZE},
					 .notify = notify};
