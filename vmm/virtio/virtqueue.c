/* SPDX-License-Identifier: MIT */
/*
 * A split virtqueue, the device's side: see virtqueue.h.
 */
#include "vmm/virtio/virtqueue.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "vmm/base/util.h"

#define DESC_BYTES	  16u
#define USED_ELEM_BYTES	  8u

/* Where things are inside the rings (2.7.6, 2.7.8), in bytes. Both begin with flags and index. */
#define RING_FLAGS	  0u
#define RING_INDEX	  2u
#define RING_ENTRIES	  4u

#define AVAIL_BYTES(size) (6u + 2u * (uint64_t)(size))
#define USED_BYTES(size)  (6u + 8u * (uint64_t)(size))

static_assert(sizeof(struct vring_desc) == DESC_BYTES, "the specification's layout");

/* The rings were inside RAM when the queue was enabled, and RAM does not shrink. */
static void *inside(const struct virtqueue *vq, gpa_t gpa, uint64_t size)
{
	void *at = guest_ram_at(vq->ram, gpa, size);

	assert(at);
	return at;
}

static uint16_t *field(const struct virtqueue *vq, gpa_t gpa)
{
	return inside(vq, gpa, sizeof(uint16_t));
}

static uint16_t *used_event(const struct virtqueue *vq)
{
	return field(vq, vq->avail + RING_ENTRIES + 2ull * vq->size);
}

static uint16_t *avail_event(const struct virtqueue *vq)
{
	return field(vq, vq->used + RING_ENTRIES + (uint64_t)USED_ELEM_BYTES * vq->size);
}

static bool area_fits(const struct guest_ram *ram, gpa_t gpa, uint64_t size, uint64_t alignment)
{
	return gpa % alignment == 0 && guest_ram_at(ram, gpa, size);
}

static int check_layout(const struct guest_ram *ram, const struct virtqueue_layout *layout,
			uint32_t size_max, struct error *error)
{
	const uint32_t size = layout->size;

	if (size == 0 || size > size_max || (size & (size - 1)) != 0)
		return error_set(error, EPROTO, "queue size %u is not a power of two from 1 to %u",
				 size, size_max);
	if (!area_fits(ram, layout->desc, (uint64_t)DESC_BYTES * size, VRING_DESC_ALIGN_SIZE))
		return error_set(error, EPROTO,
				 "descriptor table at 0x%llx: not aligned or not RAM",
				 (unsigned long long)layout->desc);
	if (!area_fits(ram, layout->avail, AVAIL_BYTES(size), VRING_AVAIL_ALIGN_SIZE))
		return error_set(error, EPROTO, "available ring at 0x%llx: not aligned or not RAM",
				 (unsigned long long)layout->avail);
	if (!area_fits(ram, layout->used, USED_BYTES(size), VRING_USED_ALIGN_SIZE))
		return error_set(error, EPROTO, "used ring at 0x%llx: not aligned or not RAM",
				 (unsigned long long)layout->used);
	return 0;
}

int virtqueue_enable(struct virtqueue *vq, const struct guest_ram *ram,
		     const struct virtqueue_layout *layout, uint32_t size_max, uint64_t features,
		     struct error *error)
{
	int rc;

	assert(size_max <= VIRTQUEUE_SIZE_MAX);
	virtqueue_disable(vq);
	rc = check_layout(ram, layout, size_max, error);
	if (rc < 0)
		return rc;
	*vq = (struct virtqueue){
		.ram = ram,
		.ready = true,
		.event_idx = features & 1ull << VIRTIO_RING_F_EVENT_IDX,
		.indirect = features & 1ull << VIRTIO_RING_F_INDIRECT_DESC,
		.size = (uint16_t)layout->size,
		.desc = layout->desc,
		.avail = layout->avail,
		.used = layout->used,
	};
	return 0;
}

void virtqueue_disable(struct virtqueue *vq)
{
	*vq = (struct virtqueue){0};
}

