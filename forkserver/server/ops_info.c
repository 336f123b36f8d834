/* SPDX-License-Identifier: MIT */
/*
 * The operations that only tell: list, inspect, stats.
 *
 * Values are built by jansson, in the arena that is emptied after each request; so what was built
 * is not freed here, and a value that could not be built shows as a reply that could not be.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>

#include "forkserver/base/procfs.h"
#include "forkserver/base/put.h"
#include "forkserver/sandbox/sandbox.h"
#include "forkserver/server/ops.h"
#include "forkvm_version.h"
#include "vmm/base/util.h"

static int append_json(const char *data, size_t len, void *ctx)
{
	text_append(ctx, data, len);
	return 0;
}

/* Send {"tag":...,"ok":value}. */
static void send_value(struct server *server, struct conn *conn, const struct request *request,
		       const json_t *value)
{
	struct text *text;
	struct error error;

	if (!value) {
		error_set(&error, ENOMEM, "the reply could not be put together");
		conn_send_error(server, conn, request->tag, &error);
		return;
	}
	text = conn_begin(conn, request->tag, NO_INDEX);
	text_printf(text, "\"ok\":");
	json_dump_callback(value, append_json, text, JSON_COMPACT);
	text_append(text, "}\n", 2);
	conn_finish(server, conn);
}

static json_t *describe_clone(const struct server *server, const struct clone *clone)
{
	json_t *object = json_object();

	put_number(object, "id", clone->id);
	put_number(object, "pid", (uint64_t)clone->pid);
	put_number(object, "age_ms", (server->now_ns - clone->received_ns) / NS_PER_MS);
	put_flag(object, "detached", clone->detached);
	put_flag(object, "session", clone->session);
	put_number(object, "client_pid", clone->owner ? (uint64_t)clone->owner->pid : 0);
	put_flag(object, "ending", clone->was_killed);
	put_flag(object, "spare", clone->state != CLONE_SERVING);
	put_flag(object, "held", clone->holders > 0);
	return object;
}

void ops_list(struct server *server, struct conn *conn, const struct request *request)
{
	const struct clones *clones = &server->clones;
	json_t *reply = json_object();
	json_t *array = json_array();
	unsigned int count = 0;
	bool more = false;
	/* By id: the next page mostly begins behind one that still lives. */
	const struct clone *last = clones_find(&server->clones, request->after);
	struct list *link = last ? last->link.next : clones->live.next;

	for (; link != &clones->live && !more; link = link->next) {
		const struct clone *clone = list_entry(link, struct clone, link);

		if (clone->id <= request->after)
			continue;
		if (count == FORKVM_PROTOCOL_LIST_PAGE)
			more = true;
		else
			json_array_append_new(array, describe_clone(server, clone));
		count++;
	}
	json_object_set_new(reply, "clones", array);
	put_flag(reply, "more", more);
	send_value(server, conn, request, reply);
}

/* null when the process is gone already. */
static json_t *describe_memory(pid_t pid)
{
	struct process_memory memory;
	json_t *object;

	if (procfs_memory(pid, &memory) < 0)
		return json_null();
	object = json_object();
	put_number(object, "rss_kib", memory.rss_kib);
	put_number(object, "pss_kib", memory.pss_kib);
	put_number(object, "private_kib", memory.private_kib);
	put_number(object, "page_tables_kib", memory.page_tables_kib);
	return object;
}

static void inspect_clone(struct server *server, struct conn *conn, const struct request *request)
{
	struct clone *clone = clones_find(&server->clones, request->id);
	struct error error;
	json_t *object;

	if (!clone) {
		error_set(&error, ESRCH, "there is no live clone %" PRIu64, request->id);
		conn_send_error(server, conn, request->tag, &error);
		return;
	}
	object = describe_clone(server, clone);
	json_object_set_new(object, "memory", describe_memory(clone->pid));
	if (server->disks.plan)
		json_object_set_new(object, "disks", ops_disks_of_clone(server, clone));
	if (clone->timer.place)
		put_number(object, "time_left_ms",
			   (max_u64(clone->timer.at_ns, server->now_ns) - server->now_ns) /
				   NS_PER_MS);
	send_value(server, conn, request, object);
}

/* What is known once it is frozen. */
static void describe_frozen(const struct server *server, json_t *object)
{
	const struct machine_info *info = &server->info;
	const struct boot *boot = &server->boot;

	put_text(object, "frozen_by", boot_end_name(boot));
	put_number(object, "booted_us", (boot->stopped_ns - boot->started_ns) / 1000);
	put_number(object, "frozen_us", (boot->served_ns - boot->stopped_ns) / 1000);
	put_number(object, "populated_bytes", info->populated);
	put_number(object, "memslots", info->slots);
	put_number(object, "memslot_bytes", info->slot_bytes);
	put_flag(object, "lazy_memslots", info->lazy_slots);
	put_number(object, "msrs", info->msrs);
	put_number(object, "msrs_written", info->msrs_written);
	put_number(object, "working_set_pages", server->learning.pages);
	put_flag(object, "irqchip", info->irqchip);
	put_flag(object, "cpuid", info->cpuid);
	put_number(object, "request_capacity", server->request_capacity);
}

