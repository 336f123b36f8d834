/* SPDX-License-Identifier: MIT */
/*
 * A host that is none: see pretend.h.
 */
#include "guest-stubs/agent/pretend.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "guest-stubs/agent/clock.h"
#include "guest-stubs/agent/log.h"

#define HOUR_NS (3600ull * 1000000000ull)

static uint64_t host_clock_ns(const struct pretend *pretend)
{
	struct identity_times times;

	clock_read(&times);
	return times.monotonic_ns + pretend->ahead_ns;
}

/* The next request; false when there is none. The first is empty unless the options have another.
 */
static bool deliver(struct mailbox *box)
{
	struct pretend *pretend = box->context;
	const struct options_list *requests = &pretend->options->pretend_requests;
	const char *text = "";

	if (pretend->request > 0 && pretend->request >= requests->count)
		return false;
	if (requests->count)
		text = requests->items[pretend->request];
	pretend->request++;
	box->shared->request_len = (uint32_t)strnlen(text, box->request.capacity);
	box->shared->request_seq = pretend->request;
	memcpy(box->request.at, text, box->shared->request_len);
	return true;
}

static void become_clone(struct mailbox *box)
{
	struct pretend *pretend = box->context;
	struct forkvm_identity identity = {.clone_id = pretend->options->pretend_clone,
					   .wall_clock_ns = host_clock_ns(pretend)};

	if (getrandom(identity.generation_id, sizeof(identity.generation_id), 0) < 0 ||
	    getrandom(identity.seed, sizeof(identity.seed), 0) < 0)
		log_warn("the pretended identity is not random");
	box->shared->identity = identity;
	box->shared->is_clone = 1;
	if (!pretend->options->pretend_spare)
		deliver(box);
}

static void show(const char *text, size_t length)
{
	if (write(STDOUT_FILENO, text, length) < 0) {
		/* Nobody is looking. */
	}
}

static bool ring(struct mailbox *box, uint16_t port, uint32_t value)
{
	switch (port) {
	case FORKVM_PORT_TEMPLATE:
		become_clone(box);
		return true;
	case FORKVM_PORT_CLOCK:
		box->shared->identity.wall_clock_ns = host_clock_ns(box->context);
		return true;
	case FORKVM_PORT_READY:
		show(box->response.at, value);
		if (value > 0 && box->response.at[value - 1] != '\n')
			show("\n", 1);
		return true;
	case FORKVM_PORT_PARK:
		return deliver(box);
	case FORKVM_PORT_CONSOLE:
		show(box->console.at, value);
		return true;
	default:
		return true;
	}
}

const struct mailbox_bells pretend_bells = {.ring = ring};

void pretend_take_bells(struct pretend *pretend, const struct options *options, struct mailbox *box)
{
	struct identity_times times;

	clock_read(&times);
	*pretend = (struct pretend){
		.options = options,
		.ahead_ns = times.realtime_ns - times.monotonic_ns + HOUR_NS,
	};
	box->bells = &pretend_bells;
	box->context = pretend;
}
