/* SPDX-License-Identifier: MIT */
/*
 * Small things everybody needs: sizes, rounding, overflow tests, the clock.
 */
#ifndef FORKVM_VMM_BASE_UTIL_H
#define FORKVM_VMM_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define KIB		  1024ull
#define MIB		  (1024ull * KIB)
#define GIB		  (1024ull * MIB)

#define PAGE_BYTES	  4096ull /* the guest's and the host's page on x86 */

#define NS_PER_SEC	  1000000000ull
#define NS_PER_MS	  (NS_PER_SEC / 1000)

/* Round to a power of two. */
static inline uint64_t round_down(uint64_t value, uint64_t power)
{
	return value & ~(power - 1);
}

/* The caller makes sure that value + power - 1 does not overflow. */
static inline uint64_t round_up(uint64_t value, uint64_t power)
{
	return round_down(value + power - 1, power);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Nanoseconds of one of the kernel's clocks. */
static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

/* CLOCK_MONOTONIC, comparable between processes. */
static inline uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

#endif
