/* SPDX-License-Identifier: MIT */
/*
 * virtio over MMIO: see mmio.h.
 */
#include "vmm/virtio/mmio.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>

#include "vmm/base/util.h"

#define MAGIC	0x74726976u /* "virt" */
#define VERSION 2u
#define VENDOR	0x4d564b46u /* "FKVM" */

/* What a driver goes through, in this order (3.1.1). */
static const uint32_t steps[] = {VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER,
				 VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER_OK};

static void interrupt(struct virtio_mmio *mmio, uint32_t why)
{
	/*
	 * An edge each time, whether or not the driver has acknowledged the last: it may be past
	 * the point where it would look again.
	 */
	mmio->interrupt_status |= why;
	mmio->device->stats.interrupts++;
	irq_raise(&mmio->irq);
}

/* The device's side of struct virtio_transport. */
static void used(void *ctx)
{
	interrupt(ctx, VIRTIO_MMIO_INT_VRING);
}

static void config(void *ctx)
{
	struct virtio_mmio *mmio = ctx;

	mmio->config_generation++;
	/* 2.5.1, 3.1.1: nobody is told before there is somebody. */
	if (mmio->status & VIRTIO_CONFIG_S_DRIVER_OK)
		interrupt(mmio, VIRTIO_MMIO_INT_CONFIG);
}

static void complain(void *ctx, const struct error *why)
{
	struct virtio_mmio *mmio = ctx;

	if (mmio->log.error && mmio->complaints++ < VIRTIO_LOG_MAX)
		mmio->log.error(mmio->log.ctx, mmio->device->ops->name, why);
}

static void fail(void *ctx, const struct error *why)
{
	struct virtio_mmio *mmio = ctx;
	struct virtio_device *device = mmio->device;

	if (mmio->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	device->stats.errors++;
	complain(mmio, why);
	for (uint32_t i = 0; i < device->queue_count; i++)
		virtqueue_disable(&device->queues[i]);
	mmio->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	config(mmio);
}

void virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *device,
		      const struct guest_ram *ram, const struct irq_line *irq,
		      const struct virtio_log *log)
{
	*mmio = (struct virtio_mmio){.device = device, .ram = ram, .irq = *irq, .log = *log};
	device->transport = (struct virtio_transport){
		.ctx = mmio, .used = used, .config = config, .complain = complain, .fail = fail};
}

/* The driver is there, and the device has not failed. */
static bool works(const struct virtio_mmio *mmio)
{
	return (mmio->status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET)) ==
	       VIRTIO_CONFIG_S_DRIVER_OK;
}

void virtio_mmio_notify(struct virtio_mmio *mmio, uint32_t queue)
{
	struct virtio_device *device = mmio->device;
	struct error why = {0};

	if (!works(mmio) || queue >= device->queue_count || !device->queues[queue].ready)
		return;
	device->stats.notifications++;
	if (device->ops->notify(device, queue, &why) < 0) {
		error_prefix(&why, "queue %u", queue);
		fail(mmio, &why);
	}
}

/* 2.4: back to the beginning. What a device counts goes on. */
static void reset(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;

	if (device->ops->reset)
		device->ops->reset(device);
	for (uint32_t i = 0; i < ARRAY_SIZE(device->queues); i++)
		virtqueue_disable(&device->queues[i]);
	memset(mmio->layouts, 0, sizeof(mmio->layouts));
	device->features = 0;
	mmio->driver_features = 0;
	mmio->device_features_sel = mmio->driver_features_sel = mmio->queue_sel = 0;
	mmio->interrupt_status = 0;
	mmio->status = 0;
}

/* 2.2.2, 6.2: a driver takes what is offered, and no driver is a legacy one here. */
static bool features_are_fine(const struct virtio_mmio *mmio)
{
	return !(mmio->driver_features & ~mmio->device->offered) &&
	       mmio->driver_features & 1ull << VIRTIO_F_VERSION_1;
}

static void activate(struct virtio_mmio *mmio)
{
	struct virtio_device *device = mmio->device;
	struct error why = {0};

	if (device->ops->activate && device->ops->activate(device, &why) < 0)
		fail(mmio, &why);
}

/* 2.1: bits are set one after the other, and none is taken back but by a reset. */
static void write_status(struct virtio_mmio *mmio, uint32_t value)
{
	if (value == 0) {
		reset(mmio);
		return;
	}
	mmio->status |= value & VIRTIO_CONFIG_S_FAILED;
	if (mmio->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		if (mmio->status & steps[i])
			continue;
		if (!(value & steps[i]))
			return;
		if (steps[i] == VIRTIO_CONFIG_S_FEATURES_OK) {
			if (!features_are_fine(mmio))
				return;
			mmio->device->features = mmio->driver_features;
		}
		mmio->status |= steps[i];
		if (steps[i] == VIRTIO_CONFIG_S_DRIVER_OK)
			activate(mmio);
	}
}

