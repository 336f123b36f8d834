/* SPDX-License-Identifier: MIT */
/*
 * The smallest kernels there are: files with the headers of a bzImage and of a vmlinux, for the
 * tests to break.
 */
#ifndef FORKVM_TESTS_UNIT_VMM_BOOT_KERNELS_H
#define FORKVM_TESTS_UNIT_VMM_BOOT_KERNELS_H

#include <asm/bootparam.h>
#include <elf.h>
#include <stdint.h>

#include "vmm/base/util.h"
#include "vmm/mem/guest_ram.h"

#define KERNELS_LOAD	  (16 * MIB) /* where both go */
#define KERNELS_CODE	  0x90	     /* each byte that is loaded */
#define KERNELS_SETUP	  1024u	     /* bytes of a bzImage before its kernel */
#define KERNELS_PAYLOAD	  4096u	     /* bytes of that */
#define KERNELS_INIT_SIZE (2 * MIB)

struct kernels_bzimage {
	uint8_t before[0x1f1];
	struct setup_header header;
	uint8_t between[KERNELS_SETUP - 0x1f1 - sizeof(struct setup_header)];
	uint8_t payload[KERNELS_PAYLOAD];
} __attribute__((packed));

struct kernels_vmlinux {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2]; /* one to load, one of notes */
	Elf64_Nhdr note;
	char name[4];
	uint64_t entry; /* of PVH */
	uint8_t payload[KERNELS_PAYLOAD];
};

/* A good bzImage, and a good vmlinux with a PVH entry at KERNELS_LOAD + 0x10. */
void kernels_make_bzimage(struct kernels_bzimage *file);
void kernels_make_vmlinux(struct kernels_vmlinux *file);

/* RAM of that many bytes, or the test ends. */
struct guest_ram kernels_make_ram(uint64_t size);

#endif
