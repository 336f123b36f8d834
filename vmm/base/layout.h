/* SPDX-License-Identifier: MIT */
/*
 * The guest-physical map. An address literal stands nowhere else in vmm/.
 *
 *	0                       first page: never handed out, so that a null pointer is not a page
 *	GPA_BOOT_INFO           struct forkvm_boot_info, one page
 *	GPA_PAGE_TABLES         boot page tables, to GPA_PAGE_TABLES_END
 *	GPA_VGA_HOLE            (RAM like any other: there is no VGA)
 *	FORKVM_STUB_LOAD_GPA    images
 *	...
 *	GPA_LOW_RAM_MAX         end of RAM below 4 GiB; from here on devices
 *	GPA_HIGH_RAM            the rest of RAM, contiguous in its file with the first part
 */
#ifndef FORKVM_VMM_BASE_LAYOUT_H
#define FORKVM_VMM_BASE_LAYOUT_H

#include <stdint.h>

/* A guest-physical address: never a pointer. */
typedef uint64_t gpa_t;

#define GPA_BOOT_INFO	    ((gpa_t)0x1000)
#define GPA_PAGE_TABLES	    ((gpa_t)0x2000)
#define GPA_PAGE_TABLES_END ((gpa_t)0x9f000)
#define GPA_LOW_RAM_MAX	    ((gpa_t)0xc0000000)
#define GPA_KVM_TSS	    ((gpa_t)0xfffbd000) /* three pages for VMX without unrestricted guest */
#define GPA_HIGH_RAM	    ((gpa_t)0x100000000)

#endif
