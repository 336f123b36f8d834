/* SPDX-License-Identifier: MIT */
/*
 * A disk: what a guest sees as one, whatever it is made of.
 *
 * Layers. The lowest is the image, which nothing here ever writes (but in DISK_WRITE_THROUGH).
 * Above it lie overlays of the same offsets (overlay.h): the template's own, and a clone's on top
 * of that. Each block of DISK_BLOCK bytes is read from the highest layer that holds it; writes go
 * to the top. What lies behind the end of the image reads as zeros. A disk's last block may be a
 * part of one, since sizes are multiples of DISK_SECTOR; to write all of that is to write a block.
 *
 *	template	disk_open  disk_start  (guest runs)  disk_drain  disk_freeze
 *	clone		disk_clone (or disk_insert)  disk_start  (guest runs)  disk_stop
 *
 * Requests. Any number of disk_submit, then one disk_kick, which gives the kernel all of them by
 * one io_uring_enter(2); disk_reap brings back what is done. What the kernel would only hand to
 * another thread (files in memory), and everything where io_uring cannot be had, disk_submit does
 * itself. Guest memory is named in requests only: none of it is registered, and when disk_drain
 * returns none of it is in use. One thread submits and reaps, or waits after it has submitted: the
 * kernel tells of what is done when that thread next makes a system call.
 *
 * Order. There is none between requests in flight, as with any disk. Writes that cannot share
 * (a part of a block that the top does not hold yet, discards, zeroes, the last blocks before the
 * overlay's limit) wait until they are alone with reads; nobody waits for them but later writes.
 *
 * Forks. In a frozen disk there is no ring, no request, and no page that a clone would copy:
 * bitmaps are shared mappings that nobody can write any more. Descriptors: image and template's
 * overlay are inherited and kept; the ring and its own overlay each clone has to itself.
 *
 * System calls of a started disk: io_uring_enter, preadv, pwritev, fallocate, fdatasync; for what
 * it makes when it is first used, memory and memfd_create, openat (in the overlay's folder, as
 * DISK_OVERLAY_OPEN says), ftruncate, dup3, close. All others are made before disk_start returns,
 * by base/call.h; a ring that comes late, by ring_obtain (ring.h).
 *
 * No locking: one caller at a time.
 */
#ifndef FORKVM_VMM_BLOCK_DISK_H
#define FORKVM_VMM_BLOCK_DISK_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/error.h"

#define DISK_SECTOR	   512u
#define DISK_BLOCK	   4096u
#define DISK_LAYERS_MAX	   8u	 /* overlays, the image not counted */
#define DISK_DEPTH_MAX	   1024u /* requests in flight */
#define DISK_DEPTH_DEFAULT 128u	 /* where nothing else is asked for */
#define DISK_IOV_MAX	   1024u /* iovecs of one request: the kernel's own limit */

enum disk_mode {
	DISK_OVERLAY,	    /* the image is never written: writes go to an overlay       */
	DISK_READ_ONLY,	    /* no writes at all                                         */
	DISK_WRITE_THROUGH, /* writes go to the image; for an image that is one clone's */
};

/* O_DIRECT, for image and overlays alike; files in memory are left out. */
enum disk_direct {
	DISK_DIRECT_AUTO, /* where the file allows it, if the disk is durable or written through */
	DISK_DIRECT_ON,	  /* an error where the file does not allow it */
	DISK_DIRECT_OFF,
};

/* One overlay's storage; all of it is owned by whoever the structure is given to. */
struct disk_overlay {
	/* Empty, open for reading and writing; -1: a memfd is made when the first change comes. */
	int data_fd;
	/*
	 * With data_fd -1: where the first change makes a file without a name instead (O_TMPFILE),
	 * and a memfd for the bitmap. Not owned. Not on a file system in memory, not durable, not
	 * with O_DIRECT. 0 or -1: none.
	 */
	int folder_fd;
	int data_number; /* the number that such a memfd, or file, gets; 0: any */
	int map_number;	 /* and that of its bitmap, if that is apart; 0: any    */
	uint64_t limit;	 /* bytes it may hold, in whole blocks; 0: any number                     */
	/*
	 * An empty memfd for the bitmap, for an owner who wants to export the disk while it is in
	 * use; 0 or -1: one is made. Not with a data_fd that is a memfd: the bitmap lies in that.
	 */
	int map_fd;
	bool durable;	    /* this overlay is, even where the disk's configuration is not */
	const char *origin; /* durable: text for the header that says what lies below; or NULL */
};

