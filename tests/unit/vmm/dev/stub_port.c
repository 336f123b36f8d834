/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/dev/stub_port.c: the doorbells, with this file as the guest. */
#include "vmm/dev/stub_port.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"

#define RAM_SIZE (4 * MIB)
#define MAILBOX	 0x10000u
#define REQUEST	 0x20000u
#define RESPONSE 0x40000u
#define CONSOLE	 0x60000u

/* The host's side, recorded. */
struct host {
	int result; /* what every call gives */
	char answer[256], console[256];
	size_t answer_len, console_len;
	unsigned int answers, consoles, parks;
	const char *next; /* the next request, or NULL */
};

static struct guest_ram ram;
static struct stub_port port;
static struct host host;
static struct error error;

static int answer(void *ctx, const void *data, size_t len)
{
	struct host *at = ctx;

	at->answers++;
	at->answer_len = len;
	memcpy(at->answer, data, min_u64(len, sizeof(at->answer)));
	return at->result;
}

static int console(void *ctx, const char *text, size_t len)
{
	struct host *at = ctx;

	at->consoles++;
	at->console_len = len;
	memcpy(at->console, text, min_u64(len, sizeof(at->console)));
	return at->result;
}

static int park(void *ctx, void *buf, size_t capacity, size_t *ret_len)
{
	struct host *at = ctx;

	at->parks++;
	if (at->result < 0 || !at->next)
		return at->result;
	*ret_len = strlen(at->next);
	memcpy(buf, at->next, min_u64(*ret_len, capacity));
	return 1;
}

static const struct machine_sink sink = {
	.ctx = &host, .answer = answer, .park = park, .console = console};

static struct forkvm_mailbox *mailbox(void)
{
	return guest_ram_at(&ram, MAILBOX, sizeof(struct forkvm_mailbox));
}

static void set_up(void)
{
	cr_assert_eq(guest_ram_init(&ram, RAM_SIZE, NULL, &error), 0, "%s", error.text);
	stub_port_init(&port, &ram);
	port.sink = &sink;
	host = (struct host){0};
	*mailbox() = (struct forkvm_mailbox){
		.magic = FORKVM_ABI_MAGIC,
		.version = FORKVM_ABI_VERSION,
		.request_gpa = REQUEST,
		.response_gpa = RESPONSE,
		.console_gpa = CONSOLE,
		.request_capacity = 128,
		.response_capacity = 256,
		.console_capacity = 64,
	};
}

static void tear_down(void)
{
	guest_ram_done(&ram);
}

TestSuite(stub_port, .init = set_up, .fini = tear_down);

static int ring(uint16_t bell, uint32_t value)
{
	uint8_t data[4];
	struct port_access access = {
		.port = bell, .size = 4, .is_out = true, .count = 1, .data = data};

	memcpy(data, &value, sizeof(data));
	error = (struct error){0};
	return stub_port_access(&port, &access, &error);
}

static void expect(uint16_t bell, uint32_t value, int result)
{
	cr_assert_eq(ring(bell, value), result, "port %#x: %s", bell, error.text);
}

/* The bell is refused, with words, and nothing has moved. */
static void refuse(uint16_t bell, uint32_t value, int code)
{
	enum stub_phase before = port.phase;

	expect(bell, value, -code);
	cr_assert_str_not_empty(error.text);
	cr_assert_eq(port.phase, before);
}

static void boot(void)
{
	expect(FORKVM_PORT_BOOTED, MAILBOX, PORT_CONTINUE);
	cr_assert_eq(port.phase, STUB_SETUP);
}

static void boot_to_template(void)
{
	boot();
	expect(FORKVM_PORT_TEMPLATE, 0, PORT_STOP);
	cr_assert_eq(port.phase, STUB_TEMPLATE);
}

static const struct forkvm_identity identity = {
	.clone_id = 42, .generation_id = {1, 2, 3}, .seed = {9, 8, 7}, .wall_clock_ns = 5};

static void deliver(const char *request)
{
	cr_assert_eq(stub_port_deliver(&port, &identity, request, strlen(request), &error), 0, "%s",
		     error.text);
	cr_assert_eq(port.phase, STUB_SERVING);
}

