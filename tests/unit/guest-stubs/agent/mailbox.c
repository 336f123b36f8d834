/* SPDX-License-Identifier: MIT */
/* Unit tests of guest-stubs/agent/mailbox.c: which bells ring, with what, and what is in memory. */
#include "guest-stubs/agent/mailbox.h"

#include <criterion/criterion.h>
#include <string.h>

#define RINGS_MAX 16

struct ringing {
	uint16_t port;
	uint32_t value;
};

struct host {
	struct ringing rings[RINGS_MAX];
	size_t count;
	bool deaf;
	char console[3 * FORKVM_MAX_CONSOLE];
	size_t console_size;
};

static struct host host;
static struct mailbox box;

static bool hear(struct mailbox *mailbox, uint16_t port, uint32_t value)
{
	cr_assert_lt(host.count, RINGS_MAX);
	host.rings[host.count++] = (struct ringing){port, value};
	if (host.deaf)
		return true;
	if (port == FORKVM_PORT_CLOCK)
		mailbox->shared->identity.wall_clock_ns = 1000;
	if (port == FORKVM_PORT_TEMPLATE) {
		mailbox->shared->is_clone = 1;
		mailbox->shared->identity.clone_id = 5;
		for (size_t i = 0; i < FORKVM_SEED_SIZE; i++)
			mailbox->shared->identity.seed[i] = (uint8_t)(i + 1);
	}
	if (port == FORKVM_PORT_CONSOLE) {
		cr_assert_leq(value, mailbox->console.capacity);
		memcpy(host.console + host.console_size, mailbox->console.at, value);
		host.console_size += value;
	}
	return true;
}

static const struct mailbox_bells bells = {.ring = hear};

static void set_up(void)
{
	cr_assert_eq(mailbox_open_private(&box, &bells, NULL), 0);
	box.gpa = 0x200000;
}

static void expect_ring(size_t index, uint16_t port, uint32_t value)
{
	cr_assert_lt(index, host.count);
	cr_assert_eq(host.rings[index].port, port, "ring %zu: %#x", index, host.rings[index].port);
	cr_assert_eq(host.rings[index].value, value, "ring %zu: %u", index,
		     host.rings[index].value);
}

TestSuite(mailbox, .init = set_up);

Test(mailbox, is_laid_out_as_the_contract_wants)
{
	cr_assert_eq((uintptr_t)box.shared % 64, 0);
	cr_assert_eq(box.request.capacity, FORKVM_MAX_REQUEST);
	cr_assert_eq(box.response.capacity, FORKVM_MAX_RESPONSE);
	cr_assert_eq(box.console.capacity, FORKVM_MAX_CONSOLE);
	mailbox_boot(&box);
	expect_ring(0, FORKVM_PORT_BOOTED, 0x200000);
	cr_assert_eq(box.shared->magic, FORKVM_ABI_MAGIC);
	cr_assert_eq(box.shared->version, FORKVM_ABI_VERSION);
	cr_assert_eq(box.shared->response_gpa, box.response.gpa);
	cr_assert_eq(box.shared->request_capacity, box.request.capacity);
	cr_assert_eq(box.shared->is_clone, 0);
	cr_assert_eq(box.shared->identity.wall_clock_ns, 0);
}

Test(mailbox, a_host_is_known_by_its_clock)
{
	mailbox_boot(&box);
	expect_ring(1, FORKVM_PORT_CLOCK, 0);
	cr_assert(box.present);
	host.deaf = true;
	mailbox_boot(&box);
	cr_assert(box.booted && !box.present);
	cr_assert_not(mailbox_template(&box));
}

Test(mailbox, a_seed_can_be_taken_once)
{
	struct forkvm_identity identity;
	uint8_t seed[FORKVM_SEED_SIZE], zeros[FORKVM_SEED_SIZE] = {0};

	mailbox_boot(&box);
	cr_assert(mailbox_template(&box));
	mailbox_identity(&box, &identity);
	cr_assert_eq(identity.clone_id, 5);
	cr_assert_arr_eq(identity.seed, zeros, sizeof(zeros));
	mailbox_take_seed(&box, seed);
	cr_assert_eq(seed[0], 1);
	cr_assert_eq(seed[31], 32);
	mailbox_take_seed(&box, seed);
	cr_assert_arr_eq(seed, zeros, sizeof(zeros));
	cr_assert_eq(
		memcmp((const void *)(uintptr_t)box.shared->identity.seed, zeros, sizeof(zeros)),
		0);
}

Test(mailbox, requests)
{
	mailbox_boot(&box);
	mailbox_template(&box);
	box.shared->request_len = 12;
	cr_assert_eq(mailbox_request_size(&box), 12);
	box.shared->request_len = UINT32_MAX;
	cr_assert_eq(mailbox_request_size(&box), box.request.capacity);
	mailbox_ready(&box, 17);
	cr_assert(mailbox_park(&box));
	mailbox_done(&box, 4);
	expect_ring(3, FORKVM_PORT_READY, 17);
	expect_ring(4, FORKVM_PORT_PARK, 0);
	expect_ring(5, FORKVM_PORT_DONE, 4);
}

Test(mailbox, nothing_rings_before_booted)
{
	mailbox_console(&box, "lost", 4);
	mailbox_done(&box, 1);
	cr_assert_eq(host.count, 0);
}

Test(mailbox, console_text_in_pieces)
{
	static char text[2 * FORKVM_MAX_CONSOLE + 100];

	mailbox_boot(&box);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\n';
	mailbox_console(&box, text, sizeof(text));
	mailbox_console(&box, text, 0);
	cr_assert_eq(host.count, 2 + 3);
	expect_ring(4, FORKVM_PORT_CONSOLE, 100);
	cr_assert_eq(host.console_size, sizeof(text));
	cr_assert_arr_eq(host.console, text, sizeof(text));
}
