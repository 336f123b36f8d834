/* SPDX-License-Identifier: MIT */
/*
 * The only fork of the project: clone3(2), called raw.
 *
 * Why not fork(3): it gives no pidfd, so a child could be reaped and its number reused before it is
 * looked at; and it runs atfork handlers and takes every malloc lock, for threads that do not
 * exist here. What glibc's fork does that matters is done by flags: the kernel writes the child's
 * thread id where glibc caches it. And it cannot give the child another stack (cradle.h).
 */
#include "forkserver/base/fork.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forkserver/base/gate.h"

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif

/* The thread sanitizer has one of its own, which no child needs. */
#if defined(__SANITIZE_THREAD__)
#define THREADS_EXPECTED 2
#else
#define THREADS_EXPECTED 1
#endif

/* Set once, by fork_prepare; only read after. */
static struct {
	bool ready;
	int *tid_address; /* where glibc caches this thread's id; NULL when the kernel won't say */
} fork_state;

/*
 * A worker that the kernel made for a ring (io_uring) of this thread's. It stays when the ring is
 * gone; it never runs the program, holds none of its locks, and no fork carries it.
 */
static bool is_ring_worker(const char *task)
{
	char path[64], name[16] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%.10s/comm", task);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = '\0';
	fclose(file);
	return !strncmp(name, "iou-wrk-", 8);
}

/* Threads of this process, or -errno. */
static int count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int threads = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && !is_ring_worker(entry->d_name))
			threads++;
	}
	closedir(dir);
	return threads;
}

int fork_prepare(bool children_make_threads, struct error *error)
{
	int threads = count_threads();
	int rc;

	if (threads < 0)
		return error_set_errno(error, -threads, "cannot count threads in /proc/self/task");
	if (threads != THREADS_EXPECTED)
		return error_set(error, EBUSY,
				 "%d threads are left after the freeze where %d was expected",
				 threads, THREADS_EXPECTED);
	/* A size of 0 is refused with EINVAL by a kernel that has the call. */
	if (syscall(SYS_clone3, NULL, 0) != -1 || errno == ENOSYS)
		return error_set(error, ENOSYS,
				 "this kernel has no clone3 system call: forkvm needs Linux 5.9 "
				 "or later");
	if (prctl(PR_GET_TID_ADDRESS, &fork_state.tid_address))
		fork_state.tid_address = NULL; /* built without CONFIG_CHECKPOINT_RESTORE */
	rc = cradle_settle(children_make_threads);
	if (rc < 0)
		return error_set_errno(error, -rc, "cannot settle what clones inherit");
	fork_state.ready = true;
	return 0;
}

pid_t fork_process(unsigned int flags, const struct cradle_child *child, int *ret_pidfd)
{
	struct cradle_place place;
	int pidfd = -1;
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = SIGCHLD, /* left at its default, which is to be discarded */
	};
	long pid;

	assert(fork_state.ready);
	if (flags & FORK_SHARE_FILES)
		args.flags |= CLONE_FILES;
	if (flags & FORK_DEFAULT_SIGNALS)
		args.flags |= CLONE_CLEAR_SIGHAND;
	cradle_prepare(child, &place);
	args.stack = place.stack;
	args.stack_size = place.stack_size;
	if (place.tls) {
		args.flags |= CLONE_SETTLS;
		args.tls = place.tls;
	} else if (fork_state.tid_address) {
		args.flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
		args.child_tid = (uintptr_t)fork_state.tid_address;
	}
	/* Through the gate: a clone cannot fork. */
	pid = gate_call(SYS_clone3, (long)(uintptr_t)&args, sizeof(args), 0, 0, 0, 0);
	if (pid == 0)
		cradle_start(); /* with a stack of its own the child is there already */
	if (pid > 0)
		*ret_pidfd = pidfd;
	return (pid_t)pid;
}
