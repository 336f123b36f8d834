/* SPDX-License-Identifier: MIT */
/*
 * The inside of a disk, shared by the files of this folder.
 *
 * Theory of operation. A request becomes pieces: one for each run of blocks that one layer holds.
 * Most requests are one piece, whose memory is the request's own iovecs. A piece goes to the ring,
 * or, where that is of no use, is done on the spot (pieces.c). Pieces have room for as many as the
 * completion queue, so it never overflows; when all are out, the next is done on the spot.
 *
 * Changes (change.c) go to the top overlay, or to the image that is written through. What the top's
 * bitmap says must stay true while they are under way, and so must its count against the limit. So
 * a change that looks at the bitmap and acts on what it finds is done alone: it waits in `waiting`,
 * with every later change behind it, until no other is in flight. Reads never wait.
 */
#ifndef FORKVM_VMM_BLOCK_INTERNAL_H
#define FORKVM_VMM_BLOCK_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/block/disk.h"
#include "vmm/block/file.h"
#include "vmm/block/overlay.h"
#include "vmm/block/ring.h"

#define DISK_SLICES	 2048u /* iovecs of pieces that are parts of a request, until submitted */
#define DISK_FLUSH_PAGES 64u   /* pages of a bitmap that a flush copies at a time */

enum piece_op {
	PIECE_READ,
	PIECE_WRITE,
	PIECE_PUNCH,
	PIECE_SYNC
};

struct piece {
	enum piece_op op;
	bool alone;		      /* no change may begin before it is done */
	struct disk_request *request; /* NULL: a flush's */
	const void *memory;	      /* of a flush's */
	const struct block_file *file;
	uint64_t offset, length;
	uint64_t skip;	    /* bytes of the request's memory before this piece's */
	uint64_t claimed;   /* blocks, of the top overlay */
	struct piece *next; /* in the list of free ones */
};

/* One mapping, touched only where it is used, from the first request to disk_stop. */
struct arena {
	uint8_t scratch[DISK_BLOCK]; /* for a block that is read, changed and written */
	uint8_t pages[DISK_FLUSH_PAGES][PAGE_BYTES];
	struct iovec slices[DISK_SLICES];
	struct piece pieces[2 * DISK_DEPTH_MAX];
};

struct request_list {
	struct disk_request *first, **end; /* end: where the next one is linked; NULL: empty */
};

enum flush_stage {
	FLUSH_IDLE,
	FLUSH_DATA,
	FLUSH_MAP,
	FLUSH_LAST
};

/* See flush.c. */
struct flush {
	enum flush_stage stage;
	struct request_list running, waiting;
	uint64_t cursor;		    /* page of the bitmap to go on from */
	uint64_t numbers[DISK_FLUSH_PAGES]; /* pages that arena->pages are copies of */
	uint32_t count, at, group;	    /* copies, those written, those being written */
	int error;			    /* once one has failed, none can succeed */
};

enum trouble {
	TROUBLE_LIMIT,
	TROUBLE_SPACE,
	TROUBLE_SHRUNK,
	TROUBLE_READ,
	TROUBLE_WRITE,
	TROUBLE_FLUSH,
	TROUBLE_COUNT,
};

struct disk {
	struct block_file image;
	uint64_t size, image_size;
	enum disk_mode mode;
	enum disk_direct direct;
	bool always_durable; /* as configured */
	bool durable;	     /* the top, or the image that is written through */
	bool force_sync;
	uint32_t depth;
	struct overlay overlays[DISK_LAYERS_MAX]; /* the lowest first */
	unsigned int overlay_count;
	struct overlay *top; /* the last, if it can be written; NULL */

	/* from disk_start to disk_stop */
	struct arena *arena;
	struct ring ring;
	bool ring_is_late;     /* there is none yet, and there may be one */
	uint32_t expected;     /* requests of this pass, as far as is known */
	uint32_t fresh_pieces; /* of arena->pieces, how many were ever used */
	struct piece *free_pieces;
	uint32_t used_slices;

	uint32_t in_flight; /* requests */
	uint32_t pieces;    /* in the ring */
	uint32_t changes;   /* of them, those that write or punch */
	bool alone;	    /* one of them that no other may begin beside */
	uint32_t pass;	    /* requests since the last kick */
	uint64_t pass_ns, round_ns;
	struct request_list done, waiting;
	struct flush flush;
	struct disk_stats stats;
	int trouble[TROUBLE_COUNT]; /* the first error of each kind, a positive errno */
	bool told[TROUBLE_COUNT];
};

/* Requests (engine.c) */
void request_list_add(struct request_list *list, struct disk_request *request);
struct disk_request *request_list_take(struct request_list *list);

/* A part of the request went wrong, or (0) did not. The first error stays. */
void disk_note_result(struct disk_request *request, int result);

/* One piece less, or the caller itself: when it was the last, the request is done. */
void disk_put_request(struct disk *disk, struct disk_request *request);

/* Trouble (trouble.c) */

/* Something a person should know. code: a positive errno. */
void disk_note_trouble(struct disk *disk, enum trouble trouble, int code);

/* A transfer went wrong: note what people should know, and return what the guest is to know. */
int disk_note_error(struct disk *disk, const struct block_file *file, bool write, int rc);

/* Pieces (pieces.c) */

/* A piece goes to the ring, or is done; with what follows from that. *what is copied. */
void disk_issue(struct disk *disk, const struct piece *what);

/* The same for a flush's. True: the ring has it. Else *ret is 0 or -errno. */
bool disk_issue_flush(struct disk *disk, const struct piece *what, int *ret);

/* Give the ring's submissions to the kernel, and wait for so many completions. */
void disk_enter(struct disk *disk, uint32_t wait);

/* Take all completions that are there, and begin what waited for them. */
void disk_collect(struct disk *disk);

/* Reading (layers.c) */

/*
 * Where the sectors from offset on are to be read, at most length bytes of them: *ret is NULL for
 * zeros. Returns how many bytes, at least a sector.
 */
uint64_t disk_find_layer(const struct disk *disk, uint64_t offset, uint64_t length,
			 const struct block_file **ret);
void disk_read(struct disk *disk, struct disk_request *request);

/* Read at once, whatever layers it takes. 0 or -errno. */
int disk_read_now(struct disk *disk, void *memory, uint64_t offset, uint64_t length);

/* Changing (change.c) */

/* Begin a change, or have it wait. */
void disk_change(struct disk *disk, struct disk_request *request);

/* Begin what waited, as far as it may. */
void disk_change_next(struct disk *disk);

/* A piece of a change is done: the bitmap, and what a file system without holes needs. */
int disk_change_finish(struct disk *disk, const struct piece *piece, int rc);

/* Flushing (flush.c) */
void disk_flush(struct disk *disk, struct disk_request *request);

/* The piece in the ring is done. */
void disk_flush_finish(struct disk *disk, int rc);

#endif
