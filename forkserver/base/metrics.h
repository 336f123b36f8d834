/* SPDX-License-Identifier: MIT */
/*
 * What a server counts about itself.
 */
#ifndef FORKVM_FORKSERVER_BASE_METRICS_H
#define FORKVM_FORKSERVER_BASE_METRICS_H

#include <stdint.h>

#include "forkserver/proto/protocol.h"

/* Eight buckets for each power of two: a quantile is right within an eighth. */
#define HISTOGRAM_BUCKETS 512

struct histogram {
	uint64_t count;
	uint64_t min;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

struct metrics {
	uint64_t started_ns; /* CLOCK_MONOTONIC: when the server was started */

	uint64_t clones_started;
	uint64_t clones_refused;
	uint64_t clones_ended[FORKVM_END_COUNT_];
	unsigned int clones_peak;

	uint64_t connections_accepted;
	uint64_t connections_refused;
	uint64_t connections_evicted;
	unsigned int connections_peak;

	uint64_t requests;
	uint64_t requests_refused;

	struct histogram fork_ns; /* duration of the parent's clone3 */
};

/* Count one value. */
void histogram_add(struct histogram *histogram, uint64_t value);

/* The value that permille thousandths of all are at most; 0 when there is none. */
uint64_t histogram_quantile(const struct histogram *histogram, unsigned int permille);

#endif
