/* SPDX-License-Identifier: MIT */
/*
 * System calls that bring something new: a descriptor, a file's name looked up, a ring.
 *
 * A process that locks itself down may want to make these from one place only, which it gives up
 * when all is made. So they go through base_call, which is weak: a program that needs another way
 * defines its own (forkserver/base/gate.h does, and says why). Whoever writes code that a clone
 * runs before its guest does makes such calls by the functions below, and no others after that.
 */
#ifndef FORKVM_VMM_BASE_CALL_H
#define FORKVM_VMM_BASE_CALL_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* Make system call nr with that many arguments as it takes; as syscall(2): -1 and errno. */
long base_call(long nr, uintptr_t a1, uintptr_t a2, uintptr_t a3, uintptr_t a4, uintptr_t a5);

/* Each is the function of the C library, by this way. */

static inline int call_open(const char *path, int flags)
{
	return (int)base_call(SYS_openat, (uintptr_t)AT_FDCWD, (uintptr_t)path, (unsigned int)flags,
			      0, 0);
}

static inline int call_fstat(int fd, struct stat *ret)
{
	return (int)base_call(SYS_fstat, (uintptr_t)fd, (uintptr_t)ret, 0, 0, 0);
}

static inline int call_fstatfs(int fd, struct statfs *ret)
{
	return (int)base_call(SYS_fstatfs, (uintptr_t)fd, (uintptr_t)ret, 0, 0, 0);
}

static inline int call_statx(int fd, unsigned int mask, struct statx *ret)
{
	return (int)base_call(SYS_statx, (uintptr_t)fd, (uintptr_t) "", AT_EMPTY_PATH, mask,
			      (uintptr_t)ret);
}

static inline int call_ftruncate(int fd, off_t size)
{
	return (int)base_call(SYS_ftruncate, (uintptr_t)fd, (uintptr_t)size, 0, 0, 0);
}

static inline int call_memfd_create(const char *name, unsigned int flags)
{
	return (int)base_call(SYS_memfd_create, (uintptr_t)name, flags, 0, 0, 0);
}

/* F_OFD_SETLK */
static inline int call_fcntl_lock(int fd, const struct flock *lock)
{
	return (int)base_call(SYS_fcntl, (uintptr_t)fd, F_OFD_SETLK, (uintptr_t)lock, 0, 0);
}

static inline int call_ioctl(int fd, unsigned long request, void *argument)
{
	return (int)base_call(SYS_ioctl, (uintptr_t)fd, request, (uintptr_t)argument, 0, 0);
}

#endif
