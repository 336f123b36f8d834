/* SPDX-License-Identifier: MIT */
/*
 * The disks of a server's machine: see disks.h.
 */
#include "forkserver/server/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "forkserver/base/gate.h"
#include "forkserver/base/log.h"
#include "forkserver/launch/launch.h"
#include "forkserver/proto/disk_lock.h"
#include "forkserver/server/descriptors.h"
#include "forkserver/server/server.h"
#include "forkserver/storage/backing.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

void server_disks_init(struct server_disks *disks)
{
	*disks = (struct server_disks){.overlays = {.fd = -1}};
}

void server_disks_done(struct server_disks *disks)
{
	overlays_close(&disks->overlays);
	free(disks->plan);
	disks->plan = NULL;
}

int server_disks_reserve(const struct serve_disks *options, struct error *error)
{
	if (!options->count)
		return 0;
	for (int fd = FD_OVERLAYS; fd < fd_behind_disks(options->count); fd++) {
		if (dup3(STDIN_FILENO, fd, O_CLOEXEC) < 0)
			return error_set_errno(error, errno, "dup3");
	}
	return 0;
}

/* Where the raw copy of an image goes. */
static const char *folder_for_copies(const struct serve_disks *options)
{
	const char *folder = options->overlay_dir;

	if (!folder)
		folder = getenv("TMPDIR");
	return folder && folder[0] ? folder : "/tmp";
}

/* The template's own overlay, in the folder. */
static int open_overlay(const struct server *server, unsigned int index, struct error *error)
{
	const struct serve_disk *disk = &server->options->disks.disk[index];
	const struct overlays *overlays = &server->disks.overlays;
	char name[OVERLAYS_NAME_SIZE] = ".";
	int fd;

	if (disk->durable)
		overlays_name_template(name, server->options->name, overlays->run, index);
	fd = openat(overlays->fd, name, disk->durable ? OVERLAYS_OPEN_NAMED : OVERLAYS_OPEN_UNNAMED,
		    OVERLAYS_MODE);
	if (fd < 0)
		return error_set_errno(error, errno, "cannot make %.60s/%.60s", overlays->path,
				       name);
	/* Until it is frozen, and opened anew. */
	(void)disk_lock(fd, true, NULL);
	return fd;
}

static int open_one(struct server *server, unsigned int index, struct disk_config *config,
		    struct error *error)
{
	const struct serve_disks *options = &server->options->disks;
	const struct serve_disk *disk = &options->disk[index];
	struct server_disk *slot = &server->disks.slots[index];
	struct backing image;
	int rc;

	config->mode = disk->read_only ? DISK_READ_ONLY : DISK_OVERLAY;
	config->force_sync = options->no_io_uring;
	if (disk->is_empty)
		return 0;
	rc = backing_open(disk, folder_for_copies(options), server->wake_fd, &image, error);
	if (rc < 0)
		return rc;
	config->image_fd = image.fd;
	config->direct = disk->direct;
	config->durable = disk->durable;
	memcpy(slot->image, image.path, sizeof(slot->image));
	slot->size = image.size;
	slot->is_converted = image.is_converted;
	slot->converted_bytes = image.converted_bytes;
	if (disk->read_only || server->disks.overlays.fd < 0)
		return 0;
	rc = open_overlay(server, index, error);
	if (rc < 0)
		return rc;
	config->overlay.data_fd = rc;
	config->overlay.durable = disk->durable;
	config->overlay.origin = disk->durable ? slot->image : NULL;
	return 0;
}

static void close_all(struct machine_config *config)
{
	for (unsigned int i = 0; i < config->disk_count; i++) {
		fd_close(&config->disks[i].image_fd);
		fd_close(&config->disks[i].overlay.data_fd);
	}
	config->disk_count = 0;
}

int server_disks_open(struct server *server, struct machine_config *config, struct error *error)
{
	const struct serve_disks *options = &server->options->disks;
	int rc = 0;

	if (options->overlay_dir)
		rc = overlays_open(options->overlay_dir, server->options->name,
				   &server->disks.overlays, error);
	for (unsigned int i = 0; rc == 0 && i < options->count; i++) {
		config->disk_serials[i] =
			options->disk[i].serial[0] ? options->disk[i].serial : NULL;
		config->disks[config->disk_count++] = (struct disk_config){
			.image_fd = -1,
			.overlay = DISK_OVERLAY_IN_MEMORY,
		};
		rc = open_one(server, i, &config->disks[i], error);
	}
	if (rc < 0)
		close_all(config);
	return rc;
}

/* Give the machine's descriptors the numbers that clones know them by. */
static int move_descriptors(struct server *server, struct error *error)
{
	unsigned int count = server->options->disks.count;
	int next = FD_TEMPLATE_DISKS;

	for (unsigned int i = 0; i < count; i++) {
		next = disk_move_descriptors(machine_get_disk(server->machine, i), next, error);
		if (next < 0)
			return next;
	}
	if (next > fd_of_disk(count, 0, DISK_FD_IMAGE))
		return error_set(error, EMFILE,
				 "the disks have more descriptors than are set aside");
	if (server->disks.overlays.fd >= 0)
		return descriptors_place(&server->disks.overlays.fd, FD_OVERLAYS, error);
	return 0;
}

