/* SPDX-License-Identifier: MIT */
/*
 * Files of disks: opened to be given to a clone, or written anew and put in place whole.
 */
#ifndef FORKVM_FORKSERVER_CLI_DISK_FILE_H
#define FORKVM_FORKSERVER_CLI_DISK_FILE_H

#include <stdbool.h>

#include "vmm/base/error.h"

/*
 * Open a file for a clone, and lock it (proto/disk_lock.h), for which it waits up to 2 s. Returns
 * the descriptor, or -errno with words that name the file.
 */
int disk_file_open(const char *path, bool writes, struct error *error);

/* Fills the new file fd; what it returns, if not 0, is the end of the matter. */
typedef int disk_file_fill(void *ctx, int fd, struct error *error);

/*
 * Make a file by fill and put it in the place of what is at path, if anything: at any time, and
 * after any crash, there is the whole new file, or what was there before. Errors in words.
 */
int disk_file_replace(const char *path, disk_file_fill *fill, void *ctx, struct error *error);

#endif
