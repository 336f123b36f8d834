/* SPDX-License-Identifier: MIT */
/*
 * The only place of the project that makes processes.
 */
#ifndef FORKVM_FORKSERVER_BASE_FORK_H
#define FORKVM_FORKSERVER_BASE_FORK_H

#include <stdbool.h>
#include <sys/types.h>

#include "forkserver/base/cradle.h"
#include "vmm/base/error.h"

/*
 * Get ready to fork: check that this process has one thread and that the kernel has clone3 with
 * pidfds, and settle what children inherit (cradle.h). To be called once all threads have ended and
 * no more will come, after gate_init and cradle_init.
 * -EBUSY when threads are left (a bug), -ENOSYS.
 */
int fork_prepare(bool children_make_threads, struct error *error);

/*
 * The child begins with the parent's own table of descriptors, not a copy. It must unshare it first
 * of all (close_range with CLOSE_RANGE_UNSHARE).
 */
#define FORK_SHARE_FILES     (1u << 0)

/* What the parent handles is back to its default in the child; what it ignores stays ignored. */
#define FORK_DEFAULT_SIGNALS (1u << 1)

/*
 * Fork this single-threaded process. The child does as *child says, and has nothing else of the
 * stack of this process. Returns the child's pid, with its pidfd (the caller's, close on exec) in
 * *ret_pidfd; -errno (EAGAIN, ENOMEM, EMFILE, EPERM).
 */
pid_t fork_process(unsigned int flags, const struct cradle_child *child, int *ret_pidfd);

#endif
