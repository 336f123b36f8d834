/* SPDX-License-Identifier: MIT */
/*
 * The folder of --overlay DIR, and the names of the files in it.
 *
 *	(no name)			of a disk that is not durable: gone with its clone
 *	NAME-template-RUN-DISK.overlay	of a durable disk: what the template wrote
 *	NAME-CLONE-DISK.overlay		what a clone wrote, on top of that
 *
 * NAME is the server's. No number is used twice in a folder: a server counts its clones from RUN
 * on, which is one more than any number that it finds there. So a server that is started again
 * overwrites nothing, and finding the files of an earlier one is no error.
 */
#ifndef FORKVM_FORKSERVER_STORAGE_OVERLAYS_H
#define FORKVM_FORKSERVER_STORAGE_OVERLAYS_H

#include <stdbool.h>
#include <stdint.h>

#include "forkserver/storage/serve_disks.h"
#include "vmm/base/error.h"
#include "vmm/block/disk.h"

/* Bytes of a file's name, and of the server's name in it. */
#define OVERLAYS_NAME_SIZE   256u
#define OVERLAYS_SERVER_SIZE 101u

struct overlays {
	int fd;				 /* owned: the folder; -1: overlays are in memory */
	char path[SERVE_DISK_PATH_SIZE]; /* absolute                                   */
	bool is_tmpfs;
	bool is_memory; /* without a limit, too: a bitmap has its place in the file */
	uint64_t run;
};

/*
 * Open the folder, see that files can be made in it, and find the number to begin with. Errors, in
 * words: -ENOENT, -ENOTDIR, -EACCES, -EROFS, -EOPNOTSUPP (a file system without O_TMPFILE),
 * -ENAMETOOLONG (the server's name).
 */
int overlays_open(const char *folder, const char *server_name, struct overlays *ret,
		  struct error *error);
void overlays_close(struct overlays *overlays);

/* Write a file's name. */
void overlays_name_template(char name[OVERLAYS_NAME_SIZE], const char *server_name, uint64_t run,
			    unsigned int disk);
void overlays_name_clone(char name[OVERLAYS_NAME_SIZE], const char *server_name, uint64_t clone_id,
			 unsigned int disk);

/* How a file with and without a name is opened. */
#define OVERLAYS_OPEN_NAMED   (O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW)
#define OVERLAYS_OPEN_UNNAMED DISK_OVERLAY_OPEN
#define OVERLAYS_MODE	      0600

#endif
