/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/dev/i8042.c, and of vmm/dev/power.h. */
#include "vmm/dev/i8042.h"

#include <criterion/criterion.h>

#include "vmm/base/layout.h"

static enum power_request power;
static struct i8042 i8042;

static void set_up(void)
{
	power = POWER_NONE;
	i8042_init(&i8042, &power);
}

TestSuite(i8042, .init = set_up);

static int access_to(uint16_t port, uint8_t size, bool is_out, uint32_t count, void *data)
{
	struct error error = {0};
	struct port_access access = {
		.port = port, .size = size, .is_out = is_out, .count = count, .data = data};

	return i8042_access(&i8042, &access, &error);
}

static int outb(uint16_t port, uint8_t value)
{
	return access_to(port, 1, true, 1, &value);
}

static uint8_t inb(uint16_t port)
{
	uint8_t value = 0x55;

	cr_assert_eq(access_to(port, 1, false, 1, &value), PORT_CONTINUE);
	return value;
}

Test(i8042, the_first_request_stands)
{
	power_ask(&power, POWER_OFF);
	power_ask(&power, POWER_RESET);
	cr_assert_eq(power, POWER_OFF);
}

/* Linux empties the controller first, and gives it up when that does not end. */
Test(i8042, cannot_be_emptied)
{
	for (int i = 0; i < 17; i++) {
		cr_assert_eq(inb(PORT_I8042_COMMAND) & 0x01, 0x01);
		inb(PORT_I8042_DATA);
	}
}

/* Linux's reset waits for bit 1 to be clear. */
Test(i8042, takes_commands)
{
	cr_assert_eq(inb(PORT_I8042_COMMAND) & 0x02, 0);
}

Test(i8042, resets_by_one_command_only)
{
	for (unsigned int value = 0; value < 256; value++) {
		power = POWER_NONE;
		cr_assert_eq(outb(PORT_I8042_DATA, (uint8_t)value), PORT_CONTINUE);
		cr_assert_eq(power, POWER_NONE);
		cr_assert_eq(outb(PORT_I8042_COMMAND, (uint8_t)value),
			     value == 0xfe ? PORT_STOP : PORT_CONTINUE);
		cr_assert_eq(power, value == 0xfe ? POWER_RESET : POWER_NONE);
	}
}

Test(i8042, strings_and_sizes)
{
	uint8_t data[8] = {1, 2, 0xfe, 3};

	cr_assert_eq(access_to(PORT_I8042_COMMAND, 4, true, 1, data),
		     PORT_CONTINUE); /* the 0xfe is for another port */
	cr_assert_eq(access_to(PORT_I8042_COMMAND, 1, true, 4, data), PORT_STOP);
	cr_assert_eq(power, POWER_RESET);
	cr_assert_eq(access_to(PORT_I8042_COMMAND, 2, false, 2, data), PORT_CONTINUE);
	cr_assert_eq(data[0], data[2]);
	cr_assert_eq(data[1], 0xff);
	cr_assert_eq(data[3], 0xff);
	cr_assert_eq(access_to(PORT_I8042_DATA, 1, false, 0, NULL), PORT_CONTINUE);
}

/* Reserved bits do not matter; any type but off is a sleep that is over at once. */
