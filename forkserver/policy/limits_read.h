/* SPDX-License-Identifier: MIT */
/*
 * Readings for limits.h, from /proc and the cgroup file systems.
 */
#ifndef FORKVM_FORKSERVER_POLICY_LIMITS_READ_H
#define FORKVM_FORKSERVER_POLICY_LIMITS_READ_H

#include <stdbool.h>

#include "forkserver/policy/limits.h"

/*
 * Read what the files under root ("" for this host, another folder in tests) say, and this
 * process's RLIMIT_NOFILE and RLIMIT_NPROC. What cannot be read counts as no limit. A cgroup's
 * limits are those of the tightest of its ancestors; its page cache does not count as used. Opens
 * files by name, so before the server locks itself down.
 */
void limits_read(const char *root, struct limits_readings *ret);

/* Does KVM make a worker thread for each VM (kvm.nx_huge_pages other than never)? */
bool limits_read_has_worker(const char *root);

#endif
