/* SPDX-License-Identifier: MIT */
/*
 * An io_uring of a disk's own: see ring.h.
 */
#include "vmm/block/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "vmm/base/call.h"
#include "vmm/base/cleanup.h"
#include "vmm/base/util.h"

static const uint8_t allowed_ops[] = {
	IORING_OP_READ,	  IORING_OP_READV, IORING_OP_WRITE,
	IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE,
};

bool ring_is_refused(int error)
{
	/* EINVAL: it is older than what we ask of it. EACCES: a security module. */
	return error == -ENOSYS || error == -EPERM || error == -ENOMEM || error == -EINVAL ||
	       error == -EACCES;
}

/*
 * Completions are posted when we next enter the kernel, and a flag says that some wait for that:
 * no other processor interrupts us. Kernels before 5.19 do not know it.
 */
static int set_up(uint32_t entries, struct io_uring_params *params)
{
	const uint32_t wanted[] = {
		IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
		IORING_SETUP_R_DISABLED,
	};
	int fd = -1;

	for (size_t i = 0; i < ARRAY_SIZE(wanted) && fd < 0; i++) {
		*params = (struct io_uring_params){.flags = wanted[i]};
		fd = (int)base_call(SYS_io_uring_setup, entries, (uintptr_t)params, 0, 0, 0);
		if (fd < 0 && errno != EINVAL)
			break;
	}
	if (fd >= 0 && !(params->features & IORING_FEAT_SINGLE_MMAP &&
			 params->features & IORING_FEAT_SUBMIT_STABLE)) {
		fd_close(&fd);
		errno = EINVAL;
	}
	return fd < 0 ? -errno : fd;
}

static int map_rings(struct ring *ring, const struct io_uring_params *params)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
	size_t sq_size = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
	size_t cq_size = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
	void *map;

	ring->rings_size = max_u64(sq_size, cq_size);
	map = mmap(NULL, ring->rings_size, prot, flags, ring->fd, IORING_OFF_SQ_RING);
	if (map == MAP_FAILED)
		return -errno;
	ring->rings = map;
	ring->sqes_size = params->sq_entries * sizeof(struct io_uring_sqe);
	map = mmap(NULL, ring->sqes_size, prot, flags, ring->fd, (off_t)IORING_OFF_SQES);
	if (map == MAP_FAILED)
		return -errno;
	ring->sqes = map;
	return 0;
}

static void find_parts(struct ring *ring, const struct io_uring_params *params)
{
	uint8_t *base = ring->rings;
	uint32_t *array = (uint32_t *)(void *)(base + params->sq_off.array);

	ring->sq_head = (uint32_t *)(void *)(base + params->sq_off.head);
	ring->sq_tail = (uint32_t *)(void *)(base + params->sq_off.tail);
	ring->sq_flags = (uint32_t *)(void *)(base + params->sq_off.flags);
	ring->cq_head = (uint32_t *)(void *)(base + params->cq_off.head);
	ring->cq_tail = (uint32_t *)(void *)(base + params->cq_off.tail);
	ring->cqes = (const struct io_uring_cqe *)(void *)(base + params->cq_off.cqes);
	ring->sq_entries = params->sq_entries;
	ring->cq_entries = params->cq_entries;
	for (uint32_t i = 0; i < params->sq_entries; i++)
		array[i] = i;
}

static long do_register(const struct ring *ring, uintptr_t opcode, const void *argument,
			uintptr_t count)
{
	return base_call(SYS_io_uring_register, (uintptr_t)ring->fd, opcode, (uintptr_t)argument,
			 count, 0);
}

static int restrict_and_enable(const struct ring *ring)
{
	struct io_uring_restriction allowed[ARRAY_SIZE(allowed_ops)];

	memset(allowed, 0, sizeof(allowed));
	for (size_t i = 0; i < ARRAY_SIZE(allowed_ops); i++) {
		allowed[i].opcode = IORING_RESTRICTION_SQE_OP;
		allowed[i].sqe_op = allowed_ops[i];
	}
	if (do_register(ring, IORING_REGISTER_RESTRICTIONS, allowed, ARRAY_SIZE(allowed)) < 0 ||
	    do_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0) < 0)
		return -errno;
	return 0;
}

int ring_open(struct ring *ring, uint32_t entries)
{
	int rc;

	*ring = RING_NONE;
	rc = set_up(entries, &ring->params);
	if (rc < 0)
		return rc;
	ring->fd = rc;
	rc = restrict_and_enable(ring);
	if (rc < 0)
		ring_close(ring);
	return rc;
}

__attribute__((weak)) int ring_obtain(struct ring *ring, uint32_t entries)
{
	return ring_open(ring, entries);
}

static void unmap_rings(struct ring *ring)
{
	if (ring->rings)
		munmap(ring->rings, ring->rings_size);
	if (ring->sqes)
		munmap(ring->sqes, ring->sqes_size);
	ring->rings = NULL;
	ring->sqes = NULL;
}

int ring_map(struct ring *ring)
{
	int rc = map_rings(ring, &ring->params);

	if (rc < 0)
		unmap_rings(ring);
	else
		find_parts(ring, &ring->params);
	return rc;
}

void ring_close(struct ring *ring)
{
	unmap_rings(ring);
	fd_close(&ring->fd);
	*ring = RING_NONE;
}

uint32_t ring_unsubmitted(const struct ring *ring)
{
	return ring->tail - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
}

struct io_uring_sqe *ring_get_sqe(struct ring *ring)
{
	struct io_uring_sqe *sqe = &ring->sqes[ring->tail & (ring->sq_entries - 1)];

	if (ring_unsubmitted(ring) == ring->sq_entries)
		return NULL;
	ring->tail++;
	memset(sqe, 0, sizeof(*sqe));
	return sqe;
}

uint64_t ring_take_back(struct ring *ring)
{
	ring->tail--;
	__atomic_store_n(ring->sq_tail, ring->tail, __ATOMIC_RELEASE);
	return ring->sqes[ring->tail & (ring->sq_entries - 1)].user_data;
}

int ring_enter(struct ring *ring, uint32_t wait)
{
	uint32_t count = ring_unsubmitted(ring);
	unsigned int flags = wait || ring_wants_enter(ring) ? IORING_ENTER_GETEVENTS : 0;
	long rc;

	__atomic_store_n(ring->sq_tail, ring->tail, __ATOMIC_RELEASE);
	rc = syscall(SYS_io_uring_enter, ring->fd, count, wait, flags, NULL, 0);
	return rc < 0 ? -errno : (int)rc;
}

const struct io_uring_cqe *ring_peek(const struct ring *ring)
{
	uint32_t head = *ring->cq_head; /* only we write it */

	if (head == __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE))
		return NULL;
	return &ring->cqes[head & (ring->cq_entries - 1)];
}

void ring_seen(struct ring *ring)
{
	__atomic_store_n(ring->cq_head, *ring->cq_head + 1, __ATOMIC_RELEASE);
}

bool ring_wants_enter(const struct ring *ring)
{
	const uint32_t reasons = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;

	return __atomic_load_n(ring->sq_flags, __ATOMIC_RELAXED) & reasons;
}
