/* SPDX-License-Identifier: MIT */
/* Plots of a storm: data and a script for gnuplot, an <svg> element back. */
#define _GNU_SOURCE
#include "bench/storm/plots.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BINS	60
#define SVG_MAX (4u << 20)

bool plots_available(void)
{
	const char *path = getenv("PATH");
	char *folders = strdup(path ? path : "/usr/bin:/bin");
	bool found = false;
	char *rest = folders;
	const char *folder;

	while (folders && !found && (folder = strsep(&rest, ":"))) {
		char program[4096];

		snprintf(program, sizeof(program), "%s/gnuplot", folder);
		found = access(program, X_OK) == 0;
	}
	free(folders);
	if (!found)
		fprintf(stderr, "clone_storm: --html needs gnuplot, which is not installed: "
				"apt-get install gnuplot-nox\n");
	return found;
}

bool plot_open(struct plot *plot, unsigned int height)
{
	int fd;

	snprintf(plot->file, sizeof(plot->file), "%s/clone_storm_plot.XXXXXX", temporary_folder());
	fd = mkostemp(plot->file, O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "clone_storm: %s: %s\n", plot->file, strerror(errno));
		return false;
	}
	close(fd);
	plot->script = popen("gnuplot", "we");
	if (!plot->script) {
		fprintf(stderr, "clone_storm: gnuplot: %s\n", strerror(errno));
		unlink(plot->file);
		return false;
	}
	fprintf(plot->script,
		"set terminal svg size 860,%u dynamic font 'sans-serif,13' background '#ffffff'\n"
		"set output '%s'\n"
		"set border 3 lc rgb '#888888'\n"
		"set tics nomirror\n"
		"set grid ytics lc rgb '#dddddd'\n",
		height, plot->file);
	return true;
}

char *plot_close(struct plot *plot)
{
	int status = pclose(plot->script);
	char *text = NULL, *svg;
	size_t length;
	FILE *file;

	file = status == 0 ? fopen(plot->file, "re") : NULL;
	if (file) {
		text = calloc(1, SVG_MAX);
		length = text ? fread(text, 1, SVG_MAX - 1, file) : 0;
		fclose(file);
		svg = length ? strstr(text, "<svg") : NULL;
		if (svg)
			memmove(text, svg, strlen(svg) + 1);
		else
			length = 0;
		if (!length) {
			free(text);
			text = NULL;
		}
	}
	unlink(plot->file);
	if (!text)
		fprintf(stderr, "clone_storm: gnuplot made no plot (status %d)\n", status);
	return text;
}

static const char *const variants[] = {"plain", "lean"};

/* The floor's p50 of a variant, 0 without. */
static double floor_p50(const struct storm_result *result, size_t which)
{
	return storm_floor_number(json_object_get(result->floor, variants[which]), "latency_us",
				  "p50");
}

/* Labels at round numbers, the denser the less the axis spans. */
static void put_axis(FILE *script, double low, double high)
{
	static const double dense[] = {1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 0};
	static const double sparse[] = {1, 2, 5, 0};
	const double *steps = high / low < 6 ? dense : sparse;
	bool first = true;

	fprintf(script, "set logscale x\nset xrange [%g:%g]\nset xtics (", low, high);
	for (int power = 0; pow(10, power) < high; power++)
		for (size_t i = 0; steps[i] > 0; i++) {
			double at = pow(10, power) * steps[i];

			if (at < low || at > high)
				continue;
			fprintf(script, "%s%g", first ? "" : ",", at);
			first = false;
		}
	fprintf(script, ")\n");
}

static void put_floor_lines(FILE *script, const struct storm_result *result)
{
	for (size_t i = 0; i < 2 && result->floor; i++)
		fprintf(script,
			"set arrow from first %g, graph 0 to first %g, graph 1 nohead lw 1.5 dt 2 "
			"lc rgb '#777777' front\n"
			"set label 'floor %s p50' at first %g, graph 0.6 rotate by 90 "
			"offset character -0.7,0 tc rgb '#555555' front\n",
			floor_p50(result, i), floor_p50(result, i), variants[i],
			floor_p50(result, i));
}

/* Clones by latency in bins of equal width on a logarithmic axis, and how many were at most so
 * slow. */
