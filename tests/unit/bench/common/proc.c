/* SPDX-License-Identifier: MIT */
/* What the kernel says of a process's CPU time. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/common/proc.h"

/* Use so much CPU time. */
static void spend(clockid_t clock, long long ns)
{
	struct timespec now;

	do
		clock_gettime(clock, &now);
	while (now.tv_sec * 1000000000ll + now.tv_nsec < ns);
}

Test(proc, cpu_time_is_told_apart_by_who_used_it)
{
	struct process_cpu cpu;
	pid_t pid = fork();

	if (pid == 0) {
		spend(CLOCK_PROCESS_CPUTIME_ID, 200000000);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(process_cpu_read(getpid(), &cpu), 0);
	cr_assert_geq(cpu.children_us, 150000);
	cr_assert_lt(cpu.own_us, cpu.children_us);
	spend(CLOCK_PROCESS_CPUTIME_ID, cpu.own_us * 1000 + 100000000);
	cr_assert_eq(process_cpu_read(getpid(), &cpu), 0);
	cr_assert_geq(cpu.own_us, 50000);
}

Test(proc, a_name_with_brackets_and_spaces_is_no_trouble)
{
	struct process_cpu cpu;

	cr_assert_eq(prctl(PR_SET_NAME, ") R 1 (2"), 0);
	spend(CLOCK_PROCESS_CPUTIME_ID, 60000000);
	cr_assert_eq(process_cpu_read(getpid(), &cpu), 0);
	cr_assert_geq(cpu.own_us, 20000);
	cr_assert_lt(cpu.own_us, 60000000);
}

Test(proc, a_process_that_has_gone_has_none)
{
	struct process_cpu cpu;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
	cr_assert_eq(process_cpu_read(pid, &cpu), -ENOENT);
}
