/* SPDX-License-Identifier: MIT */
/* The report for people. */
#include <stdio.h>
#include <string.h>

#include "bench/common/cpu_latency.h"
#include "bench/storm/turns.h"

static const char *const variants[] = {"plain", "lean"};

static const json_t *variant(const struct storm_result *result, size_t which)
{
	return json_object_get(result->floor, variants[which]);
}

static void print_head(const struct storm_options *options, const struct storm_result *result)
{
	char mode[96];

	storm_describe_mode(options, mode, sizeof(mode));
	printf("\n%s, %llu MiB, ", options->stub, (unsigned long long)options->mem_mib);
	if (options->check == CHECK_BY_STUB)
		printf("%llu MiB populated, ", (unsigned long long)options->populate_mib);
	else
		printf("answers checked by %s, ", storm_check_name(options->check));
	printf("%u vCPU%s; %s%s\n", options->cpus, options->cpus == 1 ? "" : "s", mode,
	       options->socket ? "; server given" : "");
	if (options->kernel)
		printf("  kernel     %s\n", options->kernel);
	printf("  verified   %zu of %zu clones in %.3f s; %zu failed\n", result->ok, options->count,
	       result->seconds, result->failures.total);
	for (size_t i = 0; i < result->failures.kinds; i++)
		printf("             %zu times: %s\n", result->failures.reasons[i].count,
		       result->failures.reasons[i].text);
	printf("  rate       %.0f clones a second", result->clones_per_s);
	if (result->host.cpus)
		printf(", %.0f a core (%d)", result->clones_per_s / result->host.cpus,
		       result->host.cpus);
	if (result->teardown_per_s > 0)
		printf("; teardown %.0f a second", result->teardown_per_s);
	printf("\n");
}

static void print_floor_row(const char *name, const json_t *figures)
{
	static const char *const keys[] = {"p50", "p90", "p99", "p999", "max"};

	printf("  floor %-6s", name);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		printf(" %9.1f", storm_floor_number(figures, "latency_us", keys[i]));
	printf("\n");
}

static void print_latency(struct storm_result *result)
{
	struct summary latency = samples_summarise(&result->latency, 1000);

	printf("\n%-14s %9s %9s %9s %9s %9s   microseconds, send to verified answer\n", "latency",
	       "p50", "p90", "p99", "p99.9", "max");
	printf("  %-12s %9.1f %9.1f %9.1f %9.1f %9.1f\n", "forkvm", latency.p50, latency.p90,
	       latency.p99, latency.p999, latency.max);
	if (!result->floor)
		return;
	for (size_t i = 0; i < 2; i++)
		print_floor_row(variants[i], variant(result, i));
	for (size_t i = 0; i < 2; i++) {
		double p50 = storm_floor_number(variant(result, i), "latency_us", "p50");
		double p99 = storm_floor_number(variant(result, i), "latency_us", "p99");

		if (p50 > 0 && p99 > 0)
			printf("  p50 is %.2f times floor's, p99 %.2f times floor's p99, %s\n",
			       latency.p50 / p50, latency.p99 / p99, variants[i]);
	}
	if (json_integer_value(json_object_get(result->floor, "other_vms")) > 0)
		printf("  (other VMs were open on this host: floor plain is faster than it would "
		       "be)\n");
}

/* Stages that floor has not (request, setup, lockdown) show a dash there. */
static void print_stages(struct storm_result *result)
{
	printf("\n%-14s %9s %9s %9s", "stages", "p50", "p90", "p99");
	if (result->floor)
		printf("   floor p50: plain      lean");
	printf("\n");
	for (size_t stage = 0; stage < STORM_STAGES; stage++) {
		struct summary summary = samples_summarise(&result->stages[stage], 1000);

		printf("  %-12s %9.1f %9.1f %9.1f", storm_stage_names[stage], summary.p50,
		       summary.p90, summary.p99);
		for (size_t i = 0; result->floor && i < 2; i++) {
			double base = storm_floor_number(variant(result, i), "stages_us",
							 storm_stage_names[stage]);

			if (base > 0)
				printf(i ? " %9.1f" : "          %9.1f", base);
			else
				printf(i ? " %9s" : "          %9s", "-");
		}
		printf("\n");
	}
}

/* One KiB-a-clone figure of the host's memory. */
static void print_growth(const char *name, long before, long after, size_t alive)
{
	if (before >= 0 && after >= 0)
		printf("  %-22s %9.1f\n", name, (double)(after - before) / (double)alive);
}

