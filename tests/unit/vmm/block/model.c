/* SPDX-License-Identifier: MIT */
/*
 * Disks against a model: random requests, many at once, on layers of every kind, beside the same on
 * a plain array. What is in flight together shares blocks, but no sectors.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/helper.h"
#include "tests/unit/vmm/block/fixture.h"
#include "vmm/base/util.h"
#include "vmm/block/internal.h"

#define AT_ONCE	   24
#define LENGTH_MAX (96 * 512u)
#define IOVS_MAX   6
#define ROUNDS	   150
#define SECTORS(x) ((x) / DISK_SECTOR)

struct slot {
	struct disk_request request;
	struct iovec iov[IOVS_MAX];
	uint8_t *memory; /* LENGTH_MAX bytes and some */
};

struct model {
	struct disk *disk;
	uint8_t *bytes;
	uint8_t *busy; /* a byte a sector: it is in flight */
	uint64_t random;
	bool poll; /* rather than wait */
	struct slot slots[AT_ONCE];
};

/* How a disk is made, layer by layer. */
struct variant {
	const char *name;
	uint64_t image_size, size;
	bool image_in_memory, overlay_in_memory;
	enum disk_direct direct;
	bool durable, force_sync, poll;
	uint32_t depth;
};

static uint64_t below(struct model *model, uint64_t limit)
{
	return fixture_random(&model->random) % limit;
}

static bool is_free(const struct model *model, uint64_t offset, uint64_t length)
{
	return !memchr(model->busy + SECTORS(offset), 1, SECTORS(length));
}

/* Ranges like guests': aligned and large, or small and anywhere; often near the last one. */
static bool choose_range(struct model *model, struct disk_request *request)
{
	uint64_t sectors = SECTORS(disk_size(model->disk));

	request->offset = below(model, sectors);
	request->length = 1 + below(model, below(model, 3) ? 16 : SECTORS(LENGTH_MAX));
	if (below(model, 2)) {
		request->offset = round_down(request->offset, 8);
		request->length = round_up(request->length, 8);
	}
	request->length = min_u64(request->length, sectors - request->offset);
	request->offset *= DISK_SECTOR;
	request->length *= DISK_SECTOR;
	return is_free(model, request->offset, request->length);
}

/* Now and then at addresses, and with lengths, that O_DIRECT does not like. */
static void choose_memory(struct model *model, struct slot *slot)
{
	uint64_t left = slot->request.length;
	uint8_t *at = slot->memory + (below(model, 4) ? 0 : 4 * below(model, 100));
	uint32_t count = 0;

	while (left > 0) {
		uint64_t part = left;

		if (count < IOVS_MAX - 1 && below(model, 2))
			part = below(model, 3) ? min_u64(left, 512 * (1 + below(model, 20)))
					       : 1 + below(model, left);
		slot->iov[count++] = (struct iovec){at, part};
		at += part;
		left -= part;
	}
	slot->request.iov = slot->iov;
	slot->request.iov_count = count;
}

static void copy_iov(const struct slot *slot, uint8_t *bytes, bool to_bytes)
{
	for (uint32_t i = 0; i < slot->request.iov_count; i++) {
		const struct iovec *iov = &slot->iov[i];

		if (to_bytes)
			memcpy(bytes, iov->iov_base, iov->iov_len);
		else
			memcpy(iov->iov_base, bytes, iov->iov_len);
		bytes += iov->iov_len;
	}
}

static void change_model(struct model *model, const struct slot *slot)
{
	uint64_t offset = slot->request.offset, end = offset + slot->request.length;

	switch (slot->request.op) {
	case DISK_WRITE:
		copy_iov(slot, model->bytes + offset, true);
		break;
	case DISK_DISCARD:
		offset = round_up(offset, DISK_BLOCK);
		if (end != disk_size(model->disk))
			end = round_down(end, DISK_BLOCK);
		if (offset < end)
			memset(model->bytes + offset, 0, end - offset);
		break;
	case DISK_WRITE_ZEROES:
		memset(model->bytes + offset, 0, end - offset);
		break;
	default:
		break;
	}
}

