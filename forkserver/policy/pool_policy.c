/* SPDX-License-Identifier: MIT */
/*
 * How many spares there should be: see pool_policy.h.
 */
#include "forkserver/policy/pool_policy.h"

#include "vmm/base/util.h"

/* What is left of the peak. */
static uint32_t remembered(const struct pool_history *history, uint64_t now_ns)
{
	uint64_t halves = (now_ns - history->peak_ns) / POOL_HALF_NS;

	return halves < 32 ? history->peak >> halves : 0;
}

void pool_note_demand(struct pool_history *history, uint64_t now_ns)
{
	if (now_ns - history->window_ns >= POOL_WINDOW_NS) {
		uint32_t before = remembered(history, now_ns);

		if (history->window >= before) {
			history->peak = history->window;
			history->peak_ns = history->window_ns;
		}
		history->window_ns = now_ns;
		history->window = 0;
	}
	if (history->window < UINT32_MAX)
		history->window++;
}

void pool_note_made(struct pool_history *history, uint64_t now_ns)
{
	history->made_ns = now_ns;
}

void pool_note_surplus(struct pool_history *history, uint64_t now_ns)
{
	history->given_ns = now_ns;
}

void pool_note_parked(struct pool_history *history)
{
	history->failures = 0;
}

void pool_note_failed(struct pool_history *history, uint64_t now_ns)
{
	history->failed_ns = now_ns;
	if (history->failures < UINT32_MAX)
		history->failures++;
}

uint32_t pool_target(const struct pool_limits *limits, const struct pool_history *history,
		     uint64_t now_ns)
{
	uint32_t wanted = remembered(history, now_ns);

	/* A window that is over counts as long as it would as a peak. */
	if (history->window > wanted && now_ns - history->window_ns < POOL_HALF_NS)
		wanted = history->window;
	if (wanted < limits->low)
		return limits->low;
	return wanted < limits->high ? wanted : limits->high;
}

/* How many there may be for all the memory that they may have. */
static uint32_t affordable(const struct pool_limits *limits, const struct pool_view *view)
{
	if (!limits->memory || !view->each)
		return UINT32_MAX;
	return (uint32_t)min_u64(limits->memory / view->each, UINT32_MAX);
}

/* When the next one may be made. */
static uint64_t may_make_at(const struct pool_limits *limits, const struct pool_history *history,
			    const struct pool_view *view, uint32_t target)
{
	uint64_t at_ns = 0;

	if (limits->rate && history->made_ns)
		at_ns = history->made_ns + NS_PER_SEC / limits->rate;
	if (history->failures) {
		uint64_t pause = POOL_BACKOFF_MAX_NS;

		if (history->failures < 14)
			pause = min_u64(POOL_BACKOFF_NS << (history->failures - 1), pause);
		at_ns = max_u64(at_ns, history->failed_ns + pause);
	}
	/*
	 * With few left, those who come next would wait for longer than the last one does for the
	 * sake of the making; and claims that come fast would be a quiet time without an end.
	 */
	if (view->parked > target / 2)
		at_ns = max_u64(at_ns, view->quiet_until_ns);
	return at_ns;
}

static struct pool_decision act(enum pool_action action)
{
	return (struct pool_decision){.action = action};
}

static struct pool_decision wait_until(uint64_t next_ns)
{
	return (struct pool_decision){.action = POOL_WAIT, .next_ns = next_ns};
}

struct pool_decision pool_decide(const struct pool_limits *limits,
				 const struct pool_history *history, const struct pool_view *view)
{
	uint32_t afford = affordable(limits, view);
	uint32_t target = pool_target(limits, history, view->now_ns);
	uint32_t have = view->parked + view->making;
	uint64_t old_at_ns = UINT64_MAX, next_ns = UINT64_MAX;
	bool can_make;

	if (view->parked > afford)
		return act(POOL_RETIRE_MEMORY);
	target = (uint32_t)min_u64(target, afford);
	if (limits->age_ns && view->parked)
		old_at_ns = view->oldest_ns + limits->age_ns;
	can_make = view->room && view->making < limits->at_once;
	if (old_at_ns <= view->now_ns) {
		/* Its place is taken first, where that can be. */
		if (view->parked > target || !view->room || history->failures)
			return act(POOL_RETIRE_AGE);
		target++;
	}
	if (have < target && can_make) {
		next_ns = may_make_at(limits, history, view, target);
		if (next_ns <= view->now_ns)
			return act(POOL_MAKE);
	}
	if (view->parked > target) {
		uint64_t at_ns = history->given_ns + POOL_SURPLUS_NS;

		if (at_ns <= view->now_ns)
			return act(POOL_RETIRE_SURPLUS);
		next_ns = at_ns;
	} else if (view->parked > limits->low) {
		/* The target sinks by itself: look now and then. */
		next_ns = min_u64(next_ns, view->now_ns + NS_PER_SEC);
	}
	if (old_at_ns > view->now_ns)
		next_ns = min_u64(next_ns, old_at_ns);
	return wait_until(next_ns);
}
