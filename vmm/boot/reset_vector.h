/* SPDX-License-Identifier: MIT */
/*
 * Where a PC's BIOS begins, F000:FFF0 (Intel SDM volume 3, 9.1.4): the last resort of a kernel that
 * resets its machine.
 *
 * Theory of operation. Linux knows several ways, and takes the BIOS's where the others did nothing.
 * On a machine whose ACPI is of the hardware-reduced kind it begins with EFI's instead of ACPI's
 * (arch/x86/kernel/reboot.c, reboot_init), even where there is no EFI, and goes on with the BIOS's:
 * it enters real mode and jumps there. There is no BIOS, but what it would do: pulse the
 * processor's reset line by the keyboard controller (i8042.h).
 */
#ifndef FORKVM_VMM_BOOT_RESET_VECTOR_H
#define FORKVM_VMM_BOOT_RESET_VECTOR_H

#include "vmm/base/error.h"
#include "vmm/mem/guest_ram.h"

/* Write it. -EFBIG when RAM ends before. */
int reset_vector_write(const struct guest_ram *ram, struct error *error);

#endif
