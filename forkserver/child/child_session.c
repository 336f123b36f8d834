/* SPDX-License-Identifier: MIT */
/*
 * A session's clone between two requests. It waits for the next one awake at first, and then asleep
 * (machine_sleep), where its server was told so (--sleep-after).
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forkserver/base/log.h"
#include "forkserver/child/child.h"
#include "forkserver/policy/cpu_split.h"

/* Is it the host that lacks something at the moment, rather than the guest whose state it is? */
static bool may_pass(int rc)
{
	return rc == -EAGAIN || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;
}

static void fall_asleep(struct child *child)
{
	const struct cpu_split *cpus = child->launch->cpus;
	struct error error;
	int rc;

	/* It is some work, and is to be in nobody's way. */
	if (cpus)
		child_move(&cpus->making);
	rc = machine_sleep(child->launch->machine, &error);
	if (cpus)
		child_move(&cpus->all);
	if (rc < 0) {
		if (!child->was_sleepless)
			log_warning("clone %llu stays awake: %s",
				    (unsigned long long)child->report.clone_id, error.text);
		child->was_sleepless = true;
		child->sleepless = !may_pass(rc);
		return;
	}
	child->asleep = true;
	child->may_reset = false;
	child->report.sleeps++;
}

/* Return when there is something to be received, or without that when this clone sleeps. */
static void wait_awake(struct child *child)
{
	const uint32_t sleep_after_ms = child->launch->sleep_after_ms;
	struct pollfd pollfd = {.fd = child->answer_fd, .events = POLLIN};
	long ready;

	if (!sleep_after_ms || child->sleepless)
		return;
	do
		ready = syscall(SYS_poll, &pollfd, 1, (int)sleep_after_ms);
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		fall_asleep(child);
}

static int wake_up(struct child *child)
{
	int rc;

	if (!child->asleep)
		return 0;
	child->asleep = false;
	rc = machine_wake(child->launch->machine, &child->wake_error);
	if (rc < 0)
		error_prefix(&child->wake_error, "wake up for the next request");
	return rc;
}

/* The next packet, or 0 at the end of them. With MSG_TRUNC the kernel tells its own length. -errno.
 */
static ssize_t receive(int fd, void *buf, size_t capacity)
{
	for (;;) {
		ssize_t len = syscall(SYS_recvfrom, fd, buf, capacity, MSG_TRUNC, NULL, NULL);
		int rc;

		if (len >= 0)
			return len;
		if (errno == ECONNRESET)
			return 0;
		rc = child_try_again(fd, POLLIN);
		if (rc < 0)
			return rc;
	}
}

int child_await_request(struct child *child, void *buf, size_t capacity, size_t *ret_len)
{
	ssize_t len;
	int rc;

	wait_awake(child);
	len = receive(child->answer_fd, buf, capacity);
	if (len > 0 && (size_t)len > capacity)
		return error_set(&child->client_error, EMSGSIZE,
				 "its client sent a request of %zd bytes where this guest "
				 "takes at most %zu",
				 len, capacity);
	/* One whose client has left need not be woken for its end. */
	if (len <= 0)
		return (int)len;
	rc = wake_up(child);
	if (rc < 0)
		return rc;
	*ret_len = (size_t)len;
	return 1;
}
