/* SPDX-License-Identifier: MIT */
/*
 * The guest's clocks beside the host's.
 */
#ifndef FORKVM_AGENT_CLOCK_H
#define FORKVM_AGENT_CLOCK_H

#include <stdbool.h>

#include "guest-stubs/agent/identity.h"
#include "guest-stubs/agent/mailbox.h"

struct clock_sample {
	struct identity_times guest; /* in the middle of the doorbell */
	uint64_t host_ns;	     /* the host's CLOCK_REALTIME, taken during it */
	uint64_t window_ns;	     /* how long it took: the error is at most half of that */
};

/* What the guest's clocks say. */
void clock_read(struct identity_times *ret_times);

/* Ring CLOCK a few times and keep the quickest. False: nobody answered. */
bool clock_sample(struct mailbox *box, struct clock_sample *ret_sample);

/* Set CLOCK_REALTIME to the host's. -ENOTCONN: nobody answered; else what clock_settime() says. */
int clock_follow_host(struct mailbox *box);

#endif
