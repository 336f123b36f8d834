/* SPDX-License-Identifier: MIT */
/*
 * Memory and other figures from /proc, read while locked down.
 */
#ifndef FORKVM_FORKSERVER_BASE_PROCFS_H
#define FORKVM_FORKSERVER_BASE_PROCFS_H

#include <stdint.h>
#include <sys/types.h>

/* Figures of one process, KiB. */
struct process_memory {
	uint64_t rss_kib;
	uint64_t pss_kib;     /* shared pages counted in parts     */
	uint64_t private_kib; /* written by it, or its alone       */
	uint64_t page_tables_kib;
};

/* Read pid's figures; it takes the kernel tens of microseconds. -ENOENT, -ESRCH, -EACCES. */
int procfs_memory(pid_t pid, struct process_memory *ret);

/* pid's private pages, in bytes: cheap, and a little behind the truth. -errno. */
int procfs_private_bytes(pid_t pid, uint64_t *ret);

/* Descriptors that this process has open, or -errno. */
int procfs_count_descriptors(void);

/*
 * How many processes the kernel has killed for want of memory since it booted. fd is an open
 * /proc/vmstat. -ENODATA when the kernel does not count them.
 */
int procfs_oom_kills(int fd, uint64_t *ret);

#endif
