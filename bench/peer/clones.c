/* SPDX-License-Identifier: MIT */
/* Rounds of QEMU's clones: started, asked, verified, timed. See qemu.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/peer/qemu.h"
#include "bench/storm/memory.h"

#define TEXT(number)  TEXT_(number)
#define TEXT_(number) #number

/* All that a clone is told, sent before it is started, so that it waits for nothing. */
#define LOAD_STUB                                     \
	"migrate_set_capability x-ignore-shared on\n" \
	"migrate_incoming fd:" TEXT(QEMU_STATE_FD) "\n"
#define LOAD_LINUX                                                                    \
	"{\"execute\":\"qmp_capabilities\"}\n"                                        \
	"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":[" \
	"{\"capability\":\"x-ignore-shared\",\"state\":true}]}}\n"                    \
	"{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"fd:" TEXT(        \
		QEMU_STATE_FD) "\"}}\n"

enum {
	ON_QMP,
	ON_SERIAL,
	ON_END,
	DESCRIPTORS
};

enum step {
	FREE,
	STARTED,  /* loads its state; Linux only */
	ASKED,	  /* has its request             */
	ANSWERED, /* and its answer is right     */
	ENDING,	  /* was killed                  */
};

/* What may be answered, and a byte more to see that it is too long. */
#define ANSWER_SIZE (65536u + 1)

/* A clone on its way. */
struct place {
	enum step step;
	struct qemu_vm vm;
	struct qmp_buffer messages;
	uint64_t id, resumed_ns, answered_ns;
	char *answer; /* ANSWER_SIZE; owned */
	size_t answer_length;
};

struct storm {
	const struct qemu *qemu;
	struct qemu_round round;
	struct peer *peer;
	struct checker checker;
	struct place *places; /* owned */
	struct pollfd *polls; /* DESCRIPTORS a place; owned */
	size_t place_count;
	size_t started, waiting, over; /* waiting: neither answered nor failed */
	uint64_t first_ns, last_ns;
};

static void let_end(struct storm *storm, struct place *place)
{
	if (place->step == STARTED || place->step == ASKED)
		storm->waiting--;
	place->step = ENDING;
	qemu_kill(&place->vm);
}

static void fail(struct storm *storm, struct place *place, const char *reason)
{
	storm_fail(&storm->peer->failures, "%s", reason);
	let_end(storm, place);
}

/* Start one; a failure is counted. */
static void start(struct storm *storm, struct place *place)
{
	const bool stub = storm->qemu->stub;
	int far[2], rc;

	place->messages.used = 0;
	place->answer_length = 0;
	place->id = ++storm->started;
	rc = qemu_connect(&place->vm, far);
	if (rc == 0) {
		rc = qmp_send(place->vm.qmp, stub ? LOAD_STUB : LOAD_LINUX, -1);
		if (rc == 0)
			rc = qemu_start(storm->qemu, far, place->id, &place->vm);
		close(far[0]);
		close(far[1]);
	}
	if (rc < 0) {
		storm_fail(&storm->peer->failures, "start QEMU: %s", strerror(-rc));
		qemu_end(&place->vm);
		storm->over++;
		return;
	}
	if (!storm->first_ns)
		storm->first_ns = place->vm.start_ns;
	place->resumed_ns = 0;
	place->step = stub ? ASKED : STARTED;
	storm->waiting++;
}

static void ask(struct storm *storm, struct place *place)
{
	char line[QEMU_LINE_SIZE];

	place->resumed_ns = now_ns();
	place->step = ASKED;
	qemu_guest_line(place->id, line);
	if (qmp_send(place->vm.serial, line, -1) < 0)
		fail(storm, place, "its serial port takes no request");
}

/* Take QEMU's messages: its guest runs, or something went wrong. */
static void take_messages(struct storm *storm, struct place *place)
{
	json_t *message;
	int rc = 0;

	while (place->step == STARTED &&
	       (message = qmp_next(place->vm.qmp, &place->messages, &rc))) {
		const char *error = qmp_error(message);

		if (error)
			fail(storm, place, error);
		else if (qmp_is_event(message, "RESUME"))
			ask(storm, place);
		json_decref(message);
	}
	/* Its end is told by its process. */
	if (rc < 0 && rc != -ECONNRESET && place->step == STARTED)
		fail(storm, place, strerror(-rc));
}

static void record(struct storm *storm, struct place *place)
{
	struct peer *peer = storm->peer;

	storm->last_ns = place->answered_ns;
	if (!storm->round.timed)
		return;
	peer->ok++;
	samples_add(&peer->latency, place->answered_ns - place->vm.start_ns);
	if (place->resumed_ns)
		samples_add(&peer->restored, place->resumed_ns - place->vm.start_ns);
}

static void take_answer(struct storm *storm, struct place *place)
{
	const char *reason = "";
	enum check_verdict verdict;
	ssize_t got;

	if (place->step != ASKED)
		return; /* nothing is due */
	got = read(place->vm.serial, place->answer + place->answer_length,
		   ANSWER_SIZE - place->answer_length);
	if (got <= 0)
		return; /* its end is told by its process */
	place->answer_length += (size_t)got;
	verdict = qemu_guest_judge(storm->qemu, &storm->checker, place->id, place->answer,
				   place->answer_length, &reason);
	if (verdict == CHECK_BAD)
		fail(storm, place, reason);
	if (verdict == CHECK_SHORT && place->answer_length == ANSWER_SIZE)
		fail(storm, place, "wrong answer: too long");
	if (verdict != CHECK_GOOD)
		return;
	place->answered_ns = now_ns();
	record(storm, place);
	if (storm->round.alive) {
		storm->waiting--;
		place->step = ANSWERED;
	} else {
		let_end(storm, place);
	}
}

static void take_end(struct storm *storm, struct place *place)
{
	char words[STORM_REASON_SIZE], reason[STORM_REASON_SIZE + 40];

	if (place->step != ENDING) {
		qemu_last_words(storm->qemu, words, sizeof(words));
		snprintf(reason, sizeof(reason), "QEMU ended: %s", words);
		fail(storm, place, reason);
	}
	qemu_end(&place->vm);
	place->step = FREE;
	storm->over++;
}

/* Those from which nothing came for too long. */
static void look_at_clocks(struct storm *storm)
{
	const uint64_t limit_ns = (uint64_t)storm->qemu->options->timeout_s * 1000000000u;
	char reason[80];

	for (size_t i = 0; i < storm->place_count; i++) {
		struct place *place = &storm->places[i];

		if ((place->step != STARTED && place->step != ASKED) ||
		    now_ns() - place->vm.start_ns < limit_ns)
			continue;
		snprintf(reason, sizeof(reason), "%s within %u s",
			 place->step == STARTED ? "not restored" : "no answer",
			 storm->qemu->options->timeout_s);
		fail(storm, place, reason);
	}
}

/* Wait for what comes next, and take it. */
static int step(struct storm *storm)
{
	for (size_t i = 0; i < storm->place_count; i++) {
		const struct place *place = &storm->places[i];
		struct pollfd *polls = &storm->polls[i * DESCRIPTORS];

		polls[ON_QMP].fd = place->step == STARTED ? place->vm.qmp : -1;
		polls[ON_SERIAL].fd = place->step == ASKED ? place->vm.serial : -1;
		polls[ON_END].fd = place->step != FREE ? place->vm.pidfd : -1;
	}
	if (poll(storm->polls, storm->place_count * DESCRIPTORS, 1000) < 0)
		return errno == EINTR ? 0 : -errno;
	for (size_t i = 0; i < storm->place_count; i++) {
		const struct pollfd *polls = &storm->polls[i * DESCRIPTORS];
		struct place *place = &storm->places[i];

		if (polls[ON_SERIAL].fd >= 0 && polls[ON_SERIAL].revents)
			take_answer(storm, place);
		if (polls[ON_QMP].fd >= 0 && polls[ON_QMP].revents)
			take_messages(storm, place);
		if (polls[ON_END].fd >= 0 && polls[ON_END].revents)
			take_end(storm, place);
	}
	look_at_clocks(storm);
	return 0;
}

/* All have answered or failed: look at those that live, and let them go. */
static void measure_and_release(struct storm *storm)
{
	pid_t *pids = calloc(storm->round.count, sizeof(*pids));
	size_t count = 0;

	for (size_t i = 0; pids && i < storm->place_count; i++)
		if (storm->places[i].step == ANSWERED)
			pids[count++] = storm->places[i].vm.pid;
	memory_sample(&storm->peer->memory, pids, count);
	free(pids);
	for (size_t i = 0; i < storm->place_count; i++)
		if (storm->places[i].step == ANSWERED)
			let_end(storm, &storm->places[i]);
}

static int work(struct storm *storm)
{
	const struct qemu_round *round = &storm->round;
	bool measured = false;
	int rc = 0;

	while (rc == 0 && storm->over < round->count) {
		for (size_t i = 0; i < storm->place_count && storm->started < round->count; i++)
			if (storm->places[i].step == FREE && storm->waiting < round->concurrency)
				start(storm, &storm->places[i]);
		if (round->alive && !measured && storm->started == round->count &&
		    storm->waiting == 0) {
			measure_and_release(storm);
			measured = true;
		}
		if (storm->over < round->count)
			rc = step(storm);
		if (storm_interrupted)
			rc = -EINTR;
	}
	return rc;
}

/* What no two clones may show: count those that did. */
static void look_for_repeated(struct storm *storm)
{
	size_t repeated = check_repeated(&storm->checker);

	for (size_t i = 0; i < repeated; i++)
		storm_fail(&storm->peer->failures,
			   "showed an identity or a draw that another had shown");
	samples_done(&storm->checker.once);
}

static int make_places(struct storm *storm)
{
	const struct qemu_round *round = &storm->round;
	size_t count = round->alive ? round->count : round->concurrency;

	storm->places = calloc(count, sizeof(*storm->places));
	storm->polls = calloc(count * DESCRIPTORS, sizeof(*storm->polls));
	if (!storm->places || !storm->polls)
		return -ENOMEM;
	for (; storm->place_count < count; storm->place_count++) {
		struct place *place = &storm->places[storm->place_count];

		place->vm = QEMU_NO_VM;
		place->answer = malloc(ANSWER_SIZE);
		if (!place->answer)
			return -ENOMEM;
	}
	for (size_t i = 0; i < count * DESCRIPTORS; i++)
		storm->polls[i].events = POLLIN;
	return 0;
}

static void free_places(struct storm *storm)
{
	for (size_t i = 0; i < storm->place_count; i++) {
		qemu_end(&storm->places[i].vm);
		free(storm->places[i].answer);
	}
	free(storm->places);
	free(storm->polls);
}

int qemu_clones(const struct qemu *qemu, const struct qemu_round *round, struct peer *peer)
{
	const struct storm_options *options = qemu->options;
	struct storm storm = {
		.qemu = qemu,
		.round = *round,
		.peer = peer,
		.checker = {.by = options->check,
			    .stub = options->stub,
			    .request = options->request,
			    .request_len = options->request_len},
	};
	int rc = make_places(&storm);

	if (rc == 0 && round->alive)
		memory_start(&peer->memory, MEMORY_QUIET_STEPS);
	if (rc == 0)
		rc = work(&storm);
	if (rc < 0)
		fprintf(stderr, "clone_storm: --peer qemu: %s\n", strerror(-rc));
	else if (round->timed && storm.last_ns)
		peer->seconds = (double)(storm.last_ns - storm.first_ns) / 1e9;
	look_for_repeated(&storm);
	free_places(&storm);
	return rc < 0 ? -1 : 0;
}
