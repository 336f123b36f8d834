/* SPDX-License-Identifier: MIT */
/*
 * virtio-blk: see blk.h.
 */
#include "vmm/virtio/blk.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/virtio/blk_record.h"

#define BLOCK_EXP     3u /* of 2, from a sector to a DISK_BLOCK */
#define BLOCK_SECTORS (DISK_BLOCK / DISK_SECTOR)

/* Configuration space as far as features are offered. */
#define CONFIG_BYTES  ((uint32_t)offsetof(struct virtio_blk_config, max_secure_erase_sectors))

static_assert(DISK_SECTOR << BLOCK_EXP == DISK_BLOCK, "the topology is the disk's");

/* ---- Records ---- */

static int map_records(struct virtio_blk *blk, struct error *error)
{
	void *memory;

	if (blk->records)
		return 0;
	memory = mmap(NULL, blk->depth * sizeof(struct blk_record), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return error_set_errno(error, errno, "memory for %u requests", blk->depth);
	blk->records = memory;
	return 0;
}

static void unmap_records(struct virtio_blk *blk)
{
	if (blk->records)
		munmap(blk->records, blk->depth * sizeof(struct blk_record));
	blk->records = NULL;
	blk->free = NULL;
	blk->touched = 0;
}

static bool has_record(const struct virtio_blk *blk)
{
	return blk->free || blk->touched < blk->depth;
}

/* The one that was used last comes first, so that few pages are ever used. */
static struct blk_record *take_record(struct virtio_blk *blk)
{
	struct blk_record *record = blk->free;

	if (record)
		blk->free = record->next;
	else
		record = &blk->records[blk->touched++];
	return record;
}

void blk_record_free(struct virtio_blk *blk, struct blk_record *record)
{
	record->next = blk->free;
	blk->free = record;
}

static int take_chain(struct virtio_blk *blk, uint32_t queue, struct error *error)
{
	struct blk_record *record = take_record(blk);
	struct virtqueue_chain chain;
	int rc = virtqueue_pop(&blk->device.queues[queue], record->iov, BLK_IOVECS_MAX, &chain,
			       error);

	record->queue = (uint16_t)queue;
	if (rc > 0) {
		rc = blk_request_begin(blk, record, &chain, error);
		if (rc == 0)
			return 0;
	}
	blk_record_free(blk, record);
	return rc;
}

/* ---- Passes ---- */

/* All chains that were counted, as far as there are records. A broken queue is the device's end. */
static void take_queue(struct virtio_blk *blk, uint32_t queue)
{
	struct error why = {0};
	int rc = blk->owed[queue] ? map_records(blk, &why) : 0;

	if (blk->owed[queue])
		disk_expect(blk->disk, blk->owed[queue]);
	for (; rc == 0 && blk->owed[queue] && has_record(blk); blk->owed[queue]--)
		rc = take_chain(blk, queue, &why);
	if (rc == 0)
		return;
	memset(blk->owed, 0, sizeof(blk->owed));
	error_prefix(&why, "queue %u", queue);
	virtio_device_fail(&blk->device, &why);
}

static bool owes(const struct virtio_blk *blk)
{
	bool any = false;

	for (uint32_t i = 0; i < VIRTIO_BLK_QUEUES_MAX; i++)
		any |= blk->owed[i] > 0;
	return any;
}

/* One system call for all that was submitted; with wait, until nothing is under way. */
static void kick(struct virtio_blk *blk, bool wait)
{
	if (wait && disk_in_flight(blk->disk))
		disk_kick_wait(blk->disk);
	else if (blk->submitted)
		disk_kick(blk->disk);
	blk->submitted = 0;
}

static void reap(struct virtio_blk *blk)
{
	struct disk_request *request;

	while ((request = disk_reap(blk->disk)))
		blk_request_advance(blk, (struct blk_record *)request);
}

static void flush(struct virtio_blk *blk)
{
	const struct virtio_stats *stats = &blk->device.stats;

	for (uint32_t i = 0; i < blk->device.queue_count; i++)
		if (blk->dirty & 1u << i)
			virtio_device_flush(&blk->device, i);
	blk->dirty = 0;
	disk_count_doorbells(blk->disk, stats->notifications, stats->interrupts);
}

/*
 * Take, submit, give back, until there is nothing to do but to wait for the disk; then tell the
 * driver. With wait, until there is nothing under way. What is owed only falls, so this ends.
 */
static void serve(struct virtio_blk *blk, bool wait)
{
	do {
		for (uint32_t i = 0; i < blk->device.queue_count; i++)
			take_queue(blk, i);
		kick(blk, wait);
		reap(blk);
	} while (blk->submitted || (owes(blk) && has_record(blk)) ||
		 (wait && disk_in_flight(blk->disk)));
	flush(blk);
}

static int notify(struct virtio_device *device, uint32_t queue, struct error *error)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;
	int count = virtqueue_arm(&device->queues[queue], error);

	if (count < 0)
		return count;
	blk->owed[queue] = (uint16_t)count;
	serve(blk, blk->waits);
	return 0;
}

void virtio_blk_poll(struct virtio_blk *blk)
{
	serve(blk, false);
}

/* What was taken is finished and put back. */
static void queue_stop(struct virtio_device *device, uint32_t queue)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	blk->owed[queue] = 0;
	serve(blk, true);
}

static void reset(struct virtio_device *device)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	memset(blk->owed, 0, sizeof(blk->owed));
	serve(blk, true);
	blk->writeback = 1;
}

