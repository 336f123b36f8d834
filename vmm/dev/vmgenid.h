/* SPDX-License-Identifier: MIT */
/*
 * The generation id: sixteen bytes in guest RAM, at GPA_VMGENID, that are different in every clone.
 * A guest that keeps randomness asks here whether what it remembers is still its alone (Microsoft,
 * "Virtual Machine Generation ID"). Where the id lies, and which event tells of a new one, is in
 * its ACPI tables, which are not made here.
 *
 * The template writes an id before it is frozen, so that its guest's driver finds one. A clone
 * writes its own before its vCPUs run and then notifies: the guest sees the new id at its first
 * instruction, and its driver is told as soon as it takes interrupts.
 */
#ifndef FORKVM_VMM_DEV_VMGENID_H
#define FORKVM_VMM_DEV_VMGENID_H

#include <stdint.h>

#include "vmm/io/irq.h"
#include "vmm/mem/guest_ram.h"

#define VMGENID_BYTES 16

struct vmgenid {
	const struct guest_ram *ram; /* not owned */
	struct irq_line irq;	     /* the owner sets where it leads: GSI_ACPI_EVENT */
};

/* ram must live as long as the device. The line leads nowhere at first. Writes nothing. */
void vmgenid_init(struct vmgenid *vmgenid, const struct guest_ram *ram);

/*
 * Write id to guest RAM: a write like any other, so not to that of a sealed template. Takes 16
 * random bytes as they are; a GUID read from them is of no known version, and no guest minds.
 */
void vmgenid_set(const struct vmgenid *vmgenid, const uint8_t id[VMGENID_BYTES]);

/* Tell the guest that there is a new id: one edge. The VM must be able to take it. */
void vmgenid_notify(const struct vmgenid *vmgenid);

#endif
