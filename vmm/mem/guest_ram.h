/* SPDX-License-Identifier: MIT */
/*
 * A guest's RAM: one memory file (a memfd, or a file the operator named), one mapping, and the
 * regions of guest-physical space that show it.
 *
 * Theory of operation. While the template runs, the file is mapped MAP_SHARED. guest_ram_seal maps
 * it again at the same address, MAP_PRIVATE | MAP_NORESERVE, and seals the memfd (or reopens the
 * file read-only): what the file holds cannot change any more, and a write goes to a private copy
 * of the page. fork() copies no page table for such a mapping as long as nobody wrote to it, since
 * it then has no anon_vma; so the process that seals must not write to RAM afterwards. The first
 * writer is each clone.
 */
#ifndef FORKVM_VMM_MEM_GUEST_RAM_H
#define FORKVM_VMM_MEM_GUEST_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/base/layout.h"

#define GUEST_RAM_REGIONS_MAX 2

struct ram_region {
	gpa_t gpa;	 /* first address */
	uint64_t size;	 /* bytes */
	uint64_t offset; /* of its first byte in file and mapping */
};

struct guest_ram {
	int fd;	       /* memory file; owned; a fork inherits it and closes it */
	uint8_t *host; /* mapping of the whole file */
	uint64_t size; /* bytes */
	bool is_memfd; /* rather than a file by name */
	bool sealed;   /* guest_ram_seal was done */
	unsigned int region_count;
	struct ram_region regions[GUEST_RAM_REGIONS_MAX];
};

/*
 * Make size bytes of RAM (a multiple of the page size) in a memfd, or in the file path when it is
 * not NULL: created with mode 0600 or taken over, set to size, its old content discarded; it is
 * locked (flock(2)) as long as fd is open, and -EBUSY when another program has it so.
 * On failure *ram is as after guest_ram_done.
 */
int guest_ram_init(struct guest_ram *ram, uint64_t size, const char *path, struct error *error);

/*
 * The same, mapped right above the address near (NULL: anywhere) if there is room: page tables of a
 * fork then serve for what is there and for RAM. At a multiple of 2 MiB, without which KVM could
 * not use large pages.
 */
int guest_ram_init_near(struct guest_ram *ram, uint64_t size, const char *path, const void *near,
			struct error *error);

/* Unmap and close. A zeroed structure with fd -1 is fine. */
void guest_ram_done(struct guest_ram *ram);

/*
 * Before sealing: have the kernel put all of RAM's fully populated stretches of 2 MiB into large
 * pages (madvise(2), MADV_COLLAPSE, Linux 6.1), which it otherwise may not do for memory files.
 * Clones then map what they only read, such as a kernel's text, in one piece. Costs a copy of
 * them, here and now, and no memory to speak of. Returns how many stretches; 0 where the kernel or
 * the file system has no such pages.
 */
size_t guest_ram_collapse(const struct guest_ram *ram);

/* See above. No KVM VM may be using the mapping. */
int guest_ram_seal(struct guest_ram *ram, struct error *error);

/*
 * The one way from a guest address to a pointer: the size bytes at gpa, all inside one region, or
 * NULL. size 0 is allowed at any address inside RAM. What the pointer shows, the guest may change
 * at any moment.
 */
void *guest_ram_at(const struct guest_ram *ram, gpa_t gpa, uint64_t size);

/* The region that holds gpa, or NULL. */
const struct ram_region *guest_ram_region(const struct guest_ram *ram, gpa_t gpa);

#endif
