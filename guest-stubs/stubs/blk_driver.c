/* SPDX-License-Identifier: MIT */
/*
 * The blk stub's driver: see blk_driver.h.
 */
#include "guest-stubs/stubs/blk_driver.h"

#include "guest-stubs/runtime/stub.h"

#define MAGIC	    0x74726976u
#define ID_BLOCK    2u
#define WAIT_CYCLES 100000000000ull /* some 30 s */

struct blk_disk blk_disks[BLK_DISKS];

uint8_t blk_config8(const struct blk_disk *disk, uint32_t offset)
{
	return *(volatile uint8_t *)(disk->base + offset);
}

uint16_t blk_config16(const struct blk_disk *disk, uint32_t offset)
{
	return *(volatile uint16_t *)(disk->base + offset);
}

/* 2.5.3: a field that is read in two halves is read again if the generation moved. */
uint64_t blk_capacity(const struct blk_disk *disk)
{
	uint32_t generation;
	uint64_t low, high;

	do {
		generation = blk_reg(disk, REG_GENERATION);
		low = blk_reg(disk, BLK_CONFIG_CAPACITY);
		high = blk_reg(disk, BLK_CONFIG_CAPACITY + 4);
	} while (blk_reg(disk, REG_GENERATION) != generation);
	return high << 32 | low;
}

uint32_t blk_features(const struct blk_disk *disk)
{
	blk_set_reg(disk, REG_FEATURES_SEL, 0);
	return blk_reg(disk, REG_FEATURES);
}

static void write_address(const struct blk_disk *disk, uint32_t offset, const volatile void *at)
{
	blk_set_reg(disk, offset, (uint32_t)(uintptr_t)at);
	blk_set_reg(disk, offset + 4, (uint32_t)((uintptr_t)at >> 32));
}

/* All of it is written, so that it is part of the template. */
static void clear(struct blk_disk *disk, uint32_t index)
{
	memset(disk, 0, sizeof(*disk));
	disk->base = FORKVM_VIRTIO_MMIO_GPA + (1ull + index) * FORKVM_VIRTIO_MMIO_BYTES;
	for (uint32_t i = 0; i < BLK_SLOTS; i++)
		disk->free[i] = (uint16_t)(BLK_SLOTS - 1 - i);
	disk->free_count = BLK_SLOTS;
}

const char *blk_start(uint32_t index)
{
	struct blk_disk *disk = &blk_disks[index];

	/* Reset first: until then the device may write here. */
	disk->base = FORKVM_VIRTIO_MMIO_GPA + (1ull + index) * FORKVM_VIRTIO_MMIO_BYTES;
	blk_set_reg(disk, REG_STATUS, 0);
	if (blk_reg(disk, REG_STATUS) != 0)
		return "status-after-reset";
	clear(disk, index);
	if (blk_reg(disk, REG_MAGIC) != MAGIC || blk_reg(disk, REG_VERSION) != 2)
		return "no-virtio-device";
	if (blk_reg(disk, REG_DEVICE_ID) != ID_BLOCK)
		return "no-block-device";
	blk_set_reg(disk, REG_STATUS, 1);
	blk_set_reg(disk, REG_STATUS, 3);
	blk_set_reg(disk, REG_DRIVER_SEL, 0);
	blk_set_reg(disk, REG_DRIVER, blk_features(disk));
	blk_set_reg(disk, REG_DRIVER_SEL, 1);
	blk_set_reg(disk, REG_DRIVER, 1);
	blk_set_reg(disk, REG_STATUS, 3 | STATUS_FEATURES);
	if (!(blk_reg(disk, REG_STATUS) & STATUS_FEATURES))
		return "features-refused";
	blk_set_reg(disk, REG_QUEUE_SEL, 0);
	if (blk_reg(disk, REG_QUEUE_MAX) < BLK_QUEUE_SIZE)
		return "queue-too-small";
	blk_set_reg(disk, REG_QUEUE_NUM, BLK_QUEUE_SIZE);
	write_address(disk, REG_DESC, disk->desc);
	write_address(disk, REG_AVAIL, &disk->avail);
	write_address(disk, REG_USED, &disk->used);
	blk_set_reg(disk, REG_QUEUE_READY, 1);
	blk_set_reg(disk, REG_STATUS, STATUS_STARTED);
	return blk_reg(disk, REG_STATUS) == STATUS_STARTED ? NULL : "not-started";
}

/* Where descriptors of one request are being written. */
struct table {
	struct desc *at;
	uint16_t count;
};

static void add(struct table *table, const volatile void *at, uint32_t len, uint16_t flags)
{
	if (table->count > 0) {
		table->at[table->count - 1].flags |= F_NEXT;
		table->at[table->count - 1].next = table->count;
	}
	table->at[table->count++] = (struct desc){(uintptr_t)at, len, flags, 0};
}

