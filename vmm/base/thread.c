/* SPDX-License-Identifier: MIT */
/*
 * Threads: see thread.h.
 */
#include "vmm/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "vmm/base/util.h"

/* The thread sanitizer keeps much of its own on each stack. */
#ifdef __SANITIZE_THREAD__
#define STACK_BYTES (2 * MIB)
#else
#define STACK_BYTES (128 * KIB)
#endif

/*
 * A stack of our own, with a page that faults below it. The C library would keep its stacks after
 * the threads' ends, and every fork would copy those mappings.
 */
static int make_stack(struct thread *thread)
{
	void *stack = mmap(NULL, STACK_BYTES, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (stack == MAP_FAILED)
		return -errno;
	if (mprotect((char *)stack + PAGE_BYTES, STACK_BYTES - PAGE_BYTES, PROT_READ | PROT_WRITE) <
	    0) {
		int rc = -errno;

		munmap(stack, STACK_BYTES);
		return rc;
	}
	thread->stack = stack;
	return 0;
}

static void free_stack(struct thread *thread)
{
	if (thread->stack)
		munmap(thread->stack, STACK_BYTES);
	thread->stack = NULL;
}

int thread_start(struct thread *thread, void *(*main)(void *), void *argument, int signal)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int rc = make_stack(thread);

	if (rc < 0)
		return rc;
	sigfillset(&all);
	if (signal)
		sigdelset(&all, signal);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, (char *)thread->stack + PAGE_BYTES, STACK_BYTES - PAGE_BYTES);
	rc = pthread_create(&thread->id, &attr, main, argument);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	thread->exists = rc == 0;
	if (rc)
		free_stack(thread);
	return -rc;
}

void thread_join(struct thread *thread)
{
	if (!thread->exists)
		return;
	pthread_join(thread->id, NULL);
	free_stack(thread);
	thread->exists = false;
}
