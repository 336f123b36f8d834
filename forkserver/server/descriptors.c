/* SPDX-License-Identifier: MIT */
/*
 * The server's table of descriptors: see descriptors.h.
 */
#include "forkserver/server/descriptors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forkserver/launch/launch.h"
#include "vmm/base/cleanup.h"

/* Kept free for what comes and goes: a request's descriptors, a look into /proc. */
#define FD_MARGIN 64

/* A pidfd for each clone, a socket for each client: take what there is to be had. */
static int raise_limit(struct error *error)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < FD_HIGH + FD_MARGIN)
		return error_set(error, EMFILE,
				 "the limit on open files is %llu, where at least %d are needed: "
				 "raise it (ulimit -Hn)",
				 (unsigned long long)limit.rlim_max, FD_HIGH + FD_MARGIN);
	return 0;
}

static int move_up(int *fd, const char *option, struct error *error)
{
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, FD_HIGH);

	if (moved < 0)
		return error_set_errno(error, errno, "%s: descriptor %d", option, *fd);
	*fd = moved;
	return 0;
}

/*
 * With what is kept up above, close all the rest. Others' descriptors may lie between, so what is
 * kept steps down to the lowest numbers, all above those are closed as one range, and it goes back.
 */
static int close_others(const struct descriptor_kept *kept, size_t count, struct error *error)
{
	int next = FD_KVM;

	for (size_t i = 0; i < count; i++) {
		if (*kept[i].fd < 0)
			continue;
		if (dup3(*kept[i].fd, next, O_CLOEXEC) < 0)
			return error_set_errno(error, errno, "%s", kept[i].option);
		*kept[i].fd = next++;
	}
	syscall(SYS_close_range, next, ~0u, 0);
	for (size_t i = 0; i < count; i++) {
		int low = *kept[i].fd;
		int rc = low < 0 ? 0 : move_up(kept[i].fd, kept[i].option, error);

		if (rc < 0)
			return rc;
		fd_close(&low);
	}
	return 0;
}

int descriptors_clear(const struct descriptor_kept *kept, size_t count, struct error *error)
{
	int rc = raise_limit(error);
	int null_fd;

	assert(count <= DESCRIPTORS_KEPT_MAX);
	/* Before anything is opened, which could take the number of one that is not there. */
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (*kept[i].fd >= 0)
			rc = move_up(kept[i].fd, kept[i].option, error);
	}
	if (rc < 0)
		return rc;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
	    (fcntl(STDERR_FILENO, F_GETFD) < 0 && dup2(null_fd, STDERR_FILENO) < 0))
		return error_set_errno(error, errno, "/dev/null");
	return close_others(kept, count, error);
}

int descriptors_place(int *fd, int wanted, struct error *error)
{
	if (*fd == wanted)
		return 0;
	if (dup3(*fd, wanted, O_CLOEXEC) < 0)
		return error_set_errno(error, errno, "dup3");
	close(*fd);
	*fd = wanted;
	return 0;
}

uint64_t descriptors_to_share(void)
{
	struct rlimit limit = {.rlim_cur = FD_HIGH + FD_MARGIN};

	(void)getrlimit(RLIMIT_NOFILE, &limit);
	/* The fixed ones, and some for requests that are on their way. */
	return limit.rlim_cur > FD_HIGH + FD_MARGIN ? limit.rlim_cur - FD_HIGH - FD_MARGIN : 2;
}
