/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/server/cpu_latency.c: what may be in the way of asking. */
#include "forkserver/server/cpu_latency.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct cpu_latency latency;
static struct error error;

static void begin(void)
{
	cpu_latency_init(&latency);
}

TestSuite(cpu_latency, .init = begin);

static void refuses(const char *device, int code, const char *remedy)
{
	cr_assert_eq(cpu_latency_open(&latency, device, 0, &error), -code);
	cr_assert(strstr(error.text, device), "%s", error.text);
	cr_assert(strstr(error.text, "--cpu-latency"), "%s", error.text);
	cr_assert(strstr(error.text, remedy), "%s", error.text);
	cpu_latency_done(&latency);
	cr_assert_eq(latency.fd, -1);
}

Test(cpu_latency, says_that_there_is_no_device)
{
	refuses("/nowhere/cpu_dma_latency", ENOENT, "CONFIG_CPU_IDLE");
}

Test(cpu_latency, says_whose_the_device_is)
{
	char path[] = "/tmp/forkvm-cpu-latency-XXXXXX";
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fchmod(fd, 0), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	refuses(path, EACCES, "root");
	cr_assert_eq(seteuid(getuid()), 0);
	close(fd);
	unlink(path);
}

Test(cpu_latency, notices_a_device_that_takes_no_limit)
{
	refuses("/dev/full", ENOSPC, "No space left");
}

Test(cpu_latency, asks_for_nothing_at_first)
{
	char path[] = "/tmp/forkvm-cpu-latency-XXXXXX";
	int fd = mkstemp(path);
	int32_t limit = 0;

	cr_assert_geq(fd, 0);
	cr_assert_eq(cpu_latency_open(&latency, path, 5, &error), 0, "%s", error.text);
	cr_assert_eq(pread(fd, &limit, sizeof(limit), 0), sizeof(limit));
	cr_assert_eq(limit, -1, "%d", limit);
	cr_assert_not(latency.is_held);
	cpu_latency_done(&latency);
	close(fd);
	unlink(path);
}
