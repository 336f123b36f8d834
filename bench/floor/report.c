/* SPDX-License-Identifier: MIT */
/* What floor found, as a table for people or as JSON. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/common/host_record.h"
#include "bench/floor/floor.h"

static const char *const variant_names[FLOOR_VARIANTS] = {"plain", "lean"};
static const char *const stage_names[] = {"fork",  "vm",  "memslots", "vcpus",
					  "state", "run", "answer"};

_Static_assert(sizeof(stage_names) / sizeof(stage_names[0]) == FLOOR_STAGES, "one name a stage");

static json_t *summary_json(const struct summary *summary)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "p50", summary->p50, "p90", summary->p90,
			 "p99", summary->p99, "p999", summary->p999, "max", summary->max, "mean",
			 summary->mean);
}

static json_t *variant_json(struct floor_result *result)
{
	struct summary latency = samples_summarise(&result->latency, 1000);
	struct summary end = samples_summarise(&result->end, 1000);
	json_t *stages = json_object(), *details = json_object();

	for (size_t stage = 0; stage < FLOOR_STAGES; stage++) {
		struct summary summary = samples_summarise(&result->stages[stage], 1000);

		json_object_set_new(stages, stage_names[stage], json_real(summary.p50));
		json_object_set_new(details, stage_names[stage], summary_json(&summary));
	}
	return json_pack("{s:I, s:I, s:s, s:o, s:o, s:o, s:o}", "ok",
			 (json_int_t)result->latency.count, "failed", (json_int_t)result->failed,
			 "failure", result->failure, "latency_us", summary_json(&latency),
			 "stages_us", stages, "stages_detail_us", details, "end_us",
			 summary_json(&end));
}

static int write_json(const struct floor_options *options, unsigned int other_vms,
		      struct floor_result results[FLOOR_VARIANTS])
{
	struct host_record host;
	json_t *root;
	int rc;

	host_record_take(&host);
	root = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "stub", options->stub,
			 "mem_mib", (json_int_t)options->mem_mib, "populate_mib",
			 (json_int_t)options->populate_mib, "count", (json_int_t)options->count,
			 "other_vms", (json_int_t)other_vms, variant_names[FLOOR_PLAIN],
			 variant_json(&results[FLOOR_PLAIN]), variant_names[FLOOR_LEAN],
			 variant_json(&results[FLOOR_LEAN]), "host", host_record_json(&host));
	if (strcmp(options->json, "-") == 0)
		rc = json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	else
		rc = json_dump_file(root, options->json, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
	json_decref(root);
	if (rc != 0)
		return errno ? -errno : -EIO;
	if (strcmp(options->json, "-") == 0)
		putchar('\n');
	return 0;
}

static void print_row(const char *name, struct samples *samples)
{
	struct summary summary = samples_summarise(samples, 1000);

	printf("  %-10s %10.1f %10.1f %10.1f %10.1f\n", name, summary.p50, summary.p90, summary.p99,
	       summary.max);
}

int floor_report(const struct floor_options *options, unsigned int other_vms,
		 struct floor_result results[FLOOR_VARIANTS])
{
	if (options->json)
		return write_json(options, other_vms, results);
	if (other_vms)
		printf("%u other VMs are open on this host, so plain is faster than it would be\n",
		       other_vms);
	for (int variant = 0; variant < FLOOR_VARIANTS; variant++) {
		struct floor_result *result = &results[variant];

		printf("floor, %s: %zu clones, %llu failed, microseconds\n", variant_names[variant],
		       result->latency.count, (unsigned long long)result->failed);
		if (result->failed)
			printf("  first failure: %s\n", result->failure);
		printf("  %-10s %10s %10s %10s %10s\n", "stage", "p50", "p90", "p99", "max");
		for (size_t stage = 0; stage < FLOOR_STAGES; stage++)
			print_row(stage_names[stage], &result->stages[stage]);
		print_row("in all", &result->latency);
		print_row("(end)", &result->end);
	}
	return 0;
}
