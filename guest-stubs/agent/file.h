/* SPDX-License-Identifier: MIT */
/*
 * Small files of /proc, /sys and /etc, read and written whole.
 */
#ifndef FORKVM_AGENT_FILE_H
#define FORKVM_AGENT_FILE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Read path into buffer, ending it in a zero byte; what is beyond size - 1 bytes is left. Returns
 * the bytes read or -errno.
 */
int file_read(const char *path, char *buffer, size_t size);

/* Write text to path, which must exist. 0 or -errno; a short write is -EIO. */
int file_write(const char *path, const char *text);

/* A decimal number at the start of path, or -errno. */
int file_read_number(const char *path, uint64_t *ret_number);
int file_write_number(const char *path, uint64_t number);

#endif
