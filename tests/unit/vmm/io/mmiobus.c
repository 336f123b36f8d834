/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/io/mmiobus.c. */
#include "vmm/io/mmiobus.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

struct device {
	struct mmio_access last;
	uint8_t bytes[8];
	int result;
};

static int on_access(void *ctx, const struct mmio_access *access, struct error *error)
{
	struct device *device = ctx;

	(void)error;
	device->last = *access;
	if (access->is_write)
		memcpy(device->bytes, access->data, access->size);
	else
		access->data[0] = 0x5a;
	return device->result;
}

Test(mmiobus, an_access_reaches_its_device)
{
	struct device low = {0}, high = {0};
	struct mmiobus bus = {0};
	uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};

	mmiobus_add(&bus, 0x1000, 0x1000, on_access, &low);
	mmiobus_add(&bus, 0x2000, 0x10, on_access, &high);
	cr_assert_eq(mmiobus_access(&bus, 0x2004, true, data, 4, NULL), 1);
	cr_assert_eq(high.last.offset, 4);
	cr_assert_eq(high.last.size, 4);
	cr_assert_eq(memcmp(high.bytes, data, 4), 0);
	cr_assert_eq(low.last.size, 0);
	cr_assert_eq(mmiobus_access(&bus, 0x1ff8, false, data, 8, NULL), 1);
	cr_assert_eq(data[0], 0x5a);
	cr_assert_eq(data[7], 0, "what a device leaves out reads as zero");
}

Test(mmiobus, an_access_that_no_device_covers)
{
	struct device device = {0};
	struct mmiobus bus = {0};
	uint8_t data[8] = {0};

	mmiobus_add(&bus, 0x1000, 0x1000, on_access, &device);
	cr_assert_eq(mmiobus_access(&bus, 0xfff, true, data, 1, NULL), 0);
	cr_assert_eq(mmiobus_access(&bus, 0x2000, true, data, 1, NULL), 0);
	cr_assert_eq(mmiobus_access(&bus, 0x1ffd, true, data, 4, NULL), 0, "half of it is outside");
	cr_assert_eq(mmiobus_access(&bus, UINT64_MAX, true, data, 8, NULL), 0);
	cr_assert_eq(device.last.size, 0);
}

Test(mmiobus, what_a_device_refuses)
{
	struct device device = {.result = -EIO};
	struct mmiobus bus = {0};
	uint8_t data = 0;

	mmiobus_add(&bus, 0x1000, 0x1000, on_access, &device);
	cr_assert_eq(mmiobus_access(&bus, 0x1000, true, &data, 1, NULL), -EIO);
}
