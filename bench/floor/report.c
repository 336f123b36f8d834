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

/* Clones a second; 0 when there is nothing to divide. */
static double per_second(uint64_t clones, uint64_t ns)
{
	return ns ? (double)clones * 1e9 / (double)ns : 0;
}

/* CPU time of one clone, failed ones too. */
static double cpu_each(const struct floor_rate *rate, uint64_t cpu_us)
{
	uint64_t clones = rate->ok + rate->failed;

	return clones ? (double)cpu_us / (double)clones : 0;
}

static json_t *rate_json(const struct floor_rate *rate)
{
	return json_pack(
		"{s:I, s:I, s:s, s:f, s:f, s:f, s:{s:f, s:f}}", "ok", (json_int_t)rate->ok,
		"failed", (json_int_t)rate->failed, "failure", rate->failure, "seconds",
		(double)rate->end_ns / 1e9, "clones_per_s", per_second(rate->ok, rate->answer_ns),
		"ended_per_s", per_second(rate->ok, rate->end_ns), "cpu_us_per_clone", "loop",
		cpu_each(rate, rate->worker_cpu_us), "clone", cpu_each(rate, rate->clone_cpu_us));
}

static int write_json(const struct floor_options *options, unsigned int other_vms,
		      struct floor_result results[FLOOR_VARIANTS],
		      const struct floor_rate rates[FLOOR_VARIANTS])
{
	struct host_record host;
	json_t *root;
	int rc;

	host_record_take(&host);
	root = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "stub", options->stub, "mem_mib",
			 (json_int_t)options->mem_mib, "populate_mib",
			 (json_int_t)options->populate_mib, "count", (json_int_t)options->count,
			 "other_vms", (json_int_t)other_vms, "host", host_record_json(&host));
	for (int variant = 0; !options->no_latency && variant < FLOOR_VARIANTS; variant++)
		json_object_set_new(root, variant_names[variant], variant_json(&results[variant]));
	if (options->parallel)
		json_object_set_new(
			root, "parallel",
			json_pack("{s:I, s:o, s:o}", "workers", (json_int_t)options->parallel,
				  variant_names[FLOOR_PLAIN], rate_json(&rates[FLOOR_PLAIN]),
				  variant_names[FLOOR_LEAN], rate_json(&rates[FLOOR_LEAN])));
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

static void print_latency(enum floor_variant variant, struct floor_result *result)
{
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

static void print_rates(unsigned int workers, const struct floor_rate rates[FLOOR_VARIANTS])
{
	printf("floor, %u at once: clones a second, and CPU time of one, microseconds\n", workers);
	printf("  %-10s %10s %10s %10s %10s %10s %10s\n", "variant", "clones", "failed",
	       "answered/s", "ended/s", "loop", "clone");
	for (int variant = 0; variant < FLOOR_VARIANTS; variant++) {
		const struct floor_rate *rate = &rates[variant];

		printf("  %-10s %10llu %10llu %10.0f %10.0f %10.1f %10.1f\n",
		       variant_names[variant], (unsigned long long)rate->ok,
		       (unsigned long long)rate->failed, per_second(rate->ok, rate->answer_ns),
		       per_second(rate->ok, rate->end_ns), cpu_each(rate, rate->worker_cpu_us),
		       cpu_each(rate, rate->clone_cpu_us));
		if (rate->failed)
			printf("    first failure: %s\n", rate->failure);
	}
}

int floor_report(const struct floor_options *options, unsigned int other_vms,
		 struct floor_result results[FLOOR_VARIANTS],
		 const struct floor_rate rates[FLOOR_VARIANTS])
{
	if (options->json)
		return write_json(options, other_vms, results, rates);
	if (other_vms)
		printf("%u other VMs are open on this host, so plain is faster than it would be\n",
		       other_vms);
	for (int variant = 0; !options->no_latency && variant < FLOOR_VARIANTS; variant++)
		print_latency((enum floor_variant)variant, &results[variant]);
	if (options->parallel)
		print_rates(options->parallel, rates);
	return 0;
}
