/* SPDX-License-Identifier: MIT */
/*
 * The clock that all measurements go by.
 */
#ifndef FORKVM_BENCH_COMMON_CLOCK_H
#define FORKVM_BENCH_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

/* CLOCK_MONOTONIC in nanoseconds: the same for all processes of a host. */
static inline uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