Test(stub_port, a_whole_life)
{
	boot_to_template();
	deliver("first");
	cr_assert_eq(mailbox()->is_clone, 1);
	cr_assert_eq(mailbox()->request_len, 5);
	cr_assert_eq(mailbox()->request_seq, 1);
	cr_assert_eq(memcmp(&mailbox()->identity, &identity, sizeof(identity)), 0);
	cr_assert_eq(memcmp(guest_ram_at(&ram, REQUEST, 5), "first", 5), 0);

	memcpy(guest_ram_at(&ram, RESPONSE, 4), "yes!", 4);
	cr_assert_eq(port.first_ready_ns, 0);
	expect(FORKVM_PORT_READY, 4, PORT_CONTINUE);
	cr_assert_neq(port.first_ready_ns, 0);
	cr_assert_eq(host.answers, 1);
	cr_assert_eq(host.answer_len, 4);
	cr_assert_eq(memcmp(host.answer, "yes!", 4), 0);

	host.next = "second";
	expect(FORKVM_PORT_PARK, 0, PORT_CONTINUE);
	cr_assert_eq(mailbox()->request_seq, 2);
	cr_assert_eq(mailbox()->request_len, 6);
	cr_assert_eq(memcmp(guest_ram_at(&ram, REQUEST, 6), "second", 6), 0);
	expect(FORKVM_PORT_READY, 0, PORT_CONTINUE);
	cr_assert_eq(host.answers, 2);
	cr_assert_eq(host.answer_len, 0);

	expect(FORKVM_PORT_DONE, 0xdeadbeef, PORT_STOP);
	cr_assert_eq(port.phase, STUB_DONE);
	cr_assert_eq(port.status, 0xdeadbeef);
	cr_assert_eq(port.sink_error, 0);
}

Test(stub_port, the_mailbox_is_all_zeros_for_the_template)
{
	boot_to_template();
	cr_assert_eq(mailbox()->is_clone, 0);
	cr_assert_eq(mailbox()->request_seq, 0);
	cr_assert_eq(mailbox()->identity.clone_id, 0);
}

Test(stub_port, no_more_requests_is_done_with_status_0)
{
	boot_to_template();
	deliver("");
	expect(FORKVM_PORT_READY, 0, PORT_CONTINUE);
	expect(FORKVM_PORT_PARK, 0, PORT_STOP);
	cr_assert_eq(host.parks, 1);
	cr_assert_eq(port.phase, STUB_DONE);
	cr_assert_eq(port.status, 0);
}

Test(stub_port, works_without_a_sink)
{
	port.sink = NULL;
	boot();
	expect(FORKVM_PORT_CONSOLE, 1, PORT_CONTINUE);
	expect(FORKVM_PORT_TEMPLATE, 0, PORT_STOP);
	deliver("");
	expect(FORKVM_PORT_READY, 0, PORT_CONTINUE);
	expect(FORKVM_PORT_PARK, 0, PORT_STOP);
	cr_assert_eq(port.phase, STUB_DONE);
}

Test(stub_port, works_with_an_empty_sink)
{
	static const struct machine_sink empty;

	port.sink = &empty;
	boot();
	expect(FORKVM_PORT_CONSOLE, 1, PORT_CONTINUE);
	expect(FORKVM_PORT_TEMPLATE, 0, PORT_STOP);
	deliver("");
	expect(FORKVM_PORT_READY, 0, PORT_CONTINUE);
	expect(FORKVM_PORT_PARK, 0, PORT_STOP);
}

Test(stub_port, console_text_arrives)
{
	boot();
	memcpy(guest_ram_at(&ram, CONSOLE, 5), "hello", 5);
	expect(FORKVM_PORT_CONSOLE, 5, PORT_CONTINUE);
	expect(FORKVM_PORT_CONSOLE, 64, PORT_CONTINUE);
	cr_assert_eq(host.consoles, 2);
	cr_assert_eq(memcmp(host.console, "hello", 5), 0);
	refuse(FORKVM_PORT_CONSOLE, 65, EPROTO);
	refuse(FORKVM_PORT_CONSOLE, UINT32_MAX, EPROTO);
	cr_assert_eq(host.consoles, 2);
}

