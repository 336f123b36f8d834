/* SPDX-License-Identifier: MIT */
/* A sweep: templates, servers, cells. See sweep.h. */
#include "bench/storm/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/clock.h"
#include "bench/storm/engine.h"
#include "bench/storm/limits.h"
#include "bench/storm/link.h"
#include "bench/storm/memory.h"

/* The host is to keep as much, beside the template. */
#define SPARE_MIB      1024
/* Fewer clones than these do not show in MemAvailable, which moves by some MiB by itself. */
#define TELLING_CLONES 500
/* The stub's own program and data are populated in any case, so all but that can be asked for. */
#define OWN_MIB	       2

static const struct sweep_grid full_grid = {
	.mem_mib = {128, 1024, 4096, 8192},
	.percent = {0, 10, 50, 100},
	.percent_count = 4,
	.alive = {1, 100, 1000},
	.alone_count = 100,
	.quiet_steps = MEMORY_QUIET_STEPS,
};

static const struct sweep_grid quick_grid = {
	.mem_mib = {32, 64},
	.percent = {0, 100},
	.percent_count = 2,
	.alive = {1, 20},
	.alone_count = 10,
};

static uint64_t populate_mib(uint64_t mem_mib, unsigned int percent)
{
	const uint64_t part = mem_mib * percent / 100;

	return part > mem_mib - OWN_MIB ? mem_mib - OWN_MIB : part;
}

static void lay_out(struct sweep *sweep)
{
	const struct sweep_grid *grid = sweep->grid;

	for (const uint64_t *mem = grid->mem_mib; *mem; mem++)
		for (size_t part = 0; part < grid->percent_count; part++, sweep->templates++)
			for (const size_t *alive = grid->alive; *alive; alive++)
				sweep->cells[sweep->count++] = (struct sweep_cell){
					.mem_mib = *mem,
					.percent = grid->percent[part],
					.populate_mib = populate_mib(*mem, grid->percent[part]),
					.alive = *alive,
					.available_kib = NAN,
				};
}

/* The cells of one template: from first, as many as there are numbers of clones. */
static size_t template_cells(const struct sweep *sweep)
{
	size_t count = 0;

	while (sweep->grid->alive[count])
		count++;
	return count;
}

static void __attribute__((format(printf, 3, 4)))
set_outcome(struct sweep_cell *cell, enum sweep_outcome outcome, const char *format, ...)
{
	va_list arguments;

	cell->outcome = outcome;
	va_start(arguments, format);
	vsnprintf(cell->reason, sizeof(cell->reason), format, arguments);
	va_end(arguments);
}

/* What a storm's result says, and release it. */
static void take_result(struct sweep_cell *cell, struct storm_result *result)
{
	const struct storm_memory *memory = &result->memory;

	cell->ok = result->ok;
	cell->failed = result->failures.total;
	cell->latency = samples_summarise(&result->latency, 1000);
	for (size_t stage = 0; stage < STORM_STAGES; stage++)
		cell->stages[stage] = samples_summarise(&result->stages[stage], 1000).p50;
	cell->private_kib = memory->private;
	cell->page_tables_kib = memory->page_tables;
	if (memory->alive >= TELLING_CLONES)
		cell->available_kib = (double)(memory->before.available - memory->peak.available) /
				      (double)memory->alive;
	if (cell->failed)
		set_outcome(cell, SWEEP_FAILED, "%zu times: %s", result->failures.reasons[0].count,
			    result->failures.reasons[0].text);
	else
		cell->outcome = SWEEP_MEASURED;
	samples_done(&result->latency);
	for (size_t stage = 0; stage < STORM_STAGES; stage++)
		samples_done(&result->stages[stage]);
}

/* One cell against a server that serves its template. */
static void run_cell(const struct sweep *sweep, const struct storm_options *options,
		     struct forkvm_client *client, struct sweep_cell *cell)
{
	const bool alone = cell->alive == 1;
	char label[96];
	struct checker checker = {
		.by = options->check,
		.stub = options->stub,
		.request = options->request,
		.request_len = options->request_len,
	};
	const struct round timed = {
		.options = options,
		.label = label,
		.count = alone ? sweep->grid->alone_count : cell->alive,
		.concurrency = 1,
		.alive = !alone,
		.quiet_steps = cell->alive < TELLING_CLONES ? 0 : sweep->grid->quiet_steps,
		.timed = true,
	};
	const struct round look = {
		.options = options, .label = label, .count = 1, .concurrency = 1, .alive = true};
	struct storm_result result = {0};
	int rc;

