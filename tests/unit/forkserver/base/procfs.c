/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/base/procfs.c. */
#include "forkserver/base/procfs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "forkserver/base/gate.h"
#include "tests/unit/helper.h"
#include "vmm/base/util.h"

static void set_up(void)
{
	cr_assert_eq(gate_init(), 0);
}

TestSuite(procfs, .init = set_up);

Test(procfs, memory_of_this_process)
{
	struct process_memory before, after;
	uint64_t bytes_before = 0, bytes_after = 0;
	uint8_t *memory;

	cr_assert_eq(procfs_memory(getpid(), &before), 0);
	cr_assert_gt(before.rss_kib, 0);
	cr_assert_leq(before.pss_kib, before.rss_kib);
	cr_assert_leq(before.private_kib, before.rss_kib);
	cr_assert_gt(before.page_tables_kib, 0);
	cr_assert_eq(procfs_private_bytes(getpid(), &bytes_before), 0);

	memory = mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(memory, MAP_FAILED);
	memset(memory, 1, 64 * MIB);
	cr_assert_eq(procfs_memory(getpid(), &after), 0);
	cr_assert_geq(after.private_kib, before.private_kib + 60 * 1024);
	cr_assert_eq(procfs_private_bytes(getpid(), &bytes_after), 0);
	cr_assert_geq(bytes_after, bytes_before + 60 * MIB);
	munmap(memory, 64 * MIB);
}

Test(procfs, no_such_process)
{
	struct process_memory memory;
	uint64_t bytes;

	cr_assert_lt(procfs_memory(1 << 30, &memory), 0);
	cr_assert_lt(procfs_private_bytes(1 << 30, &bytes), 0);
}

Test(procfs, descriptors_are_counted)
{
	int before = procfs_count_descriptors(), fds[300];

	cr_assert_eq(before, helper_count_fds());
	/* More than one reading of the folder gives. */
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = dup(0);
	cr_assert_eq(procfs_count_descriptors(), before + (int)ARRAY_SIZE(fds));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	cr_assert_eq(procfs_count_descriptors(), before);
}

/* A file in place of /proc/vmstat. */
static int oom_kills_of(const char *text, uint64_t *ret)
{
	char path[HELPER_PATH_SIZE];
	int fd, rc;

	helper_file(path, "", text, strlen(text));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	rc = procfs_oom_kills(fd, ret);
	close(fd);
	unlink(path);
	return rc;
}

Test(procfs, out_of_memory_kills)
{
	uint64_t kills = 99;

	cr_assert_eq(oom_kills_of("nr_free 5\noom_kill 17\nother 3\n", &kills), 0);
	cr_assert_eq(kills, 17);
	cr_assert_eq(oom_kills_of("nr_free 5\nswap_oom_kill 17\n", &kills), -ENODATA);
	cr_assert_eq(oom_kills_of("", &kills), -ENODATA);
	cr_assert_eq(kills, 17);
	cr_assert_eq(procfs_oom_kills(-1, &kills), -EBADF);
}
