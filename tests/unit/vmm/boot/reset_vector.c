/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/boot/reset_vector.c; that a kernel gets there is for tests/linux to show. */
#include "vmm/boot/reset_vector.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/layout.h"
#include "vmm/base/util.h"

Test(reset_vector, it_is_where_a_bios_begins)
{
	static const uint8_t wanted[] = {0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd};
	struct guest_ram ram;
	struct error error = {0};

	cr_assert_eq(guest_ram_init(&ram, 2 * MIB, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(reset_vector_write(&ram, &error), 0, "%s", error.text);
	cr_assert_eq(memcmp(ram.host + 0xffff0, wanted, sizeof(wanted)), 0);
	guest_ram_done(&ram);
}

Test(reset_vector, ram_that_ends_before)
{
	struct guest_ram ram;
	struct error error = {0};

	cr_assert_eq(guest_ram_init(&ram, 512 * KIB, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(reset_vector_write(&ram, &error), -EFBIG);
	guest_ram_done(&ram);
}
