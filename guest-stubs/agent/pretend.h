/* SPDX-License-Identifier: MIT */
/*
 * Playing the host, for tests of the agent where there is no forkvm: every guest is a clone at
 * once, requests come from the options, answers go to standard output.
 */
#ifndef FORKVM_AGENT_PRETEND_H
#define FORKVM_AGENT_PRETEND_H

#include "guest-stubs/agent/mailbox.h"
#include "guest-stubs/agent/options.h"

struct pretend {
	const struct options *options;
	uint64_t ahead_ns; /* this host's wall clock, beyond the guest's monotonic one */
	size_t request;	   /* the present one */
};

/* Put the bells of a pretended host, whose clock is an hour ahead, on box. */
void pretend_take_bells(struct pretend *pretend, const struct options *options,
			struct mailbox *box);

/* The bells alone, for mailbox_open_private(). */
extern const struct mailbox_bells pretend_bells;

#endif
