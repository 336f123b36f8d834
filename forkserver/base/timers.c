/* SPDX-License-Identifier: MIT */
/*
 * Deadlines: a binary heap.
 */
#include "forkserver/base/timers.h"

#include <assert.h>
#include <errno.h>

#include "forkserver/base/private.h"

static size_t heap_size(size_t capacity)
{
	return (capacity + 1) * sizeof(struct timer *);
}

int timers_init(struct timers *timers, size_t capacity)
{
	struct timer **heap = private_map(heap_size(capacity));

	if (!heap)
		return -ENOMEM;
	*timers = (struct timers){.heap = heap, .capacity = capacity};
	return 0;
}

void timers_done(struct timers *timers)
{
	private_unmap(timers->heap, heap_size(timers->capacity));
	*timers = (struct timers){0};
}

static void put(struct timers *timers, struct timer *timer, size_t place)
{
	timers->heap[place] = timer;
	timer->place = place;
}

/* Put the timer at place or nearer to the root, where its deadline belongs. */
static void sift_up(struct timers *timers, struct timer *timer, size_t place)
{
	while (place > 1 && timers->heap[place / 2]->at_ns > timer->at_ns) {
		put(timers, timers->heap[place / 2], place);
		place /= 2;
	}
	put(timers, timer, place);
}

/* Put the timer at place or further from the root. */
static void sift_down(struct timers *timers, struct timer *timer, size_t place)
{
	size_t child;

	while ((child = place * 2) <= timers->count) {
		if (child < timers->count &&
		    timers->heap[child + 1]->at_ns < timers->heap[child]->at_ns)
			child++;
		if (timers->heap[child]->at_ns >= timer->at_ns)
			break;
		put(timers, timers->heap[child], place);
		place = child;
	}
	put(timers, timer, place);
}

void timers_disarm(struct timers *timers, struct timer *timer)
{
	size_t place = timer->place;
	struct timer *last;

	if (!place)
		return;
	timer->place = 0;
	last = timers->heap[timers->count--];
	if (last == timer)
		return;
	if (place > 1 && timers->heap[place / 2]->at_ns > last->at_ns)
		sift_up(timers, last, place);
	else
		sift_down(timers, last, place);
}

void timers_arm(struct timers *timers, struct timer *timer, uint64_t at_ns)
{
	timers_disarm(timers, timer);
	assert(timers->count < timers->capacity);
	timer->at_ns = at_ns;
	sift_up(timers, timer, ++timers->count);
}

uint64_t timers_next(const struct timers *timers)
{
	return timers->count ? timers->heap[1]->at_ns : UINT64_MAX;
}

struct timer *timers_take_due(struct timers *timers, uint64_t now_ns)
{
	struct timer *first;

	if (timers_next(timers) > now_ns)
		return NULL;
	first = timers->heap[1];
	timers_disarm(timers, first);
	return first;
}
