/* SPDX-License-Identifier: MIT */
/* The report for programs. METHOD.md says what each figure means. */
#include "bench/storm/turns.h"
#include "forkvm_version.h"

const char *const storm_stage_names[] = {"request",  "fork",	 "setup", "vm",
					 "populate", "memslots", "vcpus", "state",
					 "lockdown", "run",	 "answer"};

_Static_assert(sizeof(storm_stage_names) / sizeof(storm_stage_names[0]) == STORM_STAGES,
	       "one name a stage");

static json_t *config_json(const struct storm_options *options)
{
	char mode[96];

	storm_describe_mode(options, mode, sizeof(mode));
	return json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s, s:I, s:I, s:I, s:I, s:I, s:f, "
			 "s:b, s:I, s:b}",
			 "command", options->command, "mode", mode, "stub", options->stub, "kernel",
			 options->kernel, "initrd", options->initrd, "cmdline", options->cmdline,
			 "check", storm_check_name(options->check), "mem_mib",
			 (json_int_t)options->mem_mib, "populate_mib",
			 (json_int_t)options->populate_mib, "cpus", (json_int_t)options->cpus,
			 "count", (json_int_t)options->count, "concurrency",
			 (json_int_t)options->concurrency, "rate", options->rate, "alive",
			 options->alive, "request_bytes", (json_int_t)options->request_len,
			 "own_server", options->socket == NULL);
}

/* How many times the floor's percentile of that name ours is, for both variants. */
static json_t *ratios_json(const json_t *floor, const char *percentile, double ours)
{
	static const char *const variants[] = {"plain", "lean"};
	json_t *object = json_object();

	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		double base = storm_floor_number(json_object_get(floor, variants[i]), "latency_us",
						 percentile);

		if (base > 0)
			json_object_set_new(object, variants[i], json_real(ours / base));
	}
	return object;
}

static json_t *asleep_json(struct storm_asleep *asleep)
{
	struct summary woken = samples_summarise(&asleep->woken, 1000);

	return json_pack("{s:f, s:o, s:o}", "seconds", asleep->seconds, "memory",
			 storm_memory_json(&asleep->memory), "woken_us",
			 storm_summary_json(&woken));
}

json_t *storm_report_json(const struct storm_options *options, struct storm_result *result)
{
	struct summary latency = samples_summarise(&result->latency, 1000);
	json_t *root = json_object(), *stages = json_object(), *details = json_object();

	for (size_t stage = 0; stage < STORM_STAGES; stage++) {
		struct summary summary = samples_summarise(&result->stages[stage], 1000);

		json_object_set_new(stages, storm_stage_names[stage], json_real(summary.p50));
		json_object_set_new(details, storm_stage_names[stage],
				    storm_summary_json(&summary));
	}
	json_object_set_new(root, "version", json_string(FORKVM_VERSION));
	json_object_set_new(root, "config", config_json(options));
	json_object_set_new(root, "ok", json_integer((json_int_t)result->ok));
	json_object_set_new(root, "failed", json_integer((json_int_t)result->failures.total));
	json_object_set_new(root, "failures", storm_failures_json(&result->failures));
	json_object_set_new(root, "seconds", json_real(result->seconds));
	json_object_set_new(root, "clones_per_s", json_real(result->clones_per_s));
	json_object_set_new(root, "clones_per_s_per_core",
			    result->host.cpus ? json_real(result->clones_per_s / result->host.cpus)
					      : json_null());
	json_object_set_new(root, "ended_per_s",
			    result->ended_per_s > 0 ? json_real(result->ended_per_s) : json_null());
	json_object_set_new(root, "teardown_per_s",
			    result->teardown_per_s > 0 ? json_real(result->teardown_per_s)
						       : json_null());
	json_object_set_new(root, "latency_us", storm_summary_json(&latency));
	json_object_set_new(root, "stages_us", stages);
	json_object_set_new(root, "stages_detail_us", details);
	if (options->spares)
		json_object_set_new(root, "spares", storm_claims_json(result));
	json_object_set_new(root, "memory", storm_memory_json(&result->memory));
	if (options->sleep_after)
		json_object_set_new(root, "asleep", asleep_json(&result->asleep));
	if (result->floor) {
		json_object_set(root, "floor", result->floor);
		json_object_set_new(root, "p50_to_floor",
				    ratios_json(result->floor, "p50", latency.p50));
		json_object_set_new(root, "p99_to_floor",
				    ratios_json(result->floor, "p99", latency.p99));
	}
	if (result->turns)
		json_object_set_new(root, "storm", turns_json(result->turns));
	json_object_set_new(root, "peers", storm_peers_json(result));
	json_object_set_new(root, "host", host_record_json(&result->host));
	return root;
}
