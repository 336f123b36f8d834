/* SPDX-License-Identifier: MIT */
/*
 * What a host says of itself in the files of /proc, /sys and the cgroups.
 */
#ifndef FORKVM_FORKSERVER_POLICY_HOST_FILE_H
#define FORKVM_FORKSERVER_POLICY_HOST_FILE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Read the file root/path into text as a string; root is "" for this host, another folder in tests,
 * and path begins with a slash. What does not fit in size bytes is left out. False, and an empty
 * string, when it cannot be read or is empty.
 */
bool host_file_read(const char *root, const char *path, char *text, size_t size);

#endif
