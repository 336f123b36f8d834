/* SPDX-License-Identifier: MIT */
/* The server as the engine sees it, by way of the client library; see link.h. */
#include "bench/storm/link.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define AWAIT_LOOKS 30000u /* of 2 ms each */

/* The moment at which each stage ended. The last one, the answer's, is ours to know. */
static const enum forkvm_stage ends[] = {
	[STORM_REQUEST] = FORKVM_STAGE_FORK,	  [STORM_FORK] = FORKVM_STAGE_CHILD,
	[STORM_SETUP] = FORKVM_STAGE_START,	  [STORM_VM] = FORKVM_STAGE_VM,
	[STORM_POPULATE] = FORKVM_STAGE_POPULATE, [STORM_MEMSLOTS] = FORKVM_STAGE_MEMSLOTS,
	[STORM_VCPUS] = FORKVM_STAGE_VCPUS,	  [STORM_STATE] = FORKVM_STAGE_STATE,
	[STORM_LOCKDOWN] = FORKVM_STAGE_RUN,	  [STORM_RUN] = FORKVM_STAGE_READY,
};

_Static_assert(sizeof(ends) / sizeof(ends[0]) == STORM_ANSWER, "all stages but the last");

static const enum forkvm_stage claim_ends[] = {
	[STORM_CLAIM_SEND] = FORKVM_STAGE_CLAIM,
	[STORM_CLAIM_WAKE] = FORKVM_STAGE_AWAKE,
	[STORM_CLAIM_RUN] = FORKVM_STAGE_READY,
};

_Static_assert(sizeof(claim_ends) / sizeof(claim_ends[0]) == STORM_CLAIM_ANSWER, "the same");

static const enum forkvm_stage reset_ends[] = {
	[STORM_RESET_TOLD] = FORKVM_STAGE_TOLD,	  [STORM_RESET_LOOK] = FORKVM_STAGE_MEMSLOTS,
	[STORM_RESET_VCPU] = FORKVM_STAGE_VCPUS,  [STORM_RESET_RAM] = FORKVM_STAGE_STATE,
	[STORM_RESET_CLAIM] = FORKVM_STAGE_AWAKE, [STORM_RESET_RUN] = FORKVM_STAGE_READY,
};

_Static_assert(sizeof(reset_ends) / sizeof(reset_ends[0]) == STORM_RESET_ANSWER, "the same");

int link_open(const char *socket, struct forkvm_client **ret)
{
	struct error error;

	if (forkvm_client_open(socket, ret, &error) == 0)
		return 0;
	fprintf(stderr, "clone_storm: %s\n", error.text);
	return -1;
}

void link_close(struct forkvm_client *client)
{
	forkvm_client_close(client);
}

int link_fd(const struct forkvm_client *client)
{
	return forkvm_client_fd(client);
}

int link_clone(struct forkvm_client *client, uint64_t tag, int answer_fd, bool alive,
	       enum forkvm_spare spare, const char *request, size_t request_len)
{
	const struct forkvm_clone_spec spec = {
		.tag = tag,
		.request = request,
		.request_len = request_len,
		.answer_fd = answer_fd,
		.console_fd = -1,
		.session = alive,
		.spare = spare,
	};

	return forkvm_client_clone(client, &spec, NULL);
}

int link_batch(struct forkvm_client *client, uint64_t tag, int answer_fd,
	       const struct forkvm_bytes *requests, size_t count)
{
	const struct forkvm_clone_spec spec = {
		.tag = tag,
		.answer_fd = answer_fd,
		.console_fd = -1,
		.requests = requests,
		.request_count = (uint32_t)count,
	};

	return forkvm_client_clone(client, &spec, NULL);
}

/* How many spares are parked; -1 when the server does not say. */
static json_int_t count_parked(struct forkvm_client *client, struct error *error)
{
	const char *reply = NULL;
	json_int_t parked = -1;
	json_t *root;

	if (forkvm_client_call(client, "stats", NULL, &reply, error) < 0)
		return -1;
	root = json_loads(reply, 0, NULL);
	if (json_unpack(root, "{s:{s:{s:I}}}", "ok", "spares", "parked", &parked) < 0)
		error_set(error, EPROTO, "the server tells nothing of spares");
	json_decref(root);
	return parked;
}

int link_await_spares(struct forkvm_client *client, size_t count)
{
	const struct timespec pause = {.tv_nsec = 2000000};
	struct error error = {0};

	for (unsigned int looks = 0; looks < AWAIT_LOOKS; looks++) {
		json_int_t parked = count_parked(client, &error);

		if (parked < 0 || storm_interrupted) {
			fprintf(stderr, "clone_storm: %s\n", error.text);
			return -1;
		}
		if ((size_t)parked >= count)
			return 0;
		nanosleep(&pause, NULL);
	}
	fprintf(stderr, "clone_storm: the server has not made %zu spares in a minute\n", count);
	return -1;
}

static void describe_end(const struct forkvm_event *event, struct link_event *ret)
{
	ret->done = event->reason == FORKVM_END_DONE && event->status == 0;
	if (!ret->done)
		snprintf(ret->text, sizeof(ret->text), "%s, status %" PRIu32 "%s%.80s",
			 forkvm_end_name(event->reason), event->status, event->text[0] ? ": " : "",
			 event->text);
	for (size_t stage = 0; stage < STORM_ANSWER; stage++)
		ret->at_ns[stage] = event->stages_ns[ends[stage]];
	for (size_t stage = 0; stage < STORM_CLAIM_ANSWER; stage++)
		ret->claim_at_ns[stage] = event->stages_ns[claim_ends[stage]];
	ret->claimed = event->stages_ns[FORKVM_STAGE_CLAIM] != 0;
	ret->sleeps = event->sleeps;
	/* Its VM was not made anew. */
	if (ret->claimed && !event->stages_ns[FORKVM_STAGE_VM])
		ret->reset_from_ns = event->stages_ns[FORKVM_STAGE_START];
	for (size_t stage = 0; stage < STORM_RESET_ANSWER; stage++)
		ret->reset_at_ns[stage] = event->stages_ns[reset_ends[stage]];
}

int link_next(struct forkvm_client *client, struct link_event *ret)
{
	struct forkvm_event event;
	int rc;

	*ret = (struct link_event){0};
	for (;;) {
		rc = forkvm_client_next(client, 0, &event, NULL);
		if (rc <= 0)
			return rc;
		if (!event.has_tag) /* an error that no request of ours is to blame for */
			return event.code ? -event.code : -EPROTO;
		ret->tag = event.tag;
		ret->has_index = event.has_index;
		ret->index = event.index;
		switch (event.type) {
		case FORKVM_EVENT_ENDED:
			describe_end(&event, ret);
			return 1;
		case FORKVM_EVENT_ERROR:
			snprintf(ret->text, sizeof(ret->text), "refused: %.100s", event.text);
			ret->no_spare = event.code == EAGAIN;
			return 1;
		case FORKVM_EVENT_STARTED:
		case FORKVM_EVENT_OK:
			break;
		}
	}
}
