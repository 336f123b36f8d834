/* SPDX-License-Identifier: MIT */
/*
 * Small files: see file.h.
 */
#include "guest-stubs/agent/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int file_read(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	int rc = 0;

	if (fd < 0)
		return -errno;
	while (len < size - 1) {
		ssize_t got = read(fd, buffer + len, size - 1 - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			rc = -errno;
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	close(fd);
	buffer[len] = '\0';
	return rc < 0 ? rc : (int)len;
}

int file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	size_t len = strlen(text);
	ssize_t put;
	int rc = 0;

	if (fd < 0)
		return -errno;
	put = write(fd, text, len);
	if (put < 0)
		rc = -errno;
	else if ((size_t)put != len)
		rc = -EIO;
	if (close(fd) < 0 && rc == 0)
		rc = -errno;
	return rc;
}

int file_read_number(const char *path, uint64_t *ret_number)
{
	char buffer[32], *end;
	uint64_t number;
	int rc = file_read(path, buffer, sizeof(buffer));

	if (rc < 0)
		return rc;
	errno = 0;
	number = strtoull(buffer, &end, 10);
	if (errno || end == buffer)
		return -EINVAL;
	*ret_number = number;
	return 0;
}

int file_write_number(const char *path, uint64_t number)
{
	char buffer[32];

	snprintf(buffer, sizeof(buffer), "%" PRIu64 "\n", number);
	return file_write(path, buffer);
}
