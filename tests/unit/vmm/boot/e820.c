/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/e820.c. */
#include "vmm/boot/e820.h"

#include <criterion/criterion.h>

#include "guest-stubs/stub_abi.h"
#include "tests/unit/vmm/boot/kernels.h"

static struct e820_range ranges[E820_RANGES_MAX];

/* The type of one address, E820_RESERVED for those that the map leaves out. */
static enum e820_type type_of(unsigned int count, gpa_t gpa)
{
	for (unsigned int i = 0; i < count; i++)
		if (gpa >= ranges[i].gpa && gpa - ranges[i].gpa < ranges[i].size)
			return ranges[i].type;
	return E820_RESERVED;
}

static unsigned int fill(uint64_t size)
{
	struct guest_ram ram = kernels_make_ram(size);
	unsigned int count = e820_fill(&ram, ranges);

	cr_assert_leq(count, E820_RANGES_MAX);
	for (unsigned int i = 0; i < count; i++) {
		cr_assert_gt(ranges[i].size, 0);
		cr_assert_eq(ranges[i].gpa % 1024, 0);
		if (i)
			cr_assert_leq(ranges[i - 1].gpa + ranges[i - 1].size, ranges[i].gpa);
	}
	guest_ram_done(&ram);
	return count;
}

Test(e820, what_lies_below_1_mib)
{
	unsigned int count = fill(64 * MIB);

	cr_assert_eq(type_of(count, 0), E820_USABLE);
	cr_assert_eq(type_of(count, GPA_CMDLINE_END), E820_USABLE);
	cr_assert_eq(type_of(count, GPA_LOW_USABLE_END - 1), E820_USABLE);
	cr_assert_eq(type_of(count, GPA_LOW_USABLE_END), E820_RESERVED);
	cr_assert_eq(type_of(count, GPA_ACPI - 1), E820_RESERVED);
	cr_assert_eq(type_of(count, GPA_ACPI), E820_ACPI);
	cr_assert_eq(type_of(count, GPA_ACPI_END - 1), E820_ACPI);
	cr_assert_eq(type_of(count, GPA_VMGENID), E820_RESERVED);
	cr_assert_eq(type_of(count, GPA_ACPI_CONFIG), E820_RESERVED);
	cr_assert_eq(type_of(count, FORKVM_STUB_LOAD_GPA - 1), E820_RESERVED);
	cr_assert_eq(type_of(count, FORKVM_STUB_LOAD_GPA), E820_USABLE);
}

Test(e820, ram_ends_where_it_ends)
{
	unsigned int count = fill(64 * MIB);

	cr_assert_eq(type_of(count, 64 * MIB - 1), E820_USABLE);
	cr_assert_eq(type_of(count, 64 * MIB), E820_RESERVED);
	count = fill(2 * MIB);
	cr_assert_eq(type_of(count, 2 * MIB - 1), E820_USABLE);
	cr_assert_eq(type_of(count, 2 * MIB), E820_RESERVED);
}

Test(e820, ram_above_4_gib)
{
	unsigned int count = fill(3 * GIB);

	cr_assert_eq(type_of(count, GPA_LOW_RAM_MAX - 1), E820_USABLE);
	cr_assert_eq(type_of(count, GPA_HIGH_RAM), E820_RESERVED);
	count = fill(3 * GIB + 4 * KIB);
	cr_assert_eq(type_of(count, GPA_LOW_RAM_MAX), E820_RESERVED);
	cr_assert_eq(type_of(count, GPA_VIRTIO_MMIO), E820_RESERVED);
	cr_assert_eq(type_of(count, GPA_LAPIC), E820_RESERVED);
	cr_assert_eq(type_of(count, GPA_HIGH_RAM - 1), E820_RESERVED);
	cr_assert_eq(type_of(count, GPA_HIGH_RAM + 4 * KIB - 1), E820_USABLE);
	cr_assert_eq(type_of(count, GPA_HIGH_RAM + 4 * KIB), E820_RESERVED);
}
