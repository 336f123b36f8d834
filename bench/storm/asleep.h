/* SPDX-License-Identifier: MIT */
/*
 * A server whose sessions sleep (forkvm serve --sleep-after): what clones cost then, and how long
 * the next request takes.
 */
#ifndef FORKVM_BENCH_STORM_ASLEEP_H
#define FORKVM_BENCH_STORM_ASLEEP_H

#include "bench/storm/engine.h"

/*
 * All clones of the round are alive and have answered, and these count are their processes: wait
 * until each of them sleeps, look at the memory they take, and ask one after the other again.
 * Clones that do not answer rightly are failures; engine->fatal is set when one does not sleep.
 */
void asleep_look(struct engine *engine, const pid_t *pids, size_t count);

#endif
