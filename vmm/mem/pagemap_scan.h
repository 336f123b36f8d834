/* SPDX-License-Identifier: MIT */
/*
 * PAGEMAP_SCAN (Linux 6.7), for headers that do not have it yet. Kernel document:
 * admin-guide/mm/pagemap.rst; include/uapi/linux/fs.h, struct pm_scan_arg.
 */
#ifndef FORKVM_VMM_MEM_PAGEMAP_SCAN_H
#define FORKVM_VMM_MEM_PAGEMAP_SCAN_H

#include <stdint.h>
#include <sys/ioctl.h>

#define PAGEMAP_IS_FILE	   (1u << 2)
#define PAGEMAP_IS_PRESENT (1u << 3)
#define PAGEMAP_IS_SWAPPED (1u << 4)
#define PAGEMAP_IS_PFNZERO (1u << 5)

/* Pages of the same kind, by their addresses. */
struct pagemap_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct pagemap_scan {
	uint64_t size; /* of this structure */
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end; /* set: how far the kernel came */
	uint64_t vec;	   /* where regions go, and for how many there is room */
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define PAGEMAP_SCAN_IOCTL _IOWR('f', 16, struct pagemap_scan)

#endif
