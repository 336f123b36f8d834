/* SPDX-License-Identifier: MIT */
/*
 * Requests: in, under way, and back with their figures. See disk.h.
 */
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "vmm/block/internal.h"

void request_list_add(struct request_list *list, struct disk_request *request)
{
	request->next = NULL;
	if (!list->first)
		list->end = &list->first;
	*list->end = request;
	list->end = &request->next;
}

struct disk_request *request_list_take(struct request_list *list)
{
	struct disk_request *request = list->first;

	if (request)
		list->first = request->next;
	return request;
}

void disk_note_result(struct disk_request *request, int result)
{
	if (request->result == 0)
		request->result = result;
}

void disk_put_request(struct disk *disk, struct disk_request *request)
{
	if (--request->pending == 0)
		request_list_add(&disk->done, request);
}

static bool is_valid(const struct disk *disk, const struct disk_request *request)
{
	uint64_t bytes = 0;

	if (request->op == DISK_FLUSH)
		return true;
	if (request->offset % DISK_SECTOR || request->length % DISK_SECTOR ||
	    request->offset > disk->size || request->length > disk->size - request->offset)
		return false;
	if (request->op != DISK_READ && request->op != DISK_WRITE)
		return true;
	if (request->iov_count > DISK_IOV_MAX)
		return false;
	for (uint32_t i = 0; i < request->iov_count; i++)
		bytes += request->iov[i].iov_len;
	return bytes == request->length;
}

/*
 * What only a disk in use needs: many a clone never uses it, and is made sooner without. A ring
 * that cannot be mapped is done without.
 */
static int make_arena(struct disk *disk)
{
	void *arena = mmap(NULL, sizeof(*disk->arena), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (arena == MAP_FAILED)
		return -errno;
	disk->arena = arena;
	if (disk->ring.fd >= 0)
		(void)ring_map(&disk->ring);
	return 0;
}

void disk_submit(struct disk *disk, struct disk_request *request)
{
	int rc = disk->arena ? 0 : make_arena(disk);

	if (disk->pass++ == 0)
		disk->pass_ns = now_ns();
	disk->in_flight++;
	disk->stats.requests[request->op]++;
	request->start_ns = disk->pass_ns;
	request->pending = 1;
	request->result = rc == 0 && !is_valid(disk, request) ? -EINVAL : rc;
	if (request->result == 0 && request->op != DISK_FLUSH)
		disk->stats.bytes[request->op] += request->length;
	if (request->result < 0 || (request->op != DISK_FLUSH && request->length == 0))
		disk_put_request(disk, request);
	else if (request->op == DISK_FLUSH)
		disk_flush(disk, request);
	else if (request->op == DISK_READ)
		disk_read(disk, request);
	else
		disk_change(disk, request);
}

void disk_expect(struct disk *disk, uint32_t requests)
{
	/* Only who asks for it has its page written to. */
	if (disk->ring_is_late)
		disk->expected = requests;
}

static void end_pass(struct disk *disk)
{
	struct disk_stats *stats = &disk->stats;

	if (disk->pass == 0)
		return;
	stats->passes++;
	stats->pass_max = max_u64(stats->pass_max, disk->pass);
	stats->depth_max = max_u64(stats->depth_max, disk->in_flight);
	stats->depth_sum += disk->in_flight;
	disk->pass = 0;
	disk->expected = 0;
}

static bool has_unsubmitted(const struct disk *disk)
{
	return disk->ring.rings && ring_unsubmitted(&disk->ring) > 0;
}

void disk_kick(struct disk *disk)
{
	end_pass(disk);
	if (has_unsubmitted(disk))
		disk_enter(disk, 0);
}

void disk_drain(struct disk *disk)
{
	while (disk->pieces > 0) {
		disk_enter(disk, disk->pieces);
		disk_collect(disk);
	}
	assert(!disk->waiting.first && !disk->flush.running.first);
}

void disk_kick_wait(struct disk *disk)
{
	end_pass(disk);
	disk_drain(disk);
}

/* Have something in the list of what is done, if the ring knows of any. */
static void find_done(struct disk *disk)
{
	do {
		disk_collect(disk);
		if (has_unsubmitted(disk))
			disk_enter(disk, 0);
	} while (!disk->done.first && ring_peek(&disk->ring));
}

static void count_latency(struct disk *disk, uint64_t ns)
{
	uint64_t us = ns / 1000;
	unsigned int bucket = us ? 64 - (unsigned int)__builtin_clzll(us) : 0;

	disk->stats.latency_us[min_u64(bucket, DISK_LATENCY_BUCKETS - 1)]++;
}

struct disk_request *disk_reap(struct disk *disk)
{
	struct disk_request *request;

	if (!disk->done.first && disk->ring.rings)
		find_done(disk);
	request = request_list_take(&disk->done);
	if (!request) {
		disk->round_ns = 0;
		return NULL;
	}
	if (disk->round_ns == 0) {
		disk->round_ns = now_ns();
		disk->stats.reaps++;
	}
	disk->stats.reaped++;
	disk->stats.errors += request->result < 0;
	disk->stats.overlay_bytes = disk->top ? disk->top->data * DISK_BLOCK : 0;
	disk->in_flight--;
	count_latency(disk, disk->round_ns - request->start_ns);
	return request;
}

uint32_t disk_in_flight(const struct disk *disk)
{
	return disk->in_flight;
}

int disk_event_fd(const struct disk *disk)
{
	return disk->ring.fd;
}
