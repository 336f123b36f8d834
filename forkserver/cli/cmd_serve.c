/* SPDX-License-Identifier: MIT */
/*
 * forkvm serve: from options to a running server.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "forkserver/cli/cli.h"
#include "forkserver/cli/parse.h"
#include "forkserver/server/log.h"
#include "forkserver/server/serve.h"

/* Options without a short form; the letters of CLI_TARGET_OPTIONS are taken. */
enum {
	OPT_STUB = 0x200,
	OPT_MEM,
	OPT_CPUS,
	OPT_ARGS,
	OPT_MEM_PATH,
	OPT_SLOTS,
	OPT_IRQCHIP,
	OPT_CPUID,
	OPT_BOOT_TIMEOUT,
	OPT_DEVICE,
	OPT_ALLOW_UID,
	OPT_MAX_CONNECTIONS,
	OPT_NO_ANCHOR,
	OPT_READY_FD,
	OPT_LOG_LEVEL,
	OPT_LOG_JSON,
	OPT_MAX_CLONES,
	OPT_CLONE_TIMEOUT,
	OPT_CLONE_MEMORY,
	OPT_KEEP_CLONES,
};

static const struct option serve_option_table[] = {
	{"stub", required_argument, NULL, OPT_STUB},
	{"mem", required_argument, NULL, OPT_MEM},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"args", required_argument, NULL, OPT_ARGS},
	{"mem-path", required_argument, NULL, OPT_MEM_PATH},
	{"slots", required_argument, NULL, OPT_SLOTS},
	{"irqchip", no_argument, NULL, OPT_IRQCHIP},
	{"cpuid", no_argument, NULL, OPT_CPUID},
	{"boot-timeout", required_argument, NULL, OPT_BOOT_TIMEOUT},
	{"device", required_argument, NULL, OPT_DEVICE},
	{"allow-uid", required_argument, NULL, OPT_ALLOW_UID},
	{"max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS},
	{"no-anchor", no_argument, NULL, OPT_NO_ANCHOR},
	{"ready-fd", required_argument, NULL, OPT_READY_FD},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"log-json", no_argument, NULL, OPT_LOG_JSON},
	{"max-clones", required_argument, NULL, OPT_MAX_CLONES},
	{"clone-timeout", required_argument, NULL, OPT_CLONE_TIMEOUT},
	{"clone-memory", required_argument, NULL, OPT_CLONE_MEMORY},
	{"keep-clones", no_argument, NULL, OPT_KEEP_CLONES},
	CLI_TARGET_OPTIONS,
	{0},
};

struct serve_command {
	struct serve_options options;
	enum log_level log_level;
	bool log_json;
};

static int set_slots(struct machine_config *machine, const char *text, struct error *error)
{
	if (!strcmp(text, "auto"))
		machine->slots = MACHINE_SLOTS_AUTO;
	else if (!strcmp(text, "all"))
		machine->slots = MACHINE_SLOTS_ALL;
	else if (!strcmp(text, "populated"))
		machine->slots = MACHINE_SLOTS_POPULATED;
	else
		return error_set(error, EINVAL, "--slots is auto, all or populated, not \"%.40s\"",
				 text);
	return 0;
}

static int set_template(struct serve_options *options, int option, const char *value,
			struct error *error)
{
	uint64_t number = 0;
	int rc = 0;

	switch (option) {
	case OPT_STUB:
		options->stub = value;
		return 0;
	case OPT_MEM:
		return parse_size("--mem", value, &options->machine.ram_size, error);
	case OPT_CPUS:
		/* What is too many is for the machine to say. */
		rc = parse_number("--cpus", value, 0, UINT32_MAX, &number, error);
		options->machine.vcpus = (unsigned int)number;
		return rc;
	case OPT_ARGS:
		options->args = value;
		return 0;
	case OPT_MEM_PATH:
		options->machine.mem_path = value;
		return 0;
	case OPT_SLOTS:
		return set_slots(&options->machine, value, error);
	case OPT_IRQCHIP:
		options->machine.force_irqchip = true;
		return 0;
	case OPT_CPUID:
		options->machine.force_cpuid = true;
		return 0;
	case OPT_BOOT_TIMEOUT:
		rc = parse_duration("--boot-timeout", value, &number, error);
		options->boot_timeout_ns = number * 1000000;
		return rc;
	case OPT_DEVICE:
		options->device = value;
		return 0;
	default:
		return -ENOENT;
	}
}

