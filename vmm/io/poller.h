/* SPDX-License-Identifier: MIT */
/*
 * Waiting for descriptors, for the one thread of a VM that serves its devices.
 *
 * A VM has few descriptors, and poll(2) needs none of its own: nothing to make anew in a clone but
 * the eventfd that wakes the thread.
 */
#ifndef FORKVM_VMM_IO_POLLER_H
#define FORKVM_VMM_IO_POLLER_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>

#define POLLER_FDS_MAX 40

/* Called with the lock held. */
typedef void (*poller_handler)(void *ctx, short revents);

struct poller {
	int wake_fd;  /* owned; -1 before poller_init */
	bool stopped; /* the thread is to return      */
	nfds_t count; /* entry 0 is wake_fd           */
	struct pollfd fds[POLLER_FDS_MAX];
	struct {
		poller_handler handler;
		void *ctx;
	} what[POLLER_FDS_MAX];
};

/* -errno when there is no descriptor to be had. */
int poller_init(struct poller *poller);
void poller_done(struct poller *poller);

/*
 * Call handler when fd, which stays the caller's, is ready for events. Returns the entry's number.
 * Our own mistake if there are too many.
 */
unsigned int poller_add(struct poller *poller, int fd, short events, poller_handler handler,
			void *ctx);

/* Wait for other events from now on (0: for none). With the lock held, from any thread. */
void poller_set(struct poller *poller, unsigned int entry, short events);

/* Entries were added: wait for them, too. From any thread. */
void poller_wake(const struct poller *poller);

/* Have poller_run return. With the lock held, from any thread. */
void poller_stop(struct poller *poller);

/* What is done around the handlers of each round. */
struct poller_rounds {
	void (*begin)(void *ctx); /* before them, with the lock         */
	void (*end)(void *ctx);	  /* behind them, still with it         */
	void (*after)(void *ctx); /* when it was given back; before the first round, too */
	void *ctx;
};

/*
 * Serve until poller_stop. lock is held while handlers run, and not while waiting. rounds may be
 * NULL.
 */
void poller_run(struct poller *poller, pthread_mutex_t *lock, const struct poller_rounds *rounds);

#endif
