/* SPDX-License-Identifier: MIT */
/*
 * Requests of a virtio-blk device, shared by blk.c and blk_request.c and by nobody else.
 */
#ifndef FORKVM_VMM_VIRTIO_BLK_RECORD_H
#define FORKVM_VMM_VIRTIO_BLK_RECORD_H

#include <assert.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <sys/uio.h>

#include "vmm/base/util.h"
#include "vmm/virtio/blk.h"

#define BLK_HEADER_BYTES ((uint32_t)sizeof(struct virtio_blk_outhdr))
#define BLK_IOVECS_MAX	 244u

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
		struct iovec iov[BLK_IOVECS_MAX];
		struct virtio_blk_discard_write_zeroes list[VIRTIO_BLK_RANGES_MAX];
	};
};

static_assert(sizeof(struct blk_record) == PAGE_BYTES, "a page each: unused ones cost nothing");
static_assert(BLK_IOVECS_MAX >= BLK_HEADER_BYTES + VIRTIO_BLK_SEGMENTS_MAX + 1,
	      "room for the longest request in the worst layout");

static inline bool blk_has(const struct virtio_blk *blk, unsigned int feature)
{
	return blk->device.features & 1ull << feature;
}

/* blk.c: the record is not used any more. */
void blk_record_free(struct virtio_blk *blk, struct blk_record *record);

/*
 * Begin the request of a chain whose segments are in record->iov: it is with the disk afterwards,
 * or at its end. -EPROTO for a chain that has no room for a header or a status; the record is not
 * used then.
 */
int blk_request_begin(struct virtio_blk *blk, struct blk_record *record,
		      const struct virtqueue_chain *chain, struct error *error);

/* The disk has done what it was given: go on with the request, or tell the driver. */
void blk_request_advance(struct virtio_blk *blk, struct blk_record *record);

#endif
