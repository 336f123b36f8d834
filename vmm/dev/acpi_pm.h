/* SPDX-License-Identifier: MIT */
/*
 * The power management registers of hardware-reduced ACPI, three ports of one byte from PORT_ACPI:
 * sleep control, sleep status (ACPI 6.5, section 4.8.3.7) and reset (section 4.8.3.6). The tables
 * that tell the guest of them are not made here.
 */
#ifndef FORKVM_VMM_DEV_ACPI_PM_H
#define FORKVM_VMM_DEV_ACPI_PM_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/dev/power.h"
#include "vmm/io/portbus.h"

/* What the guest's tables must say, too. */
enum {
	ACPI_PM_TYPE_OFF = 5,	 /* SLP_TYP of soft off: the _S5 package */
	ACPI_PM_RESET_VALUE = 1, /* RESET_VALUE of the FADT */
};

struct acpi_pm {
	enum power_request *power; /* the machine's; not owned */
	uint8_t sleep_type;	   /* SLP_TYP as last written, 0 to 7 */
	bool woken;		   /* WAK_STS */
	uint64_t sleeps_ignored;   /* with SLP_EN, but of a type that is not soft off */
};

/* power is where an end is asked for; it must live as long as the device. */
void acpi_pm_init(struct acpi_pm *pm, enum power_request *power);

/*
 * A port_handler for [PORT_ACPI, PORT_ACPI + PORT_ACPI_COUNT); device is the struct acpi_pm.
 * PORT_STOP, with *power set, when the guest switches itself off (SLP_EN with SLP_TYP
 * ACPI_PM_TYPE_OFF) or writes ACPI_PM_RESET_VALUE to the reset register. A sleep of another type is
 * over at once: it is counted, and WAK_STS says that the guest has woken up, since it may be
 * waiting to see that. It does not fail.
 */
int acpi_pm_access(void *device, const struct port_access *access, struct error *error);

#endif
