/* SPDX-License-Identifier: MIT */
/*
 * Kernel modules, in the order in which they are named: the agent resolves no dependencies.
 */
#ifndef FORKVM_AGENT_MODULES_H
#define FORKVM_AGENT_MODULES_H

#include "guest-stubs/agent/options.h"

/*
 * Split "PATH PARAMETERS" in place: *ret_path, and *ret_parameters ("" when there are none). False
 * for an empty line or a comment.
 */
bool modules_split(char *line, const char **ret_path, const char **ret_parameters);

/*
 * Insert the modules of the list file, then those of the options. One that is there already is
 * fine; one that cannot be inserted is told, and returned is how many those were.
 */
unsigned int modules_insert(const struct options *options);

#endif
