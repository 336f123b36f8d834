/* SPDX-License-Identifier: MIT */
/*
 * Where the mailbox gets its ports and its memory from: see mailbox.h.
 *
 * In one huge page:
 *	0	the mailbox, and behind it in the same page the response area, so that a clone with
 *a short answer dirties one page for both
 *	...	the request area, the console area
 * In single pages: [mailbox | response], [request], [console].
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <unistd.h>

#include "guest-stubs/agent/file.h"
#include "guest-stubs/agent/log.h"
#include "guest-stubs/agent/mailbox.h"
#include "guest-stubs/agent/pages.h"

#define FOUR_GIB	(1ull << 32)
#define LOCKDOWN	"/sys/kernel/security/lockdown"

#define RESPONSE_OFFSET 256u
#define REQUEST_OFFSET	(FORKVM_MAX_RESPONSE + PAGES_SINGLE_SIZE)
#define CONSOLE_OFFSET	(REQUEST_OFFSET + FORKVM_MAX_REQUEST)
#define WHOLE_SIZE	(CONSOLE_OFFSET + FORKVM_MAX_CONSOLE)

_Static_assert(sizeof(struct forkvm_mailbox) <= RESPONSE_OFFSET, "the mailbox has its place");
_Static_assert(RESPONSE_OFFSET + FORKVM_MAX_RESPONSE <= REQUEST_OFFSET, "areas do not overlap");
_Static_assert(WHOLE_SIZE <= PAGES_HUGE_SIZE, "all of it in one huge page");

static bool ring_port(struct mailbox *box, uint16_t port, uint32_t value)
{
	(void)box;
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
	return true;
}

static const struct mailbox_bells port_bells = {.ring = ring_port};

static int open_ports(struct mailbox_error *error)
{
	char lockdown[128] = "";
	int rc;

	if (ioperm(FORKVM_PORT_BASE, FORKVM_PORT_END - FORKVM_PORT_BASE, 1) == 0)
		return 0;
	rc = -errno;
	file_read(LOCKDOWN, lockdown, sizeof(lockdown));
	if (rc == -EPERM && geteuid() != 0)
		snprintf(error->text, sizeof(error->text),
			 "the doorbell ports are root's: run forkvm-agent as root");
	else if (rc == -EPERM && *lockdown && !strstr(lockdown, "[none]"))
		snprintf(error->text, sizeof(error->text),
			 "kernel lockdown forbids port I/O: boot without Secure Boot or lockdown=");
	else if (rc == -EPERM)
		snprintf(error->text, sizeof(error->text),
			 "port I/O is forbidden here (CAP_SYS_RAWIO is missing: a container?)");
	else
		snprintf(error->text, sizeof(error->text), "ioperm: %s%s", strerror(-rc),
			 rc == -ENOSYS ? " (the kernel lacks CONFIG_X86_IOPL_IOPERM)" : "");
	return rc;
}

static struct mailbox_area area_in(const struct pages *pages, uint32_t offset, uint32_t capacity)
{
	return (struct mailbox_area){(char *)pages->at + offset, pages->gpa + offset, capacity};
}

static void lay_out(struct mailbox *box, const struct pages *pages)
{
	box->shared = pages->at;
	box->gpa = pages->gpa;
	box->response = area_in(pages, RESPONSE_OFFSET, FORKVM_MAX_RESPONSE);
	box->request = area_in(pages, REQUEST_OFFSET, FORKVM_MAX_REQUEST);
	box->console = area_in(pages, CONSOLE_OFFSET, FORKVM_MAX_CONSOLE);
}

/* Three pages, wherever they are. */
static int lay_out_singly(struct mailbox *box)
{
	struct pages pages[3];

	for (size_t i = 0; i < 3; i++) {
		int rc = pages_single(&pages[i]);

		if (rc < 0)
			return rc;
	}
	box->shared = pages[0].at;
	box->gpa = pages[0].gpa;
	box->response = area_in(&pages[0], RESPONSE_OFFSET, PAGES_SINGLE_SIZE - RESPONSE_OFFSET);
	box->request = area_in(&pages[1], 0, PAGES_SINGLE_SIZE);
	box->console = area_in(&pages[2], 0, FORKVM_MAX_CONSOLE);
	return 0;
}

static int take_memory(struct mailbox *box, struct mailbox_error *error)
{
	struct pages huge;
	int rc = pages_huge(&huge);

	if (rc == 0) {
		lay_out(box, &huge);
		return 0;
	}
	log_debug("no huge page (%s): single pages", strerror(-rc));
	rc = lay_out_singly(box);
	if (rc == -ENOENT)
		snprintf(error->text, sizeof(error->text),
			 "the mailbox's address is not to be found out: no /proc/self/pagemap "
			 "(is /proc mounted? has the kernel CONFIG_PROC_PAGE_MONITOR?)");
	else if (rc == -EPERM)
		snprintf(error->text, sizeof(error->text),
			 "the mailbox's address is not to be found out: /proc/self/pagemap shows "
			 "none (CAP_SYS_ADMIN is missing)");
	else if (rc < 0)
		snprintf(error->text, sizeof(error->text), "memory for the mailbox: %s",
			 strerror(-rc));
	return rc;
}

/* The mailbox alone must be below 4 GiB; its areas may be anywhere. */
static int move_below_4gib(struct mailbox *box, struct mailbox_error *error)
{
	struct pages low;
	int rc;

	if (box->gpa < FOUR_GIB)
		return 0;
	rc = pages_low(&low);
	if (rc < 0) {
		snprintf(error->text, sizeof(error->text),
			 "the mailbox must be below 4 GiB, the kernel gave %#llx, and a page below "
			 "1 MiB is not to be had: %s; give the guest at most 3 GiB of RAM",
			 (unsigned long long)box->gpa, strerror(-rc));
		return rc;
	}
	box->shared = low.at;
	box->gpa = low.gpa;
	return 0;
}

int mailbox_open(struct mailbox *box, struct mailbox_error *error)
{
	int rc;

	*box = (struct mailbox){.bells = &port_bells};
	rc = open_ports(error);
	if (rc == 0)
		rc = take_memory(box, error);
	if (rc == 0)
		rc = move_below_4gib(box, error);
	if (rc == 0)
		log_debug("mailbox at %#llx, areas of %u and %u bytes at %#llx",
			  (unsigned long long)box->gpa, box->request.capacity,
			  box->response.capacity, (unsigned long long)box->response.gpa);
	return rc;
}

int mailbox_open_private(struct mailbox *box, const struct mailbox_bells *bells, void *context)
{
	struct pages pages = {.size = WHOLE_SIZE};

	pages.at = aligned_alloc(PAGES_SINGLE_SIZE, WHOLE_SIZE);
	if (!pages.at)
		return -ENOMEM;
	memset(pages.at, 0, WHOLE_SIZE);
	*box = (struct mailbox){.bells = bells, .context = context};
	lay_out(box, &pages);
	return 0;
}