static json_t *describe_template(const struct server *server)
{
	const struct serve_options *options = server->options;
	json_t *object = json_object();

	put_text(object, "state", server_state_name(server));
	put_text(object, "stub", options->stub);
	put_text(object, "args", options->args);
	put_text(object, "kernel", options->guest.kernel);
	put_text(object, "initrd", options->guest.initrd);
	put_text(object, "cmdline", options->guest.cmdline);
	put_text(object, "template_on", options->machine.template_on);
	put_text(object, "mem_path", options->machine.mem_path);
	put_flag(object, "rng", options->machine.rng);
	put_number(object, "ram_bytes", options->machine.ram_size);
	put_number(object, "vcpus", options->machine.vcpus);
	if (options->disks.count)
		json_object_set_new(object, "disks", ops_disks_of_template(server));
	if (server->serving)
		describe_frozen(server, object);
	else
		put_number(object, "booting_ms",
			   (server->now_ns - server->boot.started_ns) / NS_PER_MS);
	return object;
}

static json_t *describe_host(const struct kvm_host *host)
{
	json_t *object = json_object();

	put_text(object, "kvm_module", host->module);
	put_flag(object, "shadows_page_tables", host->shadows_page_tables);
	put_number(object, "vcpus_max", host->vcpus_max);
	put_number(object, "memslots_max", host->memslots_max);
	put_number(object, "xsave_bytes", host->xsave_size);
	put_flag(object, "sregs2", host->has_sregs2);
	put_flag(object, "tsc_offset", host->has_tsc_offset);
	put_flag(object, "kvmclock_ctrl", host->has_kvmclock_ctrl);
	return object;
}

static json_t *describe_server(const struct server *server)
{
	const struct serve_options *options = server->options;
	json_t *object = json_object();

	put_text(object, "version", FORKVM_VERSION);
	put_text(object, "name", options->name);
	put_text(object, "socket", options->socket);
	put_number(object, "pid", (uint64_t)server->pid);
	put_number(object, "uptime_ms", (server->now_ns - server->metrics.started_ns) / NS_PER_MS);
	put_number(object, "max_clones", server->clones.capacity);
	put_number(object, "max_connections", options->max_connections);
	put_number(object, "clone_timeout_ms", options->clone_timeout_ms);
	put_number(object, "clone_memory_bytes", options->clone_memory);
	put_flag(object, "keep_clones", options->keep_clones);
	put_number(object, "sleep_after_ms", options->sleep_after_ms);
	put_number(object, "spares_low", options->spares.low);
	put_number(object, "spares_high", options->spares.high);
	put_number(object, "spare_age_ms", options->spares.age_ns / NS_PER_MS);
	put_number(object, "spare_memory_bytes", options->spares.memory);
	put_number(object, "spare_rate", options->spares.rate);
	if (server->cpus) {
		char making[CPU_LIST_SIZE], serving[CPU_LIST_SIZE];

		put_text(object, "spare_cpus",
			 cpu_list_print(&server->cpus->making, making, sizeof(making)));
		put_text(object, "server_cpus",
			 cpu_list_print(&server->cpus->serving, serving, sizeof(serving)));
	}
	put_flag(object, "reset", options->reset);
	put_flag(object, "reset_check", options->reset_check);
	put_number(object, "reset_max", options->reset_max);
	if (options->disks.count) {
		put_text(object, "overlay",
			 options->disks.overlay_dir ? server->disks.overlays.path : "memory");
		put_number(object, "overlay_limit_bytes", options->disks.overlay_limit);
		put_flag(object, "io_uring", !options->disks.no_io_uring);
	}
	if (options->cpu_latency_us >= 0) {
		put_number(object, "cpu_latency_us", (uint64_t)options->cpu_latency_us);
		put_flag(object, "cpu_latency_held", server->cpu_latency.is_held);
	}
	put_flag(object, "anchor", server->anchor.pidfd >= 0);
	put_flag(object, "sandbox", sandbox_available());
	return object;
}

void ops_inspect(struct server *server, struct conn *conn, const struct request *request)
{
	json_t *reply;

	if (request->has_id) {
		inspect_clone(server, conn, request);
		return;
	}
	reply = json_object();
	json_object_set_new(reply, "server", describe_server(server));
	json_object_set_new(reply, "template", describe_template(server));
	json_object_set_new(reply, "host", describe_host(server->host));
	if (server->serving)
		json_object_set_new(reply, "limits", ops_limits(server));
	send_value(server, conn, request, reply);
}

