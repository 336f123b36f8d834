/* SPDX-License-Identifier: MIT */
/*
 * An io_uring of a disk's own: io_uring(7), by the system calls themselves.
 *
 * It is restricted to what a disk does with files, for good, before it is enabled: whoever takes
 * over the process can do no more with it than with the system calls it stands for.
 */
#ifndef FORKVM_VMM_BLOCK_RING_H
#define FORKVM_VMM_BLOCK_RING_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
	int fd; /* owned; -1: there is none. Never kept over a fork */
	struct io_uring_params params;
	void *rings; /* NULL: ring_map was not called yet */
	size_t rings_size;
	struct io_uring_sqe *sqes;
	size_t sqes_size;
	/* shared with the kernel */
	uint32_t *sq_head, *sq_tail, *sq_flags, *cq_head, *cq_tail;
	const struct io_uring_cqe *cqes;
	/* ours */
	uint32_t sq_entries, cq_entries; /* powers of two */
	uint32_t tail;			 /* of submissions written, published by ring_enter */
};

#define RING_NONE ((struct ring){.fd = -1})

/*
 * Make one for so many submissions a time (a power of two); twice as many completions fit, and it
 * is for the caller to have no more than that in flight. -errno; see ring_is_refused.
 */
int ring_open(struct ring *ring, uint32_t entries);

/*
 * The same, when guests run already. Weak: a program that forbids io_uring_setup(2) then defines it
 * to have the ring made by somebody else (forkserver/server/rings.h does). The ring is as after
 * ring_open: restricted, enabled, not mapped. -errno.
 */
int ring_obtain(struct ring *ring, uint32_t entries);

/*
 * Map an open ring. Apart from ring_open because it takes as long as that, and may be done when the
 * ring is first used. Before it, only ring_close may be called. -errno; then it is as before.
 */
int ring_map(struct ring *ring);
void ring_close(struct ring *ring);

/* Such an error says that the host has no io_uring for us, not that something is wrong. */
bool ring_is_refused(int error);

/* A cleared submission to fill in; NULL when there are `entries` of them already. */
struct io_uring_sqe *ring_get_sqe(struct ring *ring);

/* How many are written and not yet taken by the kernel. */
uint32_t ring_unsubmitted(const struct ring *ring);

/* Throw the last of those away. Returns its user_data. */
uint64_t ring_take_back(struct ring *ring);

/*
 * Give the kernel what is written, then wait until so many completions are there (0: do not wait).
 * Returns how many submissions it took, or -errno; -EINTR when a signal ended the waiting.
 */
int ring_enter(struct ring *ring, uint32_t wait);

/* The oldest completion, or NULL. It is there until ring_seen. */
const struct io_uring_cqe *ring_peek(const struct ring *ring);
void ring_seen(struct ring *ring);

/* Completions may be waiting for us to enter the kernel. */
bool ring_wants_enter(const struct ring *ring);

#endif