static int add_allowed_uid(struct serve_options *options, const char *value, struct error *error)
{
	uint64_t uid;
	int rc = parse_number("--allow-uid", value, 0, UINT32_MAX - 1, &uid, error);

	if (rc < 0)
		return rc;
	if (options->allowed_uid_count == SERVE_ALLOWED_UIDS_MAX)
		return error_set(error, E2BIG, "--allow-uid can be given %d times at most",
				 SERVE_ALLOWED_UIDS_MAX);
	options->allowed_uids[options->allowed_uid_count++] = (uid_t)uid;
	return 0;
}

static int set_service(struct serve_command *command, int option, const char *value,
		       struct error *error)
{
	struct serve_options *options = &command->options;
	uint64_t number = 0;
	int rc = 0;

	switch (option) {
	case OPT_ALLOW_UID:
		return add_allowed_uid(options, value, error);
	case OPT_MAX_CONNECTIONS:
		rc = parse_number("--max-connections", value, 1, SERVE_MAX_CONNECTIONS_LIMIT,
				  &number, error);
		options->max_connections = (unsigned int)number;
		return rc;
	case OPT_NO_ANCHOR:
		options->anchor = false;
		return 0;
	case OPT_READY_FD:
		rc = parse_number("--ready-fd", value, 3, INT32_MAX, &number, error);
		options->ready_fd = (int)number;
		return rc;
	case OPT_LOG_LEVEL:
		rc = log_level_from_name(value);
		if (rc < 0)
			return error_set(error, EINVAL,
					 "--log-level is error, warning, info or debug, not "
					 "\"%.40s\"",
					 value);
		command->log_level = (enum log_level)rc;
		return 0;
	case OPT_LOG_JSON:
		command->log_json = true;
		return 0;
	default:
		return -ENOENT;
	}
}

static int set_clones(struct serve_options *options, int option, const char *value,
		      struct error *error)
{
	uint64_t number = 0;
	int rc = 0;

	switch (option) {
	case OPT_MAX_CLONES:
		rc = parse_number("--max-clones", value, 1, SERVE_MAX_CLONES_LIMIT, &number, error);
		options->max_clones = (unsigned int)number;
		return rc;
	case OPT_CLONE_TIMEOUT:
		return parse_duration("--clone-timeout", value, &options->clone_timeout_ms, error);
	case OPT_CLONE_MEMORY:
		return parse_size("--clone-memory", value, &options->clone_memory, error);
	case OPT_KEEP_CLONES:
		options->keep_clones = true;
		return 0;
	default:
		return -ENOENT;
	}
}

static int set_option(struct serve_command *command, int option, const char *value,
		      struct error *error)
{
	int rc = set_template(&command->options, option, value, error);

	if (rc == -ENOENT)
		rc = set_service(command, option, value, error);
	if (rc == -ENOENT)
		rc = set_clones(&command->options, option, value, error);
	return rc;
}

static int finish_options(struct serve_options *options, const struct cli_target *target,
			  struct error *error)
{
	if (!options->stub)
		return error_set(error, EINVAL, "--stub is missing: which guest is to be booted?");
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
	struct serve_command command = {
		.options =
			{
				.machine = {.ram_size = 128ull << 20, .vcpus = 1},
				.boot_timeout_ns = 30000000000ull,
				.max_connections = SERVE_MAX_CONNECTIONS,
				.ready_fd = -1,
				.anchor = true,
			},
		.log_level = LOG_INFO,
	};
	struct cli_target target = {0};
	struct error error = {0};
	int option;
	int status;

	while ((option = cli_option(argc, argv, serve_option_table, &target, &status)) != -1) {
		if (option == CLI_OPTION_EXIT)
			return status;
		if (set_option(&command, option, optarg, &error) < 0)
			return cli_misused("%s", error.text);
	}
	if (optind < argc)
		return cli_misused("\"%.40s\" is one word too many", argv[optind]);
	if (finish_options(&command.options, &target, &error) < 0)
		return cli_misused("%s", error.text);
	log_init(command.log_level, command.log_json || target.json);
	if (serve(&command.options, &error) < 0)
		return cli_complain(CLI_FAILED, "%s", error.text);
	return CLI_OK;
}
