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
#include <unistd.h>

#include "forkserver/server/ops.h"
#include "forkserver/server/procfs.h"
#include "forkvm_version.h"
#include "vmm/base/util.h"

#define NS_PER_MS (NS_PER_SEC / 1000)

static int append_json(const char *data, size_t len, void *ctx)
{
	text_append(ctx, data, len);
	return 0;
}

/* Send {"tag":...,"ok":value}. */
static void send_value(struct server *server, struct conn *conn, const struct request *request,
		       const json_t *value)
{
	struct text *text = conn_text(conn);
	struct error error;

	if (!value) {
		error_set(&error, ENOMEM, "the reply could not be put together");
		conn_send_error(server, conn, request->tag, &error);
		return;
	}
	text_append(text, "{", 1);
	if (request->tag[0])
		text_printf(text, "\"tag\":%s,", request->tag);
	text_printf(text, "\"ok\":");
	json_dump_callback(value, append_json, text, JSON_COMPACT);
	text_append(text, "}\n", 2);
	conn_finish(server, conn);
}

static json_int_t as_json(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (json_int_t)value;
}

static json_t *describe_clone(const struct server *server, const struct clone *clone)
{
	return json_pack("{s:I, s:i, s:I, s:b, s:b, s:I, s:b}", "id", as_json(clone->id), "pid",
			 clone->pid, "age_ms",
			 as_json((server->now_ns - clone->received_ns) / NS_PER_MS), "detached",
			 clone->detached, "session", clone->session, "client_pid",
			 (json_int_t)(clone->owner ? clone->owner->pid : 0), "ending",
			 clone->was_killed);
}

void ops_list(struct server *server, struct conn *conn, const struct request *request)
{
	const struct clones *clones = &server->clones;
	json_t *array = json_array();
	unsigned int count = 0;
	bool more = false;

	for (struct list *link = clones->live.next; link != &clones->live;
	     link = link->next) {
		const struct clone *clone = list_entry(link, struct clone, link);

		if (clone->id <= request->after)
			continue;
		if (count++ == FORKVM_PROTOCOL_LIST_PAGE) {
			more = true;
			break;
		}
		json_array_append_new(array, describe_clone(server, clone));
	}
	send_value(server, conn, request, json_pack("{s:o, s:b}", "clones", array, "more", more));
}

static json_t *describe_memory(pid_t pid)
{
	struct process_memory memory;

	if (procfs_memory(pid, &memory) < 0)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I}", "rss_kib", as_json(memory.rss_kib), "pss_kib",
			 as_json(memory.pss_kib), "private_kib", as_json(memory.private_kib),
			 "page_tables_kib", as_json(memory.page_tables_kib));
}

static void inspect_clone(struct server *server, struct conn *conn, const struct request *request)
{
	struct clone *clone = clones_find(&server->clones, request->id);
	struct error error;
	json_t *value;

	if (!clone) {
		error_set(&error, ESRCH, "there is no live clone %" PRIu64, request->id);
		conn_send_error(server, conn, request->tag, &error);
		return;
	}
	value = describe_clone(server, clone);
	if (value)
		json_object_set_new(value, "memory", describe_memory(clone->pid));
	if (value && clone->timer.place)
		json_object_set_new(value, "time_left_ms",
				    json_integer(clone->timer.at_ns <= server->now_ns ?
							 0 :
							 as_json((clone->timer.at_ns - server->now_ns) /
								 NS_PER_MS)));
	send_value(server, conn, request, value);
}

static json_t *describe_template(const struct server *server)
{
	const struct machine_info *info = &server->info;

	return json_pack("{s:s, s:s*, s:I, s:I, s:i, s:i, s:I, s:b, s:i, s:i, s:b, s:b, s:I, s:s*}",
			 "stub", server->options->stub, "args", server->options->args, "ram_bytes",
			 as_json(info->ram_size), "populated_bytes", as_json(info->populated),
			 "vcpus", info->vcpus, "memslots", info->slots, "memslot_bytes",
			 as_json(info->slot_bytes), "lazy_memslots", info->lazy_slots, "msrs",
			 info->msrs, "msrs_written", info->msrs_written, "irqchip", info->irqchip,
			 "cpuid", info->cpuid, "request_capacity",
			 as_json(server->request_capacity), "mem_path",
			 server->options->machine.mem_path);
}

