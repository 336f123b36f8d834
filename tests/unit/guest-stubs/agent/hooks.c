/* SPDX-License-Identifier: MIT */
/* Unit tests of guest-stubs/agent/hooks.c. */
#include "guest-stubs/agent/hooks.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stubs/agent/spawn.h"

static char dir[] = "/tmp/forkvm-hooks-XXXXXX";
static char path[128];

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void write_hook(const char *name, mode_t mode, const char *text)
{
	int fd = open(in_dir(name), O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	cr_assert_geq(fd, 0);
	cr_assert_gt(dprintf(fd, "#!/bin/sh\n%s\n", text), 0);
	close(fd);
}

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(hooks, .init = set_up, .fini = tear_down);

Test(hooks, names)
{
	static const char *const good[] = {"a", "10-seed", "A_b-9", "-", "_"};
	static const char *const bad[] = {"",	".",	 "..",	   ".hidden", "10.sh",
					  "a~", "a.bak", "with b", "a/b",     "\xc3\xa9"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		cr_assert(hooks_name_counts(good[i]), "'%s'", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_not(hooks_name_counts(bad[i]), "'%s'", bad[i]);
}

Test(hooks, programs_in_order)
{
	struct hooks hooks;

	write_hook("20-b", 0755, "");
	write_hook("10-a", 0755, "");
	write_hook("9-last", 0755, "");
	write_hook("30-not-a-program", 0644, "");
	write_hook("40.sh", 0755, "");
	cr_assert_eq(mkdir(in_dir("50-folder"), 0755), 0);
	cr_assert_eq(symlink("20-b", in_dir("60-link")), 0);
	cr_assert_eq(symlink("gone", in_dir("70-dangling")), 0);
	cr_assert_eq(hooks_find(&hooks, dir), 0);
	cr_assert_eq(hooks.count, 4);
	cr_assert_str_eq(hooks.paths[0], in_dir("10-a"));
	cr_assert_str_eq(hooks.paths[1], in_dir("20-b"));
	cr_assert_str_eq(hooks.paths[2], in_dir("60-link"));
	cr_assert_str_eq(hooks.paths[3], in_dir("9-last"));
	for (size_t i = 0; i < hooks.count; i++)
		free(hooks.paths[i]);
}

Test(hooks, no_folder_no_hooks)
{
	struct hooks hooks = {.count = 7};

	cr_assert_eq(hooks_find(&hooks, "/nonexistent/clone.d"), 0);
	cr_assert_eq(hooks.count, 0);
	cr_assert_eq(hooks_find(&hooks, "/dev/null"), -ENOTDIR);
}

Test(hooks, all_are_run_and_failures_counted)
{
	char *none[] = {NULL};
	struct identity identity = {.given = {.clone_id = 42}};
	struct environment environment;
	struct hooks hooks;
	char line[64] = "";
	FILE *told;

	write_hook("1-fails", 0755, "exit 3");
	write_hook("2-is-slow", 0755, "sleep 60");
	write_hook("3-tells", 0755, "echo $FORKVM_CLONE_ID >\"$(dirname \"$0\")/told\"");
	write_hook("4-cannot-start", 0755, "");
	cr_assert_eq(truncate(in_dir("4-cannot-start"), 0), 0);
	cr_assert_eq(spawn_init(), 0);
	environment_init(&environment, none);
	environment_add_identity(&environment, &identity, 1);
	cr_assert_eq(hooks_find(&hooks, dir), 0);
	hooks_run(&hooks, &identity, &environment, 1);
	cr_assert_eq(identity.hooks_run, 4);
	cr_assert_eq(identity.hooks_failed, 3);
	told = fopen(in_dir("told"), "re");
	cr_assert_not_null(told);
	cr_assert_not_null(fgets(line, sizeof(line), told));
	cr_assert_str_eq(line, "42\n");
	fclose(told);
	for (size_t i = 0; i < hooks.count; i++)
		free(hooks.paths[i]);
}
