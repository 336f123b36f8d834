/* SPDX-License-Identifier: MIT */
/*
 * Waiting for descriptors: see poller.h.
 */
#include "vmm/io/poller.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

static void on_wake(void *ctx, short revents)
{
	struct poller *poller = ctx;
	uint64_t count;

	(void)revents;
	(void)!read(poller->wake_fd, &count, sizeof(count));
}

int poller_init(struct poller *poller)
{
	memset(poller, 0, sizeof(*poller));
	poller->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (poller->wake_fd < 0)
		return -errno;
	poller_add(poller, poller->wake_fd, POLLIN, on_wake, poller);
	return 0;
}

void poller_done(struct poller *poller)
{
	fd_close(&poller->wake_fd);
	poller->count = 0;
}

unsigned int poller_add(struct poller *poller, int fd, short events, poller_handler handler,
			void *ctx)
{
	unsigned int entry = (unsigned int)poller->count++;

	assert(entry < POLLER_FDS_MAX);
	poller->fds[entry] = (struct pollfd){.fd = fd, .events = events};
	poller->what[entry].handler = handler;
	poller->what[entry].ctx = ctx;
	return entry;
}

void poller_wake(const struct poller *poller)
{
	const uint64_t one = 1;

	(void)!write(poller->wake_fd, &one, sizeof(one));
}

void poller_set(struct poller *poller, unsigned int entry, short events)
{
	if (poller->fds[entry].events == events)
		return;
	poller->fds[entry].events = events;
	poller_wake(poller);
}

void poller_stop(struct poller *poller)
{
	poller->stopped = true;
	poller_wake(poller);
}

/* What to wait for, as of now. */
static nfds_t copy_fds(const struct poller *poller, struct pollfd fds[POLLER_FDS_MAX])
{
	for (nfds_t i = 0; i < poller->count; i++) {
		fds[i] = poller->fds[i];
		/* A hang-up would be told again and again: it counts only when asked. */
		if (!fds[i].events)
			fds[i].fd = -1;
	}
	return poller->count;
}

static void serve(struct poller *poller, const struct pollfd *fds, nfds_t count,
		  const struct poller_rounds *rounds)
{
	if (rounds)
		rounds->begin(rounds->ctx);
	for (nfds_t i = 0; i < count && !poller->stopped; i++)
		if (fds[i].revents)
			poller->what[i].handler(poller->what[i].ctx, fds[i].revents);
	if (rounds)
		rounds->end(rounds->ctx);
}

static void give_back(pthread_mutex_t *lock, const struct poller_rounds *rounds)
{
	pthread_mutex_unlock(lock);
	if (rounds)
		rounds->after(rounds->ctx);
}

void poller_run(struct poller *poller, pthread_mutex_t *lock, const struct poller_rounds *rounds)
{
	struct pollfd fds[POLLER_FDS_MAX];

	pthread_mutex_lock(lock);
	while (!poller->stopped) {
		nfds_t count = copy_fds(poller, fds);

		give_back(lock, rounds);
		if (poll(fds, count, -1) < 0)
			count = 0; /* EINTR, or memory is short: try again */
		pthread_mutex_lock(lock);
		serve(poller, fds, count, rounds);
	}
	give_back(lock, rounds);
}
