/* SPDX-License-Identifier: MIT */
/*
 * What the operations that only tell (ops_info.c) tell of disks. Objects have a member for each
 * disk, named by its number.
 */
#include <assert.h>
#include <stdio.h>

#include "forkserver/base/put.h"
#include "forkserver/base/sys.h"
#include "forkserver/server/ops.h"
#include "vmm/base/util.h"

static void put_of_disk(json_t *object, unsigned int disk, json_t *value)
{
	char name[12];

	snprintf(name, sizeof(name), "%u", disk);
	json_object_set_new(object, name, value);
}

static json_t *describe_ops(const uint64_t counts[DISK_OPS])
{
	static const char *const names[] = {
		[DISK_READ] = "read",
		[DISK_WRITE] = "write",
		[DISK_FLUSH] = "flush",
		[DISK_DISCARD] = "discard",
		[DISK_WRITE_ZEROES] = "write_zeroes",
	};
	json_t *object = json_object();

	static_assert(ARRAY_SIZE(names) == DISK_OPS, "a name for each operation");
	for (unsigned int i = 0; i < DISK_OPS; i++)
		put_number(object, names[i], counts[i]);
	return object;
}

/* The microseconds that permille of all requests took at most, within a factor of two. */
static uint64_t latency_quantile(const uint64_t counts[DISK_LATENCY_BUCKETS], unsigned int permille)
{
	double total = 0, seen = 0;

	for (unsigned int i = 0; i < DISK_LATENCY_BUCKETS; i++)
		total += (double)counts[i];
	for (unsigned int i = 0; total > 0 && i < DISK_LATENCY_BUCKETS; i++) {
		seen += (double)counts[i];
		if (seen * 1000 >= total * permille)
			return 1ull << i;
	}
	return 0;
}

static json_t *describe_latency(const uint64_t counts[DISK_LATENCY_BUCKETS])
{
	json_t *object = json_object();
	json_t *array = json_array();

	put_number(object, "p50", latency_quantile(counts, 500));
	put_number(object, "p90", latency_quantile(counts, 900));
	put_number(object, "p99", latency_quantile(counts, 990));
	put_number(object, "max", latency_quantile(counts, 1000));
	for (unsigned int i = 0; i < DISK_LATENCY_BUCKETS; i++)
		json_array_append_new(array,
				      json_integer((json_int_t)min_u64(counts[i], INT64_MAX)));
	json_object_set_new(object, "histogram", array);
	return object;
}

static void put_mean(json_t *object, const char *name, uint64_t sum, uint64_t count)
{
	json_object_set_new(object, name, json_real(count ? (double)sum / (double)count : 0));
}

static void put_stats(json_t *object, const struct disk_stats *stats)
{
	double requests = 0;

	for (unsigned int i = 0; i < DISK_OPS; i++)
		requests += (double)stats->requests[i];
	json_object_set_new(object, "requests", describe_ops(stats->requests));
	json_object_set_new(object, "bytes", describe_ops(stats->bytes));
	put_number(object, "errors", stats->errors);
	put_number(object, "passes", stats->passes);
	json_object_set_new(object, "batch_mean",
			    json_real(stats->passes ? requests / (double)stats->passes : 0));
	put_number(object, "batch_max", stats->pass_max);
	put_number(object, "notifications", stats->notifications);
	put_number(object, "interrupts", stats->interrupts);
	put_number(object, "enters", stats->enters);
	put_number(object, "submitted", stats->submitted);
	put_number(object, "sync", stats->sync);
	put_number(object, "alone", stats->alone);
	put_number(object, "reaps", stats->reaps);
	put_number(object, "reaped", stats->reaped);
	put_mean(object, "depth_mean", stats->depth_sum, stats->passes);
	put_number(object, "depth_max", stats->depth_max);
	put_number(object, "overlay_bytes", stats->overlay_bytes);
	json_object_set_new(object, "latency_us", describe_latency(stats->latency_us));
}

json_t *ops_disk_totals(const struct server *server)
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < server->options->disks.count; i++) {
		const struct server_disk *disk = &server->disks.slots[i];
		json_t *value = json_object();

		put_number(value, "clones", disk->clones);
		put_stats(value, &disk->total);
		put_of_disk(object, i, value);
	}
	return object;
}

static const char *mode_name(const struct serve_disk *disk)
{
	if (disk->is_empty)
		return "empty";
	return disk->read_only ? "read-only" : "overlay";
}

json_t *ops_disks_of_template(const struct server *server)
{
	const struct serve_disks *options = &server->options->disks;
	json_t *object = json_object();

	for (unsigned int i = 0; i < options->count; i++) {
		const struct serve_disk *disk = &options->disk[i];
		const struct server_disk *known = &server->disks.slots[i];
		json_t *value = json_object();

		put_text(value, "mode", mode_name(disk));
		put_text(value, "image", disk->is_empty ? NULL : known->image);
		put_number(value, "size", known->size);
		put_flag(value, "durable", disk->durable);
		put_text(value, "serial", disk->serial[0] ? disk->serial : NULL);
		if (known->is_converted)
			put_number(value, "converted_bytes", known->converted_bytes);
		if (server->serving)
			put_number(value, "template_bytes", known->template_bytes);
		put_of_disk(object, i, value);
	}
	return object;
}

json_t *ops_disks_of_clone(const struct server *server, const struct clone *clone)
{
	json_t *object = json_object();

	for (unsigned int i = 0; i < server->options->disks.count; i++) {
		const struct disk *disk = machine_get_disk(server->machine, i);
		json_t *value = json_object();
		struct disk_stats stats = {0};

		put_text(value, "mode",
			 clone->written_disks >> i & 1	  ? "write"
			 : clone->overlaid_disks >> i & 1 ? "overlay"
			 : clone->given_disks >> i & 1
				 ? "read-only"
				 : mode_name(&server->options->disks.disk[i]));
		/* Its disks are where ours are. Without them it is just ending, or we may not. */
		if (sys_read_child(clone->pid, disk_get_stats(disk), &stats, sizeof(stats)) ==
		    sizeof(stats))
			put_stats(value, &stats);
		put_of_disk(object, i, value);
	}
	return object;
}