Test(stub_port, an_answer_longer_than_its_area)
{
	boot_to_template();
	deliver("");
	refuse(FORKVM_PORT_READY, 257, EPROTO);
	refuse(FORKVM_PORT_READY, UINT32_MAX, EPROTO);
	cr_assert_eq(host.answers, 0);
	expect(FORKVM_PORT_READY, 256, PORT_CONTINUE);
}

Test(stub_port, a_request_longer_than_its_area_is_for_the_caller_to_refuse)
{
	char request[129] = {0};

	boot_to_template();
	cr_assert_eq(stub_port_deliver(&port, &identity, request, 129, &error), -EMSGSIZE);
	cr_assert_eq(port.phase, STUB_TEMPLATE);
	cr_assert_eq(mailbox()->is_clone, 0);
	cr_assert_eq(stub_port_deliver(&port, &identity, request, 128, &error), 0);
	cr_assert_eq(mailbox()->request_len, 128);
}

/* A sink that claims more than it had room for must not make the guest read beyond. */
Test(stub_port, a_parked_request_is_cut_to_its_area)
{
	char next[201];

	memset(next, 'n', 200);
	next[200] = '\0';
	boot_to_template();
	deliver("");
	expect(FORKVM_PORT_READY, 0, PORT_CONTINUE);
	host.next = next;
	expect(FORKVM_PORT_PARK, 0, PORT_CONTINUE);
	cr_assert_eq(mailbox()->request_len, 128);
}

/* Each bell in each phase: let through where the ABI says so, refused everywhere else. */
Test(stub_port, only_the_order_of_the_abi)
{
	static const uint16_t bells[] = {FORKVM_PORT_BOOTED, FORKVM_PORT_TEMPLATE,
					 FORKVM_PORT_READY,  FORKVM_PORT_PARK,
					 FORKVM_PORT_DONE,   FORKVM_PORT_CONSOLE};
	static const bool allowed[][6] = {
		[STUB_BOOTING] = {true, false, false, false, false, false},
		[STUB_SETUP] = {false, true, false, false, true, true},
		[STUB_TEMPLATE] = {false, false, false, false, false, false},
		[STUB_SPARE] = {false, false, false, true, true, true},
		[STUB_SERVING] = {false, false, true, false, true, true},
		[STUB_ANSWERED] = {false, false, false, true, true, true},
		[STUB_DONE] = {false, false, false, false, false, false},
	};

	boot();
	for (size_t phase = 0; phase < ARRAY_SIZE(allowed); phase++) {
		for (size_t bell = 0; bell < ARRAY_SIZE(bells); bell++) {
			uint32_t value = bells[bell] == FORKVM_PORT_BOOTED ? MAILBOX : 0;
			struct stub_port before;

			port.phase = (enum stub_phase)phase;
			before = port;
			if (allowed[phase][bell])
				cr_assert_geq(ring(bells[bell], value), 0, "phase %zu, bell %zu",
					      phase, bell);
			else
				refuse(bells[bell], value, EPROTO);
			port = before;
		}
	}
}

Test(stub_port, a_request_is_delivered_once)
{
	boot_to_template();
	deliver("");
	cr_assert_eq(stub_port_deliver(&port, &identity, "", 0, &error), -EPROTO);
}

Test(stub_port, a_guest_frozen_before_its_mark_is_served_when_it_gets_there)
{
	cr_assert_eq(stub_port_deliver(&port, &identity, "x", 1, &error), -EMSGSIZE, "no mailbox");
	boot();
	cr_assert_eq(stub_port_deliver(&port, &identity, "later", 5, &error), 0);
	cr_assert_eq(mailbox()->is_clone, 0);
	expect(FORKVM_PORT_TEMPLATE, 0, PORT_CONTINUE);
	cr_assert_eq(port.phase, STUB_SERVING);
	cr_assert_eq(mailbox()->is_clone, 1);
	cr_assert_eq(mailbox()->request_len, 5);
	cr_assert_eq(mailbox()->identity.clone_id, identity.clone_id);
}

