/* SPDX-License-Identifier: MIT */
/* What living clones cost; see memory.h. */
#include "bench/storm/memory.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE_MAX	200

#define SETTLE_STEP_NS	200000000L
#define FIRST_STEPS_MAX 125  /* 25 seconds: a first look must not take a minute */
#define AGAIN_STEPS_MAX 600  /* who asks for a second one has time              */
#define SETTLE_RISE_KIB 2048 /* less than this is not a rise */

/*
 * Wait until the host has got back what ended processes held: that can take it half a minute, where
 * freed pages are reported to a hypervisor first. Counting from before that would flatter us.
 * False when it was still rising at the end of our patience.
 */
static bool settle(struct host_memory *now, unsigned int quiet_steps, unsigned int most_steps)
{
	const struct timespec step = {.tv_nsec = SETTLE_STEP_NS};
	unsigned int quiet = 0;
	long highest;

	if (host_memory_read(now) < 0)
		return false;
	highest = now->available;

	for (unsigned int i = 0; i < most_steps && quiet < quiet_steps; i++) {
		if (i == quiet_steps && isatty(STDERR_FILENO))
			fprintf(stderr, "\rwaiting for the host's memory to settle ...");
		nanosleep(&step, NULL);
		if (host_memory_read(now) < 0)
			return false;
		quiet++;
		if (now->available > highest + SETTLE_RISE_KIB) {
			highest = now->available;
			quiet = 0;
		}
	}
	return quiet == quiet_steps;
}

void memory_start(struct storm_memory *memory, unsigned int quiet_steps)
{
	*memory = (struct storm_memory){0};
	memory->settled = settle(&memory->before, quiet_steps, FIRST_STEPS_MAX);
	memory->peak = memory->before;
}

void memory_curve_point(struct storm_memory *memory, size_t alive)
{
	struct host_memory now;

	if (memory->curve_count == STORM_CURVE_POINTS || host_memory_read(&now) < 0)
		return;
	memory->curve[memory->curve_count].alive = alive;
	memory->curve[memory->curve_count].available_kib = memory->before.available - now.available;
	memory->curve_count++;
}

void memory_sample(struct storm_memory *memory, const pid_t *pids, size_t count)
{
	size_t step = count > SAMPLE_MAX ? count / SAMPLE_MAX : 1;
	size_t taken = 0;

	memory->alive = count;
	/* First, while nothing has been read that would cost memory itself. */
	host_memory_read(&memory->peak);
	memory_curve_point(memory, count);
	for (size_t i = 0; i < count && taken < SAMPLE_MAX; i += step) {
		struct process_memory process;

		if (process_memory_read(pids[i], &process) < 0)
			continue;
		memory->rss += (double)process.rss;
		memory->pss += (double)process.pss;
		memory->private += (double)process.private;
		memory->private_dirty += (double)process.private_dirty;
		memory->page_tables += (double)process.page_tables;
		taken++;
	}
	memory->sampled = taken;
	if (taken == 0)
		return;
	memory->rss /= (double)taken;
	memory->pss /= (double)taken;
	memory->private /= (double)taken;
	memory->private_dirty /= (double)taken;
	memory->page_tables /= (double)taken;
}

void memory_look_again(struct storm_memory *ret, const struct storm_memory *first,
		       unsigned int quiet_steps, const pid_t *pids, size_t count)
{
	*ret = (struct storm_memory){.before = first->before, .settled = first->settled};
	ret->settled &= settle(&ret->peak, quiet_steps, AGAIN_STEPS_MAX);
	memory_sample(ret, pids, count);
}
