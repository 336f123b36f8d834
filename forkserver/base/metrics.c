/* SPDX-License-Identifier: MIT */
/*
 * Histograms with logarithmic buckets: fixed size, any range, no sorting.
 */
#include "forkserver/base/metrics.h"

/*
 * Values below 8 have a bucket each; above, the place of the highest bit and the three bits after
 * it choose one.
 */
static unsigned int bucket_of(uint64_t value)
{
	unsigned int exponent;

	if (value < 8)
		return (unsigned int)value;
	exponent = 63 - (unsigned int)__builtin_clzll(value);
	return (exponent - 2) * 8 + (unsigned int)(value >> (exponent - 3) & 7);
}

/* The largest value of a bucket. */
static uint64_t bucket_top(unsigned int bucket)
{
	unsigned int exponent = bucket / 8 + 2;

	if (bucket < 8)
		return bucket;
	return ((uint64_t)(8 + bucket % 8 + 1) << (exponent - 3)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	if (!histogram->count || value < histogram->min)
		histogram->min = value;
	if (value > histogram->max)
		histogram->max = value;
	histogram->count++;
	histogram->buckets[bucket_of(value)]++;
}

uint64_t histogram_quantile(const struct histogram *histogram, unsigned int permille)
{
	uint64_t rank = (histogram->count * permille + 999) / 1000;
	uint64_t seen = 0;

	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen && seen >= rank) {
			uint64_t top = bucket_top(i);

			return top < histogram->max ? top : histogram->max;
		}
	}
	return 0;
}
