/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/policy/cpu_split.c and cpu_split_read.c. */
#include "forkserver/policy/cpu_split.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "forkserver/policy/cpu_split_read.h"
#include "tests/unit/forkserver/policy/host.h"
#include "vmm/base/util.h"

static char text[256];
static cpu_set_t all;
static struct cpu_split split;
static unsigned int core_of[CPU_SETSIZE];

static const cpu_set_t *list(const char *words)
{
	static cpu_set_t set;

	cr_assert_eq(cpu_list_parse(words, &set), 0, "%s", words);
	return &set;
}

static const char *print(const cpu_set_t *set)
{
	return cpu_list_print(set, text, sizeof(text));
}

/* A host with these CPUs, of which each core has so many, in the order of their numbers. */
static bool divide(const char *cpus, unsigned int each)
{
	all = *list(cpus);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		core_of[cpu] = cpu - cpu % each;
	return cpu_split_by_core(&all, core_of, &split);
}

static void expect(const char *making, const char *serving)
{
	cr_assert_str_eq(print(&split.making), making, "making %s", text);
	cr_assert_str_eq(print(&split.serving), serving, "serving %s", text);
	cr_assert(CPU_EQUAL(&split.all, &all));
}

Test(cpu_list, there_and_back)
{
	static const char *const lists[] = {"0", "0-1", "3", "0,2,4", "0-3,8", "1,5-7,1023"};
	static const char *const bad[] = {"",	 "-",	"x",   "1-", "-1",	"1,", ",1",
					  "1;2", "2-1", "1 2", " 1", "0-1\n\n", "+1"};
	static const char *const large[] = {"1024", "0-1024", "99999999999999999999"};
	cpu_set_t set;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		cr_assert_str_eq(print(list(lists[i])), lists[i]);
	cr_assert_str_eq(print(list("3,1,2,2-4")), "1-4");
	cr_assert_str_eq(print(list("0-1\n")), "0-1", "as files of sysfs end");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(cpu_list_parse(bad[i], &set), -EINVAL, "\"%s\"", bad[i]);
	for (size_t i = 0; i < ARRAY_SIZE(large); i++)
		cr_assert_eq(cpu_list_parse(large[i], &set), -ERANGE, "\"%s\"", large[i]);
}

Test(cpu_list, too_long_to_print)
{
	char small[8];

	cr_assert_str_eq(cpu_list_print(list("0,2,4,6,8"), small, sizeof(small)), "0,2,4,6");
	cr_assert_str_eq(cpu_list_print(list("10-20,30"), small, 4), "10-");
	CPU_ZERO(&all);
	cr_assert_str_eq(print(&all), "");
}

Test(cpu_split, every_second_core)
{
	cr_assert(divide("0-1", 1));
	expect("1", "0");
	cr_assert(divide("0-2", 1));
	expect("1", "0,2");
	cr_assert(divide("0-7", 2));
	expect("2-3,6-7", "0-1,4-5");
	cr_assert(divide("3,5,9", 1), "those that a cpuset leaves");
	expect("5", "3,9");
}

Test(cpu_split, siblings_that_are_far_apart)
{
	all = *list("0-7");
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		core_of[cpu] = cpu % 4;
	cr_assert(cpu_split_by_core(&all, core_of, &split));
	expect("1,3,5,7", "0,2,4,6");
	/* The lowest of each core is not among them. */
	all = *list("4-7");
	cr_assert(cpu_split_by_core(&all, core_of, &split));
	expect("5,7", "4,6");
}

Test(cpu_split, one_core)
{
	cr_assert(divide("0-1", 2), "its CPUs are better than nothing");
	expect("1", "0");
	cr_assert_not(divide("0", 1));
	cr_assert_not(divide("7", 8));
}

Test(cpu_split, as_given)
{
	cpu_set_t making;

	all = *list("0-7");
	making = *list("2,4-5");
	cr_assert(cpu_split_as_given(&all, &making, &split));
	expect("2,4-5", "0-1,3,6-7");
	making = *list("7-8");
	cr_assert_not(cpu_split_as_given(&all, &making, &split), "one that is not there");
	cr_assert_not(cpu_split_as_given(&all, &all, &split), "none would serve");
}

static void put_siblings(unsigned int cpu, const char *siblings)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list",
		 cpu);
	host_put(path, siblings);
}

Test(cpu_split, cores_of_a_host, .init = host_set_up, .fini = host_tear_down)
{
	put_siblings(0, "0,2\n");
	put_siblings(1, "1,3\n");
	put_siblings(2, "0,2\n");
	put_siblings(3, "nonsense\n");
	all = *list("0-4");
	cpu_split_read_cores(host_root, &all, core_of);
	cr_assert_eq(core_of[0], 0);
	cr_assert_eq(core_of[1], 1);
	cr_assert_eq(core_of[2], 0);
	cr_assert_eq(core_of[3], 3, "what cannot be read is a core");
	cr_assert_eq(core_of[4], 4, "and what is not there");
}

Test(cpu_split, cores_of_this_host)
{
	cr_assert_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	cpu_split_read_cores("", &all, core_of);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		cr_assert(core_of[cpu] <= cpu);
}
