/* SPDX-License-Identifier: MIT */
/* What the turns of a storm and the floor's parallel loop showed; see turns.h. */
#include <stdlib.h>
#include <string.h>

#include "bench/storm/turns.h"

static const char *const variants[TURNS_VARIANTS] = {"plain", "lean"};

static int compare(const void *left, const void *right)
{
	const double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

/* 0 for none. */
static double median(const double *values, size_t count)
{
	double sorted[TURNS];

	if (count == 0)
		return 0;
	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), compare);
	return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

const struct turns_loop *turns_best(const struct storm_turns *turns, size_t variant)
{
	const struct turns_loop *best = &turns->loops[0];

	for (size_t i = 1; i < turns->loop_count; i++) {
		const struct turns_loop *loop = &turns->loops[i];

		if (median(loop->variants[variant].ended_per_s, turns->turns) >
		    median(best->variants[variant].ended_per_s, turns->turns))
			best = loop;
	}
	return best;
}

double turns_ratio(const struct storm_turns *turns, size_t variant)
{
	const struct turns_series *floor = &turns_best(turns, variant)->variants[variant];
	double ratios[TURNS];

	for (size_t i = 0; i < turns->turns; i++) {
		if (!(floor->ended_per_s[i] > 0))
			return 0;
		ratios[i] = turns->storm.ended_per_s[i] / floor->ended_per_s[i];
	}
	return median(ratios, turns->turns);
}

/* CPU time of a clone, medians of the turns; in_all is of those that are known. */
struct cpu {
	double client, server, clone, in_all;
};

static struct cpu cpu_of(const struct storm_turns *turns, const struct turns_series *series)
{
	struct cpu cpu = {
		.client = median(series->client_us, turns->turns),
		.server = median(series->server_us, turns->turns),
		.clone = median(series->clone_us, turns->turns),
	};

	cpu.in_all = cpu.client + cpu.server + cpu.clone;
	return cpu;
}

static void print_rates(const struct storm_turns *turns, const struct turns_series *series)
{
	printf(" %9.0f %9.0f", median(series->ended_per_s, turns->turns),
	       median(series->answered_per_s, turns->turns));
}

static void print_floor(const struct storm_turns *turns, size_t variant)
{
	const struct turns_loop *best = turns_best(turns, variant);
	const struct turns_series *series = &best->variants[variant];
	const struct cpu cpu = cpu_of(turns, series);

	printf("  floor %-6s", variants[variant]);
	print_rates(turns, series);
	printf(" %9.1f %9s %9.1f %9.1f   %u processes\n", cpu.client, "-", cpu.clone, cpu.in_all,
	       best->workers);
}

void turns_table(const struct storm_turns *turns)
{
	const struct cpu cpu = cpu_of(turns, &turns->storm);

	if (!turns->turns)
		return;
	printf("\n%-14s %9s %9s   CPU time a clone, microseconds\n", "storm", "clones/s",
	       "to answer");
	printf("%-34s %9s %9s %9s %9s   %zu turns of %zu, medians\n", "", "client", "server",
	       "clone", "in all", turns->turns, turns->count);
	printf("  %-12s", "forkvm");
	print_rates(turns, &turns->storm);
	if (turns->has_server_cpu)
		printf(" %9.1f %9.1f %9.1f %9.1f\n", cpu.client, cpu.server, cpu.clone, cpu.in_all);
	else
		printf(" %9.1f\n", cpu.client);
	for (size_t i = 0; i < TURNS_VARIANTS; i++)
		print_floor(turns, i);
	printf("  storm: %.0f clones a second, %.2f times floor's parallel loop (plain), %.2f "
	       "(lean)\n",
	       median(turns->storm.ended_per_s, turns->turns), turns_ratio(turns, 0),
	       turns_ratio(turns, 1));
}

static json_t *list_json(const double *values, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_real(values[i]));
	return array;
}