Test(stub_port, the_hosts_time_of_day)
{
	uint64_t before = clock_ns(CLOCK_REALTIME);

	boot();
	expect(FORKVM_PORT_CLOCK, 0, PORT_CONTINUE);
	cr_assert_geq(mailbox()->identity.wall_clock_ns, before);
}

Test(stub_port, a_failing_sink_ends_the_vm_as_a_host_error)
{
	boot_to_template();
	deliver("");
	host.result = -EPIPE;
	expect(FORKVM_PORT_READY, 0, PORT_STOP);
	cr_assert_eq(port.phase, STUB_DONE);
	cr_assert_eq(port.sink_error, -EPIPE);
}

Test(stub_port, a_failing_console_too)
{
	boot();
	host.result = -EIO;
	expect(FORKVM_PORT_CONSOLE, 1, PORT_STOP);
	cr_assert_eq(port.sink_error, -EIO);
}

Test(stub_port, a_failing_park_too)
{
	boot_to_template();
	deliver("");
	expect(FORKVM_PORT_READY, 0, PORT_CONTINUE);
	host.result = -ECONNRESET;
	expect(FORKVM_PORT_PARK, 0, PORT_STOP);
	cr_assert_eq(port.sink_error, -ECONNRESET);
}

static int raw(uint16_t number, uint8_t size, bool is_out, uint32_t count)
{
	uint8_t data[64] = {0};
	struct port_access access = {
		.port = number, .size = size, .is_out = is_out, .count = count, .data = data};

	return stub_port_access(&port, &access, &error);
}

Test(stub_port, only_one_32_bit_out_rings)
{
	cr_assert_eq(raw(FORKVM_PORT_BOOTED, 1, true, 1), -EPROTO);
	cr_assert_eq(raw(FORKVM_PORT_BOOTED, 2, true, 1), -EPROTO);
	cr_assert_eq(raw(FORKVM_PORT_BOOTED, 4, false, 1), -EPROTO);
	cr_assert_eq(raw(FORKVM_PORT_BOOTED, 4, true, 2), -EPROTO);
	cr_assert_eq(raw(FORKVM_PORT_BOOTED, 4, true, 0), -EPROTO);
	for (uint16_t number = FORKVM_PORT_BASE; number < FORKVM_PORT_END; number++)
		if (number % 4)
			cr_assert_eq(raw(number, 4, true, 1), -EPROTO, "port %#x", number);
	cr_assert_eq(raw(FORKVM_PORT_END, 4, true, 1), -EPROTO);
	cr_assert_eq(raw(FORKVM_PORT_BASE - 4, 4, true, 1), -EPROTO);
	cr_assert_eq(port.phase, STUB_BOOTING);
}

Test(stub_port, a_mailbox_outside_ram)
{
	refuse(FORKVM_PORT_BOOTED, (uint32_t)RAM_SIZE, EFAULT);
	refuse(FORKVM_PORT_BOOTED, (uint32_t)RAM_SIZE - 64, EFAULT);
	refuse(FORKVM_PORT_BOOTED, UINT32_MAX, EFAULT);
	refuse(FORKVM_PORT_BOOTED, 0xfffff000, EFAULT);
	refuse(FORKVM_PORT_BOOTED, MAILBOX + 8, EPROTO);
	refuse(FORKVM_PORT_BOOTED, MAILBOX + 1, EPROTO);
}

Test(stub_port, a_mailbox_of_zeros)
{
	refuse(FORKVM_PORT_BOOTED, 0, EPROTO);
}

Test(stub_port, another_magic_or_version)
{
	mailbox()->magic ^= 1;
	refuse(FORKVM_PORT_BOOTED, MAILBOX, EPROTO);
	mailbox()->magic ^= 1;
	mailbox()->version++;
	refuse(FORKVM_PORT_BOOTED, MAILBOX, EPROTO);
	cr_assert_not_null(strstr(error.text, "ABI 2"), "%s", error.text);
	mailbox()->version--;
	boot();
}

