/* SPDX-License-Identifier: MIT */
/* Memory as the kernel accounts for it; see proc.h. */
#include "bench/common/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROC_TEXT_MAX 16384

struct field {
	const char *name; /* with its colon; at the start of a line */
	long *value;
};

/* Read a small /proc file whole. */
static int read_text(const char *path, char *text, size_t capacity)
{
	size_t used = 0;
	ssize_t got = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (used + 1 < capacity && (got = read(fd, text + used, capacity - 1 - used)) > 0)
		used += (size_t)got;
	if (got < 0) {
		int saved = errno;

		close(fd);
		return -saved;
	}
	close(fd);
	text[used] = '\0';
	return 0;
}

/* Fill in the fields that the file has. */
static int read_fields(const char *path, const struct field *fields, size_t count)
{
	char text[PROC_TEXT_MAX];
	int rc = read_text(path, text, sizeof(text));

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(fields[i].name);
		const char *line = text;

		while (line && strncmp(line, fields[i].name, length) != 0) {
			line = strchr(line, '\n');
			line = line ? line + 1 : NULL;
		}
		if (line)
			*fields[i].value = strtol(line + length, NULL, 10);
	}
	return 0;
}

int host_memory_read(struct host_memory *ret)
{
	struct host_memory memory = {-1, -1, -1, -1, -1, -1, -1, -1, -1};
	const struct field fields[] = {
		{"MemAvailable:", &memory.available},
		{"Slab:", &memory.slab},
		{"PageTables:", &memory.page_tables},
		{"SecPageTables:", &memory.sec_page_tables},
		{"KernelStack:", &memory.kernel_stack},
		{"VmallocUsed:", &memory.vmalloc},
		{"Percpu:", &memory.percpu},
		{"AnonPages:", &memory.anonymous},
		{"Shmem:", &memory.shmem},
	};
	int rc = read_fields("/proc/meminfo", fields, sizeof(fields) / sizeof(fields[0]));

	if (rc == 0)
		*ret = memory;
	return rc;
}

int process_memory_read(pid_t pid, struct process_memory *ret)
{
	struct process_memory memory = {-1, -1, -1, -1, -1};
	long private_clean = 0;
	const struct field rollup[] = {
		{"Rss:", &memory.rss},
		{"Pss:", &memory.pss},
		{"Private_Clean:", &private_clean},
		{"Private_Dirty:", &memory.private_dirty},
	};
	const struct field status[] = {{"VmPTE:", &memory.page_tables}};
	char path[64];
	int rc;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	rc = read_fields(path, rollup, sizeof(rollup) / sizeof(rollup[0]));
	if (rc < 0)
		return rc;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	rc = read_fields(path, status, sizeof(status) / sizeof(status[0]));
	if (rc < 0)
		return rc;
	if (memory.rss < 0 || memory.private_dirty < 0)
		return -ESRCH; /* a zombie has no mappings left */
	memory.private = memory.private_dirty + private_clean;
	*ret = memory;
	return 0;
}

int process_cpu_read(pid_t pid, struct process_cpu *ret)
{
	const long long tick_us = 1000000 / sysconf(_SC_CLK_TCK);
	long long children_user, children_kernel;
	char path[64], text[1024];
	struct timespec own;
	const char *rest;
	clockid_t clock;
	int rc;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	rc = read_text(path, text, sizeof(text));
	if (rc < 0)
		return rc;
	/* The name, in brackets, may have anything in it; what follows has not. */
	rest = strrchr(text, ')');
	if (!rest || sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lld %lld",
			    &children_user, &children_kernel) != 2)
		return -EPROTO;
	rc = clock_getcpuclockid(pid, &clock);
	if (rc != 0)
		return -rc;
	if (clock_gettime(clock, &own) < 0)
		return -ESRCH; /* it has ended meanwhile */
	ret->own_us = (long long)own.tv_sec * 1000000 + own.tv_nsec / 1000;
	ret->children_us = (children_user + children_kernel) * tick_us;
	return 0;
}
