/* SPDX-License-Identifier: MIT */
/*
 * A sweep: storms of templates of many sizes, populated to many parts, with many clones alive.
 *
 * Theory of operation. Each template (RAM, part of it populated) is served by a server of its own,
 * and goes through all numbers of living clones, one request under way at a time. Where one clone
 * lives at a time (a closed loop) some are made one after another. A template for which the host
 * has no memory, or more clones than its server says the host allows, are left out with the reason.
 */
#ifndef FORKVM_BENCH_STORM_SWEEP_H
#define FORKVM_BENCH_STORM_SWEEP_H

#include "bench/storm/storm.h"

#define SWEEP_SIZES_MAX	 8
#define SWEEP_PARTS_MAX	 4
#define SWEEP_ALIVE_MAX	 3
#define SWEEP_CELLS_MAX	 (SWEEP_SIZES_MAX * SWEEP_PARTS_MAX * SWEEP_ALIVE_MAX)
#define SWEEP_REASON_MAX 160

/* What is swept. Zeros end each list but that of percents, which has percent_count. */
struct sweep_grid {
	uint64_t mem_mib[SWEEP_SIZES_MAX + 1];
	unsigned int percent[SWEEP_PARTS_MAX];
	size_t percent_count;
	size_t alive[SWEEP_ALIVE_MAX + 1];
	size_t alone_count; /* clones made one after another where one lives at a time */
	unsigned int quiet_steps;
};

enum sweep_outcome {
	SWEEP_NOT_RUN, /* interrupted before */
	SWEEP_MEASURED,
	SWEEP_SKIPPED, /* it does not fit, and reason says why */
	SWEEP_FAILED,  /* reason says how                       */
};

struct sweep_cell {
	uint64_t mem_mib, populate_mib;
	unsigned int percent;
	size_t alive;
	enum sweep_outcome outcome;
	char reason[SWEEP_REASON_MAX];
	size_t ok, failed;
	struct summary latency;	     /* microseconds             */
	double stages[STORM_STAGES]; /* microseconds, medians    */
	double private_kib;	     /* of a clone               */
	double page_tables_kib;
	double available_kib; /* of the host's memory, a clone; NAN where too few to tell */
};

struct sweep {
	const struct storm_options *options;
	const struct sweep_grid *grid;
	struct sweep_cell cells[SWEEP_CELLS_MAX]; /* in order: RAM, part, clones */
	size_t count, templates;
	double seconds;
	struct host_record host;
};

/* sweep.c: do it all and report it. 0, or -1 after saying why on stderr or in the report. */
int storm_sweep(const struct storm_options *options);

/* sweep_report.c. */
void sweep_table(const struct sweep *sweep);
json_t *sweep_json(const struct sweep *sweep); /* a new reference */

/* sweep_html.c: a page with plots. 0, or -1 after saying why on stderr. */
int sweep_write_html(const struct sweep *sweep);

#endif
