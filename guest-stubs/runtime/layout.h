/* SPDX-License-Identifier: MIT */
/*
 * Numbers that start.S and the C runtime must agree on: segment selectors, the per-vCPU page, the
 * size of the boot CPU's stack. Included by both, so nothing but macros here.
 */
#ifndef FORKVM_STUB_LAYOUT_H
#define FORKVM_STUB_LAYOUT_H

#include "guest-stubs/stub_abi.h"

#define STUB_PAGE_SIZE	   4096

/* GDT selectors. The order is that of Linux, which a host may have grown used to. */
#define STUB_KERNEL_CS	   0x10
#define STUB_KERNEL_DS	   0x18
#define STUB_USER_DS	   0x2b
#define STUB_USER_CS	   0x33
#define STUB_TSS_SEL	   0x40
#define STUB_GDT_LIMIT	   0x4f

/*
 * The per-vCPU page: TSS, its I/O permission bitmap, GDT, and what is left is the ring-0 stack.
 *
 * The bitmap is all zeros (every port allowed to ring 3) and stops behind the doorbells: a port
 * beyond the TSS limit is refused with #GP, and the rest of the 8 KiB would cost two more pages.
 */
#define STUB_TSS_RSP0	   0x04
#define STUB_TSS_IO_BASE   0x66
#define STUB_TSS_IO_BITMAP 0x68
#define STUB_IO_PORTS	   0x5c00
#define STUB_TSS_LIMIT	   (STUB_TSS_IO_BITMAP + STUB_IO_PORTS / 8)
#define STUB_PERCPU_GDT	   0xbf0
#define STUB_PERCPU_SIZE   STUB_PAGE_SIZE

#if STUB_TSS_LIMIT >= STUB_PERCPU_GDT || FORKVM_PORT_END > STUB_IO_PORTS
#error "the I/O bitmap and the GDT overlap, or the doorbells are not covered"
#endif

/* Boot CPU's stack: two whole pages, and the first KiB of the hot page (see struct stub_hot). */
#define STUB_STACK_SIZE		  (2 * STUB_PAGE_SIZE + 1024)
/* Ring-3 stack of each secondary vCPU. */
#define STUB_SECONDARY_STACK_SIZE STUB_PAGE_SIZE

/* EAX at int3: "call the function in RDX, in ring 0, with RDI". Another int3 is an exception. */
#define STUB_RING0_CALL		  0x30636c6c

#endif
