/* SPDX-License-Identifier: MIT */
/*
 * A virtio-blk device with everything around it: see blk_bench.h.
 */
#include "tests/unit/vmm/virtio/blk_bench.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/util.h"

/* The second queue's rings; tables, headers and status bytes of both, by head. */
#define RINGS_APART 0x30000ull
#define TABLES	    0x200000ull
#define HEADERS	    0x500000ull
#define QUEUE_APART 0x100000ull
#define TABLE_APART 0x1000ull

static void complain(void *ctx, const char *device, const struct error *why)
{
	struct bench *bench = ctx;

	bench->complaints++;
	snprintf(bench->complaint, sizeof(bench->complaint), "%s: %s", device, why->text);
}

static void raise(void *ctx)
{
	((struct bench *)ctx)->interrupts++;
}

static void open_disk(struct bench *bench, const struct bench_setup *setup)
{
	struct disk_config config = setup->disk;

	bench->image_fd = -1;
	config.overlay.data_fd = -1;
	config.depth = setup->depth ? setup->depth : VIRTIO_BLK_DEPTH;
	if (config.image_fd == -2) {
		config.image_fd = -1;
	} else {
		bench->image_fd = memfd_create("image", MFD_CLOEXEC);
		cr_assert_eq(ftruncate(bench->image_fd,
				       (off_t)(setup->size ? setup->size : BENCH_DISK_SIZE)),
			     0);
		config.image_fd = dup(bench->image_fd);
	}
	cr_assert_eq(disk_open(&config, &bench->disk, &bench->error), 0, "%s", bench->error.text);
	if (disk_size(bench->disk) > 0)
		cr_assert_eq(disk_start(bench->disk, &bench->error), 0, "%s", bench->error.text);
}

void bench_negotiate(struct bench *bench, uint64_t without)
{
	uint64_t features = bench->blk.device.offered & ~without;
	uint32_t status = driver_negotiate(&bench->mmio, features);

	cr_assert(status & VIRTIO_CONFIG_S_FEATURES_OK);
	for (uint32_t i = 0; i < BENCH_QUEUES; i++) {
		struct driver *driver = &bench->drivers[i];

		driver_init(driver, &bench->ram, BENCH_SIZE);
		bench->next[i] = 0;
		driver->layout.desc += i * RINGS_APART;
		driver->layout.avail += i * RINGS_APART;
		driver->layout.used += i * RINGS_APART;
		*driver_avail_index(driver) = *driver_used_index(driver) = 0;
		driver_set_queue(&bench->mmio, i, &driver->layout);
	}
	driver_write(&bench->mmio, VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_DRIVER_OK);
}

void bench_start(struct bench *bench, const struct bench_setup *setup)
{
	const struct irq_line irq = {.raise = raise, .ctx = bench};
	const struct virtio_log log = {.error = complain, .ctx = bench};

	*bench = (struct bench){0};
	cr_assert_eq(guest_ram_init(&bench->ram, DRIVER_RAM_SIZE, NULL, &bench->error), 0, "%s",
		     bench->error.text);
	open_disk(bench, setup);
	virtio_blk_init(&bench->blk, bench->disk, 0, BENCH_QUEUES,
			setup->depth ? setup->depth : VIRTIO_BLK_DEPTH);
	bench->blk.waits = !setup->polled;
	virtio_mmio_init(&bench->mmio, &bench->blk.device, &bench->ram, &irq, &log);
	bench_negotiate(bench, setup->without);
}

void bench_end(struct bench *bench)
{
	virtio_blk_done(&bench->blk);
	disk_stop(bench->disk);
	disk_free(bench->disk);
	if (bench->image_fd >= 0)
		close(bench->image_fd);
	guest_ram_done(&bench->ram);
}

uint8_t *bench_at(struct bench *bench, gpa_t gpa, uint64_t size)
{
	uint8_t *at = guest_ram_at(&bench->ram, gpa, size);

	cr_assert_not_null(at);
	return at;
}

/* Where a chain is being laid out. */
struct chain {
	struct bench *bench;
	gpa_t table;
	uint32_t first, count;
};

static void add(struct chain *chain, gpa_t gpa, uint32_t len, int flags)
{
	struct driver *driver = &chain->bench->drivers[0];
	uint32_t index = chain->first + chain->count++;

	if (chain->count > 1) {
		struct vring_desc *last = (struct vring_desc *)bench_at(
			chain->bench, chain->table + 16ull * (index - 1), 16);

		last->flags |= VRING_DESC_F_NEXT;
		last->next = (uint16_t)index;
	}
	driver_desc(driver, chain->table, index, gpa, len, flags, 0);
}

