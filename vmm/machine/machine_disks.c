/* SPDX-License-Identifier: MIT */
/*
 * A machine's disks: opened, put behind their devices, taken through a fork.
 *
 * Descriptors. An image, and the overlay that the template wrote, are the disk's; clones inherit
 * both and keep them. A clone's own overlay, or the image for a slot that the template left empty,
 * is given to it before machine_thaw. The ring of a disk is made by devices_bind in each process,
 * and none exists at a fork.
 */
#include <errno.h>
#include <stdio.h>

#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"
#include "vmm/machine/internal.h"

/* The entropy device has the slot before. */
#define FIRST_SLOT 1u

static void close_overlay(const struct disk_overlay *overlay)
{
	int data_fd = overlay->data_fd, map_fd = overlay->map_fd;

	fd_close(&data_fd);
	if (map_fd > 0)
		fd_close(&map_fd);
}

static void close_descriptors(const struct disk_config *config)
{
	int image_fd = config->image_fd;

	fd_close(&image_fd);
	if (config->mode == DISK_OVERLAY)
		close_overlay(&config->overlay);
}

/* All from index first on. */
static void close_from(const struct machine_config *config, unsigned int first)
{
	for (unsigned int i = first; i < config->disk_count && i < MACHINE_DISKS_MAX; i++)
		close_descriptors(&config->disks[i]);
}

void disks_refuse(const struct machine_config *config)
{
	close_from(config, 0);
}

static struct disk_config with_depth(const struct disk_config *config)
{
	struct disk_config complete = *config;

	if (complete.depth == 0)
		complete.depth = VIRTIO_BLK_DEPTH;
	return complete;
}

int disks_open(struct machine *machine, const struct machine_config *config, struct error *error)
{
	unsigned int queues = (unsigned int)min_u64(config->vcpus, VIRTIO_BLK_QUEUES_MAX);

	for (unsigned int i = 0; i < config->disk_count; i++) {
		struct disk_config complete = with_depth(&config->disks[i]);
		struct machine_disk *disk = &machine->disks[i];
		int rc = disk_open(&complete, &disk->disk, error);

		if (rc < 0) {
			error_prefix(error, "disk %u", i);
			close_from(config, i + 1);
			return rc;
		}
		virtio_blk_init(&disk->blk, disk->disk, i, queues, complete.depth);
		if (config->disk_serials[i])
			snprintf(disk->blk.serial, sizeof(disk->blk.serial), "%s",
				 config->disk_serials[i]);
		machine->disk_count++;
	}
	return 0;
}

void disks_free(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->disk_count; i++)
		disk_free(machine->disks[i].disk);
	machine->disk_count = 0;
}

void disks_add(struct machine *machine)
{
	char label[SLOT_LABEL_SIZE];

	for (unsigned int i = 0; i < machine->disk_count; i++) {
		snprintf(label, sizeof(label), "virtio-blk, disk %u", i);
		devices_add_virtio(&machine->devices, FIRST_SLOT + i, &machine->disks[i].blk.device,
				   label);
	}
}

static void on_event(void *ctx, short revents)
{
	(void)revents;
	virtio_blk_poll(ctx);
}

/* A vCPU that waits for its disk waits for a ring, too; a thread polls one from the beginning. */
static int start(const struct machine *machine, struct disk *disk, bool with_thread,
		 struct error *error)
{
	if (with_thread || !machine->late_rings)
		return disk_start(disk, error);
	disk_start_late(disk);
	return 0;
}

void machine_allow_late_rings(struct machine *machine)
{
	machine->late_rings = true;
}

