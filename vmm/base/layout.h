/* SPDX-License-Identifier: MIT */
/*
 * The machine's map: guest-physical addresses, ports and interrupt lines. Such a literal stands
 * nowhere else in vmm/.
 *
 * Memory
 *	0                       first page: never handed out, so that null is no page
 *	GPA_BOOT_INFO           stubs: struct forkvm_boot_info; Linux: its "zero page"
 *	GPA_PAGE_TABLES         boot page tables (Linux: those of the first 4 GiB only)
 *	GPA_PVH_INFO            Linux: struct pvh_start_info and what it points to
 *	GPA_BOOT_GDT            Linux: the descriptor table its entry protocols ask for
 *	GPA_CMDLINE             Linux: its command line
 *	GPA_PAGE_TABLES_END     end of the page tables of stubs
 *	GPA_LOW_USABLE_END      Linux: reserved from here to 1 MiB
 *	GPA_ACPI                ACPI's tables, the RSDP first
 *	GPA_VMGENID             one page: the generation id of this clone
 *	GPA_ACPI_CONFIG         one page that ACPI's code reads: which devices there are
 *	GPA_RESET_VECTOR        Linux: where a BIOS would begin
 *	FORKVM_STUB_LOAD_GPA    1 MiB: images of stubs
 *	GPA_KERNEL              Linux kernels without a wish of their own
 *	...
 *	GPA_LOW_RAM_MAX         end of RAM below 4 GiB; from here on devices
 *	GPA_VIRTIO_MMIO         one page a virtio device
 *	GPA_IOAPIC, GPA_LAPIC   in the kernel
 *	GPA_HIGH_RAM            the rest of RAM, contiguous in its file with the first part
 */
#ifndef FORKVM_VMM_BASE_LAYOUT_H
#define FORKVM_VMM_BASE_LAYOUT_H

#include <stdint.h>

/* A guest-physical address: never a pointer. */
typedef uint64_t gpa_t;

#define GPA_BOOT_INFO	    ((gpa_t)0x1000)
#define GPA_PAGE_TABLES	    ((gpa_t)0x2000)
#define GPA_PVH_INFO	    ((gpa_t)0x9000)
#define GPA_BOOT_GDT	    ((gpa_t)0xa000)
#define GPA_CMDLINE	    ((gpa_t)0x10000)
#define GPA_CMDLINE_END	    ((gpa_t)0x20000)
#define GPA_PAGE_TABLES_END ((gpa_t)0x9f000)
#define GPA_LOW_USABLE_END  ((gpa_t)0x9fc00)
#define GPA_ACPI	    ((gpa_t)0xe0000)
#define GPA_ACPI_END	    ((gpa_t)0xf0000)
#define GPA_VMGENID	    ((gpa_t)0xf0000)
#define GPA_ACPI_CONFIG	    ((gpa_t)0xf1000)
#define GPA_RESET_VECTOR    ((gpa_t)0xffff0)
#define GPA_KERNEL	    ((gpa_t)0x1000000)
#define GPA_LOW_RAM_MAX	    ((gpa_t)0xc0000000)
#define GPA_VIRTIO_MMIO	    ((gpa_t)0xd0000000) /* + slot * VIRTIO_MMIO_BYTES */
#define GPA_IOAPIC	    ((gpa_t)0xfec00000)
#define GPA_LAPIC	    ((gpa_t)0xfee00000)
#define GPA_KVM_TSS	    ((gpa_t)0xfffbd000) /* three pages for VMX without unrestricted guest */
#define GPA_NOTHING	    ((gpa_t)0xfeffe000) /* a page where no guest finds anything, ever */
#define GPA_HIGH_RAM	    ((gpa_t)0x100000000)

#define VIRTIO_MMIO_BYTES   0x1000u
#define VIRTIO_SLOTS_MAX    14u

/* Ports, beside the doorbells of guest-stubs/stub_abi.h. */
#define PORT_I8042_DATA	    0x60u
#define PORT_I8042_COMMAND  0x64u
#define PORT_COM1	    0x3f8u /* eight of them */
#define PORT_ACPI	    0x600u /* sleep control, sleep status, reset: one byte each */
#define PORT_ACPI_COUNT	    3u

/* Interrupt lines of the I/O APIC, all edge-triggered and active high. */
#define GSI_COM1	    4u
#define GSI_ACPI_EVENT	    9u	/* the generic event device: there is a new generation id */
#define GSI_VIRTIO	    10u /* + slot */
#define GSI_COUNT	    24u

#endif