static json_t *describe_host(const struct kvm_host *host)
{
	return json_pack("{s:s, s:b, s:i, s:i, s:I, s:b, s:b, s:b}", "kvm_module", host->module,
			 "shadows_page_tables", host->shadows_page_tables, "vcpus_max",
			 host->vcpus_max, "memslots_max", host->memslots_max, "xsave_bytes",
			 as_json(host->xsave_size), "sregs2", host->has_sregs2, "tsc_offset",
			 host->has_tsc_offset, "kvmclock_ctrl", host->has_kvmclock_ctrl);
}

static json_t *describe_server(const struct server *server)
{
	const struct serve_options *options = server->options;

	return json_pack("{s:s, s:s, s:s, s:i, s:I, s:i, s:i, s:I, s:I, s:b, s:b}", "version",
			 FORKVM_VERSION, "name", options->name, "socket", options->socket, "pid",
			 server->pid, "uptime_ms",
			 as_json((server->now_ns - server->metrics.started_ns) / NS_PER_MS),
			 "max_clones", (int)server->clones.capacity, "max_connections",
			 options->max_connections, "clone_timeout_ms",
			 as_json(options->clone_timeout_ms), "clone_memory_bytes",
			 as_json(options->clone_memory), "keep_clones", options->keep_clones,
			 "anchor", server->anchor.pidfd >= 0);
}

void ops_inspect(struct server *server, struct conn *conn, const struct request *request)
{
	if (request->has_id) {
		inspect_clone(server, conn, request);
		return;
	}
	send_value(server, conn, request,
		   json_pack("{s:o, s:o, s:o}", "server", describe_server(server), "template",
			     describe_template(server), "host", describe_host(server->host)));
}

static json_t *describe_ends(const struct metrics *metrics)
{
	json_t *ends = json_object();

	for (int i = 0; i < FORKVM_END_COUNT_; i++)
		json_object_set_new(ends, forkvm_end_name((enum forkvm_end)i),
				    json_integer(as_json(metrics->clones_ended[i])));
	return ends;
}

static json_t *describe_fork(const struct histogram *histogram)
{
	return json_pack("{s:I, s:f, s:f, s:f, s:f}", "count", as_json(histogram->count), "min",
			 (double)histogram->min / 1e3, "p50",
			 (double)histogram_quantile(histogram, 500) / 1e3, "p99",
			 (double)histogram_quantile(histogram, 990) / 1e3, "max",
			 (double)histogram->max / 1e3);
}

void ops_stats(struct server *server, struct conn *conn, const struct request *request)
{
	const struct metrics *metrics = &server->metrics;
	json_t *clones = json_pack("{s:i, s:i, s:I, s:I, s:o}", "live",
				   (int)server->clones.live_count, "peak", metrics->clones_peak,
				   "started", as_json(metrics->clones_started), "refused",
				   as_json(metrics->clones_refused), "ended",
				   describe_ends(metrics));
	json_t *connections = json_pack(
		"{s:i, s:i, s:I, s:I, s:I}", "open", server->conns.count, "peak",
		metrics->connections_peak, "accepted", as_json(metrics->connections_accepted),
		"refused", as_json(metrics->connections_refused), "evicted",
		as_json(metrics->connections_evicted));

	send_value(server, conn, request,
		   json_pack("{s:I, s:o, s:o, s:o, s:I, s:I, s:i, s:o}", "uptime_ms",
			     as_json((server->now_ns - metrics->started_ns) / NS_PER_MS), "clones",
			     clones, "fork_us", describe_fork(&metrics->fork_ns), "connections",
			     connections, "requests", as_json(metrics->requests),
			     "requests_refused", as_json(metrics->requests_refused), "descriptors",
			     procfs_count_descriptors(), "memory", describe_memory(server->pid)));
}
