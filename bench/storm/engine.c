/* SPDX-License-Identifier: MIT */
/* One round of clones; see engine.h. */
#define _GNU_SOURCE
#include "bench/storm/engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "bench/storm/link.h"
#include "bench/storm/memory.h"

#define LINK_EVENT    UINT64_MAX /* epoll's name for the connection; places have their index */
#define EVENTS_MAX    64
#define FILES_RESERVE 64 /* descriptors that are not answers */
#define PROGRESS_NS   100000000u
#define CURVE_STEPS   20u
#define ANSWER_MAX    65536u

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void show_progress(struct engine *engine, bool last)
{
	const struct storm_failures *failures = &engine->result->failures;
	uint64_t now = now_ns();
	double seconds = (double)(now - engine->start_ns) / 1e9;

	if (!isatty(STDERR_FILENO) || (!last && now - engine->last_progress_ns < PROGRESS_NS))
		return;
	engine->last_progress_ns = now;
	fprintf(stderr, "\r%s: %zu of %zu answered, %zu ended, %.0f a second, %zu failed\033[K%s",
		engine->round.label, engine->answered, engine->round.count, engine->ended,
		seconds > 0 ? (double)engine->answered / seconds : 0, failures->total,
		last ? "\r\033[K" : "");
	fflush(stderr);
}

/* Count a clone as failed, once. */
static void fail_slot(struct engine *engine, struct slot *slot, const char *reason)
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

	if (slot->answered) {
		fail_slot(engine, slot, "a second answer, or bytes after the first");
		return;
	}
	if (slot->partial) {
		data = join_partial(slot, data, length, &length);
		if (!data) {
			fail_slot(engine, slot, "no memory for its answer");
			return;
		}
	}
	switch (check_answer(engine->checker, data, length, &reason)) {
	case CHECK_GOOD:
		accept_answer(engine, slot, now_ns());
		break;
	case CHECK_SHORT:
		if (!slot->partial && !join_partial(slot, data, length, &length))
			fail_slot(engine, slot, "no memory for its answer");
		break;
	case CHECK_BAD:
		fail_slot(engine, slot, reason);
		break;
	}
}

/* Take all that has come from a clone. */
static void take_answer(struct engine *engine, struct slot *slot)
{
	ssize_t got;

	while ((got = slot_read(&engine->slots, slot, engine->buffer, ANSWER_MAX + 1, &slot->pid)) >
	       0)
		if (slot->busy)
			judge(engine, slot, engine->buffer, (size_t)got);
	if (got < 0 && got != -ECONNRESET)
		fail_slot(engine, slot, strerror((int)-got));
}

static void on_answer_event(struct engine *engine, size_t index, uint32_t events)
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

/* The stages follow one another, as one clock counts; otherwise something lies. */
static bool stages_make_sense(const struct slot *slot, const struct link_event *event)
{
	uint64_t before = slot->sent_ns;

	for (size_t stage = 0; stage < STORM_STAGES; stage++) {
		if (stage_end(slot, event, stage) < before)
			return false;
		before = stage_end(slot, event, stage);
	}
	return true;
}

static void record(struct engine *engine, const struct slot *slot, const struct link_event *event)
{
	uint64_t before = slot->sent_ns;

	engine->ok++;
	if (!engine->round.timed)
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
	take_answer(engine, slot);
	if (!event->done) {
		snprintf(reason, sizeof(reason), "%s%s", slot->answered ? "after its answer: " : "",
			 event->text);
		fail_slot(engine, slot, reason);
	} else if (!slot->answered) {
		fail_slot(engine, slot,
			  slot->partial ? "ended with half an answer" : "ended without an answer");
	} else if (!stages_make_sense(slot, event)) {
		fail_slot(engine, slot, "its stages are not in order");
	} else if (!slot->failed) {
		record(engine, slot, event);
	}
	engine->ended++;
	engine->last_end_ns = now_ns();
	slots_give(&engine->slots, slot);
}

