/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/base/thread.c. */
#include "vmm/base/thread.h"

#include <criterion/criterion.h>
#include <signal.h>

static void *look_at_signals(void *argument)
{
	sigset_t *set = argument;

	pthread_sigmask(SIG_SETMASK, NULL, set);
	return NULL;
}

Test(thread, takes_its_signal_and_no_other)
{
	struct thread thread = {0};
	sigset_t before, in_thread, after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	cr_assert_eq(thread_start(&thread, look_at_signals, &in_thread, SIGUSR1), 0);
	cr_assert(thread.exists);
	thread_join(&thread);
	cr_assert_not(thread.exists);
	cr_assert_null(thread.stack);
	cr_assert_not(sigismember(&in_thread, SIGUSR1));
	cr_assert(sigismember(&in_thread, SIGTERM));
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	cr_assert_eq(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

Test(thread, joining_one_that_never_was)
{
	struct thread thread = {0};

	thread_join(&thread);
}
