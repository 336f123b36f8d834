/* SPDX-License-Identifier: MIT */
/*
 * virtio over MMIO as a driver sees it: registers, status, descriptors.
 */
#ifndef FORKVM_STUB_VIRTIO_REGS_H
#define FORKVM_STUB_VIRTIO_REGS_H

#include <stdint.h>

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
#define REG_GENERATION	 0x0fc
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

#endif
