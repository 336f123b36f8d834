/* SPDX-License-Identifier: MIT */
/* Which CPUs make spares: see cpu_split.h. */
#include "forkserver/policy/cpu_split.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Read a CPU's number, and move on. -errno. */
static int take_number(const char **text, unsigned int *ret)
{
	char *end;
	long number;

	if (!isdigit((unsigned char)**text))
		return -EINVAL;
	errno = 0;
	number = strtol(*text, &end, 10);
	if (errno || number >= CPU_SETSIZE)
		return -ERANGE;
	*text = end;
	*ret = (unsigned int)number;
	return 0;
}

int cpu_list_parse(const char *text, cpu_set_t *ret)
{
	unsigned int first, last;
	int rc;

	CPU_ZERO(ret);
	for (;; text++) {
		rc = take_number(&text, &first);
		if (rc < 0)
			return rc;
		last = first;
		if (*text == '-') {
			text++;
			rc = take_number(&text, &last);
		}
		if (rc < 0)
			return rc;
		if (last < first)
			return -EINVAL;
		for (unsigned int cpu = first; cpu <= last; cpu++)
			CPU_SET(cpu, ret);
		if (*text != ',')
			break;
	}
	return *text == '\0' || (*text == '\n' && text[1] == '\0') ? 0 : -EINVAL;
}

const char *cpu_list_print(const cpu_set_t *set, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE && used < size; cpu++) {
		unsigned int first = cpu;

		if (!CPU_ISSET(cpu, set))
			continue;
		while (cpu + 1 < CPU_SETSIZE && CPU_ISSET(cpu + 1, set))
			cpu++;
		used += (size_t)snprintf(text + used, size - used, "%s%u", used ? "," : "", first);
		if (cpu > first && used < size)
			used += (size_t)snprintf(text + used, size - used, "-%u", cpu);
	}
	return text;
}

/* What is not making serves. False when one of the two has nothing. */
static bool complete(const cpu_set_t *all, struct cpu_split *split)
{
	split->all = *all;
	CPU_XOR(&split->serving, all, &split->making);
	return CPU_COUNT(&split->making) && CPU_COUNT(&split->serving);
}

/* The order of cores is that of their first CPUs. */
bool cpu_split_by_core(const cpu_set_t *all, const unsigned int core_of[CPU_SETSIZE],
		       struct cpu_split *ret)
{
	unsigned int
		name[CPU_SETSIZE]; /* which core is which, in the order of their first CPUs here */
	unsigned int cores = 0, cpus = 0;

	CPU_ZERO(&ret->making);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		unsigned int earlier = 0;

		if (!CPU_ISSET(cpu, all))
			continue;
		while (!CPU_ISSET(earlier, all) || core_of[earlier] != core_of[cpu])
			earlier++;
		name[cpu] = earlier < cpu ? name[earlier] : cores++;
	}
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, all) && (cores > 1 ? name[cpu] : cpus++) % 2)
			CPU_SET(cpu, &ret->making);
	}
	return complete(all, ret);
}

bool cpu_split_as_given(const cpu_set_t *all, const cpu_set_t *making, struct cpu_split *ret)
{
	cpu_set_t both;

	CPU_AND(&both, all, making);
	if (!CPU_EQUAL(&both, making))
		return false;
	ret->making = *making;
	return complete(all, ret);
}