static void write_queue_ready(struct virtio_mmio *mmio, uint32_t queue, uint32_t value)
{
	struct virtio_device *device = mmio->device;
	struct virtqueue *vq = &device->queues[queue];
	struct error why = {0};

	if (value == 0 && vq->ready) {
		if (device->ops->queue_stop)
			device->ops->queue_stop(device, queue);
		virtqueue_disable(vq);
	}
	if (value != 1 || vq->ready || !(mmio->status & VIRTIO_CONFIG_S_FEATURES_OK) ||
	    mmio->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	if (virtqueue_enable(vq, mmio->ram, &mmio->layouts[queue],
			     device->ops->queue_size_max[queue], device->features, &why) < 0) {
		error_prefix(&why, "queue %u", queue);
		fail(mmio, &why);
	}
}

static void set_low(uint64_t *at, uint32_t value)
{
	*at = (*at & ~(uint64_t)UINT32_MAX) | value;
}

static void set_high(uint64_t *at, uint32_t value)
{
	*at = (*at & UINT32_MAX) | (uint64_t)value << 32;
}

/* Registers of the queue selected. Where it is cannot change while it is ready. */
static void write_queue(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	struct virtqueue_layout *layout;

	if (mmio->queue_sel >= mmio->device->queue_count)
		return;
	if (offset == VIRTIO_MMIO_QUEUE_READY) {
		write_queue_ready(mmio, mmio->queue_sel, value);
		return;
	}
	if (mmio->device->queues[mmio->queue_sel].ready)
		return;
	layout = &mmio->layouts[mmio->queue_sel];
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		layout->size = value;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
		set_low(&layout->desc, value);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_high(&layout->desc, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
		set_low(&layout->avail, value);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_high(&layout->avail, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
		set_low(&layout->used, value);
		break;
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_high(&layout->used, value);
		break;
	default:
		break;
	}
}

static void write_driver_features(struct virtio_mmio *mmio, uint32_t value)
{
	if (mmio->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	if (mmio->driver_features_sel == 0)
		set_low(&mmio->driver_features, value);
	else if (mmio->driver_features_sel == 1)
		set_high(&mmio->driver_features, value);
}

static void write_register(struct virtio_mmio *mmio, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		mmio->device_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		mmio->driver_features_sel = value;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		write_driver_features(mmio, value);
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		mmio->queue_sel = value;
		break;
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		virtio_mmio_notify(mmio, value);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		mmio->interrupt_status &= ~value;
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(mmio, value);
		break;
	default:
		write_queue(mmio, offset, value);
		break;
	}
}

/* 32 of 64 feature bits; beyond those there are none. */
static uint32_t features_word(uint64_t features, uint32_t word)
{
	return word < 2 ? (uint32_t)(features >> (32 * word)) : 0;
}

static uint32_t read_register(const struct virtio_mmio *mmio, uint64_t offset)
{
	const struct virtio_device *device = mmio->device;
	bool is_queue = mmio->queue_sel < device->queue_count;

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return device->ops->type;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return features_word(device->offered, mmio->device_features_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return is_queue ? device->ops->queue_size_max[mmio->queue_sel] : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return is_queue && device->queues[mmio->queue_sel].ready;
	case VIRTIO_MMIO_INTERRUPT_STATUS:
		return mmio->interrupt_status;
	case VIRTIO_MMIO_STATUS:
		return mmio->status;
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX; /* no shared memory region */
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return mmio->config_generation;
	default:
		return 0;
	}
}

static void access_config(struct virtio_device *device, const struct mmio_access *access)
{
	const struct virtio_ops *ops = device->ops;
	uint32_t offset = (uint32_t)(access->offset - VIRTIO_MMIO_CONFIG);

	if (offset >= ops->config_size || access->size > ops->config_size - offset)
		return;
	if (access->is_write && ops->config_write)
		ops->config_write(device, offset, access->data, access->size);
	else if (!access->is_write && ops->config_read)
		ops->config_read(device, offset, access->data, access->size);
}

int virtio_mmio_access(void *device, const struct mmio_access *access, struct error *error)
{
	struct virtio_mmio *mmio = device;
	uint32_t value;

	(void)error;
	if (access->offset >= VIRTIO_MMIO_CONFIG) {
		access_config(mmio->device, access);
		return 0;
	}
	if (access->size != sizeof(value) || access->offset % sizeof(value) != 0)
		return 0;
	if (access->is_write) {
		memcpy(&value, access->data, sizeof(value));
		write_register(mmio, access->offset, value);
	} else {
		value = read_register(mmio, access->offset);
		memcpy(access->data, &value, sizeof(value));
	}
	return 0;
}

int virtio_mmio_fork_before(struct virtio_mmio *mmio, struct error *error)
{
	struct virtio_device *device = mmio->device;
	struct error why = {0};
	int rc;

	for (uint32_t i = 0; i < device->queue_count; i++)
		virtio_mmio_notify(mmio, i);
	rc = device->ops->fork_before ? device->ops->fork_before(device, &why) : 0;
	if (rc == -EPROTO)
		fail(mmio, &why);
	else if (rc < 0)
		return error_set(error, -rc, "%s: %s", device->ops->name, why.text);
	/* Here rather than in each clone, which would have to copy the page. */
	device->stats = (struct virtio_stats){0};
	mmio->complaints = 0;
	return 0;
}

int virtio_mmio_fork_child(struct virtio_mmio *mmio, struct error *error)
{
	struct virtio_device *device = mmio->device;
	int rc = 0;

	if (device->ops->fork_child)
		rc = device->ops->fork_child(device, error);
	if (rc < 0)
		error_prefix(error, "%s", device->ops->name);
	return rc;
}

void virtio_mmio_fork_parent(struct virtio_mmio *mmio)
{
	if (mmio->device->ops->fork_parent)
		mmio->device->ops->fork_parent(mmio->device);
}
