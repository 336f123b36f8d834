/* SPDX-License-Identifier: MIT */
/*
 * forkvm freeze: freeze a template that is still booting, wherever its guest is.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "forkserver/cli/cli.h"
#include "forkserver/cli/parse.h"
#include "vmm/base/util.h"

#define OPT_TIMEOUT 0x200

static const struct option freeze_options[] = {
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	CLI_TARGET_OPTIONS,
	{0},
};

static void print(const struct forkvm_frozen *frozen, bool json)
{
	if (json)
		printf("{\"booted_us\":%" PRIu64 ",\"frozen_us\":%" PRIu64
		       ",\"populated_bytes\":%" PRIu64 "}\n",
		       frozen->booted_us, frozen->frozen_us, frozen->populated_bytes);
	else
		printf("frozen after %.3f s in %.3f ms; %" PRIu64 " KiB populated\n",
		       (double)frozen->booted_us / 1e6, (double)frozen->frozen_us / 1e3,
		       (uint64_t)(frozen->populated_bytes / KIB));
}

static int freeze(const struct cli_target *target, int timeout_ms)
{
	int status = CLI_OK;
	struct forkvm_client *client = cli_connect(target, &status);
	struct forkvm_frozen frozen;
	struct error error;

	if (!client)
		return status;
	if (forkvm_client_freeze(client, timeout_ms, &frozen, &error) < 0)
		status = cli_complain(CLI_FAILED, "%s", error.text);
	else
		print(&frozen, target->json);
	forkvm_client_close(client);
	return status == CLI_OK ? cli_flush() : status;
}

int cmd_freeze(int argc, char **argv)
{
	struct cli_target target = {0};
	uint64_t timeout_ms = 0;
	struct error error;
	int option;
	int status;

	while ((option = cli_option(argc, argv, freeze_options, &target, &status)) != -1) {
		if (option == CLI_OPTION_EXIT)
			return status;
		if (parse_duration("--timeout", optarg, &timeout_ms, &error) < 0)
			return cli_misused("%s", error.text);
	}
	if (optind < argc)
		return cli_misused("freeze takes no arguments");
	/* 0 is no limit, and what poll cannot hold is none to speak of. */
	return freeze(&target, timeout_ms && timeout_ms <= INT32_MAX ? (int)timeout_ms : -1);
}
