/* SPDX-License-Identifier: MIT */
/*
 * The anchor process: holds one idle VM, so that a clone is never the host's first or last one.
 * What that saves is told in vmm/kvm/anchor.h.
 */
#ifndef FORKVM_FORKSERVER_SERVER_ANCHOR_H
#define FORKVM_FORKSERVER_SERVER_ANCHOR_H

#include <stdint.h>
#include <sys/types.h>

#include "forkserver/base/timers.h"
#include "forkserver/base/watch.h"

struct server;

struct anchor {
	struct watch watch;
	struct timer restart;
	pid_t pid;
	int pidfd; /* owned; clones drop it; -1 when there is no anchor */
};

/* No process yet. */
void anchor_init(struct anchor *anchor);

/*
 * Fork the anchor. It dies with the server. Its failure costs speed and nothing else: it is logged,
 * and tried again later.
 */
void anchor_start(struct server *server);

/* Its pidfd is readable: it died. */
void anchor_on_exit(struct server *server);

/* Kill it and wait for it; fine when there is none. */
void anchor_done(struct anchor *anchor);

#endif
