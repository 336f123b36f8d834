/* SPDX-License-Identifier: MIT */
/*
 * The power management registers of hardware-reduced ACPI: see acpi_pm.h.
 */
#include "vmm/dev/acpi_pm.h"

#include "vmm/base/layout.h"
#include "vmm/dev/byte_port.h"

/* Sleep control: tables 4.16 and 4.17 of ACPI 6.5, and the same in 6.4. */
#define SLP_TYP_SHIFT 2u
#define SLP_TYP_MASK  0x7u
#define SLP_EN	      0x20u /* reads as zero */
#define WAK_STS	      0x80u /* of sleep status; writing a one clears it */

enum {
	SLEEP_CONTROL = PORT_ACPI,
	SLEEP_STATUS,
	RESET,
};

void acpi_pm_init(struct acpi_pm *pm, enum power_request *power)
{
	*pm = (struct acpi_pm){.power = power};
}

static uint8_t in(void *device, uint16_t port)
{
	const struct acpi_pm *pm = device;

	switch (port) {
	case SLEEP_CONTROL:
		return (uint8_t)(pm->sleep_type << SLP_TYP_SHIFT);
	case SLEEP_STATUS:
		return pm->woken ? WAK_STS : 0;
	case RESET:
		return 0;
	default:
		return 0xff;
	}
}

static enum port_result sleep_control(struct acpi_pm *pm, uint8_t value)
{
	pm->sleep_type = value >> SLP_TYP_SHIFT & SLP_TYP_MASK;
	if (!(value & SLP_EN))
		return PORT_CONTINUE;
	if (pm->sleep_type == ACPI_PM_TYPE_OFF) {
		power_ask(pm->power, POWER_OFF);
		return PORT_STOP;
	}
	pm->sleeps_ignored++;
	pm->woken = true;
	return PORT_CONTINUE;
}

static enum port_result out(void *device, uint16_t port, uint8_t value)
{
	struct acpi_pm *pm = device;

	switch (port) {
	case SLEEP_CONTROL:
		return sleep_control(pm, value);
	case SLEEP_STATUS:
		if (value & WAK_STS)
			pm->woken = false;
		return PORT_CONTINUE;
	case RESET:
		if (value != ACPI_PM_RESET_VALUE)
			return PORT_CONTINUE;
		power_ask(pm->power, POWER_RESET);
		return PORT_STOP;
	default:
		return PORT_CONTINUE;
	}
}

int acpi_pm_access(void *device, const struct port_access *access, struct error *error)
{
	static const struct byte_port_ops ops = {.in = in, .out = out};

	(void)error;
	return byte_port_access(&ops, device, access);
}
