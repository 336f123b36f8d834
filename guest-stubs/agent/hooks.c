/* SPDX-License-Identifier: MIT */
/*
 * Hooks: see hooks.h.
 */
#include "guest-stubs/agent/hooks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest-stubs/agent/log.h"
#include "guest-stubs/agent/spawn.h"

bool hooks_name_counts(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-";

	return *name && name[strspn(name, allowed)] == '\0';
}

static bool is_program(int dir, const char *name)
{
	struct stat about;

	return fstatat(dir, name, &about, 0) == 0 && S_ISREG(about.st_mode) &&
	       faccessat(dir, name, X_OK, AT_EACCESS) == 0;
}

static int by_name(const void *left, const void *right)
{
	return strcmp(*(char *const *)left, *(char *const *)right);
}

int hooks_find(struct hooks *hooks, const char *dir)
{
	DIR *stream = opendir(dir);
	struct dirent *entry;
	int rc = 0;

	hooks->count = 0;
	if (!stream)
		return errno == ENOENT ? 0 : -errno;
	while (rc == 0 && (entry = readdir(stream))) {
		if (!hooks_name_counts(entry->d_name) || !is_program(dirfd(stream), entry->d_name))
			continue;
		if (hooks->count == HOOKS_MAX)
			rc = -E2BIG;
		else if (asprintf(&hooks->paths[hooks->count], "%s/%s", dir, entry->d_name) < 0)
			rc = -ENOMEM;
		else
			hooks->count++;
	}
	closedir(stream);
	qsort(hooks->paths, hooks->count, sizeof(hooks->paths[0]), by_name);
	return rc;
}

void hooks_run(const struct hooks *hooks, struct identity *identity,
	       struct environment *environment, uint64_t timeout_s)
{
	for (size_t i = 0; i < hooks->count; i++) {
		const char *const argv[] = {hooks->paths[i], NULL};
		const struct command command = {
			.argv = argv,
			.envp = environment->variables,
			.timeout_s = timeout_s,
		};
		struct outcome outcome;
		char words[64];
		int rc = spawn_run(&command, &outcome);

		identity->hooks_run++;
		if (rc == 0 && outcome_is_success(&outcome))
			continue;
		identity->hooks_failed++;
		log_warn("hook %s: %s", hooks->paths[i],
			 rc < 0 ? strerror(-rc) : outcome_describe(&outcome, words, sizeof(words)));
	}
}
