/* SPDX-License-Identifier: MIT */
/*
 * Scope-bound cleanup: a variable marked _cleanup_*_ is released when its scope ends, on every
 * path, unless its value was stolen.
 */
#ifndef FORKVM_VMM_BASE_CLEANUP_H
#define FORKVM_VMM_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Close *fd if it is one, keeping errno, and leave -1. */
static inline void fd_close(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
	*fd = -1;
}

/* Take the descriptor out of its variable: the caller owns it now. */
static inline int fd_steal(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void cleanup_free(void *pointer)
{
	void *memory = *(void **)pointer;

	free(memory);
}

#define _cleanup_close_ __attribute__((cleanup(fd_close)))
#define _cleanup_free_	__attribute__((cleanup(cleanup_free)))

/* Take a pointer out of its variable: the caller owns what it points to now. */
#define ptr_steal(variable)                                \
	({                                                 \
		__typeof__(variable) stolen_ = (variable); \
		(variable) = NULL;                         \
		stolen_;                                   \
	})

#endif
