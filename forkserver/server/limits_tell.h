/* SPDX-License-Identifier: MIT */
/*
 * The host's limits as a server tells of them: in its log when it starts, and when asked.
 */
#ifndef FORKVM_FORKSERVER_SERVER_LIMITS_TELL_H
#define FORKVM_FORKSERVER_SERVER_LIMITS_TELL_H

struct server;

/*
 * Read and judge the limits, with the template frozen and before the lock-down, and log the
 * verdict: as a warning when --max-clones asks for more.
 */
void limits_take(struct server *server);

#endif
