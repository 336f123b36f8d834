/* SPDX-License-Identifier: MIT */
/* Files of a host: see host_file.h. */
#include "forkserver/policy/host_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "vmm/base/cleanup.h"

bool host_file_read(const char *root, const char *path, char *text, size_t size)
{
	_cleanup_close_ int fd = -1;
	char whole[PATH_MAX];
	size_t used = 0;
	ssize_t len;

	text[0] = '\0';
	if (snprintf(whole, sizeof(whole), "%s%s", root, path) >= (int)sizeof(whole))
		return false;
	fd = open(whole, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	do {
		len = read(fd, text + used, size - 1 - used);
		if (len > 0)
			used += (size_t)len;
	} while (len > 0 || (len < 0 && errno == EINTR));
	text[used] = '\0';
	return used > 0;
}
