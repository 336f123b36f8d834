/* SPDX-License-Identifier: MIT */
/*
 * The clock that all measurements go by.
 */
#ifndef FORKVM_BENCH_COMMON_CLOCK_H
#define FORKVM_BENCH_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_SEC 1000000000ull
#define NS_PER_MS  (NS_PER_SEC / 1000)

/* CLOCK_MONOTONIC in nanoseconds: the same for all processes of a host. */
static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

#endif
