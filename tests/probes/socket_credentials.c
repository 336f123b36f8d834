/* SPDX-License-Identifier: MIT */
/*
 * Probe: on a seqpacket pair whose far end many processes share, each message carries the pid of
 * the process that sent it, filled in by the kernel.
 *
 * By this the server knows which clone wrote a status record although all clones of a template
 * inherit the same descriptor. (A process with CAP_SYS_ADMIN could state another pid; a clone has
 * dropped that.)
 */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SENDERS 8

/* Receive one message; returns the pid it carries and stores the one it states. */
static pid_t receive(int fd, pid_t *ret_stated)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {.iov_base = ret_stated, .iov_len = sizeof(*ret_stated)};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	struct ucred credentials;

	probe_need(recvmsg(fd, &message, 0) == (ssize_t)sizeof(*ret_stated), "recvmsg");
	header = CMSG_FIRSTHDR(&message);
	probe_need(header && header->cmsg_type == SCM_CREDENTIALS, "no credentials came");
	memcpy(&credentials, CMSG_DATA(header), sizeof(credentials));
	return credentials.pid;
}

int main(void)
{
	int pair[2], on = 1;

	probe_need(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	probe_need(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0, "PASSCRED");
	for (int sender = 0; sender < SENDERS; sender++) {
		pid_t pid = fork();

		probe_need(pid >= 0, "fork");
		if (pid == 0) {
			pid = getpid();
			_exit(send(pair[1], &pid, sizeof(pid), MSG_NOSIGNAL) != sizeof(pid));
		}
	}
	for (int sender = 0; sender < SENDERS; sender++) {
		pid_t stated, carried = receive(pair[0], &stated);

		probe_check(carried == stated, "sender %d, carried %d", stated, carried);
		probe_check(carried != getpid(), "not the pid that made the pair");
	}
	while (wait(NULL) > 0)
		;
	if (probe_result() == 0)
		probe_say("%d senders on one shared end, each known by its pid", SENDERS);
	return probe_result();
}
