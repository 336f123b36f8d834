/* SPDX-License-Identifier: MIT */
/*
 * What a clone does for its disks, in the child of the fork.
 */
#ifndef FORKVM_FORKSERVER_CHILD_CHILD_DISKS_H
#define FORKVM_FORKSERVER_CHILD_CHILD_DISKS_H

#include "forkserver/launch/launch.h"
#include "vmm/base/error.h"

/* Put the files that the client gave under their numbers. Before others are closed. */
void child_disks_take(const struct launch *launch);

/*
 * Make the overlays, and put the client's files into their slots: before machine_thaw, in the
 * nursery. Errors, in words: -ENOMEM, -ENOSPC, -EMFILE, those of making a file in the folder, those
 * of machine_insert_disk.
 */
int child_disks_make(const struct launch *launch, struct error *error);

/* The machine has run: how many disks there are to tell of, with their figures in *packet. */
uint32_t child_disks_count(const struct launch *launch, struct report_packet *packet);

#endif
