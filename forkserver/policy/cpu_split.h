/* SPDX-License-Identifier: MIT */
/*
 * Which CPUs make spares and end clones, and which serve. Pure functions of what they are given.
 *
 * Theory of operation. Making a spare, and taking an ended clone down, is a millisecond of kernel
 * work, in pieces of up to half of one that most kernels let nothing interrupt (preempt=none or
 * voluntary), and the kernel's own work that comes of it (callbacks of RCU) stays on the CPU where
 * it arose. Whoever wakes up on that CPU meanwhile waits for it: a server with a request, a spare
 * with its claim, a client with its answer. So that work has CPUs of its own, every second core,
 * and the server's thread has the others. Clones that serve have all, and so do those made while a
 * client waits for them.
 */
#ifndef FORKVM_FORKSERVER_POLICY_CPU_SPLIT_H
#define FORKVM_FORKSERVER_POLICY_CPU_SPLIT_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

struct cpu_split {
	cpu_set_t all;
	cpu_set_t making;
	cpu_set_t serving; /* the rest */
};

/* What the operator wants. */
enum cpu_split_how {
	CPU_SPLIT_AUTO,	 /* every second core, if there are two or more */
	CPU_SPLIT_NONE,	 /* any CPU for everything                      */
	CPU_SPLIT_GIVEN, /* those that were named make spares           */
};

/*
 * Read a list of CPUs as cpuset(7) has them: "0-3,8". A line's end is allowed behind it. 0;
 * -EINVAL: it is not one, or an empty one; -ERANGE: a CPU of CPU_SETSIZE or above.
 */
int cpu_list_parse(const char *text, cpu_set_t *ret);

/* Room for what a list has on most hosts. */
#define CPU_LIST_SIZE 256

/* Write a set as such a list, cut where size ends; returns text. */
const char *cpu_list_print(const cpu_set_t *set, char *text, size_t size);

/*
 * Every second core of all makes spares, every second CPU where there is one core only. core_of
 * has, for each CPU of all, the lowest CPU of its core. False: there is nothing to divide.
 */
bool cpu_split_by_core(const cpu_set_t *all, const unsigned int core_of[CPU_SETSIZE],
		       struct cpu_split *ret);

/* Those given make spares. False: they are not among all, or they are all. */
bool cpu_split_as_given(const cpu_set_t *all, const cpu_set_t *making, struct cpu_split *ret);

#endif
