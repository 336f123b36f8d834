/* SPDX-License-Identifier: MIT */
/*
 * The port I/O bus: see portbus.h.
 */
#include "vmm/io/portbus.h"

#include <assert.h>
#include <string.h>

void portbus_add(struct portbus *bus, uint16_t base, uint16_t size, port_handler handler,
		 void *device)
{
	assert(bus->count < PORTBUS_RANGES_MAX);
	for (size_t i = 0; i < bus->count; i++)
		assert(base >= bus->ranges[i].base + bus->ranges[i].size ||
		       base + size <= bus->ranges[i].base);
	bus->ranges[bus->count].base = base;
	bus->ranges[bus->count].size = size;
	bus->ranges[bus->count].handler = handler;
	bus->ranges[bus->count].device = device;
	bus->count++;
}

int portbus_access(const struct portbus *bus, const struct port_access *access, struct error *error)
{
	for (size_t i = 0; i < bus->count; i++)
		if (access->port >= bus->ranges[i].base &&
		    access->port - bus->ranges[i].base < bus->ranges[i].size)
			return bus->ranges[i].handler(bus->ranges[i].device, access, error);
	if (!access->is_out)
		memset(access->data, 0xff, (size_t)access->size * access->count);
	return PORT_CONTINUE;
}