/* 5.2.5.2: a driver that will never flush has a cache that needs none. */
static int activate(struct virtio_device *device, struct error *error)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	(void)error;
	if (blk_has(blk, VIRTIO_BLK_F_CONFIG_WCE) && !blk_has(blk, VIRTIO_BLK_F_FLUSH))
		blk->writeback = 0;
	return 0;
}

static int fork_before(struct virtio_device *device, struct error *error)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;
	int rc;

	serve(blk, true);
	unmap_records(blk);
	rc = disk_freeze(blk->disk, error);
	if (rc < 0)
		error_prefix(error, "disk %u", blk->number);
	return rc;
}

static int fork_child(struct virtio_device *device, struct error *error)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;

	(void)error;
	if (blk->inserted) {
		virtio_device_config_changed(device);
		blk->inserted = false;
	}
	return 0;
}

/* ---- Configuration ---- */

/* What BIOSes made of a size: 16 heads, 63 sectors a track. */
static struct virtio_blk_geometry geometry(uint64_t sectors)
{
	return (struct virtio_blk_geometry){
		.cylinders = (uint16_t)min_u64(sectors / (16ull * 63), UINT16_MAX),
		.heads = 16,
		.sectors = 63,
	};
}

static void config_read(struct virtio_device *device, uint32_t offset, void *data, uint32_t size)
{
	const struct virtio_blk *blk = (struct virtio_blk *)device;
	uint64_t sectors = disk_size(blk->disk) / DISK_SECTOR;
	const struct virtio_blk_config config = {
		.capacity = sectors,
		.seg_max = VIRTIO_BLK_SEGMENTS_MAX,
		.geometry = geometry(sectors),
		.blk_size = DISK_SECTOR,
		.physical_block_exp = BLOCK_EXP,
		.min_io_size = BLOCK_SECTORS,
		.wce = blk->writeback,
		.num_queues = (uint16_t)device->queue_count,
		.max_discard_sectors = VIRTIO_BLK_RANGE_SECTORS,
		.max_discard_seg = VIRTIO_BLK_RANGES_MAX,
		.discard_sector_alignment = BLOCK_SECTORS,
		.max_write_zeroes_sectors = VIRTIO_BLK_RANGE_SECTORS,
		.max_write_zeroes_seg = VIRTIO_BLK_RANGES_MAX,
		.write_zeroes_may_unmap = 1,
	};

	memcpy(data, (const uint8_t *)&config + offset, size);
}

/* One field can be written, and by who negotiated it. */
static void config_write(struct virtio_device *device, uint32_t offset, const void *data,
			 uint32_t size)
{
	struct virtio_blk *blk = (struct virtio_blk *)device;
	const uint32_t at = offsetof(struct virtio_blk_config, wce);

	if (blk_has(blk, VIRTIO_BLK_F_CONFIG_WCE) && offset <= at && at - offset < size)
		blk->writeback = ((const uint8_t *)data)[at - offset] != 0;
}

static const struct virtio_ops ops = {
	.name = "virtio-blk",
	.type = VIRTIO_ID_BLOCK,
	.queue_count = VIRTIO_BLK_QUEUES_MAX,
	.queue_size_max = {VIRTIO_BLK_QUEUE_SIZE, VIRTIO_BLK_QUEUE_SIZE, VIRTIO_BLK_QUEUE_SIZE,
			   VIRTIO_BLK_QUEUE_SIZE},
	.config_size = CONFIG_BYTES,
	.config_read = config_read,
	.config_write = config_write,
	.activate = activate,
	.notify = notify,
	.queue_stop = queue_stop,
	.reset = reset,
	.fork_before = fork_before,
	.fork_child = fork_child,
};

static uint64_t features_of(const struct disk *disk, uint32_t queues)
{
	uint64_t features = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_GEOMETRY |
			    1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_FLUSH |
			    1ull << VIRTIO_BLK_F_TOPOLOGY | 1ull << VIRTIO_BLK_F_CONFIG_WCE;

	if (queues > 1)
		features |= 1ull << VIRTIO_BLK_F_MQ;
	if (disk_get_mode(disk) == DISK_READ_ONLY)
		return features | 1ull << VIRTIO_BLK_F_RO;
	return features | 1ull << VIRTIO_BLK_F_DISCARD | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
}

void virtio_blk_init(struct virtio_blk *blk, struct disk *disk, unsigned int number,
		     uint32_t queues, uint32_t depth)
{
	static_assert(offsetof(struct virtio_blk, device) == 0, "the operations cast");
	static_assert(offsetof(struct blk_record, request) == 0, "reaping casts");
	assert(queues >= 1 && queues <= VIRTIO_BLK_QUEUES_MAX && depth >= 1);
	*blk = (struct virtio_blk){.disk = disk, .number = number, .depth = depth, .writeback = 1};
	virtio_device_init(&blk->device, &ops, features_of(disk, queues));
	blk->device.queue_count = queues;
}

void virtio_blk_insert(struct virtio_blk *blk, uint32_t depth)
{
	assert(!blk->records);
	blk->depth = depth;
	blk->inserted = true;
}

void virtio_blk_settle(struct virtio_blk *blk)
{
	serve(blk, true);
}

void virtio_blk_done(struct virtio_blk *blk)
{
	if (!blk->disk)
		return;
	memset(blk->owed, 0, sizeof(blk->owed));
	serve(blk, true);
	unmap_records(blk);
}