/* Read the driver's index. What it was before, and all it offers, must still be offered. */
static int look(struct virtqueue *vq, struct error *error)
{
	uint16_t index = __atomic_load_n(field(vq, vq->avail + RING_INDEX), __ATOMIC_ACQUIRE);
	uint16_t known = (uint16_t)(vq->avail_seen - vq->used_told);
	uint16_t outstanding = (uint16_t)(index - vq->used_told);

	if (outstanding < known || outstanding > vq->size)
		return error_set(
			error, EPROTO,
			"available index went from %u to %u with %u used, in a queue of %u",
			vq->avail_seen, index, vq->used_told, vq->size);
	vq->avail_seen = index;
	return 0;
}

int virtqueue_arm(struct virtqueue *vq, struct error *error)
{
	uint16_t asked;
	int rc;

	if (!vq->ready)
		return 0;
	rc = look(vq, error);
	if (rc < 0)
		return rc;
	/*
	 * The driver writes its index, then reads what we ask for; we write what we ask for, then
	 * read its index: one of the two sees the other. Each turn has seen the index grow, which
	 * it can do size times.
	 */
	do {
		asked = vq->avail_seen;
		if (vq->event_idx)
			__atomic_store_n(avail_event(vq), asked, __ATOMIC_RELAXED);
		else
			__atomic_store_n(field(vq, vq->used + RING_FLAGS), 0, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		rc = look(vq, error);
		if (rc < 0)
			return rc;
	} while (vq->event_idx && vq->avail_seen != asked);
	return (uint16_t)(vq->avail_seen - vq->avail_next);
}

void virtqueue_quiet(struct virtqueue *vq)
{
	/* With event indices, silence is what there is until a new one is written. */
	if (vq->ready && !vq->event_idx)
		__atomic_store_n(field(vq, vq->used + RING_FLAGS), VRING_USED_F_NO_NOTIFY,
				 __ATOMIC_RELAXED);
}

/* Where a chain is being followed. */
struct walk {
	const struct virtqueue *vq;
	gpa_t table;	  /* the queue's, or an indirect one */
	uint32_t entries; /* of that table */
	bool in_indirect;
	struct iovec *iov;
	size_t capacity;
	struct virtqueue_chain chain;
};

/* One copy; no later look at what may have changed meanwhile. An indirect table is not aligned. */
static struct vring_desc read_desc(const struct walk *walk, uint32_t index)
{
	struct vring_desc desc;

	memcpy(&desc, inside(walk->vq, walk->table + (uint64_t)DESC_BYTES * index, DESC_BYTES),
	       sizeof(desc));
	__asm__ volatile("" : : : "memory");
	return desc;
}

/* 2.7.5.3: one table a chain, at its end. */
static int enter_indirect(struct walk *walk, const struct vring_desc *desc, struct error *error)
{
	if (!walk->vq->indirect)
		return error_set(error, EPROTO, "an indirect descriptor, which was not negotiated");
	if (walk->in_indirect)
		return error_set(error, EPROTO, "an indirect descriptor in an indirect table");
	if (desc->flags & VRING_DESC_F_NEXT)
		return error_set(error, EPROTO, "an indirect descriptor that has a next one");
	if (desc->len == 0 || desc->len % DESC_BYTES != 0)
		return error_set(error, EPROTO, "an indirect table of %u bytes", desc->len);
	if (!guest_ram_at(walk->vq->ram, desc->addr, desc->len))
		return error_set(error, EPROTO, "an indirect table at 0x%llx, %u bytes: not RAM",
				 (unsigned long long)desc->addr, desc->len);
	walk->table = desc->addr;
	walk->entries = desc->len / DESC_BYTES;
	walk->in_indirect = true;
	return 0;
}

static int add_segment(struct walk *walk, const struct vring_desc *desc, struct error *error)
{
	struct virtqueue_chain *chain = &walk->chain;
	size_t count = (size_t)chain->readable + chain->writable;
	uint64_t bytes = (uint64_t)chain->readable_bytes + chain->writable_bytes;
	void *at = guest_ram_at(walk->vq->ram, desc->addr, desc->len);

	if (desc->len == 0)
		return error_set(error, EPROTO, "a descriptor of no bytes");
	if (!at)
		return error_set(error, EPROTO, "a descriptor of 0x%llx, %u bytes: not RAM",
				 (unsigned long long)desc->addr, desc->len);
	if (count >= walk->vq->size)
		return error_set(error, EPROTO, "more descriptors than the queue has: a loop");
	if (count >= walk->capacity)
		return error_set(error, EPROTO, "more than %zu descriptors", walk->capacity);
	if (bytes + desc->len > UINT32_MAX)
		return error_set(error, EPROTO, "4 GiB and more in all");
	if (desc->flags & VRING_DESC_F_WRITE) {
		chain->writable++;
		chain->writable_bytes += desc->len;
	} else if (chain->writable) {
		return error_set(error, EPROTO, "a readable descriptor behind a writable one");
	} else {
		chain->readable++;
		chain->readable_bytes += desc->len;
	}
	walk->iov[count] = (struct iovec){.iov_base = at, .iov_len = desc->len};
	return 0;
}

static int follow(struct walk *walk, struct error *error)
{
	uint32_t index = walk->chain.head;

	for (;;) {
		struct vring_desc desc;
		int rc;

		if (index >= walk->entries)
			return error_set(error, EPROTO, "descriptor %u of a table of %u", index,
					 walk->entries);
		desc = read_desc(walk, index);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			rc = enter_indirect(walk, &desc, error);
			index = 0;
			if (rc < 0)
				return rc;
			continue;
		}
		rc = add_segment(walk, &desc, error);
		if (rc < 0)
			return rc;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return 0;
		index = desc.next;
	}
}

