/* SPDX-License-Identifier: MIT */
/*
 * Running another program to its end: the only place that does so, and only while the server gets
 * ready, before there is a template. Afterwards its filter does not allow it.
 */
#ifndef FORKVM_FORKSERVER_BASE_TOOL_H
#define FORKVM_FORKSERVER_BASE_TOOL_H

#include <stddef.h>

#include "vmm/base/error.h"

#define TOOL_WORDS_SIZE 200

struct tool {
	const char *const *argv; /* argv[0] is looked for in $PATH; ended by NULL              */
	const char *package;	 /* the Debian package that has it, for the message            */
	int inherit_fd;		 /* stays open in the program, under its number; -1: none      */
	int stop_fd;		 /* when it becomes readable, the program is killed; -1: none  */
};

/*
 * Run it, with /dev/null as its standard input, and wait. Returns its exit status (0 to 255), with
 * the last of what it printed in words. Errors: -ENOENT with the package's name, -EINTR (stop_fd),
 * -ECHILD (a signal ended it), and those of starting a process.
 */
int tool_run(const struct tool *tool, char words[TOOL_WORDS_SIZE], struct error *error);

#endif
