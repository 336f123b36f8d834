/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/dev/acpi_pm.c. */
#include "vmm/dev/acpi_pm.h"

#include <criterion/criterion.h>
#include <string.h>

#include "vmm/base/layout.h"

static enum power_request power;
static struct acpi_pm pm;

static void set_up(void)
{
	power = POWER_NONE;
	acpi_pm_init(&pm, &power);
}

TestSuite(acpi_pm, .init = set_up);

static int access_to(uint16_t port, uint8_t size, bool is_out, uint32_t count, void *data)
{
	struct error error = {0};
	struct port_access access = {
		.port = port, .size = size, .is_out = is_out, .count = count, .data = data};

	return acpi_pm_access(&pm, &access, &error);
}

static int outb(uint16_t offset, uint8_t value)
{
	return access_to((uint16_t)(PORT_ACPI + offset), 1, true, 1, &value);
}

static uint8_t inb(uint16_t offset)
{
	uint8_t value = 0x55;

	cr_assert_eq(access_to((uint16_t)(PORT_ACPI + offset), 1, false, 1, &value), PORT_CONTINUE);
	return value;
}

Test(acpi_pm, at_first)
{
	cr_assert_eq(inb(0), 0);
	cr_assert_eq(inb(1), 0);
	cr_assert_eq(inb(2), 0);
}

Test(acpi_pm, off)
{
	cr_assert_eq(outb(0, 5 << 2), PORT_CONTINUE); /* the type alone */
	cr_assert_eq(power, POWER_NONE);
	cr_assert_eq(inb(0), 5 << 2);
	cr_assert_eq(outb(0, 0x20 | 5 << 2), PORT_STOP);
	cr_assert_eq(power, POWER_OFF);
	cr_assert_eq(inb(0), 5 << 2); /* SLP_EN reads as zero */
}

Test(acpi_pm, every_value_of_sleep_control)
{
	uint64_t ignored = 0;

	for (unsigned int value = 0; value < 256; value++) {
		bool enabled = value & 0x20, off = enabled && (value >> 2 & 7) == 5;

		power = POWER_NONE;
		cr_assert_eq(outb(1, 0x80), PORT_CONTINUE);
		cr_assert_eq(inb(1), 0);
		cr_assert_eq(outb(0, (uint8_t)value), off ? PORT_STOP : PORT_CONTINUE);
		cr_assert_eq(power, off ? POWER_OFF : POWER_NONE);
		cr_assert_eq(inb(0), value & 0x1c);
		cr_assert_eq(inb(1), enabled && !off ? 0x80 : 0);
		ignored += enabled && !off;
		cr_assert_eq(pm.sleeps_ignored, ignored);
	}
}

Test(acpi_pm, wake_status_is_cleared_by_its_own_bit)
{
	outb(0, 0x20 | 3 << 2);
	outb(1, 0x7f);
	cr_assert_eq(inb(1), 0x80);
	outb(1, 0x80);
	cr_assert_eq(inb(1), 0);
}

Test(acpi_pm, reset)
{
	for (unsigned int value = 0; value < 256; value++) {
		power = POWER_NONE;
		cr_assert_eq(outb(2, (uint8_t)value), value == 1 ? PORT_STOP : PORT_CONTINUE);
		cr_assert_eq(power, value == 1 ? POWER_RESET : POWER_NONE);
	}
}

Test(acpi_pm, strings_and_sizes)
{
	uint8_t data[8] = {0x20 | 1 << 2, 0x80, 0, 1};

	/* Control, status, reset, and nothing: a sleep whose waking is cleared at once. */
	cr_assert_eq(access_to(PORT_ACPI, 4, true, 1, data), PORT_CONTINUE);
	cr_assert_eq(pm.sleeps_ignored, 1);
	cr_assert_eq(inb(1), 0);
	memset(data, 0, sizeof(data));
	cr_assert_eq(access_to(PORT_ACPI, 4, false, 2, data), PORT_CONTINUE);
	cr_assert_eq(memcmp(data, "\x04\0\0\xff\x04\0\0\xff", 8), 0);
	/* The first byte that stops ends it. */
	memcpy(data, (uint8_t[]){0x34, 0, 1}, 3);
	cr_assert_eq(access_to(PORT_ACPI, 4, true, 1, data), PORT_STOP);
	cr_assert_eq(power, POWER_OFF);
}
