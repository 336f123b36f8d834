/* SPDX-License-Identifier: MIT */
/*
 * Memory with a known guest-physical address: see pages.h.
 *
 * Documentation/admin-guide/mm/pagemap.rst and hugetlbpage.rst of the kernel.
 */
#include "guest-stubs/agent/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "guest-stubs/agent/file.h"
#include "guest-stubs/agent/log.h"

#define HUGE_DIR	"/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define HUGE_DEFAULT	"/proc/sys/vm/nr_hugepages"
#define COMPACT_LOCKED	"/proc/sys/vm/compact_unevictable_allowed"

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_PFN	((1ull << 55) - 1)

/* Where a page below 1 MiB is looked for: above what a boot loader leaves, below the trampoline. */
#define LOW_START	0x20000
#define LOW_END		0x90000

int pages_gpa(const void *at, uint64_t *ret_gpa)
{
	uint64_t address = (uintptr_t)at, entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -errno;
	got = pread(fd, &entry, sizeof(entry), (off_t)(address / PAGES_SINGLE_SIZE * 8));
	close(fd);
	if (got != sizeof(entry))
		return got < 0 ? -errno : -EIO;
	if (!(entry & PAGEMAP_PRESENT))
		return -EFAULT;
	if (!(entry & PAGEMAP_PFN))
		return -EPERM;
	*ret_gpa = (entry & PAGEMAP_PFN) * PAGES_SINGLE_SIZE + address % PAGES_SINGLE_SIZE;
	return 0;
}

/* The pool of huge pages gets one more, unless one is free. */
static int grow_pool(void)
{
	uint64_t count = 0, free_pages = 0;
	const char *path = HUGE_DIR "nr_hugepages";
	int rc;

	if (file_read_number(HUGE_DIR "free_hugepages", &free_pages) == 0 && free_pages > 0)
		return 0;
	rc = file_read_number(path, &count);
	if (rc < 0) {
		path = HUGE_DEFAULT; /* no sysfs: it counts pages of the default size */
		rc = file_read_number(path, &count);
	}
	if (rc < 0)
		return rc;
	return file_write_number(path, count + 1);
}

static int map(struct pages *pages, size_t size, int flags)
{
	void *at;
	int rc;

	at = mmap(NULL, size, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE | flags, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	/* Populating fails silently, and reading alone would map the page of zeros. */
	memset(at, 0, size);
	/* A child must never make this memory copy-on-write: the parent's next write would move it.
	 */
	if (madvise(at, size, MADV_DONTFORK) < 0)
		rc = -errno;
	else
		rc = pages_gpa(at, &pages->gpa);
	if (rc < 0) {
		munmap(at, size);
		return rc;
	}
	pages->at = at;
	pages->size = size;
	return 0;
}

int pages_huge(struct pages *ret_pages)
{
	struct pages pages;
	int rc = grow_pool();

	if (rc < 0)
		log_debug("huge pages: the pool does not grow: %s", strerror(-rc));
	rc = map(&pages, PAGES_HUGE_SIZE, MAP_HUGETLB | MAP_HUGE_2MB);
	if (rc == 0)
		*ret_pages = pages;
	return rc;
}

int pages_single(struct pages *ret_pages)
{
	struct pages pages;
	int rc = file_write_number(COMPACT_LOCKED, 0);

	if (rc < 0)
		log_debug("%s: %s", COMPACT_LOCKED, strerror(-rc));
	rc = map(&pages, PAGES_SINGLE_SIZE, 0);
	if (rc == 0)
		*ret_pages = pages;
	return rc;
}

/* Does this kernel leave all of the first MiB alone? Since 5.13. */
static bool low_memory_is_unused(void)
{
	struct utsname name;
	int major = 0, minor = 0;

	if (uname(&name) < 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return false;
	return major > 5 || (major == 5 && minor >= 13);
}

/* Is [start, end) RAM, as /proc/iomem has it? */
static bool is_system_ram(uint64_t start, uint64_t end)
{
	FILE *file = fopen("/proc/iomem", "re");
	unsigned long long from, to;
	char line[256];
	bool found = false;

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		if (line[0] != ' ' && strstr(line, ": System RAM") &&
		    sscanf(line, "%llx-%llx", &from, &to) == 2)
			found = from <= start && end - 1 <= to;
	}
	fclose(file);
	return found;
}

static bool is_zero(const void *at, size_t size)
{
	const uint64_t *words = at;

	for (size_t i = 0; i < size / sizeof(*words); i++) {
		if (words[i])
			return false;
	}
	return true;
}

int pages_low(struct pages *ret_pages)
{
	int fd, rc = -ENOSPC;

	if (!low_memory_is_unused() || !is_system_ram(LOW_START, LOW_END))
		return -EOPNOTSUPP;
	fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (uint64_t gpa = LOW_END - PAGES_SINGLE_SIZE; gpa >= LOW_START && rc == -ENOSPC;
	     gpa -= PAGES_SINGLE_SIZE) {
		void *at = mmap(NULL, PAGES_SINGLE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
				(off_t)gpa);

		if (at == MAP_FAILED) {
			rc = -errno;
		} else if (is_zero(at, PAGES_SINGLE_SIZE)) {
			*ret_pages = (struct pages){at, gpa, PAGES_SINGLE_SIZE};
			rc = 0;
		} else {
			munmap(at, PAGES_SINGLE_SIZE);
		}
	}
	close(fd);
	return rc;
}
