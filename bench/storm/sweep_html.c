/* SPDX-License-Identifier: MIT */
/* A sweep as a page with plots: over RAM, a line for each part that is populated. */
#include <math.h>
#include <stdio.h>

#include "bench/storm/page.h"
#include "bench/storm/plots.h"
#include "bench/storm/sweep.h"

/* What a plot shows of a cell; NAN where it has nothing to show. */
typedef double figure_fn(const struct sweep_cell *cell);

static double latency_p50(const struct sweep_cell *cell)
{
	return cell->latency.p50;
}

static double latency_p99(const struct sweep_cell *cell)
{
	return cell->latency.p99;
}

static double fork_p50(const struct sweep_cell *cell)
{
	return cell->stages[STORM_FORK];
}

static double available(const struct sweep_cell *cell)
{
	return cell->available_kib;
}

static const char *const colours[SWEEP_PARTS_MAX] = {"#3b7dd8", "#58a55c", "#c9b458", "#d8663b"};

/* The cell of such a template and number of clones if it was measured; otherwise NULL. */
static const struct sweep_cell *find(const struct sweep *sweep, uint64_t mem_mib,
				     unsigned int percent, size_t alive)
{
	for (size_t i = 0; i < sweep->count; i++) {
		const struct sweep_cell *cell = &sweep->cells[i];

		if (cell->mem_mib == mem_mib && cell->percent == percent && cell->alive == alive)
			return cell->outcome == SWEEP_MEASURED ? cell : NULL;
	}
	return NULL;
}

/* The figure of a template with so many clones; NAN where it was not measured. */
static double look_up(const struct sweep *sweep, uint64_t mem_mib, size_t part, size_t alive,
		      figure_fn *figure)
{
	const struct sweep_cell *cell = find(sweep, mem_mib, sweep->grid->percent[part], alive);

	return cell ? figure(cell) : NAN;
}

/* How many points a line has. */
static size_t count_points(const struct sweep *sweep, size_t part, size_t alive, figure_fn *figure)
{
	size_t points = 0;

	for (const uint64_t *mem = sweep->grid->mem_mib; *mem; mem++)
		points += isnan(look_up(sweep, *mem, part, alive, figure)) ? 0 : 1;
	return points;
}

/* RAM and figure; what was not measured is left out. */
static void put_points(FILE *script, const struct sweep *sweep, size_t part, size_t alive,
		       figure_fn *figure)
{
	fprintf(script, "$line%zu << EOD\n", part);
	for (const uint64_t *mem = sweep->grid->mem_mib; *mem; mem++) {
		const double value = look_up(sweep, *mem, part, alive, figure);

		if (!isnan(value))
			fprintf(script, "%llu %g\n", (unsigned long long)*mem, value);
	}
	fprintf(script, "EOD\n");
}

static void put_ram_axis(FILE *script, const struct sweep *sweep)
{
	const char *comma = "";

	fprintf(script, "set logscale x 2\nset xlabel 'RAM, MiB'\nset xtics (");
	for (const uint64_t *mem = sweep->grid->mem_mib; *mem; mem++, comma = ",")
		fprintf(script, "%s%llu", comma, (unsigned long long)*mem);
	fprintf(script, ")\n");
}

/* Lines with points only: gnuplot complains of others. */
static char *plot_over_ram(const struct sweep *sweep, size_t alive, const char *unit,
			   figure_fn *figure)
{
	const struct sweep_grid *grid = sweep->grid;
	struct plot plot = {0};
	const char *comma = "";

	if (!plot_open(&plot, 320))
		return NULL;
	for (size_t part = 0; part < grid->percent_count; part++)
		put_points(plot.script, sweep, part, alive, figure);
	put_ram_axis(plot.script, sweep);
	fprintf(plot.script,
		"set ylabel '%s'\nset yrange [0:*]\nset key outside top center horizontal\nplot ",
		unit);
	for (size_t part = 0; part < grid->percent_count; part++) {
		if (!count_points(sweep, part, alive, figure))
			continue;
		fprintf(plot.script,
			"%s$line%zu using 1:2 with linespoints lw 2 pt 7 ps 0.6 lc rgb '%s' "
			"title '%u %% populated'",
			comma, part, colours[part], grid->percent[part]);
		comma = ", ";
	}
	fprintf(plot.script, "\n");
	return plot_close(&plot);
}

