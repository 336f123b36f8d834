/* SPDX-License-Identifier: MIT */
/* Places for clones and their descriptors; see slots.h. */
#define _GNU_SOURCE
#include "bench/storm/slots.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* As many files as this process may have. */
static size_t raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return (size_t)limit.rlim_max;
}

static int watch(const struct slots *slots, const struct slot *slot)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = slot_index(slots, slot)};

	return epoll_ctl(slots->epoll, EPOLL_CTL_ADD, slot->near_fd, &event) < 0 ? -errno : 0;
}

/* Make what the place has not got. 0, or -errno. */
static int equip(const struct slots *slots, struct slot *slot)
{
	int pair[2], on = 1, rc;

	if (slots->kind == SLOTS_BARE || (slot->near_fd >= 0 && slot->far_fd >= 0))
		return 0;
	if (slots->kind == SLOTS_PIPES) {
		/* The clone's end must block: it is the client's to read fast enough. */
		if (pipe2(pair, O_CLOEXEC) < 0)
			return -errno;
		fcntl(pair[0], F_SETFL, O_NONBLOCK);
	} else {
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
			return -errno;
		setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	}
	slot->near_fd = pair[0];
	slot->far_fd = pair[1];
	rc = watch(slots, slot);
	if (rc < 0) {
		close(pair[0]);
		close(pair[1]);
		slot->near_fd = slot->far_fd = -1;
	}
	return rc;
}

int slots_init(struct slots *slots, size_t count, enum slots_kind kind, int epoll, size_t reserve)
{
	const size_t each[] = {[SLOTS_PIPES] = 2, [SLOTS_SOCKETS] = 1, [SLOTS_BARE] = 0};
	size_t files = raise_file_limit(), needed = each[kind] * count + reserve;

	*slots = (struct slots){.count = count, .kind = kind, .epoll = epoll};
	slots->list = calloc(count, sizeof(*slots->list));
	slots->free_list = calloc(count, sizeof(*slots->free_list));
	if (!slots->list || !slots->free_list) {
		fprintf(stderr, "clone_storm: no memory for %zu clones at once\n", count);
		slots_done(slots);
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		slots->list[i].near_fd = slots->list[i].far_fd = -1;
		/* Taken from the end: the first place comes first. */
		slots->free_list[slots->free_count++] = count - 1 - i;
	}
	if (needed > files) {
		fprintf(stderr,
			"clone_storm: %zu clones at once need about %zu open files and this "
			"process "
			"may have %zu: raise the hard limit (ulimit -Hn)\n",
			count, needed, files);
		slots_done(slots);
		return -1;
	}
	slots->eager = 2 * count + reserve <= files;
	for (size_t i = 0; slots->eager && i < count; i++) {
		int rc = equip(slots, &slots->list[i]);

		if (rc < 0) {
			fprintf(stderr, "clone_storm: answer descriptors: %s\n", strerror(-rc));
			slots_done(slots);
			return -1;
		}
	}
	return 0;
}

void slots_done(struct slots *slots)
{
	for (size_t i = 0; slots->list && i < slots->count; i++) {
		slot_let_go(slots, &slots->list[i]);
		if (slots->list[i].far_fd >= 0)
			close(slots->list[i].far_fd);
		free(slots->list[i].partial);
	}
	free(slots->list);
	free(slots->free_list);
	*slots = (struct slots){0};
}

struct slot *slots_take(struct slots *slots, int *ret_error)
{
	struct slot *slot;

	*ret_error = 0;
	if (slots->free_count == 0)
		return NULL;
	slot = &slots->list[slots->free_list[slots->free_count - 1]];
	*ret_error = equip(slots, slot);
	if (*ret_error < 0)
		return NULL;
	slots->free_count--;
	slot->busy = true;
	slot->answered = slot->failed = false;
	slot->pid = 0;
	slot->partial_length = 0;
	return slot;
}

void slots_give(struct slots *slots, struct slot *slot)
{
	slot->busy = false;
	if (slots->kind == SLOTS_SOCKETS) { /* the next clone here gets a socket of its own */
		slot_close_far(slots, slot);
		slot_let_go(slots, slot);
	}
	free(slot->partial);
	slot->partial = NULL;
	slots->free_list[slots->free_count++] = slot_index(slots, slot);
}

void slot_close_far(struct slots *slots, struct slot *slot)
{
	if (slots->kind == SLOTS_SOCKETS && slot->far_fd >= 0) {
		close(slot->far_fd);
		slot->far_fd = -1;
	}
}

void slot_let_go(struct slots *slots, struct slot *slot)
{
	(void)slots;
	if (slot->near_fd >= 0) {
		close(slot->near_fd);
		slot->near_fd = -1;
	}
}

/* A packet, and who sent it. */
static ssize_t receive(int fd, char *buffer, size_t capacity, pid_t *ret_pid)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {.iov_base = buffer, .iov_len = capacity};
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT);
	struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	struct ucred credentials;

	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS) {
		memcpy(&credentials, CMSG_DATA(header), sizeof(credentials));
		*ret_pid = credentials.pid;
	}
	return got;
}

ssize_t slot_read(const struct slots *slots, struct slot *slot, char *buffer, size_t capacity,
		  pid_t *ret_pid)
{
	ssize_t got;

	if (slot->near_fd < 0)
		return 0;
	do
		got = slots->kind == SLOTS_SOCKETS
			      ? receive(slot->near_fd, buffer, capacity, ret_pid)
			      : read(slot->near_fd, buffer, capacity);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? 0 : -errno;
	return got;
}
