/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/policy/limits_read.c: hosts made of files in a folder. */
#include "forkserver/policy/limits_read.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/forkserver/policy/host.h"

static struct limits_readings readings;

TestSuite(limits_read, .init = host_set_up, .fini = host_tear_down);

static void expect(enum limits_kind kind, uint64_t limit, uint64_t used)
{
	limits_read(host_root, &readings);
	cr_assert_eq(readings.pools[kind].limit, limit, "%s: limit %lu", limits_key(kind),
		     readings.pools[kind].limit);
	cr_assert_eq(readings.pools[kind].used, used, "%s: used %lu", limits_key(kind),
		     readings.pools[kind].used);
}

Test(limits_read, nothing_can_be_read)
{
	limits_read(host_root, &readings);
	for (unsigned int kind = LIMITS_CGROUP_PIDS; kind < LIMITS_COUNT_; kind++)
		cr_assert_eq(readings.pools[kind].limit, UINT64_MAX);
	cr_assert_eq(readings.pools[LIMITS_PID_MAX].limit, UINT64_MAX);
	cr_assert(limits_read_has_worker(host_root), "as kernels without that parameter do");
}

Test(limits_read, this_host)
{
	limits_read("", &readings);
	cr_assert_lt(readings.pools[LIMITS_PID_MAX].limit, 1u << 23);
	cr_assert_gt(readings.pools[LIMITS_PID_MAX].used, 1);
	cr_assert_gt(readings.pools[LIMITS_MEMORY].limit, readings.pools[LIMITS_MEMORY].used);
	cr_assert_gt(readings.pools[LIMITS_FILE_MAX].used, 0);
}

Test(limits_read, sysctls_and_memory)
{
	host_put("/proc/sys/kernel/pid_max", "32768\n");
	host_put("/proc/sys/kernel/threads-max", "9000\n");
	host_put("/proc/loadavg", "0.25 0.70 1.12 3/290 4711\n");
	host_put("/proc/sys/fs/file-max", "5000\n");
	host_put("/proc/sys/fs/file-nr", "1200\t0\t5000\n");
	host_put("/proc/meminfo",
		 "MemTotal:        1000 kB\nMemFree:  1 kB\nMemAvailable:     600 kB\n"
		 "CommitLimit: 500 kB\nCommitted_AS: 300 kB\n");
	host_put("/proc/sys/vm/overcommit_memory", "0\n");
	expect(LIMITS_PID_MAX, 32768, 290 + 300);
	expect(LIMITS_THREADS_MAX, 9000, 290);
	expect(LIMITS_FILE_MAX, 5000, 1200);
	expect(LIMITS_MEMORY, 1000, 400);
	expect(LIMITS_COMMIT, UINT64_MAX, 0);
	host_put("/proc/sys/vm/overcommit_memory", "2\n");
	expect(LIMITS_COMMIT, 500, 300);
}

Test(limits_read, limits_of_the_process)
{
	const struct rlimit files = {100, 5000}, tasks = {50, 60};

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
	cr_assert_eq(setrlimit(RLIMIT_NPROC, &tasks), 0);
	/* Root of a user namespace, or no root: limited. */
	host_put("/proc/self/uid_map", "         0     100000      65536\n");
	expect(LIMITS_OPEN_FILES, 5000, 0);
	expect(LIMITS_USER_TASKS, 60, 0);
	host_put("/proc/self/uid_map", "         0          0 4294967295\n");
	expect(LIMITS_USER_TASKS, getuid() == 0 ? UINT64_MAX : 60, 0);
}

Test(limits_read, cgroups_of_version_2)
{
	host_put("/proc/self/cgroup", "0::/a/b\n");
	host_put("/proc/self/mountinfo", "20 1 0:5 / / rw - ext4 /dev/vda rw\n"
					 "31 20 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 "
					 "cgroup2 rw,nsdelegate\n");
	host_put("/sys/fs/cgroup/a/b/pids.max", "max\n");
	host_put("/sys/fs/cgroup/a/b/pids.current", "3\n");
	expect(LIMITS_CGROUP_PIDS, UINT64_MAX, 0);
	/* An ancestor's limit holds too. */
	host_put("/sys/fs/cgroup/a/pids.max", "100\n");
	host_put("/sys/fs/cgroup/a/pids.current", "40\n");
	expect(LIMITS_CGROUP_PIDS, 100, 40);
	host_put("/sys/fs/cgroup/a/b/pids.max", "50\n");
	expect(LIMITS_CGROUP_PIDS, 50, 3);
	cr_assert_str_eq(readings.cgroup_pids, "/sys/fs/cgroup/a/b/pids.max");
}

Test(limits_read, the_tightest_file_is_named)
{
	host_put("/proc/self/cgroup", "0::/a\n");
	host_put("/proc/self/mountinfo", "31 20 0:28 / /cg rw - cgroup2 cgroup2 rw\n");
	host_put("/cg/a/memory.max", "10485760\n");
	host_put("/cg/a/memory.current", "2097152\n");
	host_put("/cg/a/memory.stat", "anon 1\ninactive_file 1048576\nactive_file 5\n");
	expect(LIMITS_CGROUP_MEMORY, 10240, 1024);
	cr_assert_str_eq(readings.cgroup_memory, "/cg/a/memory.max");
}

Test(limits_read, cgroups_of_version_1)
{
	host_put("/proc/self/cgroup", "8:pids:/\n4:cpu,memory:/docker/x\n0::/\n");
	host_put("/proc/self/mountinfo",
		 "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,cpu,memory\n"
		 "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
		 "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
	host_put("/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "4194304\n");
	host_put("/sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes", "1048576\n");
	host_put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	host_put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1048576\n");
	expect(LIMITS_CGROUP_MEMORY, 4096, 1024);
	cr_assert_str_eq(readings.cgroup_memory,
			 "/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes");
	expect(LIMITS_CGROUP_PIDS, UINT64_MAX, 0);
	host_put("/sys/fs/cgroup/pids/pids.max", "77\n");
	host_put("/sys/fs/cgroup/pids/pids.current", "7\n");
	expect(LIMITS_CGROUP_PIDS, 77, 7);
}

Test(limits_read, a_container_that_sees_its_own_part)
{
	host_put("/proc/self/cgroup", "0::/pod/c\n");
	host_put("/proc/self/mountinfo", "31 20 0:28 /pod/c /cg rw - cgroup2 cgroup2 rw\n");
	host_put("/cg/pids.max", "12\n");
	host_put("/cg/pids.current", "2\n");
	expect(LIMITS_CGROUP_PIDS, 12, 2);
	cr_assert_str_eq(readings.cgroup_pids, "/cg/pids.max");
}

Test(limits_read, nonsense)
{
	host_put("/proc/self/cgroup", "\n::\nx\n0::\n");
	host_put("/proc/self/mountinfo", "- \n - cgroup2\n1 2 - cgroup2 a b\n");
	host_put("/proc/sys/kernel/pid_max", "many\n");
	host_put("/proc/loadavg", "");
	host_put("/proc/meminfo", "\n\n");
	limits_read(host_root, &readings);
	cr_assert_eq(readings.pools[LIMITS_CGROUP_PIDS].limit, UINT64_MAX);
	cr_assert_eq(readings.pools[LIMITS_PID_MAX].limit, UINT64_MAX);
}

Test(limits_read, workers)
{
	host_put("/sys/module/kvm/parameters/nx_huge_pages", "Y\n");
	cr_assert(limits_read_has_worker(host_root));
	host_put("/sys/module/kvm/parameters/nx_huge_pages", "never\n");
	cr_assert_not(limits_read_has_worker(host_root));
}
