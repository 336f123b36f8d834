/* SPDX-License-Identifier: MIT */
/*
 * The memory-mapped I/O bus: which device answers which guest-physical addresses.
 */
#ifndef FORKVM_VMM_IO_MMIOBUS_H
#define FORKVM_VMM_IO_MMIOBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/base/layout.h"

#define MMIOBUS_RANGES_MAX 16

/* One access of a guest. */
struct mmio_access {
	uint64_t offset; /* from the beginning of the device's range                    */
	uint32_t size;	 /* 1 to 8                                                      */
	bool is_write;
	uint8_t *data; /* size bytes, little-endian; written by the device for a read */
};

/*
 * A device's answer to an access: 0, or -errno with *error when the VM must end for it (a device
 * that is only misused answers with zeros and goes on). A read's data are zeros beforehand.
 */
typedef int (*mmio_handler)(void *device, const struct mmio_access *access, struct error *error);

struct mmiobus {
	size_t count;
	struct {
		gpa_t base;
		uint64_t size;
		mmio_handler handler;
		void *device; /* not owned */
	} ranges[MMIOBUS_RANGES_MAX];
};

/* Addresses [base, base + size) go to handler. Our own mistake if they overlap or do not fit. */
void mmiobus_add(struct mmiobus *bus, gpa_t base, uint64_t size, mmio_handler handler,
		 void *device);

/*
 * Hand an access of size bytes at gpa to its device. 1 when a device took it, 0 when none lies
 * there (all of the access must be inside one device's range), -errno as the device said.
 */
int mmiobus_access(const struct mmiobus *bus, gpa_t gpa, bool is_write, uint8_t *data,
		   uint32_t size, struct error *error);

#endif
