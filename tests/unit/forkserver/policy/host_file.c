/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/policy/host_file.c. */
#include "forkserver/policy/host_file.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <string.h>

#include "tests/unit/forkserver/policy/host.h"

static char text[8];

TestSuite(host_file, .init = host_set_up, .fini = host_tear_down);

static bool read_it(const char *path)
{
	memset(text, 'x', sizeof(text));
	return host_file_read(host_root, path, text, sizeof(text));
}

Test(host_file, a_line)
{
	host_put("/proc/sys/one", "4711\n");
	cr_assert(read_it("/proc/sys/one"));
	cr_assert_str_eq(text, "4711\n");
}

Test(host_file, what_does_not_fit_is_left_out)
{
	host_put("/long", "123456789");
	cr_assert(read_it("/long"));
	cr_assert_str_eq(text, "1234567");
}

Test(host_file, nothing_to_read)
{
	host_put("/sys/empty", "");
	cr_assert_not(read_it("/sys/empty"));
	cr_assert_str_eq(text, "");
	cr_assert_not(read_it("/sys/none"));
	cr_assert_str_eq(text, "");
	cr_assert_not(read_it("/sys"), "a folder");
	cr_assert_str_eq(text, "");
}

Test(host_file, a_path_longer_than_any)
{
	char path[PATH_MAX + 1] = "/";

	memset(path + 1, 'a', sizeof(path) - 2);
	path[sizeof(path) - 1] = '\0';
	cr_assert_not(read_it(path));
	cr_assert_str_eq(text, "");
}
