/* SPDX-License-Identifier: MIT */
/* One round of clones; see engine.h. */
#define _GNU_SOURCE
#include "bench/storm/engine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/storm/asleep.h"
#include "bench/storm/link.h"
#include "bench/storm/memory.h"

#define LINK_EVENT    UINT64_MAX /* epoll's name for the connection; places have their index */
#define EVENTS_MAX    64
#define FILES_RESERVE 64 /* descriptors that are not answers */
#define PROGRESS_NS   100000000u
#define RELEASE_STEP  64 /* clones, a fraction of those whose ends the server keeps for us */

/*
 * An open loop's requests are to leave when they are due: the last moments before are spun away,
 * since an idle CPU may take that long to wake up. More would be taken from the clones.
 */
#define SPIN_NS	      50000u

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

/* Send one request. False when nothing more can be sent now. */
static bool send_one(struct engine *engine, uint64_t due_ns)
{
	char buffer[CHECK_ECHO_LENGTH + 1];
	const char *request;
	struct slot *slot;
	int rc;

	slot = slots_take(&engine->slots, &rc);
	if (!slot) {
		if (rc < 0)
			engine->fatal = strerror(-rc);
		return false;
	}
	slot->token = engine->checker->next_token++;
	request = check_request(engine->checker, slot->token, buffer);
	slot->sent_ns = now_ns();
	slot->due_ns = due_ns ? due_ns : slot->sent_ns;
	rc = link_clone(engine->client, slot_index(&engine->slots, slot), slot->far_fd,
			engine->round.alive, engine->round.spare, request,
			engine->checker->request_len);
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

/* Put one more clone into a batch that is to be sent. False: there is no place. */
static bool add_to_batch(struct engine *engine, struct batch *batch, struct forkvm_bytes *request,
			 char buffer[CHECK_ECHO_LENGTH + 1])
{
	int rc;
	struct slot *slot = slots_take(&engine->slots, &rc);

	if (!slot)
		return false;
	slot->token = engine->checker->next_token++;
	slot->sent_ns = slot->due_ns = now_ns();
	*request = (struct forkvm_bytes){
		.data = check_request(engine->checker, slot->token, buffer),
		.len = engine->checker->request_len,
	};
	batch->slots[batch->count++] = slot;
	return true;
}

/* Send one batch. False when nothing more can be sent now. */
static bool send_batch(struct engine *engine)
{
	static struct forkvm_bytes requests[FORKVM_PROTOCOL_MAX_BATCH];
	static char buffers[FORKVM_PROTOCOL_MAX_BATCH][CHECK_ECHO_LENGTH + 1];
	struct batch *batch = batches_free(&engine->batches);
	size_t size = engine->round.count - engine->sent;
	int rc;

	if (!batch)
		return false;
	if (size > engine->batches.size)
		size = engine->batches.size;
	batch->count = 0;
	while (batch->count < size &&
	       add_to_batch(engine, batch, &requests[batch->count], buffers[batch->count]))
		;
	if (!engine->sent)
		engine->first_sent_ns = batch->slots[0]->sent_ns;
	batch->left = batch->count;
	engine->sent += batch->count;
	engine->waiting += batch->count;
	rc = link_batch(engine->client, (uint64_t)(batch - engine->batches.list), batch->far_fd,
			requests, batch->count);
	if (rc < 0)
		engine->fatal = strerror(-rc);
	return rc == 0;
}

/* When the next request is due in an open loop. */
static uint64_t due_ns(const struct engine *engine)
{
	return engine->start_ns + (uint64_t)((double)engine->sent * 1e9 / engine->round.rate);
}

/* Send what is to be sent now; returns how long epoll may wait, in nanoseconds. */
static uint64_t send_due(struct engine *engine)
{
	const struct round *round = &engine->round;
	bool more = true;

	while (more && !engine->fatal && engine->sent < round->count) {
		uint64_t due = 0;

		if (round->rate > 0) {
			uint64_t now = now_ns();

			due = due_ns(engine);
			if (due > now)
				return due - now > SPIN_NS ? due - now - SPIN_NS : 0;
		}
		if (now_ns() < engine->hold_until_ns)
			return NS_PER_MS;
		/* Clones that stay alive keep their place: it is answers that are limited. */
		if (round->alive && engine->waiting >= round->concurrency)
			break;
		more = round->batch ? send_batch(engine) : send_one(engine, due);
	}
	return 100 * NS_PER_MS;
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
		engine_fail(engine, slot, reason);
	}
	engine->fatal = "nothing has happened for too long (see --timeout)";
}

