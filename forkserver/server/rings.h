/* SPDX-License-Identifier: MIT */
/*
 * Rings (io_uring) for clones whose guests run already, made by the server.
 *
 * Theory of operation. A ring takes a clone 20 to 40 us, and many a clone never has two requests at
 * once; so it is to have one when it needs one. But whoever may call io_uring_setup(2) can have the
 * kernel do nearly everything, past any filter, and no filter sees what kind of ring is asked for.
 * So a clone asks for one by making that call, and the filter does not let it through but has the
 * server told (SECCOMP_RET_USER_NOTIF, seccomp_unotify(2)). The server looks at nothing that the
 * clone says: it makes a ring that is restricted for good (vmm/block/ring.h), puts it into the
 * clone's table of descriptors, and that number is what the call returns. Where things are in a
 * ring's memory is the same for all of them, and is learnt from one before the filter is there.
 *
 * A clone has at most as many as it has disks; what asks for more, or is no clone's first thread,
 * is refused.
 */
#ifndef FORKVM_FORKSERVER_SERVER_RINGS_H
#define FORKVM_FORKSERVER_SERVER_RINGS_H

#include <stdbool.h>

#include "forkserver/base/watch.h"
#include "vmm/base/error.h"

struct server;

struct rings {
	int fd; /* owned: what the filter tells of calls; -1: clones make their own, early */
	struct watch watch;
};

/* No rings are made for clones. */
void rings_init(struct rings *rings);
void rings_done(struct rings *rings);

/*
 * Before the filter: learn what rings look like. False: there are none here, and none need be
 * asked for.
 */
bool rings_learn(void);

/* With the filter: fd (taken) tells of calls. From now on clones get their rings so. -errno. */
int rings_serve(struct server *server, int fd, struct error *error);

/* A clone asks for one. */
void rings_on_request(struct server *server);

#endif
