/* SPDX-License-Identifier: MIT */
/*
 * The options that are about disks: from words to structures. A file's name ends at the first
 * comma; one that has commas is written with each of them doubled.
 */
#ifndef FORKVM_FORKSERVER_CLI_DISK_OPTIONS_H
#define FORKVM_FORKSERVER_CLI_DISK_OPTIONS_H

#include <stdbool.h>

#include "forkserver/server/options.h"
#include "vmm/base/error.h"

/*
 * serve --disk FILE[,ro][,format=raw|qcow2][,durable][,direct=on|off][,serial=TEXT], or
 * none[,serial=TEXT]: one more disk. Errors, in words: -EINVAL, -E2BIG (all slots are taken),
 * -ENAMETOOLONG.
 */
int disk_options_add(struct serve_disks *disks, const char *value, struct error *error);

/* serve --overlay memory|DIR; value must live on. -EINVAL. */
int disk_options_set_overlay(struct serve_disks *disks, const char *value, struct error *error);

/* serve --overlay-limit SIZE. -EINVAL, -ERANGE. */
int disk_options_set_limit(struct serve_disks *disks, const char *value, struct error *error);

/* When all were taken: do they go together? -EINVAL, in words. */
int disk_options_finish(const struct serve_disks *disks, struct error *error);

/* How a clone uses the file that it is given. */
enum disk_given_mode {
	DISK_GIVEN_OVERLAY, /* copy-on-write over the file */
	DISK_GIVEN_READ_ONLY,
	DISK_GIVEN_WRITE, /* the guest's writes go to the file itself */
};

/* One clone --disk. */
struct disk_given {
	unsigned int slot;
	enum disk_given_mode mode;
	char path[SERVE_DISK_PATH_SIZE];
};

/* clone --disk N=FILE[,ro|,rw]. Errors, in words: -EINVAL, -ERANGE, -ENAMETOOLONG. */
int disk_options_parse_given(const char *value, struct disk_given *ret, struct error *error);

#endif
