/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/base/gate.c, cradle.c and fork.c. */
#include "forkserver/base/gate.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "forkserver/base/cradle.h"
#include "forkserver/base/fork.h"
#include "forkserver/base/sys.h"
#include "tests/unit/helper.h"
#include "vmm/base/call.h"

static void set_up(void)
{
	cr_assert_eq(gate_init(), 0);
}

TestSuite(gate, .init = set_up);

Test(gate, makes_system_calls)
{
	char byte = 0;
	int ends[2];

	cr_assert_eq(gate_call(SYS_getpid, 0, 0, 0, 0, 0, 0), getpid());
	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(gate_call(SYS_write, ends[1], (long)(uintptr_t) "z", 1, 0, 0, 0), 1);
	cr_assert_eq(gate_call(SYS_read, ends[0], (long)(uintptr_t)&byte, 1, 0, 0, 0), 1);
	cr_assert_eq(byte, 'z');
	close(ends[0]);
	close(ends[1]);
}

Test(gate, all_six_arguments_arrive)
{
	long at = gate_call(SYS_mmap, 0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	long mapped;

	cr_assert_gt(at, 0);
	cr_assert_eq(munmap((void *)at, 8192), 0);
	cr_assert_geq(fd, 0);
	mapped = gate_call(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	cr_assert_gt(mapped, 0);
	cr_assert_eq(memcmp((void *)mapped,
			    "\x7f"
			    "ELF",
			    4),
		     0);
	munmap((void *)mapped, 4096);
	/* A last argument that does not fit its meaning is noticed. */
	cr_assert_eq(gate_call(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 1), -EINVAL);
	close(fd);
}

Test(gate, errors_are_returned_and_errno_left_alone)
{
	errno = EXDEV;
	cr_assert_eq(gate_call(SYS_close, -1, 0, 0, 0, 0, 0), -EBADF);
	cr_assert_eq(errno, EXDEV);
	cr_assert_eq(sys_open_read("/nowhere/at/all"), -ENOENT);
	cr_assert_eq(sys_unlink("/nowhere/at/all"), -ENOENT);
	cr_assert_eq(errno, EXDEV);
}

static int call_in_child(void *context)
{
	(void)context;
	/* Not a sanitizer's handler: the crash is what is wanted. */
	signal(SIGSEGV, SIG_DFL);
	gate_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	return 0;
}

Test(gate, a_child_does_not_have_it)
{
	int status = helper_in_child(call_in_child, NULL);

	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "%#x", status);
	cr_assert_eq(gate_call(SYS_getpid, 0, 0, 0, 0, 0, 0), getpid(), "the parent still has");
}

static int call_from_the_nursery(void *context)
{
	const bool *leave = context;

	signal(SIGSEGV, SIG_DFL);
	if (nursery_call(SYS_getpid, 0, 0, 0, 0, 0, 0) != getpid())
		return 1;
	if (nursery_call(SYS_close, -1, 0, 0, 0, 0, 0) != -EBADF)
		return 2;
	errno = 0;
	if (base_call(SYS_close, (uintptr_t)-1, 0, 0, 0, 0) != -1 || errno != EBADF)
		return 3;
	if (base_call(SYS_getpid, 0, 0, 0, 0, 0) != getpid())
		return 4;
	if (!*leave)
		return 0;
	if (nursery_leave() != 0)
		return 5;
	nursery_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
	return 6;
}

Test(gate, a_child_has_the_nursery_until_it_leaves_it)
{
	bool leave = false;
	int status;

	cr_assert_eq(helper_in_child(call_from_the_nursery, &leave), 0);
	leave = true;
	status = helper_in_child(call_from_the_nursery, &leave);
	cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "%#x", status);
	cr_assert_neq(nursery_address(), gate_address());
	cr_assert_eq(nursery_call(SYS_getpid, 0, 0, 0, 0, 0, 0), getpid(), "the parent still has");
}

/* All that a process has to do before it forks. */
static bool get_ready(bool children_make_threads)
{
	struct error error;

	/* The gate is not inherited: a new one. */
	if (gate_init() < 0 || cradle_init() < 0)
		return false;
	/* The cradle's thread may linger for a moment. */
	for (int i = 0; i < 1000; i++) {
		int rc = fork_prepare(children_make_threads, &error);

		if (rc != -EBUSY)
			return rc == 0;
		usleep(1000);
	}
	return false;
}

/* Ends with what it was told, if it was told in full. */
static void end_with(const void *argument)
{
	const unsigned char *bytes = argument;

	for (int i = 1; i < 1000; i++) {
		if (bytes[i] != (unsigned char)(i * 7))
			_exit(1);
	}
	errno = bytes[0]; /* has thread-local storage, too */
	_exit(errno);
}

/* In a child with a single thread, which a Criterion test is not. */
static int fork_and_see(void *context)
{
	unsigned char bytes[1000];
	const struct cradle_child child = {
		.run = end_with,
		.argument = bytes,
		.len = 10,
		.more = bytes + 10,
		.more_len = sizeof(bytes) - 10,
	};
	siginfo_t info = {0};
	int pidfd = -1;
	pid_t pid;

	if (!get_ready(context != NULL))
		return 1;
	bytes[0] = 33;
	for (unsigned int i = 1; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7);
	pid = fork_process(FORK_DEFAULT_SIGNALS, &child, &pidfd);
	cradle_wipe();
	if (pid < 0 || pidfd < 0)
		return 2;
	if (!(fcntl(pidfd, F_GETFD) & FD_CLOEXEC))
		return 3;
	while (sys_wait_pidfd(pidfd, &info) == 0 && !info.si_pid)
		usleep(1000);
	if (info.si_pid != pid || info.si_code != CLD_EXITED || info.si_status != 33)
		return 4;
	close(pidfd);
	return 0;
}

Test(gate, forks_with_a_pidfd)
{
	char threads = 0;

	cr_assert_eq(helper_in_child(fork_and_see, NULL), 0);
	cr_assert_eq(helper_in_child(fork_and_see, &threads), 0);
}

/* What the child closes while the table is shared, the parent loses. */
static void close_it(const void *argument)
{
	int fd;

	memcpy(&fd, argument, sizeof(fd));
	close(fd);
	_exit(0);
}

static int shares_then_not(void *context)
{
	int pidfd = -1, fd = open("/dev/null", O_RDONLY | O_CLOEXEC), status;
	const struct cradle_child child = {.run = close_it, .argument = &fd, .len = sizeof(fd)};
	pid_t pid;

	(void)context;
	if (!get_ready(false))
		return 1;
	pid = fork_process(FORK_SHARE_FILES, &child, &pidfd);
	if (waitpid(pid, &status, 0) != pid || status)
		return 2;
	return fcntl(fd, F_GETFD) >= 0 ? 3 : 0;
}

Test(gate, forks_with_a_shared_table_of_descriptors)
{
	cr_assert_eq(helper_in_child(shares_then_not, NULL), 0);
}