	snprintf(label, sizeof(label), "%llu MiB, %u %% populated, %zu alive",
		 (unsigned long long)cell->mem_mib, cell->percent, cell->alive);
	rc = engine_run(client, &timed, &checker, &result);
	if (rc == 0 && alone)
		rc = engine_run(client, &look, &checker, &result);
	take_result(cell, &result);
	if (rc < 0 && cell->outcome == SWEEP_MEASURED)
		set_outcome(cell, SWEEP_FAILED, "the storm ended early");
	samples_done(&checker.once);
}

/* All cells of a template whose server is there. */
static void run_cells(const struct sweep *sweep, const struct storm_options *options,
		      const char *socket, struct sweep_cell *cells)
{
	struct forkvm_client *client;
	struct limits limits;
	bool known;

	if (link_open(socket, &client) < 0) {
		set_outcome(&cells[0], SWEEP_FAILED, "no connection to its server");
		return;
	}
	known = limits_ask(client, &limits);
	for (size_t i = 0; i < template_cells(sweep) && !storm_interrupted; i++) {
		if (known && cells[i].alive > limits.clones)
			set_outcome(&cells[i], SWEEP_SKIPPED, "the host allows %s", limits.text);
		else
			run_cell(sweep, options, client, &cells[i]);
	}
	link_close(client);
}

static void skip_template(const struct sweep *sweep, struct sweep_cell *cells,
			  enum sweep_outcome outcome, const char *reason)
{
	for (size_t i = 0; i < template_cells(sweep); i++)
		set_outcome(&cells[i], outcome, "%s", reason);
}

static void run_template(const struct sweep *sweep, struct sweep_cell *cells)
{
	struct storm_options options = *sweep->options;
	struct host_memory host;
	struct storm_server server;
	char reason[SWEEP_REASON_MAX];

	options.mem_mib = cells[0].mem_mib;
	options.populate_mib = cells[0].populate_mib;
	if (host_memory_read(&host) == 0 &&
	    (uint64_t)host.available / 1024 < options.populate_mib + SPARE_MIB) {
		snprintf(reason, sizeof(reason),
			 "the host has %ld MiB to spare, the template needs %llu, and %d are to be "
			 "left",
			 host.available / 1024, (unsigned long long)options.populate_mib,
			 SPARE_MIB);
		skip_template(sweep, cells, SWEEP_SKIPPED, reason);
		return;
	}
	if (storm_server_start(&options, &server) < 0) {
		skip_template(sweep, cells, SWEEP_FAILED, "its server did not start");
		return;
	}
	run_cells(sweep, &options, server.socket, cells);
	if (storm_server_stop(&server) < 0)
		set_outcome(&cells[0], SWEEP_FAILED, "its server did not end well");
}

/* One line a template. On a terminal the engine's own line follows it. */
static void show_progress(const struct sweep *sweep, const struct sweep_cell *cell, size_t number,
			  double seconds)
{
	fprintf(stderr, "sweep: template %zu of %zu (%llu MiB, %u %% populated), after %.0f s\n",
		number, sweep->templates, (unsigned long long)cell->mem_mib, cell->percent,
		seconds);
}

static void run(struct sweep *sweep)
{
	const uint64_t start = now_ns();
	struct sweep_cell *cell = sweep->cells;

	for (size_t number = 1; number <= sweep->templates && !storm_interrupted; number++) {
		show_progress(sweep, cell, number, (double)(now_ns() - start) / 1e9);
		run_template(sweep, cell);
		cell += template_cells(sweep);
	}
	sweep->seconds = (double)(now_ns() - start) / 1e9;
}

static int report(const struct sweep *sweep)
{
	const char *json = sweep->options->json;
	int rc = 0;

	if (!json || strcmp(json, "-") != 0)
		sweep_table(sweep);
	if (json) {
		json_t *root = sweep_json(sweep);

		rc = storm_write_json(json, root);
		json_decref(root);
	}
	if (sweep->options->html && sweep_write_html(sweep) < 0)
		rc = -1;
	return rc;
}

int storm_sweep(const struct storm_options *options)
{
	struct sweep *sweep = calloc(1, sizeof(*sweep));
	int rc;

	if (!sweep) {
		fprintf(stderr, "clone_storm: no memory\n");
		return -1;
	}
	sweep->options = options;
	sweep->grid = options->sweep == STORM_SWEEP_QUICK ? &quick_grid : &full_grid;
	host_record_take(&sweep->host);
	lay_out(sweep);
	run(sweep);
	rc = report(sweep);
	for (size_t i = 0; i < sweep->count; i++)
		if (sweep->cells[i].outcome == SWEEP_FAILED ||
		    sweep->cells[i].outcome == SWEEP_NOT_RUN)
			rc = -1;
	free(sweep);
	return rc;
}
