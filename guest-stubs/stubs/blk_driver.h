/* SPDX-License-Identifier: MIT */
/*
 * The blk stub's driver: virtio-blk disks in slots 1 and up, one queue each, polled.
 *
 * A request has a slot: its header, its status byte and its own table of descriptors. Up to
 * BLK_SLOTS of them are under way at a time. Rings and slots are open to everybody, so that they
 * can be got wrong on purpose.
 */
#ifndef FORKVM_STUB_BLK_DRIVER_H
#define FORKVM_STUB_BLK_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guest-stubs/stubs/virtio_regs.h"

#define BLK_DISKS		4u
#define BLK_QUEUE_SIZE		256u
#define BLK_SLOTS		128u
#define BLK_SEGMENTS		16u /* of a request's data, at most */
#define BLK_TABLE		(BLK_HEADER + BLK_SEGMENTS + 1)
#define BLK_HEADER		16u
#define BLK_SECTOR		512u

/* VIRTIO 1.2, section 5.2: types of requests, feature bits, status bytes. */
#define BLK_IN			0u
#define BLK_OUT			1u
#define BLK_FLUSH		4u
#define BLK_GET_ID		8u
#define BLK_DISCARD		11u
#define BLK_WRITE_ZEROES	13u

#define BLK_F_RO		(1u << 5)
#define BLK_F_FLUSH		(1u << 9)
#define BLK_F_WCE		(1u << 11)
#define BLK_F_MQ		(1u << 12)
#define BLK_F_DISCARD		(1u << 13)
#define BLK_F_ZEROES		(1u << 14)

#define BLK_OK			0u
#define BLK_IOERR		1u
#define BLK_UNSUPP		2u
#define BLK_UNTOUCHED		0xa5u /* the device never wrote a status */

/* 5.2.4: where things are in the configuration space. */
#define BLK_CONFIG_CAPACITY	REG_CONFIG
#define BLK_CONFIG_SEG_MAX	(REG_CONFIG + 12)
#define BLK_CONFIG_BLOCK	(REG_CONFIG + 20)
#define BLK_CONFIG_TOPOLOGY	(REG_CONFIG + 24)
#define BLK_CONFIG_WCE		(REG_CONFIG + 32)
#define BLK_CONFIG_QUEUES	(REG_CONFIG + 34)
#define BLK_CONFIG_DISCARD_MAX	(REG_CONFIG + 36)
#define BLK_CONFIG_DISCARD_SEGS (REG_CONFIG + 40)

/* How a request's parts are cut into descriptors (2.7.4.1: the device must take any layout). */
enum blk_layout {
	BLK_PLAIN,  /* header, data, status: one each, or as many for data as segments says  */
	BLK_MERGED, /* header with the data that is written, status with the data that is read */
	BLK_BYTES,  /* the header a byte each */
};

struct blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};

/* Discard and write zeroes. */
struct blk_range {
	uint64_t sector;
	uint32_t sectors;
	uint32_t flags;
};

/* A request. The first ones are the caller's; the status is the device's. */
struct blk_slot {
	struct blk_header header;
	uint8_t status;
	uint64_t tag; /* the caller's own */
	struct desc table[BLK_TABLE];
} __attribute__((aligned(64)));

/* What a request is about. */
struct blk_request {
	uint32_t type;
	uint64_t sector;
	void *data;
	uint32_t len;
	bool device_writes; /* data are the device's to write */
	uint32_t segments;  /* of data; 0 counts as 1 */
	enum blk_layout layout;
	bool direct; /* no indirect table; only with nothing else under way */
	uint64_t tag;
};

struct blk_disk {
	struct desc desc[BLK_QUEUE_SIZE] __attribute__((aligned(4096)));
	struct {
		uint16_t flags, index, ring[BLK_QUEUE_SIZE], used_event;
	} avail;
	struct {
		uint16_t flags, index;
		struct {
			uint32_t id, len;
		} ring[BLK_QUEUE_SIZE];
		uint16_t avail_event;
	} used __attribute__((aligned(4)));
	uint16_t offered, told; /* chains in the ring; those the device was notified of */
	uint16_t seen;		/* used elements taken */
	uint64_t base;		/* registers */
	uint64_t notifies;
	uint16_t free[BLK_SLOTS]; /* a stack of slots */
	uint32_t free_count;
	struct blk_slot slots[BLK_SLOTS];
};

extern struct blk_disk blk_disks[BLK_DISKS];

static inline uint32_t blk_reg(const struct blk_disk *disk, uint32_t offset)
{
	return *(volatile uint32_t *)(disk->base + offset);
}

static inline void blk_set_reg(const struct blk_disk *disk, uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)(disk->base + offset) = value;
}

/* Configuration space by bytes, and what is 16 or 64 bits wide there. */
uint8_t blk_config8(const struct blk_disk *disk, uint32_t offset);
uint16_t blk_config16(const struct blk_disk *disk, uint32_t offset);
uint64_t blk_capacity(const struct blk_disk *disk); /* sectors */
uint32_t blk_features(const struct blk_disk *disk); /* the lower word of what is offered */

/* Reset and set up disk index, up to DRIVER_OK. Returns what is wrong, or NULL. */
const char *blk_start(uint32_t index);

/* The slot that the next request gets, if there is one. */
static inline uint32_t blk_next_slot(const struct blk_disk *disk)
{
	return disk->free_count ? disk->free[disk->free_count - 1] : 0;
}

/* Put a request in the ring, in a slot of its own. False when there is none left. */
bool blk_offer(struct blk_disk *disk, const struct blk_request *request);

/* Put a chain in the ring whose descriptors the caller has written. */
void blk_offer_head(struct blk_disk *disk, uint16_t head);

/* Notify the device of what it was not told of, if it wants to know (2.7.10). */
void blk_notify(struct blk_disk *disk);

/* Wait for one that is done, and free its slot: NULL after a long time. */
const struct blk_slot *blk_wait(struct blk_disk *disk);

/* Would blk_wait return at once? */
bool blk_is_ready(const struct blk_disk *disk);

/* Offer, notify, wait: a single request. Returns its status, or BLK_UNTOUCHED. */
uint8_t blk_do(struct blk_disk *disk, const struct blk_request *request);

/* How many are under way. */
static inline uint32_t blk_busy(const struct blk_disk *disk)
{
	return BLK_SLOTS - disk->free_count;
}

#endif
