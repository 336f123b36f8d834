/* SPDX-License-Identifier: MIT */
/*
 * Control groups that stand still: see freezer.h. cgroup.freeze and cgroup.events in the kernel's
 * Documentation/admin-guide/cgroup-v2.rst.
 */
#include "guest-stubs/agent/freezer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest-stubs/agent/file.h"
#include "guest-stubs/agent/log.h"

#define ROOT	   "/sys/fs/cgroup"
#define GROUP_SIZE 256
#define PATH_SIZE  (GROUP_SIZE + 64)
#define WAIT_STEPS 100 /* of 10 ms */

bool freezer_holds(const char *group, const char *own)
{
	size_t len = strlen(group);

	while (len > 0 && group[len - 1] == '/')
		len--;
	return strncmp(group, own, len) == 0 && (own[len] == '/' || own[len] == '\0');
}

/* The agent's group, of the unified hierarchy; "" when it has none. */
static void own_group(char group[GROUP_SIZE])
{
	char text[4096], *line;

	*group = '\0';
	if (file_read("/proc/self/cgroup", text, sizeof(text)) < 0)
		return;
	line = strstr(text, "0::");
	if (!line || (line != text && line[-1] != '\n'))
		return;
	line += strlen("0::");
	line[strcspn(line, "\n")] = '\0';
	snprintf(group, GROUP_SIZE, "%s", line);
}

static bool is_frozen(const char *events_path)
{
	char text[256];

	return file_read(events_path, text, sizeof(text)) > 0 && strstr(text, "frozen 1");
}

static int wait_until_frozen(const char group[GROUP_SIZE])
{
	const struct timespec step = {.tv_nsec = 10L * 1000 * 1000};
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), ROOT "%s/cgroup.events", group);
	for (int i = 0; i < WAIT_STEPS; i++) {
		if (is_frozen(path))
			return 0;
		nanosleep(&step, NULL);
	}
	return -ETIMEDOUT;
}

static int stop(struct freezer *freezer, const char group[GROUP_SIZE], const char *own)
{
	char path[PATH_SIZE];
	int fd, rc;

	if (*own && freezer_holds(group, own))
		return -EDEADLK;
	snprintf(path, sizeof(path), ROOT "%s/cgroup.freeze", group);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, "1", 1) != 1) {
		rc = -errno;
		close(fd);
		return rc;
	}
	freezer->switches[freezer->count++] = fd;
	return wait_until_frozen(group);
}

int freezer_stop(struct freezer *freezer, const struct options_list *groups)
{
	char own[GROUP_SIZE], group[GROUP_SIZE];
	int rc = 0;

	own_group(own);
	freezer->count = 0;
	for (size_t i = 0; i < groups->count; i++) {
		const char *name = groups->items[i];
		int one;

		snprintf(group, sizeof(group), "%s%s", *name == '/' ? "" : "/", name);
		one = strlen(name) < GROUP_SIZE - 1 ? stop(freezer, group, own) : -ENAMETOOLONG;
		if (one < 0) {
			log_warn("control group %s does not stand still: %s", name, strerror(-one));
			rc = one;
		}
	}
	return rc;
}

void freezer_go(struct freezer *freezer)
{
	for (size_t i = 0; i < freezer->count; i++) {
		if (write(freezer->switches[i], "0", 1) != 1)
			log_warn("a control group does not go on: %s", strerror(errno));
		close(freezer->switches[i]);
	}
	freezer->count = 0;
}
