/* SPDX-License-Identifier: MIT */
/*
 * Batches: one message that asks for many clones.
 *
 * Theory of operation. A batch is a note on its connection of what is still to be started. Its
 * clones are started one after another, a few in each round of the loop, so that others get their
 * turn between them; each is like one that was asked for alone, but that its messages, and the
 * packets of its answers, tell which of the batch it is. Where there is no room, or as many of it
 * are alive as it wants at once, it waits for the end of one of its own.
 */
#ifndef FORKVM_FORKSERVER_SERVER_BATCH_H
#define FORKVM_FORKSERVER_SERVER_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "forkserver/proto/request.h"
#include "vmm/base/error.h"

struct clone;
struct conn;
struct server;

/* Batches that one connection may have under way. */
#define BATCHES_MAX 16

/*
 * Take a request with a count; its clones are started by batch_work. Takes the descriptors that
 * come with it, whatever happens. Errors are those of one clone, and -EBUSY: too many under way.
 */
int batch_begin(struct server *server, struct conn *conn, const struct request *request,
		struct error *error);

/* Start some. True: there is more that can be done at once. The connection may be dead then. */
bool batch_work(struct server *server, struct conn *conn);

/* A clone of one is alive, or is no longer. */
void batch_on_begin(struct batch *batch);
void batch_on_end(struct server *server, struct clone *clone);

/* The connection is gone: forget what was not started. */
void batch_drop_all(struct conn *conn);

#endif
