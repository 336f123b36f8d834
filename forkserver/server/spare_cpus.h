/* SPDX-License-Identifier: MIT */
/*
 * The CPUs of spares' making and clones' ends, and those of this process's thread (cpu_split.h).
 */
#ifndef FORKVM_FORKSERVER_SERVER_SPARE_CPUS_H
#define FORKVM_FORKSERVER_SERVER_SPARE_CPUS_H

#include "forkserver/policy/cpu_split.h"
#include "vmm/base/error.h"

struct server;

/*
 * Divide the CPUs that this process may use as the options say; server->cpus stays NULL where there
 * is no pool, or nothing to divide. Before the lock-down. -EINVAL: CPUs were named that cannot be
 * had; -ENOMEM.
 */
int spare_cpus_init(struct server *server, struct error *error);
void spare_cpus_done(struct server *server);

/* Move to the CPUs that serve. When the template is frozen: what was started before is not moved.
 */
void spare_cpus_leave_making(struct server *server);

#endif
