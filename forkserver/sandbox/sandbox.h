/* SPDX-License-Identifier: MIT */
/*
 * What the server and its clones may still do once it serves.
 */
#ifndef FORKVM_FORKSERVER_SANDBOX_SANDBOX_H
#define FORKVM_FORKSERVER_SANDBOX_SANDBOX_H

#include <stdbool.h>

#include "vmm/base/error.h"

/*
 * Is this a build that can be locked down? Not with a sanitizer or coverage, whose runtimes open
 * files and make processes of their own.
 */
bool sandbox_available(void);

/* What clones need beyond the least. */
struct sandbox_needs {
	bool threads; /* several vCPUs, or devices: they make threads until sandbox_seal_threads */
	bool lines;   /* one thread, but devices that interrupt: they make eventfds              */
	bool spares;  /* some are made ahead, and claimed by a packet with descriptors           */
	bool resets;  /* and reset; not with disks */
	bool disks;   /* they do I/O, with what they make until nursery_leave */
	bool files;   /* of disks: in the folder of overlays they make files later, too   */
	bool rings;   /* of disks: io_uring_setup is to be told of                        */
};

/*
 * Lock this process, and every process forked from it, down for good: no new privileges, no
 * capabilities, no core dumps, and the filter of sandbox_rules.c, by which the server-only system
 * calls work through the gate alone (gate.h), so not in a clone. All that needs files, sockets or
 * programs comes before. *ret_rings_fd (the caller's) tells of clones that ask for rings; -1 where
 * that is not needed, or cannot be had.
 * Errors: -ENOSYS without seccomp, -EACCES, -ENOMEM. Does nothing where it is not available.
 */
int sandbox_enter(const struct sandbox_needs *needs, int *ret_rings_fd, struct error *error);

/*
 * In a clone with further threads (vCPUs, devices), when all of them exist: no more of them, and
 * signals only to itself. Applies to all its threads.
 */
int sandbox_seal_threads(struct error *error);

/*
 * In the anchor, before sandbox_enter: nothing but waiting is allowed from here on. Failure is
 * returned, and harmless: the anchor does nothing else anyway.
 */
int sandbox_enter_idle(void);

#endif
