/* SPDX-License-Identifier: MIT */
/*
 * Writes, discards and zeroes: see internal.h for who waits for whom.
 */
#include <errno.h>
#include <string.h>

#include "vmm/block/internal.h"
#include "vmm/block/iov.h"

static const struct block_file *target(const struct disk *disk)
{
	return disk->top ? &disk->top->file : &disk->image;
}

static uint64_t end_of(const struct disk_request *request)
{
	return request->offset + request->length;
}

/* The change reaches a block's end, or the disk's. */
static bool ends_whole(const struct disk *disk, const struct disk_request *request)
{
	return end_of(request) % DISK_BLOCK == 0 || end_of(request) == disk->size;
}

/* A part of the first block, or of the last, is written, and the rest of it comes from below. */
static bool must_fill(const struct disk *disk, const struct disk_request *request)
{
	if (request->offset % DISK_BLOCK && !overlay_holds(disk->top, request->offset / DISK_BLOCK))
		return true;
	return !ends_whole(disk, request) &&
	       !overlay_holds(disk->top, end_of(request) / DISK_BLOCK);
}

static uint64_t missing(const struct disk *disk, const struct disk_request *request)
{
	return overlay_missing(disk->top, request->offset / DISK_BLOCK,
			       overlay_blocks(end_of(request)));
}

/* Two writes to a page at once, one with O_DIRECT and one without, may lose one of them. */
static bool is_mixed(const struct disk *disk, const struct disk_request *request)
{
	const struct block_file *file = target(disk);

	return file->direct_fd >= 0 &&
	       block_file_pick(file, request->iov, request->iov_count, 0, request->offset,
			       request->length) != file->direct_fd;
}

static bool must_wait(const struct disk *disk, const struct disk_request *request)
{
	if (disk->alone)
		return true;
	if (disk->changes == 0)
		return false;
	if (request->op != DISK_WRITE || is_mixed(disk, request))
		return true;
	return disk->top &&
	       (must_fill(disk, request) || !overlay_has_room(disk->top, missing(disk, request)));
}

static void no_room(struct disk *disk, struct disk_request *request)
{
	disk_note_trouble(disk, TROUBLE_LIMIT, ENOSPC);
	disk_note_result(request, -ENOSPC);
}

/*
 * Part of a block that the top does not hold, length bytes from offset on: the whole of it goes
 * there. skip: where they are in the request's memory; without any they are zeros. One block is
 * claimed. True if it worked.
 */
static bool fill_block(struct disk *disk, struct disk_request *request, uint64_t skip,
		       uint64_t offset, uint64_t length)
{
	uint64_t block = offset / DISK_BLOCK, start = block * DISK_BLOCK;
	uint64_t whole = min_u64(DISK_BLOCK, disk->size - start);
	uint8_t *scratch = disk->arena->scratch;
	int rc = disk_read_now(disk, scratch, start, whole);

	if (rc == 0) {
		if (request->op == DISK_WRITE)
			iov_copy(request->iov, request->iov_count, skip, length,
				 scratch + (offset - start));
		else
			memset(scratch + (offset - start), 0, length);
		disk->stats.sync++;
		rc = block_file_write(&disk->top->file, scratch, start, whole);
		if (rc < 0)
			rc = disk_note_error(disk, &disk->top->file, true, rc);
	}
	disk_note_result(request, rc);
	if (rc == 0)
		overlay_wrote(disk->top, block, block + 1, 1);
	else
		overlay_unclaim(disk->top, 1);
	return rc == 0;
}

/* The blocks at both ends of a write that have to be filled first; *piece becomes what is left. */
static bool fill_ends(struct disk *disk, struct disk_request *request, struct piece *piece)
{
	uint64_t part = DISK_BLOCK - request->offset % DISK_BLOCK;

	if (part < DISK_BLOCK && !overlay_holds(disk->top, request->offset / DISK_BLOCK)) {
		part = min_u64(part, request->length);
		piece->claimed--;
		if (!fill_block(disk, request, 0, request->offset, part))
			return false;
		piece->skip = part;
		piece->offset += part;
		piece->length -= part;
	}
	if (piece->length > 0 && !ends_whole(disk, request) &&
	    !overlay_holds(disk->top, end_of(request) / DISK_BLOCK)) {
		part = end_of(request) % DISK_BLOCK;
		piece->claimed--;
		piece->length -= part;
		if (!fill_block(disk, request, piece->skip + piece->length, end_of(request) - part,
				part))
			return false;
	}
	return true;
}

static void start_write(struct disk *disk, struct disk_request *request)
{
	struct piece piece = {
		.op = PIECE_WRITE,
		.alone = is_mixed(disk, request),
		.request = request,
		.file = target(disk),
		.offset = request->offset,
		.length = request->length,
	};

	if (disk->top) {
		piece.claimed = missing(disk, request);
		if (!overlay_claim(disk->top, piece.claimed)) {
			no_room(disk, request);
			return;
		}
		if (must_fill(disk, request) && !fill_ends(disk, request, &piece)) {
			overlay_unclaim(disk->top, piece.claimed);
			return;
		}
	}
	if (piece.length > 0)
		disk_issue(disk, &piece);
}

