/* SPDX-License-Identifier: MIT */
/*
 * Control groups that stand still while the template is made and each clone becomes itself. The
 * agent's priority keeps others off its own vCPU; on the other vCPUs only this does.
 */
#ifndef FORKVM_AGENT_FREEZER_H
#define FORKVM_AGENT_FREEZER_H

#include <stdbool.h>
#include <stddef.h>

#include "guest-stubs/agent/options.h"

struct freezer {
	int switches[OPTIONS_LIST_MAX]; /* its own: cgroup.freeze of each group that was stopped */
	size_t count;
};

/* Is group, or one above it, own's group? Both start with a slash. */
bool freezer_holds(const char *group, const char *own);

/*
 * Stop the groups (paths below /sys/fs/cgroup) and wait until they stand. One that cannot be
 * stopped is told in the log and -errno of the last one returned: those with processes that do not
 * stop within a second (-ETIMEDOUT), the agent's own (-EDEADLK).
 */
int freezer_stop(struct freezer *freezer, const struct options_list *groups);

/* Let them go on. */
void freezer_go(struct freezer *freezer);

#endif
