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

#include "guest-stubs/stubs/virtio_regs.h"

#define QUEUE_SIZE 16u
#define DATA_SIZE  65536u

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

/*
 * The device works in a thread of its own: wait until everything offered was used, or until it
 * interrupts for this reason. False when it takes too long.
 */
bool queue_wait(void);
bool interrupt_wait(uint32_t bit);

/* Bytes, in segments, of data[], filled by the device. Returns what is wrong, or NULL. */
const char *request_random(uint32_t bytes, uint32_t segments);

/* A request as any driver makes it. */
const char *request_good(void);

#endif
