/* SPDX-License-Identifier: MIT */
/*
 * The cradle: the memory in which every child of the fork begins its life.
 *
 * Theory of operation. A forked process pays for each region of the address space in which it has
 * as much as one page: a page table of 4 KiB on each of three levels where nothing else is near.
 * The kernel puts a program's stack and its heap each far away from everything else, and the C
 * library keeps a static program's thread control block (errno, the stack protector's secret) in
 * the heap. A clone uses a few kilobytes of these: 24 KiB of page tables for them, and copies of
 * the pages on top.
 *
 * So children get both anew, next to the program: a block of its own static memory, the cradle.
 *
 *	[ guard | stack, growing down <- | argument | start ][ TLS and control block ]
 *
 * The thread control block is the C library's business, which lays one out for each new thread.
 * So a thread is made at the start, with the cradle for its stack; it keeps a picture of what it
 * finds there, and ends. Every child is then given that picture, by clone3's stack and
 * CLONE_SETTLS, and is to the C library what that thread was: all of it by documented means
 * (pthread_attr_setstack; the thread pointer of the x86-64 ABI).
 *
 * What the server puts into the argument before a fork and what the child writes while it runs is
 * on the same page, so that one copy serves both. The control block is on another one, which a
 * child without threads has no need to write to, as long as nothing fails: it stays as it is, with
 * the id of that thread, of which nothing takes notice; and the child makes the calls at which a
 * thread can be cancelled (write, poll, ...) by syscall(2), because the library notes each of
 * them there.
 *
 * A child that makes threads needs the list of threads that the C library keeps, and that list goes
 * through the server's own control block. Such children keep the heap, and use the stack only.
 */
#ifndef FORKVM_FORKSERVER_BASE_CRADLE_H
#define FORKVM_FORKSERVER_BASE_CRADLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"

/* The longest argument there may be. */
#define CRADLE_ARGUMENT_MAX (68u << 10)

/* What a child does, and with what. */
struct cradle_child {
	void (*run)(const void *argument); /* to its end; argument: its own copy of what follows */
	const void *argument;
	size_t len;
	const void *more; /* stands behind the argument, without a gap; may be NULL */
	size_t more_len;
};

/* For clone3. */
struct cradle_place {
	uintptr_t stack; /* 0: the child begins on its parent's stack          */
	size_t stack_size;
	uintptr_t tls; /* thread pointer; 0: the child keeps its parent's     */
};

/*
 * Lay the cradle out. Makes a thread, and ends it: once, and some time before threads are counted,
 * because the kernel has them linger for a moment. -errno (EAGAIN, ENOMEM).
 */
int cradle_init(void);

/*
 * Withhold from all children what they need no longer: the stack of this process, and, if they make
 * no threads, its heap too, unless the C library's allocator uses that. -errno.
 */
int cradle_settle(bool children_make_threads);

/*
 * Put into the cradle what the next child is to do, and tell the kernel's part of it. Where there
 * is no stack for the child (in sanitizers' builds), the caller calls cradle_start itself, in the
 * child.
 */
void cradle_prepare(const struct cradle_child *child, struct cradle_place *ret);

/* In the child. */
_Noreturn void cradle_start(void);

/* In the child: what it was given, as its run was. */
const void *cradle_argument(void);

/*
 * The end of this program's static memory, in which the cradle is, and near which RAM should be;
 * NULL where the heap grows from there.
 */
const void *cradle_neighbourhood(void);

/* In the parent, after the fork: wipe the argument, so that the next child does not inherit it. */
void cradle_wipe(void);

#endif
