/* SPDX-License-Identifier: MIT */
/*
 * The socket that clients find the server by, and the lock that says whose it is.
 */
#ifndef FORKVM_FORKSERVER_SERVER_LISTENER_H
#define FORKVM_FORKSERVER_SERVER_LISTENER_H

#include <stdbool.h>

#include "forkserver/proto/protocol.h"
#include "vmm/base/error.h"

struct listener {
	int fd;	     /* owned; clones close it               */
	int lock_fd; /* owned; holds the lock; clones close it */
	bool bound;
	char path[FORKVM_SOCKET_PATH_SIZE];
	char lock_path[FORKVM_SOCKET_PATH_SIZE + 8];
};

/*
 * Take the path: lock path.lock, remove a socket that a dead server left, bind. Nobody can connect
 * before listener_open. everybody: let other users connect (who they are is checked later).
 * Errors in words: -EADDRINUSE (a living server has it; the text says which), -EEXIST (there is
 * something else), -ENAMETOOLONG, -ENOENT, -EACCES.
 */
int listener_init(struct listener *listener, const char *path, bool everybody, struct error *error);

/* Begin to accept connections. */
int listener_open(struct listener *listener, struct error *error);

/* Remove socket and lock, close both. Works in a locked-down server. */
void listener_done(struct listener *listener);

#endif
