/* SPDX-License-Identifier: MIT */
/*
 * A thread with a stack of its own.
 */
#ifndef FORKVM_VMM_BASE_THREAD_H
#define FORKVM_VMM_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

struct thread {
	pthread_t id;
	void *stack; /* owned; NULL without one      */
	bool exists; /* it is to be joined, or owned */
};

/*
 * Run main(argument) on a new thread that takes no signal but `signal` (0: none at all). -errno,
 * positive never.
 */
int thread_start(struct thread *thread, void *(*main)(void *), void *argument, int signal);

/* Wait for its end, if it was started. */
void thread_join(struct thread *thread);

#endif
