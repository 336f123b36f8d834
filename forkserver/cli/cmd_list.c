/* SPDX-License-Identifier: MIT */
/*
 * forkvm list: the live clones, page by page.
 */
#include <inttypes.h>
#include <stdio.h>

#include "forkserver/cli/cli.h"

static json_int_t number(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static void print_clone(const json_t *clone)
{
	char client[24] = "-";

	if (json_is_true(json_object_get(clone, "detached")))
		snprintf(client, sizeof(client), "detached");
	else if (number(clone, "client_pid"))
		snprintf(client, sizeof(client), "%" JSON_INTEGER_FORMAT,
			 number(clone, "client_pid"));
	printf("%10" JSON_INTEGER_FORMAT " %8" JSON_INTEGER_FORMAT " %10.3f %9s  %s\n",
	       number(clone, "id"), number(clone, "pid"), (double)number(clone, "age_ms") / 1e3,
	       client,
	       json_is_true(json_object_get(clone, "ending"))	 ? "ending"
	       : json_is_true(json_object_get(clone, "spare"))	 ? "spare"
	       : json_is_true(json_object_get(clone, "held"))	 ? "held"
	       : json_is_true(json_object_get(clone, "session")) ? "session"
								 : "running");
}

static void print_page(const json_t *clones, bool json)
{
	size_t count = json_array_size(clones);

	for (size_t i = 0; i < count; i++) {
		const json_t *clone = json_array_get(clones, i);

		if (json)
			cli_print_json(clone);
		else
			print_clone(clone);
	}
}

/* The last clone's id, after which the next page begins. */
static json_int_t last_id(const json_t *clones)
{
	return number(json_array_get(clones, json_array_size(clones) - 1), "id");
}

int cmd_list(int argc, char **argv)
{
	struct cli_target target = {0};
	struct forkvm_client *client;
	char after[40] = "\"after\":0";
	bool more = true;
	int status;

	if (!cli_parse_target(argc, argv, &target, &status))
		return status;
	if (optind < argc)
		return cli_misused("list takes no arguments");
	client = cli_connect(&target, &status);
	if (!client)
		return status;
	if (!target.json)
		printf("%10s %8s %10s %9s  %s\n", "ID", "PID", "AGE", "CLIENT", "STATE");
	status = CLI_OK;
	while (more && status == CLI_OK) {
		json_t *reply = cli_call(client, "list", after, &status);
		const json_t *clones = json_object_get(reply, "clones");

		print_page(clones, target.json);
		more = json_is_true(json_object_get(reply, "more")) && json_array_size(clones);
		if (more)
			snprintf(after, sizeof(after), "\"after\":%" JSON_INTEGER_FORMAT,
				 last_id(clones));
		json_decref(reply);
	}
	forkvm_client_close(client);
	return status == CLI_OK ? cli_flush() : status;
}