Test(stub_port, areas_that_are_too_large_or_outside)
{
	struct forkvm_mailbox good = *mailbox();
	struct {
		uint64_t gpa;
		uint32_t capacity;
		int code;
	} bad[] = {
		{RAM_SIZE, 1, EFAULT},
		{RAM_SIZE - 1, 2, EFAULT},
		{UINT64_MAX, 1, EFAULT},
		{UINT64_MAX - 3, 4, EFAULT}, /* ends exactly at 2^64 */
		{UINT64_MAX - 1, 4096, EFAULT},
		{GPA_HIGH_RAM, 1, EFAULT},
		{0, FORKVM_MAX_REQUEST + 1, EPROTO},
		{0, UINT32_MAX, EPROTO},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		*mailbox() = good;
		mailbox()->request_gpa = bad[i].gpa;
		mailbox()->request_capacity = bad[i].capacity;
		refuse(FORKVM_PORT_BOOTED, MAILBOX, bad[i].code);
		*mailbox() = good;
		mailbox()->response_gpa = bad[i].gpa;
		mailbox()->response_capacity = bad[i].capacity;
		refuse(FORKVM_PORT_BOOTED, MAILBOX, bad[i].code);
		*mailbox() = good;
		mailbox()->console_gpa = bad[i].gpa;
		mailbox()->console_capacity = (uint32_t)min_u64(
			bad[i].capacity, bad[i].code == EFAULT ? 4096 : UINT32_MAX);
		refuse(FORKVM_PORT_BOOTED, MAILBOX, bad[i].code);
	}
	*mailbox() = good;
	mailbox()->console_capacity = FORKVM_MAX_CONSOLE + 1;
	refuse(FORKVM_PORT_BOOTED, MAILBOX, EPROTO);
}

Test(stub_port, the_largest_areas_are_fine)
{
	mailbox()->request_gpa = RAM_SIZE - FORKVM_MAX_REQUEST;
	mailbox()->request_capacity = FORKVM_MAX_REQUEST;
	mailbox()->response_gpa = RAM_SIZE - FORKVM_MAX_RESPONSE;
	mailbox()->response_capacity = FORKVM_MAX_RESPONSE;
	mailbox()->console_capacity = FORKVM_MAX_CONSOLE;
	boot_to_template();
}

/* A guest without any area: every length but 0 is refused, and its address reaches nothing. */
Test(stub_port, no_areas_at_all)
{
	mailbox()->request_gpa = mailbox()->response_gpa = mailbox()->console_gpa = UINT64_MAX;
	mailbox()->request_capacity = 0;
	mailbox()->response_capacity = 0;
	mailbox()->console_capacity = 0;
	boot_to_template();
	cr_assert_eq(stub_port_deliver(&port, &identity, "x", 1, &error), -EMSGSIZE);
	deliver("");
	refuse(FORKVM_PORT_READY, 1, EPROTO);
	refuse(FORKVM_PORT_CONSOLE, 1, EPROTO);
	expect(FORKVM_PORT_READY, 0, PORT_CONTINUE);
	expect(FORKVM_PORT_DONE, 0, PORT_STOP);
}

/* What was checked is kept: changing the mailbox afterwards changes nothing. */
Test(stub_port, the_mailbox_is_read_once)
{
	boot_to_template();
	memset(mailbox(), 0xff, offsetof(struct forkvm_mailbox, is_clone));
	deliver("abc");
	cr_assert_eq(memcmp(guest_ram_at(&ram, REQUEST, 3), "abc", 3), 0);
	expect(FORKVM_PORT_READY, 256, PORT_CONTINUE);
	refuse(FORKVM_PORT_CONSOLE, 65, EPROTO);
}

/* Areas may overlap each other and the mailbox; that harms nobody but the guest. */
Test(stub_port, areas_on_top_of_the_mailbox)
{
	char request[128];

	memset(request, 0xee, sizeof(request));
	mailbox()->request_gpa = mailbox()->response_gpa = MAILBOX;
	boot_to_template();
	cr_assert_eq(stub_port_deliver(&port, &identity, request, sizeof(request), &error), 0);
	expect(FORKVM_PORT_READY, 256, PORT_CONTINUE);
	expect(FORKVM_PORT_PARK, 0, PORT_STOP);
}
