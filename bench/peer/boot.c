/* SPDX-License-Identifier: MIT */
/*
 * What a clone spares: forkvm boots the same guest from nothing, from the server's exec until its
 * guest is set up and clones could be had.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/peer/peer.h"

#define BOOTS_MAX 3 /* each takes long, and they differ little */

struct peer *peer_boot(const struct storm_options *options)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->name = "boot";
	peer->count = options->peer_count < BOOTS_MAX ? options->peer_count : BOOTS_MAX;
	snprintf(peer->what, sizeof(peer->what),
		 "forkvm serve: from its exec to a template that is set up and frozen");
	for (size_t i = 0; i < peer->count && !storm_interrupted; i++) {
		struct storm_server server;

		if (storm_server_start(options, &server) < 0) {
			peer_free(peer);
			return NULL;
		}
		samples_add(&peer->latency, server.boot_ns);
		peer->seconds += (double)server.boot_ns / 1e9;
		peer->ok++;
		if (storm_server_stop(&server) < 0)
			storm_fail(&peer->failures, "the server did not end well");
	}
	return peer;
}
