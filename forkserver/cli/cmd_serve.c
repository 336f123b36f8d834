/* SPDX-License-Identifier: MIT */
/*
 * forkvm serve: from options to a running server. The options themselves are in serve_options.c.
 */
#include <errno.h>

#include "forkserver/base/log.h"
#include "forkserver/cli/cli.h"
#include "forkserver/cli/serve_options.h"
#include "forkserver/server/serve.h"

/* The server's name and socket. */
static int set_socket(struct serve_options *options, const struct cli_target *target,
		      struct error *error)
{
	if (target->name && target->socket) {
		char unused[FORKVM_SOCKET_PATH_SIZE];
		int rc = forkvm_socket_path(target->name, unused, error);

		/* A server may have both: the name is what it greets with. */
		if (rc == -EINVAL)
			return rc;
	}
	options->name = target->name ? target->name : FORKVM_DEFAULT_NAME;
	return cli_socket_path(&(struct cli_target){.name = target->socket ? NULL : target->name,
						    .socket = target->socket},
			       options->socket, error);
}

int cmd_serve(int argc, char **argv)
{
	struct serve_command command;
	struct cli_target target = {0};
	struct error error = {0};
	int option;
	int status;

	serve_options_init(&command);
	while ((option = cli_option(argc, argv, serve_option_table, &target, &status)) != -1) {
		if (option == CLI_OPTION_EXIT)
			return status;
		if (serve_options_set(&command, option, optarg, &error) < 0)
			return cli_misused("%s", error.text);
	}
	if (optind < argc)
		return cli_misused("\"%.40s\" is one word too many", argv[optind]);
	if (serve_options_finish(&command, &error) < 0 ||
	    set_socket(&command.options, &target, &error) < 0)
		return cli_misused("%s", error.text);
	log_init(command.log_level, command.log_json || target.json);
	if (serve(&command.options, &error) < 0)
		return cli_complain(CLI_FAILED, "%s", error.text);
	return CLI_OK;
}
