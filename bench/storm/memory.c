/* SPDX-License-Identifier: MIT */
/* What living clones cost; see memory.h. */
#include "bench/storm/memory.h"

#define SAMPLE_MAX 200

void memory_start(struct storm_memory *memory)
{
	*memory = (struct storm_memory){0};
	host_memory_read(&memory->before);
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
