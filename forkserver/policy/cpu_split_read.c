/* SPDX-License-Identifier: MIT */
/* Which CPUs are of one core: see cpu_split_read.h. */
#include "forkserver/policy/cpu_split_read.h"

#include <stdio.h>

#include "forkserver/policy/cpu_split.h"
#include "forkserver/policy/host_file.h"

static unsigned int lowest(const cpu_set_t *set)
{
	unsigned int cpu = 0;

	while (!CPU_ISSET(cpu, set))
		cpu++;
	return cpu;
}

static unsigned int core_of_cpu(const char *root, unsigned int cpu)
{
	char path[128], text[CPU_LIST_SIZE];
	cpu_set_t siblings;

	/* The older name of core_cpus_list, which all kernels have. */
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list",
		 cpu);
	if (!host_file_read(root, path, text, sizeof(text)))
		return cpu;
	return cpu_list_parse(text, &siblings) == 0 ? lowest(&siblings) : cpu;
}

void cpu_split_read_cores(const char *root, const cpu_set_t *all,
			  unsigned int ret_core_of[CPU_SETSIZE])
{
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		ret_core_of[cpu] = CPU_ISSET(cpu, all) ? core_of_cpu(root, cpu) : cpu;
}
