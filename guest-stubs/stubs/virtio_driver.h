/* SPDX-License-Identifier: MIT */
/*
 * The virtio stub's driver: one virtio-mmio device with one queue, polled. Rings and descriptors
 * are open to everybody, so that they can be got wrong on purpose.
 */
#ifndef FORKVM_STUB_VIRTIO_DRIVER_H
#define FORKVM_STUB_VIRTIO_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_SIZE	 16u
#define DATA_SIZE	 65536u

/* VIRTIO 1.2, section 4.2.2: registers. */
#define REG_MAGIC	 0x000
#define REG_VERSION	 0x004
#define REG_DEVICE_ID	 0x008
#define REG_FEATURES	 0x010
#define REG_FEATURES_SEL 0x014
#define REG_DRIVER	 0x020
#define REG_DRIVER_SEL	 0x024
#define REG_QUEUE_SEL	 0x030
#define REG_QUEUE_MAX	 0x034
#define REG_QUEUE_NUM	 0x038
#define REG_QUEUE_READY	 0x044
#define REG_NOTIFY	 0x050
#define REG_INTERRUPT	 0x060
#define REG_ACK		 0x064
#define REG_STATUS	 0x070
#define REG_DESC	 0x080 /* and its high half 4 further, as the next two */
#define REG_AVAIL	 0x090
#define REG_USED	 0x0a0
#define REG_CONFIG	 0x100

/* 2.1: status. */
#define STATUS_STARTED	 0x0fu /* ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK */
#define STATUS_FEATURES	 0x08u
#define STATUS_BROKEN	 0x40u /* DEVICE_NEEDS_RESET */

#define INTERRUPT_USED	 1u
#define INTERRUPT_CONFIG 2u

/* Feature bits of the lower word; VERSION_1 is always asked for. */
#define FEATURE_INDIRECT (1u << 28)
#define FEATURE_EVENT	 (1u << 29)

/* 2.7.5 */
#define F_NEXT		 1u
#define F_WRITE		 2u
#define F_INDIRECT	 4u

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/* Everything that device and driver share, and the driver's own indices. */
struct queue {
	struct desc desc[QUEUE_SIZE];
	struct desc table[QUEUE_SIZE]; /* for indirect ones */
	struct {
		uint16_t flags, index, ring[QUEUE_SIZE], used_event;
	} avail;
	struct {
		uint16_t flags, index;
		struct {
			uint32_t id, len;
		} ring[QUEUE_SIZE];
		uint16_t avail_event;
	} used __attribute__((aligned(4)));
	uint16_t offered; /* where the next chain goes       */
	uint16_t seen;	  /* the next used element to expect */
};

extern struct queue queue;
extern char data[DATA_SIZE];

/* How to set up; a misuse changes one of it. */
struct setup {
	uint32_t features; /* lower word */
	uint32_t size;
	uint64_t desc, avail, used;
};

/* Where the device is: FORKVM_VIRTIO_MMIO_GPA, or the boot argument device=. */
void driver_init(void);

uint32_t reg_read(uint32_t offset);
void reg_write(uint32_t offset, uint32_t value);

/* Registers of any width; 1, 2 and 8 bytes are misuse for all but configuration space. */
uint64_t reg_read_wide(uint32_t offset, uint32_t size);
void reg_write_wide(uint32_t offset, uint32_t size, uint64_t value);

/* The right values. */
struct setup setup_good(void);

/* Reset, and begin with empty rings, up to DRIVER_OK. Returns what is wrong, or NULL. */
const char *device_reset(void);
const char *device_start(const struct setup *setup);

/* Put a chain in the ring and let it be seen, without notifying. */
void queue_offer(uint16_t head);
void queue_notify(void);

/* Bytes, in segments, of data[], filled by the device. Returns what is wrong, or NULL. */
const char *request_random(uint32_t bytes, uint32_t segments);

/* A request as any driver makes it. */
const char *request_good(void);

#endif
