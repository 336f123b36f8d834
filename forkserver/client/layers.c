/* SPDX-License-Identifier: MIT */
/*
 * Exports: the layers of a clone's disk, as the server sends them.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "forkserver/client/client.h"
#include "vmm/base/cleanup.h"

/* A client does not wait for ever for a clone to stop. */
#define STOP_MS 30000

/* The oldest descriptor that came. -1: there is none. */
static int take_fd(struct forkvm_client *client)
{
	int fd = client->fd_count ? client->fds[0] : -1;

	if (!client->fd_count)
		return -1;
	client->fd_count--;
	memmove(client->fds, client->fds + 1, client->fd_count * sizeof(client->fds[0]));
	return fd;
}

static void drop_fds(struct forkvm_client *client)
{
	while (client->fd_count) {
		int fd = take_fd(client);

		fd_close(&fd);
	}
}

void forkvm_layers_close(struct forkvm_layers *layers)
{
	fd_close(&layers->image_fd);
	for (unsigned int i = 0; i < layers->overlay_count; i++) {
		fd_close(&layers->overlays[i].data_fd);
		fd_close(&layers->overlays[i].bitmap_fd);
	}
	layers->overlay_count = 0;
}

/* Put one descriptor where its kind belongs. -EPROTO. */
static int put(struct forkvm_layers *layers, const char *kind, int *fd)
{
	unsigned int count = layers->overlay_count;
	int *to = NULL;

	if (!strcmp(kind, "image") && layers->image_fd < 0 && !count)
		to = &layers->image_fd;
	if (!strcmp(kind, "data") && count < FORKVM_LAYERS_MAX) {
		layers->overlays[count].bitmap_fd = -1;
		to = &layers->overlays[count].data_fd;
		layers->overlay_count++;
	}
	if (!strcmp(kind, "bitmap") && count && layers->overlays[count - 1].bitmap_fd < 0)
		to = &layers->overlays[count - 1].bitmap_fd;
	if (!to)
		return -EPROTO;
	*to = fd_steal(fd);
	return 0;
}

static int read_layers(struct forkvm_client *client, const json_t *reply,
		       struct forkvm_layers *layers)
{
	const json_t *kinds = json_object_get(reply, "descriptors");
	size_t count = json_array_size(kinds);
	int rc = count && count == client->fd_count ? 0 : -EPROTO;

	layers->size = (uint64_t)json_integer_value(json_object_get(reply, "size"));
	layers->image_size = (uint64_t)json_integer_value(json_object_get(reply, "image_size"));
	for (size_t i = 0; rc == 0 && i < count; i++) {
		const char *kind = json_string_value(json_array_get(kinds, i));
		_cleanup_close_ int fd = take_fd(client);

		rc = kind ? put(layers, kind, &fd) : -EPROTO;
	}
	return rc;
}

int forkvm_client_export(struct forkvm_client *client, uint64_t id, unsigned int disk,
			 uint64_t limit_ms, struct forkvm_layers *ret, struct error *error)
{
	struct forkvm_layers layers = {.image_fd = -1};
	const char *line = NULL;
	char members[120];
	json_t *object;
	int rc;

	drop_fds(client);
	snprintf(members, sizeof(members), "\"id\":%" PRIu64 ",\"disk\":%u,\"timeout_ms\":%" PRIu64,
		 id, disk, limit_ms);
	rc = client_call(client, "export", members, STOP_MS, &line, error);
	if (rc < 0)
		return rc;
	object = json_loads(line, 0, NULL);
	rc = read_layers(client, json_object_get(object, "ok"), &layers);
	json_decref(object);
	if (rc < 0) {
		forkvm_layers_close(&layers);
		drop_fds(client);
		return client_not_understood(error);
	}
	*ret = layers;
	return 0;
}

int forkvm_client_release(struct forkvm_client *client, uint64_t id, struct error *error)
{
	char members[40];

	snprintf(members, sizeof(members), "\"id\":%" PRIu64, id);
	return client_call(client, "release", members, -1, NULL, error);
}
