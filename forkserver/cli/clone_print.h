/* SPDX-License-Identifier: MIT */
/*
 * Printing what became of a clone.
 */
#ifndef FORKVM_FORKSERVER_CLI_CLONE_PRINT_H
#define FORKVM_FORKSERVER_CLI_CLONE_PRINT_H

#include "forkserver/cli/clone_run.h"

/* A clone under way. */
struct clone_job {
	bool busy;
	bool told;	/* event is filled                  */
	int answer_fd;	/* owned; -1 once it was read empty */
	int console_fd; /* the same                         */
	uint64_t sent_ns;
	uint64_t line; /* whose request it has, from 1; 0: no line's */
	char *data;    /* the answer; owned */
	size_t len;
	struct forkvm_event event;
};

/* What a clone that became this makes of the exit status. */
int clone_exit_status(const struct forkvm_event *event);

/*
 * As the command asks for: JSON, one object a clone; or the answer as it is, under a heading when
 * there are several clones. What did not end well is told on standard error.
 */
void clone_print(const struct clone_command *command, const struct clone_job *job);

#endif
