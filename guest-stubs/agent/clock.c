/* SPDX-License-Identifier: MIT */
/*
 * Clocks: see clock.h.
 *
 * The host reads its clock at some moment of the OUT, which by the guest's monotonic clock began at
 * one known time and ended at another. The middle is the best guess for that moment.
 */
#include "guest-stubs/agent/clock.h"

#include <errno.h>
#include <sys/timex.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define ROUNDS	 2

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void clock_read(struct identity_times *ret_times)
{
	ret_times->realtime_ns = now_ns(CLOCK_REALTIME);
	ret_times->monotonic_ns = now_ns(CLOCK_MONOTONIC);
	ret_times->boottime_ns = now_ns(CLOCK_BOOTTIME);
}

static uint64_t middle(uint64_t first, uint64_t second)
{
	return first + (second - first) / 2;
}

/* One ring, with the guest's clocks read around it, the outermost first and last. */
static void ring_once(struct mailbox *box, struct clock_sample *ret_sample)
{
	struct identity_times before, after;
	uint64_t host_ns;

	before.realtime_ns = now_ns(CLOCK_REALTIME);
	before.boottime_ns = now_ns(CLOCK_BOOTTIME);
	before.monotonic_ns = now_ns(CLOCK_MONOTONIC);
	host_ns = mailbox_clock(box);
	after.monotonic_ns = now_ns(CLOCK_MONOTONIC);
	after.boottime_ns = now_ns(CLOCK_BOOTTIME);
	after.realtime_ns = now_ns(CLOCK_REALTIME);
	*ret_sample = (struct clock_sample){
		.guest = {.realtime_ns = middle(before.realtime_ns, after.realtime_ns),
			  .monotonic_ns = middle(before.monotonic_ns, after.monotonic_ns),
			  .boottime_ns = middle(before.boottime_ns, after.boottime_ns)},
		.host_ns = host_ns,
		.window_ns = after.monotonic_ns - before.monotonic_ns,
	};
}

bool clock_sample(struct mailbox *box, struct clock_sample *ret_sample)
{
	struct clock_sample best = {.window_ns = UINT64_MAX}, sample;

	for (int i = 0; i < ROUNDS; i++) {
		ring_once(box, &sample);
		if (sample.host_ns && sample.window_ns < best.window_ns)
			best = sample;
	}
	if (!best.host_ns)
		return false;
	*ret_sample = best;
	return true;
}

/*
 * Move the wall clock by a difference: how long this takes does not matter. The monotonic clock
 * does not see it, and timers that asked to be told of a jump (TFD_TIMER_CANCEL_ON_SET) are.
 */
static int move_by(int64_t difference_ns)
{
	struct timex change = {.modes = ADJ_SETOFFSET | ADJ_NANO};
	int64_t seconds = difference_ns / (int64_t)NS_PER_S,
		rest = difference_ns % (int64_t)NS_PER_S;

	/* The part below a second is never negative: adjtimex(2). */
	if (rest < 0) {
		seconds--;
		rest += (int64_t)NS_PER_S;
	}
	change.time.tv_sec = seconds;
	change.time.tv_usec = rest; /* with ADJ_NANO: nanoseconds */
	return clock_adjtime(CLOCK_REALTIME, &change) < 0 ? -errno : 0;
}

int clock_follow_host(struct mailbox *box)
{
	struct clock_sample sample;
	struct timespec now;
	uint64_t real_ns;

	if (!clock_sample(box, &sample))
		return -ENOTCONN;
	if (move_by((int64_t)(sample.host_ns - sample.guest.realtime_ns)) == 0)
		return 0;
	/* A clock that cannot be moved may still be set. */
	real_ns = sample.host_ns + (now_ns(CLOCK_MONOTONIC) - sample.guest.monotonic_ns);
	now.tv_sec = (time_t)(real_ns / NS_PER_S);
	now.tv_nsec = (long)(real_ns % NS_PER_S);
	return clock_settime(CLOCK_REALTIME, &now) < 0 ? -errno : 0;
}
