/* SPDX-License-Identifier: MIT */
/*
 * How many spares there should be, and what to do about it now. Pure functions of what they are
 * given: no clock is read here, nothing is made and nothing ended.
 *
 * Theory of operation. The pool is to hold as many spares as may be wanted at once. The best guess
 * at that is the past: the most clones that were asked for within a tenth of a second, of late. It
 * is taken up at once and forgotten slowly, by half every few seconds, and it is kept between the
 * two marks that the operator gave. So a steady load keeps as many spares as come in between two
 * looks, a bursty one as many as a burst has, an idle server the low mark.
 */
#ifndef FORKVM_FORKSERVER_POLICY_POOL_POLICY_H
#define FORKVM_FORKSERVER_POLICY_POOL_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* Demand is counted in windows of this length; what one showed counts half as much after each ...
 */
#define POOL_WINDOW_NS	    100000000ull
/* ... of these. */
#define POOL_HALF_NS	    10000000000ull

/* Spares too many are given up one in this time. */
#define POOL_SURPLUS_NS	    100000000ull

/* After a spare that came to nothing: how long until the next try, doubled each time up to ... */
#define POOL_BACKOFF_NS	    10000000ull
#define POOL_BACKOFF_MAX_NS 60000000000ull

/* What the operator allows. */
struct pool_limits {
	uint32_t low, high; /* marks: spares kept always, spares kept at most; low <= high   */
	uint32_t at_once;   /* being made at the same time; at least 1                       */
	uint32_t rate;	    /* made in a second; 0: any number                               */
	uint64_t age_ns;    /* an older one is replaced; 0: none is                          */
	uint64_t memory;    /* bytes that all may have; 0: any number                        */
};

/* What is there, at one moment. All times are CLOCK_MONOTONIC. */
struct pool_view {
	uint64_t now_ns;
	uint32_t parked, making;
	uint32_t room;		 /* further clones that the server may have                  */
	uint64_t oldest_ns;	 /* when the oldest of those parked was made                 */
	uint64_t each;		 /* bytes that one has, as far as is known; 0: not known     */
	uint64_t quiet_until_ns; /* until then nothing is made, as long as half are there    */
};

/* What the policy remembers. All zeros at first. */
struct pool_history {
	uint64_t window_ns; /* when the present window began                      */
	uint32_t window;    /* clones asked for in it                             */
	uint32_t peak;	    /* the most in an earlier one, as of ...              */
	uint64_t peak_ns;   /* ... then                                           */
	uint64_t made_ns;   /* when the last one was begun                        */
	uint64_t given_ns;  /* when the last one was given up as one too many     */
	uint32_t failures;  /* in a row                                           */
	uint64_t failed_ns; /* when the last of them was                          */
};

enum pool_action {
	POOL_WAIT,
	POOL_MAKE,	     /* make one                                    */
	POOL_RETIRE_AGE,     /* give up the oldest: it is too old           */
	POOL_RETIRE_SURPLUS, /* give up the oldest: there are too many      */
	POOL_RETIRE_MEMORY,  /* give up the oldest: they have too much      */
};

struct pool_decision {
	enum pool_action action;
	uint64_t next_ns; /* with POOL_WAIT: when to ask again, if nothing happens; UINT64_MAX:
			     never */
};

/* A clone was asked for that could have been a spare, whether there was one or not. */
void pool_note_demand(struct pool_history *history, uint64_t now_ns);

/* A spare was begun, was given up as one too many, parked, or came to nothing. */
void pool_note_made(struct pool_history *history, uint64_t now_ns);
void pool_note_surplus(struct pool_history *history, uint64_t now_ns);
void pool_note_parked(struct pool_history *history);
void pool_note_failed(struct pool_history *history, uint64_t now_ns);

/* How many spares there should be: from limits->low to limits->high. */
uint32_t pool_target(const struct pool_limits *limits, const struct pool_history *history,
		     uint64_t now_ns);

/*
 * What to do now: one thing. The pool never grows beyond limits->high, but by one for as long as it
 * takes to put a young spare in an old one's place.
 */
struct pool_decision pool_decide(const struct pool_limits *limits,
				 const struct pool_history *history, const struct pool_view *view);

#endif
