/* SPDX-License-Identifier: MIT */
/*
 * The options of forkvm serve: from words to struct serve_options.
 */
#include "forkserver/cli/serve_options.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "forkserver/cli/cli.h"
#include "forkserver/cli/disk_options.h"
#include "forkserver/cli/parse.h"
#include "forkserver/cli/serve_values.h"
#include "vmm/base/util.h"

/* A stub boots in milliseconds, a Linux guest in seconds; both may be on a slow host. */
#define BOOT_TIMEOUT_STUB_NS  (30 * NS_PER_SEC)
#define BOOT_TIMEOUT_LINUX_NS (120 * NS_PER_SEC)

/* Options without a short form; the letters of CLI_TARGET_OPTIONS are taken. */
enum {
	OPT_FIRST_ = 0x200,
	OPT_STUB = OPT_FIRST_,
	OPT_ARGS,
	OPT_KERNEL,
	OPT_INITRD,
	OPT_CMDLINE,
	OPT_SERIAL,
	OPT_TEMPLATE_ON,
	OPT_RNG,
	OPT_NO_RNG,
	OPT_MEM,
	OPT_CPUS,
	OPT_MEM_PATH,
	OPT_SLOTS,
	OPT_IRQCHIP,
	OPT_CPUID,
	OPT_BOOT_TIMEOUT,
	OPT_FREEZE_AFTER,
	OPT_DEVICE,
	OPT_DISK,
	OPT_OVERLAY,
	OPT_OVERLAY_LIMIT,
	OPT_NO_IO_URING,
	OPT_ALLOW_UID,
	OPT_MAX_CONNECTIONS,
	OPT_NO_ANCHOR,
	OPT_WORKING_SET,
	OPT_READY_FD,
	OPT_CPU_LATENCY,
	OPT_LOG_LEVEL,
	OPT_LOG_JSON,
	OPT_MAX_CLONES,
	OPT_CLONE_TIMEOUT,
	OPT_CLONE_MEMORY,
	OPT_KEEP_CLONES,
	OPT_SLEEP_AFTER,
	OPT_SPARES,
	OPT_SPARE_AGE,
	OPT_SPARE_MEMORY,
	OPT_SPARE_RATE,
	OPT_SPARE_CPUS,
	OPT_RESET,
	OPT_RESET_MAX,
	OPT_RESET_CHECK,
	OPT_END_
};

static_assert(OPT_END_ - OPT_FIRST_ <= 64, "a bit of serve_command.given for each");

const struct option serve_option_table[] = {
	{"stub", required_argument, NULL, OPT_STUB},
	{"args", required_argument, NULL, OPT_ARGS},
	{"kernel", required_argument, NULL, OPT_KERNEL},
	{"initrd", required_argument, NULL, OPT_INITRD},
	{"cmdline", required_argument, NULL, OPT_CMDLINE},
	{"serial", required_argument, NULL, OPT_SERIAL},
	{"template-on", required_argument, NULL, OPT_TEMPLATE_ON},
	{"rng", no_argument, NULL, OPT_RNG},
	{"no-rng", no_argument, NULL, OPT_NO_RNG},
	{"mem", required_argument, NULL, OPT_MEM},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"mem-path", required_argument, NULL, OPT_MEM_PATH},
	{"slots", required_argument, NULL, OPT_SLOTS},
	{"irqchip", no_argument, NULL, OPT_IRQCHIP},
	{"cpuid", no_argument, NULL, OPT_CPUID},
	{"boot-timeout", required_argument, NULL, OPT_BOOT_TIMEOUT},
	{"freeze-after", required_argument, NULL, OPT_FREEZE_AFTER},
	{"device", required_argument, NULL, OPT_DEVICE},
	{"disk", required_argument, NULL, OPT_DISK},
	{"overlay", required_argument, NULL, OPT_OVERLAY},
	{"overlay-limit", required_argument, NULL, OPT_OVERLAY_LIMIT},
	{"no-io-uring", no_argument, NULL, OPT_NO_IO_URING},
	{"allow-uid", required_argument, NULL, OPT_ALLOW_UID},
	{"max-connections", required_argument, NULL, OPT_MAX_CONNECTIONS},
	{"no-anchor", no_argument, NULL, OPT_NO_ANCHOR},
	{"working-set", required_argument, NULL, OPT_WORKING_SET},
	{"ready-fd", required_argument, NULL, OPT_READY_FD},
	{"cpu-latency", required_argument, NULL, OPT_CPU_LATENCY},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"log-json", no_argument, NULL, OPT_LOG_JSON},
	{"max-clones", required_argument, NULL, OPT_MAX_CLONES},
	{"clone-timeout", required_argument, NULL, OPT_CLONE_TIMEOUT},
	{"clone-memory", required_argument, NULL, OPT_CLONE_MEMORY},
	{"keep-clones", no_argument, NULL, OPT_KEEP_CLONES},
	{"sleep-after", required_argument, NULL, OPT_SLEEP_AFTER},
	{"spares", required_argument, NULL, OPT_SPARES},
	{"spare-age", required_argument, NULL, OPT_SPARE_AGE},
	{"spare-memory", required_argument, NULL, OPT_SPARE_MEMORY},
	{"spare-rate", required_argument, NULL, OPT_SPARE_RATE},
	{"spare-cpus", required_argument, NULL, OPT_SPARE_CPUS},
	{"reset", no_argument, NULL, OPT_RESET},
	{"reset-max", required_argument, NULL, OPT_RESET_MAX},
	{"reset-check", no_argument, NULL, OPT_RESET_CHECK},
	CLI_TARGET_OPTIONS,
	{0},
};

