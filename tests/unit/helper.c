/* SPDX-License-Identifier: MIT */
/*
 * What several unit tests need: see helper.h.
 */
#include "tests/unit/helper.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static int make_file(char path[HELPER_PATH_SIZE], const char *suffix)
{
	const char *folder = getenv("TMPDIR");
	int fd;

	snprintf(path, HELPER_PATH_SIZE, "%s/forkvm-unit-XXXXXX%s", folder ? folder : "/tmp",
		 suffix);
	fd = mkstemps(path, (int)strlen(suffix));
	cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
	return fd;
}

void helper_path(char path[HELPER_PATH_SIZE], const char *suffix)
{
	close(make_file(path, suffix));
	unlink(path);
}

void helper_file(char path[HELPER_PATH_SIZE], const char *suffix, const void *bytes, size_t size)
{
	int fd = make_file(path, suffix);

	cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
	close(fd);
}

int helper_in_child(int (*body)(void *context), void *context)
{
	pid_t pid = fork();
	int status = -1;

	cr_assert_geq(pid, 0, "fork: %s", strerror(errno));
	if (pid == 0)
		_exit(body(context));
	while (waitpid(pid, &status, 0) < 0)
		cr_assert_eq(errno, EINTR);
	return status;
}

struct limited {
	int (*body)(void *context);
	void *context;
};

static int limited_body(void *context)
{
	const struct limited *limited = context;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 100;
	limit.rlim_cur = 0;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 101;
	return limited->body(limited->context);
}

int helper_without_descriptors(int (*body)(void *context), void *context)
{
	struct limited limited = {body, context};

	return helper_in_child(limited_body, &limited);
}

size_t helper_count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;
	size_t count = 0;

	cr_assert_not_null(folder);
	while ((entry = readdir(folder)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count - 1; /* the folder itself */
}

/* KVM gives each process that has a VM a thread of its own, from Linux 6.13 on. */
static bool is_kernels(const char *thread)
{
	char path[300], name[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%s/comm", thread);
	file = fopen(path, "re");
	if (!file)
		return true; /* gone by now */
	if (!fgets(name, sizeof(name), file))
		name[0] = '\0';
	fclose(file);
	return strncmp(name, "kvm", 3) == 0;
}

size_t helper_count_threads(void)
{
	DIR *folder = opendir("/proc/self/task");
	const struct dirent *entry;
	size_t count = 0;

	cr_assert_not_null(folder);
	while ((entry = readdir(folder)) != NULL)
		count += entry->d_name[0] != '.' && !is_kernels(entry->d_name);
	closedir(folder);
	return count;
}
