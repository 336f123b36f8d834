/* SPDX-License-Identifier: MIT */
/*
 * Plots of a storm as SVG, made by gnuplot.
 */
#ifndef FORKVM_BENCH_STORM_PLOTS_H
#define FORKVM_BENCH_STORM_PLOTS_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/storm/storm.h"

/* A gnuplot that is reading its script from us and will write file. */
struct plot {
	FILE *script;
	char file[108];
};

/*
 * Start one, with our looks set, for an image of that height. False after saying why on stderr;
 * otherwise plot_close must follow, which waits for it and returns the <svg> element, to be freed,
 * or NULL after saying why.
 */
bool plot_open(struct plot *plot, unsigned int height);
char *plot_close(struct plot *plot);

/* Is the program there? Says what to install on stderr when it is not. */
bool plots_available(void);

/* Each returns an <svg> element, to be freed, or NULL after saying why on stderr. */
char *plot_latency(struct storm_result *result);
char *plot_stages(struct storm_result *result);
char *plot_memory(const struct storm_result *result);

#endif
