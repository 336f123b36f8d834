/* SPDX-License-Identifier: MIT */
/*
 * A disk: what a guest sees as one, whatever it is made of.
 *
 * Layers. The lowest is the image, which nothing here ever writes (but in DISK_WRITE_THROUGH).
 * Above it lie overlays of the same offsets (overlay.h): the template's own, and a clone's on top
 *of that. Each block of DISK_BLOCK bytes is read from the highest layer that holds it; writes go to
 *the top. What lies behind the end of the image reads as zeros.
 *
 *	template	disk_open  disk_start  (guest runs)  disk_drain  disk_freeze
 *	clone		disk_clone (or disk_insert)  disk_start  (guest runs)  disk_stop
 *
 * Requests. Any number of disk_submit, then one disk_kick, which gives the kernel all of them by
 *one io_uring_enter(2); disk_reap brings back what is done. Where io_uring cannot be had, disk_kick
 * does the work itself. Guest memory is named in requests only: none of it is registered, and when
 * disk_drain returns none of it is in use.
 *
 * Forks. In a frozen disk there is no ring, no request, and no page that a clone would copy:
 *bitmaps are shared mappings that nobody writes any more. Descriptors: image and template's overlay
 *are inherited and kept; the ring and its own overlay each clone has to itself.
 *
 * No locking: one caller at a time.
 */
#ifndef FORKVM_VMM_BLOCK_DISK_H
#define FORKVM_VMM_BLOCK_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/error.h"

#define DISK_SECTOR	512u
#define DISK_BLOCK	4096u
#define DISK_LAYERS_MAX 8u /* overlays, the image not counted */

enum disk_mode {
	DISK_OVERLAY,	    /* the image is never written: writes go to an overlay       */
	DISK_READ_ONLY,	    /* no writes at all                                         */
	DISK_WRITE_THROUGH, /* writes go to the image; for an image that is one clone's */
};

/* O_DIRECT, for image and overlays alike. */
enum disk_direct {
	DISK_DIRECT_AUTO, /* where the file allows it, if the disk is durable or written through */
	DISK_DIRECT_ON,	  /* an error where the file does not allow it */
	DISK_DIRECT_OFF,
};

/* One overlay's storage; both are owned by whoever the structure is given to. */
struct disk_overlay {
	int data_fd; /* empty, open for reading and writing: a file, or a memfd; -1: a memfd is made
		      */
	uint64_t limit;	    /* bytes it may hold; 0: any number                           */
	const char *origin; /* durable: text for the header that says what lies below; NULL: none */
};

struct disk_config {
	int image_fd; /* owned by the disk, on errors too; -1: an empty slot */
	enum disk_mode mode;
	enum disk_direct direct;
	bool durable;	 /* flush means that data and bitmap are on stable storage, in that order */
	bool force_sync; /* no io_uring */
	uint32_t depth;	 /* requests in flight at most; a power of two, to 1024 */
	struct disk_overlay overlay; /* of the template; only for DISK_OVERLAY */
};

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,
	DISK_DISCARD,
	DISK_WRITE_ZEROES
};

/*
 * One request; the caller's, from disk_submit until disk_reap returns it, iovecs included.
 * offset and length are multiples of DISK_SECTOR inside the disk, as the caller has checked
 * (disk_size); the iovecs have length bytes in all. DISK_FLUSH has neither.
 */
struct disk_request {
	enum disk_op op;
	uint64_t offset, length;
	const struct iovec *iov;
	uint32_t iov_count;
	int result; /* when it is back: 0, -ENOSPC (the overlay's limit, or the host's), -EIO,
		       -EROFS ... */
	/* the disk's own */
	struct disk_request *next;
	uint32_t pending; /* pieces under way */
	uint64_t start_ns;
};

#define DISK_LATENCY_BUCKETS 24 /* bucket i: below 2^i microseconds; the last: all others */

/* Since this process began to run the guest. */
struct disk_stats {
	uint64_t requests[5], bytes[5]; /* by enum disk_op */
	uint64_t errors;
	uint64_t passes;	/* disk_kick with something to do              */
	uint64_t pass_max;	/* requests of the largest                     */
	uint64_t enters;	/* io_uring_enter(2)                           */
	uint64_t submitted;	/* submissions that went to the kernel in them */
	uint64_t reaps, reaped; /* disk_reap rounds that found something, and requests they found */
	uint64_t depth_max;	/* requests in flight at most                  */
	uint64_t depth_sum;	/* over passes, for the mean                   */
	uint64_t latency_us[DISK_LATENCY_BUCKETS];
	uint64_t overlay_bytes; /* blocks that the top overlay holds */
};

struct disk;

/*
 * Make a disk of an image: a regular file or a block device. Takes config->image_fd and the
 * overlay's descriptor in any case. Errors: -EISDIR and the like for what is no image, -EINVAL for
 * sizes (of 0, or not a multiple of DISK_SECTOR), -EACCES for a mode that the descriptor does not
 * allow, -EOPNOTSUPP for O_DIRECT, -ENOMEM.
 */
int disk_open(const struct disk_config *config, struct disk **ret, struct error *error);

/* Close everything. NULL is fine. Nothing may be in flight. */
void disk_free(struct disk *disk);

/* Bytes the guest sees; 0 for an empty slot. */
uint64_t disk_size(const struct disk *disk);
enum disk_mode disk_get_mode(const struct disk *disk);

/*
 * Make the ring, restricted to what a disk does, and be ready for requests. Without io_uring
 * (ENOSYS, EPERM, ENOMEM) the disk works without one. In each process, before the guest runs.
 */
int disk_start(struct disk *disk, struct error *error);

/* A descriptor that can be read when disk_reap would find something; -1 when there is no ring. */
int disk_event_fd(const struct disk *disk);

/* See above. disk_submit never fails: what goes wrong is the request's result. */
void disk_submit(struct disk *disk, struct disk_request *request);
void disk_kick(struct disk *disk);

/* The next request that is done, or NULL. Makes no system call but where the kernel asks for one.
 */
struct disk_request *disk_reap(struct disk *disk);

/* How many are submitted and not reaped. */
uint32_t disk_in_flight(const struct disk *disk);

/* Wait until everything submitted is done; disk_reap then brings all of it without waiting. */
void disk_drain(struct disk *disk);

/* Close the ring. Nothing may be in flight. */
void disk_stop(struct disk *disk);

/*
 * The disk is about to be a template's: its overlay becomes a read-only layer, for good. With
 * nothing in flight; disk_stop is implied. A durable one is written out first.
 */
int disk_freeze(struct disk *disk, struct error *error);

/* In a clone of a frozen disk: an overlay of its own on top (taken in any case). */
int disk_clone(struct disk *disk, const struct disk_overlay *overlay, struct error *error);

/* In a clone, for an empty slot: an image, as disk_open; the configuration's fields count here. */
int disk_insert(struct disk *disk, const struct disk_config *config, struct error *error);

const struct disk_stats *disk_get_stats(const struct disk *disk);

#endif
