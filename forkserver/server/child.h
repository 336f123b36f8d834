/* SPDX-License-Identifier: MIT */
/*
 * A clone's process, as its files share it: child.c, and child_claim.c for one that was made ahead.
 */
#ifndef FORKVM_FORKSERVER_SERVER_CHILD_H
#define FORKVM_FORKSERVER_SERVER_CHILD_H

#include "forkserver/server/launch.h"

struct child {
	const struct launch *launch;
	int answer_fd; /* -1: none */
	int console_fd;
	int claim_fd; /* of a spare */
	bool session;
	bool is_spare;		      /* nobody has claimed it yet */
	struct machine_serial serial; /* leads to console_fd */
	struct error client_error; /* what the client did that ends its clone; no code: nothing */
	struct report report;
};

/* Send one packet on a socket, however long it takes. -errno. */
int child_send_packet(int fd, const void *data, size_t len);

/* Have the serial port lead to the console descriptor. */
void child_set_serial(struct child *child);

/*
 * A spare's first park: wait until it is claimed. As a sink's park: 1 with the claim's request in
 * buf, 0 when there will be none.
 */
int child_await_claim(struct child *child, void *buf, size_t capacity, size_t *ret_len);

#endif
