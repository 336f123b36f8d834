/* SPDX-License-Identifier: MIT */
/*
 * The least of a keyboard controller: see i8042.h.
 */
#include "vmm/dev/i8042.h"

#include "vmm/base/layout.h"
#include "vmm/dev/byte_port.h"

#define STATUS_OUTPUT_FULL 0x01u /* there is a byte to read */
#define STATUS_SYSTEM	   0x04u /* the controller has tested itself */
#define COMMAND_RESET	   0xfeu /* pulse output line 0, which is the processor's reset */

void i8042_init(struct i8042 *i8042, enum power_request *power)
{
	*i8042 = (struct i8042){.power = power};
}

static uint8_t in(void *device, uint16_t port)
{
	(void)device;
	switch (port) {
	case PORT_I8042_DATA:
		return 0;
	case PORT_I8042_COMMAND:
		return STATUS_OUTPUT_FULL | STATUS_SYSTEM;
	default:
		return 0xff;
	}
}

static enum port_result out(void *device, uint16_t port, uint8_t value)
{
	struct i8042 *i8042 = device;

	if (port != PORT_I8042_COMMAND || value != COMMAND_RESET)
		return PORT_CONTINUE;
	power_ask(i8042->power, POWER_RESET);
	return PORT_STOP;
}

int i8042_access(void *device, const struct port_access *access, struct error *error)
{
	static const struct byte_port_ops ops = {.in = in, .out = out};

	(void)error;
	return byte_port_access(&ops, device, access);
}
