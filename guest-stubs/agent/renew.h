/* SPDX-License-Identifier: MIT */
/*
 * What a clone does before anything else: it stops being a copy of its template.
 */
#ifndef FORKVM_AGENT_RENEW_H
#define FORKVM_AGENT_RENEW_H

#include "guest-stubs/agent/identity.h"
#include "guest-stubs/agent/mailbox.h"
#include "guest-stubs/agent/options.h"

struct renewal {
	const struct options *options;
	int random_fd; /* its own: /dev/urandom */
};

/* In the template: open what renewing needs. -errno. */
int renew_prepare(struct renewal *renewal, const struct options *options);

/*
 * In the clone, each step unless an option forbids it: reseed the kernel's random generator, set
 * the wall clock, the hostname, the machine id. A step that fails is told in the log and in
 * identity; the next is taken all the same. The seed is gone from the mailbox afterwards in any
 * case.
 */
void renew_now(const struct renewal *renewal, struct mailbox *box, struct identity *ret_identity);

#endif
