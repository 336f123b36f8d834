/* SPDX-License-Identifier: MIT */
/*
 * Kernel modules: see modules.h. finit_module(2).
 */
#include "guest-stubs/agent/modules.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guest-stubs/agent/log.h"
#include "guest-stubs/agent/text.h"

#define PATH_SIZE 4096

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE 4
#endif

bool modules_split(char *line, const char **ret_path, const char **ret_parameters)
{
	char *at;

	text_trim(line);
	while (isspace((unsigned char)*line))
		line++;
	if (!*line || *line == '#')
		return false;
	for (at = line; *at && !isspace((unsigned char)*at); at++)
		;
	if (*at)
		*at++ = '\0';
	while (isspace((unsigned char)*at))
		at++;
	*ret_path = line;
	*ret_parameters = at;
	return true;
}

/* Kernels since 5.17 unpack modules themselves, when they are told to. */
static int flags_for(const char *path)
{
	static const char *const packed[] = {".xz", ".zst", ".gz"};
	size_t len = strlen(path);

	for (size_t i = 0; i < sizeof(packed) / sizeof(packed[0]); i++) {
		size_t end = strlen(packed[i]);

		if (len > end && strcmp(path + len - end, packed[i]) == 0)
			return MODULE_INIT_COMPRESSED_FILE;
	}
	return 0;
}

static int insert(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, parameters, flags_for(path)) < 0 && errno != EEXIST)
		rc = -errno;
	close(fd);
	return rc;
}

/* 1 when it could not be done. */
static unsigned int insert_line(const char *dir, char *line)
{
	const char *name, *parameters;
	char path[PATH_SIZE];
	int rc;

	if (!modules_split(line, &name, &parameters))
		return 0;
	snprintf(path, sizeof(path), "%s%s%s", *name == '/' ? "" : dir, *name == '/' ? "" : "/",
		 name);
	rc = insert(path, parameters);
	if (rc < 0)
		log_warn("module %s: %s", path, strerror(-rc));
	else
		log_debug("module %s", path);
	return rc < 0;
}

static unsigned int insert_listed(const char *dir, const char *list)
{
	FILE *file = fopen(list, "re");
	unsigned int failed = 0;
	size_t size = 0;
	char *line = NULL;

	if (!file) {
		if (errno != ENOENT)
			log_warn("%s: %s", list, strerror(errno));
		return 0;
	}
	while (getline(&line, &size, file) >= 0)
		failed += insert_line(dir, line);
	free(line);
	fclose(file);
	return failed;
}

unsigned int modules_insert(const struct options *options)
{
	unsigned int failed = insert_listed(options->modules_dir, options->modules_list);

	for (size_t i = 0; i < options->modules.count; i++) {
		char *line = strdup(options->modules.items[i]);

		failed += line ? insert_line(options->modules_dir, line) : 1;
		free(line);
	}
	return failed;
}