static void submit_one(struct model *model, struct slot *slot)
{
	static const enum disk_op ops[] = {DISK_READ,	 DISK_READ,	    DISK_READ,
					   DISK_WRITE,	 DISK_WRITE,	    DISK_WRITE,
					   DISK_DISCARD, DISK_WRITE_ZEROES, DISK_FLUSH};
	struct disk_request *request = &slot->request;

	*request = (struct disk_request){.op = ops[below(model, ARRAY_SIZE(ops))]};
	if (request->op != DISK_FLUSH) {
		while (!choose_range(model, request))
			;
		memset(model->busy + SECTORS(request->offset), 1, SECTORS(request->length));
	}
	if (request->op == DISK_READ || request->op == DISK_WRITE)
		choose_memory(model, slot);
	if (request->op == DISK_WRITE)
		fixture_fill(model->random, slot->memory, LENGTH_MAX + DISK_BLOCK);
	change_model(model, slot);
	disk_submit(model->disk, request);
}

static void check_one(struct model *model, struct slot *slot)
{
	const struct disk_request *request = &slot->request;
	uint8_t wanted[LENGTH_MAX], got[LENGTH_MAX];

	cr_assert_eq(request->result, 0, "op %d at %llu: %s", (int)request->op,
		     (unsigned long long)request->offset, strerror(-request->result));
	memset(model->busy + SECTORS(request->offset), 0, SECTORS(request->length));
	if (request->op != DISK_READ)
		return;
	memcpy(wanted, model->bytes + request->offset, request->length);
	copy_iov(slot, got, true);
	cr_assert_eq(memcmp(got, wanted, request->length), 0, "read of %llu at %llu",
		     (unsigned long long)request->length, (unsigned long long)request->offset);
}

/* Wait as a thread with a poller does. */
static void wait_for_event(struct model *model)
{
	struct pollfd event = {.fd = disk_event_fd(model->disk), .events = POLLIN};

	disk_kick(model->disk);
	if (event.fd >= 0 && disk_in_flight(model->disk) > 0)
		cr_assert_eq(poll(&event, 1, 10000), 1, "nothing comes back");
}

static uint32_t reap_all(struct model *model)
{
	struct disk_request *request;
	uint32_t count = 0;

	while ((request = disk_reap(model->disk))) {
		check_one(model, (struct slot *)request);
		count++;
	}
	return count;
}

static void run_round(struct model *model)
{
	uint32_t count = 1 + (uint32_t)below(model, AT_ONCE), done = 0;

	for (uint32_t i = 0; i < count; i++)
		submit_one(model, &model->slots[i]);
	cr_assert_eq(disk_in_flight(model->disk), count);
	if (!model->poll)
		disk_kick_wait(model->disk);
	done = reap_all(model);
	cr_assert(model->poll || done == count);
	while (done < count) {
		wait_for_event(model);
		done += reap_all(model);
	}
	cr_assert_eq(disk_in_flight(model->disk), 0);
}

/* What the overlay counts is what its bitmaps say. */
static void check_counts(struct disk *disk)
{
	const struct overlay *top = disk->top;
	uint64_t data = 0;

	for (uint64_t block = 0; block < overlay_blocks(disk->size); block++)
		data += overlay_holds(top, block) && !overlay_is_hole(top, block);
	cr_assert_eq(top->data, data);
	cr_assert_eq(top->claimed, 0);
	cr_assert_eq(disk->changes, 0);
	cr_assert_eq(disk->pieces, 0);
}

static void run_layer(struct model *model)
{
	fixture_start(model->disk);
	for (int i = 0; i < ROUNDS; i++)
		run_round(model);
	check_counts(model->disk);
	fixture_check(model->disk, model->bytes);
}

static struct disk_overlay make_storage(const struct variant *variant)
{
	struct disk_overlay storage = DISK_OVERLAY_IN_MEMORY;

