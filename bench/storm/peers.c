/* SPDX-License-Identifier: MIT */
/* The peers that were asked for, and what the reports say of them beside forkvm. */
#include <stdio.h>
#include <unistd.h>

#include "bench/peer/peer.h"

#define US 1000 /* nanoseconds */

int storm_peers_run(const struct storm_options *options, struct storm_result *result)
{
	const bool tell = isatty(STDERR_FILENO);

	/* Before the storm's server starts: its anchor would help them. */
	if (options->peer_qemu) {
		if (tell)
			fprintf(stderr, "QEMU's template, and %zu clones of it\r",
				options->peer_count);
		result->qemu = peer_qemu(options);
		if (!result->qemu)
			return -1;
	}
	if (options->peer_boot) {
		if (tell)
			fprintf(stderr, "boots without a template\033[K\r");
		result->boot = peer_boot(options);
		if (!result->boot)
			return -1;
	}
	return 0;
}

void storm_peers_list(const struct storm_result *result, struct peer *ret[3])
{
	size_t count = 0;

	if (result->qemu)
		ret[count++] = result->qemu;
	if (result->boot)
		ret[count++] = result->boot;
	ret[count] = NULL;
}

bool storm_peers_failed(const struct storm_result *result)
{
	struct peer *peers[3];
	bool failed = false;

	storm_peers_list(result, peers);
	for (size_t i = 0; peers[i]; i++)
		failed = failed || peers[i]->failures.total;
	return failed;
}

/* How many times ours theirs is; 0 when there is nothing to compare. */
static double ratio(double theirs, double ours)
{
	return ours > 0 && theirs > 0 ? theirs / ours : 0;
}

/* KiB each of what was taken from MemAvailable; 0 when nothing was looked at. */
static double available(const struct storm_memory *memory)
{
	if (!memory->alive)
		return 0;
	return (double)(memory->before.available - memory->peak.available) / (double)memory->alive;
}

static void print_one(struct peer *peer)
{
	struct summary restored = samples_summarise(&peer->restored, US);

	printf("\npeer %s: %s\n  %zu of %zu answered; %zu failed", peer->name, peer->what, peer->ok,
	       peer->count, peer->failures.total);
	if (peer->template_ns)
		printf("; its template booted in %.2f s, state %llu KiB",
		       (double)peer->template_ns / 1e9,
		       (unsigned long long)peer->state_bytes / 1024);
	printf("\n");
	for (size_t i = 0; i < peer->failures.kinds; i++)
		printf("             %zu times: %s\n", peer->failures.reasons[i].count,
		       peer->failures.reasons[i].text);
	if (restored.p50 > 0)
		printf("  until its guest runs: p50 %.1f, p99 %.1f microseconds; the answer is the "
		       "rest\n",
		       restored.p50, restored.p99);
}

static void print_memory(const struct peer *peer, const struct storm_memory *ours)
{
	const struct storm_memory *theirs = &peer->memory;

	if (!theirs->alive)
		return;
	printf("  KiB each, %zu alive: private %.1f (dirty %.1f), PSS %.1f, page tables %.1f, of "
	       "MemAvailable %.1f\n",
	       theirs->alive, theirs->private, theirs->private_dirty, theirs->pss,
	       theirs->page_tables, available(theirs));
	if (ours->sampled && theirs->sampled)
		printf("  its private memory is %.2f times forkvm's",
		       ratio(theirs->private, ours->private));
	if (ours->sampled && theirs->sampled && ratio(available(theirs), available(ours)) > 0)
		printf(", its part of MemAvailable %.2f times",
		       ratio(available(theirs), available(ours)));
	if (ours->sampled && theirs->sampled)
		printf("\n");
}

void storm_peers_table(struct storm_result *result)
{
	struct summary ours = samples_summarise(&result->latency, US);
	struct peer *peers[3];

	storm_peers_list(result, peers);
	if (peers[0])
		printf("\n%-14s %9s %9s %9s %9s %9s   microseconds, exec to verified answer\n",
		       "peers", "p50", "p90", "p99", "p99.9", "max");
	for (size_t i = 0; peers[i]; i++) {
		struct summary theirs = samples_summarise(&peers[i]->latency, US);

		printf("  %-12s %9.1f %9.1f %9.1f %9.1f %9.1f\n", peers[i]->name, theirs.p50,
		       theirs.p90, theirs.p99, theirs.p999, theirs.max);
	}
	for (size_t i = 0; peers[i]; i++) {
		struct summary theirs = samples_summarise(&peers[i]->latency, US);

		if (ours.p50 > 0 && theirs.p50 > 0)
			printf("  %s: p50 is %.1f times forkvm's, p99 %.1f times\n", peers[i]->name,
			       ratio(theirs.p50, ours.p50), ratio(theirs.p99, ours.p99));
	}
	for (size_t i = 0; peers[i]; i++) {
		print_one(peers[i]);
		print_memory(peers[i], &result->memory);
	}
}

