/* SPDX-License-Identifier: MIT */
/*
 * What the server waits for: see watch.h.
 */
#include "forkserver/base/watch.h"

#include "forkserver/base/sys.h"

int watch_add(int epoll_fd, int fd, struct watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return sys_epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

void watch_remove(int epoll_fd, int fd)
{
	struct epoll_event event = {0};

	(void)sys_epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &event);
}
