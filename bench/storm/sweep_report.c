/* SPDX-License-Identifier: MIT */
/* A sweep as a table and as JSON. METHOD.md says what each figure means. */
#include <math.h>
#include <stdio.h>

#include "bench/storm/sweep.h"
#include "forkvm_version.h"

static const char *const outcomes[] = {"not run", "measured", "skipped", "failed"};

static void print_cell(const struct sweep_cell *cell)
{
	printf("%7llu %9u%% %6zu ", (unsigned long long)cell->mem_mib, cell->percent, cell->alive);
	if (cell->outcome != SWEEP_MEASURED) {
		printf("  %s%s%s\n", outcomes[cell->outcome], cell->reason[0] ? ": " : "",
		       cell->reason);
		return;
	}
	printf("%9.0f %9.0f %8.0f %9.0f %9.1f ", cell->latency.p50, cell->latency.p99,
	       cell->stages[STORM_FORK], cell->stages[STORM_MEMSLOTS], cell->private_kib);
	if (isnan(cell->available_kib))
		printf("%12s\n", "-");
	else
		printf("%12.0f\n", cell->available_kib);
}

void sweep_table(const struct sweep *sweep)
{
	size_t verified = 0, failed = 0;

	printf("\n%s, %u vCPU: one request under way at a time; microseconds, KiB a clone\n\n",
	       sweep->options->stub, sweep->options->cpus);
	printf("%7s %10s %6s %9s %9s %8s %9s %9s %12s\n", "RAM MiB", "populated", "alive", "p50",
	       "p99", "fork p50", "memslots", "private", "MemAvailable");
	for (size_t i = 0; i < sweep->count; i++) {
		const struct sweep_cell *cell = &sweep->cells[i];

		if (i && cell->mem_mib != cell[-1].mem_mib)
			printf("\n");
		print_cell(cell);
		verified += cell->ok;
		failed += cell->failed;
	}
	printf("\n%zu clones verified, %zu failed, in %.0f s\n", verified, failed, sweep->seconds);
}

static json_t *cell_json(const struct sweep_cell *cell)
{
	json_t *object =
		json_pack("{s:I, s:I, s:i, s:I, s:s, s:s}", "mem_mib", (json_int_t)cell->mem_mib,
			  "populate_mib", (json_int_t)cell->populate_mib, "populated_percent",
			  (int)cell->percent, "alive", (json_int_t)cell->alive, "outcome",
			  outcomes[cell->outcome], "reason", cell->reason);
	json_t *stages = json_object();

	json_object_set_new(object, "ok", json_integer((json_int_t)cell->ok));
	json_object_set_new(object, "failed", json_integer((json_int_t)cell->failed));
	for (size_t stage = 0; stage < STORM_STAGES; stage++)
		json_object_set_new(stages, storm_stage_names[stage],
				    json_real(cell->stages[stage]));
	json_object_set_new(object, "latency_us", storm_summary_json(&cell->latency));
	json_object_set_new(object, "stages_us", stages);
	json_object_set_new(object, "private_kib_per_clone", json_real(cell->private_kib));
	json_object_set_new(object, "page_tables_kib_per_clone", json_real(cell->page_tables_kib));
	json_object_set_new(object, "available_kib_per_clone",
			    isnan(cell->available_kib) ? json_null()
						       : json_real(cell->available_kib));
	return object;
}

json_t *sweep_json(const struct sweep *sweep)
{
	json_t *root = json_object(), *cells = json_array();

	for (size_t i = 0; i < sweep->count; i++)
		json_array_append_new(cells, cell_json(&sweep->cells[i]));
	json_object_set_new(root, "version", json_string(FORKVM_VERSION));
	json_object_set_new(root, "command", json_string(sweep->options->command));
	json_object_set_new(root, "stub", json_string(sweep->options->stub));
	json_object_set_new(root, "seconds", json_real(sweep->seconds));
	json_object_set_new(root, "cells", cells);
	json_object_set_new(root, "host", host_record_json(&sweep->host));
	return root;
}
