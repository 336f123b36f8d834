/* SPDX-License-Identifier: MIT */
/*
 * ACPI tables: what a Linux guest learns of its machine. ACPI specification 6.3.
 *
 * Theory of operation. The machine is of the hardware-reduced kind (section 4.1): no SMI, no fixed
 * power management registers, no PIC or PIT to be found. It sleeps (S5: it ends) and resets by
 * three ports from PORT_ACPI on, and has one generic event device. Processors stand in the MADT,
 * all other devices in the DSDT, which is written in ASL (dsdt.asl), compiled at build time and the
 * same for every machine; what a certain machine has, the AML reads from struct acpi_config.
 */
#ifndef FORKVM_VMM_BOOT_ACPI_H
#define FORKVM_VMM_BOOT_ACPI_H

#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/mem/guest_ram.h"

struct linux_platform;

/* What writes to the ports mean: sleep control and status, reset (sections 4.8.3.7 and 4.8.3.6). */
#define ACPI_SLEEP_ENABLE  0x20u /* in sleep control: go to sleep now                        */
#define ACPI_SLEEP_TYPE_S5 5u	 /* in its bits 2 to 4: off; as in dsdt.asl                  */
#define ACPI_RESET_VALUE   1u

/* At GPA_ACPI_CONFIG; dsdt.asl has a field for each of it. */
struct acpi_config {
	uint32_t virtio_slots; /* bit i: slot i has a device */
	uint32_t devices;      /* ACPI_CONFIG_*              */
};

#define ACPI_CONFIG_SERIAL  (1u << 0)
#define ACPI_CONFIG_VMGENID (1u << 1)

#define ACPI_VCPUS_MAX	    254u /* what APIC ids of 8 bits allow */

/*
 * Write all tables from GPA_ACPI on, the RSDP first, and the configuration. -EINVAL when the
 * platform has no vCPU, more than ACPI_VCPUS_MAX of them, or a slot there is none of; -EFBIG when
 * RAM ends before the tables.
 */
int acpi_write_tables(const struct guest_ram *ram, const struct linux_platform *platform,
		      struct error *error);

#endif
