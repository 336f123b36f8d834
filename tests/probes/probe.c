/* SPDX-License-Identifier: MIT */
/* What the probes share: checks, skips, children, /proc. */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIP_STATUS 77

static int failures;

static void complain(const char *claim, const char *file, int line, const char *format,
		     va_list arguments)
{
	int saved = errno;

	printf("%s:%d: does not hold: %s: ", file, line, claim);
	vprintf(format, arguments);
	printf(" (errno %d, %s)\n", saved, strerror(saved));
	fflush(stdout);
}

bool probe_check_(bool holds, const char *claim, const char *file, int line, const char *format,
		  ...)
{
	va_list arguments;

	if (holds)
		return true;
	va_start(arguments, format);
	complain(claim, file, line, format, arguments);
	va_end(arguments);
	failures++;
	return false;
}

_Noreturn void probe_end_(const char *claim, const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(claim, file, line, format, arguments);
	va_end(arguments);
	exit(1);
}

void probe_say(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

void probe_skip(const char *format, ...)
{
	va_list arguments;

	printf("skipped: ");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
	exit(SKIP_STATUS);
}

int probe_result(void)
{
	return failures ? 1 : 0;
}

int probe_kvm_open(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		probe_skip("/dev/kvm: %s", strerror(errno));
	return fd;
}

int probe_in_child(int (*body)(void *context), void *context)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	probe_need(pid >= 0, "fork");
	if (pid == 0) {
		failures = 0;
		status = body(context);
		fflush(stdout);
		_exit(status ? status : probe_result());
	}
	probe_need(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

long probe_proc_value(const char *path, const char *name)
{
	size_t length = strlen(name);
	char line[256];
	long value = -1;
	FILE *file = fopen(path, "re");

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, name, length) != 0 || line[length] != ':')
			continue;
		value = strtol(line + length + 1, NULL, 10);
		break;
	}
	fclose(file);
	return value;
}

int probe_memfd(size_t size)
{
	int fd = memfd_create("probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	probe_need(fd >= 0, "memfd_create");
	probe_need(ftruncate(fd, (off_t)size) == 0, "ftruncate to %zu", size);
	return fd;
}
