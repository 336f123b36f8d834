/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/io/poller.c. */
#include "vmm/io/poller.h"

#include <criterion/criterion.h>
#include <unistd.h>

struct seen {
	struct poller *poller;
	unsigned int entry, other;
	int fd;
	int count;
};

static void stop_on_byte(void *ctx, short revents)
{
	struct seen *seen = ctx;
	char byte;

	(void)revents;
	if (read(seen->fd, &byte, 1) == 1)
		seen->count++;
	poller_stop(seen->poller);
}

static void fail(void *ctx, short revents)
{
	(void)ctx;
	(void)revents;
	cr_assert_fail("nobody asked for this descriptor");
}

Test(poller, a_descriptor_that_is_ready, .timeout = 10)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct poller poller;
	struct seen seen = {.poller = &poller};
	int pipe_fds[2], other[2];

	cr_assert_eq(pipe(pipe_fds), 0);
	cr_assert_eq(pipe(other), 0);
	cr_assert_eq(poller_init(&poller), 0);
	seen.fd = pipe_fds[0];
	poller_add(&poller, other[0], 0, fail, NULL);
	close(other[1]); /* a hang-up that nobody waits for */
	poller_add(&poller, pipe_fds[0], POLLIN, stop_on_byte, &seen);
	cr_assert_eq(write(pipe_fds[1], "x", 1), 1);
	poller_run(&poller, &lock, NULL);
	cr_assert_eq(seen.count, 1);
	poller_done(&poller);
}

struct waiter {
	struct poller poller;
	pthread_mutex_t lock;
};

static void *run(void *argument)
{
	struct waiter *waiter = argument;

	poller_run(&waiter->poller, &waiter->lock, NULL);
	return NULL;
}

Test(poller, a_change_and_a_stop_from_another_thread, .timeout = 10)
{
	struct waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct seen seen = {.poller = &waiter.poller};
	unsigned int entry;
	int pipe_fds[2];
	pthread_t thread;

	cr_assert_eq(pipe(pipe_fds), 0);
	cr_assert_eq(poller_init(&waiter.poller), 0);
	seen.fd = pipe_fds[0];
	entry = poller_add(&waiter.poller, pipe_fds[0], 0, stop_on_byte, &seen);
	cr_assert_eq(write(pipe_fds[1], "x", 1), 1);
	cr_assert_eq(pthread_create(&thread, NULL, run, &waiter), 0);
	pthread_mutex_lock(&waiter.lock);
	cr_assert_eq(seen.count, 0);
	poller_set(&waiter.poller, entry, POLLIN);
	pthread_mutex_unlock(&waiter.lock);
	pthread_join(thread, NULL);
	cr_assert_eq(seen.count, 1);
	poller_done(&waiter.poller);
}

struct order {
	struct seen seen;
	pthread_mutex_t *lock;
	char text[16];
	unsigned int length;
};

static bool is_free(pthread_mutex_t *lock)
{
	bool got = pthread_mutex_trylock(lock) == 0;

	if (got)
		pthread_mutex_unlock(lock);
	return got;
}

static void note(struct order *order, char what, bool with_lock)
{
	cr_assert_eq(is_free(order->lock), !with_lock, "%c", what);
	order->text[order->length++] = what;
}

static void note_begin(void *ctx)
{
	note(ctx, 'b', true);
}

static void note_end(void *ctx)
{
	note(ctx, 'e', true);
}

static void note_after(void *ctx)
{
	note(ctx, 'a', false);
}

static void note_handler(void *ctx, short revents)
{
	struct order *order = ctx;

	note(order, 'h', true);
	stop_on_byte(&order->seen, revents);
}

Test(poller, what_is_done_around_a_round, .timeout = 10)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct poller poller;
	struct order order = {.seen = {.poller = &poller}, .lock = &lock};
	const struct poller_rounds rounds = {
		.begin = note_begin, .end = note_end, .after = note_after, .ctx = &order};
	int pipe_fds[2];

	cr_assert_eq(pipe(pipe_fds), 0);
	cr_assert_eq(poller_init(&poller), 0);
	order.seen.fd = pipe_fds[0];
	poller_add(&poller, pipe_fds[0], POLLIN, note_handler, &order);
	cr_assert_eq(write(pipe_fds[1], "x", 1), 1);
	poller_run(&poller, &lock, &rounds);
	cr_assert_str_eq(order.text, "abhea");
	poller_done(&poller);
}
