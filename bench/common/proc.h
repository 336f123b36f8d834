/* SPDX-License-Identifier: MIT */
/*
 * Memory as the kernel accounts for it: of the whole host and of one process.
 */
#ifndef FORKVM_BENCH_COMMON_PROC_H
#define FORKVM_BENCH_COMMON_PROC_H

#include <stddef.h>
#include <sys/types.h>

/* From /proc/meminfo, in KiB; -1 where this kernel does not say. */
struct host_memory {
	long available;	      /* MemAvailable                                               */
	long slab;	      /* Slab                                                       */
	long page_tables;     /* PageTables                                                 */
	long sec_page_tables; /* SecPageTables: the tables that KVM keeps for its guests    */
	long kernel_stack;    /* KernelStack                                                */
	long vmalloc;	      /* VmallocUsed: reverse maps of memslots are there            */
	long percpu;	      /* Percpu                                                     */
	long anonymous;	      /* AnonPages                                                  */
	long shmem;	      /* Shmem: memfds                                              */
};

/* From /proc/PID/smaps_rollup and /proc/PID/status, in KiB. */
struct process_memory {
	long rss;	    /* all that is mapped, shared pages counted in full          */
	long pss;	    /* the same, each page divided by how many map it            */
	long private;	    /* mapped by nobody else: Private_Dirty + Private_Clean      */
	long private_dirty; /* Private_Dirty alone                                       */
	long page_tables;   /* VmPTE                                                     */
};

/* CPU time in microseconds. */
struct process_cpu {
	long long own_us; /* of all its threads                                               */
	long long children_us; /* of its children that it has waited for; in steps of clock ticks */
};

/* 0, or -errno. */
int host_memory_read(struct host_memory *ret);

/* 0, or -errno: -ENOENT or -ESRCH when the process has ended. */
int process_memory_read(pid_t pid, struct process_memory *ret);

/* 0, or -errno: -ENOENT or -ESRCH when there is no such process, -EPROTO for what is no such file.
 */
int process_cpu_read(pid_t pid, struct process_cpu *ret);

#endif
