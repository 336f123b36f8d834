/* SPDX-License-Identifier: MIT */
/*
 * What a clone does for its disks.
 *
 * Theory of operation. An overlay is not made at all: it is a memfd for data and bitmap, or, in a
 * folder, a file without a name and a memfd for the bitmap, which the disk makes when the guest
 * first writes, under the numbers that it is told. Some must be there before: durable ones, which
 * have a name, those with O_DIRECT, and those in a folder in memory. These are made here rather
 * than by the server, although they cost the clone time: the server forks one clone after the
 * other, and what it does for one, all others wait for; making a file can wait for the file
 * system's journal, too. Clones do it side by side. Such a file is opened in the nursery (gate.h),
 * which the clone leaves before its guest runs.
 */
#include "forkserver/child/child_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forkserver/base/gate.h"
#include "forkserver/launch/disk_plan.h"
#include "forkserver/proto/disk_lock.h"

void child_disks_take(const struct launch *launch)
{
	const struct disk_plan *plan = launch->disks;

	for (unsigned int i = 0; i < plan->count; i++) {
		if (launch->given[i].fd >= 0)
			dup3(launch->given[i].fd, fd_of_disk(plan->count, i, DISK_FD_IMAGE),
			     O_CLOEXEC);
	}
}

/* Give a new descriptor (or -errno) its number, on which /dev/null holds the place. */
static int place(long fd, int wanted)
{
	if (fd < 0)
		return (int)fd;
	if (dup3((int)fd, wanted, O_CLOEXEC) < 0)
		return -errno;
	close((int)fd);
	return wanted;
}

static int make_memfd(const char *name, int wanted)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	return place(fd < 0 ? -errno : fd, wanted);
}

static int make_file(const struct launch *launch, unsigned int disk, bool named, int wanted)
{
	char name[OVERLAYS_NAME_SIZE] = ".";
	long fd;

	if (named)
		overlays_name_clone(name, launch->disks->server_name, launch->clone_id, disk);
	fd = nursery_call(SYS_openat, FD_OVERLAYS, (long)(uintptr_t)name,
			  named ? OVERLAYS_OPEN_NAMED : OVERLAYS_OPEN_UNNAMED, OVERLAYS_MODE, 0, 0);
	/* Nobody is to make an image of it as long as the clone lives. It is new: nobody has. */
	if (fd >= 0 && named)
		(void)disk_lock((int)fd, true, NULL);
	return place(fd, wanted);
}

static int make_files(const struct launch *launch, unsigned int disk, struct disk_overlay *overlay,
		      struct error *error)
{
	const struct disk_plan *plan = launch->disks;
	int rc = make_file(launch, disk, plan->slots[disk].is_durable,
			   fd_of_disk(plan->count, disk, DISK_FD_DATA));

	if (rc < 0)
		return error_set_errno(error, -rc,
				       "cannot make a file for disk %u in the folder of "
				       "--overlay",
				       disk);
	overlay->data_fd = rc;
	if (plan->slots[disk].has_bitmap_inside)
		return 0;
	rc = make_memfd("forkvm-bitmap", fd_of_disk(plan->count, disk, DISK_FD_BITMAP));
	if (rc < 0) {
		close(overlay->data_fd);
		return error_set_errno(error, -rc, "cannot make the bitmap of disk %u", disk);
	}
	overlay->map_fd = rc;
	return 0;
}

static int make_overlay(const struct launch *launch, unsigned int disk, struct disk_overlay *ret,
			struct error *error)
{
	const struct disk_plan *plan = launch->disks;

	*ret = DISK_OVERLAY_IN_MEMORY;
	ret->limit = plan->limit;
	ret->durable = plan->slots[disk].is_durable;
	ret->origin = plan->slots[disk].origin;
	if (plan->in_folder && !plan->slots[disk].is_late)
		return make_files(launch, disk, ret, error);
	ret->folder_fd = plan->in_folder ? FD_OVERLAYS : -1;
	ret->data_number = fd_of_disk(plan->count, disk, DISK_FD_DATA);
	ret->map_number = fd_of_disk(plan->count, disk, DISK_FD_BITMAP);
	return 0;
}

/* The client's file for an empty slot. Writes that go through are as durable as the guest asks. */
static int insert(const struct launch *launch, unsigned int disk, struct error *error)
{
	const struct disk_plan *plan = launch->disks;
	struct disk_config config = {
		.image_fd = fd_of_disk(plan->count, disk, DISK_FD_IMAGE),
		.mode = launch->given[disk].mode,
		.durable = launch->given[disk].mode == DISK_WRITE_THROUGH,
		.force_sync = plan->force_sync,
		.overlay = DISK_OVERLAY_IN_MEMORY,
	};
	int rc = 0;

	if (config.mode == DISK_OVERLAY)
		rc = make_overlay(launch, disk, &config.overlay, error);
	if (rc == 0)
		rc = machine_insert_disk(launch->machine, disk, &config, error);
	if (rc < 0)
		error_prefix(error, "the file for disk %u", disk);
	return rc;
}

static int make_one(const struct launch *launch, unsigned int disk, struct error *error)
{
	struct disk_overlay overlay;
	int rc;

	if (launch->given[disk].fd >= 0)
		return insert(launch, disk, error);
	if (!launch->disks->slots[disk].has_overlay)
		return 0;
	rc = make_overlay(launch, disk, &overlay, error);
	return rc < 0 ? rc : machine_clone_disk(launch->machine, disk, &overlay, error);
}

int child_disks_make(const struct launch *launch, struct error *error)
{
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < launch->disks->count; i++)
		rc = make_one(launch, i, error);
	/* Who has it could make files again. */
	if (launch->disks->in_folder && !launch->disks->any_late)
		close(FD_OVERLAYS);
	return rc;
}

uint32_t child_disks_count(const struct launch *launch, struct report_packet *packet)
{
	unsigned int count = launch->disks->count;

	for (unsigned int i = 0; i < count; i++)
		packet->disks[i] = *disk_get_stats(machine_get_disk(launch->machine, i));
	return count;
}
