/* SPDX-License-Identifier: MIT */
/*
 * slow: takes its time between BOOTED and TEMPLATE. For what happens to a template that boots, and
 * for freezing one in the middle of that: its clones then wait on, as long as it said.
 *
 * Boot:    wait=MS of the host's time of day; without it, for ever. Says "slow: waiting" on the
 *          console when it begins, and "slow: waited" when it is done.
 * Request: any.
 * Answer:  ok slow clone=ID len=N
 */
#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(0);

#define NS_PER_MS     1000000ull
#define PAUSES_A_LOOK 2000u

static uint64_t clock_ns(void)
{
	stub_doorbell(FORKVM_PORT_CLOCK, 0);
	return *(volatile uint64_t *)&stub_mailbox.identity.wall_clock_ns;
}

void stub_setup(void)
{
	uint64_t wait_ms = 0;
	uint64_t until;

	if (!stub_number(NULL, 0, "wait", &wait_ms) || wait_ms > UINT32_MAX)
		stub_fail("wait= wants milliseconds");
	until = wait_ms ? clock_ns() + wait_ms * NS_PER_MS : UINT64_MAX;
	stub_console("slow: waiting\n");
	while (clock_ns() < until) {
		for (unsigned int i = 0; i < PAUSES_A_LOOK; i++)
			stub_pause();
	}
	stub_console("slow: waited\n");
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	struct text answer = text_on(response, capacity);

	(void)request;
	text_printf(&answer, "ok slow clone=%lu len=%lu\n", stub_mailbox.identity.clone_id,
		    request_len);
	return answer.len;
}
