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

/* (after - before) of each clone, in KiB; null where the kernel does not count that. */
static void put_growth(json_t *object, const char *name, long before, long after,
		       const struct storm_memory *memory)
{
	bool known = before >= 0 && after >= 0 && memory->alive > 0;

	json_object_set_new(object, name,
			    known ? json_real((double)(after - before) / (double)memory->alive)
				  : json_null());
}

/* A mean over the sample; null when there was none. */
static void put_mean(json_t *object, const char *name, double value,
		     const struct storm_memory *memory)
{
	json_object_set_new(object, name, memory->sampled ? json_real(value) : json_null());
}

json_t *storm_memory_json(const struct storm_memory *memory)
{
	const struct host_memory *before = &memory->before, *peak = &memory->peak;
	json_t *object = json_object(), *curve = json_array();

	json_object_set_new(object, "clones", json_integer((json_int_t)memory->alive));
	json_object_set_new(object, "sampled", json_integer((json_int_t)memory->sampled));
	put_mean(object, "private_kib_per_clone", memory->private, memory);
	put_mean(object, "private_dirty_kib_per_clone", memory->private_dirty, memory);
	put_mean(object, "pss_kib_per_clone", memory->pss, memory);
	put_mean(object, "rss_kib_per_clone", memory->rss, memory);
	put_mean(object, "page_tables_kib_per_clone", memory->page_tables, memory);
	json_object_set_new(object, "settled", json_boolean(memory->settled));
	/* What is taken from MemAvailable, so the other way round. */
	put_growth(object, "available_kib_per_clone", peak->available, before->available, memory);
	put_growth(object, "slab_kib_per_clone", before->slab, peak->slab, memory);
	put_growth(object, "host_page_tables_kib_per_clone", before->page_tables, peak->page_tables,
		   memory);
	put_growth(object, "sec_page_tables_kib_per_clone", before->sec_page_tables,
		   peak->sec_page_tables, memory);
	put_growth(object, "vmalloc_kib_per_clone", before->vmalloc, peak->vmalloc, memory);
	put_growth(object, "kernel_stack_kib_per_clone", before->kernel_stack, peak->kernel_stack,
		   memory);
	put_growth(object, "percpu_kib_per_clone", before->percpu, peak->percpu, memory);
	put_growth(object, "anonymous_kib_per_clone", before->anonymous, peak->anonymous, memory);
	put_growth(object, "shmem_kib_per_clone", before->shmem, peak->shmem, memory);
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
