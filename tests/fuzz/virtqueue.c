/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a driver at a virtio-mmio device. The input is a program of small steps: bytes and
 * descriptors written to RAM, chains offered, registers accessed in every way, the device's
 * completions, forks. The device behind it has a queue that keeps some chains in flight, as a disk
 * would. Whatever the driver does, all the device is given lies inside RAM, and no more of it at a
 * time than the queue is large.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"
#include "vmm/base/util.h"
#include "vmm/virtio/mmio.h"

#define RAM_SIZE  0x20000u
#define DESC	  0x1000u
#define AVAIL	  0x2000u
#define USED	  0x3000u
#define QUEUE_MAX 64u
#define STEPS_MAX 2000

struct disk {
	struct virtio_device device;
	struct input *input;
	uint16_t held[VIRTIO_QUEUES_MAX][QUEUE_MAX]; /* heads in flight */
	uint32_t held_count[VIRTIO_QUEUES_MAX];
	uint8_t config[6];
	uint8_t sum; /* of what was read, so that it is really read */
};

static struct guest_ram ram;

/* What a chain promises; its memory is used at both ends. */
static void use(struct disk *disk, const struct virtqueue_chain *chain, const struct iovec *iov)
{
	uint64_t bytes[2] = {0};

	FUZZ_CHECK(chain->readable + chain->writable >= 1);
	for (uint32_t i = 0; i < (uint32_t)chain->readable + chain->writable; i++) {
		uint8_t *at = iov[i].iov_base;

		FUZZ_CHECK(iov[i].iov_len >= 1);
		FUZZ_CHECK(at >= ram.host && at < ram.host + RAM_SIZE);
		FUZZ_CHECK(iov[i].iov_len <= (size_t)(ram.host + RAM_SIZE - at));
		bytes[i >= chain->readable] += iov[i].iov_len;
		if (i < chain->readable)
			disk->sum ^= at[0] ^ at[iov[i].iov_len - 1];
		else
			at[0] = at[iov[i].iov_len - 1] = 0x5a;
	}
	FUZZ_CHECK(bytes[0] == chain->readable_bytes && bytes[1] == chain->writable_bytes);
}

static void complete(struct disk *disk, uint32_t queue, uint32_t count)
{
	uint32_t *held = &disk->held_count[queue];

	/* The last comes first: out of order. */
	for (; count && *held; count--)
		virtqueue_put(&disk->device.queues[queue], disk->held[queue][--*held], count);
	virtio_device_flush(&disk->device, queue);
}

static int notify(struct virtio_device *device, uint32_t queue, struct error *error)
{
	struct disk *disk = (struct disk *)device;
	struct virtqueue *vq = &device->queues[queue];
	struct virtqueue_chain chain;
	struct iovec iov[QUEUE_MAX];
	uint32_t how = (uint32_t)input_take(disk->input, 1);
	int left, rc = 0;

	if (how & 1)
		virtqueue_quiet(vq);
	left = virtqueue_arm(vq, error);
	FUZZ_CHECK(left <= vq->size);
	for (; left > 0; left--) {
		rc = virtqueue_pop(vq, iov, how & 2 ? 3 : ARRAY_SIZE(iov), &chain, error);
		if (rc < 0)
			break;
		FUZZ_CHECK(rc == 1);
		FUZZ_CHECK(chain.head < vq->size);
		use(disk, &chain, iov);
		FUZZ_CHECK(disk->held_count[queue] < vq->size);
		disk->held[queue][disk->held_count[queue]++] = chain.head;
	}
	complete(disk, queue, how >> 2);
	return left < 0 ? left : rc < 0 ? rc : 0;
}

static void queue_stop(struct virtio_device *device, uint32_t queue)
{
	((struct disk *)device)->held_count[queue] = 0;
}

static void reset(struct virtio_device *device)
{
	for (uint32_t i = 0; i < device->queue_count; i++)
		queue_stop(device, i);
}

static int fork_before(struct virtio_device *device, struct error *error)
{
	(void)error;
	for (uint32_t i = 0; i < device->queue_count; i++)
		complete((struct disk *)device, i, QUEUE_MAX);
	return 0;
}

