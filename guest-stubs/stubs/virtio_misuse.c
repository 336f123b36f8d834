/* SPDX-License-Identifier: MIT */
/*
 * The virtio stub's misuses: see virtio_misuse.h.
 */
#include "guest-stubs/stubs/virtio_misuse.h"

#include "guest-stubs/runtime/stub.h"
#include "guest-stubs/stubs/virtio_driver.h"

#define DATA ((uintptr_t)data)

static void desc(uint16_t index, uint64_t addr, uint32_t len, uint32_t flags, uint16_t next)
{
	queue.desc[index] = (struct desc){addr, len, (uint16_t)flags, next};
}

static void indirect(uint16_t index, uint64_t addr, uint32_t len, uint32_t flags, uint16_t next)
{
	queue.table[index] = (struct desc){addr, len, (uint16_t)flags, next};
}

static void go(uint16_t head)
{
	queue_offer(head);
	queue_notify();
}

/* One writable descriptor of this. */
static void go_with(uint64_t addr, uint32_t len)
{
	desc(0, addr, len, F_WRITE, 0);
	go(0);
}

/* ---- Chains ---- */

static void loop(void)
{
	desc(0, DATA, 1, F_WRITE | F_NEXT, 1);
	desc(1, DATA, 1, F_WRITE | F_NEXT, 0);
	go(0);
}

static void head_outside(void)
{
	go(QUEUE_SIZE);
}

static void head_maximal(void)
{
	go(UINT16_MAX);
}

static void next_outside(void)
{
	desc(0, DATA, 1, F_WRITE | F_NEXT, QUEUE_SIZE);
	go(0);
}

static void no_bytes(void)
{
	go_with(DATA, 0);
}

static void outside(void)
{
	go_with(stub_boot->low_ram_end, 64);
}

static void crosses_end(void)
{
	go_with(stub_boot->low_ram_end - 16, 64);
}

static void wraps(void)
{
	go_with(UINT64_MAX - 15, 64);
}

static void farthest(void)
{
	go_with(UINT64_MAX, 1);
}

static void maximal(void)
{
	go_with(DATA, UINT32_MAX);
}

static void itself(void)
{
	go_with(FORKVM_VIRTIO_MMIO_GPA, 64);
}

static void order(void)
{
	desc(0, DATA, 16, F_WRITE | F_NEXT, 1);
	desc(1, DATA + 16, 16, 0, 0);
	go(0);
}

/* Right for a queue, but an entropy device has nothing to read. */
static void readable(void)
{
	desc(0, DATA, 16, F_NEXT, 1);
	desc(1, DATA + 16, 16, F_WRITE, 0);
	go(0);
}

static void bad_behind_good(void)
{
	desc(1, DATA, 16, F_WRITE, 0);
	queue_offer(1);
	head_outside();
}

/* ---- Indirect tables ---- */

static void indirect_twice(void)
{
	desc(0, (uintptr_t)queue.table, 16, F_INDIRECT, 0);
	indirect(0, (uintptr_t)queue.table, 16, F_INDIRECT, 0);
	go(0);
}

static void indirect_next(void)
{
	desc(0, (uintptr_t)queue.table, 16, F_INDIRECT | F_NEXT, 1);
	desc(1, DATA, 16, F_WRITE, 0);
	indirect(0, DATA, 16, F_WRITE, 0);
	go(0);
}

static void indirect_length(void)
{
	desc(0, (uintptr_t)queue.table, 17, F_INDIRECT, 0);
	indirect(0, DATA, 16, F_WRITE, 0);
	go(0);
}

static void indirect_empty(void)
{
	desc(0, (uintptr_t)queue.table, 0, F_INDIRECT, 0);
	go(0);
}

static void indirect_outside(void)
{
	desc(0, stub_boot->low_ram_end - 16, 32, F_INDIRECT, 0);
	go(0);
}

static void indirect_loop(void)
{
	desc(0, (uintptr_t)queue.table, 16, F_INDIRECT, 0);
	indirect(0, DATA, 16, F_WRITE | F_NEXT, 0);
	go(0);
}

static void indirect_good(void)
{
	desc(0, (uintptr_t)queue.table, 32, F_INDIRECT, 0);
	indirect(0, DATA, 16, F_WRITE | F_NEXT, 1);
	indirect(1, DATA + 16, 16, F_WRITE, 0);
	go(0);
}

static void spoil_features(struct setup *setup)
{
	setup->features = 0;
}

/* ---- Indices ---- */

static void index_jumps(void)
{
	queue.avail.index = (uint16_t)(queue.offered + QUEUE_SIZE + 1);
	queue_notify();
}