/* A plot under its title, if there is anything to plot. False when that did not work. */
static bool put_plot(FILE *page, const struct sweep *sweep, const char *what, size_t alive,
		     const char *unit, figure_fn *figure)
{
	size_t points = 0;
	char title[128];

	for (size_t part = 0; part < sweep->grid->percent_count; part++)
		points += count_points(sweep, part, alive, figure);
	if (!points)
		return true;
	snprintf(title, sizeof(title), "%s, %zu alive%s", what, alive,
		 alive == 1 ? " at a time" : "");
	return page_plot(page, title, plot_over_ram(sweep, alive, unit, figure));
}

static void put_cell(FILE *page, const struct sweep_cell *cell)
{
	static const char *const outcomes[] = {"not run", "", "skipped", "failed"};

	fprintf(page, "<tr><td>%llu</td><td>%u %%</td><td>%zu</td>",
		(unsigned long long)cell->mem_mib, cell->percent, cell->alive);
	if (cell->outcome != SWEEP_MEASURED) {
		fprintf(page, "<td colspan=\"6\">%s: ", outcomes[cell->outcome]);
		page_text(page, cell->reason);
		fputs("</td></tr>\n", page);
		return;
	}
	fprintf(page, "<td>%.0f</td><td>%.0f</td><td>%.0f</td><td>%.0f</td><td>%.1f</td>",
		cell->latency.p50, cell->latency.p99, cell->stages[STORM_FORK],
		cell->stages[STORM_MEMSLOTS], cell->private_kib);
	if (isnan(cell->available_kib))
		fputs("<td></td></tr>\n", page);
	else
		fprintf(page, "<td>%.0f</td></tr>\n", cell->available_kib);
}

static void put_table(FILE *page, const struct sweep *sweep)
{
	fputs("<h2>All figures</h2>\n<p>Microseconds, and KiB a clone.</p>\n<table>\n"
	      "<tr><th>RAM, MiB</th><th>populated</th><th>alive</th><th>p50</th><th>p99</th>"
	      "<th>fork p50</th><th>memslots p50</th><th>private</th><th>MemAvailable</th></tr>\n",
	      page);
	for (size_t i = 0; i < sweep->count; i++)
		put_cell(page, &sweep->cells[i]);
	fputs("</table>\n", page);
}

int sweep_write_html(const struct sweep *sweep)
{
	const struct sweep_grid *grid = sweep->grid;
	FILE *page = page_begin(sweep->options->html);
	const char *const us = "microseconds";
	size_t most = 0;
	bool good;

	if (!page)
		return -1;
	while (grid->alive[most + 1])
		most++;
	fputs("<h1>Clones over RAM, populated part and number</h1>\n<p><code>", page);
	page_text(page, sweep->options->command);
	fprintf(page, "</code></p>\n<p>One request under way at a time; %.0f s in all.</p>\n",
		sweep->seconds);
	good = put_plot(page, sweep, "Latency, p50", grid->alive[0], us, latency_p50);
	good = put_plot(page, sweep, "Latency, p50", grid->alive[most], us, latency_p50) && good;
	good = put_plot(page, sweep, "Latency, p99", grid->alive[most], us, latency_p99) && good;
	good = put_plot(page, sweep, "The fork alone, p50", grid->alive[0], us, fork_p50) && good;
	good = put_plot(page, sweep, "Of MemAvailable, a clone", grid->alive[most], "KiB",
			available) &&
	       good;
	put_table(page, sweep);
	page_host(page, &sweep->host);
	return page_end(page, sweep->options->html) == 0 && good ? 0 : -1;
}
