/* SPDX-License-Identifier: MIT */
/*
 * The virtio stub's driver: see virtio_driver.h.
 */
#include "guest-stubs/stubs/virtio_driver.h"

#include "guest-stubs/runtime/stub.h"

#define MAGIC	    0x74726976u
#define ID_ENTROPY  4u
#define UNTOUCHED   0x5a
#define WAIT_CYCLES 20000000000ull /* some 7 s */
#define CANARY	    64u		   /* bytes behind the last that must not change */

struct queue queue __attribute__((aligned(STUB_PAGE_SIZE)));
char data[DATA_SIZE] __attribute__((aligned(STUB_PAGE_SIZE)));
static uint64_t base;

void driver_init(void)
{
	base = FORKVM_VIRTIO_MMIO_GPA;
	if (!stub_number(NULL, 0, "device", &base))
		stub_fail("device= wants an address");
	/* Part of the template, so that a clone finds no hole there. */
	memset(&queue, 0, sizeof(queue));
	memset(data, UNTOUCHED, sizeof(data));
}

uint32_t reg_read(uint32_t offset)
{
	return *(volatile uint32_t *)(base + offset);
}

void reg_write(uint32_t offset, uint32_t value)
{
	*(volatile uint32_t *)(base + offset) = value;
}

uint64_t reg_read_wide(uint32_t offset, uint32_t size)
{
	switch (size) {
	case 1:
		return *(volatile uint8_t *)(base + offset);
	case 2:
		return *(volatile uint16_t *)(base + offset);
	case 8:
		return *(volatile uint64_t *)(base + offset);
	default:
		return reg_read(offset);
	}
}

void reg_write_wide(uint32_t offset, uint32_t size, uint64_t value)
{
	switch (size) {
	case 1:
		*(volatile uint8_t *)(base + offset) = (uint8_t)value;
		break;
	case 2:
		*(volatile uint16_t *)(base + offset) = (uint16_t)value;
		break;
	case 8:
		*(volatile uint64_t *)(base + offset) = value;
		break;
	default:
		reg_write(offset, (uint32_t)value);
		break;
	}
}

struct setup setup_good(void)
{
	return (struct setup){
		.features = FEATURE_INDIRECT | FEATURE_EVENT,
		.size = QUEUE_SIZE,
		.desc = (uintptr_t)queue.desc,
		.avail = (uintptr_t)&queue.avail,
		.used = (uintptr_t)&queue.used,
	};
}

const char *device_reset(void)
{
	reg_write(REG_STATUS, 0);
	if (reg_read(REG_STATUS) != 0)
		return "status-after-reset";
	if (reg_read(REG_INTERRUPT) != 0)
		return "interrupt-after-reset";
	if (reg_read(REG_QUEUE_READY) != 0)
		return "queue-after-reset";
	memset(&queue, 0, sizeof(queue));
	return NULL;
}

static void write_address(uint32_t offset, uint64_t gpa)
{
	reg_write(offset, (uint32_t)gpa);
	reg_write(offset + 4, (uint32_t)(gpa >> 32));
}

const char *device_start(const struct setup *setup)
{
	const char *wrong = device_reset();

	if (wrong != NULL)
		return wrong;
	if (reg_read(REG_MAGIC) != MAGIC || reg_read(REG_VERSION) != 2)
		return "no-virtio-device";
	if (reg_read(REG_DEVICE_ID) != ID_ENTROPY)
		return "no-entropy-device";
	reg_write(REG_STATUS, 1);
	reg_write(REG_STATUS, 3);
	reg_write(REG_DRIVER_SEL, 0);
	reg_write(REG_DRIVER, setup->features);
	reg_write(REG_DRIVER_SEL, 1);
	reg_write(REG_DRIVER, 1);
	reg_write(REG_STATUS, 3 | STATUS_FEATURES);
	if (!(reg_read(REG_STATUS) & STATUS_FEATURES))
		return "features-refused";
	reg_write(REG_QUEUE_SEL, 0);
	if (reg_read(REG_QUEUE_MAX) < QUEUE_SIZE)
		return "queue-too-small";
	reg_write(REG_QUEUE_NUM, setup->size);
	write_address(REG_DESC, setup->desc);
	write_address(REG_AVAIL, setup->avail);
	write_address(REG_USED, setup->used);
	reg_write(REG_QUEUE_READY, 1);
	reg_write(REG_STATUS, STATUS_STARTED);
	return NULL;
}

void queue_offer(uint16_t head)
{
	queue.avail.ring[queue.offered++ % QUEUE_SIZE] = head;
	__atomic_store_n(&queue.avail.index, queue.offered, __ATOMIC_SEQ_CST);
}

void queue_notify(void)
{
	reg_write(REG_NOTIFY, 0);
}

static bool wait_used(void)
{
	uint64_t start = stub_rdtsc();

	while (__atomic_load_n(&queue.used.index, __ATOMIC_ACQUIRE) == queue.seen) {
		if (stub_rdtsc() - start > WAIT_CYCLES)
			return false;
		stub_pause();
	}
	return true;
}

/* Chance leaves few bytes as they were. */
static bool is_filled(const char *bytes, uint32_t count)
{
	uint32_t untouched = 0;

	for (uint32_t i = 0; i < count; i++)
		untouched += bytes[i] == UNTOUCHED;
	return untouched < 16 + count / 16;
}

static bool is_untouched(const char *bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (bytes[i] != UNTOUCHED)
			return false;
	}
	return true;
}

const char *request_random(uint32_t bytes, uint32_t segments)
{
	uint32_t each = bytes / segments, slot = queue.seen % QUEUE_SIZE, status;

	memset(data, UNTOUCHED, sizeof(data));
	for (uint32_t i = 0; i < segments; i++) {
		bool last = i == segments - 1;

		queue.desc[i] = (struct desc){
			.addr = (uintptr_t)data + (uint64_t)each * i,
			.len = last ? bytes - each * i : each,
			.flags = (uint16_t)(F_WRITE | (last ? 0 : F_NEXT)),
			.next = (uint16_t)(i + 1),
		};
	}
	queue.avail.used_event = queue.seen;
	queue_offer(0);
	queue_notify();
	if (!wait_used())
		return "no-answer";
	if (queue.used.index != (uint16_t)(queue.seen + 1) || queue.used.ring[slot].id != 0)
		return "wrong-element";
	if (queue.used.ring[slot].len != bytes)
		return "wrong-length";
	queue.seen++;
	if (!is_filled(data, bytes))
		return "not-random";
	if (!is_untouched(data + bytes, bytes + CANARY <= DATA_SIZE ? CANARY : DATA_SIZE - bytes))
		return "too-far";
	status = reg_read(REG_INTERRUPT);
	if (!(status & INTERRUPT_USED))
		return "no-interrupt";
	reg_write(REG_ACK, status);
	if (reg_read(REG_INTERRUPT) != 0)
		return "interrupt-after-ack";
	return NULL;
}

const char *request_good(void)
{
	return request_random(256, 3);
}
