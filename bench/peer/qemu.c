/* SPDX-License-Identifier: MIT */
/* QEMU's templating from its beginning to its end. See qemu.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/peer/qemu.h"

#define WARM_CLONES   2	 /* not counted: QEMU's own files come into memory by them */
#define MEMORY_CLONES 20 /* kept alive to be looked at, when the timed round keeps none */

/* The memory file must lie in memory; wherever else temporary files go. */
static int make_folder(struct qemu *qemu)
{
	snprintf(qemu->folder, sizeof(qemu->folder), "/dev/shm/clone_storm-qemu.XXXXXX");
	if (!mkdtemp(qemu->folder)) {
		fprintf(stderr, "clone_storm: --peer qemu: %s: %s\n", qemu->folder,
			strerror(errno));
		return -1;
	}
	snprintf(qemu->ram, sizeof(qemu->ram), "%s/ram", qemu->folder);
	snprintf(qemu->state, sizeof(qemu->state), "%s/state", qemu->folder);
	snprintf(qemu->initrd, sizeof(qemu->initrd), "%s/initrd", qemu->folder);
	snprintf(qemu->log, sizeof(qemu->log), "%s/log", qemu->folder);
	return 0;
}

static void remove_folder(const struct qemu *qemu)
{
	unlink(qemu->ram);
	unlink(qemu->state);
	unlink(qemu->initrd);
	unlink(qemu->log);
	rmdir(qemu->folder);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int measure(const struct qemu *qemu, struct peer *peer)
{
	const struct storm_options *options = qemu->options;
	const size_t count = peer->count;
	const struct qemu_round warm = {.count = least(WARM_CLONES, count), .concurrency = 1};
	const struct qemu_round timed = {
		.count = count,
		.concurrency = options->rate > 0 ? 1 : least(options->concurrency, count),
		.alive = options->alive,
		.timed = true,
	};
	const struct qemu_round memory = {
		.count = least(MEMORY_CLONES, count), .concurrency = 2, .alive = true};
	int rc = qemu_clones(qemu, &warm, peer);

	/* What went wrong with these goes wrong again, and counts then. */
	peer->failures = (struct storm_failures){0};
	if (rc == 0)
		rc = qemu_clones(qemu, &timed, peer);
	if (rc == 0 && !options->alive && peer->ok > 0)
		rc = qemu_clones(qemu, &memory, peer);
	return rc;
}

struct peer *peer_qemu(const struct storm_options *options)
{
	struct qemu qemu = {.options = options};
	struct peer *peer;
	int rc;

	if (qemu_find(&qemu) < 0)
		return NULL;
	if (access("/dev/kvm", R_OK | W_OK) < 0) {
		fprintf(stderr, "clone_storm: --peer qemu: /dev/kvm: %s\n", strerror(errno));
		return NULL;
	}
	peer = calloc(1, sizeof(*peer));
	if (!peer || make_folder(&qemu) < 0) {
		free(peer);
		return NULL;
	}
	peer->name = "qemu";
	peer->count = options->peer_count;
	rc = qemu_guest_settle(&qemu);
	if (rc == 0) {
		snprintf(peer->what, sizeof(peer->what), "%.200s -M %.160s", qemu.program,
			 qemu.machine);
		rc = qemu_make_template(&qemu, peer);
	}
	/* All that the template needed and clones do not. */
	unlink(qemu.initrd);
	if (rc == 0)
		rc = measure(&qemu, peer);
	remove_folder(&qemu);
	if (rc < 0 && peer->ok == 0) {
		peer_free(peer);
		return NULL;
	}
	return peer;
}

void peer_free(struct peer *peer)
{
	if (!peer)
		return;
	samples_done(&peer->latency);
	samples_done(&peer->restored);
	free(peer);
}
