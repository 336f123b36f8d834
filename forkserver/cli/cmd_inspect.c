/* SPDX-License-Identifier: MIT */
/*
 * forkvm inspect and forkvm stats: what the server tells of itself, of its template, of a clone.
 */
#include <inttypes.h>
#include <stdio.h>

#include "forkserver/cli/cli.h"
#include "forkserver/cli/parse.h"

static void print_value(const json_t *value)
{
	if (json_is_string(value))
		printf("%s\n", json_string_value(value));
	else if (json_is_integer(value))
		printf("%" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
	else if (json_is_real(value))
		printf("%.3f\n", json_real_value(value));
	else if (json_is_boolean(value))
		printf("%s\n", json_is_true(value) ? "yes" : "no");
	else
		printf("-\n");
}

/* Objects become headings, everything else a line. */
static void print_object(const json_t *object, int depth)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		/* Histograms are for programs. */
		if (json_is_array(value))
			continue;
		if (json_is_object(value)) {
			printf("%*s%s:\n", depth * 2, "", name);
			print_object(value, depth + 1);
		} else {
			printf("%*s%-*s ", depth * 2, "", 24 - depth * 2, name);
			print_value(value);
		}
	}
}

static void print_reply(const json_t *reply)
{
	print_object(reply, 0);
}

int cmd_inspect(int argc, char **argv)
{
	struct cli_target target = {0};
	struct error error;
	char members[40];
	uint64_t id;
	int status;

	if (!cli_parse_target(argc, argv, &target, &status))
		return status;
	if (argc - optind > 1)
		return cli_misused("inspect takes one clone's id, or none");
	if (optind == argc)
		return cli_simple(&target, "inspect", NULL, print_reply);
	if (parse_number("a clone's id", argv[optind], 0, INT64_MAX, &id, &error) < 0)
		return cli_misused("%s", error.text);
	snprintf(members, sizeof(members), "\"id\":%" PRIu64, id);
	return cli_simple(&target, "inspect", members, print_reply);
}

int cmd_stats(int argc, char **argv)
{
	struct cli_target target = {0};
	int status;

	if (!cli_parse_target(argc, argv, &target, &status))
		return status;
	if (optind < argc)
		return cli_misused("stats takes no arguments");
	return cli_simple(&target, "stats", NULL, print_reply);
}
