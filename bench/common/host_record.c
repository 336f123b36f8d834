/* SPDX-License-Identifier: MIT */
/* What a reader must know of the host; see host_record.h. */
#define _GNU_SOURCE
#include "bench/common/host_record.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench/common/cpu_latency.h"

#define UNKNOWN "unknown"

static void put(char *text, const char *value)
{
	snprintf(text, HOST_TEXT, "%s", value);
}

/* The first line of a file, or "unknown". */
static void read_line(const char *path, char *text)
{
	FILE *file = fopen(path, "re");

	put(text, UNKNOWN);
	if (!file)
		return;
	if (!fgets(text, HOST_TEXT, file))
		put(text, UNKNOWN);
	fclose(file);
	text[strcspn(text, "\n")] = '\0';
}

/* The choice in brackets of a line such as "always [madvise] never". */
static void read_choice(const char *path, char *text)
{
	char line[HOST_TEXT], *start, *end;

	read_line(path, line);
	start = strchr(line, '[');
	end = start ? strchr(start, ']') : NULL;
	if (end)
		*end = '\0';
	put(text, end ? start + 1 : line);
}

/*
 * A coarse clock advances once a tick, and says so: its resolution is 1/HZ. (The kernel's
 * configuration would say too, but not every host shows it.)
 */
static int ticks_per_second(void)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) != 0 || tick.tv_sec != 0 ||
	    tick.tv_nsec <= 0)
		return 0;
	return (int)((1000000000L + tick.tv_nsec / 2) / tick.tv_nsec);
}

/* Is the module parameter at path switched on? */
static int is_on(const char *path)
{
	char value[HOST_TEXT];

	read_line(path, value);
	return value[0] == 'Y' || value[0] == '1';
}

static void find_kvm(struct host_record *record)
{
	static const char *const modules[] = {"kvm_intel", "kvm_amd", "kvm_pvm"};

	put(record->kvm_module, UNKNOWN);
	put(record->paging, UNKNOWN);
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		char path[HOST_TEXT];

		snprintf(path, sizeof(path), "/sys/module/%s", modules[i]);
		if (access(path, F_OK) == 0)
			put(record->kvm_module, modules[i]);
	}
	if (is_on("/sys/module/kvm_intel/parameters/ept"))
		put(record->paging, "ept");
	else if (is_on("/sys/module/kvm_amd/parameters/npt"))
		put(record->paging, "npt");
	else if (strcmp(record->kvm_module, UNKNOWN) != 0)
		put(record->paging, "shadow");
	read_line("/sys/module/kvm/parameters/nx_huge_pages", record->nx_huge_pages);
}

static void find_cpu(struct host_record *record)
{
	char line[512], *colon;
	cpu_set_t set;
	FILE *file = fopen("/proc/cpuinfo", "re");

	put(record->cpu, UNKNOWN);
	while (file && fgets(line, sizeof(line), file)) {
		colon = strchr(line, ':');
		if (!colon || strncmp(line, "model name", 10) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(record->cpu, HOST_TEXT, "%.*s", HOST_TEXT - 1, colon + 2);
		break;
	}
	if (file)
		fclose(file);
	record->cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 0;
}

/* The controllers of the v2 hierarchy wherever it is mounted, and whether v1 is there besides. */
static void find_cgroup(struct host_record *record)
{
	char line[1024], path[512], controllers[HOST_TEXT] = "";
	int v1 = 0, v2 = 0;
	FILE *file = fopen("/proc/self/mounts", "re");

	while (file && fgets(line, sizeof(line), file)) {
		char where[400], kind[64];

		if (sscanf(line, "%*s %399s %63s", where, kind) != 2)
			continue;
		if (strcmp(kind, "cgroup") == 0)
			v1 = 1;
		if (strcmp(kind, "cgroup2") != 0)
			continue;
		v2 = 1;
		snprintf(path, sizeof(path), "%s/cgroup.controllers", where);
		read_line(path, controllers);
	}
	if (file)
		fclose(file);
	snprintf(record->cgroup, HOST_TEXT, "%s%s%s", v2 ? "v2" : "", v1 && v2 ? "+" : "",
		 v1 ? "v1" : "");
	if (!v1 && !v2)
		put(record->cgroup, "none");
	if (controllers[0]) {
		size_t used = strlen(record->cgroup);

		snprintf(record->cgroup + used, HOST_TEXT - used, ", v2 controllers: %.120s",
			 controllers);
	}
}

void host_record_take(struct host_record *ret)
{
	struct utsname name;
	struct rlimit limit;

	memset(ret, 0, sizeof(*ret));
	put(ret->kernel, uname(&name) == 0 ? name.release : UNKNOWN);
	put(ret->kernel_build, uname(&name) == 0 ? name.version : UNKNOWN);
	ret->hz = ticks_per_second();
	find_kvm(ret);
	find_cpu(ret);
	ret->memory_mib = sysconf(_SC_PHYS_PAGES) / (1048576 / sysconf(_SC_PAGESIZE));
	read_choice("/sys/kernel/mm/transparent_hugepage/enabled", ret->thp);
	read_choice("/sys/kernel/mm/transparent_hugepage/shmem_enabled", ret->thp_shmem);
	find_cgroup(ret);
	read_line("/proc/sys/vm/overcommit_memory", ret->overcommit);
	read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource",
		  ret->clocksource);
	read_line("/sys/devices/system/cpu/cpuidle/current_governor_ro", ret->idle);
	ret->cpu_latency_us = cpu_latency_read();
	ret->max_files = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (long)limit.rlim_max : 0;
}

static json_t *json_cpu_latency(long us)
{
	if (us == CPU_LATENCY_UNKNOWN)
		return json_string(UNKNOWN);
	return us == CPU_LATENCY_ANY ? json_string("any") : json_integer(us);
}

json_t *host_record_json(const struct host_record *record)
{
	json_t *hz = record->hz ? json_integer(record->hz) : json_string(UNKNOWN);

	return json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:s, "
			 "s:s, s:o, s:I}",
			 "kernel", record->kernel, "kernel_build", record->kernel_build, "hz", hz,
			 "kvm_module", record->kvm_module, "paging", record->paging,
			 "nx_huge_pages", record->nx_huge_pages, "cpu", record->cpu, "cpus",
			 record->cpus, "memory_mib", (json_int_t)record->memory_mib, "thp",
			 record->thp, "thp_shmem", record->thp_shmem, "cgroup", record->cgroup,
			 "overcommit", record->overcommit, "clocksource", record->clocksource,
			 "idle", record->idle, "cpu_latency_us",
			 json_cpu_latency(record->cpu_latency_us), "max_files",
			 (json_int_t)record->max_files);
}
