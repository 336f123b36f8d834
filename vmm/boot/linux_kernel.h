/* SPDX-License-Identifier: MIT */
/*
 * Between linux.c and those that know one kind of kernel file each: bzimage.c and pvh.c.
 */
#ifndef FORKVM_VMM_BOOT_LINUX_KERNEL_H
#define FORKVM_VMM_BOOT_LINUX_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/mem/guest_ram.h"

/* A kernel that has been put into RAM, and what it wants of the rest. */
struct linux_kernel {
	bool is_64bit;	      /* how it is entered */
	gpa_t entry;	      /* first instruction */
	gpa_t end;	      /* first byte above what it takes before it knows its memory */
	gpa_t initrd_limit;   /* an initrd lies below */
	uint32_t cmdline_max; /* characters of a command line, without the zero that ends it */
};

/* An initrd in RAM. Size 0: none. */
struct linux_initrd {
	gpa_t gpa;
	uint64_t size; /* bytes */
};

/*
 * Say of a file that is no kernel what it is, as well as its first bytes tell: an error with
 * -ENOEXEC and what can be done about it.
 */
int linux_refuse_file(const uint8_t *file, size_t size, struct error *error);

#endif