/* What makes sense with one kind of guest only. */
static const struct {
	int option;
	bool linux_only;
	const char *complaint;
} kinds[] = {
	{OPT_ARGS, false, "--args is for stubs: a Linux guest takes --cmdline"},
	{OPT_INITRD, true, "--initrd is for Linux guests (--kernel)"},
	{OPT_CMDLINE, true, "--cmdline is for Linux guests (--kernel): a stub takes --args"},
	{OPT_SERIAL, true, "--serial is for Linux guests (--kernel): a stub has no serial port"},
	{OPT_TEMPLATE_ON, true,
	 "--template-on is for Linux guests (--kernel): a stub has no serial port"},
};

static bool was_given(const struct serve_command *command, int option)
{
	return command->given >> (option - OPT_FIRST_) & 1;
}

/* Which guest, and what only one kind of it has. */
static int set_guest(struct serve_options *options, int option, const char *value,
		     struct error *error)
{
	switch (option) {
	case OPT_STUB:
		options->stub = value;
		return 0;
	case OPT_ARGS:
		options->args = value;
		return 0;
	case OPT_KERNEL:
		options->guest.kernel = value;
		return 0;
	case OPT_INITRD:
		options->guest.initrd = value;
		return 0;
	case OPT_CMDLINE:
		options->guest.cmdline = value;
		return 0;
	case OPT_SERIAL:
		return serve_value_serial(&options->serial, value, error);
	case OPT_TEMPLATE_ON:
		return serve_value_pattern(&options->machine, value, error);
	case OPT_RNG:
	case OPT_NO_RNG:
		options->machine.rng = option == OPT_RNG;
		return 0;
	default:
		return -ENOENT;
	}
}

static int set_time(const char *option, const char *value, uint64_t *ns, struct error *error)
{
	uint64_t ms = 0;
	int rc = parse_duration(option, value, &ms, error);

	*ns = ms * NS_PER_MS;
	return rc;
}

static int set_template(struct serve_options *options, int option, const char *value,
			struct error *error)
{
	uint64_t number = 0;
	int rc = 0;

	switch (option) {
	case OPT_MEM:
		return parse_size("--mem", value, &options->machine.ram_size, error);
	case OPT_CPUS:
		/* What is too many is for the machine to say. */
		rc = parse_number("--cpus", value, 0, UINT32_MAX, &number, error);
		options->machine.vcpus = (unsigned int)number;
		return rc;
	case OPT_MEM_PATH:
		options->machine.mem_path = value;
		return 0;
	case OPT_SLOTS:
		return serve_value_slots(&options->machine, value, error);
	case OPT_IRQCHIP:
		options->machine.force_irqchip = true;
		return 0;
	case OPT_CPUID:
		options->machine.force_cpuid = true;
		return 0;
	case OPT_BOOT_TIMEOUT:
		return set_time("--boot-timeout", value, &options->boot_timeout_ns, error);
	case OPT_FREEZE_AFTER:
		return set_time("--freeze-after", value, &options->freeze_after_ns, error);
	case OPT_DEVICE:
		options->device = value;
		return 0;
	default:
		return -ENOENT;
	}
}

static int set_disks(struct serve_disks *disks, int option, const char *value, struct error *error)
{
	switch (option) {
	case OPT_DISK:
		return disk_options_add(disks, value, error);
	case OPT_OVERLAY:
		return disk_options_set_overlay(disks, value, error);
	case OPT_OVERLAY_LIMIT:
		return disk_options_set_limit(disks, value, error);
	case OPT_NO_IO_URING:
		disks->no_io_uring = true;
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
	case OPT_WORKING_SET:
		return serve_value_working_set(&options->working_set, value, error);
	case OPT_READY_FD:
		rc = parse_number("--ready-fd", value, 3, INT32_MAX, &number, error);
		options->ready_fd = (int)number;
		return rc;
	case OPT_CPU_LATENCY:
		rc = parse_number("--cpu-latency", value, 0, SERVE_CPU_LATENCY_MAX_US, &number,
				  error);
		options->cpu_latency_us = (int32_t)number;
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
	case OPT_SLEEP_AFTER:
		rc = parse_duration("--sleep-after", value, &number, error);
		options->sleep_after_ms = (uint32_t)min_u64(number, INT32_MAX);
		return rc;
	default:
		return -ENOENT;
	}
}

