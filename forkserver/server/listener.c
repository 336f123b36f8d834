/* SPDX-License-Identifier: MIT */
/*
 * The socket that clients find the server by.
 *
 * A Unix socket's file outlives its server, so its being there says nothing. What says it is a lock
 * on a file beside it, which the kernel releases with the process, however that ends.
 */
#include "forkserver/server/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "forkserver/base/sys.h"
#include "vmm/base/cleanup.h"

/* Connections that wait to be accepted: the kernel cuts this to net.core.somaxconn. */
#define BACKLOG 4096

static int in_use(const struct listener *listener, int lock_fd, struct error *error)
{
	char owner[32] = "";
	ssize_t len = pread(lock_fd, owner, sizeof(owner) - 1, 0);
	int pid = len > 0 ? atoi(owner) : 0;

	if (pid > 0)
		return error_set(error, EADDRINUSE,
				 "the socket %s is in use by the forkvm server with pid %d: stop "
				 "that one, or choose another --socket or --name",
				 listener->path, pid);
	return error_set(error, EADDRINUSE,
			 "the socket %s is in use: choose another --socket or --name",
			 listener->path);
}

static int cannot_lock(const struct listener *listener, int code, struct error *error)
{
	if (code == ENOENT || code == ENOTDIR)
		return error_set(error, code,
				 "the folder of socket %s does not exist: create it, or choose "
				 "another --socket",
				 listener->path);
	return error_set_errno(error, code, "cannot make the lock file %s", listener->lock_path);
}

/* Is fd still what is at path? A server that is just stopping removes the file it holds. */
static bool is_current(int fd, const char *path)
{
	struct stat held, found;

	return !fstat(fd, &held) && !stat(path, &found) && held.st_ino == found.st_ino &&
	       held.st_dev == found.st_dev;
}

static int take_lock(struct listener *listener, struct error *error)
{
	char pid[32];
	int len;

	for (;;) {
		_cleanup_close_ int fd =
			open(listener->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return cannot_lock(listener, errno, error);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno == EWOULDBLOCK)
				return in_use(listener, fd, error);
			return cannot_lock(listener, errno, error);
		}
		if (!is_current(fd, listener->lock_path))
			continue;
		len = snprintf(pid, sizeof(pid), "%d\n", getpid());
		if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)len, 0) != len)
			return cannot_lock(listener, errno, error);
		listener->lock_fd = fd_steal(&fd);
		return 0;
	}
}

/* With the lock held, a socket at the path is a dead server's, or another program's. */
static int remove_stale(const struct listener *listener, const struct sockaddr_un *address,
			struct error *error)
{
	_cleanup_close_ int fd = -1;
	struct stat stat;

	if (lstat(listener->path, &stat) < 0)
		return errno == ENOENT ? 0 : cannot_lock(listener, errno, error);
	if (!S_ISSOCK(stat.st_mode))
		return error_set(error, EEXIST,
				 "%s exists and is not a socket: it is left alone; remove it, or "
				 "choose another --socket",
				 listener->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set_errno(error, errno, "socket");
	if (!connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		return error_set(error, EADDRINUSE,
				 "the socket %s is in use by another program: choose another "
				 "--socket or --name",
				 listener->path);
	if (unlink(listener->path) < 0 && errno != ENOENT)
		return error_set_errno(error, errno, "cannot remove the stale socket %s",
				       listener->path);
	return 0;
}

static int bind_socket(struct listener *listener, const struct sockaddr_un *address, bool everybody,
		       struct error *error)
{
	mode_t mask = umask(everybody ? 0111 : 0177);
	int rc;

	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	rc = listener->fd < 0
		     ? -1
		     : bind(listener->fd, (const struct sockaddr *)address, sizeof(*address));
	umask(mask);
	if (rc < 0)
		return error_set_errno(error, errno, "cannot bind the socket %s", listener->path);
	listener->bound = true;
	return 0;
}

int listener_init(struct listener *listener, const char *path, bool everybody, struct error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int rc;

	*listener = (struct listener){.fd = -1, .lock_fd = -1};
	if (!path[0] || strlen(path) >= sizeof(address.sun_path))
		return error_set(error, path[0] ? ENAMETOOLONG : EINVAL,
				 "the socket path has %zu bytes where a Unix socket can have 1 to "
				 "%zu: choose another --socket",
				 strlen(path), sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	memcpy(listener->path, path, strlen(path) + 1);
	snprintf(listener->lock_path, sizeof(listener->lock_path), "%s.lock", path);
	rc = take_lock(listener, error);
	if (rc == 0)
		rc = remove_stale(listener, &address, error);
	if (rc == 0)
		rc = bind_socket(listener, &address, everybody, error);
	return rc;
}

int listener_open(struct listener *listener, struct error *error)
{
	if (listen(listener->fd, BACKLOG) < 0)
		return error_set_errno(error, errno, "cannot listen on %s", listener->path);
	return 0;
}

void listener_done(struct listener *listener)
{
	/* Before the lock goes: whoever takes it next may bind at once. */
	if (listener->bound)
		sys_unlink(listener->path);
	if (listener->lock_fd >= 0)
		sys_unlink(listener->lock_path);
	fd_close(&listener->fd);
	fd_close(&listener->lock_fd);
	listener->bound = false;
}
