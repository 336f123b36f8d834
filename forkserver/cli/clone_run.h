/* SPDX-License-Identifier: MIT */
/*
 * Making clones and collecting what they say.
 */
#ifndef FORKVM_FORKSERVER_CLI_CLONE_RUN_H
#define FORKVM_FORKSERVER_CLI_CLONE_RUN_H

#include "forkserver/cli/cli.h"

struct clone_command {
	struct cli_target target;
	uint64_t count;
	const char *lines;	  /* a clone for each line of this file, "-": of standard input */
	bool console;		  /* copied to standard error                              */
	const char *console_file; /* where consoles go; "-": standard input and output; or NULL */
	struct forkvm_clone_spec spec; /* of each; without tag and descriptors */
};

/* Make the clones, print what comes. Returns the exit status. */
int clone_run(const struct clone_command *command);

#endif
