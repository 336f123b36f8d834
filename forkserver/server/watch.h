/* SPDX-License-Identifier: MIT */
/*
 * What an epoll event points to: the first member of everything the server waits for.
 */
#ifndef FORKVM_FORKSERVER_SERVER_WATCH_H
#define FORKVM_FORKSERVER_SERVER_WATCH_H

enum watch_kind {
	WATCH_WAKE,	/* a signal asks to stop      */
	WATCH_LISTENER, /* a client connects          */
	WATCH_CONN,	/* struct conn: a client      */
	WATCH_CLONE,	/* struct clone: its end      */
	WATCH_ANCHOR,	/* struct anchor: its end     */
};

struct watch {
	enum watch_kind kind;
};

#endif
