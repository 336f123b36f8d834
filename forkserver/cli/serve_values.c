/* SPDX-License-Identifier: MIT */
/* Values of options of `forkvm serve` that are words of their own. */
#include "forkserver/cli/serve_values.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "forkserver/cli/parse.h"
#include "vmm/base/util.h"

int serve_value_slots(struct machine_config *config, const char *text, struct error *error)
{
	if (!strcmp(text, "auto"))
		config->slots = MACHINE_SLOTS_AUTO;
	else if (!strcmp(text, "all"))
		config->slots = MACHINE_SLOTS_ALL;
	else if (!strcmp(text, "populated"))
		config->slots = MACHINE_SLOTS_POPULATED;
	else
		return error_set(error, EINVAL, "--slots is auto, all or populated, not \"%.40s\"",
				 text);
	return 0;
}

int serve_value_working_set(enum learning_mode *mode, const char *text, struct error *error)
{
	static const char *const names[] = {
		[LEARNING_AUTO] = "auto", [LEARNING_ON] = "on", [LEARNING_OFF] = "off"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]))
			continue;
		*mode = (enum learning_mode)i;
		return 0;
	}
	return error_set(error, EINVAL, "--working-set is auto, on or off, not \"%.40s\"", text);
}

int serve_value_serial(struct serve_serial *serial, const char *text, struct error *error)
{
	uint64_t fd = 0;

	*serial = (struct serve_serial){.kind = SERVE_SERIAL_LOG};
	if (!strcmp(text, "log"))
		return 0;
	if (!strncmp(text, "fd:", 3)) {
		int rc = parse_number("--serial fd:", text + 3, 0, INT32_MAX, &fd, error);

		serial->kind = SERVE_SERIAL_FD;
		serial->fd = (int)fd;
		return rc;
	}
	if (!text[0])
		return error_set(error, EINVAL,
				 "--serial is log, none, stdio, fd:N or the path of a file, and "
				 "not empty");
	if (!strcmp(text, "none"))
		serial->kind = SERVE_SERIAL_NONE;
	else if (!strcmp(text, "stdio"))
		serial->kind = SERVE_SERIAL_STDIO;
	else
		*serial = (struct serve_serial){.kind = SERVE_SERIAL_FILE, .path = text};
	return 0;
}

int serve_value_pattern(struct machine_config *config, const char *text, struct error *error)
{
	size_t len = strlen(text);

	if (!len || len > MACHINE_PATTERN_MAX)
		return error_set(error, EINVAL,
				 "--template-on has %zu bytes where 1 to %u are possible", len,
				 MACHINE_PATTERN_MAX);
	config->template_on = text;
	return 0;
}

int serve_value_marks(struct pool_limits *spares, const char *text, struct error *error)
{
	const char *colon = strchr(text, ':');
	char low[24]; /* more digits than any number that fits */
	uint64_t number = 0;
	int rc;

	snprintf(low, sizeof(low), "%.*s", colon ? (int)(colon - text) : (int)strlen(text), text);
	rc = parse_number("--spares", low, 0, SERVE_MAX_SPARES, &number, error);
	spares->low = spares->high = (uint32_t)number;
	if (rc == 0 && colon)
		rc = parse_number("--spares", colon + 1, spares->low, SERVE_MAX_SPARES, &number,
				  error);
	spares->high = (uint32_t)number;
	return rc;
}

int serve_value_spare_cpus(struct spare_cpus_options *cpus, const char *text, struct error *error)
{
	int rc;

	*cpus = (struct spare_cpus_options){.how = CPU_SPLIT_AUTO};
	if (!strcmp(text, "auto"))
		return 0;
	cpus->how = CPU_SPLIT_NONE;
	if (!strcmp(text, "any"))
		return 0;
	cpus->how = CPU_SPLIT_GIVEN;
	rc = cpu_list_parse(text, &cpus->cpus);
	if (rc == -ERANGE)
		return error_set(error, ERANGE, "--spare-cpus: %s: there is no CPU above %d", text,
				 CPU_SETSIZE - 1);
	if (rc < 0)
		return error_set(error, EINVAL,
				 "--spare-cpus: %s is neither auto nor any nor a list of CPUs, as "
				 "1,4-7",
				 text);
	return 0;
}
