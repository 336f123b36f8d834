/* SPDX-License-Identifier: MIT */
/*
 * Ports of eight bits, as devices of a PC have them, under accesses of every size and count: a
 * device says what one byte at one port does, this says what the guest's instruction does.
 */
#ifndef FORKVM_VMM_DEV_BYTE_PORT_H
#define FORKVM_VMM_DEV_BYTE_PORT_H

#include <stdint.h>

#include "vmm/io/portbus.h"

struct byte_port_ops {
	/* What a read of port gives. 0xff for a port that is not the device's. */
	uint8_t (*in)(void *device, uint16_t port);
	/* A write, an enum port_result. One to a port that is not the device's is lost. */
	enum port_result (*out)(void *device, uint16_t port, uint8_t value);
};

/*
 * Take an access apart, as a PC's bus does: a wider one becomes one byte each for ports in a row,
 * lowest first; a string instruction repeats that. Returns PORT_STOP as soon as a write does, and
 * the rest of the access is then lost; else PORT_CONTINUE.
 */
int byte_port_access(const struct byte_port_ops *ops, void *device,
		     const struct port_access *access);

#endif
