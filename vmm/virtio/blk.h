/* SPDX-License-Identifier: MIT */
/*
 * virtio-blk, the block device (VIRTIO 1.2, section 5.2), on a struct disk.
 *
 * Theory of operation. A notification is one pass: every chain that the queue offers is taken and
 * becomes a request of the disk, one disk_kick submits them all, and what is done by then goes back
 * to the driver with one interrupt at most. What is done later is taken by virtio_blk_poll, a round
 * at a time. A request lives in a record: a page that holds its segments, from a mapping made when
 * the first one comes. There are as many records as the disk may have requests under way; chains
 * that find none stay in their ring until some are free.
 *
 *	chain --> record --> disk_submit ...  disk_kick  ... disk_reap --> status, used ring
 *	             ^                                           |
 *	             +---- further ranges, a flush behind -------+
 *	                   a write that goes through
 *
 * Discard and write zeroes of several ranges are served one range after the other.
 *
 * What a driver gets wrong in a request (a type, a sector, a length) is told in the request's
 * status. A chain that has no room for a status, or is too short for a header, is no request: the
 * device asks to be reset. Host errors (no space, a truncated image) are I/O errors to the driver,
 * and one complaint of each kind to the log.
 *
 * Forks. fork_before waits for everything, gives the records' memory back and freezes the disk.
 * A clone makes new records when it needs some.
 */
#ifndef FORKVM_VMM_VIRTIO_BLK_H
#define FORKVM_VMM_VIRTIO_BLK_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/block/disk.h"
#include "vmm/virtio/device.h"

#define VIRTIO_BLK_QUEUES_MAX	 4u
#define VIRTIO_BLK_QUEUE_SIZE	 256u
#define VIRTIO_BLK_DEPTH	 DISK_DEPTH_DEFAULT
#define VIRTIO_BLK_SEGMENTS_MAX	 224u	    /* of a request's data */
#define VIRTIO_BLK_RANGES_MAX	 64u	    /* of one discard or write zeroes */
#define VIRTIO_BLK_RANGE_SECTORS (1u << 21) /* of each, at most: 1 GiB */

struct blk_record;

struct virtio_blk {
	struct virtio_device device;
	struct disk *disk;   /* not owned */
	unsigned int number; /* for errors and the serial text */
	char serial[21];     /* the owner's, up to 20 bytes; "": one by number */
	bool waits;	   /* nobody calls virtio_blk_poll: a notification waits for its requests */
	bool inserted;	   /* a clone's driver has a new capacity to be told of */
	uint8_t writeback; /* 5.2.5: the driver's choice, if it has one */
	uint32_t depth;	   /* records there may be */
	uint32_t touched;  /* of them, those that were used at all */
	uint32_t submitted; /* to the disk since the last kick */
	uint32_t dirty;	    /* bit: a queue with used elements that the driver was not told of */
	struct blk_record *records; /* a mapping; NULL before the first request and at a fork */
	struct blk_record *free;    /* those that were used, and are not */
	uint16_t owed[VIRTIO_BLK_QUEUES_MAX]; /* chains counted by virtqueue_arm, not taken yet */
};

/*
 * Make the device of disk, which must outlive it. queues: 1 to VIRTIO_BLK_QUEUES_MAX; depth: the
 * disk's; number: the disk's, for people.
 */
void virtio_blk_init(struct virtio_blk *blk, struct disk *disk, unsigned int number,
		     uint32_t queues, uint32_t depth);

/* The disk's event descriptor can be read: give back what is done. */
void virtio_blk_poll(struct virtio_blk *blk);

/*
 * Wait for what is under way, and give it back. Whoever's thread submitted must still be there: the
 * kernel cancels what a thread that ends has submitted.
 */
void virtio_blk_settle(struct virtio_blk *blk);

/* In a clone, before virtio_mmio_fork_child: the slot was empty, and its disk has a size now. */
void virtio_blk_insert(struct virtio_blk *blk, uint32_t depth);

/* Wait for what is under way, and free the records. A zeroed structure is fine. */
void virtio_blk_done(struct virtio_blk *blk);

#endif
