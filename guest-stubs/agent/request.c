/* SPDX-License-Identifier: MIT */
/*
 * Requests and their answers: see request.h.
 */
#include "guest-stubs/agent/request.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "guest-stubs/agent/clock.h"
#include "guest-stubs/agent/log.h"
#include "guest-stubs/agent/spawn.h"
#include "guest-stubs/agent/text.h"

static const char *const verbs[] = {
	[REQUEST_IDENTITY] = "identity", [REQUEST_ECHO] = "echo",	  [REQUEST_EXEC] = "exec",
	[REQUEST_CLOCK] = "clock",	 [REQUEST_POWEROFF] = "poweroff",
};

enum request_verb request_parse(const char *request, size_t size, size_t *ret_argument)
{
	size_t word = 0;

	while (word < size && !isspace((unsigned char)request[word]))
		word++;
	*ret_argument = word < size ? word + 1 : size;
	/* An empty line asks for the identity. */
	if (word == 0)
		return REQUEST_IDENTITY;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (word == strlen(verbs[i]) && memcmp(request, verbs[i], word) == 0)
			return (enum request_verb)i;
	}
	return REQUEST_UNKNOWN;
}

/* Run line by the shell; its output is the answer. */
static size_t run(struct mailbox *box, const char *line, struct command *command,
		  const struct identity *identity)
{
	struct text text = text_on(box->response.at, box->response.capacity);
	struct environment environment;
	struct outcome outcome;
	char words[64];
	int rc;

	environment_init(&environment, environ);
	environment_add_identity(&environment, identity, box->shared->request_seq);
	command->envp = environment.variables;
	command->output = box->response.at;
	command->output_capacity = box->response.capacity;
	rc = spawn_shell(line, command, &outcome);
	if (rc < 0) {
		log_warn("/bin/sh: %s", strerror(-rc));
		text_printf(&text, "forkvm-agent: /bin/sh: %s\n", strerror(-rc));
		return text.len;
	}
	if (!outcome_is_success(&outcome))
		log_warn("request %" PRIu64 ": '%.80s': %s", box->shared->request_seq, line,
			 outcome_describe(&outcome, words, sizeof(words)));
	if (outcome.output_lost)
		log_warn("request %" PRIu64 ": an answer has at most %u bytes, %zu are lost",
			 box->shared->request_seq, box->response.capacity, outcome.output_lost);
	return outcome.output_size;
}

static size_t answer_exec(struct mailbox *box, const char *argument, size_t size,
			  const struct options *options, const struct identity *identity)
{
	static char line[FORKVM_MAX_REQUEST + 1];
	struct command command = {.timeout_s = options->handler_timeout_s};

	memcpy(line, argument, size);
	line[size] = '\0';
	return run(box, line, &command, identity);
}

static void answer_identity(struct text *text, const struct mailbox *box,
			    const struct identity *identity)
{
	struct identity_times times;

	clock_read(&times);
	identity_json(text, identity, box->shared->request_seq, &times);
}

static void answer_clock(struct text *text, struct mailbox *box)
{
	struct clock_sample sample;

	if (!clock_sample(box, &sample)) {
		text_printf(text, "{\"error\":\"the host does not answer\"}\n");
		return;
	}
	text_printf(text,
		    "{\"realtime_ns\":%" PRIu64 ",\"monotonic_ns\":%" PRIu64
		    ",\"boottime_ns\":%" PRIu64,
		    sample.guest.realtime_ns, sample.guest.monotonic_ns, sample.guest.boottime_ns);
	text_printf(text,
		    ",\"host_ns\":%" PRIu64 ",\"error_ns\":%" PRId64 ",\"window_ns\":%" PRIu64
		    "}\n",
		    sample.host_ns, (int64_t)(sample.guest.realtime_ns - sample.host_ns),
		    sample.window_ns);
}

size_t request_answer(struct mailbox *box, const struct options *options,
		      const struct identity *identity, bool *ret_poweroff)
{
	const char *request = box->request.at;
	size_t size = mailbox_request_size(box), argument;
	struct text text = text_on(box->response.at, box->response.capacity);
	struct command command = {
		.input = request, .input_size = size, .timeout_s = options->handler_timeout_s};

	if (options->handler)
		return run(box, options->handler, &command, identity);
	switch (request_parse(request, size, &argument)) {
	case REQUEST_IDENTITY:
		answer_identity(&text, box, identity);
		break;
	case REQUEST_ECHO:
		text.len = size - argument;
		if (text.len > box->response.capacity)
			text.len = box->response.capacity;
		memcpy(text.at, request + argument, text.len);
		break;
	case REQUEST_EXEC:
		return answer_exec(box, request + argument, size - argument, options, identity);
	case REQUEST_CLOCK:
		answer_clock(&text, box);
		break;
	case REQUEST_POWEROFF:
		*ret_poweroff = true;
		text_printf(&text, "ok\n");
		break;
	case REQUEST_UNKNOWN:
		text_printf(&text, "forkvm-agent: there is no such request: identity, echo TEXT, "
				   "exec CMD, clock, poweroff\n");
		break;
	}
	return text.len;
}
