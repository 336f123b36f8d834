/* SPDX-License-Identifier: MIT */
/*
 * The memory-mapped I/O bus: see mmiobus.h.
 */
#include "vmm/io/mmiobus.h"

#include <assert.h>
#include <string.h>

void mmiobus_add(struct mmiobus *bus, gpa_t base, uint64_t size, mmio_handler handler, void *device)
{
	assert(bus->count < MMIOBUS_RANGES_MAX);
	for (size_t i = 0; i < bus->count; i++)
		assert(base >= bus->ranges[i].base + bus->ranges[i].size ||
		       base + size <= bus->ranges[i].base);
	bus->ranges[bus->count].base = base;
	bus->ranges[bus->count].size = size;
	bus->ranges[bus->count].handler = handler;
	bus->ranges[bus->count].device = device;
	bus->count++;
}

int mmiobus_access(const struct mmiobus *bus, gpa_t gpa, bool is_write, uint8_t *data,
		   uint32_t size, struct error *error)
{
	for (size_t i = 0; i < bus->count; i++) {
		struct mmio_access access = {
			.offset = gpa - bus->ranges[i].base,
			.size = size,
			.is_write = is_write,
			.data = data,
		};
		int rc;

		if (gpa < bus->ranges[i].base || access.offset >= bus->ranges[i].size ||
		    size > bus->ranges[i].size - access.offset)
			continue;
		if (!is_write)
			memset(data, 0, size);
		rc = bus->ranges[i].handler(bus->ranges[i].device, &access, error);
		return rc < 0 ? rc : 1;
	}
	return 0;
}
