/* SPDX-License-Identifier: MIT */
/*
 * Deadlines: a binary heap of timers that lie in the objects they belong to.
 */
#ifndef FORKVM_FORKSERVER_BASE_TIMERS_H
#define FORKVM_FORKSERVER_BASE_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;
struct timer;

typedef void timer_fn(struct server *server, struct timer *timer);

struct timer {
	uint64_t at_ns; /* CLOCK_MONOTONIC */
	size_t place;	/* in the heap, from 1; 0: not armed */
	timer_fn *expire;
};

struct timers {
	struct timer **heap; /* private memory; [0] is not used */
	size_t capacity;
	size_t count;
};

/* Room for capacity armed timers. -ENOMEM. */
int timers_init(struct timers *timers, size_t capacity);

/* Free the heap; the timers are their owners'. */
void timers_done(struct timers *timers);

/* Arm, or move, the timer. It will be disarmed when timer->expire is called. */
void timers_arm(struct timers *timers, struct timer *timer, uint64_t at_ns);

/* Disarm; fine when it is not armed. */
void timers_disarm(struct timers *timers, struct timer *timer);

/* When the first timer is due, or UINT64_MAX when none is armed. */
uint64_t timers_next(const struct timers *timers);

/* Take the first timer that is due at now_ns, disarmed; NULL when none is. */
struct timer *timers_take_due(struct timers *timers, uint64_t now_ns);

#endif
