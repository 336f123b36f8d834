/* SPDX-License-Identifier: MIT */
/*
 * A series of measurements and its percentiles.
 */
#ifndef FORKVM_BENCH_COMMON_SAMPLES_H
#define FORKVM_BENCH_COMMON_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed is empty. */
struct samples {
	uint64_t *values; /* owned */
	size_t count;
	size_t capacity;
};

/* What is said of a series, in microseconds when the samples are nanoseconds. */
struct summary {
	double p50, p90, p99, p999, max, mean;
};

/* Make room for capacity values ahead of time, so that adding them costs no allocation. */
void samples_reserve(struct samples *samples, size_t capacity);

/* Add a value. Ends the program when there is no memory. */
void samples_add(struct samples *samples, uint64_t value);

void samples_done(struct samples *samples);

/*
 * Percentiles by nearest rank, all of them observed values; sorts the series. All zeros for an
 * empty one. scale divides every value (1000 turns nanoseconds to microseconds).
 */
struct summary samples_summarise(struct samples *samples, double scale);

#endif