static void on_link_event(struct engine *engine, const struct link_event *event)
{
	struct slot *slot;

	if (event->tag >= engine->slots.count || !engine->slots.list[event->tag].busy) {
		engine->fatal = "the server speaks of a clone that was not asked for";
		return;
	}
	slot = &engine->slots.list[event->tag];
	on_end(engine, slot, event);
}

/* Read all records that the server has sent. */
static void take_records(struct engine *engine)
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

/* Send one request. False when nothing more can be sent now. */
static bool send_one(struct engine *engine, uint64_t due_ns)
{
	const struct storm_options *options = engine->round.options;
	struct slot *slot;
	int rc;

	slot = slots_take(&engine->slots, &rc);
	if (!slot) {
		if (rc < 0)
			engine->fatal = strerror(-rc);
		return false;
	}
	slot->sent_ns = now_ns();
	slot->due_ns = due_ns ? due_ns : slot->sent_ns;
	rc = link_clone(engine->client, slot_index(&engine->slots, slot), slot->far_fd,
			engine->round.alive, options->request, options->request_len);
	if (rc == -EAGAIN) {
		slots_give(&engine->slots, slot);
		return false;
	}
	if (rc < 0) {
		engine->fatal = strerror(-rc);
		slots_give(&engine->slots, slot);
		return false;
	}
	if (!engine->sent)
		engine->first_sent_ns = slot->sent_ns;
	engine->sent++;
	engine->waiting++;
	return true;
}

/* When the next request is due in an open loop. */
static uint64_t due_ns(const struct engine *engine)
{
	return engine->start_ns + (uint64_t)((double)engine->sent * 1e9 / engine->round.rate);
}

/* Send what is to be sent now; returns how long epoll may wait, in milliseconds. */
static int send_due(struct engine *engine)
{
	const struct round *round = &engine->round;
	bool more = true;

	while (more && !engine->fatal && engine->sent < round->count) {
		uint64_t due = 0;

		if (round->rate > 0) {
			uint64_t now = now_ns();

			due = due_ns(engine);
			if (due > now) /* the last millisecond is spun away, to be on time */
				return (int)((due - now) / 1000000);
		}
		/* Clones that stay alive keep their place: it is answers that are limited. */
		if (round->alive && engine->waiting >= round->concurrency)
			break;
		more = send_one(engine, due);
	}
	return 100;
}

/* Nothing has happened for too long: count what is missing, and why. */
static void give_up(struct engine *engine)
{
	for (size_t i = 0; i < engine->slots.count; i++) {
		struct slot *slot = &engine->slots.list[i];
		char reason[STORM_REASON_SIZE];

		if (!slot->busy)
			continue;
		snprintf(reason, sizeof(reason), "%s within %u s",
			 slot->answered ? "not known to have ended" : "no answer",
			 engine->round.options->timeout_s);
		fail_slot(engine, slot, reason);
	}
	engine->fatal = "nothing has happened for too long (see --timeout)";
}

/* Every clone that was to be is accounted for: those still out, and those never asked for. */
static void count_missing(struct engine *engine)
{
	for (size_t i = 0; i < engine->slots.count; i++)
		if (engine->slots.list[i].busy)
			fail_slot(engine, &engine->slots.list[i], engine->fatal);
	for (; engine->sent < engine->round.count; engine->sent++)
		storm_fail(&engine->result->failures, "never sent: %s", engine->fatal);
}

static void wait_and_handle(struct engine *engine, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(engine->epoll, events, EVENTS_MAX, timeout_ms);
	bool records = false;

	if (count < 0 && errno != EINTR)
		engine->fatal = strerror(errno);
	/* Answers first: they are what is timed, and what end records are judged by. */
	for (int i = 0; i < count; i++) {
		if (events[i].data.u64 == LINK_EVENT)
			records = true;
		else
			on_answer_event(engine, events[i].data.u64, events[i].events);
	}
	/* The library may also have taken records in while it was sending. */
	if (records || count == 0)
		take_records(engine);
	if (count > 0)
		engine->last_event_ns = now_ns();
	else if (engine->sent > engine->ended &&
		 now_ns() - engine->last_event_ns >
			 (uint64_t)engine->round.options->timeout_s * 1000000000u)
		give_up(engine);
}

