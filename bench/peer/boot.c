/* SPDX-License-Identifier: MIT */
/*
 * What a clone spares: forkvm boots the same guest from nothing, from the server's exec until the
 * guest's answer is verified. The answer is that of the first clone, which is a small part of it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/common/clock.h"
#include "bench/peer/peer.h"
#include "bench/storm/engine.h"
#include "bench/storm/link.h"

#define LINUX_BOOTS_MAX 3 /* each takes long, and they differ little */

/* Have the server that has just come up answer once; its failures are the peer's. */
static int answer_once(const struct storm_options *options, const struct storm_server *server,
		       struct peer *peer)
{
	const struct round round = {
		.options = options, .label = "boot", .count = 1, .concurrency = 1, .timed = true};
	struct checker checker = {
		.by = options->check,
		.stub = options->stub,
		.request = options->request,
		.request_len = options->request_len,
	};
	struct storm_result result = {0};
	uint64_t connect_ns = now_ns(), latency_ns;
	struct forkvm_client *client;
	int rc;

	if (link_open(server->socket, &client) < 0)
		return -1;
	connect_ns = now_ns() - connect_ns;
	rc = engine_run(client, &round, &checker, &result);
	if (rc == 0 && result.ok == 1) {
		latency_ns = server->boot_ns + connect_ns + result.latency.values[0];
		samples_add(&peer->latency, latency_ns);
		samples_add(&peer->restored, server->boot_ns);
		peer->seconds += (double)latency_ns / 1e9;
		peer->ok++;
	}
	for (size_t i = 0; i < result.failures.kinds; i++)
		storm_fail(&peer->failures, "%s", result.failures.reasons[i].text);
	samples_done(&result.latency);
	for (size_t stage = 0; stage < STORM_STAGES; stage++)
		samples_done(&result.stages[stage]);
	samples_done(&checker.once);
	link_close(client);
	return rc;
}

static int boot_once(const struct storm_options *options, struct peer *peer)
{
	struct storm_server server;
	int rc;

	if (storm_server_start(options, &server) < 0)
		return -1;
	rc = answer_once(options, &server, peer);
	if (storm_server_stop(&server) < 0)
		storm_fail(&peer->failures, "the server did not end well");
	return rc;
}

struct peer *peer_boot(const struct storm_options *options)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->name = "boot";
	peer->count = options->peer_count;
	if (options->kernel && peer->count > LINUX_BOOTS_MAX)
		peer->count = LINUX_BOOTS_MAX;
	snprintf(peer->what, sizeof(peer->what),
		 "forkvm serve, from its exec, and one clone's answer; without a template");
	for (size_t i = 0; i < peer->count && !storm_interrupted; i++) {
		if (boot_once(options, peer) < 0) {
			peer_free(peer);
			return NULL;
		}
	}
	return peer;
}
