/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/dev/vmgenid.c. */
#include "vmm/dev/vmgenid.h"

#include <criterion/criterion.h>
#include <string.h>

#include "vmm/base/layout.h"
#include "vmm/base/util.h"

static const uint8_t id[VMGENID_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void count(void *ctx)
{
	++*(unsigned int *)ctx;
}

/* In the smallest RAM there is. */
Test(vmgenid, the_id_is_where_the_guest_looks)
{
	struct error error = {0};
	struct guest_ram ram;
	struct vmgenid vmgenid;
	const uint8_t *page;

	cr_assert_eq(guest_ram_init(&ram, 2 * MIB, NULL, &error), 0, "%s", error.text);
	page = guest_ram_at(&ram, GPA_VMGENID, PAGE_BYTES);
	vmgenid_init(&vmgenid, &ram);
	cr_assert_eq(page[0], 0);
	vmgenid_set(&vmgenid, id);
	cr_assert_eq(memcmp(page, id, sizeof(id)), 0);
	for (size_t i = sizeof(id); i < PAGE_BYTES; i++)
		cr_assert_eq(page[i], 0);
	guest_ram_done(&ram);
}

Test(vmgenid, a_notification_is_one_edge)
{
	struct guest_ram ram = {.fd = -1};
	struct vmgenid vmgenid;
	unsigned int edges = 0;

	vmgenid_init(&vmgenid, &ram);
	vmgenid_notify(&vmgenid); /* leads nowhere yet */
	vmgenid.irq = (struct irq_line){.raise = count, .ctx = &edges};
	vmgenid_notify(&vmgenid);
	cr_assert_eq(edges, 1);
}
