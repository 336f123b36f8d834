/* SPDX-License-Identifier: MIT */
/*
 * Which parts of a guest's RAM hold anything: the memory file's data extents, as the kernel tells
 * them (lseek(2), SEEK_DATA and SEEK_HOLE).
 */
#ifndef FORKVM_VMM_MEM_EXTENTS_H
#define FORKVM_VMM_MEM_EXTENTS_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/mem/guest_ram.h"

/* A run of guest-physical RAM inside one region. */
struct extent {
	gpa_t gpa;
	uint64_t size; /* bytes */
};

struct extents {
	struct extent *list; /* owned; in order of gpa, no two touch or overlap */
	size_t count;
};

/*
 * Find what is populated. Extents closer together than merge_gap bytes become one; when more than
 * max are left, the gap is doubled until they fit. *ret_populated is the bytes of data, gaps not
 * counted. A file system that cannot tell reports everything.
 */
int extents_find(const struct guest_ram *ram, uint64_t merge_gap, size_t max, struct extents *ret,
		 uint64_t *ret_populated, struct error *error);

/* All of RAM, one extent a region. */
int extents_all(const struct guest_ram *ram, struct extents *ret, struct error *error);

/*
 * Put anonymous memory in place of everything in the sealed RAM that populated does not cover. It
 * reads the same, as zeros; but a clone that reads it is shown the kernel's zero page, and one that
 * writes it gets one page, where the memory file would be filled with a page of zeros first, for
 * good and for all.
 */
int extents_detach_holes(const struct guest_ram *ram, const struct extents *populated,
			 struct error *error);

void extents_done(struct extents *extents);

#endif
