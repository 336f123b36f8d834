/* SPDX-License-Identifier: MIT */
/*
 * A guest image: read from a file, recognised, and put into RAM. Every byte of it is foreign.
 */
#ifndef FORKVM_VMM_BOOT_IMAGE_H
#define FORKVM_VMM_BOOT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"
#include "vmm/mem/guest_ram.h"

#define IMAGE_SIZE_MAX (256ull << 20) /* bytes of file */

struct image {
	gpa_t entry;	/* first instruction */
	gpa_t end;	/* first byte above everything loaded, BSS included */
	uint32_t needs; /* FORKVM_NEED_* of its note */
	bool has_pvh_entry;
	gpa_t pvh_entry; /* of its Xen note, in 32-bit mode: see pvh.h; unchecked */
};

/*
 * Open a file to read all of it; close *ret_fd. Errors: those of open(2), -ENODATA when it is
 * empty, -EINVAL when it is not a regular file, -EFBIG above size_max bytes.
 */
int image_open(const char *path, uint64_t size_max, int *ret_fd, uint64_t *ret_size,
	       struct error *error);

/* Read size bytes. Errors: those of read(2), -EIO when there are fewer. */
int image_read_fd(int fd, uint8_t *buffer, size_t size, struct error *error);

/* Both of it, into memory: free() *ret. */
int image_read(const char *path, uint64_t size_max, uint8_t **ret, size_t *ret_size,
	       struct error *error);

/*
 * Load a static x86-64 ELF (System V ABI, chapters 4 and 5): its PT_LOAD segments at their physical
 * addresses, its forkvm note into needs, the entry of its Xen note into pvh_entry. -ENOEXEC says
 * what is wrong with it, -EFBIG that a segment lies outside the RAM.
 */
int elf_load(const uint8_t *file, size_t size, const struct guest_ram *ram, struct image *ret,
	     struct error *error);

/* Load a flat binary at FORKVM_STUB_LOAD_GPA; its first byte is its entry. -EFBIG as above. */
int flat_load(const uint8_t *file, size_t size, const struct guest_ram *ram, struct image *ret,
	      struct error *error);

/*
 * Read path and load it: an ELF by its content, a flat binary by its name's end, ".bin". Messages
 * begin with the path.
 */
int image_load(const char *path, const struct guest_ram *ram, struct image *ret,
	       struct error *error);

#endif
