/* SPDX-License-Identifier: MIT */
/*
 * The port I/O bus: which device answers which ports.
 */
#ifndef FORKVM_VMM_IO_PORTBUS_H
#define FORKVM_VMM_IO_PORTBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"

#define PORTBUS_RANGES_MAX 8

/* One exit: count accesses of size bytes each to one port, their data in a row. */
struct port_access {
	uint16_t port;
	uint8_t size; /* 1, 2 or 4 */
	bool is_out;
	uint32_t count; /* more than 1 for string instructions */
	uint8_t *data;	/* count * size bytes; written by the device for an IN */
};

enum port_result {
	PORT_CONTINUE, /* the guest runs on                                        */
	PORT_STOP,     /* the vCPU is to stop here: the device's owner knows why   */
};

/*
 * A device's answer to an access, an enum port_result; or -errno with *error when the guest did
 * what it must not.
 */
typedef int (*port_handler)(void *device, const struct port_access *access, struct error *error);

struct portbus {
	size_t count;
	struct {
		uint16_t base, size;
		port_handler handler;
		void *device; /* not owned */
	} ranges[PORTBUS_RANGES_MAX];
};

/* Ports [base, base + size) go to handler. Our own mistake if they overlap or do not fit. */
void portbus_add(struct portbus *bus, uint16_t base, uint16_t size, port_handler handler,
		 void *device);

/*
 * Hand the access to its device. Ports without one behave as on a PC: an IN reads all ones, an OUT
 * is lost.
 */
int portbus_access(const struct portbus *bus, const struct port_access *access,
		   struct error *error);

#endif
