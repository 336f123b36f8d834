/* SPDX-License-Identifier: MIT */
/*
 * A spare's process between its first park and its claim. What comes after the claim is waited for
 * by a client: no system calls but the two that bring it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "forkserver/child/child.h"
#include "forkserver/launch/claim.h"
#include "forkserver/policy/cpu_split.h"
#include "vmm/base/util.h"

union control {
	char bytes[CMSG_SPACE(CLAIM_FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

/* The descriptors that came with the claim are its own now: as many as it announces. */
static int take_descriptors(struct child *child, struct msghdr *message, uint32_t flags)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	size_t announced = (flags & CLAIM_ANSWER ? 1u : 0) + (flags & CLAIM_CONSOLE ? 1u : 0);
	int fds[CLAIM_FDS_MAX];
	size_t next = 0;

	if (!announced)
		return 0;
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(announced * sizeof(int)))
		return -EBADMSG;
	memcpy(fds, CMSG_DATA(header), announced * sizeof(int));
	if (flags & CLAIM_ANSWER)
		child->answer_fd = fds[next++];
	if (flags & CLAIM_CONSOLE)
		child->console_fd = fds[next];
	return 0;
}

/*
 * One packet: the claim, and its request straight into the guest's memory. It is looked at first
 * and taken then: a process that was killed while it waited here may still come as far as to
 * receive what has arrived meanwhile, but it makes no further call. So what it has taken it is
 * alive to serve.
 */
static ssize_t receive(int fd, struct claim *claim, union control *control, struct msghdr *message,
		       void *buf, size_t capacity)
{
	struct iovec iov[] = {
		{.iov_base = claim, .iov_len = sizeof(*claim)},
		{.iov_base = buf, .iov_len = capacity},
	};
	ssize_t len;

	do {
		*message = (struct msghdr){
			.msg_iov = iov,
			.msg_iovlen = ARRAY_SIZE(iov),
			.msg_control = control,
			.msg_controllen = sizeof(*control),
		};
		len = syscall(SYS_recvmsg, fd, message, MSG_PEEK | MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == EINTR);
	if (len > 0 && syscall(SYS_recvfrom, fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) < 0)
		len = -1;
	return len < 0 ? -errno : len;
}

int child_take_claim(struct child *child, void *buf, size_t capacity, size_t *ret_len)
{
	union control control;
	struct msghdr message;
	struct claim claim;
	ssize_t len = receive(child->claim_fd, &claim, &control, &message, buf, capacity);
	int rc;

	/* A server that is gone, or has closed its end, will ask nothing. */
	if (len == 0 || len == -ECONNRESET)
		return 0;
	if (len < 0)
		return (int)len;
	child->report.awake_ns = now_ns();
	if ((size_t)len < sizeof(claim) || (size_t)len - sizeof(claim) != claim.request_len ||
	    message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		return -EBADMSG;
	rc = take_descriptors(child, &message, claim.flags);
	if (rc < 0)
		return rc;
	child->is_spare = false;
	child->session = claim.flags & CLAIM_SESSION;
	child->framed = claim.flags & CLAIM_FRAMED;
	child->index = claim.index;
	child->may_reset = claim.flags & CLAIM_RESET;
	child->next_id = claim.next_id;
	*ret_len = claim.request_len;
	return 1;
}

int child_await_claim(struct child *child, void *buf, size_t capacity, size_t *ret_len)
{
	const struct cpu_split *cpus = child->launch->cpus;
	const char parked = CLAIM_PARKED;
	int rc;

	if (cpus)
		child_move(&cpus->all);
	rc = child_send_packet(child->claim_fd, &parked, sizeof(parked));

	if (rc == 0)
		rc = child_take_claim(child, buf, capacity, ret_len);
	if (rc == 1 && child->console_fd >= 0) {
		child_set_serial(child);
		machine_connect_serial(child->launch->machine);
	}
	return rc;
}
