/* SPDX-License-Identifier: MIT */
/*
 * Ports of eight bits under wider accesses: see byte_port.h.
 */
#include "vmm/dev/byte_port.h"

#include <stddef.h>

int byte_port_access(const struct byte_port_ops *ops, void *device,
		     const struct port_access *access)
{
	size_t bytes = (size_t)access->count * access->size;

	for (size_t i = 0; i < bytes; i++) {
		uint16_t port = (uint16_t)(access->port + i % access->size);

		if (!access->is_out)
			access->data[i] = ops->in(device, port);
		else if (ops->out(device, port, access->data[i]) == PORT_STOP)
			return PORT_STOP;
	}
	return PORT_CONTINUE;
}
