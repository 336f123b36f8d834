/* SPDX-License-Identifier: MIT */
/*
 * The working set of a template's clones: pages that each of them writes before it answers.
 *
 * Theory of operation. A page that a clone writes costs it an exit (or, with nested paging, a
 * fault of the second kind), a page fault in the host and a copy; one that it reads first costs the
 * exit and the fault twice. Pages that are known beforehand are copied by the host in one go. A
 * clone that learns has KVM log its writes; what several have in common is worth having.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/util.h"
#include "vmm/machine/internal.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

void machine_learn_working_set(struct machine *machine)
{
	machine->learns = true;
}

int learning_begin(struct machine *machine, struct error *error)
{
	const struct extents *extents = &machine->frozen.extents;
	size_t size = extents->count * sizeof(*extents->list);

	if (!machine->learns)
		return 0;
	machine->vm.log_writes = true;
	/* The machine's own list will have holes filled between these, as the guest touches them.
	 */
	machine->learning.list = malloc(size);
	if (!machine->learning.list)
		return error_set(error, ENOMEM, "no memory to learn the working set");
	memcpy(machine->learning.list, extents->list, size);
	machine->learning.count = extents->count;
	return 0;
}

static uint32_t page_of(const struct machine *machine, gpa_t gpa)
{
	const uint8_t *at = guest_ram_at(machine->ram, gpa, 0);

	return (uint32_t)((uint64_t)(at - machine->ram->host) / PAGE_BYTES);
}

static int add_slot(const struct machine *machine, uint32_t slot, struct page_set *set,
		    struct error *error)
{
	const struct extent *extent = &machine->learning.list[slot];
	uint64_t pages = extent->size / PAGE_BYTES;
	size_t size = round_up(pages, 64) / 8;
	void *bitmap = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int rc;

	if (bitmap == MAP_FAILED)
		return error_set_errno(error, errno, "memory to learn the working set");
	rc = kvm_vm_get_written(&machine->vm, slot, bitmap, error);
	if (rc == 0)
		page_set_add_bitmap(set, page_of(machine, extent->gpa), bitmap, (uint32_t)pages);
	munmap(bitmap, size);
	return rc;
}

int machine_get_working_set(struct machine *machine, struct page_set *ret, struct error *error)
{
	int rc = 0;

	ret->count = 0;
	for (uint32_t slot = 0; rc == 0 && slot < machine->learning.count; slot++)
		rc = add_slot(machine, slot, ret, error);
	return rc;
}

int machine_set_working_set(struct machine *machine, const struct page_set *set,
			    struct error *error)
{
	struct page_set **own = &machine->frozen.working_set;

	if (!page_set_is_sound(set, machine->ram_size / PAGE_BYTES))
		return error_set(error, EINVAL, "that working set is none of this RAM");
	if (!*own)
		*own = malloc(sizeof(**own));
	if (!*own)
		return error_set(error, ENOMEM, "no memory for the working set");
	**own = *set;
	return 0;
}

void populate_working_set(const struct machine *machine)
{
	const struct page_set *set = machine->frozen.working_set;

	if (!set || machine->learns)
		return;
	for (uint32_t i = 0; i < set->count; i++) {
		uint8_t *at = machine->ram->host + (uint64_t)set->runs[i].first * PAGE_BYTES;

		/* What it cannot do (before Linux 5.14; no memory) is done when it is touched. */
		if (madvise(at, (size_t)set->runs[i].count * PAGE_BYTES, MADV_POPULATE_WRITE) < 0)
			return;
	}
}
