/* SPDX-License-Identifier: MIT */
/*
 * The gate: the one place from which the server makes the system calls that a clone must not make.
 *
 * Theory of operation. A clone may do less than the server it was forked from. The plain way to
 * take rights away, a second seccomp filter loaded in the child, costs every clone 20 to 80 us
 * (the kernel checks, compiles and caches each filter anew). Instead there is one filter for both,
 * and it tells them apart by where the call comes from: server-only calls are allowed from one
 * single address, that of the gate's `syscall` instruction. That instruction is the last of a page
 * which is marked MADV_DONTFORK: a child does not have it, and cannot get it, because the filter
 * refuses every way of making memory executable or of moving a mapping. The instruction after it,
 * to which the forking call itself returns in the child, lies on the next page, which is kept.
 *
 * So a clone loses the server's rights in the very fork that makes it, at no cost.
 *
 * The nursery. Some calls a clone must make once, while it is being made, and never again:
 * above all io_uring_setup(2), because whoever can make a ring without restrictions can have the
 * kernel do nearly everything, past any filter (who wants one later asks the server: rings.h).
 * For these there is a second `syscall` instruction, on that next page, and nursery_leave unmaps
 * it: a clone does so before its guest runs, and the same two properties (nothing becomes
 * executable, nothing moves) keep it from ever coming back. That costs a munmap, 2 us.
 *
 *	             [ ... gate: mov mov ... syscall ][ ret   nursery: mov mov ... syscall ret ... ]
 *	server        yes                              yes
 *	new clone     not inherited                    yes
 *	running one   not inherited                    unmapped (where it has disks, or is to be
 *						       reset; else it is no use: no call is allowed
 *						       from there)
 */
#ifndef FORKVM_FORKSERVER_BASE_GATE_H
#define FORKVM_FORKSERVER_BASE_GATE_H

#include <stdint.h>

typedef long gate_fn(long nr, long a1, long a2, long a3, long a4, long a5, long a6);

/* Set by gate_init, only read after. */
extern gate_fn *gate_entry, *nursery_entry;

/* Make the gate, and withhold it from all children forked from now on. Once, first of all. -errno.
 */
int gate_init(void);

/* The addresses that a filter sees as instruction pointer for calls through either. */
uintptr_t gate_address(void);
uintptr_t nursery_address(void);

/*
 * Make system call nr. Returns what the kernel returns: -errno on failure; errno is not touched.
 * In a forked child this crashes, and is meant to.
 */
static inline long gate_call(long nr, long a1, long a2, long a3, long a4, long a5, long a6)
{
	return gate_entry(nr, a1, a2, a3, a4, a5, a6);
}

/* The same through the nursery: in a child that has not left it, or in the server. */
static inline long nursery_call(long nr, long a1, long a2, long a3, long a4, long a5, long a6)
{
	return nursery_entry(nr, a1, a2, a3, a4, a5, a6);
}

/* In a child: leave the nursery for good. From then on nursery_call crashes. -errno. */
int nursery_leave(void);

#endif
