/* SPDX-License-Identifier: MIT */
/*
 * Answering requests: by the handler, or, without one, by what is built in.
 */
#ifndef FORKVM_AGENT_REQUEST_H
#define FORKVM_AGENT_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "guest-stubs/agent/identity.h"
#include "guest-stubs/agent/mailbox.h"
#include "guest-stubs/agent/options.h"

enum request_verb {
	REQUEST_IDENTITY,
	REQUEST_ECHO,
	REQUEST_EXEC,
	REQUEST_CLOCK,
	REQUEST_POWEROFF,
	REQUEST_UNKNOWN,
};

/*
 * Which built-in request the size bytes are, and in *ret_argument what follows the first word and
 * one blank (size when there is nothing), as an offset.
 */
enum request_verb request_parse(const char *request, size_t size, size_t *ret_argument);

/*
 * Answer the request in box: the response area is filled, and its length returned. *ret_poweroff:
 * the answer given, the machine is to be switched off.
 */
size_t request_answer(struct mailbox *box, const struct options *options,
		      const struct identity *identity, bool *ret_poweroff);

#endif