	if (!variant->overlay_in_memory)
		storage.data_fd = fixture_file(false);
	return storage;
}

static void run_variant(const struct variant *variant)
{
	uint64_t size = variant->size ? variant->size : variant->image_size;
	int image = fixture_image(variant->image_in_memory, 7, variant->image_size);
	struct disk_config config = {
		.image_fd = image,
		.size = variant->size,
		.direct = variant->direct,
		.durable = variant->durable,
		.force_sync = variant->force_sync,
		.depth = variant->depth,
		.overlay = make_storage(variant),
	};
	struct model model = {.random = 42, .poll = variant->poll};
	struct export_source source;
	struct disk_overlay storage;

	model.bytes = calloc(1, size);
	model.busy = calloc(1, SECTORS(size));
	fixture_fill(7, model.bytes, variant->image_size);
	for (uint32_t i = 0; i < AT_ONCE; i++)
		model.slots[i].memory = aligned_alloc(DISK_BLOCK, LENGTH_MAX + DISK_BLOCK);
	model.disk = fixture_open(&config);
	for (int layer = 0; layer < 3; layer++) {
		run_layer(&model);
		fixture_freeze(model.disk);
		disk_get_source(model.disk, &source);
		fixture_check_export(&source, model.bytes);
		storage = make_storage(variant);
		fixture_clone(model.disk, &storage);
	}
	fixture_start(model.disk);
	fixture_check(model.disk, model.bytes);
	disk_stop(model.disk);
	disk_free(model.disk);
	for (uint32_t i = 0; i < AT_ONCE; i++)
		free(model.slots[i].memory);
	free(model.bytes);
	free(model.busy);
}

#define SIZE (3 * MIB)

Test(model, files)
{
	run_variant(&(struct variant){.image_size = SIZE, .depth = 64});
}

Test(model, files_with_direct)
{
	run_variant(&(struct variant){.image_size = SIZE, .direct = DISK_DIRECT_ON, .depth = 64});
}

Test(model, files_with_direct_and_polling)
{
	run_variant(&(struct variant){
		.image_size = SIZE, .direct = DISK_DIRECT_ON, .poll = true, .depth = 64});
}

Test(model, files_and_polling)
{
	run_variant(&(struct variant){.image_size = SIZE, .poll = true, .depth = 64});
}

Test(model, overlays_in_memory)
{
	run_variant(&(struct variant){.image_size = SIZE, .overlay_in_memory = true, .depth = 64});
}

Test(model, all_in_memory)
{
	run_variant(&(struct variant){.image_size = SIZE,
				      .image_in_memory = true,
				      .overlay_in_memory = true,
				      .depth = 64});
}

Test(model, without_a_ring)
{
	run_variant(&(struct variant){.image_size = SIZE, .force_sync = true, .depth = 64});
}

Test(model, without_a_ring_with_direct)
{
	run_variant(&(struct variant){
		.image_size = SIZE, .force_sync = true, .direct = DISK_DIRECT_ON, .depth = 64});
}

Test(model, a_ring_too_small)
{
	run_variant(&(struct variant){.image_size = SIZE, .depth = 2});
}

Test(model, odd_size)
{
	run_variant(&(struct variant){.image_size = SIZE - 512 * 3, .depth = 64});
}

Test(model, odd_size_with_direct)
{
	run_variant(&(struct variant){
		.image_size = SIZE + 512 * 3, .direct = DISK_DIRECT_ON, .depth = 64});
}

Test(model, odd_size_larger_than_its_odd_image)
{
	run_variant(&(struct variant){
		.image_size = MIB + 512, .size = SIZE - 512 * 5, .poll = true, .depth = 64});
}

Test(model, durable)
{
	run_variant(&(struct variant){.image_size = 512 * 1025, .durable = true, .depth = 64});
}

Test(model, durable_without_a_ring)
{
	run_variant(&(struct variant){
		.image_size = 512 * 1025, .durable = true, .force_sync = true, .depth = 64});
}