static void set_ratio(json_t *object, const char *key, double value)
{
	json_object_set_new(object, key, value > 0 ? json_real(value) : json_null());
}

static json_t *one_json(struct peer *peer, struct storm_result *result)
{
	struct summary ours = samples_summarise(&result->latency, US);
	struct summary theirs = samples_summarise(&peer->latency, US);
	struct summary restored = samples_summarise(&peer->restored, US);
	json_t *object = json_object();

	json_object_set_new(object, "name", json_string(peer->name));
	json_object_set_new(object, "what", json_string(peer->what));
	json_object_set_new(object, "count", json_integer((json_int_t)peer->count));
	json_object_set_new(object, "ok", json_integer((json_int_t)peer->ok));
	json_object_set_new(object, "failed", json_integer((json_int_t)peer->failures.total));
	json_object_set_new(object, "failures", storm_failures_json(&peer->failures));
	json_object_set_new(object, "seconds", json_real(peer->seconds));
	json_object_set_new(object, "latency_us", storm_summary_json(&theirs));
	json_object_set_new(object, "restored_us",
			    peer->restored.count ? storm_summary_json(&restored) : json_null());
	json_object_set_new(object, "template_boot_ms",
			    peer->template_ns ? json_real((double)peer->template_ns / 1e6)
					      : json_null());
	json_object_set_new(object, "state_bytes", json_integer((json_int_t)peer->state_bytes));
	json_object_set_new(object, "memory",
			    peer->memory.alive ? storm_memory_json(&peer->memory) : json_null());
	set_ratio(object, "p50_ratio", ratio(theirs.p50, ours.p50));
	set_ratio(object, "p99_ratio", ratio(theirs.p99, ours.p99));
	set_ratio(object, "private_ratio", ratio(peer->memory.private, result->memory.private));
	set_ratio(object, "available_ratio",
		  ratio(available(&peer->memory), available(&result->memory)));
	return object;
}

json_t *storm_peers_json(struct storm_result *result)
{
	json_t *array = json_array();
	struct peer *peers[3];

	storm_peers_list(result, peers);
	for (size_t i = 0; peers[i]; i++)
		json_array_append_new(array, one_json(peers[i], result));
	return array;
}

static void put_row(FILE *page, const char *name, const struct summary *summary,
		    const struct storm_memory *memory, size_t ok, size_t failed)
{
	fprintf(page, "<tr><td>%s</td><td>%zu</td><td>%zu</td>", name, ok, failed);
	fprintf(page, "<td>%.1f</td><td>%.1f</td><td>%.1f</td>", summary->p50, summary->p99,
		summary->max);
	if (memory->sampled)
		fprintf(page, "<td>%.0f</td><td>%.0f</td><td>%.0f</td>", memory->private,
			memory->pss, available(memory));
	else
		fputs("<td>-</td><td>-</td><td>-</td>", page);
}

void storm_peers_html(FILE *page, struct storm_result *result)
{
	struct summary ours = samples_summarise(&result->latency, US);
	struct peer *peers[3];

	storm_peers_list(result, peers);
	if (!peers[0])
		return;
	fputs("<h2>Beside its peers, on this host, in the same run, with the same guest</h2>\n"
	      "<table>\n<tr><th></th><th>answered</th><th>failed</th><th>p50 us</th><th>p99 us</th>"
	      "<th>max us</th><th>private KiB</th><th>PSS KiB</th><th>MemAvailable KiB</th>"
	      "<th>p50 to forkvm's</th></tr>\n",
	      page);
	put_row(page, "forkvm", &ours, &result->memory, result->ok, result->failures.total);
	fputs("<td>1</td></tr>\n", page);
	for (size_t i = 0; peers[i]; i++) {
		struct summary theirs = samples_summarise(&peers[i]->latency, US);

		put_row(page, peers[i]->name, &theirs, &peers[i]->memory, peers[i]->ok,
			peers[i]->failures.total);
		fprintf(page, "<td>%.1f</td></tr>\n", ratio(theirs.p50, ours.p50));
	}
	fputs("</table>\n", page);
	for (size_t i = 0; peers[i]; i++)
		fprintf(page, "<p>%s: <code>%s</code></p>\n", peers[i]->name, peers[i]->what);
}