char *plot_latency(struct storm_result *result)
{
	struct summary latency = samples_summarise(&result->latency, 1000);
	size_t bins[BINS] = {0}, below = 0;
	double low, high, step;
	struct plot plot = {0};

	if (result->latency.count == 0 || !plot_open(&plot, 380))
		return NULL;
	low = (double)result->latency.values[0] / 1000; /* sorted now */
	high = latency.max;
	for (size_t i = 0; i < 2 && result->floor; i++) {
		low = fmin(low, floor_p50(result, i));
		high = fmax(high, floor_p50(result, i));
	}
	low *= 0.95;
	high *= 1.05;
	step = log(high / low) / BINS;
	for (size_t i = 0; i < result->latency.count; i++) {
		double value = (double)result->latency.values[i] / 1000;
		size_t bin = (size_t)(log(value / low) / step);

		bins[bin < BINS ? bin : BINS - 1]++;
	}
	fprintf(plot.script, "$bins << EOD\n");
	for (size_t bin = 0; bin < BINS; bin++) {
		below += bins[bin];
		fprintf(plot.script, "%g %g %zu %g\n", low * exp(step * ((double)bin + 0.5)),
			low * exp(step * ((double)bin + 1)) - low * exp(step * (double)bin),
			bins[bin], 100.0 * (double)below / (double)result->latency.count);
	}
	fprintf(plot.script, "EOD\n");
	put_axis(plot.script, low, high);
	put_floor_lines(plot.script, result);
	fprintf(plot.script, "set xlabel 'latency, microseconds'\n"
			     "set ylabel 'clones'\n"
			     "set y2label 'at most so slow, %%'\n"
			     "set y2tics 0,25,100\n"
			     "set y2range [0:100]\n"
			     "set border 11\n"
			     "set yrange [0:*]\n"
			     "set style fill solid 0.85 noborder\n"
			     "set key outside top center horizontal\n"
			     "plot $bins using 1:3:2 with boxes lc rgb '#3b7dd8' title 'clones', "
			     "$bins using 1:4 axes x1y2 with lines lw 2 lc rgb '#d8663b' "
			     "title 'at most so slow'\n");
	return plot_close(&plot);
}

/* One bar a program, made of the medians of its stages. */
char *plot_stages(struct storm_result *result)
{
	static const char *const colours[STORM_STAGES] = {
		"#9aa5b1", "#3b7dd8", "#c9b458", "#58a55c", "#e0a8c0", "#8bc48a",
		"#7b61b8", "#b39ddb", "#a1887f", "#d8663b", "#5f6b77"};
	struct plot plot = {0};

	if (result->latency.count == 0 || !plot_open(&plot, 320))
		return NULL;
	fprintf(plot.script, "$stages << EOD\n");
	for (size_t i = 0; i < 2 && result->floor; i++) {
		const json_t *figures = json_object_get(result->floor, variants[i]);

		fprintf(plot.script, "\"floor %s\"", variants[i]);
		for (size_t stage = 0; stage < STORM_STAGES; stage++)
			fprintf(plot.script, " %g",
				storm_floor_number(figures, "stages_us", storm_stage_names[stage]));
		fprintf(plot.script, "\n");
	}
	fprintf(plot.script, "\"forkvm\"");
	for (size_t stage = 0; stage < STORM_STAGES; stage++)
		fprintf(plot.script, " %g", samples_summarise(&result->stages[stage], 1000).p50);
	fprintf(plot.script, "\nEOD\n"
			     "set style data histograms\n"
			     "set style histogram rowstacked\n"
			     "set style fill solid 0.9 noborder\n"
			     "set boxwidth 0.55\n"
			     "set ylabel 'microseconds, medians'\n"
			     "set yrange [0:*]\n"
			     "set key outside right top reverse Left invert\n"
			     "plot ");
	for (size_t stage = 0; stage < STORM_STAGES; stage++)
		fprintf(plot.script, "%s$stages using %zu%s lc rgb '%s' title '%s'",
			stage ? ", " : "", stage + 2, stage ? "" : ":xtic(1)", colours[stage],
			storm_stage_names[stage]);
	fprintf(plot.script, "\n");
	return plot_close(&plot);
}

/* What was taken from the host's MemAvailable as more and more clones were alive. */
char *plot_memory(const struct storm_result *result)
{
	const struct storm_memory *memory = &result->memory;
	struct plot plot = {0};

	if (memory->curve_count < 2 || !plot_open(&plot, 320))
		return NULL;
	fprintf(plot.script, "$curve << EOD\n0 0\n");
	for (size_t i = 0; i < memory->curve_count; i++)
		fprintf(plot.script, "%zu %g\n", memory->curve[i].alive,
			(double)memory->curve[i].available_kib / 1024);
	fprintf(plot.script,
		"EOD\n"
		"set xlabel 'clones alive'\n"
		"set ylabel 'MiB'\n"
		"set key top left\n"
		"plot $curve using 1:2 with linespoints lw 2 pt 7 ps 0.5 lc rgb '#3b7dd8' "
		"title 'taken from MemAvailable', x * %g with lines dt 2 lc rgb '#777777' "
		"title 'private memory of the clones alone'\n",
		memory->private / 1024);
	return plot_close(&plot);
}
