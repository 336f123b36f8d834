/* SPDX-License-Identifier: MIT */
/* Which CPUs are of one core: see cpu_split_read.h. */
#include "forkserver/policy/cpu_split_read.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "forkserver/policy/cpu_split.h"
#include "forkserver/policy/limits.h"
#include "vmm/base/cleanup.h"

static unsigned int lowest(const cpu_set_t *set)
{
	unsigned int cpu = 0;

	while (!CPU_ISSET(cpu, set))
		cpu++;
	return cpu;
}

static unsigned int core_of_cpu(const char *root, unsigned int cpu)
{
	char path[LIMITS_PATH_SIZE + 64], text[CPU_LIST_SIZE];
	_cleanup_close_ int fd = -1;
	cpu_set_t siblings;
	ssize_t len = -1;

	/* The older name of core_cpus_list, which all kernels have. */
	snprintf(path, sizeof(path),
		 "%s/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", root, cpu);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		len = read(fd, text, sizeof(text) - 1);
	if (len <= 0)
		return cpu;
	text[len] = '\0';
	return cpu_list_parse(text, &siblings) == 0 ? lowest(&siblings) : cpu;
}

void cpu_split_read_cores(const char *root, const cpu_set_t *all,
			  unsigned int ret_core_of[CPU_SETSIZE])
{
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		ret_core_of[cpu] = CPU_ISSET(cpu, all) ? core_of_cpu(root, cpu) : cpu;
}
