/* SPDX-License-Identifier: MIT */
/*
 * virtio-blk: see blk.h.
 */
#include "vmm/virtio/blk.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/util.h"

#define HEADER_BYTES  ((uint32_t)sizeof(struct virtio_blk_outhdr))
#define RANGE_BYTES   ((uint32_t)sizeof(struct virtio_blk_discard_write_zeroes))
#define BLOCK_EXP     3u /* of 2, from a sector to a DISK_BLOCK */
#define BLOCK_SECTORS (DISK_BLOCK / DISK_SECTOR)
#define IOVECS_MAX    244u

/* Configuration space as far as features are offered. */
#define CONFIG_BYTES  ((uint32_t)offsetof(struct virtio_blk_config, max_secure_erase_sectors))

/* What becomes of a chain at once: a status, or the disk has it. */
#define AT_THE_DISK   0x100

/* A request from its chain to its status; zeros when it is new. */
struct blk_record {
	_Alignas(PAGE_BYTES) struct disk_request request; /* the first: reaping casts */
	struct blk_record *next;			  /* in the list of free ones */
	uint8_t *status;				  /* in guest RAM */
	uint32_t type;
	uint32_t data; /* bytes that a status of success says were written */
	uint16_t queue, head;
	uint16_t range, ranges; /* the one under way, of so many */
	bool flush_behind;	/* it is a write, and goes through */
	union {
		struct iovec iov[IOVECS_MAX];
		struct virtio_blk_discard_write_zeroes list[VIRTIO_BLK_RANGES_MAX];
	};
};

static_assert(sizeof(struct blk_record) == PAGE_BYTES, "a page each: unused ones cost nothing");
static_assert(IOVECS_MAX >= HEADER_BYTES + VIRTIO_BLK_SEGMENTS_MAX + 1,
	      "room for the longest request in the worst layout");
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

static void free_record(struct virtio_blk *blk, struct blk_record *record)
{
	record->next = blk->free;
	blk->free = record;
}

/* ---- The end of a request ---- */

static void finish(struct virtio_blk *blk, struct blk_record *record, int status)
{
	bool wrote = status == VIRTIO_BLK_S_OK &&
		     (record->type == VIRTIO_BLK_T_IN || record->type == VIRTIO_BLK_T_GET_ID);

	__atomic_store_n(record->status, (uint8_t)status, __ATOMIC_RELAXED);
	virtqueue_put(&blk->device.queues[record->queue], record->head,
		      wrote ? record->data + 1 : 1);
	blk->dirty |= 1u << record->queue;
	blk->device.stats.requests++;
	if (status == VIRTIO_BLK_S_OK)
		blk->device.stats.bytes += record->data;
	free_record(blk, record);
}

static void submit(struct virtio_blk *blk, struct blk_record *record)
{
	disk_submit(blk->disk, &record->request);
	blk->submitted++;
}

static void start_range(struct virtio_blk *blk, struct blk_record *record)
{
	const struct virtio_blk_discard_write_zeroes *range = &record->list[record->range++];

	record->request.offset = range->sector * DISK_SECTOR;
	record->request.length = (uint64_t)range->num_sectors * DISK_SECTOR;
	submit(blk, record);
}

static void start_flush(struct virtio_blk *blk, struct blk_record *record)
{
	record->flush_behind = false;
	record->request = (struct disk_request){.op = DISK_FLUSH};
	submit(blk, record);
}

/* The guest hears of every error, the machine's owner once of each kind. */
static void complain(struct virtio_blk *blk)
{
	struct error why;

	while (disk_take_trouble(blk->disk, &why))
		virtio_device_complain(&blk->device, &why);
}

/* The disk has done what it was given: go on with the request, or tell the driver. */
static void advance(struct virtio_blk *blk, struct blk_record *record)
{
	if (record->request.result < 0) {
		finish(blk, record, VIRTIO_BLK_S_IOERR);
		complain(blk);
	} else if (record->range < record->ranges) {
		start_range(blk, record);
	} else if (record->flush_behind) {
		start_flush(blk, record);
	} else {
		finish(blk, record, VIRTIO_BLK_S_OK);
	}
}

/* ---- From a chain to a request ---- */

/* A chain's segments, taken off from the front. */
struct cursor {
	struct iovec *iov;
	uint32_t count;
};

/* Copy size bytes, which are there, and leave what is behind them. */
static void take_bytes(struct cursor *cursor, void *to, uint32_t size)
{
	for (uint8_t *at = to; size > 0;) {
		uint32_t part = (uint32_t)min_u64(size, cursor->iov->iov_len);

		memcpy(at, cursor->iov->iov_base, part);
		at += part;
		size -= part;
		cursor->iov->iov_base = (uint8_t *)cursor->iov->iov_base + part;
		cursor->iov->iov_len -= part;
		if (cursor->iov->iov_len == 0) {
			cursor->iov++;
			cursor->count--;
		}
	}
}