static void add_data(struct table *table, const struct blk_request *request)
{
	uint32_t segments = request->segments ? request->segments : 1;
	uint32_t each = request->len / segments;

	if (request->len == 0)
		return;
	for (uint32_t i = 0; i < segments; i++)
		add(table, (char *)request->data + (uint64_t)each * i,
		    i == segments - 1 ? request->len - each * i : each,
		    request->device_writes ? F_WRITE : 0);
}

/*
 * Header and data, or data and status, in one descriptor: they must be next to each other in
 * memory, so the header is written before the data, the status is expected behind them.
 */
static void build_merged(struct table *table, struct blk_slot *slot,
			 const struct blk_request *request)
{
	char *data = request->data;

	if (request->device_writes) {
		data[request->len] = (char)BLK_UNTOUCHED;
		add(table, &slot->header, BLK_HEADER, 0);
		add(table, data, request->len + 1, F_WRITE);
	} else {
		memcpy(data - BLK_HEADER, &slot->header, BLK_HEADER);
		add(table, data - BLK_HEADER, BLK_HEADER + request->len, 0);
		add(table, &slot->status, 1, F_WRITE);
	}
}

static void build(struct table *table, struct blk_slot *slot, const struct blk_request *request)
{
	if (request->layout == BLK_MERGED && request->len > 0) {
		build_merged(table, slot, request);
		return;
	}
	for (uint32_t i = 0; request->layout == BLK_BYTES && i < BLK_HEADER; i++)
		add(table, (char *)&slot->header + i, 1, 0);
	if (request->layout != BLK_BYTES)
		add(table, &slot->header, BLK_HEADER, 0);
	add_data(table, request);
	add(table, &slot->status, 1, F_WRITE);
}

void blk_offer_head(struct blk_disk *disk, uint16_t head)
{
	disk->avail.ring[disk->offered++ % BLK_QUEUE_SIZE] = head;
	/* No interrupt is wanted: the element waited for is never there. */
	disk->avail.used_event = (uint16_t)(disk->seen + 0x8000u);
	__atomic_store_n(&disk->avail.index, disk->offered, __ATOMIC_SEQ_CST);
}

/* From the slot's table into the queue's: the head, and the others behind all heads. */
static void copy_chain(struct blk_disk *disk, uint16_t head, const struct table *table)
{
	for (uint16_t i = 0; i < table->count; i++) {
		struct desc *desc = &disk->desc[i == 0 ? head : BLK_SLOTS + i - 1u];

		*desc = table->at[i];
		if (desc->flags & F_NEXT)
			desc->next = (uint16_t)(BLK_SLOTS + i);
	}
}

bool blk_offer(struct blk_disk *disk, const struct blk_request *request)
{
	struct blk_slot *slot;
	struct table table;
	uint16_t index;

	if (disk->free_count == 0)
		return false;
	index = disk->free[--disk->free_count];
	slot = &disk->slots[index];
	slot->header = (struct blk_header){request->type, 0, request->sector};
	slot->status = BLK_UNTOUCHED;
	slot->tag = request->tag;
	table = (struct table){.at = slot->table};
	build(&table, slot, request);
	if (request->direct)
		copy_chain(disk, index, &table);
	else
		disk->desc[index] =
			(struct desc){(uintptr_t)slot->table,
				      table.count * (uint32_t)sizeof(struct desc), F_INDIRECT, 0};
	blk_offer_head(disk, index);
	return true;
}

void blk_notify(struct blk_disk *disk)
{
	uint16_t event, count = (uint16_t)(disk->offered - disk->told);

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = __atomic_load_n(&disk->used.avail_event, __ATOMIC_RELAXED);
	if (count > 0 && (uint16_t)(event - disk->told) < count) {
		disk->notifies++;
		blk_set_reg(disk, REG_NOTIFY, 0);
	}
	disk->told = disk->offered;
}

bool blk_is_ready(const struct blk_disk *disk)
{
	return __atomic_load_n(&disk->used.index, __ATOMIC_ACQUIRE) != disk->seen;
}

const struct blk_slot *blk_wait(struct blk_disk *disk)
{
	uint64_t start = 0;
	uint32_t id;

	while (!blk_is_ready(disk)) {
		if (start == 0)
			start = stub_rdtsc();
		if (stub_rdtsc() - start > WAIT_CYCLES)
			return NULL;
		stub_pause();
	}
	id = disk->used.ring[disk->seen++ % BLK_QUEUE_SIZE].id;
	if (id >= BLK_SLOTS || disk->free_count == BLK_SLOTS)
		return NULL;
	disk->free[disk->free_count++] = (uint16_t)id;
	return &disk->slots[id];
}

uint8_t blk_do(struct blk_disk *disk, const struct blk_request *request)
{
	const struct blk_slot *slot;

	if (!blk_offer(disk, request))
		return BLK_UNTOUCHED;
	blk_notify(disk);
	slot = blk_wait(disk);
	if (slot == NULL)
		return BLK_UNTOUCHED;
	if (request->layout == BLK_MERGED && request->device_writes && request->len > 0)
		return ((const uint8_t *)request->data)[request->len];
	return slot->status;
}
