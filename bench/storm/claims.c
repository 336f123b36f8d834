/* SPDX-License-Identifier: MIT */
/* What the reports say of spares. */
#include <stdio.h>

#include "bench/storm/page.h"
#include "bench/storm/storm.h"

#define US 1000 /* nanoseconds */

static const char *const stage_names[] = {"send", "wake", "run", "answer"};
static const char *const reset_names[] = {"told", "look", "vcpu", "ram", "claim", "run", "answer"};

_Static_assert(sizeof(stage_names) / sizeof(stage_names[0]) == STORM_CLAIM_STAGES,
	       "one name a stage");
_Static_assert(sizeof(reset_names) / sizeof(reset_names[0]) == STORM_RESET_STAGES,
	       "one name a stage");

static void print_row(const char *name, struct samples *samples)
{
	struct summary summary = samples_summarise(samples, US);

	if (samples->count)
		printf("  %-12s %9.1f %9.1f %9.1f %9.1f %9.1f   %zu\n", name, summary.p50,
		       summary.p90, summary.p99, summary.p999, summary.max, samples->count);
}

static void print_stages(const char *title, const char *const *names, struct samples *stages,
			 size_t count)
{
	printf("\n%-14s %9s %9s %9s\n", title, "p50", "p90", "p99");
	for (size_t stage = 0; stage < count; stage++) {
		struct summary summary = samples_summarise(&stages[stage], US);

		printf("  %-12s %9.1f %9.1f %9.1f\n", names[stage], summary.p50, summary.p90,
		       summary.p99);
	}
}

void storm_claims_table(struct storm_result *result)
{
	struct storm_claims *claims = &result->claims;
	double cold = samples_summarise(&result->latency, US).p50;
	struct summary claimed = samples_summarise(&claims->claimed, US);

	printf("\n%-14s %9s %9s %9s %9s %9s   clones\n", "spares", "p50", "p90", "p99", "p99.9",
	       "max");
	print_row("claimed", &claims->claimed);
	print_row("missed", &claims->missed);
	if (claims->missed.count)
		print_row("both", &claims->all);
	print_row("made", &result->latency);
	print_row("reset", &claims->reset);
	print_row("  at work", &claims->reset_work);
	if (claims->reset.count)
		printf("  reset counts from the end of the clone's life before to the verified "
		       "answer;\n  at work: less what it waited for the request (claim)\n");
	if (cold > 0 && claimed.p50 > 0)
		printf("  claimed is %.3f times made (p50); its p99 is %.1f times its p50\n",
		       claimed.p50 / cold, claimed.p99 / claimed.p50);
	if (claims->waits)
		printf("  %zu times there was none, and the request waited\n", claims->waits);
	print_stages("claims", stage_names, claims->stages, STORM_CLAIM_STAGES);
	if (claims->reset.count)
		print_stages("resets", reset_names, claims->reset_stages, STORM_RESET_STAGES);
}

static void put(json_t *object, const char *name, struct samples *samples)
{
	struct summary summary = samples_summarise(samples, US);

	json_object_set_new(object, name,
			    samples->count ? storm_summary_json(&summary) : json_null());
}

json_t *storm_claims_json(struct storm_result *result)
{
	struct storm_claims *claims = &result->claims;
	double cold = samples_summarise(&result->latency, US).p50;
	double claimed = samples_summarise(&claims->claimed, US).p50;
	json_t *object = json_object(), *stages = json_object(), *resets = json_object();

	json_object_set_new(object, "claimed", json_integer((json_int_t)claims->claimed.count));
	json_object_set_new(object, "missed", json_integer((json_int_t)claims->missed.count));
	json_object_set_new(object, "waits", json_integer((json_int_t)claims->waits));
	put(object, "claimed_us", &claims->claimed);
	put(object, "missed_us", &claims->missed);
	put(object, "all_us", &claims->all);
	put(object, "reset_us", &claims->reset);
	put(object, "reset_work_us", &claims->reset_work);
	for (size_t stage = 0; stage < STORM_CLAIM_STAGES; stage++)
		put(stages, stage_names[stage], &claims->stages[stage]);
	for (size_t stage = 0; stage < STORM_RESET_STAGES; stage++)
		put(resets, reset_names[stage], &claims->reset_stages[stage]);
	json_object_set_new(object, "stages_us", stages);
	json_object_set_new(object, "reset_stages_us", resets);
	json_object_set_new(object, "claimed_to_made",
			    cold > 0 && claimed > 0 ? json_real(claimed / cold) : json_null());
	return object;
}

static void put_row(FILE *page, const char *name, struct samples *samples)
{
	struct summary summary = samples_summarise(samples, US);

	if (samples->count)
		page_table_row(page, name, &summary);
}

static void put_stages(FILE *page, const char *title, const char *const *names,
		       struct samples *stages, size_t count)
{
	fprintf(page, "<p>%s:</p>\n", title);
	page_table(page);
	for (size_t stage = 0; stage < count; stage++)
		put_row(page, names[stage], &stages[stage]);
	page_table_end(page);
}

void storm_claims_html(FILE *page, struct storm_result *result)
{
	struct storm_claims *claims = &result->claims;
	double cold = samples_summarise(&result->latency, US).p50;
	double claimed = samples_summarise(&claims->claimed, US).p50;

	fputs("<h2>Spares</h2>\n", page);
	page_table(page);
	put_row(page, "claimed", &claims->claimed);
	put_row(page, "missed: a clone was made", &claims->missed);
	put_row(page, "made, none of them a spare", &result->latency);
	put_row(page, "reset: from one end to the next answer", &claims->reset);
	put_row(page, "the same without waiting for the request", &claims->reset_work);
	page_table_end(page);
	if (cold > 0 && claimed > 0)
		fprintf(page, "<p>A claimed one takes %.3f times as long as one made (p50).</p>\n",
			claimed / cold);
	put_stages(page, "Of a claim", stage_names, claims->stages, STORM_CLAIM_STAGES);
	if (claims->reset.count)
		put_stages(page, "Of a reset", reset_names, claims->reset_stages,
			   STORM_RESET_STAGES);
}

void storm_claims_done(struct storm_claims *claims)
{
	samples_done(&claims->claimed);
	samples_done(&claims->missed);
	samples_done(&claims->all);
	samples_done(&claims->reset);
	samples_done(&claims->reset_work);
	for (size_t stage = 0; stage < STORM_CLAIM_STAGES; stage++)
		samples_done(&claims->stages[stage]);
	for (size_t stage = 0; stage < STORM_RESET_STAGES; stage++)
		samples_done(&claims->reset_stages[stage]);
}
