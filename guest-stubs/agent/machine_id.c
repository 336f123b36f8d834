/* SPDX-License-Identifier: MIT */
/*
 * The machine id: see machine_id.h.
 */
#include "guest-stubs/agent/machine_id.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DBUS_PATH "/var/lib/dbus/machine-id"
#define RUN_PATH  "/run/forkvm-machine-id"

static int write_line(const char *path, int flags, const char *digits)
{
	char line[64];
	int length = snprintf(line, sizeof(line), "%s\n", digits);
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | flags, 0444);
	ssize_t put;
	int rc = 0;

	if (fd < 0)
		return -errno;
	put = write(fd, line, (size_t)length);
	if (put != length)
		rc = put < 0 ? -errno : -EIO;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

static int write_or_cover(const char *path, int flags, const char *digits)
{
	int rc = write_line(path, flags, digits);

	if (rc != -EROFS)
		return rc;
	rc = write_line(RUN_PATH, O_CREAT, digits);
	if (rc < 0)
		return rc;
	return mount(RUN_PATH, path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

int machine_id_write(const char *digits)
{
	struct stat about;
	int rc = write_or_cover(MACHINE_ID_PATH, O_CREAT, digits);

	/* Mostly it is a symbolic link to the other, or is not there. */
	if (lstat(DBUS_PATH, &about) == 0 && S_ISREG(about.st_mode)) {
		int dbus = write_or_cover(DBUS_PATH, 0, digits);

		if (rc == 0)
			rc = dbus;
	}
	return rc;
}
