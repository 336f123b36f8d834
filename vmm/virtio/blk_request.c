/* SPDX-License-Identifier: MIT */
/*
 * A virtio-blk request, from its chain to its status (VIRTIO 1.2, 5.2.6): see blk.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/virtio/blk_record.h"

#define RANGE_BYTES ((uint32_t)sizeof(struct virtio_blk_discard_write_zeroes))

/* What becomes of a chain at once: a status, or the disk has it. */
#define AT_THE_DISK 0x100

/* ---- Its end ---- */

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
	blk_record_free(blk, record);
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

void blk_request_advance(struct virtio_blk *blk, struct blk_record *record)
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

/* ---- Its beginning ---- */

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

/* 5.2.6.2: is a write stable once it is done? */
static bool writes_through(const struct virtio_blk *blk)
{
	return blk_has(blk, VIRTIO_BLK_F_CONFIG_WCE) ? !blk->writeback
						     : !blk_has(blk, VIRTIO_BLK_F_FLUSH);
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

	if (!blk_has(blk, feature))
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

/* 5.2.6: header, data, status. */
int blk_request_begin(struct virtio_blk *blk, struct blk_record *record,
		      const struct virtqueue_chain *chain, struct error *error)
{
	struct cursor readable = {record->iov, chain->readable};
	struct cursor writable = {record->iov + chain->readable, chain->writable};
	struct virtio_blk_outhdr header;
	int status;

	if (chain->readable_bytes < BLK_HEADER_BYTES)
		return error_set(error, EPROTO, "chain %u: a header of %u bytes, not %u",
				 chain->head, chain->readable_bytes, BLK_HEADER_BYTES);
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
		record->data = chain->readable_bytes - BLK_HEADER_BYTES;
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
