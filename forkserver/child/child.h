/* SPDX-License-Identifier: MIT */
/*
 * A clone's process, as its files share it: child.c, child_claim.c for one that was made ahead, and
 * child_session.c for one that is asked more than once.
 */
#ifndef FORKVM_FORKSERVER_CHILD_CHILD_H
#define FORKVM_FORKSERVER_CHILD_CHILD_H

#include <sched.h>

#include "forkserver/launch/launch.h"

struct child {
	const struct launch *launch;
	int answer_fd; /* -1: none */
	int console_fd;
	int claim_fd; /* of a spare */
	int ram_fd;   /* of one that may be reset */
	bool session;
	bool framed;		      /* one of a batch: answers begin with a header */
	uint32_t index;		      /* then: which                                 */
	bool is_spare;		      /* nobody has claimed it yet */
	bool learns;		      /* the working set is still to be told */
	bool may_reset;		      /* after the present claim */
	uint64_t next_id;	      /* then */
	bool has_told;		      /* the report of the present life was sent */
	struct machine_serial serial; /* leads to console_fd */
	struct error client_error; /* what the client did that ends its clone; no code: nothing */
	struct error wake_error;   /* why it could not go on after a sleep; likewise            */
	bool asleep;		   /* it has no VM                                              */
	bool sleepless;		   /* it tried, and cannot */
	bool was_sleepless;	   /* it tried, could not, and said so */
	struct report report;
};

/* From here on this thread runs on the CPUs of set. */
void child_move(const cpu_set_t *set);

/*
 * After a call on fd that failed: 0 when it is to be made again, which is as soon as fd can be read
 * or written, whatever its flags are; otherwise -errno.
 */
int child_try_again(int fd, short events);

/* Send one packet on a socket, however long it takes. -errno. */
int child_send_packet(int fd, const void *data, size_t len);

/* Have the serial port lead to the console descriptor. */
void child_set_serial(struct child *child);

/* A new identity under that id. -errno in words. */
int child_take_identity(uint64_t id, struct forkvm_identity *ret_identity, struct error *error);

/* Send the report, whoever takes it. */
void child_send_report(struct child *child);

/*
 * child_reset.c: the machine has run to its end. If it may, put it back and have it ready for
 * another run, and return true. False: this was its last life.
 */
bool child_begin_again(struct child *child);

/*
 * Wait for a claim: 1, with its request in buf; 0 when there will be none. -errno: the server does
 * not keep to the rules.
 */
int child_take_claim(struct child *child, void *buf, size_t capacity, size_t *ret_len);

/*
 * A spare's first park: wait until it is claimed. As a sink's park: 1 with the claim's request in
 * buf, 0 when there will be none.
 */
int child_await_claim(struct child *child, void *buf, size_t capacity, size_t *ret_len);

/* A session's next request. As a sink's park: 1 with it in buf, 0 when its client has left. */
int child_await_request(struct child *child, void *buf, size_t capacity, size_t *ret_len);

#endif
