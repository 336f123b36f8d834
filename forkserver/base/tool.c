/* SPDX-License-Identifier: MIT */
/*
 * Running another program to its end: see tool.h.
 *
 * By posix_spawn(3): the C library's own way, in which the program's first moments share this
 * process's memory, so that nothing of it is copied or left behind.
 */
#include "forkserver/base/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

/* What it prints goes to output_fd. Returns 0 or a positive errno, as posix_spawn does. */
static int spawn(const struct tool *tool, int output_fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int rc;

	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE); /* ignored here, which would be inherited */
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, output_fd, STDERR_FILENO);
	/* To its own number: then it is no longer closed by the program's start. */
	if (rc == 0 && tool->inherit_fd >= 0)
		rc = posix_spawn_file_actions_adddup2(&actions, tool->inherit_fd, tool->inherit_fd);
	if (rc == 0)
		rc = posix_spawnp(ret_pid, tool->argv[0], &actions, &attr,
				  (char *const *)(uintptr_t)tool->argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* Wait until the process has ended. False: it was told to stop first, and killed. */
static bool wait_for_end(pid_t pid, int stop_fd)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd fds[] = {
		{.fd = pidfd, .events = POLLIN},
		{.fd = stop_fd, .events = POLLIN},
	};

	while (pidfd >= 0 && poll(fds, 2, -1) < 0 && errno == EINTR)
		continue;
	if (!(fds[1].revents & POLLIN))
		return true;
	kill(pid, SIGKILL);
	return false;
}

/* The last line that was printed, in one piece with the one before it where there is room. */
static void take_words(int fd, char words[TOOL_WORDS_SIZE])
{
	off_t size = lseek(fd, 0, SEEK_END);
	off_t from = size < TOOL_WORDS_SIZE ? 0 : size - (TOOL_WORDS_SIZE - 1);
	ssize_t len = size < 0 ? 0 : pread(fd, words, TOOL_WORDS_SIZE - 1, from);

	if (len < 0)
		len = 0;
	while (len > 0 && words[len - 1] == '\n')
		len--;
	words[len] = '\0';
	for (ssize_t i = 0; i < len; i++) {
		if (words[i] < ' ')
			words[i] = ' ';
	}
}

int tool_run(const struct tool *tool, char words[TOOL_WORDS_SIZE], struct error *error)
{
	_cleanup_close_ int output = memfd_create("output", MFD_CLOEXEC);
	const char *name = tool->argv[0];
	int status = 0;
	bool ended;
	pid_t pid;
	int rc;

	if (output < 0)
		return error_set_errno(error, errno, "memfd_create");
	rc = spawn(tool, output, &pid);
	if (rc == ENOENT)
		return error_set(error, ENOENT,
				 "%s is not installed (Debian has it in the package %s)", name,
				 tool->package);
	if (rc)
		return error_set_errno(error, rc, "cannot run %s", name);
	ended = wait_for_end(pid, tool->stop_fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (!ended)
		return error_set(error, EINTR, "interrupted while %s ran", name);
	if (!WIFEXITED(status))
		return error_set(error, ECHILD, "%s was ended by signal %d", name,
				 WTERMSIG(status));
	take_words(output, words);
	return WEXITSTATUS(status);
}
