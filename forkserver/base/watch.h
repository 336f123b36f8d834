/* SPDX-License-Identifier: MIT */
/*
 * What an epoll event points to: the first member of everything the server waits for.
 */
#ifndef FORKVM_FORKSERVER_BASE_WATCH_H
#define FORKVM_FORKSERVER_BASE_WATCH_H

#include <stdint.h>

enum watch_kind {
	WATCH_WAKE,	/* a signal asks to stop      */
	WATCH_LISTENER, /* a client connects          */
	WATCH_CONN,	/* struct conn: a client      */
	WATCH_CLONE,	/* struct clone: its end      */
	WATCH_SPARE,	/* struct spare: it parks     */
	WATCH_ANCHOR,	/* struct anchor: its end     */
	WATCH_BOOT,	/* the template, as it boots  */
	WATCH_RINGS,	/* a clone asks for a ring    */
};

struct watch {
	enum watch_kind kind;
};

/* Have epoll report events of fd with watch. -errno. */
int watch_add(int epoll_fd, int fd, struct watch *watch, uint32_t events);

/*
 * Stop having events of fd reported. To be called before fd is closed: a child that was just forked
 * may still hold it, and epoll would go on reporting it.
 */
void watch_remove(int epoll_fd, int fd);

#endif
