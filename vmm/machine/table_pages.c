/* SPDX-License-Identifier: MIT */
/*
 * Which pages of a template hold the page tables that its CR3 leads to (Intel SDM volume 3, 4.5).
 * The guest made them: they may lead anywhere, and back to themselves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/base/util.h"
#include "vmm/machine/internal.h"

#define TABLES_MAX    512u /* a guest with more of them does without what this is for */

#define EFER_LMA      (1u << 10)
#define CR4_LA57      (1u << 12)

#define ENTRIES	      (PAGE_BYTES / sizeof(uint64_t))
#define ENTRY_PRESENT (1ull << 0)
#define ENTRY_LARGE   (1ull << 7)
#define ENTRY_ADDRESS 0x000ffffffffff000ull

/* What is still to be looked at, and what was found. */
struct walk {
	const struct guest_ram *ram;
	struct table_pages *found;
	uint8_t levels[TABLES_MAX]; /* of found->list, in the order of finding */
	bool too_many;
};

/* Note a table of that level, unless it is known or no RAM. */
static void note(struct walk *walk, uint64_t entry, uint8_t level)
{
	const uint8_t *at = guest_ram_at(walk->ram, entry & ENTRY_ADDRESS, PAGE_BYTES);
	struct table_pages *found = walk->found;
	uint32_t page;

	if (!at)
		return;
	page = (uint32_t)((uint64_t)(at - walk->ram->host) / PAGE_BYTES);
	/* One page may be used on several levels. */
	for (uint32_t i = 0; i < found->count; i++)
		if (found->list[i] == page && walk->levels[i] == level)
			return;
	if (found->count == TABLES_MAX) {
		walk->too_many = true;
		return;
	}
	walk->levels[found->count] = level;
	found->list[found->count++] = page;
}

static void look_into(struct walk *walk, uint32_t index)
{
	uint8_t level = walk->levels[index];
	uint64_t entries[ENTRIES];

	if (level == 1)
		return;
	if (pread(walk->ram->fd, entries, sizeof(entries),
		  (off_t)(walk->found->list[index] * PAGE_BYTES)) != sizeof(entries)) {
		walk->too_many = true; /* whatever that was: nothing is known then */
		return;
	}
	for (size_t i = 0; i < ENTRIES && !walk->too_many; i++) {
		if (!(entries[i] & ENTRY_PRESENT) || (level <= 3 && entries[i] & ENTRY_LARGE))
			continue;
		note(walk, entries[i], level - 1);
	}
}

static int compare(const void *left, const void *right)
{
	const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

int table_pages_find(const struct machine *machine, struct table_pages *ret, struct error *error)
{
	const struct kvm_sregs2 *sregs = &machine->frozen.vcpus[0].state.sregs;
	struct walk *walk = calloc(1, sizeof(*walk));

	*ret = (struct table_pages){.list = calloc(TABLES_MAX, sizeof(*ret->list))};
	if (!walk || !ret->list) {
		free(walk);
		return error_set(error, ENOMEM, "no memory to look at page tables");
	}
	walk->ram = machine->ram;
	walk->found = ret;
	/* Other modes than the one that stubs are started in: nothing is known. */
	walk->too_many = !(sregs->efer & EFER_LMA);
	if (!walk->too_many)
		note(walk, sregs->cr3, sregs->cr4 & CR4_LA57 ? 5 : 4);
	for (uint32_t i = 0; i < ret->count && !walk->too_many; i++)
		look_into(walk, i);
	if (walk->too_many) {
		free(ret->list);
		*ret = (struct table_pages){0};
	} else {
		qsort(ret->list, ret->count, sizeof(*ret->list), compare);
	}
	free(walk);
	return 0;
}
