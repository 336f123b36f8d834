/* SPDX-License-Identifier: MIT */
/* Batches that are under way; see batches.h. */
#define _GNU_SOURCE
#include "bench/storm/batches.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forkserver/client/forkvm_client.h"

/* Its pair of sockets and its places. 0, or -errno. */
static int equip(struct batch *batch, size_t size, int epoll, uint64_t name)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = name};
	int pair[2];

	batch->slots = calloc(size, sizeof(struct slot *));
	if (!batch->slots)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	batch->near_fd = pair[0];
	batch->far_fd = pair[1];
	/* The clones' end blocks: it is ours to read fast enough. */
	if (fcntl(batch->near_fd, F_SETFL, O_NONBLOCK) < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, batch->near_fd, &event) < 0)
		return -errno;
	return 0;
}

int batches_init(struct batches *batches, size_t count, size_t size, int epoll)
{
	int rc = 0;

	*batches = (struct batches){.size = size};
	batches->list = calloc(count, sizeof(*batches->list));
	if (!batches->list)
		rc = -ENOMEM;
	for (; rc == 0 && batches->count < count; batches->count++) {
		struct batch *batch = &batches->list[batches->count];

		batch->near_fd = batch->far_fd = -1;
		rc = equip(batch, size, epoll, BATCH_EVENT | batches->count);
	}
	if (rc == 0)
		return 0;
	fprintf(stderr, "clone_storm: batches: %s\n", strerror(-rc));
	batches_done(batches);
	return -1;
}

void batches_done(struct batches *batches)
{
	for (size_t i = 0; batches->list && i < batches->count; i++) {
		struct batch *batch = &batches->list[i];

		if (batch->near_fd >= 0)
			close(batch->near_fd);
		if (batch->far_fd >= 0)
			close(batch->far_fd);
		free(batch->slots);
	}
	free(batches->list);
	*batches = (struct batches){0};
}

struct batch *batches_free(struct batches *batches)
{
	for (size_t i = 0; i < batches->count; i++)
		if (!batches->list[i].left)
			return &batches->list[i];
	return NULL;
}

struct slot *batches_find(const struct batches *batches, uint64_t tag, uint32_t index)
{
	if (tag >= batches->count || index >= batches->list[tag].count ||
	    !batches->list[tag].left || !batches->list[tag].slots[index]->busy)
		return NULL;
	return batches->list[tag].slots[index];
}

int batch_read(const struct batch *batch, char *buffer, size_t capacity, size_t *ret_length,
	       uint32_t *ret_index)
{
	struct forkvm_batch_answer answer;
	int rc = forkvm_batch_answer(batch->near_fd, buffer, capacity, &answer, NULL);

	if (rc <= 0)
		return rc;
	if (answer.index >= batch->count)
		return -EPROTO;
	*ret_length = answer.len;
	*ret_index = answer.index;
	return 1;
}