static void print_memory(const struct storm_memory *memory)
{
	const struct host_memory *before = &memory->before, *peak = &memory->peak;

	if (memory->alive == 0)
		return;
	printf("\n%-24s %9s   with %zu alive; ", "memory", "KiB each", memory->alive);
	if (memory->sampled) {
		printf("the first five: mean of %zu clones\n", memory->sampled);
		printf("  %-22s %9.1f\n", "private", memory->private);
		printf("  %-22s %9.1f\n", "  of it dirty", memory->private_dirty);
		printf("  %-22s %9.1f\n", "PSS", memory->pss);
		printf("  %-22s %9.1f\n", "RSS (shared counted)", memory->rss);
		printf("  %-22s %9.1f\n", "page tables", memory->page_tables);
	} else {
		printf("their /proc cannot be read by this user\n");
	}
	if (!memory->settled)
		printf("  the host's free memory was still rising before: what follows is too "
		       "small\n");
	/* Taken from MemAvailable: so the other way round. */
	print_growth("of MemAvailable, in all", peak->available, before->available, memory->alive);
	print_growth("  slab", before->slab, peak->slab, memory->alive);
	print_growth("  page tables", before->page_tables, peak->page_tables, memory->alive);
	print_growth("  KVM's page tables", before->sec_page_tables, peak->sec_page_tables,
		     memory->alive);
	print_growth("  vmalloc", before->vmalloc, peak->vmalloc, memory->alive);
	print_growth("  kernel stacks", before->kernel_stack, peak->kernel_stack, memory->alive);
	print_growth("  per-CPU", before->percpu, peak->percpu, memory->alive);
	print_growth("  anonymous", before->anonymous, peak->anonymous, memory->alive);
	print_growth("  shared memory files", before->shmem, peak->shmem, memory->alive);
}

static void print_asleep(struct storm_asleep *asleep)
{
	const struct storm_memory *memory = &asleep->memory;
	struct summary woken = samples_summarise(&asleep->woken, 1000);

	if (memory->alive == 0)
		return;
	printf("\n%-24s %9s   the same %zu, of which the last slept after %.1f s\n", "asleep",
	       "KiB each", memory->alive, asleep->seconds);
	if (memory->sampled)
		printf("  %-22s %9.1f\n  %-22s %9.1f\n", "private", memory->private, "page tables",
		       memory->page_tables);
	print_growth("of MemAvailable, in all", memory->peak.available, memory->before.available,
		     memory->alive);
	if (!memory->settled)
		printf("  the host's free memory was still rising: that may be less or more\n");
	printf("  woken, microseconds from the next request to its verified answer:\n"
	       "  p50 %.1f, p90 %.1f, p99 %.1f, max %.1f\n",
	       woken.p50, woken.p90, woken.p99, woken.max);
}

static void print_host(const struct host_record *host)
{
	char hz[16] = "unknown", limit[32] = "unknown";

	if (host->hz)
		snprintf(hz, sizeof(hz), "%d", host->hz);
	if (host->cpu_latency_us != CPU_LATENCY_UNKNOWN)
		snprintf(limit, sizeof(limit), "%ld us", host->cpu_latency_us);
	if (host->cpu_latency_us == CPU_LATENCY_ANY)
		snprintf(limit, sizeof(limit), "none");
	printf("\nhost\n");
	printf("  Linux %s, HZ %s; %s, %s paging, nx_huge_pages %s\n", host->kernel, hz,
	       host->kvm_module, host->paging, host->nx_huge_pages);
	printf("  %s, %d CPUs, %ld MiB; clock source %s\n", host->cpu, host->cpus, host->memory_mib,
	       host->clocksource);
	printf("  idle CPUs: governor %s, limit on waking up %s\n", host->idle, limit);
	printf("  huge pages %s (shared memory: %s); cgroup %s; overcommit %s; %ld files\n",
	       host->thp, host->thp_shmem, host->cgroup, host->overcommit, host->max_files);
}

void storm_report_table(const struct storm_options *options, struct storm_result *result)
{
	print_head(options, result);
	if (result->latency.count) {
		print_latency(result);
		print_stages(result);
	}
	if (result->turns)
		turns_table(result->turns);
	if (options->spares)
		storm_claims_table(result);
	print_memory(&result->memory);
	print_asleep(&result->asleep);
	storm_peers_table(result);
	print_host(&result->host);
}
