/* SPDX-License-Identifier: MIT */
/* What comes back in a round: answers from clones, and records of their ends. See engine.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench/common/clock.h"
#include "bench/storm/engine.h"
#include "bench/storm/link.h"
#include "bench/storm/memory.h"

#define CURVE_STEPS 20u	     /* looks at the host's memory while clones gather */
#define WAIT_NS	    1000000u /* for another spare                              */

void engine_fail(struct engine *engine, struct slot *slot, const char *reason)
{
	if (slot->failed)
		return;
	slot->failed = true;
	if (!slot->answered)
		engine->waiting--;
	storm_fail(&engine->result->failures, "%s", reason);
}

static void accept_answer(struct engine *engine, struct slot *slot, uint64_t at_ns)
{
	slot->answered = true;
	slot->answered_ns = at_ns;
	engine->answered++;
	engine->waiting--;
	engine->last_answer_ns = at_ns;
	slot_close_far(&engine->slots, slot);
	if (engine->round.alive && engine->answered >= engine->next_curve) {
		memory_curve_point(&engine->result->memory, engine->answered);
		engine->next_curve += engine->round.count / CURVE_STEPS + 1;
	}
}

/* Join what came now to what came before; *ret_length bytes at what is returned. */
static const char *join_partial(struct slot *slot, const char *data, size_t length,
				size_t *ret_length)
{
	char *joined = realloc(slot->partial, slot->partial_length + length + 1);

	if (!joined)
		return NULL;
	memcpy(joined + slot->partial_length, data, length);
	slot->partial = joined;
	slot->partial_length += length;
	*ret_length = slot->partial_length;
	return joined;
}

static void judge(struct engine *engine, struct slot *slot, const char *data, size_t length)
{
	const char *reason = "wrong answer";

	if (slot->failed)
		return; /* once is enough */
	if (slot->answered) {
		engine_fail(engine, slot, "a second answer, or bytes after the first");
		return;
	}
	if (slot->partial) {
		data = join_partial(slot, data, length, &length);
		if (!data) {
			engine_fail(engine, slot, "no memory for its answer");
			return;
		}
	}
	switch (check_answer(engine->checker, slot->token, data, length, &reason)) {
	case CHECK_GOOD:
		accept_answer(engine, slot, now_ns());
		break;
	case CHECK_SHORT:
		if (!slot->partial && !join_partial(slot, data, length, &length))
			engine_fail(engine, slot, "no memory for its answer");
		break;
	case CHECK_BAD:
		engine_fail(engine, slot, reason);
		break;
	}
}

/* Take all that has come from a clone. */
static void take_answer(struct engine *engine, struct slot *slot)
{
	ssize_t got;

	while ((got = slot_read(&engine->slots, slot, engine->buffer, ENGINE_BUFFER, &slot->pid)) >
	       0)
		if (slot->busy)
			judge(engine, slot, engine->buffer, (size_t)got);
	if (got < 0 && got != -ECONNRESET)
		engine_fail(engine, slot, strerror((int)-got));
}

void engine_take_batch(struct engine *engine, const struct batch *batch)
{
	uint32_t index;
	size_t length;
	int rc;

	while ((rc = batch_read(batch, engine->buffer, ENGINE_BUFFER, &length, &index)) > 0)
		if (batch->slots[index]->busy)
			judge(engine, batch->slots[index], engine->buffer, length);
	if (rc < 0)
		engine->fatal = strerror(-rc);
}

void engine_take_answer(struct engine *engine, size_t index, uint32_t events)
{
	struct slot *slot = &engine->slots.list[index];

	take_answer(engine, slot);
	/* The other end is gone; without this epoll would say so for ever. */
	if (events & (EPOLLHUP | EPOLLERR))
		epoll_ctl(engine->epoll, EPOLL_CTL_DEL, slot->near_fd, NULL);
}

/* When a stage ended, by the end record; the last one by our own clock. */
static uint64_t stage_end(const struct slot *slot, const struct link_event *event, size_t stage)
{
	return stage == STORM_ANSWER ? slot->answered_ns : event->at_ns[stage];
}

/* When a stage of a claimed spare ended. */
static uint64_t claim_end(const struct slot *slot, const struct link_event *event, size_t stage)
{
	return stage == STORM_CLAIM_ANSWER ? slot->answered_ns : event->claim_at_ns[stage];
}

/* The stages follow one another, as one clock counts; otherwise something lies. */
static bool stages_make_sense(const struct slot *slot, const struct link_event *event)
{
	uint64_t before = slot->sent_ns;
	size_t stages = event->claimed ? STORM_CLAIM_STAGES : STORM_STAGES;

	for (size_t stage = 0; stage < stages; stage++) {
		uint64_t at = event->claimed ? claim_end(slot, event, stage)
					     : stage_end(slot, event, stage);

		if (at < before)
			return false;
		before = at;
	}
	return true;
}