static void config_read(struct virtio_device *device, uint32_t offset, void *data, uint32_t size)
{
	memcpy(data, ((struct disk *)device)->config + offset, size);
}

static void config_write(struct virtio_device *device, uint32_t offset, const void *data,
			 uint32_t size)
{
	memcpy(((struct disk *)device)->config + offset, data, size);
}

static const struct virtio_ops ops = {
	.name = "disk",
	.type = 2,
	.queue_count = 2,
	.queue_size_max = {QUEUE_MAX, 8},
	.config_size = sizeof(((struct disk *)NULL)->config),
	.config_read = config_read,
	.config_write = config_write,
	.notify = notify,
	.queue_stop = queue_stop,
	.reset = reset,
	.fork_before = fork_before,
};

static void complain(void *ctx, const char *device, const struct error *error)
{
	(void)ctx;
	(void)device;
	FUZZ_CHECK(error->code == EPROTO && error->text[0] != '\0');
}

static void write32(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct mmio_access access = {
		.offset = offset, .size = 4, .is_write = true, .data = (uint8_t *)&value};

	FUZZ_CHECK(virtio_mmio_access(mmio, &access, NULL) == 0);
}

/* A driver that knows how, as far as a queue that is ready. */
static void step_start(struct input *input, struct virtio_mmio *mmio)
{
	uint32_t how = (uint32_t)input_take(input, 1), queue = how >> 6 & 1;

	if (!(how & 0x80))
		write32(mmio, VIRTIO_MMIO_STATUS, 0);
	write32(mmio, VIRTIO_MMIO_STATUS, 3);
	write32(mmio, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	write32(mmio, VIRTIO_MMIO_DRIVER_FEATURES, how << 28);
	write32(mmio, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	write32(mmio, VIRTIO_MMIO_DRIVER_FEATURES, 1);
	write32(mmio, VIRTIO_MMIO_STATUS, 11);
	write32(mmio, VIRTIO_MMIO_QUEUE_SEL, queue);
	write32(mmio, VIRTIO_MMIO_QUEUE_NUM, 1u << (how >> 2 & 7));
	write32(mmio, VIRTIO_MMIO_QUEUE_DESC_LOW, DESC);
	write32(mmio, VIRTIO_MMIO_QUEUE_AVAIL_LOW, AVAIL);
	write32(mmio, VIRTIO_MMIO_QUEUE_USED_LOW, USED);
	write32(mmio, VIRTIO_MMIO_QUEUE_READY, 1);
	if (!(how & 0x20))
		write32(mmio, VIRTIO_MMIO_STATUS, 15);
}

static void step_bytes(struct input *input)
{
	uint32_t at = (uint32_t)input_take(input, 2), len = (uint32_t)input_take(input, 1);

	for (; len && input->left; len--)
		ram.host[at++ % RAM_SIZE] = (uint8_t)input_take(input, 1);
}

/* A descriptor of the queue's table, or of one elsewhere. */
static void step_descriptor(struct input *input)
{
	uint32_t where = (uint32_t)input_take(input, 1);
	uint32_t table = where & 0x80 ? 0x8008 : DESC;
	struct vring_desc desc = {.addr = input_take(input, 3),
				  .len = (uint32_t)input_take(input, 2)};

	desc.flags = (uint16_t)input_take(input, 1);
	desc.next = (uint16_t)input_take(input, 1);
	if (desc.flags & 0x80)
		desc.addr |= input_take(input, 8) << 24;
	if (desc.flags & 0x40)
		desc.len |= (uint32_t)input_take(input, 2) << 16;
	memcpy(ram.host + table + 16ull * (where & 0x3f), &desc, sizeof(desc));
}

/* Chains into the ring, as a driver of this queue size would put them there; or only an index. */
static void step_offer(struct input *input)
{
	uint32_t how = (uint32_t)input_take(input, 1), count = how & 7, size = 1u << (how >> 3 & 7);
	uint16_t index;

	memcpy(&index, ram.host + AVAIL + 2, 2);
	if (how & 0x40)
		index = (uint16_t)input_take(input, 2);
	for (; count; count--, index++) {
		uint16_t head = (uint16_t)input_take(input, 1);

		memcpy(ram.host + AVAIL + 4 + 2ull * (index & (size - 1)), &head, 2);
	}
	memcpy(ram.host + AVAIL + 2, &index, 2);
}

static void step_access(struct input *input, struct virtio_mmio *mmio)
{
	uint32_t how = (uint32_t)input_take(input, 1);
	uint8_t data[8] = {0};
	uint64_t value;
	struct mmio_access access = {.offset = input_take(input, 1), .size = 4, .data = data};

	access.is_write = how & 1;
	if (how & 2)
		access.size = 1 + (how >> 2 & 7);
	if (how & 0x20)
		access.offset += VIRTIO_MMIO_CONFIG;
	if (how & 0x40)
		access.offset = input_take(input, 8);
	value = access.is_write ? input_take(input, access.size) : 0;
	memcpy(data, &value, sizeof(value));
	FUZZ_CHECK(virtio_mmio_access(mmio, &access, NULL) == 0);
}

static void step_fork(struct disk *disk, struct virtio_mmio *mmio)
{
	struct error error = {0};

	FUZZ_CHECK(virtio_mmio_fork_before(mmio, &error) == 0);
	for (uint32_t i = 0; i < disk->device.queue_count; i++)
		FUZZ_CHECK(!disk->held_count[i]);
	FUZZ_CHECK(virtio_mmio_fork_child(mmio, &error) == 0);
}

/* The life of chains is in order, and the device holds what the queue says. */
static void check(const struct disk *disk, const struct virtio_mmio *mmio)
{
	for (uint32_t i = 0; i < disk->device.queue_count; i++) {
		const struct virtqueue *vq = &disk->device.queues[i];
		uint16_t next = (uint16_t)(vq->avail_next - vq->used_told);
		uint16_t seen = (uint16_t)(vq->avail_seen - vq->used_told);
		uint32_t busy = 0;

		for (size_t word = 0; word < ARRAY_SIZE(vq->busy); word++)
			busy += (uint32_t)__builtin_popcountll(vq->busy[word]);
		FUZZ_CHECK(vq->ready ? vq->size && vq->size <= ops.queue_size_max[i] : !busy);
		FUZZ_CHECK(next <= seen && seen <= vq->size);
		FUZZ_CHECK(vq->used_next == vq->used_told);
		FUZZ_CHECK(!vq->ready || busy == disk->held_count[i]);
		FUZZ_CHECK(!vq->ready || busy == next);
		FUZZ_CHECK(!vq->ready || !(mmio->status & VIRTIO_CONFIG_S_NEEDS_RESET));
		FUZZ_CHECK(!vq->ready || mmio->status & VIRTIO_CONFIG_S_FEATURES_OK);
	}
	FUZZ_CHECK(!(disk->device.features & ~disk->device.offered));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct irq_line irq = {0};
	const struct virtio_log log = {.error = complain};
	struct input input = {.at = data, .left = size};
	struct disk disk = {.input = &input};
	struct virtio_mmio mmio;
	struct error error = {0};

	if (!ram.host)
		FUZZ_CHECK(guest_ram_init(&ram, RAM_SIZE, NULL, &error) == 0);
	memset(ram.host, 0, RAM_SIZE);
	virtio_device_init(&disk.device, &ops, 0);
	virtio_mmio_init(&mmio, &disk.device, &ram, &irq, &log);
	for (int step = 0; input.left && step < STEPS_MAX; step++) {
		uint32_t what = (uint32_t)input_take(&input, 1);

		switch (what & 7) {
		case 0:
			step_start(&input, &mmio);
			break;
		case 1:
			step_bytes(&input);
			break;
		case 2:
			step_descriptor(&input);
			break;
		case 3:
			step_offer(&input);
			break;
		case 4:
			virtio_mmio_notify(&mmio, what >> 3 & 3);
			break;
		case 5:
			complete(&disk, what >> 3 & 1, what >> 4);
			break;
		case 6:
			step_access(&input, &mmio);
			break;
		default:
			step_fork(&disk, &mmio);
			break;
		}
		check(&disk, &mmio);
	}
	return 0;
}
