/* SPDX-License-Identifier: MIT */
/*
 * The folder of overlays: see overlays.h.
 */
#include "forkserver/storage/overlays.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

#define SUFFIX	 ".overlay"
#define TEMPLATE "template-"

/* Digits at *at, and one character behind them that must be end. */
static bool take_number(const char **at, char end, uint64_t *ret)
{
	char *rest;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*ret = strtoull(*at, &rest, 10);
	if (errno || *rest != end)
		return false;
	*at = rest + 1;
	return true;
}

/* Is that the name of a file of this server's? *ret_number is its clone's, or its run's. */
static bool read_name(const char *name, const char *server_name, uint64_t *ret_number)
{
	size_t len = strlen(server_name);
	uint64_t disk;

	if (strncmp(name, server_name, len) != 0 || name[len] != '-')
		return false;
	name += len + 1;
	if (!strncmp(name, TEMPLATE, strlen(TEMPLATE)))
		name += strlen(TEMPLATE);
	return take_number(&name, '-', ret_number) && take_number(&name, SUFFIX[0], &disk) &&
	       !strcmp(name, &SUFFIX[1]);
}

/* One more than the highest number in use; 0 when there is none. */
static int find_run(int fd, const char *server_name, uint64_t *ret, struct error *error)
{
	/* A descriptor of its own: the stream closes it. */
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	uint64_t run = 0;

	if (!dir) {
		fd_close(&copy);
		return error_set_errno(error, errno, "cannot be read");
	}
	while ((entry = readdir(dir))) {
		uint64_t number;

		if (read_name(entry->d_name, server_name, &number) && number < INT64_MAX)
			run = max_u64(run, number + 1);
	}
	closedir(dir);
	*ret = run;
	return 0;
}

/* Can files be made there? And are they in memory, and without a limit? */
static int probe(struct overlays *overlays, struct error *error)
{
	_cleanup_close_ int file = openat(overlays->fd, ".", OVERLAYS_OPEN_UNNAMED, OVERLAYS_MODE);
	struct statfs found = {0};

	if (file >= 0) {
		overlays->is_tmpfs = fstatfs(file, &found) == 0 && found.f_type == TMPFS_MAGIC;
		overlays->is_memory = overlays->is_tmpfs && !found.f_blocks;
		return 0;
	}
	if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)
		return error_set(error, EOPNOTSUPP,
				 "is on a file system that cannot make unnamed files (O_TMPFILE): "
				 "choose a folder on another, such as ext4, XFS, btrfs or tmpfs");
	return error_set_errno(error, errno, "no file can be made in it");
}

int overlays_open(const char *folder, const char *server_name, struct overlays *ret,
		  struct error *error)
{
	int rc = 0;

	*ret = (struct overlays){.fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	if (ret->fd < 0)
		rc = error_set_errno(error, errno, "cannot be opened");
	else if (!realpath(folder, ret->path))
		rc = error_set_errno(error, errno, "its absolute name cannot be found");
	else if (strlen(server_name) >= OVERLAYS_SERVER_SIZE)
		rc = error_set(error, ENAMETOOLONG,
			       "the server's name is too long to be part of its files' names: at "
			       "most %u bytes",
			       OVERLAYS_SERVER_SIZE - 1);
	if (rc == 0)
		rc = probe(ret, error);
	if (rc == 0)
		rc = find_run(ret->fd, server_name, &ret->run, error);
	if (rc < 0) {
		overlays_close(ret);
		error_prefix(error, "--overlay %.80s", folder);
	}
	return rc;
}

void overlays_close(struct overlays *overlays)
{
	fd_close(&overlays->fd);
}

void overlays_name_template(char name[OVERLAYS_NAME_SIZE], const char *server_name, uint64_t run,
			    unsigned int disk)
{
	snprintf(name, OVERLAYS_NAME_SIZE, "%s-" TEMPLATE "%" PRIu64 "-%u" SUFFIX, server_name, run,
		 disk);
}

void overlays_name_clone(char name[OVERLAYS_NAME_SIZE], const char *server_name, uint64_t clone_id,
			 unsigned int disk)
{
	snprintf(name, OVERLAYS_NAME_SIZE, "%s-%" PRIu64 "-%u" SUFFIX, server_name, clone_id, disk);
}
