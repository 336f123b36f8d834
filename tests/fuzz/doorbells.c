/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: a guest at the doorbells. The input is a program of small steps: bytes written to
 * the guest's RAM (its mailbox above all), port accesses of every kind, and requests delivered as
 * the host does it. Whatever the guest does, the sinks see only memory that is inside its RAM.
 */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"
#include "vmm/base/util.h"
#include "vmm/dev/stub_port.h"

#define RAM_SIZE (2 * MIB)
#define MAILBOX	 0x10000u

/* The host's side: how it behaves is the input's choice, too. */
struct host {
	struct input *input;
	uint8_t sum; /* of all bytes seen, so that they are really read */
};

static struct guest_ram ram;

static void check_inside(const void *data, size_t len)
{
	uintptr_t start = (uintptr_t)ram.host, at = (uintptr_t)data;

	FUZZ_CHECK(at >= start && at <= start + RAM_SIZE);
	FUZZ_CHECK(len <= start + RAM_SIZE - at);
}

static int see(struct host *host, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	check_inside(data, len);
	for (size_t i = 0; i < len; i++)
		host->sum ^= bytes[i];
	return input_take(host->input, 1) == 1 ? -EPIPE : 0;
}

static int answer(void *ctx, const void *data, size_t len)
{
	FUZZ_CHECK(len <= FORKVM_MAX_RESPONSE);
	return see(ctx, data, len);
}

static int console(void *ctx, const char *text, size_t len)
{
	FUZZ_CHECK(len <= FORKVM_MAX_CONSOLE);
	return see(ctx, text, len);
}

static int park(void *ctx, void *buf, size_t capacity, size_t *ret_len)
{
	struct host *host = ctx;
	uint64_t choice = input_take(host->input, 2);

	FUZZ_CHECK(capacity <= FORKVM_MAX_REQUEST);
	check_inside(buf, capacity);
	if (choice == 0)
		return 0;
	if (choice == 1)
		return -ECONNRESET;
	*ret_len = (size_t)choice; /* a sink that claims more than there was room for */
	memset(buf, 0x77, min_u64(choice, capacity));
	return 1;
}

/* Bytes of the input into RAM: at the mailbox, or anywhere. */
static void step_write(struct input *input)
{
	uint64_t where = input_take(input, 3), len = input_take(input, 1);
	uint8_t *at;

	where = where & 0x800000 ? where % RAM_SIZE : MAILBOX + where % 256;
	at = guest_ram_at(&ram, where, 0);
	len = min_u64(min_u64(len, input->left), RAM_SIZE - where);
	memcpy(at, input->at, len);
	input->at += len;
	input->left -= len;
}

/* A mailbox as a good guest writes it, so that the input need not find the magic by chance. */
static void step_good_mailbox(struct input *input)
{
	struct forkvm_mailbox *box = guest_ram_at(&ram, MAILBOX, sizeof(*box));

	*box = (struct forkvm_mailbox){
		.magic = FORKVM_ABI_MAGIC,
		.version = FORKVM_ABI_VERSION,
		.request_gpa = input_take(input, 4),
		.response_gpa = input_take(input, 4),
		.console_gpa = input_take(input, 4),
		.request_capacity = (uint32_t)input_take(input, 3),
		.response_capacity = (uint32_t)input_take(input, 3),
		.console_capacity = (uint32_t)input_take(input, 2),
	};
}

static void step_access(struct input *input, struct stub_port *port)
{
	static const uint8_t sizes[] = {4, 1, 2, 4};
	uint8_t how = (uint8_t)input_take(input, 1), data[64] = {0};
	struct port_access access = {
		.port = (uint16_t)(FORKVM_PORT_BASE + input_take(input, 1)),
		.size = sizes[how & 3],
		.is_out = !(how & 4),
		.count = how & 8 ? (how >> 4) : 1,
		.data = data,
	};
	enum stub_phase before = port->phase;
	struct error error = {0};
	uint32_t value;
	int rc;

	if (how & 0x20)
		value = MAILBOX;
	else
		value = (uint32_t)input_take(input, 4);
	memcpy(data, &value, sizeof(value));
	rc = stub_port_access(port, &access, &error);
	FUZZ_CHECK(rc == PORT_CONTINUE || rc == PORT_STOP || rc == -error.code);
	if (rc < 0) {
		FUZZ_CHECK(error.text[0] != '\0');
		FUZZ_CHECK(port->phase == before);
	}
	FUZZ_CHECK(port->phase <= STUB_DONE);
	FUZZ_CHECK(port->sink_error <= 0);
	FUZZ_CHECK(before != STUB_DONE || rc < 0);
	FUZZ_CHECK(rc != PORT_STOP || port->phase == STUB_TEMPLATE || port->phase == STUB_DONE);
}

static void step_deliver(struct input *input, struct stub_port *port)
{
	static const struct forkvm_identity identity = {.clone_id = 1, .wall_clock_ns = 2};
	static uint8_t request[FORKVM_MAX_REQUEST];
	enum stub_phase before = port->phase;
	size_t len = input_take(input, 2);
	bool is_spare = len == UINT16_MAX; /* has no request yet */
	struct error error = {0};
	int rc;

	if (is_spare)
		len = 0;
	rc = stub_port_deliver(port, &identity, is_spare ? NULL : request, len, &error);
	FUZZ_CHECK(rc == 0 || (rc == -error.code && port->phase == before));
	/* A guest that is not at its mark yet gets it there. */
	FUZZ_CHECK(rc < 0 ||
		   (before == STUB_TEMPLATE ? port->phase == (is_spare ? STUB_SPARE : STUB_SERVING)
					    : port->phase == before && port->is_clone));
	FUZZ_CHECK(rc < 0 || len <= port->request_capacity);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.at = data, .left = size};
	struct host host = {.input = &input};
	const struct machine_sink sink = {
		.ctx = &host, .answer = answer, .park = park, .console = console};
	struct stub_port port;
	struct error error = {0};

	if (!ram.host)
		FUZZ_CHECK(guest_ram_init(&ram, RAM_SIZE, NULL, &error) == 0);
	memset(guest_ram_at(&ram, MAILBOX, PAGE_BYTES), 0, PAGE_BYTES);
	stub_port_init(&port, &ram);
	port.sink = &sink;
	while (input.left) {
		switch (input_take(&input, 1) & 7) {
		case 0:
			step_write(&input);
			break;
		case 1:
			step_good_mailbox(&input);
			break;
		case 2:
			step_deliver(&input, &port);
			break;
		default:
			step_access(&input, &port);
			break;
		}
	}
	return 0;
}
