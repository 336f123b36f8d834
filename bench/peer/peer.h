/* SPDX-License-Identifier: MIT */
/*
 * Others who do what a clone does, measured in the same run with the same guest.
 *
 *	qemu	QEMU's VM templating: a new QEMU on the template's memory, its state from a file
 *	boot	no template at all: forkvm boots the guest anew
 */
#ifndef FORKVM_BENCH_PEER_PEER_H
#define FORKVM_BENCH_PEER_PEER_H

#include "bench/storm/storm.h"

#define PEER_TEXT      400
#define PEER_QEMU_STUB "qemu-" /* guest/qemu-hello is the stub hello, made for QEMU */

struct peer {
	const char *name;
	char what[PEER_TEXT]; /* program and settings, for the report             */
	size_t count, ok;
	struct storm_failures failures;
	struct samples latency;	 /* nanoseconds: from the exec to the verified answer */
	struct samples restored; /* of it, until the guest runs; may be empty         */
	double seconds;		 /* first exec to last answer                         */
	struct storm_memory memory;
	uint64_t template_ns; /* boot of its template; 0: it has none              */
	uint64_t state_bytes; /* beside the memory                                 */
};

/*
 * Measure one. A new peer, or NULL after saying on stderr why it cannot be measured; clones that
 * fail are in the result.
 */
struct peer *peer_qemu(const struct storm_options *options);
struct peer *peer_boot(const struct storm_options *options);

/* NULL is fine. */
void peer_free(struct peer *peer);

#endif