static bool is_busy(const struct virtqueue *vq, uint16_t head)
{
	return vq->busy[head / 64] & 1ull << head % 64;
}

int virtqueue_pop(struct virtqueue *vq, struct iovec *iov, size_t capacity,
		  struct virtqueue_chain *ret_chain, struct error *error)
{
	struct walk walk = {
		.vq = vq, .table = vq->desc, .entries = vq->size, .iov = iov, .capacity = capacity};
	uint16_t head;
	int rc;

	if (!vq->ready)
		return 0;
	if (vq->avail_seen == vq->avail_next) {
		rc = look(vq, error);
		if (rc < 0 || vq->avail_seen == vq->avail_next)
			return rc;
	}
	head = __atomic_load_n(
		field(vq, vq->avail + RING_ENTRIES + 2ull * (vq->avail_next & (vq->size - 1u))),
		__ATOMIC_RELAXED);
	walk.chain.head = head;
	if (head < vq->size && is_busy(vq, head))
		rc = error_set(error, EPROTO, "offered again before it was used");
	else
		rc = follow(&walk, error);
	if (rc < 0) {
		error_prefix(error, "chain %u", head);
		return rc;
	}
	vq->busy[head / 64] |= 1ull << head % 64;
	vq->avail_next++;
	*ret_chain = walk.chain;
	return 1;
}

void virtqueue_put(struct virtqueue *vq, uint16_t head, uint32_t written)
{
	uint32_t *elem;

	if (!vq->ready)
		return;
	assert(head < vq->size && is_busy(vq, head));
	vq->busy[head / 64] &= ~(1ull << head % 64);
	elem = inside(vq,
		      vq->used + RING_ENTRIES +
			      (uint64_t)USED_ELEM_BYTES * (vq->used_next & (vq->size - 1u)),
		      USED_ELEM_BYTES);
	__atomic_store_n(&elem[0], head, __ATOMIC_RELAXED);
	__atomic_store_n(&elem[1], written, __ATOMIC_RELAXED);
	vq->used_next++;
}

bool virtqueue_flush(struct virtqueue *vq)
{
	uint16_t old = vq->used_told, count = (uint16_t)(vq->used_next - old);

	if (!vq->ready || count == 0)
		return false;
	/* Elements before the index, and the index before a look at what the driver asks for. */
	__atomic_store_n(field(vq, vq->used + RING_INDEX), vq->used_next, __ATOMIC_RELEASE);
	vq->used_told = vq->used_next;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vq->event_idx) {
		uint16_t event = __atomic_load_n(used_event(vq), __ATOMIC_RELAXED);

		/* Is the element it waits for one of [old, old + count)? */
		return (uint16_t)(event - old) < count;
	}
	return !(__atomic_load_n(field(vq, vq->avail + RING_FLAGS), __ATOMIC_RELAXED) &
		 VRING_AVAIL_F_NO_INTERRUPT);
}
