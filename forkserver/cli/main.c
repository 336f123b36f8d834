/* SPDX-License-Identifier: MIT */
/*
 * forkvm: the command line. Each verb has a file of its own (cmd_*.c).
 */
#include <stdint.h>
#include <string.h>

#include "forkserver/cli/cli.h"

/* --help and --version are what people try first. */
static const char *verb_of(const char *word)
{
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return "help";
	return strcmp(word, "--version") ? word : "version";
}

int main(int argc, char **argv)
{
	const struct verb *verb;

	if (argc < 2) {
		cmd_help(0, NULL);
		return CLI_USAGE;
	}
	verb = cli_find_verb(verb_of(argv[1]));
	if (!verb)
		return cli_misused("\"%.40s\" is not a verb of forkvm", argv[1]);
	/* What it complains as, and finds its usage by. */
	argv[1] = (char *)(uintptr_t)verb->name;
	return verb->run(argc - 1, argv + 1);
}
