/* SPDX-License-Identifier: MIT */
/*
 * What living clones cost: of the host's memory as a whole, kernel memory included, and of each.
 */
#ifndef FORKVM_BENCH_STORM_MEMORY_H
#define FORKVM_BENCH_STORM_MEMORY_H

#include "bench/storm/storm.h"

/* As long without a rise (3 seconds) is quiet enough for a figure that stands for itself. */
#define MEMORY_QUIET_STEPS 15u

/*
 * Before the first clone, with the client's own buffers in place. Waits, 25 seconds at most, until
 * the host's free memory has not risen from what ran before for quiet_steps of 0.2 seconds; notes
 * whether it had.
 */
void memory_start(struct storm_memory *memory, unsigned int quiet_steps);

/* Note the host's memory while that many clones are alive. */
void memory_curve_point(struct storm_memory *memory, size_t alive);

/*
 * The same clones later, when what they have given back has come to be free (two minutes of waiting
 * at most): *ret counts from where first does.
 */
void memory_look_again(struct storm_memory *ret, const struct storm_memory *first,
		       unsigned int quiet_steps, const pid_t *pids, size_t count);

/* All clones are alive and have answered: look at the host, and at up to 200 of them. */
void memory_sample(struct storm_memory *memory, const pid_t *pids, size_t count);

#endif
