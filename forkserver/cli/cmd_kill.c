/* SPDX-License-Identifier: MIT */
/*
 * forkvm kill and forkvm stop: ending clones, and the server.
 */
#include <inttypes.h>
#include <stdio.h>

#include "forkserver/cli/cli.h"
#include "forkserver/cli/parse.h"

static void print_killed(const json_t *reply)
{
	printf("%" JSON_INTEGER_FORMAT " killed\n",
	       json_integer_value(json_object_get(reply, "killed")));
}

static void print_stopped(const json_t *reply)
{
	printf("stopping; %" JSON_INTEGER_FORMAT " clones were alive\n",
	       json_integer_value(json_object_get(reply, "clones")));
}

/* One clone after the other; those that cannot be killed do not spare the rest. */
static int kill_each(const struct cli_target *target, char **ids, int count)
{
	struct forkvm_client *client;
	int worst = CLI_OK;
	int status;

	client = cli_connect(target, &status);
	if (!client)
		return status;
	for (int i = 0; i < count; i++) {
		char members[64];
		json_t *reply;

		snprintf(members, sizeof(members), "\"id\":%s", ids[i]);
		reply = cli_call(client, "kill", members, &worst);
		if (reply && target->json)
			printf("{\"id\":%s,\"killed\":true}\n", ids[i]);
		else if (reply)
			printf("%s killed\n", ids[i]);
		json_decref(reply);
	}
	forkvm_client_close(client);
	status = cli_flush();
	return worst != CLI_OK ? worst : status;
}

int cmd_kill(int argc, char **argv)
{
	static const struct option options[] = {
		{"all", no_argument, NULL, 'a'}, CLI_TARGET_OPTIONS, {0}};
	struct cli_target target = {0};
	struct error error;
	bool all = false;
	int option;
	int status;

	while ((option = cli_option(argc, argv, options, &target, &status)) != -1) {
		if (option == CLI_OPTION_EXIT)
			return status;
		all = true;
	}
	if (all == (optind < argc))
		return cli_misused("kill takes the ids of clones, or --all");
	if (all)
		return cli_simple(&target, "kill", "\"all\":true", print_killed);
	for (int i = optind; i < argc; i++) {
		uint64_t id;

		if (parse_number("a clone's id", argv[i], 0, INT64_MAX, &id, &error) < 0)
			return cli_misused("%s", error.text);
	}
	return kill_each(&target, argv + optind, argc - optind);
}

int cmd_stop(int argc, char **argv)
{
	struct cli_target target = {0};
	int status;

	if (!cli_parse_target(argc, argv, &target, &status))
		return status;
	if (optind < argc)
		return cli_misused("stop takes no arguments");
	return cli_simple(&target, "stop", NULL, print_stopped);
}
