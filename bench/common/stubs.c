/* SPDX-License-Identifier: MIT */
/* Where the stubs and the programs of this build are; see stubs.h. */
#define _GNU_SOURCE
#include "bench/common/stubs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_MAX 60 /* leaves a Unix socket's path 40 more */

/* The folder of the running program, without a slash at its end. */
static int own_folder(char folder[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
	char *slash;

	if (length < 0)
		return -errno;
	folder[length] = '\0';
	slash = strrchr(folder, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

static int is_file(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static int put(char ret[STUB_PATH_SIZE], const char *folder, const char *middle, const char *name)
{
	int length = snprintf(ret, STUB_PATH_SIZE, "%s%s%s", folder, middle, name);

	return length < 0 || length >= STUB_PATH_SIZE ? -ENAMETOOLONG : 0;
}

int stub_find(const char *name, char ret[STUB_PATH_SIZE])
{
	char folder[PATH_MAX] = ".";
	char *slash;

	if (own_folder(folder) == 0 && (slash = strrchr(folder, '/')))
		*slash = '\0'; /* beside the programs' folder, not in it */
	if (!strchr(name, '/') && put(ret, folder, "/guest/", name) == 0 && is_file(ret))
		return 0;
	if (is_file(name))
		return put(ret, name, "", "");
	put(ret, folder, "/guest", "");
	return -ENOENT;
}

int program_find(const char *name, char ret[STUB_PATH_SIZE])
{
	char folder[PATH_MAX];
	int rc = own_folder(folder);

	if (rc == 0)
		rc = put(ret, folder, "/", name);
	if (rc < 0)
		return rc;
	return access(ret, X_OK) == 0 ? 0 : -ENOENT;
}

const char *temporary_folder(void)
{
	const char *folder = getenv("TMPDIR");

	return folder && folder[0] == '/' && strlen(folder) <= TEMPORARY_MAX ? folder : "/tmp";
}
