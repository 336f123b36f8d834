/* SPDX-License-Identifier: MIT */
/*
 * The disks of a server's machine, from the files that the options name to what clones inherit.
 *
 *	server_disks_reserve	numbers of descriptors are set aside before anything else is opened
 *	server_disks_open	images are opened (and converted), the template's overlays made
 *	(boot, freeze)		the machine has them
 *	server_disks_settle	what clones need gets its numbers (launch.h), and a plan is made
 *	(forks)			each clone makes its own overlays: child_disks.c
 */
#ifndef FORKVM_FORKSERVER_SERVER_DISKS_H
#define FORKVM_FORKSERVER_SERVER_DISKS_H

#include <stdbool.h>
#include <stdint.h>

#include "forkserver/launch/disk_plan.h"
#include "forkserver/proto/request.h"
#include "forkserver/server/options.h"
#include "forkserver/storage/overlays.h"
#include "vmm/base/error.h"
#include "vmm/machine/machine.h"

struct server;

/* What the server knows of one. */
struct server_disk {
	char image[SERVE_DISK_PATH_SIZE]; /* absolute path; "": an empty slot    */
	uint64_t size;			  /* bytes; 0: an empty slot             */
	uint64_t template_bytes;	  /* that the template wrote             */
	bool is_converted;		  /* the image is qcow2                  */
	uint64_t converted_bytes;	  /* that its raw copy takes on the host */
	struct disk_stats total;	  /* of all clones that have ended       */
	uint64_t clones;		  /* how many of them there are in total */
};

struct server_disks {
	struct disk_plan *plan; /* owned; NULL: no disks, or not settled yet */
	struct overlays overlays;
	struct server_disk slots[MACHINE_DISKS_MAX];
};

/* Nothing is open. */
void server_disks_init(struct server_disks *disks);
void server_disks_done(struct server_disks *disks);

/*
 * Take the numbers that disks will need, with /dev/null, before anything else is opened: a clone
 * keeps all of them.
 */
int server_disks_reserve(const struct serve_disks *options, struct error *error);

/* Fill in config's disks, whose descriptors are then the machine's to take. Errors in words. */
int server_disks_open(struct server *server, struct machine_config *config, struct error *error);

/* After machine_freeze. */
int server_disks_settle(struct server *server, struct error *error);

enum disk_mode server_disks_given_mode(enum request_disk_mode mode);

/*
 * May a clone have the file behind fd as the request says? Errors, in words: -EINVAL (no such slot,
 * not an empty one, no such file), -EACCES, -EISDIR.
 */
int server_disks_check_given(const struct server *server, const struct request_disk *disk, int fd,
			     struct error *error);

/* Add what a clone counted, as it says itself. */
void server_disks_count(struct server_disks *disks, const struct disk_stats *stats,
			unsigned int count);

#endif
