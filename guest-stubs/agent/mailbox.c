/* SPDX-License-Identifier: MIT */
/*
 * The doorbells: see mailbox.h. Where the memory comes from is in mailbox_open.c.
 */
#include "guest-stubs/agent/mailbox.h"

#include <string.h>

#include "guest-stubs/agent/pages.h"

/* The host changes memory behind the compiler's back, whenever a bell is rung. */
static bool ring(struct mailbox *box, uint16_t port, uint32_t value)
{
	bool more;

	__asm__ volatile("" ::: "memory");
	more = box->bells->ring(box, port, value);
	__asm__ volatile("" ::: "memory");
	return more;
}

static bool is_at(const void *at, uint64_t gpa, size_t size)
{
	uint64_t now = 0;

	for (size_t offset = 0; offset < size; offset += PAGES_SINGLE_SIZE) {
		if (pages_gpa((const char *)at + offset, &now) < 0 || now != gpa + offset)
			return false;
	}
	return true;
}

bool mailbox_in_place(const struct mailbox *box)
{
	const struct mailbox_area *const areas[] = {&box->request, &box->response, &box->console};

	/* /dev/mem maps addresses, not pages: pagemap has nothing to say about those, below 1 MiB.
	 */
	if (box->gpa >= 1u << 20 &&
	    !is_at((const void *)(uintptr_t)box->shared, box->gpa, sizeof(*box->shared)))
		return false;
	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++) {
		if (!is_at(areas[i]->at, areas[i]->gpa, areas[i]->capacity))
			return false;
	}
	return true;
}

void mailbox_boot(struct mailbox *box)
{
	volatile struct forkvm_mailbox *shared = box->shared;

	shared->magic = FORKVM_ABI_MAGIC;
	shared->version = FORKVM_ABI_VERSION;
	shared->request_gpa = box->request.gpa;
	shared->response_gpa = box->response.gpa;
	shared->console_gpa = box->console.gpa;
	shared->request_capacity = box->request.capacity;
	shared->response_capacity = box->response.capacity;
	shared->console_capacity = box->console.capacity;
	ring(box, FORKVM_PORT_BOOTED, (uint32_t)box->gpa);
	box->booted = true;
	box->present = mailbox_clock(box) != 0;
	/* Identities are all zeros in a template. */
	shared->identity.wall_clock_ns = 0;
}

bool mailbox_template(struct mailbox *box)
{
	ring(box, FORKVM_PORT_TEMPLATE, 0);
	return box->shared->is_clone != 0;
}

uint64_t mailbox_clock(struct mailbox *box)
{
	ring(box, FORKVM_PORT_CLOCK, 0);
	return box->shared->identity.wall_clock_ns;
}

void mailbox_identity(const struct mailbox *box, struct forkvm_identity *ret_identity)
{
	ret_identity->clone_id = box->shared->identity.clone_id;
	ret_identity->wall_clock_ns = box->shared->identity.wall_clock_ns;
	for (size_t i = 0; i < FORKVM_GENERATION_ID_SIZE; i++)
		ret_identity->generation_id[i] = box->shared->identity.generation_id[i];
	memset(ret_identity->seed, 0, sizeof(ret_identity->seed));
}

void mailbox_take_seed(struct mailbox *box, uint8_t ret_seed[FORKVM_SEED_SIZE])
{
	for (size_t i = 0; i < FORKVM_SEED_SIZE; i++) {
		ret_seed[i] = box->shared->identity.seed[i];
		box->shared->identity.seed[i] = 0;
	}
}

size_t mailbox_request_size(const struct mailbox *box)
{
	uint32_t size = box->shared->request_len;

	return size < box->request.capacity ? size : box->request.capacity;
}

void mailbox_ready(struct mailbox *box, size_t length)
{
	ring(box, FORKVM_PORT_READY, (uint32_t)length);
}

bool mailbox_park(struct mailbox *box)
{
	return ring(box, FORKVM_PORT_PARK, 0);
}

void mailbox_console(void *context, const char *text, size_t length)
{
	struct mailbox *box = context;

	if (!box->booted)
		return;
	while (length > 0) {
		size_t part = length < box->console.capacity ? length : box->console.capacity;

		memcpy(box->console.at, text, part);
		ring(box, FORKVM_PORT_CONSOLE, (uint32_t)part);
		text += part;
		length -= part;
	}
}

void mailbox_done(struct mailbox *box, uint32_t status)
{
	if (box->booted)
		ring(box, FORKVM_PORT_DONE, status);
}
