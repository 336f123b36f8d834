/* SPDX-License-Identifier: MIT */
/*
 * A storm and the floor's own parallel loop, in turns: how many clones a second each brings on the
 * same CPUs.
 *
 * Theory of operation. In each turn the floor's loop runs, with several numbers of processes, and
 * the storm, with a server of its own that is gone before the floor's next turn (its anchor would
 * help the floor's plain variant). Every second turn the storm comes first. A rate counts clones
 * whose answer was right, over the time until the last of them had ended. The floor is compared by
 * that number of processes with which it was fastest (median of the turns), each variant by its
 * own; a ratio is the median of the turns' ratios.
 */
#ifndef FORKVM_BENCH_STORM_TURNS_H
#define FORKVM_BENCH_STORM_TURNS_H

#include "bench/storm/storm.h"

#define TURNS		5
#define TURNS_VARIANTS	2 /* of the floor: plain, lean */
#define TURNS_LOOPS_MAX 3

/* What one way of cloning brought in each turn. */
struct turns_series {
	double ended_per_s[TURNS];    /* over the time to the last end      */
	double answered_per_s[TURNS]; /* over the time to the last answer   */
	/* CPU time of a clone, microseconds: of the client (floor: of its loop), of the server,
	 * and the clone's own. */
	double client_us[TURNS], server_us[TURNS], clone_us[TURNS];
};

/* The floor's loop in so many processes. */
struct turns_loop {
	unsigned int workers;
	struct turns_series variants[TURNS_VARIANTS];
};

struct storm_turns {
	size_t turns; /* that were done            */
	size_t count; /* clones of each in a turn  */
	bool has_server_cpu;
	struct turns_series storm;
	struct turns_loop loops[TURNS_LOOPS_MAX];
	size_t loop_count;
};

/* Is there anything to compare? Only a closed loop with several requests under way has a floor. */
bool turns_wanted(const struct storm_options *options);

/*
 * Do it, on that many CPUs. Clones' failures are counted in failures. 0, or -1 after saying why on
 * stderr.
 */
int turns_run(const struct storm_options *options, size_t cpus, struct storm_failures *failures,
	      struct storm_turns *ret);

/* turns_report.c: the loop with which the floor's variant is fastest. */
const struct turns_loop *turns_best(const struct storm_turns *turns, size_t variant);

/* turns_report.c: how many times the floor's clones a second the storm's are; 0 without. */
double turns_ratio(const struct storm_turns *turns, size_t variant);

/* turns_report.c: parts of the reports. The JSON is a new reference. */
void turns_table(const struct storm_turns *turns);
json_t *turns_json(const struct storm_turns *turns);
void turns_html(FILE *page, const struct storm_turns *turns);

#endif