static void add_parts(struct chain *chain, gpa_t gpa, uint32_t len, uint32_t parts, int flags)
{
	uint32_t each = parts ? len / parts : len;

	if (len == 0)
		return;
	for (uint32_t i = 1; i < parts; i++, gpa += each, len -= each)
		add(chain, gpa, each, flags);
	add(chain, gpa, len, flags);
}

/* Returns where the status is. */
static gpa_t lay_out(struct chain *chain, const struct bench_request *request, gpa_t header)
{
	struct virtio_blk_outhdr out = {.type = request->type, .sector = request->sector};
	gpa_t data = request->data ? request->data : DRIVER_DATA, status = header + sizeof(out);
	bool is_in = BENCH_IN(request->type);
	uint32_t before = request->merged && !is_in ? sizeof(out) : 0;
	uint32_t behind = request->merged && is_in ? 1 : 0;

	memcpy(bench_at(chain->bench, header, sizeof(out)), &out, sizeof(out));
	if (before)
		memcpy(bench_at(chain->bench, data - before, before), &out, before);
	else
		add_parts(chain, header, sizeof(out), request->header_parts, 0);
	if (behind)
		status = data + request->len;
	add_parts(chain, data - before, request->len + before + behind, request->data_parts,
		  is_in ? VRING_DESC_F_WRITE : 0);
	if (!behind)
		add(chain, status, 1, VRING_DESC_F_WRITE);
	*bench_at(chain->bench, status, 1) = BENCH_UNTOUCHED;
	return status;
}

struct bench_place bench_offer(struct bench *bench, const struct bench_request *request)
{
	uint32_t queue = request->queue;
	struct driver *driver = &bench->drivers[queue];
	struct bench_place place = {.head = bench->next[queue]};
	struct chain chain = {.bench = bench, .table = driver->layout.desc, .first = place.head};
	gpa_t base = queue * QUEUE_APART;

	if (request->indirect) {
		chain.table = TABLES + base + TABLE_APART * place.head;
		chain.first = 0;
	}
	place.status = lay_out(&chain, request, HEADERS + base + TABLE_APART * place.head);
	if (request->indirect) {
		driver_desc(driver, driver->layout.desc, place.head, chain.table, 16 * chain.count,
			    VRING_DESC_F_INDIRECT, 0);
		chain.count = 1;
	}
	bench->next[queue] = (uint16_t)((place.head + chain.count) % BENCH_SIZE);
	/* What does not fit before the table's end begins anew. */
	if (bench->next[queue] > BENCH_SIZE - 32)
		bench->next[queue] = 0;
	*driver_used_event(driver) = *driver_used_index(driver);
	driver_offer(driver, place.head);
	return place;
}

void bench_notify(struct bench *bench, uint32_t queue)
{
	driver_write(&bench->mmio, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
}

void bench_settle(struct bench *bench)
{
	while (disk_in_flight(bench->disk) > 0) {
		struct pollfd ready = {.fd = disk_event_fd(bench->disk), .events = POLLIN};

		if (ready.fd >= 0)
			cr_assert_eq(poll(&ready, 1, 10000), 1, "nothing happens");
		virtio_blk_poll(&bench->blk);
	}
}

uint8_t bench_do(struct bench *bench, const struct bench_request *request)
{
	struct driver *driver = &bench->drivers[request->queue];
	uint16_t index = *driver_used_index(driver);
	struct bench_place place = bench_offer(bench, request);

	bench_notify(bench, request->queue);
	bench_settle(bench);
	cr_assert_eq(*driver_used_index(driver), (uint16_t)(index + 1), "%s", bench->complaint);
	cr_assert_eq(driver_used(driver, index)->id, place.head);
	return *bench_at(bench, place.status, 1);
}

void bench_fill(struct bench *bench, gpa_t gpa, uint64_t size, uint64_t seed)
{
	uint8_t *at = bench_at(bench, gpa, size);

	for (uint64_t i = 0; i < size; i++)
		at[i] = bench_byte(seed, i);
}

bool bench_is(struct bench *bench, gpa_t gpa, uint64_t size, uint64_t seed)
{
	const uint8_t *at = bench_at(bench, gpa, size);
	bool same = true;

	for (uint64_t i = 0; i < size; i++)
		same &= at[i] == bench_byte(seed, i);
	return same;
}

bool bench_is_zero(struct bench *bench, gpa_t gpa, uint64_t size)
{
	const uint8_t *at = bench_at(bench, gpa, size);
	uint8_t any = 0;

	for (uint64_t i = 0; i < size; i++)
		any |= at[i];
	return any == 0;
}