static json_t *describe_clones(const struct server *server)
{
	const struct metrics *metrics = &server->metrics;
	json_t *object = json_object();
	json_t *ends = json_object();

	put_number(object, "live", server->clones.live_count);
	put_number(object, "peak", metrics->clones_peak);
	put_number(object, "started", metrics->clones_started);
	put_number(object, "refused", metrics->clones_refused);
	if (server->serving)
		put_number(object, "host_allows", limits_clones(&server->limits.verdict));
	for (int i = 0; i < FORKVM_END_COUNT_; i++)
		put_number(ends, forkvm_end_name((enum forkvm_end)i), metrics->clones_ended[i]);
	json_object_set_new(object, "ended", ends);
	return object;
}

static json_t *describe_lost(const struct pool_metrics *metrics)
{
	static const char *const names[] = {
		[SPARE_NOT_LOST] = NULL,   [SPARE_TOO_OLD] = "age",   [SPARE_SURPLUS] = "surplus",
		[SPARE_MEMORY] = "memory", [SPARE_NO_ROOM] = "room",  [SPARE_KILLED] = "killed",
		[SPARE_TENANT] = "tenant", [SPARE_FAILED] = "failed", [SPARE_DIED] = "died",
	};
	json_t *object = json_object();

	_Static_assert(ARRAY_SIZE(names) == SPARE_LOSS_COUNT_, "a name for each reason");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i])
			put_number(object, names[i], metrics->lost[i]);
	return object;
}

static void put_us(json_t *object, const char *name, uint64_t value_ns)
{
	json_object_set_new(object, name, json_real((double)value_ns / 1e3));
}

static json_t *describe_times(const struct histogram *histogram)
{
	json_t *object = json_object();

	put_number(object, "count", histogram->count);
	put_us(object, "min", histogram->min);
	put_us(object, "p50", histogram_quantile(histogram, 500));
	put_us(object, "p99", histogram_quantile(histogram, 990));
	put_us(object, "max", histogram->max);
	return object;
}

static json_t *describe_spares(const struct server *server)
{
	const struct pool *pool = &server->pool;
	json_t *object = json_object();

	put_number(object, "low", pool->limits.low);
	put_number(object, "high", pool->limits.high);
	put_number(object, "wanted", pool_target(&pool->limits, &pool->history, server->now_ns));
	put_number(object, "parked", pool->parked_count);
	put_number(object, "waiting", pool->waiting_count);
	put_number(object, "making", pool->making_count);
	put_number(object, "made", pool->metrics.made);
	put_number(object, "claims", pool->metrics.claims);
	put_number(object, "misses", pool->metrics.misses);
	put_number(object, "resent", pool->metrics.resent);
	put_number(object, "resets_quick", pool->metrics.resets[REPORT_RESET_QUICK]);
	put_number(object, "resets_thorough", pool->metrics.resets[REPORT_RESET_THOROUGH]);
	put_number(object, "bytes_each", pool->each);
	json_object_set_new(object, "lost", describe_lost(&pool->metrics));
	json_object_set_new(object, "claim_us", describe_times(&pool->metrics.claim_ns));
	return object;
}

static json_t *describe_connections(const struct server *server)
{
	const struct metrics *metrics = &server->metrics;
	json_t *object = json_object();

	put_number(object, "open", server->conns.count);
	put_number(object, "peak", metrics->connections_peak);
	put_number(object, "accepted", metrics->connections_accepted);
	put_number(object, "refused", metrics->connections_refused);
	put_number(object, "evicted", metrics->connections_evicted);
	return object;
}

void ops_stats(struct server *server, struct conn *conn, const struct request *request)
{
	const struct metrics *metrics = &server->metrics;
	int descriptors = procfs_count_descriptors();
	json_t *reply = json_object();

	put_text(reply, "state", server_state_name(server));
	put_number(reply, "uptime_ms", (server->now_ns - metrics->started_ns) / NS_PER_MS);
	json_object_set_new(reply, "clones", describe_clones(server));
	json_object_set_new(reply, "fork_us", describe_times(&metrics->fork_ns));
	json_object_set_new(reply, "spares", describe_spares(server));
	json_object_set_new(reply, "connections", describe_connections(server));
	if (server->options->disks.count)
		json_object_set_new(reply, "disks", ops_disk_totals(server));
	put_number(reply, "requests", metrics->requests);
	put_number(reply, "requests_refused", metrics->requests_refused);
	put_number(reply, "descriptors", descriptors < 0 ? 0 : (uint64_t)descriptors);
	json_object_set_new(reply, "memory", describe_memory(server->pid));
	send_value(server, conn, request, reply);
}
