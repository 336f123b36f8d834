/* SPDX-License-Identifier: MIT */
/*
 * The server-only system calls, each through the gate (gate.h). All return -errno on failure and
 * leave errno alone. What is not here is either allowed to clones too, and called by its usual
 * name, or not made once the server serves.
 */
#ifndef FORKVM_FORKSERVER_BASE_SYS_H
#define FORKVM_FORKSERVER_BASE_SYS_H

#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "forkserver/base/gate.h"

static inline long sys_call(long nr, uintptr_t a1, uintptr_t a2, uintptr_t a3, uintptr_t a4)
{
	return gate_call(nr, (long)a1, (long)a2, (long)a3, (long)a4, 0, 0);
}

static inline uintptr_t sys_int(int value)
{
	return (uintptr_t)(intptr_t)value;
}

static inline int sys_accept(int fd)
{
	return (int)sys_call(SYS_accept4, sys_int(fd), 0, 0, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static inline ssize_t sys_recvmsg(int fd, struct msghdr *message, int flags)
{
	return sys_call(SYS_recvmsg, sys_int(fd), (uintptr_t)message, sys_int(flags), 0);
}

/* Two ends of a connection of packets, close-on-exec. */
static inline int sys_packet_pair(int ret_fds[2])
{
	return (int)sys_call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
			     (uintptr_t)ret_fds);
}

/* Bytes (the kernel's own count) of what was sent and its receiver has not taken. */
static inline int sys_unsent(int fd, int *ret)
{
	return (int)sys_call(SYS_ioctl, sys_int(fd), SIOCOUTQ, (uintptr_t)ret, 0);
}

static inline int sys_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	return (int)gate_call(SYS_getsockopt, fd, level, option, (long)(uintptr_t)value,
			      (long)(uintptr_t)len, 0);
}

static inline int sys_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
	return (int)sys_call(SYS_epoll_ctl, sys_int(epoll_fd), sys_int(operation), sys_int(fd),
			     (uintptr_t)event);
}

static inline int sys_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
	return (int)sys_call(SYS_epoll_wait, sys_int(epoll_fd), (uintptr_t)events, sys_int(max),
			     sys_int(timeout_ms));
}

static inline int sys_wait_pidfd(int pidfd, siginfo_t *info)
{
	return (int)gate_call(SYS_waitid, P_PIDFD, pidfd, (long)(uintptr_t)info, WEXITED | WNOHANG,
			      0, 0);
}

static inline int sys_pidfd_signal(int pidfd, int signal)
{
	return (int)sys_call(SYS_pidfd_send_signal, sys_int(pidfd), sys_int(signal), 0, 0);
}

static inline int sys_pidfd_kill(int pidfd)
{
	return sys_pidfd_signal(pidfd, SIGKILL);
}

/* Does a child stand still after SIGSTOP, all threads of it? */
static inline bool sys_pidfd_is_stopped(int pidfd)
{
	siginfo_t info = {0};

	return gate_call(SYS_waitid, P_PIDFD, pidfd, (long)(uintptr_t)&info,
			 WSTOPPED | WNOHANG | WNOWAIT, 0, 0) == 0 &&
	       info.si_pid;
}

/* A copy of a child's descriptor of that number. */
static inline int sys_pidfd_getfd(int pidfd, int number)
{
	return (int)sys_call(SYS_pidfd_getfd, sys_int(pidfd), sys_int(number), 0, 0);
}

static inline ssize_t sys_sendmsg(int fd, const struct msghdr *message, int flags)
{
	return sys_call(SYS_sendmsg, sys_int(fd), (uintptr_t)message, sys_int(flags), 0);
}

/* Read size bytes of a child's memory, where it has the same address. */
static inline ssize_t sys_read_child(pid_t pid, const void *at, void *data, size_t size)
{
	const struct iovec here = {data, size};
	const struct iovec there = {(void *)(uintptr_t)at, size};

	return gate_call(SYS_process_vm_readv, pid, (long)(uintptr_t)&here, 1,
			 (long)(uintptr_t)&there, 1, 0);
}

static inline int sys_open_read(const char *path)
{
	return (int)sys_call(SYS_openat, sys_int(AT_FDCWD), (uintptr_t)path,
			     O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
}

/* The same where the last part of the path is a link, as of /proc/self/fd. */
static inline int sys_reopen_read(const char *path)
{
	return (int)sys_call(SYS_openat, sys_int(AT_FDCWD), (uintptr_t)path, O_RDONLY | O_CLOEXEC,
			     0);
}

static inline off_t sys_seek_end(int fd)
{
	return sys_call(SYS_lseek, sys_int(fd), 0, SEEK_END, 0);
}

static inline ssize_t sys_pread(int fd, void *data, size_t size)
{
	return sys_call(SYS_pread64, sys_int(fd), (uintptr_t)data, size, 0);
}

static inline ssize_t sys_getdents(int fd, void *data, size_t size)
{
	return sys_call(SYS_getdents64, sys_int(fd), (uintptr_t)data, size, 0);
}

/* Type and size, as the kernel knows them: it asks no file server for it. */
static inline int sys_statx(int fd, struct statx *ret)
{
	return (int)gate_call(SYS_statx, fd, (long)(uintptr_t) "",
			      AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE,
			      (long)(uintptr_t)ret, 0);
}

static inline int sys_unlink(const char *path)
{
	return (int)sys_call(SYS_unlink, (uintptr_t)path, 0, 0, 0);
}

/* An ioctl of the descriptor that tells of calls (seccomp_unotify(2)). */
static inline int sys_seccomp_ioctl(int fd, unsigned long request, void *argument)
{
	return (int)sys_call(SYS_ioctl, sys_int(fd), request, (uintptr_t)argument, 0);
}

/* A copy of fd at the lowest free number from floor up, close-on-exec. */
static inline int sys_dup_above(int fd, int floor)
{
	return (int)sys_call(SYS_fcntl, sys_int(fd), F_DUPFD_CLOEXEC, sys_int(floor), 0);
}

/* Do two processes share one table of descriptors? 0 when they do (kcmp(2), KCMP_FILES). */
static inline int sys_compare_files(pid_t a, pid_t b)
{
	return (int)sys_call(SYS_kcmp, sys_int(a), sys_int(b), 2 /* KCMP_FILES */, 0);
}

#endif