/* All that will answer have answered: look at them, and let them go. */
static void measure_and_release(struct engine *engine)
{
	pid_t *pids = calloc(engine->slots.count, sizeof(*pids));
	size_t count = 0;

	for (size_t i = 0; pids && i < engine->slots.count; i++)
		if (engine->slots.list[i].busy && engine->slots.list[i].answered &&
		    engine->slots.list[i].pid > 0)
			pids[count++] = engine->slots.list[i].pid;
	memory_sample(&engine->result->memory, pids, count);
	free(pids);
	engine->release_ns = engine->last_event_ns = now_ns();
	for (size_t i = 0; i < engine->slots.count; i++)
		slot_let_go(&engine->slots, &engine->slots.list[i]);
}

static void work(struct engine *engine)
{
	const struct round *round = &engine->round;

	engine->start_ns = engine->last_event_ns = now_ns();
	while (!engine->fatal && engine->ended < round->count) {
		int timeout_ms = send_due(engine);

		wait_and_handle(engine, timeout_ms);
		if (round->alive && !engine->release_ns && engine->sent == round->count &&
		    engine->waiting == 0)
			measure_and_release(engine);
		show_progress(engine, false);
		if (storm_interrupted)
			engine->fatal = "interrupted";
	}
	show_progress(engine, true);
}

static void conclude(struct engine *engine)
{
	struct storm_result *result = engine->result;
	double seconds = (double)(engine->last_end_ns - engine->release_ns) / 1e9;

	if (engine->round.alive && engine->release_ns && seconds > 0)
		result->teardown_per_s = (double)engine->ok / seconds;
	if (!engine->round.timed)
		return;
	result->ok = engine->ok;
	if (engine->last_answer_ns > engine->first_sent_ns)
		result->seconds = (double)(engine->last_answer_ns - engine->first_sent_ns) / 1e9;
	if (result->seconds > 0)
		result->clones_per_s = (double)engine->answered / result->seconds;
}

static int prepare(struct engine *engine)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = LINK_EVENT};
	const struct round *round = &engine->round;
	size_t places = round->alive ? round->count : round->concurrency;

	engine->epoll = epoll_create1(EPOLL_CLOEXEC);
	engine->buffer = malloc(ANSWER_MAX + 1);
	if (engine->epoll < 0 || !engine->buffer ||
	    epoll_ctl(engine->epoll, EPOLL_CTL_ADD, link_fd(engine->client), &event) < 0) {
		fprintf(stderr, "clone_storm: epoll: %s\n", strerror(errno));
		return -1;
	}
	if (round->timed) {
		samples_reserve(&engine->result->latency, round->count);
		for (size_t stage = 0; stage < STORM_STAGES; stage++)
			samples_reserve(&engine->result->stages[stage], round->count);
	}
	return slots_init(&engine->slots, places, round->alive, engine->epoll, FILES_RESERVE);
}

int engine_run(struct forkvm_client *client, const struct round *round, struct checker *checker,
	       struct storm_result *result)
{
	struct engine engine = {.round = *round,
				.client = client,
				.checker = checker,
				.result = result,
				.epoll = -1,
				.next_curve = 1};
	int rc = prepare(&engine);

	if (rc == 0) {
		if (round->alive)
			memory_start(&result->memory);
		work(&engine);
		conclude(&engine);
		if (engine.fatal) {
			count_missing(&engine);
			fprintf(stderr, "clone_storm: %s: %s\n", round->label, engine.fatal);
			rc = -1;
		}
	}
	slots_done(&engine.slots);
	free(engine.buffer);
	if (engine.epoll >= 0)
		close(engine.epoll);
	return rc;
}
