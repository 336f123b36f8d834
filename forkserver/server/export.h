/* SPDX-License-Identifier: MIT */
/*
 * Exports: a clone is stopped, and a client reads its disk by the descriptors of all layers.
 *
 *	request ---> SIGSTOP ... it has stopped ---> descriptors, by pidfd_getfd(2) ---> the client
 *								reads, then "release" ---> SIGCONT
 *
 * It is stopped, so that nothing in its overlay changes meanwhile; and it goes on when the client
 * says so, or leaves, or when the export's time is up. The clone's own part in it is none.
 */
#ifndef FORKVM_FORKSERVER_SERVER_EXPORT_H
#define FORKVM_FORKSERVER_SERVER_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "forkserver/base/timers.h"
#include "forkserver/proto/request.h"

struct server;
struct conn;
struct clone;

enum export_state {
	EXPORT_NONE,
	EXPORT_STOPPING, /* the clone was told to stop; the client waits for its reply */
	EXPORT_HELD,	 /* it has stopped, and the client has the descriptors         */
	EXPORT_EXPIRED,	 /* it was let go on too early for the client                  */
};

/* Each connection has room for one. */
struct export_hold {
	enum export_state state;
	struct clone *clone; /* while it is stopping or held, and alive; else NULL */
	uint64_t clone_id;
	unsigned int disk;
	uint64_t limit_ns;   /* how long it may be held      */
	uint64_t stop_by_ns; /* when it must have stopped    */
	struct timer timer;
	char tag[REQUEST_TAG_SIZE];
};

void export_init(struct export_hold *hold);

/* The operations of the protocol. */
void export_start(struct server *server, struct conn *conn, const struct request *request);
void export_release(struct server *server, struct conn *conn, const struct request *request);

/* The connection is closing: its clone goes on. */
void export_drop(struct server *server, struct conn *conn);

/* The clone has ended, which some connections may wait for or hold. Before its record is freed. */
void export_on_clone_end(struct server *server, struct clone *clone);

#endif
