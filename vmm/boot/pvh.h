/* SPDX-License-Identifier: MIT */
/*
 * An uncompressed vmlinux and the PVH entry: docs/misc/pvh.pandoc ("x86/HVM direct boot ABI") and
 * xen/include/public/arch-x86/hvm/start_info.h of Xen.
 *
 * Theory of operation. A Linux built with CONFIG_PVH has a note in its ELF file that says where a
 * guest starts in 32-bit protected mode without paging. It is loaded as its program headers say,
 * and told by EBX where a start information is, from which it makes a struct boot_params by itself.
 */
#ifndef FORKVM_VMM_BOOT_PVH_H
#define FORKVM_VMM_BOOT_PVH_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/boot/linux_kernel.h"
#include "vmm/mem/guest_ram.h"

#define PVH_MAGIC	0x336ec578u
#define PVH_VERSION	1u    /* the first with a memory map */
#define PVH_CMDLINE_MAX 2047u /* COMMAND_LINE_SIZE of Linux on x86, less its zero */

struct pvh_start_info {
	uint32_t magic; /* PVH_MAGIC */
	uint32_t version;
	uint32_t flags;
	uint32_t modules_count;
	uint64_t modules;    /* GPA of struct pvh_module[] */
	uint64_t cmdline;    /* GPA of a string */
	uint64_t rsdp;	     /* GPA of the ACPI root pointer */
	uint64_t memory_map; /* GPA of struct pvh_range[] */
	uint32_t memory_map_count;
	uint32_t reserved;
};

/* A file besides the kernel; the first is Linux's initrd. */
struct pvh_module {
	uint64_t gpa;
	uint64_t size;	  /* bytes */
	uint64_t cmdline; /* GPA of a string; 0: none */
	uint64_t reserved;
};

struct pvh_range {
	uint64_t gpa;
	uint64_t size;
	uint32_t type; /* enum e820_type */
	uint32_t reserved;
};

/* Load an ELF kernel. Errors as of linux_load; of what is no kernel, -ENOEXEC. */
int pvh_load(const uint8_t *file, size_t size, const struct guest_ram *ram,
	     struct linux_kernel *ret, struct error *error);

/*
 * Write the start information at GPA_PVH_INFO: the command line at GPA_CMDLINE, the initrd, the
 * memory map, the RSDP at GPA_ACPI. -EFBIG when RAM ends before.
 */
int pvh_finish(const struct guest_ram *ram, const struct linux_initrd *initrd, struct error *error);

#endif
