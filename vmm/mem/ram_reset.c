/* SPDX-License-Identifier: MIT */
/*
 * Bringing RAM back: see ram_reset.h. Kernel document: admin-guide/mm/pagemap.rst.
 */
#include "vmm/mem/ram_reset.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/call.h"
#include "vmm/base/util.h"
#include "vmm/mem/pagemap_scan.h"

#define REGIONS_AT_ONCE 64u

static uint64_t first_address(const struct guest_ram *ram)
{
	return (uintptr_t)ram->host;
}

/*
 * Some of the pages from *at on that are this process's own: how many regions, or -errno. *at moves
 * to where the kernel has not looked yet.
 */
static int scan(int fd, uint64_t *at, uint64_t end, struct pagemap_region *regions)
{
	struct pagemap_scan scan = {
		.size = sizeof(scan),
		.start = *at,
		.end = end,
		.vec = (uintptr_t)regions,
		.vec_len = REGIONS_AT_ONCE,
		/* In memory or swapped out; not the file's, and not the kernel's page of zeros. */
		.category_inverted = PAGEMAP_IS_FILE | PAGEMAP_IS_PFNZERO,
		.category_mask = PAGEMAP_IS_FILE | PAGEMAP_IS_PFNZERO,
		.category_anyof_mask = PAGEMAP_IS_PRESENT | PAGEMAP_IS_SWAPPED,
		.return_mask = PAGEMAP_IS_FILE,
	};
	int count = ioctl(fd, PAGEMAP_SCAN_IOCTL, &scan);

	if (count < 0)
		return -errno;
	*at = scan.walk_end;
	return count;
}

int ram_reset_open(void)
{
	int fd = call_open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct pagemap_region regions[REGIONS_AT_ONCE];
	uint64_t at = (uintptr_t)regions & ~(PAGE_BYTES - 1);

	if (fd < 0)
		return -1;
	if (scan(fd, &at, at + PAGE_BYTES, regions) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

bool ram_reset_find(int pagemap_fd, const struct guest_ram *ram, struct page_set *ret)
{
	struct pagemap_region regions[REGIONS_AT_ONCE];
	uint64_t at = first_address(ram), end = at + ram->size;
	int count = pagemap_fd < 0 ? -ENOSYS : scan(pagemap_fd, &at, end, regions);

	ret->count = 0;
	if (count < 0 || at < end)
		return false;
	for (int i = 0; i < count; i++) {
		ret->runs[ret->count++] = (struct page_run){
			.first = (uint32_t)((regions[i].start - first_address(ram)) / PAGE_BYTES),
			.count = (uint32_t)((regions[i].end - regions[i].start) / PAGE_BYTES),
		};
	}
	return page_set_pages(ret) <= RAM_RESET_COPIES_MAX;
}

static int read_file(const struct guest_ram *ram, void *to, uint64_t offset, size_t size,
		     struct error *error)
{
	ssize_t got = pread(ram->fd, to, size, (off_t)offset);

	if (got < 0)
		return error_set_errno(error, errno, "read the template's RAM");
	if ((size_t)got != size)
		return error_set(error, EIO, "the template's RAM is shorter than it was");
	return 0;
}

int ram_reset_copy(const struct guest_ram *ram, const struct page_set *pages, struct error *error)
{
	for (uint32_t i = 0; i < pages->count; i++) {
		uint64_t offset = pages->runs[i].first * PAGE_BYTES;
		int rc = read_file(ram, ram->host + offset, offset,
				   pages->runs[i].count * PAGE_BYTES, error);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int ram_reset_drop(const struct guest_ram *ram, struct error *error)
{
	if (madvise(ram->host, ram->size, MADV_DONTNEED) < 0)
		return error_set_errno(error, errno, "drop RAM that was written");
	return 0;
}

static int compare(const struct guest_ram *ram, uint64_t offset, uint64_t size, struct error *error)
{
	uint8_t page[PAGE_BYTES];
	int rc = 0;

	for (uint64_t end = offset + size; rc == 0 && offset < end; offset += PAGE_BYTES) {
		rc = read_file(ram, page, offset, PAGE_BYTES, error);
		if (rc == 0 && memcmp(page, ram->host + offset, PAGE_BYTES) != 0)
			rc = error_set(error, EIO, "RAM differs from the template's at %#llx of it",
				       (unsigned long long)offset);
	}
	return rc;
}

int ram_reset_verify(int pagemap_fd, const struct guest_ram *ram, struct error *error)
{
	struct pagemap_region regions[REGIONS_AT_ONCE];
	uint64_t at = first_address(ram), end = at + ram->size;
	int rc = 0;

	/* Pages that are not its own are the file's, or holes: so those are all that can differ. */
	if (pagemap_fd < 0)
		return compare(ram, 0, ram->size, error);
	while (rc == 0 && at < end) {
		int count = scan(pagemap_fd, &at, end, regions);

		if (count < 0)
			return error_set_errno(error, -count, "PAGEMAP_SCAN");
		for (int i = 0; rc == 0 && i < count; i++)
			rc = compare(ram, regions[i].start - first_address(ram),
				     regions[i].end - regions[i].start, error);
	}
	return rc;
}
