/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/proto/protocol.c. */
#include "forkserver/proto/protocol.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

Test(protocol, ends_have_names_and_back)
{
	for (int end = 0; end < FORKVM_END_COUNT_; end++) {
		const char *name = forkvm_end_name((enum forkvm_end)end);

		cr_assert_str_not_empty(name);
		cr_assert_eq(forkvm_end_from_name(name), end, "%s", name);
	}
	cr_assert_str_eq(forkvm_end_name(FORKVM_END_COUNT_), "unknown");
	cr_assert_str_eq(forkvm_end_name((enum forkvm_end) - 1), "unknown");
	cr_assert_eq(forkvm_end_from_name("unknown"), -1);
	cr_assert_eq(forkvm_end_from_name(""), -1);
}

Test(protocol, stages_have_names)
{
	for (int stage = 0; stage < FORKVM_STAGE_COUNT_; stage++)
		cr_assert_str_not_empty(forkvm_stage_name((enum forkvm_stage)stage));
	cr_assert_str_eq(forkvm_stage_name(FORKVM_STAGE_COUNT_), "unknown");
}

static void expect_path(const char *name, const char *wanted)
{
	char path[FORKVM_SOCKET_PATH_SIZE];
	struct error error = {0};

	cr_assert_eq(forkvm_socket_path(name, path, &error), 0, "%s", error.text);
	cr_assert_str_eq(path, wanted);
}

Test(protocol, sockets_are_in_the_runtime_folder)
{
	setenv("XDG_RUNTIME_DIR", "/somewhere", 1);
	expect_path(NULL, "/somewhere/forkvm-default.sock");
	expect_path("a.B-1_z", "/somewhere/forkvm-a.B-1_z.sock");
	setenv("XDG_RUNTIME_DIR", "not/absolute", 1);
	expect_path("x", "/run/forkvm-x.sock");
	setenv("XDG_RUNTIME_DIR", "", 1);
	expect_path("x", "/run/forkvm-x.sock");
	unsetenv("XDG_RUNTIME_DIR");
	expect_path("x", "/run/forkvm-x.sock");
}

Test(protocol, names_that_cannot_be)
{
	static const char *const bad[] = {"", "a/b", "..//", "a b", "a\n", "\xc3\xa4", "a:b", "~"};
	char path[FORKVM_SOCKET_PATH_SIZE];
	struct error error;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(forkvm_socket_path(bad[i], path, &error), -EINVAL, "'%s'", bad[i]);
}

Test(protocol, paths_that_are_too_long)
{
	char path[FORKVM_SOCKET_PATH_SIZE], name[200];
	struct error error;
	size_t most;

	setenv("XDG_RUNTIME_DIR", "/r", 1);
	most = FORKVM_SOCKET_PATH_SIZE - 1 - strlen("/r/forkvm-.sock");
	memset(name, 'n', sizeof(name));
	name[most] = '\0';
	cr_assert_eq(forkvm_socket_path(name, path, &error), 0, "%s", error.text);
	cr_assert_eq(strlen(path), FORKVM_SOCKET_PATH_SIZE - 1);
	name[most] = 'n';
	name[most + 1] = '\0';
	cr_assert_eq(forkvm_socket_path(name, path, &error), -ENAMETOOLONG);
	cr_assert_not_null(strstr(error.text, "107"), "%s", error.text);
}
