/* SPDX-License-Identifier: MIT */
/*
 * The server's table of descriptors: what it begins with, and how many there may be. Which number
 * is whose is told in launch.h.
 */
#ifndef FORKVM_FORKSERVER_SERVER_DESCRIPTORS_H
#define FORKVM_FORKSERVER_SERVER_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/error.h"

/* A descriptor that was inherited and is needed: it moves to FD_HIGH or above. */
struct descriptor_kept {
	int *fd;	    /* -1: there is none, and that is fine */
	const char *option; /* by which it was named               */
};

#define DESCRIPTORS_KEPT_MAX 4

/*
 * Leave nothing open but 0 to 2 and what is kept, so that the low numbers are free: 0 and 1 become
 * /dev/null, 2 stays the log. Raises the limit on open files to its maximum.
 * -EMFILE when that is too low, -EBADF for a kept one that is not open, named by its option.
 */
int descriptors_clear(const struct descriptor_kept *kept, size_t count, struct error *error);

/* Move *fd to the number that clones know it by. */
int descriptors_place(int *fd, int wanted, struct error *error);

/* How many descriptors clones and connections may have together; at least 2. */
uint64_t descriptors_to_share(void);

#endif
