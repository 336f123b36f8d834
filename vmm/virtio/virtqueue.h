/* SPDX-License-Identifier: MIT */
/*
 * A split virtqueue, the device's side (VIRTIO 1.2, section 2.7).
 *
 * Theory of operation. Three tables lie in guest RAM: descriptors and the available ring, which
 * the driver writes, and the used ring, which the device writes. All of it belongs to a guest that
 * may be hostile and is running while we look: so every field is copied once and judged by its
 * copy, and whatever the driver wrote is either followed inside RAM or refused with -EPROTO and a
 * sentence. After a refusal the queue is of no use any more; its device asks to be reset.
 *
 * All four indices run freely and wrap at 65536. In the order of a chain's life:
 *
 *	used_told <= used_next <= avail_next <= avail_seen <= used_told + size
 *
 * told to the driver; written to the used ring; popped by the device; offered by the driver. That
 * the last is no more than size beyond the first is checked when the driver's index is read: it
 * bounds how many chains a device can hold at a time.
 *
 * Kicks. virtqueue_arm asks to be notified of what will be offered after what it has counted, and
 * closes the gap in which neither side would act. A device that handles as many chains as it was
 * told there misses nothing, and its work for one notification is bounded by the queue's size.
 *
 * The structure is plain memory and a fork carries it. No locking: one caller at a time.
 */
#ifndef FORKVM_VMM_VIRTIO_VIRTQUEUE_H
#define FORKVM_VMM_VIRTIO_VIRTQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/base/error.h"
#include "vmm/base/layout.h"
#include "vmm/mem/guest_ram.h"

/* The largest queue a device may have; the specification's own limit is 32768. */
#define VIRTQUEUE_SIZE_MAX 1024u

/* What a driver says of its queue, as it said it: nothing here is checked. */
struct virtqueue_layout {
	uint32_t size; /* descriptors */
	gpa_t desc;    /* descriptor area: the table      */
	gpa_t avail;   /* driver area: the available ring */
	gpa_t used;    /* device area: the used ring      */
};

struct virtqueue {
	const struct guest_ram *ram;		/* not owned */
	bool ready;				/* everything below holds only when it is true */
	bool event_idx;				/* VIRTIO_F_EVENT_IDX was negotiated           */
	bool indirect;				/* VIRTIO_F_INDIRECT_DESC was negotiated       */
	uint16_t size;				/* a power of two */
	gpa_t desc, avail, used;		/* aligned, inside RAM */
	uint16_t avail_seen;			/* the driver's index as last read      */
	uint16_t avail_next;			/* the next to pop                      */
	uint16_t used_next;			/* the next to write to the used ring   */
	uint16_t used_told;			/* our index as last told to the driver */
	uint64_t busy[VIRTQUEUE_SIZE_MAX / 64]; /* heads that were popped and not put back */
};

/* One buffer of the driver: a descriptor chain, laid out in the caller's iovecs. */
struct virtqueue_chain {
	uint16_t head;		 /* its name */
	uint16_t readable;	 /* iovecs the device may read: these come first ... */
	uint16_t writable;	 /* ... and those it may write, behind them          */
	uint32_t readable_bytes; /* in all; with the writable ones below 4 GiB       */
	uint32_t writable_bytes;
};

/*
 * Begin: check what the driver says, size against size_max (at most VIRTQUEUE_SIZE_MAX) and the
 * three areas against alignment (2.7, the table there) and RAM. features: the negotiated bits.
 * Both rings begin at index 0. -EPROTO, and the queue is not ready, when something is wrong.
 */
int virtqueue_enable(struct virtqueue *vq, const struct guest_ram *ram,
		     const struct virtqueue_layout *layout, uint32_t size_max, uint64_t features,
		     struct error *error);

/* End: from here on the queue touches no guest memory. Chains that were popped are forgotten. */
void virtqueue_disable(struct virtqueue *vq);

/*
 * Be notified of every chain offered from now on, and say how many there are to pop by now
 * (2.7.10). 0 for a queue that is not ready; -EPROTO when the driver's index makes no sense.
 */
int virtqueue_arm(struct virtqueue *vq, struct error *error);

/* Ask for no notification until the next virtqueue_arm. The driver may send some all the same. */
void virtqueue_quiet(struct virtqueue *vq);

/*
 * Take the next chain: its segments, readable ones first, into iov, which has room for capacity
 * (queue size is enough for any). The iovecs point into guest RAM, which the guest may change at
 * any moment; none is empty. 1 with *ret_chain filled in; 0 when nothing is offered or the queue
 * is not ready; -EPROTO for a chain that breaks the rules of 2.7.5 or does not fit.
 */
int virtqueue_pop(struct virtqueue *vq, struct iovec *iov, size_t capacity,
		  struct virtqueue_chain *ret_chain, struct error *error);

/*
 * Give back the chain head, with written bytes at the beginning of its writable part (2.7.8). The
 * driver learns of it by the next virtqueue_flush. Nothing happens on a queue that is not ready.
 */
void virtqueue_put(struct virtqueue *vq, uint16_t head, uint32_t written);

/*
 * Tell the driver of all chains put back since the last time, in one step. Returns whether it wants
 * an interrupt for any of them (2.7.7).
 */
bool virtqueue_flush(struct virtqueue *vq);

#endif
