/* SPDX-License-Identifier: MIT */
/*
 * An overlay: some blocks of a disk, in a sparse file at the offsets they have on the disk, and a
 * bitmap that says which.
 *
 * The bitmap, one bit a DISK_BLOCK, least significant first, is a shared mapping: a fork copies
 * none of it, and pages that were never written cost nothing (not even to be looked at: see
 * touched). A bit is set when the block's data has been written, not before. A second bitmap has
 * the blocks that are held as holes, which need no room and do not count against the limit.
 *
 * A file. Behind the disk's last block (its size rounded up to DISK_BLOCK) there is room for one
 * block of header and for the bitmap, in whole pages.
 *
 *	0                      size, rounded up     + 4096     + overlay_map_bytes
 *	| blocks ..............| header             | bitmap   | (in memory: bitmap of holes) |
 *
 * Where the bitmap is. In memory: there in the file, mapped. A durable overlay, or any in a file
 * system: a memfd of its own, mapped. A flush of a durable one writes the data out, then the
 * bitmap's changed pages as they were before that, then those out; so what the file's bitmap says
 * is there is there, after any crash. The freeze puts it into the file in any case.
 */
#ifndef FORKVM_VMM_BLOCK_OVERLAY_H
#define FORKVM_VMM_BLOCK_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/error.h"
#include "vmm/base/util.h"
#include "vmm/block/disk.h"
#include "vmm/block/file.h"

#define OVERLAY_MAGIC	      0x3159414c52564bull /* "KVRLAY1" */
#define OVERLAY_ORIGIN_SIZE   3072u
#define OVERLAY_PAGE_BLOCKS   (PAGE_BYTES * 8) /* blocks in a page of the bitmap */

/* What lies below an overlay. Said by the overlay, so that no image can pass for something else. */
#define OVERLAY_ABOVE_NOTHING 0u
#define OVERLAY_ABOVE_IMAGE   1u
#define OVERLAY_ABOVE_OVERLAY 2u

/* In the file of a durable overlay, little-endian. */
struct overlay_header {
	uint64_t magic;
	uint64_t block; /* DISK_BLOCK */
	uint64_t size;	/* of the disk, bytes */
	uint64_t above; /* OVERLAY_ABOVE_* */
	/* of the file below, when this one was made: a changed one makes nonsense of an overlay */
	uint64_t lower_size, lower_inode, lower_mtime_ns;
	char origin[OVERLAY_ORIGIN_SIZE]; /* what lies below: a path, zero-terminated; may be empty
					   */
};

struct overlay {
	struct block_file file; /* of one that is not made yet: none, in memory */
	int folder_fd;		/* not owned: where a file is made for it; -1: in memory */
	int number, map_number; /* that descriptors are to have when they are made; 0: any */
	int map_fd;		/* owned; the bitmaps' own memfd; -1: there is none */
	uint64_t *held;		/* bitmap */
	uint64_t *holes;	/* the second one; NULL when frozen */
	uint64_t *touched;	/* owned; one bit for each page of held: it is worth a look */
	uint64_t *dirty;	/* owned; likewise: a flush has to write it; NULL unless durable */
	uint64_t size;		/* of the disk, bytes */
	uint64_t data;		/* blocks that hold data */
	uint64_t claimed;	/* blocks that writes under way may add */
	uint64_t limit;		/* blocks; UINT64_MAX: none */
	bool punched;		/* there are bits in holes */
};

#define OVERLAY_NONE ((struct overlay){.file = BLOCK_FILE_NONE, .map_fd = -1, .folder_fd = -1})
#define OVERLAY_MODE 0600 /* of a file that is made for one */

/* How an overlay is made. */
struct overlay_config {
	const struct disk_overlay *storage; /* its descriptors are taken in any case */
	uint64_t size;			    /* of the disk, bytes */
	bool durable;
	enum disk_direct direct;
	const struct block_file *lower; /* what it lies on; NULL: nothing */
	uint64_t above;			/* OVERLAY_ABOVE_* */
};

/*
 * Errors as of disk_open. On failure *overlay is as after overlay_done. One in memory, or in a
 * folder, holds nothing, costs nothing, and is not made before overlay_make: many a clone never
 * writes.
 */
int overlay_init(struct overlay *overlay, const struct overlay_config *config, struct error *error);
void overlay_done(struct overlay *overlay);

static inline bool overlay_is_made(const struct overlay *overlay)
{
	return overlay->file.fd >= 0;
}

/* Make it: before the first change. -errno; then it is as before. */
int overlay_make(struct overlay *overlay);

/*
 * The blocks of [first, end) at its beginning that are alike: all held, or all not. Returns how
 * many, at least one.
 */
uint64_t overlay_run(const struct overlay *overlay, uint64_t first, uint64_t end, bool *ret_held);

bool overlay_holds(const struct overlay *overlay, uint64_t block);

/* It is held, as a hole: there is nothing but zeros. */
bool overlay_is_hole(const struct overlay *overlay, uint64_t block);

/* How many of [first, end) hold no data: what a write there would add. */
uint64_t overlay_missing(const struct overlay *overlay, uint64_t first, uint64_t end);

/* So many blocks more are not beyond the limit. */
bool overlay_has_room(const struct overlay *overlay, uint64_t blocks);

/* Set aside room for so many blocks more. False: there is none. */
bool overlay_claim(struct overlay *overlay, uint64_t blocks);

/* Give back what was claimed and not used. */
void overlay_unclaim(struct overlay *overlay, uint64_t blocks);

/* [first, end) has been written, by whoever claimed so many blocks for it. */
void overlay_wrote(struct overlay *overlay, uint64_t first, uint64_t end, uint64_t claimed);

/* [first, end) has become a hole, with no write there under way. */
void overlay_punched(struct overlay *overlay, uint64_t first, uint64_t end);

/*
 * The next page of the bitmap, from page `from` on, that a flush has to write; false: none. A copy
 * goes to `copy`, and the page counts as written.
 */
bool overlay_take_dirty(struct overlay *overlay, uint64_t from, uint64_t *ret_page, void *copy);

/*
 * No more writes, ever: the bitmap goes into the file, descriptors and mappings become read-only
 * and memfds are sealed. With nothing claimed. On failure it can only be thrown away.
 */
int overlay_freeze(struct overlay *overlay, bool durable, struct error *error);

/* Where a file has the parts that a disk of so many bytes asks for. */
static inline uint64_t overlay_blocks(uint64_t size)
{
	return (size + DISK_BLOCK - 1) / DISK_BLOCK;
}

static inline uint64_t overlay_header_offset(uint64_t size)
{
	return overlay_blocks(size) * DISK_BLOCK;
}

static inline uint64_t overlay_map_offset(uint64_t size)
{
	return overlay_header_offset(size) + DISK_BLOCK;
}

static inline uint64_t overlay_map_bytes(uint64_t size)
{
	return round_up((overlay_blocks(size) + 7) / 8, PAGE_BYTES);
}

#endif
