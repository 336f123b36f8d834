/* SPDX-License-Identifier: MIT */
/* Which QEMU. See qemu.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/peer/qemu.h"

/* The path of a program in PATH. */
static bool find_in_path(const char *name, char ret[PATH_MAX])
{
	const char *at = getenv("PATH");

	for (at = at ? at : "/usr/bin:/bin"; *at; at += *at == ':') {
		int length = (int)strcspn(at, ":");

		snprintf(ret, PATH_MAX, "%.*s/%s", length, at, name);
		if (access(ret, X_OK) == 0)
			return true;
		at += length;
	}
	return false;
}

/* Does this QEMU have the machine microvm? */
static bool has_microvm(const char *program)
{
	char command[PATH_MAX + 64], line[256];
	bool found = false;
	FILE *output;

	if (strchr(program, '\''))
		return false;
	snprintf(command, sizeof(command), "exec '%s' -M help 2>/dev/null", program);
	output = popen(command, "re"); /* NOLINT(cert-env33-c): a path from the user's own PATH */
	while (output && fgets(line, sizeof(line), output))
		found = found || strncmp(line, "microvm ", 8) == 0;
	if (output)
		pclose(output);
	return found;
}

int qemu_find(struct qemu *qemu)
{
	const char *wanted = qemu->options->qemu;

	if (wanted && strchr(wanted, '/')) {
		snprintf(qemu->program, sizeof(qemu->program), "%s", wanted);
		if (access(wanted, X_OK) < 0) {
			fprintf(stderr, "clone_storm: --qemu %s: %s\n", wanted, strerror(errno));
			return -1;
		}
	} else if (wanted ? !find_in_path(wanted, qemu->program)
			  : !find_in_path("qemu-system-x86_64-microvm", qemu->program) &&
				    !find_in_path("qemu-system-x86_64", qemu->program)) {
		fprintf(stderr,
			"clone_storm: --peer qemu: no program %s in PATH (Debian's package "
			"qemu-system-x86 has it)\n",
			wanted ? wanted : "qemu-system-x86_64-microvm or qemu-system-x86_64");
		return -1;
	}
	qemu->has_microvm = has_microvm(qemu->program);
	return 0;
}
