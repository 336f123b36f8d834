/* SPDX-License-Identifier: MIT */
/*
 * The doorbells, on devices that QEMU has: see qemu_abi.h.
 *
 * Theory of operation
 *   Out: bytes on the first serial port, as many in one string instruction as it takes at once.
 *   In: fw_cfg (QEMU's docs/specs/fw_cfg.rst), whose contents are the QEMU process's and no part of
 *   a saved state. At the template point the stub reads the head of the request's file again and
 *   again, one exit each. In the template it says that this is no clone; in a clone, which is
 *   another QEMU with another file, it says everything. So a clone has its request as soon as its
 *   guest runs, and waits for nobody.
 *   All of it is done in ring 0. Hosts that emulate ring 0 leave and enter it three times as fast;
 *   and a host that is itself emulated (tests/lab) does not find the I/O bitmap in a task register
 *   that QEMU has restored.
 */
#include "guest-stubs/qemu/qemu_abi.h"
#include "guest-stubs/runtime/stub.h"

#define SERIAL_DATA	    0x3f8
#define SERIAL_FIFO_CONTROL 0x3fa
#define SERIAL_FIFO_ON	    0x01
#define SERIAL_STATUS	    0x3fd
#define SERIAL_EMPTY	    0x20
#define SERIAL_FIFO	    16 /* bytes that an empty port takes */
#define FW_CFG_DMA_LOW	    0x518
#define FW_CFG_DIRECTORY    0x19u
#define FW_CFG_FILES_MAX    64
#define FW_CFG_READ	    0x02u
#define FW_CFG_SELECT	    0x08u
#define FW_CFG_SELECT_SHIFT 16

/* One transfer; big-endian, as all of fw_cfg's own structures. */
struct fw_cfg_dma {
	uint32_t control, length;
	uint64_t address;
};

struct fw_cfg_directory {
	uint32_t count;
	struct {
		uint32_t size;
		uint16_t select, reserved;
		char name[56];
	} files[FW_CFG_FILES_MAX];
};

static struct fw_cfg_directory directory;

/* The file's number; in the mailbox, whose page a clone reads anyway. */
#define request_select stub_mailbox.reserved1

/* Reads into to; select 0: go on where the last reading ended. */
STUB_HOT_TEXT static struct fw_cfg_dma reading(uint32_t select, void *to, uint32_t length)
{
	uint32_t control = FW_CFG_READ;

	if (select)
		control |= FW_CFG_SELECT | select << FW_CFG_SELECT_SHIFT;
	return (struct fw_cfg_dma){
		.control = __builtin_bswap32(control),
		.length = __builtin_bswap32(length),
		.address = __builtin_bswap64((uintptr_t)to),
	};
}

/* Ring 0: done when the instruction is. */
STUB_HOT_TEXT static uint64_t transfer(uint64_t dma)
{
	__asm__ volatile("outl %0, %1"
			 :
			 : "a"(__builtin_bswap32((uint32_t)dma)), "d"((uint16_t)FW_CFG_DMA_LOW)
			 : "memory");
	return 0;
}

/* Ring 0: read the head of the request's file until it says that this is a clone. */
STUB_HOT_TEXT static uint64_t poll_request(uint64_t argument)
{
	volatile struct fw_cfg_dma *dma = (volatile struct fw_cfg_dma *)argument;
	uint32_t control = dma->control;

	do {
		dma->control = control; /* the device has written its status there */
		transfer(argument);
	} while (!*(volatile uint32_t *)&stub_mailbox.is_clone);
	return 0;
}

struct bytes {
	const void *at;
	size_t count;
};

STUB_HOT_TEXT static uint8_t serial_status(void)
{
	uint8_t status;

	__asm__ volatile("inb %1, %0" : "=a"(status) : "d"((uint16_t)SERIAL_STATUS));
	return status;
}

/* Ring 0: wait until the port has passed on what it was given. */
STUB_HOT_TEXT static uint64_t drain(uint64_t unused)
{
	while (!(serial_status() & SERIAL_EMPTY))
		;
	return unused;
}

/* Ring 0. */
STUB_HOT_TEXT static uint64_t put_bytes(uint64_t argument)
{
	const struct bytes *bytes = (const struct bytes *)argument;
	const void *at = bytes->at;

	for (size_t left = bytes->count; left > 0;) {
		size_t count = left < SERIAL_FIFO ? left : SERIAL_FIFO;

		left -= count;
		__asm__ volatile("rep outsb"
				 : "+S"(at), "+c"(count)
				 : "d"((uint16_t)SERIAL_DATA)
				 : "memory");
		if (left > 0)
			drain(0);
	}
	return 0;
}

/* The port must be empty, and at the end need not be. */
STUB_HOT_TEXT static void put(const void *at, size_t count)
{
	const struct bytes bytes = {at, count};

	ring0_call(put_bytes, (uintptr_t)&bytes);
}

/* Ring 0. */
static uint64_t set_up_serial(uint64_t unused)
{
	__asm__ volatile("outb %0, %1"
			 :
			 : "a"((uint8_t)SERIAL_FIFO_ON), "d"((uint16_t)SERIAL_FIFO_CONTROL));
	return unused;
}

static void find_request(void)
{
	static const char name[] = FORKVM_QEMU_REQUEST;
	struct fw_cfg_dma dma = reading(FW_CFG_DIRECTORY, &directory, sizeof(directory));

	ring0_call(transfer, (uintptr_t)&dma);
	for (uint32_t i = 0; i < __builtin_bswap32(directory.count) && i < FW_CFG_FILES_MAX; i++)
		if (memcmp(directory.files[i].name, name, sizeof(name)) == 0)
			request_select = __builtin_bswap16(directory.files[i].select);
	if (!request_select)
		stub_fail("fw_cfg has no file %s", name);
}

STUB_HOT_TEXT static void await_request(void)
{
	const struct forkvm_mailbox *m = &stub_mailbox;
	struct fw_cfg_dma dma =
		reading((uint32_t)request_select, &stub_mailbox.is_clone, FORKVM_QEMU_HEADER);

	ring0_call(poll_request, (uintptr_t)&dma);
	if (m->request_len > m->request_capacity)
		stub_fail("a request of %u bytes", m->request_len);
	if (m->request_len) {
		dma = reading(0, (void *)m->request_gpa, m->request_len);
		ring0_call(transfer, (uintptr_t)&dma);
	}
}

static uint64_t halt(uint64_t unused)
{
	for (;;)
		__asm__ volatile("cli; hlt");
	return unused;
}

STUB_HOT_TEXT void stub_doorbell(uint16_t port, uint32_t value)
{
	switch (port) {
	case FORKVM_PORT_BOOTED:
		ring0_call(set_up_serial, 0);
		find_request();
		break;
	case FORKVM_PORT_TEMPLATE:
		put(FORKVM_QEMU_MARKER, sizeof(FORKVM_QEMU_MARKER) - 1);
		ring0_call(drain, 0);
		await_request();
		break;
	case FORKVM_PORT_READY:
		put((const void *)stub_mailbox.response_gpa, value);
		break;
	case FORKVM_PORT_CONSOLE:
		put((const void *)stub_mailbox.console_gpa, value);
		ring0_call(drain, 0);
		break;
	default: /* PARK: there is no other request; DONE */
		ring0_call(halt, 0);
	}
}
