/* SPDX-License-Identifier: MIT */
/*
 * forkvm: the command line. Each verb has a file of its own (cmd_*.c).
 */
#include <stdio.h>
#include <string.h>

#include "forkserver/cli/cli.h"

int main(int argc, char **argv)
{
	static char help[] = "help";
	const struct verb *verb;

	if (argc < 2) {
		cmd_help(0, NULL);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		argv[1] = help;
	verb = cli_find_verb(argv[1] + (strcmp(argv[1], "--version") ? 0 : 2));
	if (!verb)
		return cli_misused("\"%.40s\" is not a verb of forkvm", argv[1]);
	return verb->run(argc - 1, argv + 1);
}
