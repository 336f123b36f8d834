/* SPDX-License-Identifier: MIT */
/*
 * Printing what became of a clone.
 */
#include "forkserver/cli/clone_print.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forkserver/proto/base64.h"

/* The answer as text where it is UTF-8, as base64 where not. */
static void add_answer(json_t *object, const struct clone_job *job)
{
	json_t *text = json_stringn(job->data ? job->data : "", job->len);
	char *encoded;

	if (text) {
		json_object_set_new(object, "response", text);
		return;
	}
	encoded = malloc(BASE64_LENGTH(job->len));
	if (!encoded)
		return;
	base64_encode(job->data, job->len, encoded);
	json_object_set_new(object, "response_b64", json_stringn(encoded, BASE64_LENGTH(job->len)));
	free(encoded);
}

static void add_stages(json_t *object, const struct clone_job *job)
{
	json_t *stages = json_object();

	for (int i = 0; i < FORKVM_STAGE_COUNT_; i++) {
		uint64_t at_ns = job->event.stages_ns[i];

		/* Microseconds since the request was sent. */
		if (at_ns >= job->sent_ns)
			json_object_set_new(stages, forkvm_stage_name((enum forkvm_stage)i),
					    json_real((double)(at_ns - job->sent_ns) / 1e3));
	}
	json_object_set_new(object, "stages_us", stages);
}

static void print_json(const struct clone_job *job)
{
	const struct forkvm_event *event = &job->event;
	json_t *object = json_object();

	if (job->line)
		json_object_set_new(object, "line", json_integer((json_int_t)job->line));
	if (event->type == FORKVM_EVENT_ERROR) {
		json_object_set_new(object, "refused", json_string(event->text));
		cli_print_json(object);
		json_decref(object);
		return;
	}
	json_object_set_new(object, "id", json_integer((json_int_t)event->id));
	json_object_set_new(object, "pid", json_integer(event->pid));
	if (event->type == FORKVM_EVENT_ENDED) {
		json_object_set_new(object, "reason", json_string(forkvm_end_name(event->reason)));
		json_object_set_new(object, "status", json_integer(event->status));
		if (event->text[0])
			json_object_set_new(object, "error", json_string(event->text));
		add_answer(object, job);
		add_stages(object, job);
	}
	cli_print_json(object);
	json_decref(object);
}

static void complain(const struct forkvm_event *event)
{
	if (event->type == FORKVM_EVENT_ERROR)
		cli_complain(0, "%s", event->text);
	else if (event->reason != FORKVM_END_DONE)
		cli_complain(0, "clone %" PRIu64 " ended: %s%s%s", event->id,
			     forkvm_end_name(event->reason), event->text[0] ? ": " : "",
			     event->text);
	else if (event->status)
		cli_complain(0, "clone %" PRIu64 " ended with status %u", event->id, event->status);
}

int clone_exit_status(const struct forkvm_event *event)
{
	if (event->type == FORKVM_EVENT_ERROR)
		return CLI_FAILED;
	if (event->type == FORKVM_EVENT_ENDED &&
	    (event->reason != FORKVM_END_DONE || event->status != 0))
		return CLI_CLONE;
	return CLI_OK;
}

void clone_print(const struct clone_command *command, const struct clone_job *job)
{
	const struct forkvm_event *event = &job->event;

	if (command->target.json) {
		print_json(job);
		return;
	}
	if (event->type == FORKVM_EVENT_STARTED) {
		printf("%" PRIu64 "\n", event->id);
		return;
	}
	if (event->type == FORKVM_EVENT_ENDED && job->line)
		printf("==> line %" PRIu64 ", clone %" PRIu64 ": %s %u <==\n", job->line, event->id,
		       forkvm_end_name(event->reason), event->status);
	else if (event->type == FORKVM_EVENT_ENDED && command->count > 1)
		printf("==> clone %" PRIu64 ": %s %u <==\n", event->id,
		       forkvm_end_name(event->reason), event->status);
	cli_print_guest(stdout, job->data ? job->data : "", job->len);
	if ((command->count > 1 || job->line) && job->data && job->len &&
	    job->data[job->len - 1] != '\n')
		putchar('\n');
	/* In order: the answer before what is to be said of it. */
	fflush(stdout);
	complain(event);
}