static void record_reset(struct storm_claims *claims, const struct slot *slot,
			 const struct link_event *event)
{
	uint64_t before = event->reset_from_ns, took, waited = 0;

	if (!before || before >= slot->answered_ns)
		return;
	took = slot->answered_ns - before;
	samples_add(&claims->reset, took);
	for (size_t stage = 0; stage < STORM_RESET_STAGES; stage++) {
		uint64_t at =
			stage == STORM_RESET_ANSWER ? slot->answered_ns : event->reset_at_ns[stage];

		samples_add(&claims->reset_stages[stage], at > before ? at - before : 0);
		if (at > before && stage == STORM_RESET_CLAIM)
			waited = at - before;
		if (at > before)
			before = at;
	}
	samples_add(&claims->reset_work, took - waited);
}

static void record_claim(struct storm_claims *claims, const struct slot *slot,
			 const struct link_event *event)
{
	uint64_t latency = slot->answered_ns - slot->due_ns, before = slot->sent_ns;

	samples_add(&claims->all, latency);
	record_reset(claims, slot, event);
	samples_add(event->claimed ? &claims->claimed : &claims->missed, latency);
	for (size_t stage = 0; event->claimed && stage < STORM_CLAIM_STAGES; stage++) {
		uint64_t at = claim_end(slot, event, stage);

		samples_add(&claims->stages[stage], at - before);
		before = at;
	}
}

static void record(struct engine *engine, const struct slot *slot, const struct link_event *event)
{
	uint64_t before = slot->sent_ns;

	engine->ok++;
	if (engine->round.claims)
		record_claim(&engine->result->claims, slot, event);
	if (!engine->round.timed || engine->round.claims)
		return;
	samples_add(&engine->result->latency, slot->answered_ns - slot->due_ns);
	for (size_t stage = 0; stage < STORM_STAGES; stage++) {
		uint64_t at = stage_end(slot, event, stage);

		samples_add(&engine->result->stages[stage], at - before);
		before = at;
	}
}

static void on_end(struct engine *engine, struct slot *slot, const struct link_event *event)
{
	char reason[STORM_REASON_SIZE + 32]; /* cut where it is counted */

	/* Its answer may have come in the same moment; a clone writes it before it ends. */
	if (event->has_index)
		engine_take_batch(engine, &engine->batches.list[event->tag]);
	else
		take_answer(engine, slot);
	if (!event->done) {
		snprintf(reason, sizeof(reason), "%s%s", slot->answered ? "after its answer: " : "",
			 event->text);
		engine_fail(engine, slot, reason);
	} else if (!slot->answered) {
		engine_fail(engine, slot,
			    slot->partial ? "ended with half an answer"
					  : "ended without an answer");
	} else if (engine->round.options->sleep_after && !event->sleeps) {
		engine_fail(engine, slot, "has not slept");
	} else if (!stages_make_sense(slot, event)) {
		engine_fail(engine, slot, "its stages are not in order");
	} else if (!slot->failed) {
		record(engine, slot, event);
	}
	engine->ended++;
	engine->last_end_ns = now_ns();
	slots_give(&engine->slots, slot);
}

/* As if it had not been sent: it will be, a little later. */
static void wait_for_spare(struct engine *engine, struct slot *slot)
{
	engine->result->claims.waits++;
	engine->hold_until_ns = now_ns() + WAIT_NS;
	engine->sent--;
	engine->waiting--;
	slots_give(&engine->slots, slot);
}

/* Whose event it is, or NULL. */
static struct slot *find_slot(const struct engine *engine, const struct link_event *event)
{
	if (event->has_index)
		return batches_find(&engine->batches, event->tag, event->index);
	if (event->tag >= engine->slots.count || !engine->slots.list[event->tag].busy)
		return NULL;
	return &engine->slots.list[event->tag];
}

static void on_link_event(struct engine *engine, const struct link_event *event)
{
	struct slot *slot = find_slot(engine, event);

	if (!slot) {
		/* A batch that was refused whole has no index. */
		engine->fatal = event->text[0]
					? "the server refused a batch"
					: "the server speaks of a clone that was not asked for";
		return;
	}
	if (event->no_spare && engine->round.spare == FORKVM_SPARE_ONLY)
		wait_for_spare(engine, slot);
	else
		on_end(engine, slot, event);
	if (event->has_index)
		engine->batches.list[event->tag].left--;
}

void engine_take_records(struct engine *engine)
{
	struct link_event event;
	int rc;

	while (!engine->fatal && (rc = link_next(engine->client, &event)) != 0) {
		if (rc < 0)
			engine->fatal = rc == -ECONNRESET || rc == -EPIPE
						? "the server has closed the connection"
						: strerror(-rc);
		else
			on_link_event(engine, &event);
	}
}
