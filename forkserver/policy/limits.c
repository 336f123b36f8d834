/* SPDX-License-Identifier: MIT */
/* How many clones can be alive: see limits.h. */
#include "forkserver/policy/limits.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/util.h"

/* Files of a clone: VM, vCPUs (as many as there are), its pidfd; its client's answer socket is two.
 */
#define FILES_BESIDE_VCPUS 4u

/* Memory that a process's own writable mappings commit, beside the guest's RAM. */
#define COMMIT_KIB	   1024u

/* Names for programs and for people, what is counted, and what raises it (of a cgroup's limit: see
 * limits_remedy). */
static const struct {
	const char *key, *name, *unit, *remedy;
} kinds[] = {
	[LIMITS_OPEN_FILES] =
		{"open_files", "the limit on open files", "",
		 "ulimit -Hn 1048576 before the server starts (systemd: LimitNOFILE=)"},
	[LIMITS_PID_MAX] = {"pid_max", "kernel.pid_max", "", "sysctl -w kernel.pid_max=4194304"},
	[LIMITS_THREADS_MAX] = {"threads_max", "kernel.threads-max", "",
				"sysctl -w kernel.threads-max=4194304"},
	[LIMITS_USER_TASKS] = {"user_processes", "the limit on the user's processes", "",
			       "ulimit -Hu unlimited before the server starts (systemd: "
			       "LimitNPROC=infinity)"},
	[LIMITS_CGROUP_PIDS] = {"cgroup_pids", "the cgroup's pids.max", "", NULL},
	[LIMITS_FILE_MAX] = {"file_max", "fs.file-max", "",
			     "sysctl -w fs.file-max=9223372036854775807"},
	[LIMITS_MEMORY] = {"memory", "the host's free memory", " KiB",
			   "add memory, or end what holds it"},
	[LIMITS_CGROUP_MEMORY] = {"cgroup_memory", "the cgroup's memory limit", " KiB", NULL},
	[LIMITS_COMMIT] = {"commit", "the limit on committed memory", " KiB",
			   "sysctl -w vm.overcommit_memory=0 (2 counts all of the RAM for each "
			   "clone)"},
};

static_assert(ARRAY_SIZE(kinds) == LIMITS_COUNT_, "each kind is described");

const char *limits_key(enum limits_kind kind)
{
	return kinds[kind].key;
}

const char *limits_name(enum limits_kind kind)
{
	return kinds[kind].name;
}

static void set_needs(const struct limits_clone *clone, uint64_t needs[LIMITS_COUNT_])
{
	const uint64_t tasks = 1 + clone->further_threads + clone->kernel_tasks;
	const uint64_t kib =
		clone->base_kib + clone->slot_bytes / 1024 * clone->reverse_map_bytes / MIB;

	needs[LIMITS_OPEN_FILES] = 1;
	needs[LIMITS_PID_MAX] = tasks;
	needs[LIMITS_THREADS_MAX] = tasks;
	needs[LIMITS_USER_TASKS] = tasks;
	needs[LIMITS_CGROUP_PIDS] = tasks;
	needs[LIMITS_FILE_MAX] = FILES_BESIDE_VCPUS + clone->vcpus;
	needs[LIMITS_MEMORY] = kib;
	needs[LIMITS_CGROUP_MEMORY] = kib;
	needs[LIMITS_COMMIT] = clone->ram_size / 1024 + COMMIT_KIB;
}

/* For how many the rest of a pool is enough. */
static uint64_t room(const struct limits_pool *pool, uint64_t need)
{
	if (pool->limit == UINT64_MAX)
		return UINT64_MAX;
	return pool->limit > pool->used && need ? (pool->limit - pool->used) / need : 0;
}

void limits_judge(const struct limits_readings *readings, const struct limits_clone *clone,
		  struct limits_verdict *ret)
{
	*ret = (struct limits_verdict){.tightest = LIMITS_OPEN_FILES};
	set_needs(clone, ret->needs);
	for (unsigned int kind = 0; kind < LIMITS_COUNT_; kind++) {
		ret->clones[kind] = room(&readings->pools[kind], ret->needs[kind]);
		if (ret->clones[kind] < ret->clones[ret->tightest])
			ret->tightest = (enum limits_kind)kind;
	}
}

void limits_describe(const struct limits_readings *readings, const struct limits_verdict *verdict,
		     enum limits_kind kind, char ret[LIMITS_TEXT_SIZE])
{
	const struct limits_pool *pool = &readings->pools[kind];
	const char *unit = kinds[kind].unit;

	if (pool->limit == UINT64_MAX) {
		snprintf(ret, LIMITS_TEXT_SIZE, "unlimited");
		return;
	}
	snprintf(ret, LIMITS_TEXT_SIZE,
		 "%" PRIu64 "%s, of which %" PRIu64 " are taken; a clone takes %s%" PRIu64 "%s",
		 pool->limit, unit, pool->used, *unit ? "about " : "", verdict->needs[kind], unit);
}

void limits_remedy(const struct limits_readings *readings, enum limits_kind kind,
		   char ret[LIMITS_TEXT_SIZE])
{
	const char *const file =
		kind == LIMITS_CGROUP_PIDS ? readings->cgroup_pids : readings->cgroup_memory;
	/* Version 1 of the memory controller has a word of its own for "no limit". */
	const char *const none = strstr(file, "limit_in_bytes") ? "-1" : "max";

	if (kinds[kind].remedy)
		snprintf(ret, LIMITS_TEXT_SIZE, "%s", kinds[kind].remedy);
	else
		snprintf(ret, LIMITS_TEXT_SIZE, "echo %s >%s (systemd: %s=infinity)", none, file,
			 kind == LIMITS_CGROUP_PIDS ? "TasksMax" : "MemoryMax");
}
