/* SPDX-License-Identifier: MIT */
/*
 * Probe: fork() does not copy the page table of a private file mapping that was never written.
 *
 * This is why a clone's cost does not grow with its RAM. For every mapping dup_mmap() asks whether
 * the child could find the pages again by faulting. For a file mapping without an anon_vma (none
 * of its pages was ever copied on write) it could, and nothing is copied; for anonymous memory it
 * could not, and every entry is. One single write to the private mapping gives it an anon_vma, and
 * from then on every fork copies every entry: so a template must not write its RAM between the
 * private remap and its forks.
 *
 * Seen by VmPTE, the memory a process holds in page tables, right after the fork.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <string.h>
#include <sys/mman.h>

#define SIZE	  (256 * PROBE_MIB)
#define TABLE_KIB ((long)(SIZE / PROBE_PAGE * 8 / 1024)) /* page-table entries for SIZE */

static int report_pte(void *context)
{
	long *ret_kib = context;

	*ret_kib = probe_proc_value("/proc/self/status", "VmPTE");
	return 0;
}

/* VmPTE of a fresh fork, in KiB. */
static long child_pte_kib(long *shared)
{
	*shared = -1;
	probe_need(probe_in_child(report_pte, shared) == 0, "child");
	probe_need(*shared >= 0, "VmPTE in /proc/self/status");
	return *shared;
}

int main(void)
{
	long *shared =
		mmap(NULL, PROBE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long base, parent, clean, written, anonymous;
	char *ram;
	int fd = probe_memfd(SIZE);

	probe_need(shared != MAP_FAILED, "mmap");
	base = child_pte_kib(shared);

	ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	probe_need(ram != MAP_FAILED, "mmap shared");
	memset(ram, 1, SIZE);
	probe_need(mmap(ram, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
			fd, 0) == ram,
		   "mmap private over it");
	for (size_t at = 0; at < SIZE; at += PROBE_PAGE)
		(void)*(volatile char *)(ram + at);
	parent = probe_proc_value("/proc/self/status", "VmPTE");
	clean = child_pte_kib(shared);
	probe_say("private file mapping, %lu MiB, read but never written: parent's tables %ld KiB, "
		  "child's %ld KiB over %ld",
		  SIZE / PROBE_MIB, parent, clean - base, base);
	probe_check(parent - base >= TABLE_KIB / 2, "the parent's table is full: %ld KiB", parent);
	probe_check(clean - base <= TABLE_KIB / 4, "the child copied %ld KiB of tables",
		    clean - base);

	ram[0] = 2;
	written = child_pte_kib(shared);
	probe_say("the same after one byte was written: child's %ld KiB", written - base);
	probe_check(written - base >= TABLE_KIB / 2,
		    "one write makes every fork copy; if not, better than the design assumes: %ld",
		    written - base);
	munmap(ram, SIZE);

	ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	probe_need(ram != MAP_FAILED, "mmap anonymous");
	probe_need(madvise(ram, SIZE, MADV_NOHUGEPAGE) == 0, "madvise");
	memset(ram, 1, SIZE);
	anonymous = child_pte_kib(shared);
	probe_say("anonymous memory: child's %ld KiB", anonymous - base);
	probe_check(anonymous - base >= TABLE_KIB, "%ld KiB", anonymous - base);
	return probe_result();
}