/* A disk_overlay's initial value: in memory, without a limit. */
#define DISK_OVERLAY_IN_MEMORY ((struct disk_overlay){.data_fd = -1})

/* How the file without a name is opened: what exists already cannot be opened so. */
#define DISK_OVERLAY_OPEN      (O_RDWR | O_TMPFILE | O_EXCL | O_CLOEXEC)

struct disk_config {
	int image_fd; /* owned by the disk, on errors too; -1: none */
	/* Bytes the guest sees, not less than the image has; 0: the image's size, none: empty slot
	 */
	uint64_t size;
	enum disk_mode mode;
	enum disk_direct direct;
	bool durable;	 /* flush means that data and bitmap are on stable storage, in that order */
	bool force_sync; /* no io_uring */
	uint32_t depth;	 /* requests in flight at most; a power of two, to DISK_DEPTH_MAX */
	struct disk_overlay overlay; /* of the template; only for DISK_OVERLAY */
};

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,
	DISK_DISCARD,
	DISK_WRITE_ZEROES
};

#define DISK_OPS 5

/*
 * One request; the caller's, from disk_submit until disk_reap returns it, iovecs included.
 * offset and length are multiples of DISK_SECTOR inside the disk; the iovecs, at most DISK_IOV_MAX,
 * have length bytes in all. DISK_FLUSH has neither. DISK_DISCARD makes the whole blocks of its
 * range zeros, where the host's file system can, and leaves the rest; DISK_WRITE_ZEROES is exact.
 * DISK_FLUSH is for what was reaped before it was submitted.
 */
struct disk_request {
	enum disk_op op;
	uint64_t offset, length;
	const struct iovec *iov;
	uint32_t iov_count;
	/*
	 * When it is back: 0, -EINVAL (not as above), -ENOSPC (the overlay's limit, or the host's),
	 * -EROFS, -EFAULT (not memory), -EIO and what else the host's file system says.
	 */
	int result;
	/* the disk's own */
	struct disk_request *next;
	uint32_t pending; /* pieces under way */
	uint64_t start_ns;
};

#define DISK_LATENCY_BUCKETS 24 /* bucket i: below 2^i microseconds; the last: all others */

/* Since disk_start. */
struct disk_stats {
	uint64_t requests[DISK_OPS], bytes[DISK_OPS]; /* by enum disk_op */
	uint64_t errors;
	uint64_t passes;			   /* disk_kick with something to do              */
	uint64_t pass_max;			   /* requests of the largest                     */
	uint64_t enters;			   /* io_uring_enter(2)                           */
	uint64_t submitted;			   /* submissions that went to the kernel in them */
	uint64_t sync;				   /* pieces done by a system call of their own   */
	uint64_t alone;				   /* writes that waited until they were alone    */
	uint64_t reaps;				   /* rounds of disk_reap that found something    */
	uint64_t reaped;			   /* requests they found                         */
	uint64_t depth_max;			   /* requests in flight at most                  */
	uint64_t depth_sum;			   /* over passes, for the mean                   */
	uint64_t latency_us[DISK_LATENCY_BUCKETS]; /* from disk_submit to disk_reap */
	uint64_t overlay_bytes;			   /* what the top overlay holds */
	uint64_t notifications, interrupts;	   /* see disk_count_doorbells   */
};

struct disk;

/*
 * Make a disk of an image: a regular file or a block device. Takes config's descriptors in any
 * case. Errors: -EISDIR and the like for what is no image, -EINVAL for sizes (of 0, or not a
 * multiple of DISK_SECTOR) and for an overlay that is not an empty regular file, -EACCES for a mode
 * that the descriptor does not allow, -EOPNOTSUPP for O_DIRECT, -ENOMEM.
 */
int disk_open(const struct disk_config *config, struct disk **ret, struct error *error);

