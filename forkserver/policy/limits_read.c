/* SPDX-License-Identifier: MIT */
/* What a host says of its limits: see limits_read.h. */
#include "forkserver/policy/limits_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "forkserver/policy/host_file.h"
#include "vmm/base/util.h"

#define FILE_SIZE  32768u /* the list of mounts is the longest */
#define V1_MEMORY  "memory.limit_in_bytes"
#define V1_NOTHING (UINT64_MAX / 4) /* version 1 says "no limit" by a number near 2^63 */

/* Where a controller's files are: the mount point and this process's cgroup below it. */
struct cgroup {
	char mount[LIMITS_PATH_SIZE];
	char path[LIMITS_PATH_SIZE]; /* "/a/b" or "/" */
	bool is_v1;
};

/* The number at the start of a text; UINT64_MAX for anything else, as "max". */
static uint64_t number_at(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	return end == text ? UINT64_MAX : value;
}

static uint64_t read_number(const char *root, const char *path)
{
	char text[FILE_SIZE];

	return host_file_read(root, path, text, sizeof(text)) ? number_at(text) : UINT64_MAX;
}

/* The number after name at the start of a line; otherwise 0. */
static uint64_t field(const char *text, const char *name)
{
	const size_t len = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) == 0)
			return strtoull(line + len, NULL, 10);
	}
	return 0;
}

/* After its first round the kernel gives none below this (RESERVED_PIDS). */
#define RESERVED_PIDS 300u

/* The host's tasks: the fourth word of /proc/loadavg is "running/all". */
static uint64_t count_tasks(const char *root)
{
	char text[FILE_SIZE];
	const char *slash = host_file_read(root, "/proc/loadavg", text, sizeof(text))
				    ? strchr(text, '/')
				    : NULL;

	return slash ? number_at(slash + 1) : 0;
}

static void read_memory(const char *root, struct limits_readings *ret)
{
	char text[FILE_SIZE];

	if (!host_file_read(root, "/proc/meminfo", text, sizeof(text)))
		return;
	ret->pools[LIMITS_MEMORY].limit = field(text, "MemTotal:");
	ret->pools[LIMITS_MEMORY].used =
		ret->pools[LIMITS_MEMORY].limit - field(text, "MemAvailable:");
	if (read_number(root, "/proc/sys/vm/overcommit_memory") != 2)
		return;
	ret->pools[LIMITS_COMMIT].limit = field(text, "CommitLimit:");
	ret->pools[LIMITS_COMMIT].used = field(text, "Committed_AS:");
}

static void read_limit(int resource, struct limits_pool *ret)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) == 0 &&
	    limit.rlim_max != RLIM_INFINITY)
		*ret = (struct limits_pool){.limit = limit.rlim_max};
}

/* RLIMIT_NPROC is not for the host's root, not even without capabilities; another root is a user.
 */
