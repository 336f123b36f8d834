/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory map: see e820.h.
 */
#include "vmm/boot/e820.h"

#include <assert.h>

#include "guest-stubs/stub_abi.h"

unsigned int e820_fill(const struct guest_ram *ram, struct e820_range ranges[E820_RANGES_MAX])
{
	const gpa_t high = FORKVM_STUB_LOAD_GPA;
	const struct e820_range below[] = {
		{0, GPA_LOW_USABLE_END, E820_USABLE},
		/* A PC's legacy area. What ACPI and we ourselves keep in it, Linux leaves alone. */
		{GPA_LOW_USABLE_END, GPA_ACPI - GPA_LOW_USABLE_END, E820_RESERVED},
		{GPA_ACPI, GPA_ACPI_END - GPA_ACPI, E820_ACPI},
		{GPA_ACPI_END, high - GPA_ACPI_END, E820_RESERVED},
		{high, ram->regions[0].size - high, E820_USABLE},
	};
	unsigned int count = 0;

	assert(ram->regions[0].gpa == 0 && ram->regions[0].size > high);
	for (; count < sizeof(below) / sizeof(below[0]); count++)
		ranges[count] = below[count];
	for (unsigned int i = 1; i < ram->region_count; i++)
		ranges[count++] =
			(struct e820_range){ram->regions[i].gpa, ram->regions[i].size, E820_USABLE};
	return count;
}
