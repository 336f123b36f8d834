/* SPDX-License-Identifier: MIT */
/*
 * unique: every clone is told apart from every other before its first instruction.
 *
 * Request: draws=N (1 to 16, default 4)
 * Answer:  ok clone=ID generation=HEX32 wall_clock_ns=N seq=N draws=HEX,HEX,...
 *          FAIL clone=ID reason=WORD ... when the template had an identity, or the clone has none
 *
 * The draws come from a generator that is seeded with the seed at the first request and goes on
 * from there: no two clones, and no two requests, should ever show the same one. The seed itself
 * is not shown.
 */
#include "guest-stubs/runtime/stub.h"

STUB_NEEDS(0);

#define DRAWS_MAX 16

static uint64_t state[FORKVM_SEED_SIZE / sizeof(uint64_t)];
static bool seeded;
static bool template_had_identity;

static bool is_zero(const void *bytes, size_t size)
{
	const uint8_t *byte = bytes;
	uint8_t all = 0;

	while (size-- > 0)
		all |= *byte++;
	return all == 0;
}

void stub_setup(void)
{
	template_had_identity = stub_mailbox.is_clone != 0 ||
				!is_zero(&stub_mailbox.identity, sizeof(stub_mailbox.identity));
	/* Part of the template, so that a clone finds no hole there. */
	memset(state, 0, sizeof(state));
}

/* A counter through the mixer, over all four words of the seed. Not for secrets. */
static uint64_t draw(void)
{
	uint64_t result = 0;

	state[0] += 0x9e3779b97f4a7c15;
	for (size_t i = 0; i < sizeof(state) / sizeof(state[0]); i++)
		result = stub_mix(result ^ state[i]) + i;
	return result;
}

size_t stub_serve(const char *request, size_t request_len, char *response, size_t capacity)
{
	const struct forkvm_identity *id = &stub_mailbox.identity;
	struct text answer = text_on(response, capacity);
	const char *reason = NULL;
	uint64_t draws = 4;

	if (template_had_identity)
		reason = "template-identity";
	else if (stub_mailbox.is_clone != 1)
		reason = "is_clone";
	else if (is_zero(id->generation_id, sizeof(id->generation_id)))
		reason = "generation-zero";
	else if (is_zero(id->seed, sizeof(id->seed)))
		reason = "seed-zero";
	else if (id->wall_clock_ns == 0)
		reason = "wall-clock-zero";
	else if (stub_mailbox.request_seq == 0)
		reason = "seq-zero";
	else if (!stub_number(request, request_len, "draws", &draws) || draws == 0 ||
		 draws > DRAWS_MAX)
		reason = "bad-request";
	if (reason != NULL) {
		text_printf(&answer, "FAIL clone=%lu reason=%s is_clone=%u\n", id->clone_id, reason,
			    stub_mailbox.is_clone);
		return answer.len;
	}

	if (!seeded)
		memcpy(state, id->seed, sizeof(state));
	seeded = true;
	text_printf(&answer, "ok clone=%lu generation=", id->clone_id);
	text_bytes(&answer, id->generation_id, sizeof(id->generation_id));
	text_printf(&answer, " wall_clock_ns=%lu seq=%lu draws=", id->wall_clock_ns,
		    stub_mailbox.request_seq);
	for (uint64_t i = 0; i < draws; i++)
		text_printf(&answer, "%s%016lx", i > 0 ? "," : "", draw());
	text_char(&answer, '\n');
	return answer.len;
}
