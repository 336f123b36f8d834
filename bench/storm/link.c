/* SPDX-License-Identifier: MIT */
/* The server as the engine sees it, by way of the client library; see link.h. */
#include "bench/storm/link.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "forkserver/client/forkvm_client.h"

/* The moment at which each stage ended. The last one, the answer's, is ours to know. */
static const enum forkvm_stage ends[] = {
	[STORM_REQUEST] = FORKVM_STAGE_FORK,	  [STORM_FORK] = FORKVM_STAGE_CHILD,
	[STORM_SETUP] = FORKVM_STAGE_START,	  [STORM_VM] = FORKVM_STAGE_VM,
	[STORM_POPULATE] = FORKVM_STAGE_POPULATE, [STORM_MEMSLOTS] = FORKVM_STAGE_MEMSLOTS,
	[STORM_VCPUS] = FORKVM_STAGE_VCPUS,	  [STORM_STATE] = FORKVM_STAGE_STATE,
	[STORM_LOCKDOWN] = FORKVM_STAGE_RUN,	  [STORM_RUN] = FORKVM_STAGE_READY,
};

_Static_assert(sizeof(ends) / sizeof(ends[0]) == STORM_ANSWER, "all stages but the last");

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
	       const char *request, size_t request_len)
{
	const struct forkvm_clone_spec spec = {
		.tag = tag,
		.request = request,
		.request_len = request_len,
		.answer_fd = answer_fd,
		.console_fd = -1,
		.session = alive,
	};

	return forkvm_client_clone(client, &spec, NULL);
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
		switch (event.type) {
		case FORKVM_EVENT_ENDED:
			describe_end(&event, ret);
			return 1;
		case FORKVM_EVENT_ERROR:
			snprintf(ret->text, sizeof(ret->text), "refused: %.100s", event.text);
			return 1;
		case FORKVM_EVENT_STARTED:
		case FORKVM_EVENT_OK:
			break;
		}
	}
}
