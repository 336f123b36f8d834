/* SPDX-License-Identifier: MIT */
/*
 * Flushing a durable disk.
 *
 * Theory of operation. First the bitmap's changed pages are copied: their bits stand for data that
 * has been written. Then the data goes to stable storage, then the copies into the file, then they
 * do, too. Each step is a piece of its own, so a flush with a ring holds nobody up. There are
 * DISK_FLUSH_PAGES copies at most (each page is about 128 MiB of disk); what is changed beyond them
 * takes another round, whose first step is also the last of the round before.
 *
 * Flushes that come while one is under way share the next: theirs may be for writes that are too
 * late for it.
 */
#include <assert.h>

#include "vmm/block/internal.h"

static void copy_pages(struct disk *disk)
{
	struct flush *flush = &disk->flush;
	uint64_t page;

	flush->count = flush->at = 0;
	while (disk->top && flush->count < DISK_FLUSH_PAGES &&
	       overlay_take_dirty(disk->top, flush->cursor, &page,
				  disk->arena->pages[flush->count])) {
		flush->numbers[flush->count++] = page;
		flush->cursor = page + 1;
	}
}

/* False: nobody waits for a flush. */
static bool begin(struct disk *disk)
{
	struct flush *flush = &disk->flush;
	struct disk_request *request;

	while ((request = request_list_take(&flush->waiting)))
		request_list_add(&flush->running, request);
	if (!flush->running.first)
		return false;
	flush->stage = FLUSH_DATA;
	flush->cursor = 0;
	copy_pages(disk);
	return true;
}

/* How many of the copies, from flush->at on, follow one another in the file too. */
static uint32_t find_group(const struct flush *flush)
{
	uint32_t count = 1;

	while (flush->at + count < flush->count &&
	       flush->numbers[flush->at + count] == flush->numbers[flush->at] + count)
		count++;
	return count;
}

static struct piece describe(struct disk *disk)
{
	struct flush *flush = &disk->flush;
	struct piece piece = {.op = PIECE_SYNC,
			      .file = disk->top ? &disk->top->file : &disk->image};

	if (flush->stage == FLUSH_MAP) {
		flush->group = find_group(flush);
		piece.op = PIECE_WRITE;
		piece.memory = disk->arena->pages[flush->at];
		piece.offset =
			overlay_map_offset(disk->size) + flush->numbers[flush->at] * PAGE_BYTES;
		piece.length = flush->group * PAGE_BYTES;
	}
	return piece;
}

static void finish_all(struct disk *disk)
{
	struct disk_request *request;

	disk->flush.stage = FLUSH_IDLE;
	while ((request = request_list_take(&disk->flush.running))) {
		disk_note_result(request, disk->flush.error);
		disk_put_request(disk, request);
	}
}

/* One step is done. False: there is none after it. */
static bool next(struct disk *disk, int rc)
{
	struct flush *flush = &disk->flush;

	assert(flush->stage != FLUSH_IDLE);
	if (rc < 0) {
		/* What the kernel could not write it may since have thrown away. */
		flush->error = rc;
		disk_note_trouble(disk, TROUBLE_FLUSH, -rc);
	} else if (flush->stage == FLUSH_DATA && flush->count > 0) {
		flush->stage = FLUSH_MAP;
		return true;
	} else if (flush->stage == FLUSH_MAP) {
		flush->at += flush->group;
		if (flush->at == flush->count) {
			copy_pages(disk);
			flush->stage = flush->count > 0 ? FLUSH_DATA : FLUSH_LAST;
		}
		return true;
	}
	finish_all(disk);
	return begin(disk);
}

/* From the step that is to be done, until the ring has one or nobody waits. */
static void run(struct disk *disk)
{
	struct piece piece;
	int rc;

	do
		piece = describe(disk);
	while (!disk_issue_flush(disk, &piece, &rc) && next(disk, rc));
}

void disk_flush(struct disk *disk, struct disk_request *request)
{
	struct flush *flush = &disk->flush;

	if (!disk->durable || flush->error || disk->mode == DISK_READ_ONLY || disk->size == 0) {
		disk_note_result(request, flush->error);
		disk_put_request(disk, request);
		return;
	}
	request_list_add(&flush->waiting, request);
	if (flush->stage == FLUSH_IDLE && begin(disk))
		run(disk);
}

void disk_flush_finish(struct disk *disk, int rc)
{
	if (next(disk, rc))
		run(disk);
}
