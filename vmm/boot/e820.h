/* SPDX-License-Identifier: MIT */
/*
 * The memory map that a Linux guest is given, in the terms of the BIOS call it is named after (ACPI
 * specification 6.3, chapter 15).
 */
#ifndef FORKVM_VMM_BOOT_E820_H
#define FORKVM_VMM_BOOT_E820_H

#include <stdint.h>

#include "vmm/mem/guest_ram.h"

/* Table 15-374, "Address Range Types" */
enum e820_type {
	E820_USABLE = 1,
	E820_RESERVED = 2,
	E820_ACPI = 3, /* tables; usable by whoever has read them and is done with them */
};

struct e820_range {
	gpa_t gpa;
	uint64_t size; /* bytes */
	enum e820_type type;
};

#define E820_RANGES_MAX 8u

/*
 * The map of this RAM, ascending and without overlaps. Returns how many ranges it has. RAM must
 * reach beyond FORKVM_STUB_LOAD_GPA (1 MiB): our own mistake if it does not.
 */
unsigned int e820_fill(const struct guest_ram *ram, struct e820_range ranges[E820_RANGES_MAX]);

#endif
