/* SPDX-License-Identifier: MIT */
/* A series of measurements and its percentiles; see samples.h. */
#include "bench/common/samples.h"

#include <stdio.h>
#include <stdlib.h>

void samples_reserve(struct samples *samples, size_t capacity)
{
	uint64_t *values;

	if (capacity <= samples->capacity)
		return;
	values = reallocarray(samples->values, capacity, sizeof(*values));
	if (!values) {
		fprintf(stderr, "no memory for %zu samples\n", capacity);
		exit(1);
	}
	samples->values = values;
	samples->capacity = capacity;
}

void samples_add(struct samples *samples, uint64_t value)
{
	if (samples->count == samples->capacity)
		samples_reserve(samples, samples->capacity ? samples->capacity * 2 : 1024);
	samples->values[samples->count++] = value;
}

void samples_done(struct samples *samples)
{
	free(samples->values);
	*samples = (struct samples){0};
}

static int compare(const void *left, const void *right)
{
	const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

/* Nearest rank: the smallest value that at least permille of the series do not exceed. */
static double at_permille(const struct samples *samples, size_t permille)
{
	size_t rank = (samples->count * permille + 999) / 1000;

	return (double)samples->values[rank ? rank - 1 : 0];
}

struct summary samples_summarise(struct samples *samples, double scale)
{
	double total = 0;

	if (samples->count == 0)
		return (struct summary){0};
	qsort(samples->values, samples->count, sizeof(*samples->values), compare);
	for (size_t i = 0; i < samples->count; i++)
		total += (double)samples->values[i];
	return (struct summary){
		.p50 = at_permille(samples, 500) / scale,
		.p90 = at_permille(samples, 900) / scale,
		.p99 = at_permille(samples, 990) / scale,
		.p999 = at_permille(samples, 999) / scale,
		.max = at_permille(samples, 1000) / scale,
		.mean = total / (double)samples->count / scale,
	};
}
