/* SPDX-License-Identifier: MIT */
/* A host made of files: see host.h. */
#include "tests/unit/forkserver/policy/host.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

char host_root[HELPER_PATH_SIZE];

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *walk)
{
	(void)stat;
	(void)type;
	(void)walk;
	return remove(path);
}

void host_set_up(void)
{
	helper_path(host_root, ".host");
	cr_assert_eq(mkdir(host_root, 0700), 0);
}

void host_tear_down(void)
{
	nftw(host_root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void host_put(const char *path, const char *text)
{
	char whole[2 * HELPER_PATH_SIZE];
	FILE *file;

	snprintf(whole, sizeof(whole), "%s%s", host_root, path);
	for (char *slash = whole + strlen(host_root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		cr_assert(mkdir(whole, 0700) == 0 || errno == EEXIST);
		*slash = '/';
	}
	file = fopen(whole, "we");
	cr_assert_not_null(file, "%s", whole);
	fputs(text, file);
	fclose(file);
}