static int set_spares(struct serve_options *options, int option, const char *value,
		      struct error *error)
{
	struct pool_limits *spares = &options->spares;
	uint64_t number = 0;
	int rc;

	switch (option) {
	case OPT_SPARES:
		return serve_value_marks(spares, value, error);
	case OPT_SPARE_AGE:
		return set_time("--spare-age", value, &spares->age_ns, error);
	case OPT_SPARE_MEMORY:
		return parse_size("--spare-memory", value, &spares->memory, error);
	case OPT_SPARE_RATE:
		rc = parse_number("--spare-rate", value, 1, 1000000, &number, error);
		spares->rate = (uint32_t)number;
		return rc;
	case OPT_SPARE_CPUS:
		return serve_value_spare_cpus(&options->spare_cpus, value, error);
	case OPT_RESET:
		options->reset = options->machine.resettable = true;
		return 0;
	case OPT_RESET_MAX:
		rc = parse_number("--reset-max", value, 1, UINT32_MAX, &number, error);
		options->reset_max = (uint32_t)number;
		return rc;
	case OPT_RESET_CHECK:
		options->reset_check = true;
		return 0;
	default:
		return -ENOENT;
	}
}

void serve_options_init(struct serve_command *command)
{
	*command = (struct serve_command){
		.options =
			{
				.machine = {.ram_size = 128 * MIB, .vcpus = 1},
				.max_connections = SERVE_MAX_CONNECTIONS,
				.ready_fd = -1,
				.cpu_latency_us = -1,
				.anchor = true,
				.reset_max = SERVE_RESET_MAX,
			},
		.log_level = LOG_INFO,
	};
}

int serve_options_set(struct serve_command *command, int option, const char *value,
		      struct error *error)
{
	int rc = set_guest(&command->options, option, value, error);

	if (rc == -ENOENT)
		rc = set_template(&command->options, option, value, error);
	if (rc == -ENOENT)
		rc = set_disks(&command->options.disks, option, value, error);
	if (rc == -ENOENT)
		rc = set_service(command, option, value, error);
	if (rc == -ENOENT)
		rc = set_clones(&command->options, option, value, error);
	if (rc == -ENOENT)
		rc = set_spares(&command->options, option, value, error);
	command->given |= 1ull << (option - OPT_FIRST_);
	return rc;
}

int serve_options_finish(struct serve_command *command, struct error *error)
{
	struct serve_options *options = &command->options;
	bool is_linux = options->guest.kernel;

	if (!options->stub && !is_linux)
		return error_set(error, EINVAL,
				 "--stub or --kernel is missing: which guest is to be booted?");
	if (options->stub && is_linux)
		return error_set(error, EINVAL, "give --stub or --kernel, not both");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].linux_only != is_linux && was_given(command, kinds[i].option))
			return error_set(error, EINVAL, "%s", kinds[i].complaint);
	}
	if (!options->spares.high &&
	    (was_given(command, OPT_SPARE_AGE) || was_given(command, OPT_SPARE_MEMORY) ||
	     was_given(command, OPT_SPARE_RATE) || was_given(command, OPT_SPARE_CPUS) ||
	     options->reset))
		return error_set(error, EINVAL,
				 "--spare-age, --spare-memory, --spare-rate, --spare-cpus and "
				 "--reset are for servers that keep spares (--spares)");
	if (!options->reset && (options->reset_check || was_given(command, OPT_RESET_MAX)))
		return error_set(error, EINVAL,
				 "--reset-max and --reset-check are for servers that reset clones "
				 "(--reset)");
	if (was_given(command, OPT_RNG) && was_given(command, OPT_NO_RNG))
		return error_set(error, EINVAL, "give --rng or --no-rng, not both");
	if (!options->disks.count &&
	    (was_given(command, OPT_OVERLAY) || was_given(command, OPT_OVERLAY_LIMIT)))
		return error_set(error, EINVAL,
				 "--overlay and --overlay-limit are for disks, and no --disk is "
				 "given");
	if (disk_options_finish(&options->disks, error) < 0)
		return -error->code;
	/* Linux has a driver for it and waits for randomness early; a stub would not look at it. */
	if (is_linux && !was_given(command, OPT_NO_RNG))
		options->machine.rng = true;
	if (!was_given(command, OPT_BOOT_TIMEOUT))
		options->boot_timeout_ns = is_linux ? BOOT_TIMEOUT_LINUX_NS : BOOT_TIMEOUT_STUB_NS;
	return 0;
}
