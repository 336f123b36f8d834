/* SPDX-License-Identifier: MIT */
/*
 * Probe: a child made by clone3(CLONE_FILES) can drop all descriptors but a few at once with
 * close_range(CLOSE_RANGE_UNSHARE), and the parent's table stays as it was.
 *
 * A fork copies the parent's descriptor table. A server with thousands of clients has a long one.
 * CLONE_FILES does not copy it; CLOSE_RANGE_UNSHARE then makes a table of what is kept only. The
 * parent's table is shared between the two calls, so nothing may be opened or closed in between.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES 200

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int child(const int *fds)
{
	if (syscall(SYS_close_range, fds[1], ~0u, CLOSE_RANGE_UNSHARE) != 0)
		return errno == ENOSYS || errno == EINVAL ? 77 : 1;
	if (!is_open(fds[0]))
		return 2; /* what was kept is gone */
	for (int i = 1; i < FILES; i++)
		if (is_open(fds[i]))
			return 3; /* what was dropped is still there */
	close(fds[0]);		  /* must not reach the parent's table */
	return 0;
}

int main(void)
{
	struct clone_args arguments = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};
	int fds[FILES], status;
	long pid;

	for (int i = 0; i < FILES; i++) {
		fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		probe_need(fds[i] >= 0, "open number %d", i);
		probe_need(i == 0 || fds[i] > fds[i - 1], "descriptors in order");
	}
	pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
	if (pid < 0 && errno == ENOSYS)
		probe_skip("no clone3");
	probe_need(pid >= 0, "clone3");
	if (pid == 0)
		_exit(child(fds));
	probe_need(waitpid((pid_t)pid, &status, 0) == (pid_t)pid, "waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		probe_skip("no close_range with CLOSE_RANGE_UNSHARE");
	probe_check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status: %x",
		    (unsigned int)status);
	for (int i = 0; i < FILES; i++)
		probe_check(is_open(fds[i]), "the parent's descriptor %d", fds[i]);
	if (probe_result() == 0)
		probe_say("the child kept 1 of %d descriptors, the parent all", FILES);
	return probe_result();
}
