/* SPDX-License-Identifier: MIT */
/*
 * The least of a keyboard controller (Intel 8042, as in the IBM PC AT): the line by which a PC's
 * processor is reset, and no keyboard.
 *
 * The status register says for ever that there is a byte to read, and that commands are welcome. A
 * driver empties the controller before all else; one that cannot be emptied is none, and Linux has
 * found that out after sixteen bytes (drivers/input/serio/i8042.c, i8042_flush). All ones would do
 * that, too, but then Linux's reset first waits long for the controller to take a command.
 */
#ifndef FORKVM_VMM_DEV_I8042_H
#define FORKVM_VMM_DEV_I8042_H

#include "vmm/base/error.h"
#include "vmm/dev/power.h"
#include "vmm/io/portbus.h"

struct i8042 {
	enum power_request *power; /* the machine's; not owned */
};

/* power is where a reset is asked for; it must live as long as the device. */
void i8042_init(struct i8042 *i8042, enum power_request *power);

/*
 * A port_handler for PORT_I8042_DATA and for PORT_I8042_COMMAND, one port each; device is the
 * struct i8042. PORT_STOP, with *power set, when the guest resets the machine by command 0xfe; all
 * other writes are lost. It does not fail.
 */
int i8042_access(void *device, const struct port_access *access, struct error *error);

#endif
