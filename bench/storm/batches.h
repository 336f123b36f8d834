/* SPDX-License-Identifier: MIT */
/*
 * Batches that are under way: which place each of their clones has, and the socket by which all its
 * answers come.
 */
#ifndef FORKVM_BENCH_STORM_BATCHES_H
#define FORKVM_BENCH_STORM_BATCHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/storm/slots.h"

struct batch {
	int near_fd; /* our end; owned                    */
	int far_fd;  /* what its message carries; owned   */
	size_t count;
	size_t left;	     /* whose end is not known yet; 0: this batch is free */
	struct slot **slots; /* by index; owned, of the size of a batch           */
};

struct batches {
	struct batch *list; /* owned */
	size_t count;
	size_t size; /* clones of one */
};

/* epoll's name for a batch's socket. */
#define BATCH_EVENT (UINT64_C(1) << 62)

/* Make count batches of size clones, in epoll. 0, or -1 after saying why on stderr. */
int batches_init(struct batches *batches, size_t count, size_t size, int epoll);
void batches_done(struct batches *batches);

/* One that is free, or NULL. */
struct batch *batches_free(struct batches *batches);

/* The place of one of its clones; NULL: there is none of that batch and index. */
struct slot *batches_find(const struct batches *batches, uint64_t tag, uint32_t index);

/*
 * Read one answer, at most capacity bytes. 1, with its bytes and index; 0: none is there; -errno.
 */
int batch_read(const struct batch *batch, char *buffer, size_t capacity, size_t *ret_length,
	       uint32_t *ret_index);

#endif
