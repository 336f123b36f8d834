/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/base/tool.c. */
#include "forkserver/base/tool.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/helper.h"

static char words[TOOL_WORDS_SIZE];
static struct error error;

static int run_shell(const char *script, int inherit_fd, int stop_fd)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	const struct tool tool = {argv, "dash", inherit_fd, stop_fd};

	return tool_run(&tool, words, &error);
}

Test(tool, status_and_words)
{
	size_t before = helper_count_fds();

	cr_assert_eq(run_shell("exit 0", -1, -1), 0);
	cr_assert_str_empty(words);
	cr_assert_eq(run_shell("echo to the one; echo to the other >&2; exit 7", -1, -1), 7);
	cr_assert_str_eq(words, "to the one to the other");
	cr_assert_eq(helper_count_fds(), before);
}

Test(tool, only_the_last_words)
{
	cr_assert_eq(
		run_shell("i=0; while [ $i -lt 999 ]; do echo line $i; i=$((i + 1)); done", -1, -1),
		0);
	cr_assert_eq(strlen(words), TOOL_WORDS_SIZE - 2);
	cr_assert_not_null(strstr(words, "line 998"));
}

Test(tool, descriptors)
{
	int fd = memfd_create("given", MFD_CLOEXEC);
	int other = memfd_create("other", MFD_CLOEXEC);
	char script[80], byte = 0;

	snprintf(script, sizeof(script), "echo x >/proc/self/fd/%d", fd);
	cr_assert_eq(run_shell(script, fd, -1), 0, "%s", words);
	cr_assert_eq(pread(fd, &byte, 1, 0), 1);
	cr_assert_eq(byte, 'x');
	snprintf(script, sizeof(script), "echo x >/proc/self/fd/%d", other);
	cr_assert_neq(run_shell(script, fd, -1), 0, "that one is not the program's");
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(run_shell("read line", -1, -1), 1, "nothing comes from standard input");
	close(fd);
	close(other);
}

Test(tool, not_installed)
{
	const char *const argv[] = {"forkvm-no-such-tool", NULL};
	const struct tool tool = {argv, "some-package", -1, -1};

	cr_assert_eq(tool_run(&tool, words, &error), -ENOENT);
	cr_assert_not_null(strstr(error.text, "some-package"), "%s", error.text);
}

Test(tool, killed)
{
	cr_assert_eq(run_shell("kill -9 $$", -1, -1), -ECHILD);
	cr_assert_not_null(strstr(error.text, "signal 9"), "%s", error.text);
}

Test(tool, told_to_stop)
{
	int stop = eventfd(1, EFD_CLOEXEC);

	cr_assert_eq(run_shell("exec sleep 1000", -1, stop), -EINTR);
	close(stop);
}

/* SIGPIPE is ignored here, which would be inherited. */
Test(tool, signals_are_as_usual)
{
	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(run_shell("kill -PIPE $$; exit 0", -1, -1), -ECHILD);
}

static int run_without_descriptors(void *context)
{
	(void)context;
	return run_shell("exit 0", -1, -1) == -EMFILE ? 0 : 1;
}

Test(tool, no_descriptors)
{
	cr_assert_eq(helper_without_descriptors(run_without_descriptors, NULL), 0);
}
