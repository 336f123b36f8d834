/* SPDX-License-Identifier: MIT */
/*
 * Memory that the host can find: physically contiguous pieces of RAM that stay where they are, with
 * their guest-physical addresses (GPA).
 *
 * Theory of operation
 *   A program knows nothing of physical addresses, but root may read them in /proc/self/pagemap.
 * One 2 MiB huge page is contiguous, and the kernel moves it only for memory hot-unplug. Where
 * there is none to be had, single locked pages must do, and compaction of locked pages is switched
 * off. The mailbox itself must be below 4 GiB. On a guest with more RAM than fits there the kernel
 *   hands out the rest first. But since Linux 5.13 it keeps its hands off the first MiB altogether
 *   (firmware may scribble there), so a page of that which holds nothing, mapped by /dev/mem, is a
 *   place as good as any.
 */
#ifndef FORKVM_AGENT_PAGES_H
#define FORKVM_AGENT_PAGES_H

#include <stddef.h>
#include <stdint.h>

struct pages {
	void *at;
	uint64_t gpa;
	size_t size;
};

#define PAGES_HUGE_SIZE	  (2u << 20)
#define PAGES_SINGLE_SIZE 4096u

/* One huge page, all zeros. -ENOMEM: none to be had; -EPERM, -ENOENT as pages_gpa(). */
int pages_huge(struct pages *ret_pages);

/* One locked page, all zeros. -errno likewise. */
int pages_single(struct pages *ret_pages);

/*
 * One page below 1 MiB. -EOPNOTSUPP: this kernel may use it itself; -ENOSPC: none is free; else
 * what /dev/mem answers (-EPERM under lockdown).
 */
int pages_low(struct pages *ret_pages);

/*
 * The GPA of the byte at `at`, which is in memory. -EPERM: not root, so the kernel does not tell;
 * -ENOENT: a kernel without pagemap; -EFAULT: not in memory.
 */
int pages_gpa(const void *at, uint64_t *ret_gpa);

#endif
