/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/policy/limits.c. */
#include "forkserver/policy/limits.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/util.h"

/* A stub of 64 MiB, most of it without a memslot, where KVM shadows page tables. */
static const struct limits_clone stub = {
	.vcpus = 1,
	.kernel_tasks = 1,
	.ram_size = 64 * MIB,
	.slot_bytes = 4 * MIB,
	.reverse_map_bytes = 2560,
	.base_kib = 600,
};

static struct limits_readings readings;
static struct limits_verdict verdict;
static char text[LIMITS_TEXT_SIZE];

/* Nothing is limited but what a test says. */
static void set_up(void)
{
	readings = (struct limits_readings){.cgroup_pids = "/c/pids.max",
					    .cgroup_memory = "/c/memory.max"};
	for (unsigned int kind = 0; kind < LIMITS_COUNT_; kind++)
		readings.pools[kind].limit = UINT64_MAX;
}

TestSuite(limits, .init = set_up);

static uint64_t judge(enum limits_kind kind, uint64_t limit, uint64_t used)
{
	readings.pools[kind] = (struct limits_pool){limit, used};
	limits_judge(&readings, &stub, &verdict);
	return verdict.clones[kind];
}

Test(limits, none)
{
	limits_judge(&readings, &stub, &verdict);
	for (unsigned int kind = 0; kind < LIMITS_COUNT_; kind++)
		cr_assert_eq(verdict.clones[kind], UINT64_MAX);
	cr_assert_eq(limits_clones(&verdict), UINT64_MAX);
}

Test(limits, each_by_what_a_clone_takes_of_it)
{
	cr_assert_eq(judge(LIMITS_OPEN_FILES, 20000, 1344), 18656);
	cr_assert_eq(judge(LIMITS_PID_MAX, 32768, 268), 16250, "a process and KVM's worker");
	cr_assert_eq(judge(LIMITS_THREADS_MAX, 1001, 0), 500, "not half a clone");
	cr_assert_eq(judge(LIMITS_USER_TASKS, 10, 0), 5);
	cr_assert_eq(judge(LIMITS_CGROUP_PIDS, 10, 4), 3);
	cr_assert_eq(judge(LIMITS_FILE_MAX, 1000, 500), 100);
	cr_assert_eq(judge(LIMITS_MEMORY, 62000, 1000), 100, "610 KiB, of it 10 for reverse maps");
	cr_assert_eq(judge(LIMITS_CGROUP_MEMORY, 6100, 0), 10);
	cr_assert_eq(judge(LIMITS_COMMIT, 65 * 1024 * 7, 0), 7, "the whole RAM counts");
	cr_assert_eq(limits_clones(&verdict), 3);
	cr_assert_eq(verdict.tightest, LIMITS_CGROUP_PIDS);
}

Test(limits, threads_count)
{
	struct limits_clone clone = stub;

	clone.vcpus = 4;
	clone.further_threads = 4;
	clone.kernel_tasks = 2;
	readings.pools[LIMITS_PID_MAX].limit = 70;
	readings.pools[LIMITS_FILE_MAX].limit = 80;
	limits_judge(&readings, &clone, &verdict);
	cr_assert_eq(verdict.clones[LIMITS_PID_MAX], 10);
	cr_assert_eq(verdict.clones[LIMITS_FILE_MAX], 10);
	cr_assert_eq(verdict.tightest, LIMITS_PID_MAX, "the first of two that are equal");
}

Test(limits, used_up)
{
	cr_assert_eq(judge(LIMITS_PID_MAX, 100, 100), 0);
	cr_assert_eq(judge(LIMITS_PID_MAX, 100, 200), 0, "lowered below what there is");
	cr_assert_eq(judge(LIMITS_PID_MAX, 0, 0), 0);
	cr_assert_eq(limits_clones(&verdict), 0);
}

Test(limits, in_words)
{
	judge(LIMITS_PID_MAX, 32768, 268);
	limits_describe(&readings, &verdict, LIMITS_PID_MAX, text);
	cr_assert_str_eq(text, "32768, of which 268 are taken; a clone takes 2");
	limits_describe(&readings, &verdict, LIMITS_MEMORY, text);
	cr_assert_str_eq(text, "unlimited");
	judge(LIMITS_MEMORY, 62000, 1000);
	limits_describe(&readings, &verdict, LIMITS_MEMORY, text);
	cr_assert_str_eq(text, "62000 KiB, of which 1000 are taken; a clone takes about 610 KiB");
}

Test(limits, each_has_names_and_a_remedy)
{
	for (unsigned int kind = 0; kind < LIMITS_COUNT_; kind++) {
		limits_remedy(&readings, (enum limits_kind)kind, text);
		cr_assert_gt(strlen(text), 10);
		cr_assert_gt(strlen(limits_name((enum limits_kind)kind)), 5);
		cr_assert_gt(strlen(limits_key((enum limits_kind)kind)), 5);
	}
}

Test(limits, the_cgroups_file_is_named)
{
	limits_remedy(&readings, LIMITS_CGROUP_PIDS, text);
	cr_assert_str_eq(text, "echo max >/c/pids.max (systemd: TasksMax=infinity)");
	limits_remedy(&readings, LIMITS_CGROUP_MEMORY, text);
	cr_assert_str_eq(text, "echo max >/c/memory.max (systemd: MemoryMax=infinity)");
	snprintf(readings.cgroup_memory, LIMITS_PATH_SIZE, "/c/memory.limit_in_bytes");
	limits_remedy(&readings, LIMITS_CGROUP_MEMORY, text);
	cr_assert_str_eq(text, "echo -1 >/c/memory.limit_in_bytes (systemd: MemoryMax=infinity)");
}
