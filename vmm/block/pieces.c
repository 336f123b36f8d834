/* SPDX-License-Identifier: MIT */
/*
 * Pieces of requests: to the ring and back, or done on the spot. See internal.h.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "vmm/block/internal.h"
#include "vmm/block/iov.h"

#define SQE_BYTES_MAX 0x7ffff000ull /* what one submission can transfer: the rest follows */

static bool is_change(const struct piece *piece)
{
	return piece->op == PIECE_WRITE || piece->op == PIECE_PUNCH;
}

static int sync_data(const struct block_file *file)
{
	int rc;

	do
		rc = fdatasync(file->fd);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

/* Read or write what the piece has from its byte `done` on, waiting. */
static int transfer(const struct piece *piece, uint64_t done)
{
	struct iovec memory = {.iov_len = piece->length};
	const struct iovec *iov = &memory;
	uint32_t count = 1;

	if (piece->request) {
		iov = piece->request->iov;
		count = piece->request->iov_count;
	} else {
		memcpy(&memory.iov_base, &piece->memory, sizeof(piece->memory));
	}
	return block_file_transfer(piece->file, piece->op == PIECE_WRITE, iov, count,
				   piece->skip + done, piece->offset + done, piece->length - done);
}

static int do_now(struct disk *disk, const struct piece *piece)
{
	disk->stats.sync++;
	switch (piece->op) {
	case PIECE_READ:
	case PIECE_WRITE:
		return transfer(piece, 0);
	case PIECE_PUNCH:
		return block_file_punch(piece->file, piece->offset, piece->length);
	case PIECE_SYNC:
		return sync_data(piece->file);
	}
	return -EINVAL;
}

/* The ring could not do it, which need not mean that it cannot be done. ECANCELED: the kernel may
 * have no more threads, and the transfer is one that needs its own. */
static bool is_worth_a_try(int result)
{
	return result == -EAGAIN || result == -EINTR || result == -ENOMEM || result == -EINVAL ||
	       result == -ECANCELED;
}

/* What a completion means: 0 or -errno. The rest of a short transfer is done here. */
static int settle(struct disk *disk, const struct piece *piece, int result)
{
	bool transfers = piece->op == PIECE_READ || piece->op == PIECE_WRITE;

	if (result >= 0 && (!transfers || (uint64_t)result == piece->length))
		return 0;
	if (is_worth_a_try(result))
		return do_now(disk, piece);
	if (result < 0)
		return result;
	disk->stats.sync++;
	return transfer(piece, (uint64_t)result);
}

static void finish(struct disk *disk, const struct piece *piece, int rc)
{
	if (!piece->request) {
		disk_flush_finish(disk, rc);
		return;
	}
	if (is_change(piece))
		rc = disk_change_finish(disk, piece, rc);
	if (rc < 0)
		disk_note_result(piece->request,
				 disk_note_error(disk, piece->file, is_change(piece), rc));
	disk_put_request(disk, piece->request);
}

/* NULL when as many are out as completions fit. */
static struct piece *take_piece(struct disk *disk)
{
	struct piece *piece = disk->free_pieces;

	if (piece)
		disk->free_pieces = piece->next;
	else if (disk->fresh_pieces < disk->ring.cq_entries)
		piece = &disk->arena->pieces[disk->fresh_pieces++];
	return piece;
}

static void put_piece(struct disk *disk, struct piece *piece)
{
	piece->next = disk->free_pieces;
	disk->free_pieces = piece;
}

/* A piece has come out of the ring. */
static void finish_queued(struct disk *disk, struct piece *piece, int rc)
{
	disk->pieces--;
	if (is_change(piece))
		disk->changes--;
	if (piece->alone)
		disk->alone = false;
	finish(disk, piece, rc);
	put_piece(disk, piece);
}

/* The piece's memory: straight, if it is in one piece itself; else as iovecs. */
static bool find_memory(struct disk *disk, const struct piece *piece, struct io_uring_sqe *sqe)
{
	const struct disk_request *request = piece->request;
	struct iovec *slices = disk->arena->slices + disk->used_slices;
	uint64_t got;
	uint32_t used;

	if (!request) {
		sqe->addr = (uintptr_t)piece->memory;
		return false;
	}
	if (request->iov_count == 1) {
		sqe->addr = (uintptr_t)request->iov->iov_base + piece->skip;
		return false;
	}
	if (piece->length == request->length) {
		sqe->addr = (uintptr_t)request->iov;
		sqe->len = request->iov_count;
		return true;
	}
	used = iov_slice(request->iov, request->iov_count, piece->skip, piece->length, slices,
			 DISK_SLICES - disk->used_slices, &got);
	assert(got == piece->length); /* see make_room */
	sqe->addr = (uintptr_t)slices;
	sqe->len = used;
	disk->used_slices += used;
	return true;
}

static void fill_transfer(struct disk *disk, struct piece *piece, struct io_uring_sqe *sqe)
{
	const struct disk_request *request = piece->request;
	bool vector = find_memory(disk, piece, sqe), write = piece->op == PIECE_WRITE;

	if (vector)
		sqe->opcode = write ? IORING_OP_WRITEV : IORING_OP_READV;
	else
		sqe->opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
	if (!vector)
		sqe->len = (uint32_t)min_u64(piece->length, SQE_BYTES_MAX);
	sqe->fd = piece->file->fd;
	if (request && piece->file->direct_fd >= 0)
		sqe->fd = block_file_pick(piece->file, request->iov, request->iov_count,
					  piece->skip, piece->offset, piece->length);
	sqe->off = piece->offset;
}

static void fill(struct disk *disk, struct piece *piece, struct io_uring_sqe *sqe)
{
	switch (piece->op) {
	case PIECE_READ:
	case PIECE_WRITE:
		fill_transfer(disk, piece, sqe);
		break;
	case PIECE_PUNCH:
		sqe->opcode = IORING_OP_FALLOCATE;
		sqe->fd = piece->file->fd;
		sqe->off = piece->offset;
		sqe->addr = piece->length;
		sqe->len = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
		break;
	case PIECE_SYNC:
		sqe->opcode = IORING_OP_FSYNC;
		sqe->fd = piece->file->fd;
		sqe->fsync_flags = IORING_FSYNC_DATASYNC;
		break;
	}
	sqe->user_data = (uintptr_t)piece;
}

/* Room for a submission, and for the iovecs of any request. */
static void make_room(struct disk *disk)
{
	if (ring_unsubmitted(&disk->ring) == disk->ring.sq_entries ||
	    disk->used_slices > DISK_SLICES - DISK_IOV_MAX)
		disk_enter(disk, 0);
}

/* The first pass that a ring is worth while for: make it. Once; a host that refuses has said so. */
static void make_ring(struct disk *disk)
{
	disk->ring_is_late = false;
	if (ring_obtain(&disk->ring, disk->depth) == 0 && ring_map(&disk->ring) < 0)
		ring_close(&disk->ring);
}

/* False: it is for the caller to do. */
static bool queue(struct disk *disk, const struct piece *what)
{
	struct io_uring_sqe *sqe;
	struct piece *piece;

	if (what->file->in_memory)
		return false;
	if (disk->ring_is_late && disk->expected > 1)
		make_ring(disk);
	if (!disk->ring.rings)
		return false;
	make_room(disk);
	piece = take_piece(disk);
	if (!piece)
		return false;
	*piece = *what;
	sqe = ring_get_sqe(&disk->ring);
	fill(disk, piece, sqe);
	disk->pieces++;
	if (is_change(piece))
		disk->changes++;
	if (piece->alone)
		disk->alone = true;
	return true;
}

void disk_issue(struct disk *disk, const struct piece *what)
{
	what->request->pending++;
	if (!queue(disk, what))
		finish(disk, what, do_now(disk, what));
}

bool disk_issue_flush(struct disk *disk, const struct piece *what, int *ret)
{
	if (queue(disk, what))
		return true;
	*ret = do_now(disk, what);
	return false;
}

static struct piece *piece_of(uint64_t user_data)
{
	return (struct piece *)(uintptr_t)user_data;
}

static void finish_now(struct disk *disk, struct piece *piece)
{
	finish_queued(disk, piece, do_now(disk, piece));
}

/* The kernel takes no submissions now (it is out of memory): do them without it. */
static void take_all_back(struct disk *disk)
{
	while (ring_unsubmitted(&disk->ring) > 0)
		finish_now(disk, piece_of(ring_take_back(&disk->ring)));
}

void disk_enter(struct disk *disk, uint32_t wait)
{
	int rc;

	do {
		rc = ring_enter(&disk->ring, wait);
		disk->stats.enters++;
		if (rc >= 0)
			disk->stats.submitted += (uint64_t)rc;
		else if (rc != -EINTR)
			take_all_back(disk);
	} while (ring_unsubmitted(&disk->ring) > 0);
	/* The kernel has copied the iovecs of what it took. */
	disk->used_slices = 0;
}

static bool collect_some(struct disk *disk)
{
	const struct io_uring_cqe *cqe;
	bool found = false;

	for (; (cqe = ring_peek(&disk->ring)); found = true) {
		struct piece *piece = piece_of(cqe->user_data);
		int result = cqe->res;

		ring_seen(&disk->ring);
		finish_queued(disk, piece, settle(disk, piece, result));
	}
	return found;
}

void disk_collect(struct disk *disk)
{
	if (!collect_some(disk) && ring_wants_enter(&disk->ring)) {
		disk_enter(disk, 0);
		collect_some(disk);
	}
	disk_change_next(disk);
}