static void index_back(void)
{
	desc(0, DATA, 16, F_WRITE, 0);
	go(0);
	queue.avail.index = (uint16_t)(queue.offered - 1);
	queue_notify();
}

/* ---- Where the queue is ---- */

static void spoil_size_zero(struct setup *setup)
{
	setup->size = 0;
}

static void spoil_size_odd(struct setup *setup)
{
	setup->size = QUEUE_SIZE - 1;
}

static void spoil_size_maximal(struct setup *setup)
{
	setup->size = 1u << 31;
}

static void spoil_desc(struct setup *setup)
{
	setup->desc = stub_boot->low_ram_end - 16;
}

static void spoil_desc_unaligned(struct setup *setup)
{
	setup->desc += 8;
}

static void spoil_avail(struct setup *setup)
{
	setup->avail = UINT64_MAX - 1;
}

static void spoil_used(struct setup *setup)
{
	setup->used = FORKVM_VIRTIO_MMIO_GPA;
}

static void spoil_used_unaligned(struct setup *setup)
{
	setup->used += 2;
}

/* ---- What a device must put up with ---- */

static void notify_flood(void)
{
	for (uint32_t i = 0; i < 1000; i++)
		queue_notify();
}

static void notify_others(void)
{
	for (uint32_t i = 1; i != 0; i *= 2)
		reg_write(REG_NOTIFY, i);
}

static void registers(void)
{
	static const uint32_t sizes[] = {1, 2, 8};

	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (uint32_t offset = 0; offset + 8 <= REG_CONFIG + 64; offset += sizes[i]) {
			reg_read_wide(offset, sizes[i]);
			reg_write_wide(offset, sizes[i], UINT64_MAX);
		}
	}
	/* Aligned to nothing, read-only, of other versions, of a running queue. */
	reg_write(REG_STATUS + 1, UINT32_MAX);
	reg_write(REG_NOTIFY - 2, UINT32_MAX);
	reg_write(REG_MAGIC, UINT32_MAX);
	reg_write(REG_QUEUE_NUM, 3);
	reg_write(REG_DESC, 8);
	reg_write(REG_DRIVER, 0);
	reg_write(REG_QUEUE_SEL, UINT32_MAX);
	reg_write(REG_QUEUE_READY, 1);
	reg_write(REG_QUEUE_SEL, 0);
}

static void itself_again(void)
{
	struct setup setup = setup_good();

	for (uint32_t i = 0; i < 100; i++)
		device_start(&setup);
}

const struct misuse misuses[] = {
	{"loop", true, .run = loop},
	{"head-outside", true, .run = head_outside},
	{"head-maximal", true, .run = head_maximal},
	{"next-outside", true, .run = next_outside},
	{"no-bytes", true, .run = no_bytes},
	{"outside", true, .run = outside},
	{"crosses-end", true, .run = crosses_end},
	{"wraps", true, .run = wraps},
	{"farthest", true, .run = farthest},
	{"maximal", true, .run = maximal},
	{"itself", true, .run = itself},
	{"order", true, .run = order},
	{"readable", true, .run = readable},
	{"bad-behind-good", true, .run = bad_behind_good},
	{"indirect-twice", true, .run = indirect_twice},
	{"indirect-next", true, .run = indirect_next},
	{"indirect-length", true, .run = indirect_length},
	{"indirect-empty", true, .run = indirect_empty},
	{"indirect-outside", true, .run = indirect_outside},
	{"indirect-loop", true, .run = indirect_loop},
	{"indirect-not-negotiated", true, .spoil = spoil_features, .run = indirect_good},
	{"index-jumps", true, .run = index_jumps},
	{"index-back", true, .run = index_back},
	{"size-zero", true, .spoil = spoil_size_zero},
	{"size-odd", true, .spoil = spoil_size_odd},
	{"size-maximal", true, .spoil = spoil_size_maximal},
	{"desc-crosses-end", true, .spoil = spoil_desc},
	{"desc-unaligned", true, .spoil = spoil_desc_unaligned},
	{"avail-wraps", true, .spoil = spoil_avail},
	{"used-outside", true, .spoil = spoil_used},
	{"used-unaligned", true, .spoil = spoil_used_unaligned},
	{"indirect-good", false, .run = indirect_good},
	{"no-features", false, .spoil = spoil_features},
	{"notify-flood", false, .run = notify_flood},
	{"notify-others", false, .run = notify_others},
	{"registers", false, .run = registers},
	{"start-again", false, .run = itself_again},
};
const size_t misuse_count = sizeof(misuses) / sizeof(misuses[0]);
