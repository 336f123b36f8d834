/* SPDX-License-Identifier: MIT */
/*
 * virtio-rng: see rng.h.
 */
#include "vmm/virtio/rng.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <sys/random.h>

#include "vmm/base/util.h"

/*
 * Random bytes into the first limit of the chain. Returns how many; fewer, with errno, where the
 * kernel cannot write to the guest's memory.
 */
static uint32_t fill(const struct iovec *iov, size_t count, uint64_t limit)
{
	uint64_t done = 0;

	for (size_t i = 0; i < count && done < limit; i++) {
		uint64_t want = min_u64(iov[i].iov_len, limit - done), at = 0;

		while (at < want) {
			ssize_t got = getrandom((uint8_t *)iov[i].iov_base + at, want - at, 0);

			if (got < 0 && errno == EINTR)
				continue;
			if (got <= 0)
				return (uint32_t)(done + at);
			at += (uint64_t)got;
		}
		done += want;
	}
	return (uint32_t)done;
}

static int serve(struct virtio_rng *rng, uint64_t *budget, struct error *error)
{
	struct virtio_device *device = &rng->device;
	struct iovec iov[VIRTIO_RNG_QUEUE_SIZE];
	struct virtqueue_chain chain;
	uint64_t limit = min_u64(VIRTIO_RNG_REQUEST_MAX, max_u64(*budget, VIRTIO_RNG_SMALL));
	uint32_t written;
	int rc = virtqueue_pop(&device->queues[0], iov, ARRAY_SIZE(iov), &chain, error);

	if (rc <= 0)
		return rc;
	if (chain.readable)
		return error_set(error, EPROTO, "chain %u: a request with something to read",
				 chain.head);
	written = fill(iov, chain.writable, limit);
	if (written == 0)
		return error_set_errno(error, errno, "chain %u: getrandom", chain.head);
	virtqueue_put(&device->queues[0], chain.head, written);
	device->stats.requests++;
	device->stats.bytes += written;
	*budget -= min_u64(*budget, written);
	return 0;
}

static int notify(struct virtio_device *device, uint32_t queue, struct error *error)
{
	struct virtio_rng *rng = (struct virtio_rng *)device;
	uint64_t budget = VIRTIO_RNG_PASS_MAX;
	int left = virtqueue_arm(&device->queues[queue], error), rc = left;

	for (; left > 0 && rc >= 0; left--)
		rc = serve(rng, &budget, error);
	virtio_device_flush(device, queue);
	return rc < 0 ? rc : 0;
}

static const struct virtio_ops ops = {
	.name = "virtio-rng",
	.type = VIRTIO_ID_RNG,
	.queue_count = 1,
	.queue_size_max = {VIRTIO_RNG_QUEUE_SIZE},
	.notify = notify,
};

void virtio_rng_init(struct virtio_rng *rng)
{
	static_assert(offsetof(struct virtio_rng, device) == 0, "the operations cast");
	virtio_device_init(&rng->device, &ops, 0);
}