static json_t *series_json(const struct storm_turns *turns, const struct turns_series *series)
{
	return json_pack("{s:f, s:f, s:o, s:o}", "ended_per_s",
			 median(series->ended_per_s, turns->turns), "clones_per_s",
			 median(series->answered_per_s, turns->turns), "ended_per_s_of_turns",
			 list_json(series->ended_per_s, turns->turns), "clones_per_s_of_turns",
			 list_json(series->answered_per_s, turns->turns));
}

static json_t *loop_json(const struct storm_turns *turns, const struct turns_loop *loop)
{
	json_t *object = json_pack("{s:I}", "workers", (json_int_t)loop->workers);

	for (size_t i = 0; i < TURNS_VARIANTS; i++) {
		const struct turns_series *series = &loop->variants[i];
		const struct cpu cpu = cpu_of(turns, series);
		json_t *variant = series_json(turns, series);

		json_object_set_new(
			variant, "cpu_us_per_clone",
			json_pack("{s:f, s:f}", "loop", cpu.client, "clone", cpu.clone));
		json_object_set_new(object, variants[i], variant);
	}
	return object;
}

static json_t *cpu_json(const struct storm_turns *turns)
{
	const struct cpu cpu = cpu_of(turns, &turns->storm);
	json_t *object = json_pack("{s:f}", "client", cpu.client);

	json_object_set_new(object, "server",
			    turns->has_server_cpu ? json_real(cpu.server) : json_null());
	json_object_set_new(object, "clone",
			    turns->has_server_cpu ? json_real(cpu.clone) : json_null());
	return object;
}

json_t *turns_json(const struct storm_turns *turns)
{
	json_t *storm = series_json(turns, &turns->storm), *loops = json_array();
	json_t *workers = json_object(), *ratios = json_object();

	json_object_set_new(storm, "cpu_us_per_clone", cpu_json(turns));
	for (size_t i = 0; i < turns->loop_count; i++)
		json_array_append_new(loops, loop_json(turns, &turns->loops[i]));
	for (size_t i = 0; i < TURNS_VARIANTS; i++) {
		json_object_set_new(workers, variants[i],
				    json_integer(turns_best(turns, i)->workers));
		json_object_set_new(ratios, variants[i], json_real(turns_ratio(turns, i)));
	}
	return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o}", "turns", (json_int_t)turns->turns,
			 "count", (json_int_t)turns->count, "forkvm", storm, "floor", loops,
			 "floor_workers", workers, "rate_to_floor", ratios);
}

static void put_row(FILE *page, const struct storm_turns *turns, const char *name,
		    const struct turns_series *series)
{
	fprintf(page, "<tr><td>%s</td><td>%.0f</td><td>%.0f</td><td>%.1f</td>", name,
		median(series->ended_per_s, turns->turns),
		median(series->answered_per_s, turns->turns), cpu_of(turns, series).in_all);
}

void turns_html(FILE *page, const struct storm_turns *turns)
{
	if (!turns->turns)
		return;
	fprintf(page,
		"<h2>Clones a second, beside the floor's own parallel loop</h2>\n<p>%zu turns of "
		"%zu clones each; medians.</p>\n<table>\n<tr><th></th><th>to the last end</th>"
		"<th>to the last answer</th><th>CPU us a clone</th><th>forkvm's to it</th>"
		"<th>processes</th></tr>\n",
		turns->turns, turns->count);
	put_row(page, turns, "forkvm", &turns->storm);
	fputs("<td>1</td><td>-</td></tr>\n", page);
	for (size_t i = 0; i < TURNS_VARIANTS; i++) {
		const struct turns_loop *best = turns_best(turns, i);

		put_row(page, turns, i ? "floor, lean" : "floor, plain", &best->variants[i]);
		fprintf(page, "<td>%.2f</td><td>%u</td></tr>\n", turns_ratio(turns, i),
			best->workers);
	}
	fputs("</table>\n", page);
}