static void plan_slot(const struct server *server, unsigned int index, struct disk_plan *plan)
{
	const struct serve_disk *disk = &server->options->disks.disk[index];
	const struct overlays *overlays = &server->disks.overlays;
	char name[OVERLAYS_NAME_SIZE];

	plan->slots[index].is_empty = disk->is_empty;
	plan->slots[index].has_overlay = !disk->is_empty && !disk->read_only;
	plan->slots[index].is_durable = disk->durable;
	plan->slots[index].has_bitmap_inside = !disk->durable && overlays->is_memory;
	/* What is known of all files in the folder need not be asked of this one. */
	plan->slots[index].is_late = plan->in_folder && !disk->read_only && !disk->durable &&
				     !overlays->is_tmpfs && disk->direct != DISK_DIRECT_ON;
	plan->any_late |= plan->slots[index].is_late;
	if (!disk->durable)
		return;
	overlays_name_template(name, server->options->name, overlays->run, index);
	snprintf(plan->origins[index], sizeof(plan->origins[index]), "%s/%s", overlays->path, name);
	plan->slots[index].origin = plan->origins[index];
	log_info("disk %u is durable: what the template wrote is in %s, what a clone writes will "
		 "be beside it",
		 index, plan->origins[index]);
}

int server_disks_settle(struct server *server, struct error *error)
{
	const struct serve_disks *options = &server->options->disks;
	struct server_disks *disks = &server->disks;
	struct disk_plan *plan;
	int rc;

	if (!options->count)
		return 0;
	plan = calloc(1, sizeof(*plan));
	if (!plan)
		return error_set(error, ENOMEM, "no memory for the plan of the disks");
	disks->plan = plan;
	plan->count = options->count;
	plan->in_folder = disks->overlays.fd >= 0;
	plan->force_sync = options->no_io_uring;
	plan->limit = options->overlay_limit;
	snprintf(plan->server_name, sizeof(plan->server_name), "%s", server->options->name);
	for (unsigned int i = 0; i < plan->count; i++) {
		struct disk *disk = machine_get_disk(server->machine, i);

		plan_slot(server, i, plan);
		disks->slots[i].template_bytes = disk_get_stats(disk)->overlay_bytes;
	}
	rc = move_descriptors(server, error);
	/* Clones count on from there: their numbers are in names of files. */
	if (rc == 0 && plan->in_folder)
		server->clones.last_id = disks->overlays.run;
	return rc;
}

enum disk_mode server_disks_given_mode(enum request_disk_mode mode)
{
	switch (mode) {
	case REQUEST_DISK_READ_ONLY:
		return DISK_READ_ONLY;
	case REQUEST_DISK_WRITE:
		return DISK_WRITE_THROUGH;
	default:
		return DISK_OVERLAY;
	}
}

int server_disks_check_given(const struct server *server, const struct request_disk *disk, int fd,
			     struct error *error)
{
	const struct serve_disks *options = &server->options->disks;
	int rc;

	if (disk->slot >= options->count)
		return error_set(
			error, EINVAL,
			"there is no disk slot %u: this server has %u, and \"--disk none\" "
			"makes an empty one",
			disk->slot, options->count);
	if (!options->disk[disk->slot].is_empty)
		return error_set(error, EINVAL,
				 "disk slot %u has a disk already: only an empty one (--disk none) "
				 "can be given a file",
				 disk->slot);
	rc = backing_check_given(fd, disk->mode == REQUEST_DISK_WRITE, error);
	if (rc < 0)
		error_prefix(error, "the file for disk slot %u", disk->slot);
	return rc;
}

/* Clones may say anything: a sum stays at the top of its range. */
static void add(uint64_t *sum, uint64_t value)
{
	if (__builtin_add_overflow(*sum, value, sum))
		*sum = UINT64_MAX;
}

static void add_stats(struct disk_stats *total, const struct disk_stats *stats)
{
	for (unsigned int i = 0; i < DISK_OPS; i++) {
		add(&total->requests[i], stats->requests[i]);
		add(&total->bytes[i], stats->bytes[i]);
	}
	for (unsigned int i = 0; i < DISK_LATENCY_BUCKETS; i++)
		add(&total->latency_us[i], stats->latency_us[i]);
	add(&total->errors, stats->errors);
	add(&total->passes, stats->passes);
	add(&total->enters, stats->enters);
	add(&total->submitted, stats->submitted);
	add(&total->sync, stats->sync);
	add(&total->alone, stats->alone);
	add(&total->reaps, stats->reaps);
	add(&total->reaped, stats->reaped);
	add(&total->depth_sum, stats->depth_sum);
	add(&total->overlay_bytes, stats->overlay_bytes);
	add(&total->notifications, stats->notifications);
	add(&total->interrupts, stats->interrupts);
	total->pass_max = max_u64(total->pass_max, stats->pass_max);
	total->depth_max = max_u64(total->depth_max, stats->depth_max);
}

void server_disks_count(struct server_disks *disks, const struct disk_stats *stats,
			unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		add_stats(&disks->slots[i].total, &stats[i]);
		disks->slots[i].clones++;
	}
}
