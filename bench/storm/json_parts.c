/* SPDX-License-Identifier: MIT */
/* What all reports for programs are made of, and how they are written. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bench/storm/storm.h"

json_t *storm_summary_json(const struct summary *summary)
{
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "p50", summary->p50, "p90", summary->p90,
			 "p99", summary->p99, "p999", summary->p999, "max", summary->max, "mean",
			 summary->mean);
}

/* (after - before) / alive, in KiB; null where the kernel does not count that. */
static json_t *growth(long before, long after, size_t alive)
{
	if (before < 0 || after < 0 || alive == 0)
		return json_null();
	return json_real((double)(after - before) / (double)alive);
}

/* A mean over the sample; null when there was none. */
static json_t *mean(const struct storm_memory *memory, double value)
{
	return memory->sampled ? json_real(value) : json_null();
}

json_t *storm_memory_json(const struct storm_memory *memory)
{
	const struct host_memory *before = &memory->before, *peak = &memory->peak;
	json_t *object = json_object(), *curve = json_array();

	json_object_set_new(object, "clones", json_integer((json_int_t)memory->alive));
	json_object_set_new(object, "sampled", json_integer((json_int_t)memory->sampled));
	json_object_set_new(object, "private_kib_per_clone", mean(memory, memory->private));
	json_object_set_new(object, "private_dirty_kib_per_clone",
			    mean(memory, memory->private_dirty));
	json_object_set_new(object, "pss_kib_per_clone", mean(memory, memory->pss));
	json_object_set_new(object, "rss_kib_per_clone", mean(memory, memory->rss));
	json_object_set_new(object, "page_tables_kib_per_clone", mean(memory, memory->page_tables));
	json_object_set_new(object, "settled", json_boolean(memory->settled));
	/* What is taken from MemAvailable, so the other way round. */
	json_object_set_new(object, "available_kib_per_clone",
			    growth(peak->available, before->available, memory->alive));
	json_object_set_new(object, "slab_kib_per_clone",
			    growth(before->slab, peak->slab, memory->alive));
	json_object_set_new(object, "host_page_tables_kib_per_clone",
			    growth(before->page_tables, peak->page_tables, memory->alive));
	json_object_set_new(object, "sec_page_tables_kib_per_clone",
			    growth(before->sec_page_tables, peak->sec_page_tables, memory->alive));
	json_object_set_new(object, "vmalloc_kib_per_clone",
			    growth(before->vmalloc, peak->vmalloc, memory->alive));
	json_object_set_new(object, "kernel_stack_kib_per_clone",
			    growth(before->kernel_stack, peak->kernel_stack, memory->alive));
	json_object_set_new(object, "percpu_kib_per_clone",
			    growth(before->percpu, peak->percpu, memory->alive));
	json_object_set_new(object, "anonymous_kib_per_clone",
			    growth(before->anonymous, peak->anonymous, memory->alive));
	json_object_set_new(object, "shmem_kib_per_clone",
			    growth(before->shmem, peak->shmem, memory->alive));
	for (size_t i = 0; i < memory->curve_count; i++)
		json_array_append_new(curve,
				      json_pack("{s:I, s:I}", "clones",
						(json_int_t)memory->curve[i].alive, "available_kib",
						(json_int_t)memory->curve[i].available_kib));
	json_object_set_new(object, "curve", curve);
	return object;
}

json_t *storm_failures_json(const struct storm_failures *failures)
{
	json_t *object = json_object();

	for (size_t i = 0; i < failures->kinds; i++)
		json_object_set_new(object, failures->reasons[i].text,
				    json_integer((json_int_t)failures->reasons[i].count));
	return object;
}

int storm_write_json(const char *path, const json_t *report)
{
	const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(6);
	int rc;

	errno = 0;
	if (strcmp(path, "-") == 0) {
		rc = json_dumpf(report, stdout, flags);
		putchar('\n');
		if (fflush(stdout) != 0)
			rc = -1;
	} else {
		rc = json_dump_file(report, path, flags);
	}
	if (rc != 0)
		fprintf(stderr, "clone_storm: write %s: %s\n", path,
			errno ? strerror(errno) : "failed");
	return rc;
}
