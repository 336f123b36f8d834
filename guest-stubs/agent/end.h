/* SPDX-License-Identifier: MIT */
/*
 * How the agent ends, and with it, when it is init, the machine.
 */
#ifndef FORKVM_AGENT_END_H
#define FORKVM_AGENT_END_H

#include "guest-stubs/agent/mailbox.h"
#include "guest-stubs/agent/options.h"

/* Statuses, of the process or of DONE. */
enum end_status {
	STATUS_OK = 0,
	STATUS_FAILED = 1, /* something is missing; the log has it */
	STATUS_USAGE = 2,
	STATUS_SETUP = 3, /* a setup command failed */
	STATUS_HOOKS = 4, /* a hook failed, and all must succeed */
};

/*
 * Do it, once everything is written to disk. What does not work here (DONE without a host, exit as
 * init) becomes the default.
 */
_Noreturn void end_now(struct mailbox *box, enum end_action action, enum end_status status);

/*
 * The same for a failure that the log has told: a host that listens learns of the status by DONE.
 * It is told even when BOOTED was not rung yet. box may be NULL, or not open.
 */
_Noreturn void end_failed(struct mailbox *box, enum end_status status);

#endif