static bool is_host_root(const char *root)
{
	unsigned long inside, outside, count;
	char text[FILE_SIZE];

	return getuid() == 0 && host_file_read(root, "/proc/self/uid_map", text, sizeof(text)) &&
	       sscanf(text, "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == outside;
}

/* Is name one of the words of a list with commas? */
static bool has_word(const char *list, const char *name)
{
	const size_t len = strlen(name);

	for (const char *at = strstr(list, name); at; at = strstr(at + 1, name)) {
		if ((at == list || at[-1] == ',') &&
		    (at[len] == ',' || !at[len] || at[len] == '\n'))
			return true;
	}
	return false;
}

/*
 * The path in /proc/self/cgroup, lines of ID:CONTROLLERS:PATH. Version 2's has no controllers, and
 * counts where version 1 does not have the controller.
 */
static bool find_path(const char *root, const char *controller, struct cgroup *ret)
{
	char text[FILE_SIZE], *rest = text, *line;
	bool found = false;

	if (!host_file_read(root, "/proc/self/cgroup", text, sizeof(text)))
		return false;
	while (!ret->is_v1 && (line = strsep(&rest, "\n"))) {
		char *list = strchr(line, ':');
		char *path = list ? strchr(list + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		list++;
		ret->is_v1 = has_word(list, controller);
		if (!ret->is_v1 && *list)
			continue;
		snprintf(ret->path, sizeof(ret->path), "%s", path);
		found = true;
	}
	return found;
}

/* The mount that shows it: in mountinfo (proc(5)) "... ROOT POINT OPTIONS ... - TYPE SOURCE SUPER".
 */
static bool find_mount(const char *root, const char *controller, struct cgroup *ret)
{
	char text[FILE_SIZE], *rest = text, *line;

	if (!host_file_read(root, "/proc/self/mountinfo", text, sizeof(text)))
		return false;
	while ((line = strsep(&rest, "\n"))) {
		char mounted[LIMITS_PATH_SIZE], type[16], super[256];
		const char *tail = strstr(line, " - ");

		if (!tail || sscanf(tail, " - %15s %*s %255s", type, super) != 2 ||
		    sscanf(line, "%*s %*s %*s %511s %511s", mounted, ret->mount) != 2)
			continue;
		if (ret->is_v1 ? strcmp(type, "cgroup") != 0 || !has_word(super, controller)
			       : strcmp(type, "cgroup2") != 0)
			continue;
		/* A container may be shown a part only: then its paths begin there. */
		if (strcmp(mounted, "/") != 0 && strncmp(ret->path, mounted, strlen(mounted)) == 0)
			memmove(ret->path, ret->path + strlen(mounted),
				strlen(ret->path + strlen(mounted)) + 1);
		return true;
	}
	return false;
}

/* Files of a controller: the limit, what is used of it, and in which unit we count. */
struct controller {
	const char *name, *limit, *used;
	uint64_t divisor;
	bool has_cache; /* of what is used, page cache can be had back */
};

/* That of one cgroup; tighter than *ret: takes its place. */
static void read_group(const char *root, const char *group, const struct controller *controller,
		       struct limits_pool *ret, char ret_path[LIMITS_PATH_SIZE])
{
	char path[2 * LIMITS_PATH_SIZE + 64], text[FILE_SIZE];
	struct limits_pool pool;

	snprintf(path, sizeof(path), "%s/%s", group, controller->used);
	pool.used = read_number(root, path);
	snprintf(path, sizeof(path), "%s/memory.stat", group);
	if (controller->has_cache && host_file_read(root, path, text, sizeof(text)))
		pool.used -= min_u64(pool.used, field(text, "inactive_file "));
	snprintf(path, sizeof(path), "%s/%s", group, controller->limit);
	pool.limit = read_number(root, path);
	if (pool.limit >= V1_NOTHING || pool.used == UINT64_MAX)
		return;
	pool.limit /= controller->divisor;
	pool.used /= controller->divisor;
	if (ret->limit != UINT64_MAX && ret->limit - min_u64(ret->used, ret->limit) <=
						pool.limit - min_u64(pool.used, pool.limit))
		return;
	*ret = pool;
	snprintf(ret_path, LIMITS_PATH_SIZE, "%.*s", (int)LIMITS_PATH_SIZE - 1, path);
}

/* From this process's cgroup up to where the hierarchy is mounted. */
static void read_groups(const char *root, const struct controller *v1, const struct controller *v2,
			struct limits_pool *ret, char ret_path[LIMITS_PATH_SIZE])
{
	struct cgroup cgroup = {.is_v1 = false};
	const struct controller *controller;

	if (!find_path(root, v1->name, &cgroup) || !find_mount(root, v1->name, &cgroup))
		return;
	controller = cgroup.is_v1 ? v1 : v2;
	for (;;) {
		char group[2 * LIMITS_PATH_SIZE];
		char *slash;

		snprintf(group, sizeof(group), "%s%s", cgroup.mount,
			 strcmp(cgroup.path, "/") == 0 ? "" : cgroup.path);
		read_group(root, group, controller, ret, ret_path);
		slash = strrchr(cgroup.path, '/');
		if (!slash)
			return;
		*slash = '\0';
	}
}

void limits_read(const char *root, struct limits_readings *ret)
{
	static const struct controller pids = {"pids", "pids.max", "pids.current", 1, false};
	static const struct controller memory = {"memory", "memory.max", "memory.current", 1024,
						 true};
	static const struct controller memory_v1 = {"memory", V1_MEMORY, "memory.usage_in_bytes",
						    1024, true};

	*ret = (struct limits_readings){0};
	for (unsigned int kind = 0; kind < LIMITS_COUNT_; kind++)
		ret->pools[kind].limit = UINT64_MAX;
	read_limit(RLIMIT_NOFILE, &ret->pools[LIMITS_OPEN_FILES]);
	if (!is_host_root(root))
		read_limit(RLIMIT_NPROC, &ret->pools[LIMITS_USER_TASKS]);
	ret->pools[LIMITS_PID_MAX] = (struct limits_pool){
		read_number(root, "/proc/sys/kernel/pid_max"), count_tasks(root) + RESERVED_PIDS};
	ret->pools[LIMITS_THREADS_MAX] = (struct limits_pool){
		read_number(root, "/proc/sys/kernel/threads-max"), count_tasks(root)};
	ret->pools[LIMITS_FILE_MAX] =
		(struct limits_pool){read_number(root, "/proc/sys/fs/file-max"),
				     read_number(root, "/proc/sys/fs/file-nr")};
	read_memory(root, ret);
	read_groups(root, &pids, &pids, &ret->pools[LIMITS_CGROUP_PIDS], ret->cgroup_pids);
	read_groups(root, &memory_v1, &memory, &ret->pools[LIMITS_CGROUP_MEMORY],
		    ret->cgroup_memory);
}

bool limits_read_has_worker(const char *root)
{
	char text[FILE_SIZE];

	return !host_file_read(root, "/sys/module/kvm/parameters/nx_huge_pages", text,
			       sizeof(text)) ||
	       strncmp(text, "never", 5) != 0;
}
