/* SPDX-License-Identifier: MIT */
/*
 * A bzImage and the 64-bit boot protocol: Documentation/arch/x86/boot.rst of Linux, whose
 * structures <asm/bootparam.h> has.
 *
 * Theory of operation. The file is some sectors of 16-bit code with the setup header among them,
 * and the protected-mode kernel behind. Only that is loaded, where the header says that the kernel
 * wants to run, so that it need not move; its 64-bit entry is 0x200 bytes in. From the load address
 * on it needs init_size bytes until it has read its memory map. It is given a struct boot_params:
 * the setup header out of the file, completed, and the memory map. See "64-bit Boot Protocol"
 * there.
 */
#ifndef FORKVM_VMM_BOOT_BZIMAGE_H
#define FORKVM_VMM_BOOT_BZIMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/boot/linux_kernel.h"
#include "vmm/mem/guest_ram.h"

/* Is there a setup header in it? */
bool bzimage_is(const uint8_t *file, size_t size);

/*
 * Load the kernel and begin struct boot_params at GPA_BOOT_INFO with its setup header. Errors as of
 * linux_load.
 */
int bzimage_load(const uint8_t *file, size_t size, const struct guest_ram *ram,
		 struct linux_kernel *ret, struct error *error);

/*
 * After bzimage_load: complete struct boot_params with the command line at GPA_CMDLINE, the initrd,
 * the memory map and the RSDP at GPA_ACPI; write page tables of the first 4 GiB and the descriptor
 * table. -EFBIG when RAM ends before those.
 */
int bzimage_finish(const struct guest_ram *ram, const struct linux_initrd *initrd,
		   struct error *error);

#endif
