/* SPDX-License-Identifier: MIT */
/*
 * A virtio-blk device with everything around it, for tests: RAM, a driver, a disk, and what the
 * device did to its owner.
 */
#ifndef FORKVM_TESTS_UNIT_VMM_VIRTIO_BLK_BENCH_H
#define FORKVM_TESTS_UNIT_VMM_VIRTIO_BLK_BENCH_H

#include "tests/unit/vmm/virtio/driver.h"
#include "vmm/block/disk.h"
#include "vmm/virtio/blk.h"

#define BENCH_DISK_SIZE (8ull << 20)
#define BENCH_QUEUES	2u
#define BENCH_SIZE	256u  /* descriptors a queue */
#define BENCH_UNTOUCHED 0xa5u /* a status that was never written */
#define BENCH_IN(type)	((type) == 0 || (type) == 8)

/* How to begin; zeros are fine but for the image. */
struct bench_setup {
	struct disk_config disk; /* image_fd 0: an image of size bytes is made; -2: an empty slot */
	uint64_t size;		 /* 0: BENCH_DISK_SIZE */
	uint32_t depth;		 /* 0: VIRTIO_BLK_DEPTH */
	uint64_t without;	 /* feature bits that the driver does not take */
	bool polled;		 /* completions are polled for, rather than waited for */
};

struct bench {
	struct guest_ram ram;
	struct driver drivers[BENCH_QUEUES];
	uint16_t next[BENCH_QUEUES]; /* descriptor to use next */
	struct virtio_mmio mmio;
	struct virtio_blk blk;
	struct disk *disk;
	int image_fd; /* the image again; -1: none */
	unsigned int interrupts, complaints;
	char complaint[2 * ERROR_TEXT_SIZE]; /* the last one */
	struct error error;
};

/* One request as a driver lays it out. */
struct bench_request {
	uint32_t type;
	uint64_t sector;
	gpa_t data; /* 0: DRIVER_DATA */
	uint32_t len;
	uint32_t header_parts, data_parts; /* descriptors for each; 0 counts as 1 */
	bool merged;			   /* header before, or status behind the data, in one */
	bool indirect;
	uint32_t queue;
};

/* Where the last one has its status: set by bench_offer. */
struct bench_place {
	uint16_t head;
	gpa_t status;
};

/* Ready, up to DRIVER_OK with both queues. */
void bench_start(struct bench *bench, const struct bench_setup *setup);
void bench_end(struct bench *bench);

/* The driver's part alone, from a reset on. */
void bench_negotiate(struct bench *bench, uint64_t without);

/* Put a request in the ring; and notify the device. */
struct bench_place bench_offer(struct bench *bench, const struct bench_request *request);
void bench_notify(struct bench *bench, uint32_t queue);

/* Wait for all that is under way. */
void bench_settle(struct bench *bench);

/* All of that; the used element must be this request's. Returns the status. */
uint8_t bench_do(struct bench *bench, const struct bench_request *request);

/* Guest memory. */
uint8_t *bench_at(struct bench *bench, gpa_t gpa, uint64_t size);

/* A byte that differs from place to place. */
static inline uint8_t bench_byte(uint64_t seed, uint64_t at)
{
	return (uint8_t)(seed * 31 + at * 7 + at / 251 + 1);
}

/* Fill guest memory so, or look whether it is. */
void bench_fill(struct bench *bench, gpa_t gpa, uint64_t size, uint64_t seed);
bool bench_is(struct bench *bench, gpa_t gpa, uint64_t size, uint64_t seed);
bool bench_is_zero(struct bench *bench, gpa_t gpa, uint64_t size);

#endif
