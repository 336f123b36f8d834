/* SPDX-License-Identifier: MIT */
/*
 * A clone for each line of a file.
 */
#ifndef FORKVM_FORKSERVER_CLI_CLONE_LINES_H
#define FORKVM_FORKSERVER_CLI_CLONE_LINES_H

#include "forkserver/cli/clone_run.h"

/*
 * Make a clone for each line of command->lines, in batches; print each when it has ended. Returns
 * the exit status.
 */
int clone_lines(const struct clone_command *command);

#endif
