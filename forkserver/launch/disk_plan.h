/* SPDX-License-Identifier: MIT */
/*
 * What a clone has to know of the machine's disks, to make its own overlays on them.
 */
#ifndef FORKVM_FORKSERVER_LAUNCH_DISK_PLAN_H
#define FORKVM_FORKSERVER_LAUNCH_DISK_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "forkserver/storage/overlays.h"
#include "vmm/machine/machine.h"

/* In memory that clones inherit. */
struct disk_plan {
	unsigned int count;
	struct {
		bool is_empty;
		bool has_overlay;
		bool is_durable;
		bool has_bitmap_inside; /* of its overlay's file: one in memory without a limit */
		bool is_late;		/* its overlay's file is made by the first write */
		const char *origin;	/* of its overlay, for a durable one */
	} slots[MACHINE_DISKS_MAX];
	bool in_folder; /* overlays are files, made in the folder FD_OVERLAYS */
	bool any_late;	/* some of them when the guest runs already           */
	bool force_sync;
	uint64_t limit;
	char server_name[OVERLAYS_SERVER_SIZE];
	char origins[MACHINE_DISKS_MAX][SERVE_DISK_PATH_SIZE + OVERLAYS_NAME_SIZE];
};

#endif
