/* SPDX-License-Identifier: MIT */
/*
 * What registers of an x86 CPU are made of, as far as starting a guest needs it. Intel SDM volume
 * 3, chapters 2.2.1 (EFER), 2.5 (control registers) and 3.4.5 (segment descriptors).
 */
#ifndef FORKVM_VMM_BOOT_X86_H
#define FORKVM_VMM_BOOT_X86_H

#include <linux/kvm.h>
#include <stdint.h>

#define CR0_PE	       0x00000001u
#define CR0_MP	       0x00000002u
#define CR0_ET	       0x00000010u
#define CR0_NE	       0x00000020u
#define CR0_WP	       0x00010000u
#define CR0_PG	       0x80000000u

#define CR4_PAE	       (1u << 5)
#define CR4_OSFXSR     (1u << 9)
#define CR4_OSXMMEXCPT (1u << 10)
#define CR4_OSXSAVE    (1u << 18)

#define EFER_LME       (1u << 8)
#define EFER_LMA       (1u << 10)

#define RFLAGS_FIXED   2u

/* Selectors that Linux wants at its entry; GPA_BOOT_GDT has a table for them. */
#define X86_BOOT_CS    0x10u
#define X86_BOOT_DS    0x18u

/* Flat segments: all of the linear addresses, privilege level 0. */
enum x86_segment {
	SEGMENT_CODE_64, /* execute, read, accessed; 64-bit */
	SEGMENT_CODE_32, /* the same, 32-bit                */
	SEGMENT_DATA,	 /* read, write, accessed           */
};

#define SEGMENT_TYPE_CODE 11u
#define SEGMENT_TYPE_DATA 3u
#define SEGMENT_TYPE_TSS  11u /* busy */

static inline struct kvm_segment x86_flat_segment(enum x86_segment kind, uint16_t selector)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = kind == SEGMENT_DATA ? SEGMENT_TYPE_DATA : SEGMENT_TYPE_CODE,
		.present = 1,
		.s = 1,
		.l = kind == SEGMENT_CODE_64,
		.db = kind != SEGMENT_CODE_64,
		.g = 1,
	};
}

/* A task register with which VMX enters a guest: 104 bytes at address 0 that nobody looks at. */
static inline struct kvm_segment x86_empty_tss(void)
{
	return (struct kvm_segment){.limit = 0x67, .type = SEGMENT_TYPE_TSS, .present = 1};
}

/* The descriptor of a flat segment, as it stands in a descriptor table. */
static inline uint64_t x86_descriptor(struct kvm_segment segment)
{
	uint64_t attributes = segment.type | (uint64_t)segment.s << 4 | (uint64_t)segment.dpl << 5 |
			      (uint64_t)segment.present << 7 | (uint64_t)segment.l << 13 |
			      (uint64_t)segment.db << 14 | (uint64_t)segment.g << 15;

	/* limit 19:16 lies between them; its low part counts pages */
	return 0xffffu | attributes << 40 | 0xfull << 48;
}

#endif
