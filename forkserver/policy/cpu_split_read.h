/* SPDX-License-Identifier: MIT */
/*
 * Readings for cpu_split.h, from sysfs (Documentation/ABI/stable/sysfs-devices-system-cpu).
 */
#ifndef FORKVM_FORKSERVER_POLICY_CPU_SPLIT_READ_H
#define FORKVM_FORKSERVER_POLICY_CPU_SPLIT_READ_H

#include <sched.h>

/*
 * Of each CPU of all the lowest one of its core, by the files under root ("" for this host, another
 * folder in tests); where they cannot be read, each is a core. Opens files by name, so before the
 * server locks itself down.
 */
void cpu_split_read_cores(const char *root, const cpu_set_t *all,
			  unsigned int ret_core_of[CPU_SETSIZE]);

#endif
