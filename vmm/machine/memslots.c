/* SPDX-License-Identifier: MIT */
/*
 * Which parts of RAM a VM knows of: see memslots.h.
 */
#include "vmm/machine/memslots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/util.h"

#define WINDOW_FIRST	(16 * MIB)
#define WINDOW_DOUBLING 8u /* at most: windows of 4 GiB */

static int add(struct kvm_vm *vm, const struct guest_ram *ram, gpa_t gpa, uint64_t size,
	       struct error *error)
{
	return kvm_vm_add_memslot(vm, gpa, size, guest_ram_at(ram, gpa, size), error);
}

int memslots_register(struct kvm_vm *vm, const struct guest_ram *ram, const struct extents *extents,
		      struct error *error)
{
	for (size_t i = 0; i < extents->count; i++) {
		int rc = add(vm, ram, extents->list[i].gpa, extents->list[i].size, error);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/*
 * The hole around gpa: between the last extent that ends at or below it and the first that starts
 * above it, within its region. Sets *ret_after to the number of extents below. False when gpa is
 * registered: *ret is then the extent that holds it.
 */
static bool find_hole(const struct ram_region *region, const struct extents *extents, gpa_t gpa,
		      struct extent *ret, size_t *ret_after)
{
	gpa_t from = region->gpa, to = region->gpa + region->size;
	size_t i;

	for (i = 0; i < extents->count && extents->list[i].gpa <= gpa; i++) {
		gpa_t end = extents->list[i].gpa + extents->list[i].size;

		if (gpa < end) {
			*ret = extents->list[i];
			return false;
		}
		from = max_u64(from, end);
	}
	if (i < extents->count)
		to = min_u64(to, extents->list[i].gpa);
	*ret = (struct extent){.gpa = from, .size = to - from};
	*ret_after = i;
	return true;
}

static int insert(struct extents *extents, size_t at, struct extent extent)
{
	struct extent *list = realloc(extents->list, (extents->count + 1) * sizeof(*list));

	if (!list)
		return -ENOMEM;
	memmove(&list[at + 1], &list[at], (extents->count - at) * sizeof(*list));
	list[at] = extent;
	extents->list = list;
	extents->count++;
	return 0;
}

int memslots_fill(struct kvm_vm *vm, const struct guest_ram *ram, struct extents *extents,
		  unsigned int touches, gpa_t gpa, struct error *error)
{
	const struct ram_region *region = guest_ram_region(ram, gpa);
	uint64_t window = WINDOW_FIRST << min_u64(touches, WINDOW_DOUBLING);
	struct extent hole;
	size_t after;
	gpa_t from, to;
	int rc;

	if (!region)
		return error_set(error, EFAULT, "the guest touched %#llx, where nothing is",
				 (unsigned long long)gpa);
	if (!find_hole(region, extents, gpa, &hole, &after))
		return 0;
	from = max_u64(round_down(gpa, window), hole.gpa);
	to = min_u64(round_down(gpa, window) + window, hole.gpa + hole.size);
	rc = add(vm, ram, from, to - from, error);
	if (rc < 0)
		return rc;
	if (insert(extents, after, (struct extent){.gpa = from, .size = to - from}) < 0)
		return error_set(error, ENOMEM, "no memory to note a memslot");
	return 1;
}

int memslots_fill_all(struct kvm_vm *vm, const struct guest_ram *ram, struct extents *extents,
		      struct error *error)
{
	int filled = 0;

	for (unsigned int i = 0; i < ram->region_count; i++) {
		const struct ram_region *region = &ram->regions[i];
		gpa_t at = region->gpa;

		while (at < region->gpa + region->size) {
			struct extent hole;
			size_t after;
			int rc;

			if (find_hole(region, extents, at, &hole, &after)) {
				rc = add(vm, ram, hole.gpa, hole.size, error);
				if (rc < 0)
					return rc;
				if (insert(extents, after, hole) < 0)
					return error_set(error, ENOMEM,
							 "no memory to note a memslot");
				filled = 1;
			}
			at = hole.gpa + hole.size;
		}
	}
	return filled;
}