/* Close everything. NULL is fine. Nothing may be in flight. */
void disk_free(struct disk *disk);

/* Bytes the guest sees; 0 for an empty slot. */
uint64_t disk_size(const struct disk *disk);
enum disk_mode disk_get_mode(const struct disk *disk);

/*
 * Make the ring, restricted to what a disk does, and be ready for requests. Where io_uring is
 * refused (ENOSYS, EPERM, ENOMEM ...), or every file is in memory, the disk works without one. In
 * each process, before the guest runs. -errno: no descriptor or no memory is to be had.
 */
int disk_start(struct disk *disk, struct error *error);

/*
 * The same, but a ring is made by the first pass that is told to have several requests: many a
 * clone has none, and one request by itself is done sooner by a system call of its own. For who
 * waits for what it submits; disk_event_fd tells of no such ring. Where one is refused then, the
 * disk goes on without.
 */
void disk_start_late(struct disk *disk);

/* The next pass has so many requests. Without being told, a disk takes each for the only one. */
void disk_expect(struct disk *disk, uint32_t requests);

/* A descriptor that can be read when disk_reap would find something; -1 when there is no ring. */
int disk_event_fd(const struct disk *disk);

/* See above. disk_submit never fails: what goes wrong is the request's result. */
void disk_submit(struct disk *disk, struct disk_request *request);
void disk_kick(struct disk *disk);

/* disk_kick, and wait until everything submitted is done: as a rule by the same system call. */
void disk_kick_wait(struct disk *disk);

/*
 * The next request that is done, or NULL. Makes no system call but where the kernel asks for one,
 * or where what is done lets something else begin. After the last disk_kick of a pass, call it
 * until it returns NULL.
 */
struct disk_request *disk_reap(struct disk *disk);

/* How many are submitted and not reaped. */
uint32_t disk_in_flight(const struct disk *disk);

/* Wait until everything submitted is done; disk_reap then brings all of it without waiting. */
void disk_drain(struct disk *disk);

/*
 * What a person should know about errors among the results: the limit was reached, the image has
 * shrunk ... True once for each kind of trouble since disk_start, with a text for the log.
 */
bool disk_take_trouble(struct disk *disk, struct error *ret);

/* Close the ring. Nothing may be in flight. */
void disk_stop(struct disk *disk);

/*
 * The disk is about to be a template's: its overlay becomes a read-only layer, for good. With
 * nothing in flight; disk_stop is implied. A durable one is written out first. -EINVAL for a disk
 * that is written through; on failure it can only be freed.
 */
int disk_freeze(struct disk *disk, struct error *error);

/*
 * In a clone of a frozen disk: an overlay of its own on top (taken in any case). Disks without
 * overlays, and empty slots, are left as they are. Errors as of disk_open; the disk is as before.
 */
int disk_clone(struct disk *disk, const struct disk_overlay *overlay, struct error *error);

/* In a clone, for an empty slot: an image, as disk_open. On failure the slot stays empty. */
int disk_insert(struct disk *disk, const struct disk_config *config, struct error *error);

const struct disk_stats *disk_get_stats(const struct disk *disk);

/*
 * How often the guest has rung for requests, and was interrupted for their ends, since disk_start:
 * told by its device, so that one structure has all that batches are judged by.
 */
void disk_count_doorbells(struct disk *disk, uint64_t notifications, uint64_t interrupts);

/*
 * The descriptors of a disk: write up to max of them, the disk's own, to fds and return how many
 * there are. The ring's is not among them.
 */
unsigned int disk_descriptors(struct disk *disk, int *fds, unsigned int max);

/*
 * Give them consecutive numbers from `from` on: what else has such a number is closed, so that a
 * child can then close all others as ranges. Returns the number behind the last; or -errno, and
 * the disk works on under numbers of which some may be new.
 */
int disk_move_descriptors(struct disk *disk, int from, struct error *error);

struct export_source;

/*
 * What it takes to read the disk from outside (export.h); descriptors stay the disk's. Before the
 * guest stops, what it says is as true as a look at a disk in use can be.
 */
void disk_get_source(const struct disk *disk, struct export_source *ret);

#endif
