/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/dev/stub_port.c: a clone that was made without a request. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"
#include "vmm/dev/stub_port.h"

#define MAILBOX 0x10000u
#define REQUEST 0x20000u

static struct guest_ram ram;
static struct stub_port port;
static struct error error;
static const char *next; /* what the host asks, or NULL */

static int park(void *ctx, void *buf, size_t capacity, size_t *ret_len)
{
	(void)ctx;
	if (!next)
		return 0;
	*ret_len = min_u64(strlen(next), capacity);
	memcpy(buf, next, *ret_len);
	return 1;
}

static const struct machine_sink sink = {.park = park};

static struct forkvm_mailbox *mailbox(void)
{
	return guest_ram_at(&ram, MAILBOX, sizeof(struct forkvm_mailbox));
}

static int ring(uint16_t bell, uint32_t value)
{
	uint8_t data[4];
	struct port_access access = {
		.port = bell, .size = 4, .is_out = true, .count = 1, .data = data};

	memcpy(data, &value, sizeof(data));
	return stub_port_access(&port, &access, &error);
}

static void set_up(void)
{
	cr_assert_eq(guest_ram_init(&ram, 4 * MIB, NULL, &error), 0, "%s", error.text);
	stub_port_init(&port, &ram);
	port.sink = &sink;
	next = NULL;
	*mailbox() = (struct forkvm_mailbox){
		.magic = FORKVM_ABI_MAGIC,
		.version = FORKVM_ABI_VERSION,
		.request_gpa = REQUEST,
		.request_capacity = 128,
	};
	cr_assert_eq(ring(FORKVM_PORT_BOOTED, MAILBOX), PORT_CONTINUE);
}

static void tear_down(void)
{
	guest_ram_done(&ram);
}

TestSuite(stub_port_spare, .init = set_up, .fini = tear_down);

static const struct forkvm_identity identity = {
	.clone_id = 42, .generation_id = {1, 2, 3}, .seed = {9, 8, 7}, .wall_clock_ns = 5};

static void become_spare(void)
{
	cr_assert_eq(ring(FORKVM_PORT_TEMPLATE, 0), PORT_STOP);
	cr_assert_eq(stub_port_deliver(&port, &identity, NULL, 0, &error), 0, "%s", error.text);
	cr_assert_eq(port.phase, STUB_SPARE);
}

Test(stub_port_spare, has_an_identity_and_no_request)
{
	become_spare();
	cr_assert_eq(mailbox()->is_clone, 1);
	cr_assert_eq(mailbox()->request_seq, 0);
	cr_assert_eq(memcmp(&mailbox()->identity, &identity, sizeof(identity)), 0);
}

Test(stub_port_spare, has_nothing_to_answer)
{
	become_spare();
	cr_assert_eq(ring(FORKVM_PORT_READY, 0), -EPROTO);
	cr_assert_not_null(strstr(error.text, "wants PARK"), "%s", error.text);
	cr_assert_eq(port.phase, STUB_SPARE);
}

Test(stub_port_spare, gets_its_first_request_by_parking)
{
	uint64_t before = clock_ns(CLOCK_REALTIME);

	become_spare();
	next = "first";
	cr_assert_eq(ring(FORKVM_PORT_PARK, 0), PORT_CONTINUE);
	cr_assert_eq(port.phase, STUB_SERVING);
	cr_assert_eq(mailbox()->request_seq, 1);
	cr_assert_eq(mailbox()->request_len, 5);
	cr_assert_eq(memcmp(guest_ram_at(&ram, REQUEST, 5), "first", 5), 0);
	cr_assert_eq(mailbox()->identity.clone_id, identity.clone_id);
	cr_assert_geq(mailbox()->identity.wall_clock_ns, before, "the time is the claim's");
}

Test(stub_port_spare, is_told_the_time_once)
{
	uint64_t claimed;

	become_spare();
	next = "any";
	cr_assert_eq(ring(FORKVM_PORT_PARK, 0), PORT_CONTINUE);
	claimed = mailbox()->identity.wall_clock_ns;
	cr_assert_eq(ring(FORKVM_PORT_READY, 0), PORT_CONTINUE);
	cr_assert_eq(ring(FORKVM_PORT_PARK, 0), PORT_CONTINUE);
	cr_assert_eq(mailbox()->request_seq, 2);
	cr_assert_eq(mailbox()->identity.wall_clock_ns, claimed, "from then on it is CLOCK's");
}

Test(stub_port_spare, is_done_when_nobody_claims_it)
{
	become_spare();
	cr_assert_eq(ring(FORKVM_PORT_PARK, 0), PORT_STOP);
	cr_assert_eq(port.phase, STUB_DONE);
	cr_assert_eq(port.status, 0);
}

Test(stub_port_spare, parks_at_its_mark_when_it_was_frozen_before)
{
	cr_assert_eq(stub_port_deliver(&port, &identity, NULL, 0, &error), 0);
	cr_assert_eq(mailbox()->is_clone, 0);
	cr_assert_eq(ring(FORKVM_PORT_TEMPLATE, 0), PORT_CONTINUE);
	cr_assert_eq(port.phase, STUB_SPARE);
	cr_assert_eq(mailbox()->request_seq, 0);
}