/* Every clone that was to be is accounted for: those still out, and those never asked for. */
static void count_missing(struct engine *engine)
{
	for (size_t i = 0; i < engine->slots.count; i++)
		if (engine->slots.list[i].busy)
			engine_fail(engine, &engine->slots.list[i], engine->fatal);
	for (; engine->sent < engine->round.count; engine->sent++)
		storm_fail(&engine->result->failures, "never sent: %s", engine->fatal);
}

static void wait_and_handle(struct engine *engine, uint64_t timeout_ns)
{
	const struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / NS_PER_SEC),
		.tv_nsec = (long)(timeout_ns % NS_PER_SEC),
	};
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_pwait2(engine->epoll, events, EVENTS_MAX, &timeout, NULL);
	bool records = false;

	if (count < 0 && errno != EINTR)
		engine->fatal = strerror(errno);
	/* Answers first: they are what is timed, and what end records are judged by. */
	for (int i = 0; i < count; i++) {
		if (events[i].data.u64 == LINK_EVENT)
			records = true;
		else if (events[i].data.u64 & BATCH_EVENT)
			engine_take_batch(engine,
					  &engine->batches.list[events[i].data.u64 & ~BATCH_EVENT]);
		else
			engine_take_answer(engine, events[i].data.u64, events[i].events);
	}
	/* The library may also have taken records in while it was sending. */
	if (records || count == 0)
		engine_take_records(engine);
	if (count > 0)
		engine->last_event_ns = now_ns();
	else if (engine->sent > engine->ended &&
		 now_ns() - engine->last_event_ns >
			 (uint64_t)engine->round.options->timeout_s * 1000000000u)
		give_up(engine);
}

/*
 * Let all clones go. Their ends come meanwhile, and the server closes a connection whose client
 * leaves too many of them unread.
 */
static void release(struct engine *engine)
{
	for (size_t i = 0; i < engine->slots.count; i++) {
		slot_let_go(&engine->slots, &engine->slots.list[i]);
		if (i % RELEASE_STEP == 0)
			engine_take_records(engine);
	}
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
	if (engine->round.options->sleep_after && pids)
		asleep_look(engine, pids, count);
	free(pids);
	engine->release_ns = engine->last_event_ns = now_ns();
	release(engine);
}

static void work(struct engine *engine)
{
	const struct round *round = &engine->round;

	if (round->rate > 0)
		prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	engine->start_ns = engine->last_event_ns = now_ns();
	while (!engine->fatal && engine->ended < round->count) {
		uint64_t timeout_ns = send_due(engine);

		wait_and_handle(engine, timeout_ns);
		if (round->alive && !engine->release_ns && engine->sent == round->count &&
		    engine->waiting == 0)
			measure_and_release(engine);
		show_progress(engine, false);
		if (storm_interrupted)
			engine->fatal = "interrupted";
	}
	prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0); /* what it was */
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
	if (!engine->round.alive && engine->last_end_ns > engine->first_sent_ns)
		result->ended_per_s = (double)engine->answered * 1e9 /
				      (double)(engine->last_end_ns - engine->first_sent_ns);
}

static int prepare(struct engine *engine)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = LINK_EVENT};
	const struct round *round = &engine->round;
	size_t places = round->alive ? round->count : round->concurrency;

	engine->epoll = epoll_create1(EPOLL_CLOEXEC);
	engine->buffer = malloc(ENGINE_BUFFER);
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
	if (round->batch &&
	    batches_init(&engine->batches, places / round->batch, round->batch, engine->epoll) < 0)
		return -1;
	return slots_init(&engine->slots, places,
			  round->batch	 ? SLOTS_BARE
			  : round->alive ? SLOTS_SOCKETS
					 : SLOTS_PIPES,
			  engine->epoll, FILES_RESERVE);
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
			memory_start(&result->memory, round->quiet_steps);
		work(&engine);
		conclude(&engine);
		if (engine.fatal) {
			count_missing(&engine);
			fprintf(stderr, "clone_storm: %s: %s\n", round->label, engine.fatal);
			rc = -1;
		}
	}
	slots_done(&engine.slots);
	batches_done(&engine.batches);
	free(engine.buffer);
	if (engine.epoll >= 0)
		close(engine.epoll);
	return rc;
}