/* Zeros to a part of one block. True if it worked. */
static bool zero_end(struct disk *disk, struct disk_request *request, uint64_t offset,
		     uint64_t length)
{
	uint64_t block = offset / DISK_BLOCK;
	int rc;

	if (overlay_is_hole(disk->top, block))
		return true;
	if (!overlay_holds(disk->top, block)) {
		if (overlay_claim(disk->top, 1))
			return fill_block(disk, request, 0, offset, length);
		no_room(disk, request);
		return false;
	}
	disk->stats.sync++;
	rc = block_file_write_zeros(&disk->top->file, offset, length);
	if (rc < 0)
		disk_note_result(request, disk_note_error(disk, &disk->top->file, true, rc));
	return rc == 0;
}

/* The whole blocks of [*start, *end); a disk's last block is whole by what there is of it. */
static void shrink_to_blocks(const struct disk *disk, uint64_t *start, uint64_t *end)
{
	*start = round_up(*start, DISK_BLOCK);
	if (*end != disk->size)
		*end = round_down(*end, DISK_BLOCK);
}

/* The parts of blocks at both ends of zeroes. */
static bool zero_ends(struct disk *disk, struct disk_request *request)
{
	uint64_t start = request->offset, end = end_of(request);
	uint64_t head = min_u64(round_up(start, DISK_BLOCK), end);
	uint64_t tail = max_u64(round_down(end, DISK_BLOCK), head);

	if (start < head && !zero_end(disk, request, start, head - start))
		return false;
	return end == disk->size || tail == end || zero_end(disk, request, tail, end - tail);
}

static void start_punch(struct disk *disk, struct disk_request *request)
{
	struct piece piece = {
		.op = PIECE_PUNCH, .alone = true, .request = request, .file = target(disk)};
	uint64_t start = request->offset, end = end_of(request);

	if (request->op == DISK_WRITE_ZEROES && disk->top && !zero_ends(disk, request))
		return;
	if (request->op == DISK_DISCARD || disk->top)
		shrink_to_blocks(disk, &start, &end);
	if (start >= end)
		return;
	piece.offset = start;
	piece.length = end - start;
	disk_issue(disk, &piece);
}

static void start(struct disk *disk, struct disk_request *request)
{
	int rc = disk->top && !overlay_is_made(disk->top) ? overlay_make(disk->top) : 0;

	if (rc < 0)
		disk_note_result(request, disk_note_error(disk, &disk->top->file, true, rc));
	else if (request->op == DISK_WRITE)
		start_write(disk, request);
	else
		start_punch(disk, request);
	disk_put_request(disk, request);
}

void disk_change(struct disk *disk, struct disk_request *request)
{
	if (disk->mode == DISK_READ_ONLY) {
		disk_note_result(request, -EROFS);
		disk_put_request(disk, request);
	} else if (disk->waiting.first || must_wait(disk, request)) {
		disk->stats.alone++;
		request_list_add(&disk->waiting, request);
	} else {
		start(disk, request);
	}
}

void disk_change_next(struct disk *disk)
{
	while (disk->waiting.first && !must_wait(disk, disk->waiting.first))
		start(disk, request_list_take(&disk->waiting));
}

/* Zeros as data, where the file system has no holes. */
static int write_zeros(struct disk *disk, const struct piece *piece)
{
	uint64_t first = piece->offset / DISK_BLOCK;
	uint64_t end = overlay_blocks(piece->offset + piece->length), more = 0;
	int rc;

	if (disk->top) {
		more = overlay_missing(disk->top, first, end);
		if (!overlay_claim(disk->top, more)) {
			no_room(disk, piece->request);
			return 0;
		}
	}
	disk->stats.sync++;
	rc = block_file_write_zeros(piece->file, piece->offset, piece->length);
	if (disk->top && rc == 0)
		overlay_wrote(disk->top, first, end, more);
	else if (disk->top)
		overlay_unclaim(disk->top, more);
	return rc;
}

int disk_change_finish(struct disk *disk, const struct piece *piece, int rc)
{
	uint64_t first = piece->offset / DISK_BLOCK;
	uint64_t end = overlay_blocks(piece->offset + piece->length);

	if (piece->op == PIECE_PUNCH && (rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL))
		return piece->request->op == DISK_DISCARD ? 0 : write_zeros(disk, piece);
	if (!disk->top)
		return rc;
	if (piece->op == PIECE_PUNCH) {
		if (rc == 0)
			overlay_punched(disk->top, first, end);
	} else if (rc == 0) {
		overlay_wrote(disk->top, first, end, piece->claimed);
	} else {
		overlay_unclaim(disk->top, piece->claimed);
	}
	return rc;
}
