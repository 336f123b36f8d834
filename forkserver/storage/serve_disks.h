/* SPDX-License-Identifier: MIT */
/*
 * What a server is told of its disks when it starts. Filled in by the command line, only read
 * afterwards.
 */
#ifndef FORKVM_FORKSERVER_STORAGE_SERVE_DISKS_H
#define FORKVM_FORKSERVER_STORAGE_SERVE_DISKS_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/machine/machine.h"

#define SERVE_DISK_PATH_SIZE   4096u
#define SERVE_DISK_SERIAL_SIZE 21u /* of VIRTIO_BLK_T_GET_ID, and a zero */

enum serve_disk_format {
	SERVE_DISK_AUTO, /* qcow2 where the file begins like one, else raw */
	SERVE_DISK_RAW,
	SERVE_DISK_QCOW2,
};

/* One --disk. */
struct serve_disk {
	bool is_empty; /* a slot without an image: clones may be given one */
	char path[SERVE_DISK_PATH_SIZE];
	enum serve_disk_format format;
	bool read_only;
	bool durable;
	enum disk_direct direct;
	char serial[SERVE_DISK_SERIAL_SIZE]; /* "": none */
};

struct serve_disks {
	struct serve_disk disk[MACHINE_DISKS_MAX];
	unsigned int count;
	const char *overlay_dir; /* where overlays are; NULL: in memory         */
	uint64_t overlay_limit;	 /* bytes that a clone's overlay may hold; 0: any */
	bool no_io_uring;
};

#endif
