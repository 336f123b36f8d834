/* SPDX-License-Identifier: MIT */
/* The report as one page that needs nothing else: figures, and plots as inline SVG. */
#include <stdio.h>

#include "bench/storm/page.h"
#include "bench/storm/plots.h"
#include "bench/storm/turns.h"

static void put_floor_row(FILE *page, const char *name, const json_t *figures)
{
	const struct summary summary = {
		.p50 = storm_floor_number(figures, "latency_us", "p50"),
		.p90 = storm_floor_number(figures, "latency_us", "p90"),
		.p99 = storm_floor_number(figures, "latency_us", "p99"),
		.p999 = storm_floor_number(figures, "latency_us", "p999"),
		.max = storm_floor_number(figures, "latency_us", "max"),
	};

	page_table_row(page, name, &summary);
}

static void put_head(FILE *page, const struct storm_options *options,
		     const struct storm_result *result)
{
	char mode[96];

	storm_describe_mode(options, mode, sizeof(mode));
	fprintf(page, "<h1>%zu clones of a %llu MiB VM</h1>\n<p><code>", result->ok,
		(unsigned long long)options->mem_mib);
	page_text(page, options->command);
	fputs("</code></p>\n<p>Guest <b>", page);
	page_text(page, options->stub);
	fputs("</b>, ", page);
	if (options->check == CHECK_BY_STUB)
		fprintf(page, "%llu MiB of its RAM populated, ",
			(unsigned long long)options->populate_mib);
	else
		fprintf(page, "answers checked by %s, ", storm_check_name(options->check));
	fprintf(page,
		"%u vCPU; %s. %zu clones answered and were verified in %.3f s: <b>%.0f a "
		"second</b>.",
		options->cpus, mode, result->ok, result->seconds, result->clones_per_s);
	fprintf(page,
		result->failures.total ? " <b class=\"bad\">%zu failed.</b></p>\n<ul>\n"
				       : " %zu failed.</p>\n<ul>\n",
		result->failures.total);
	for (size_t i = 0; i < result->failures.kinds; i++) {
		fprintf(page, "<li class=\"bad\">%zu times: ", result->failures.reasons[i].count);
		page_text(page, result->failures.reasons[i].text);
		fputs("</li>\n", page);
	}
	fputs("</ul>\n", page);
}

static bool put_latency(FILE *page, struct storm_result *result)
{
	struct summary latency = samples_summarise(&result->latency, 1000);
	bool plotted = page_plot(page, "Latency: the client's send to the verified answer",
				 plot_latency(result));

	page_table(page);
	page_table_row(page, "forkvm", &latency);
	if (result->floor) {
		put_floor_row(page, "floor, plain", json_object_get(result->floor, "plain"));
		put_floor_row(page, "floor, lean", json_object_get(result->floor, "lean"));
	}
	page_table_end(page);
	for (size_t i = 0; result->floor && i < 2; i++) {
		const char *name = i ? "lean" : "plain";
		const json_t *floor = json_object_get(result->floor, name);
		double p50 = storm_floor_number(floor, "latency_us", "p50");
		double p99 = storm_floor_number(floor, "latency_us", "p99");

		if (p50 > 0 && p99 > 0)
			fprintf(page,
				"<p>p50 is %.2f times floor's, p99 %.2f times floor's p99 "
				"(%s).</p>\n",
				latency.p50 / p50, latency.p99 / p99, name);
	}
	return plotted;
}

static bool put_stages(FILE *page, struct storm_result *result)
{
	bool plotted = page_plot(page, "Where the time goes", plot_stages(result));

	page_table(page);
	for (size_t stage = 0; stage < STORM_STAGES; stage++) {
		struct summary summary = samples_summarise(&result->stages[stage], 1000);

		page_table_row(page, storm_stage_names[stage], &summary);
	}
	page_table_end(page);
	return plotted;
}

/* Nothing without --sleep-after. */
static void put_asleep(FILE *page, struct storm_asleep *asleep)
{
	const struct storm_memory *memory = &asleep->memory;
	struct summary woken = samples_summarise(&asleep->woken, 1000);

	if (!memory->alive)
		return;
	fprintf(page,
		"<p>Asleep, the same %zu took %.0f KiB each; the next request was answered after "
		"%.0f microseconds (p99 %.0f), the clone's waking up included.</p>\n",
		memory->alive,
		(double)(memory->before.available - memory->peak.available) / (double)memory->alive,
		woken.p50, woken.p99);
}

/* Nothing where no living clones were looked at (--no-memory). */
static bool put_memory(FILE *page, const struct storm_options *options, struct storm_result *result)
{
	const struct storm_memory *memory = &result->memory;
	bool plotted;

	if (!memory->alive)
		return true;
	plotted = page_plot(page, "Memory and the number of clones", plot_memory(result));
	fprintf(page,
		"<p>With %zu clones alive each held %.0f KiB of private memory (RSS %.0f, PSS "
		"%.0f, page tables %.0f) and took %.0f KiB of the host's MemAvailable, kernel "
		"memory included.%s</p>\n",
		memory->alive, memory->private, memory->rss, memory->pss, memory->page_tables,
		(double)(memory->before.available - memory->peak.available) / (double)memory->alive,
		options->alive ? "" : " (Taken after the timed part, with --alive in it.)");
	put_asleep(page, &result->asleep);
	return plotted;
}

int storm_write_html(const struct storm_options *options, struct storm_result *result)
{
	FILE *page = page_begin(options->html);
	bool good;

	if (!page)
		return -1;
	put_head(page, options, result);
	good = put_latency(page, result);
	if (result->turns)
		turns_html(page, result->turns);
	if (options->spares)
		storm_claims_html(page, result);
	storm_peers_html(page, result);
	good = put_stages(page, result) && good;
	good = put_memory(page, options, result) && good;
	page_host(page, &result->host);
	return page_end(page, options->html) == 0 && good ? 0 : -1;
}
