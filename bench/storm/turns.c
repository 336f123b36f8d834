/* SPDX-License-Identifier: MIT */
/* A storm and the floor's own parallel loop, in turns; see turns.h. */
#define _GNU_SOURCE
#include "bench/storm/turns.h"

#include <sys/resource.h>
#include <unistd.h>

#define TURN_CLONES_MAX 500 /* of each: some tenths of a second */
#define WARM_UP		10  /* clones of a new server that are not counted */

static const char *const variants[TURNS_VARIANTS] = {"plain", "lean"};

bool turns_wanted(const struct storm_options *options)
{
	return options->floor && options->concurrency > 1 && !options->alive && !options->spares &&
	       options->rate <= 0;
}

/* The floor in as many processes as there are CPUs, in twice as many, and in as many as we ask. */
static void choose_loops(const struct storm_options *options, size_t cpus,
			 struct storm_turns *turns)
{
	const size_t wanted[TURNS_LOOPS_MAX] = {cpus, 2 * cpus, options->concurrency};

	for (size_t i = 0; i < TURNS_LOOPS_MAX; i++) {
		size_t workers = wanted[i] < turns->count ? wanted[i] : turns->count;
		bool known = workers > STORM_FLOOR_WORKERS_MAX;

		for (size_t loop = 0; loop < turns->loop_count; loop++)
			known = known || turns->loops[loop].workers == workers;
		if (!known)
			turns->loops[turns->loop_count++].workers = (unsigned int)workers;
	}
}

static int floor_turn(const struct storm_options *options, size_t turn, struct storm_turns *turns,
		      struct turns_loop *loop)
{
	json_t *figures = storm_floor_parallel(options, loop->workers, turns->count);
	const json_t *parallel = json_object_get(figures, "parallel");

	for (size_t i = 0; figures && i < TURNS_VARIANTS; i++) {
		struct turns_series *series = &loop->variants[i];
		const json_t *variant = json_object_get(parallel, variants[i]);

		series->ended_per_s[turn] =
			storm_floor_number(parallel, variants[i], "ended_per_s");
		series->answered_per_s[turn] =
			storm_floor_number(parallel, variants[i], "clones_per_s");
		series->client_us[turn] = storm_floor_number(variant, "cpu_us_per_clone", "loop");
		series->clone_us[turn] = storm_floor_number(variant, "cpu_us_per_clone", "clone");
	}
	json_decref(figures);
	return figures ? 0 : -1;
}

static double own_cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void release(struct storm_result *result)
{
	samples_done(&result->latency);
	for (size_t stage = 0; stage < STORM_STAGES; stage++)
		samples_done(&result->stages[stage]);
}

/* One storm; what its server and we needed for it is added to the series. */
static int storm_once(const struct storm_options *options, const struct storm_server *server,
		      struct storm_failures *failures, size_t turn, struct storm_turns *turns)
{
	struct process_cpu before = {0}, after = {0};
	double client_us = own_cpu_us();
	struct storm_result result = {0};
	const double clones = (double)options->count;
	int rc;

	turns->has_server_cpu = server->pid > 0 && process_cpu_read(server->pid, &before) == 0;
	rc = storm_drive(options, server->socket, &result);
	turns->has_server_cpu = turns->has_server_cpu && process_cpu_read(server->pid, &after) == 0;
	turns->storm.client_us[turn] = (own_cpu_us() - client_us) / clones;
	turns->storm.server_us[turn] = (double)(after.own_us - before.own_us) / clones;
	turns->storm.clone_us[turn] = (double)(after.children_us - before.children_us) / clones;
	turns->storm.ended_per_s[turn] = result.ended_per_s;
	turns->storm.answered_per_s[turn] = result.clones_per_s;
	for (size_t i = 0; i < result.failures.kinds; i++)
		for (size_t n = 0; n < result.failures.reasons[i].count; n++)
			storm_fail(failures, "%s", result.failures.reasons[i].text);
	release(&result);
	return rc;
}

/* As floor does: a few clones that are not counted. */
static int warm_up(const struct storm_options *options, const struct storm_server *server)
{
	struct storm_options few = *options;
	struct storm_result result = {0};
	int rc;

	few.count = WARM_UP;
	few.concurrency = few.concurrency < WARM_UP ? few.concurrency : WARM_UP;
	few.batch = 0;
	rc = storm_drive(&few, server->socket, &result);
	release(&result);
	return rc;
}

static int storm_turn(const struct storm_options *options, struct storm_failures *failures,
		      size_t turn, struct storm_turns *turns)
{
	struct storm_server server = {.pid = -1};
	int rc = 0;

	if (options->socket)
		snprintf(server.socket, sizeof(server.socket), "%s", options->socket);
	else
		rc = storm_server_start(options, &server);
	if (rc < 0)
		return -1;
	rc = warm_up(options, &server);
	if (rc == 0)
		rc = storm_once(options, &server, failures, turn, turns);
	if (!options->socket && storm_server_stop(&server) < 0)
		rc = -1;
	return rc;
}

static int floor_turns(const struct storm_options *options, size_t turn, struct storm_turns *turns)
{
	int rc = 0;

	for (size_t loop = 0; rc == 0 && loop < turns->loop_count; loop++)
		rc = floor_turn(options, turn, turns, &turns->loops[loop]);
	return rc;
}

int turns_run(const struct storm_options *options, size_t cpus, struct storm_failures *failures,
	      struct storm_turns *ret)
{
	struct storm_options storm = *options;
	int rc = 0;

	storm.count = options->count / TURNS;
	if (storm.count > TURN_CLONES_MAX)
		storm.count = TURN_CLONES_MAX;
	if (storm.count < options->concurrency)
		storm.count = options->concurrency;
	storm.no_memory = true;
	*ret = (struct storm_turns){.count = storm.count};
	choose_loops(options, cpus, ret);
	for (size_t turn = 0; rc == 0 && turn < TURNS && !storm_interrupted; turn++) {
		bool storm_first = turn % 2 == 1;

		if (isatty(STDERR_FILENO))
			fprintf(stderr, "floor and storm: turn %zu of %d\033[K\r", turn + 1, TURNS);
		if (storm_first)
			rc = storm_turn(&storm, failures, turn, ret);
		if (rc == 0)
			rc = floor_turns(options, turn, ret);
		if (rc == 0 && !storm_first)
			rc = storm_turn(&storm, failures, turn, ret);
		ret->turns += rc == 0;
	}
	return rc;
}
