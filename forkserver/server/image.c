/* SPDX-License-Identifier: MIT */
/*
 * The program's own pages, made cheap to inherit.
 *
 * Theory of operation. A fork does not copy the page table entries of a private file mapping that
 * was never written: the child can fault the pages in again. For a clone that is the dearer way, a
 * dozen faults of 2 to 3 us for code that the parent has mapped all along. Once a single page of a
 * mapping was written, the kernel copies all the entries that are there (vma_needs_copy() in the
 * kernel's mm/memory.c), for some nanoseconds each. So one byte in each read-only segment is written
 * with the value it has, through /proc/self/mem, which needs no writable mapping; then all entries
 * are filled in.
 */
#include "forkserver/server/image.h"

#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

struct image {
	int mem_fd;
	int prepared;
};

static int prepare_segment(struct image *image, uintptr_t start, uintptr_t end)
{
	const char *first = (const char *)start;
	char byte = *(const volatile char *)first;

	if (pwrite(image->mem_fd, &byte, 1, (off_t)start) != 1)
		return -1;
	return madvise((void *)start, end - start, MADV_POPULATE_READ);
}

/* The first object that is reported is the program itself. */
static int on_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct image *image = ctx;

	(void)size;
	for (unsigned int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t start = info->dlpi_addr + segment->p_vaddr;

		/* Writable ones were written already: by relocation, if nothing else. */
		if (segment->p_type != PT_LOAD || segment->p_flags & PF_W || !segment->p_memsz)
			continue;
		if (prepare_segment(image, round_down(start, PAGE_BYTES),
				    round_up(start + segment->p_memsz, PAGE_BYTES)) == 0)
			image->prepared++;
	}
	return 1;
}

int image_prepare(void)
{
	_cleanup_close_ int mem_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	struct image image = {.mem_fd = mem_fd};

	/* What boot and freeze have used and freed need not be inherited either. */
	malloc_trim(0);
	if (mem_fd >= 0)
		dl_iterate_phdr(on_object, &image);
	return image.prepared;
}
