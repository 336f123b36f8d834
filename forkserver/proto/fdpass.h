/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in messages: the control data of sendmsg and recvmsg (unix(7), SCM_RIGHTS).
 */
#ifndef FORKVM_FORKSERVER_PROTO_FDPASS_H
#define FORKVM_FORKSERVER_PROTO_FDPASS_H

#include <stddef.h>
#include <sys/socket.h>

#include "forkserver/proto/protocol.h"

/* Control data of one message: the most descriptors that this protocol sends at once. */
union fdpass_control {
	char bytes[CMSG_SPACE(FORKVM_PROTOCOL_MAX_DESCRIPTORS * sizeof(int))];
	struct cmsghdr align;
};

/*
 * Add count descriptors (at most FORKVM_PROTOCOL_MAX_DESCRIPTORS, 0 is fine) to the message, using
 * *control, which must live until the message is sent. The descriptors stay the caller's.
 */
void fdpass_attach(struct msghdr *message, union fdpass_control *control, const int *fds,
		   size_t count);

/* Make the message ready to receive descriptors into *control. */
void fdpass_prepare(struct msghdr *message, union fdpass_control *control);

/*
 * Take the descriptors out of a received message: into fds, at most capacity (further ones are
 * closed), *ret_count of them, now the caller's. -EMFILE when the kernel or capacity had to drop
 * some; what came is in fds all the same.
 */
int fdpass_take(struct msghdr *message, int *fds, size_t capacity, size_t *ret_count);

#endif
