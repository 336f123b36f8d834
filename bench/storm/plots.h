/* SPDX-License-Identifier: MIT */
/*
 * Plots of a storm as SVG, made by gnuplot.
 */
#ifndef FORKVM_BENCH_STORM_PLOTS_H
#define FORKVM_BENCH_STORM_PLOTS_H

#include <stdbool.h>

#include "bench/storm/storm.h"

/* Is the program there? Says what to install on stderr when it is not. */
bool plots_available(void);

/* Each returns an <svg> element, to be freed, or NULL after saying why on stderr. */
char *plot_latency(struct storm_result *result);
char *plot_stages(struct storm_result *result);
char *plot_memory(const struct storm_result *result);

#endif
