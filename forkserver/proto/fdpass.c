/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in messages (unix(7), SCM_RIGHTS).
 */
#include "forkserver/proto/fdpass.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

void fdpass_attach(struct msghdr *message, union fdpass_control *control, const int *fds,
		   size_t count)
{
	struct cmsghdr *header;

	assert(count <= FORKVM_PROTOCOL_MAX_DESCRIPTORS);
	if (!count)
		return;
	message->msg_control = control->bytes;
	message->msg_controllen = CMSG_SPACE(count * sizeof(int));
	header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), fds, count * sizeof(int));
}

void fdpass_prepare(struct msghdr *message, union fdpass_control *control)
{
	message->msg_control = control->bytes;
	message->msg_controllen = sizeof(control->bytes);
}

int fdpass_take(struct msghdr *message, int *fds, size_t capacity, size_t *ret_count)
{
	int ret = message->msg_flags & MSG_CTRUNC ? -EMFILE : 0;
	struct cmsghdr *header;
	size_t taken = 0;

	for (header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
		size_t count;

		if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
			continue;
		count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
			if (taken < capacity) {
				fds[taken++] = fd;
			} else {
				close(fd);
				ret = -EMFILE;
			}
		}
	}
	*ret_count = taken;
	return ret;
}