int disks_bind(struct machine *machine, struct error *error)
{
	bool with_thread = devices_need_thread(&machine->devices);

	for (unsigned int i = 0; i < machine->disk_count; i++) {
		struct machine_disk *disk = &machine->disks[i];
		int rc, fd;

		/* In a clone that is so already: its page need not be copied. */
		if (disk->blk.waits == with_thread)
			disk->blk.waits = !with_thread;
		if (disk_size(disk->disk) == 0)
			continue;
		rc = start(machine, disk->disk, with_thread, error);
		if (rc < 0) {
			error_prefix(error, "disk %u", i);
			return rc;
		}
		fd = disk_event_fd(disk->disk);
		if (with_thread && fd >= 0)
			poller_add(&machine->devices.poller, fd, POLLIN, on_event, &disk->blk);
	}
	return 0;
}

void disks_settle(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->disk_count; i++)
		virtio_blk_settle(&machine->disks[i].blk);
}

void disks_unbind(struct machine *machine)
{
	for (unsigned int i = 0; i < machine->disk_count; i++) {
		virtio_blk_done(&machine->disks[i].blk);
		disk_stop(machine->disks[i].disk);
	}
}

/* The disk of that number, if now is the time to give it something. */
static struct machine_disk *give_to(struct machine *machine, unsigned int index,
				    struct error *error)
{
	if (!machine->is_frozen || machine->vm.fd >= 0)
		error_set(error, EINVAL, "only a frozen machine's disks can be given something");
	else if (index >= machine->disk_count)
		error_set(error, EINVAL, "disk %u: the machine has %u", index, machine->disk_count);
	else if (machine->own_disks >> index & 1)
		error_set(error, EINVAL, "disk %u was given something already", index);
	else
		return &machine->disks[index];
	return NULL;
}

static int give_overlay(struct machine *machine, unsigned int index,
			const struct disk_overlay *overlay, struct error *error)
{
	int rc = disk_clone(machine->disks[index].disk, overlay, error);

	if (rc < 0)
		error_prefix(error, "disk %u", index);
	machine->own_disks |= 1u << index;
	return rc;
}

int machine_clone_disk(struct machine *machine, unsigned int index,
		       const struct disk_overlay *overlay, struct error *error)
{
	struct machine_disk *disk = give_to(machine, index, error);
	int rc;

	if (disk && disk_size(disk->disk) == 0)
		rc = error_set(error, EINVAL, "disk %u: an empty slot has no overlay", index);
	else if (disk && disk_get_mode(disk->disk) != DISK_OVERLAY)
		rc = error_set(error, EINVAL, "disk %u is read-only: it has no overlay", index);
	else
		rc = disk ? 0 : -EINVAL;
	if (rc < 0) {
		close_overlay(overlay);
		return rc;
	}
	return give_overlay(machine, index, overlay, error);
}

int machine_insert_disk(struct machine *machine, unsigned int index,
			const struct disk_config *config, struct error *error)
{
	struct machine_disk *disk = give_to(machine, index, error);
	struct disk_config complete = with_depth(config);
	int rc = disk ? 0 : -EINVAL;

	if (disk && disk_size(disk->disk) > 0)
		rc = error_set(error, EINVAL, "disk %u: the template has one there", index);
	if (rc < 0) {
		close_descriptors(config);
		return rc;
	}
	rc = disk_insert(disk->disk, &complete, error);
	if (rc < 0)
		error_prefix(error, "disk %u", index);
	else
		virtio_blk_insert(&disk->blk, complete.depth);
	machine->own_disks |= 1u << index;
	return rc;
}

int disks_thaw(struct machine *machine, struct error *error)
{
	const struct disk_overlay in_memory = DISK_OVERLAY_IN_MEMORY;
	int rc = 0;

	for (unsigned int i = 0; rc == 0 && i < machine->disk_count; i++) {
		const struct machine_disk *disk = &machine->disks[i];

		if (!(machine->own_disks >> i & 1) && disk_size(disk->disk) > 0 &&
		    disk_get_mode(disk->disk) == DISK_OVERLAY)
			rc = give_overlay(machine, i, &in_memory, error);
	}
	return rc;
}

struct disk *machine_get_disk(const struct machine *machine, unsigned int index)
{
	return index < machine->disk_count ? machine->disks[index].disk : NULL;
}