/* As much of size bytes as there is room for. Returns how much. */
static uint32_t give_bytes(const struct cursor *cursor, const char *from, uint32_t size)
{
	uint32_t given = 0;

	for (uint32_t i = 0; i < cursor->count && given < size; i++) {
		uint32_t part = (uint32_t)min_u64(size - given, cursor->iov[i].iov_len);

		memcpy(cursor->iov[i].iov_base, from + given, part);
		given += part;
	}
	return given;
}

/* The last byte that the driver has room for is the status. */
static uint8_t *take_status(struct cursor *cursor)
{
	struct iovec *last = &cursor->iov[cursor->count - 1];

	last->iov_len--;
	if (last->iov_len == 0)
		cursor->count--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

static bool has(const struct virtio_blk *blk, unsigned int feature)
{
	return blk->device.features & 1ull << feature;
}

/* 5.2.6.2: is a write stable once it is done? */
static bool writes_through(const struct virtio_blk *blk)
{
	return has(blk, VIRTIO_BLK_F_CONFIG_WCE) ? !blk->writeback : !has(blk, VIRTIO_BLK_F_FLUSH);
}

static bool is_inside(const struct virtio_blk *blk, uint64_t sector, uint64_t sectors)
{
	uint64_t capacity = disk_size(blk->disk) / DISK_SECTOR;

	return sector <= capacity && sectors <= capacity - sector;
}

static int begin_io(struct virtio_blk *blk, struct blk_record *record, uint64_t sector,
		    const struct cursor *data)
{
	bool is_write = record->type == VIRTIO_BLK_T_OUT;

	if (record->data % DISK_SECTOR || !is_inside(blk, sector, record->data / DISK_SECTOR) ||
	    (is_write && disk_get_mode(blk->disk) == DISK_READ_ONLY))
		return VIRTIO_BLK_S_IOERR;
	if (record->data == 0)
		return VIRTIO_BLK_S_OK;
	record->flush_behind = is_write && writes_through(blk);
	record->request = (struct disk_request){
		.op = is_write ? DISK_WRITE : DISK_READ,
		.offset = sector * DISK_SECTOR,
		.length = record->data,
		.iov = data->iov,
		.iov_count = data->count,
	};
	return AT_THE_DISK;
}

static int begin_flush(struct virtio_blk *blk, struct blk_record *record)
{
	if (disk_size(blk->disk) == 0)
		return VIRTIO_BLK_S_OK;
	record->request = (struct disk_request){.op = DISK_FLUSH};
	return AT_THE_DISK;
}

/* 5.2.6.2: which flags a range may have; and where it may be. */
static int check_range(const struct virtio_blk *blk, uint32_t type,
		       const struct virtio_blk_discard_write_zeroes *range)
{
	uint32_t allowed =
		type == VIRTIO_BLK_T_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;

	if (range->flags & ~allowed)
		return VIRTIO_BLK_S_UNSUPP;
	if (range->num_sectors > VIRTIO_BLK_RANGE_SECTORS ||
	    !is_inside(blk, range->sector, range->num_sectors))
		return VIRTIO_BLK_S_IOERR;
	return VIRTIO_BLK_S_OK;
}

/* The ranges are read into a place of their own, and then take that of the segments. */
static int begin_ranges(struct virtio_blk *blk, struct blk_record *record, struct cursor *data,
			unsigned int feature)
{
	struct virtio_blk_discard_write_zeroes list[VIRTIO_BLK_RANGES_MAX];
	uint32_t count = record->data / RANGE_BYTES;
	int status = VIRTIO_BLK_S_OK;

	if (!has(blk, feature))
		return VIRTIO_BLK_S_UNSUPP;
	if (count == 0 || count > VIRTIO_BLK_RANGES_MAX || record->data % RANGE_BYTES)
		return VIRTIO_BLK_S_IOERR;
	take_bytes(data, list, record->data);
	record->ranges = 0;
	for (uint32_t i = 0; i < count && status == VIRTIO_BLK_S_OK; i++) {
		status = check_range(blk, record->type, &list[i]);
		if (list[i].num_sectors > 0)
			record->list[record->ranges++] = list[i];
	}
	if (status != VIRTIO_BLK_S_OK || record->ranges == 0)
		return status;
	record->flush_behind = writes_through(blk);
	record->request = (struct disk_request){
		.op = record->type == VIRTIO_BLK_T_DISCARD ? DISK_DISCARD : DISK_WRITE_ZEROES,
	};
	return AT_THE_DISK;
}

/* 5.2.6: twenty bytes, zeros behind the text. */
static int give_id(const struct virtio_blk *blk, struct blk_record *record,
		   const struct cursor *data)
{
	char id[VIRTIO_BLK_ID_BYTES + 1] = {0};

	if (blk->serial[0])
		snprintf(id, sizeof(id), "%s", blk->serial);
	else
		snprintf(id, sizeof(id), "forkvm-disk%u", blk->number);
	record->data = give_bytes(data, id, VIRTIO_BLK_ID_BYTES);
	return VIRTIO_BLK_S_OK;
}

/* What is to be done with a request. Its data, to be read or to be written, are in *data. */
static int begin(struct virtio_blk *blk, struct blk_record *record, uint64_t sector,
		 struct cursor *data)
{
	switch (record->type) {
	case VIRTIO_BLK_T_IN:
	case VIRTIO_BLK_T_OUT:
		return begin_io(blk, record, sector, data);
	case VIRTIO_BLK_T_FLUSH:
		return begin_flush(blk, record);
	case VIRTIO_BLK_T_GET_ID:
		return give_id(blk, record, data);
	case VIRTIO_BLK_T_DISCARD:
		return begin_ranges(blk, record, data, VIRTIO_BLK_F_DISCARD);
	case VIRTIO_BLK_T_WRITE_ZEROES:
		return begin_ranges(blk, record, data, VIRTIO_BLK_F_WRITE_ZEROES);
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

/* 5.2.6: header, data, status. -EPROTO for a chain that has no room for the outer two. */
static int take_request(struct virtio_blk *blk, struct blk_record *record,
			const struct virtqueue_chain *chain, struct error *error)
{
	struct cursor readable = {record->iov, chain->readable};
	struct cursor writable = {record->iov + chain->readable, chain->writable};
	struct virtio_blk_outhdr header;
	int status;

	if (chain->readable_bytes < HEADER_BYTES)
		return error_set(error, EPROTO, "chain %u: a header of %u bytes, not %u",
				 chain->head, chain->readable_bytes, HEADER_BYTES);
	if (chain->writable_bytes == 0)
		return error_set(error, EPROTO, "chain %u: nowhere to put a status", chain->head);
	take_bytes(&readable, &header, sizeof(header));
	record->status = take_status(&writable);
	record->type = header.type;
	record->head = chain->head;
	record->range = record->ranges = 0;
	record->flush_behind = false;
	if (record->type == VIRTIO_BLK_T_IN || record->type == VIRTIO_BLK_T_GET_ID) {
		record->data = chain->writable_bytes - 1;
		status = begin(blk, record, header.sector, &writable);
	} else {
		record->data = chain->readable_bytes - HEADER_BYTES;
		status = begin(blk, record, header.sector, &readable);
	}
	if (status != AT_THE_DISK)
		finish(blk, record, status);
	else if (record->ranges > 0)
		start_range(blk, record);
	else
		submit(blk, record);
	return 0;
}

static int take_chain(struct virtio_blk *blk, uint32_t queue, struct error *error)
{
	struct blk_record *record = take_record(blk);
	struct virtqueue_chain chain;
	int rc = virtqueue_pop(&blk->device.queues[queue], record->iov, IOVECS_MAX, &chain, error);

	record->queue = (uint16_t)queue;
	if (rc > 0) {
		rc = take_request(blk, record, &chain, error);
		if (rc == 0)
			return 0;
	}
	free_record(blk, record);
	return rc;
}

/* ---- Passes ---- */

/* All chains that were counted, as far as there are records. A broken queue is the device's end. */
static void take_queue(struct virtio_blk *blk, uint32_t queue)
{
	struct error why = {0};
	int rc = blk->owed[queue] ? map_records(blk, &why) : 0;

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
		advance(blk, (struct blk_record *)request);
}

static void flush(struct virtio_blk *blk)
{
	for (uint32_t i = 0; i < blk->device.queue_count; i++)
		if (blk->dirty & 1u << i)
			virtio_device_flush(&blk->device, i);
	blk->dirty = 0;
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
	if (has(blk, VIRTIO_BLK_F_CONFIG_WCE) && !has(blk, VIRTIO_BLK_F_FLUSH))
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
	if (blk->inserted)
		virtio_device_config_changed(device);
	blk->inserted = false;
	return 0;
}

/* ---- Configuration ---- */

/* What BIOSes made of a size: 16 heads, 63 sectors a track. */
static struct virtio_blk_geometry geometry(uint64_t sectors)
{
	return (struct virtio_blk_geometry){
		.cylinders = (uint16_t)min_u64(sectors / (16 * 63), UINT16_MAX),
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

	if (has(blk, VIRTIO_BLK_F_CONFIG_WCE) && offset <= at && at - offset < size)
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
