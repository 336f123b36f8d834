/* SPDX-License-Identifier: MIT */
/*
 * Populated parts of RAM: see extents.h.
 */
#include "vmm/mem/extents.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/util.h"

static int append(struct extents *extents, size_t *capacity, gpa_t gpa, uint64_t size)
{
	if (extents->count == *capacity) {
		size_t wanted = *capacity ? *capacity * 2 : 16;
		struct extent *list = realloc(extents->list, wanted * sizeof(*list));

		if (!list)
			return -ENOMEM;
		extents->list = list;
		*capacity = wanted;
	}
	extents->list[extents->count++] = (struct extent){.gpa = gpa, .size = size};
	return 0;
}

/* One region's data runs, as the file system reports them. */
static int find_in_region(const struct guest_ram *ram, const struct ram_region *region,
			  struct extents *extents, size_t *capacity, uint64_t *populated)
{
	uint64_t end = region->offset + region->size;
	uint64_t at = region->offset;

	while (at < end) {
		off_t data = lseek(ram->fd, (off_t)at, SEEK_DATA);
		off_t hole;
		uint64_t from, to;
		int rc;

		if (data < 0 && errno == ENXIO)
			return 0; /* nothing from here to the end of the file */
		if (data < 0)
			return -errno;
		if ((uint64_t)data >= end)
			return 0;
		hole = lseek(ram->fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		from = round_down((uint64_t)data, PAGE_BYTES);
		to = min_u64(round_up((uint64_t)hole, PAGE_BYTES), end);
		*populated += to - from;
		rc = append(extents, capacity, region->gpa + (from - region->offset), to - from);
		if (rc < 0)
			return rc;
		at = to;
	}
	return 0;
}

/* Join neighbours in one region that are closer than gap. */
static void merge(const struct guest_ram *ram, struct extents *extents, uint64_t gap)
{
	size_t kept = 0;

	for (size_t i = 1; i < extents->count; i++) {
		struct extent *last = &extents->list[kept];
		const struct extent *next = &extents->list[i];

		if (next->gpa - (last->gpa + last->size) < gap &&
		    guest_ram_region(ram, last->gpa) == guest_ram_region(ram, next->gpa))
			last->size = next->gpa + next->size - last->gpa;
		else
			extents->list[++kept] = *next;
	}
	if (extents->count)
		extents->count = kept + 1;
}

int extents_find(const struct guest_ram *ram, uint64_t merge_gap, size_t max, struct extents *ret,
		 uint64_t *ret_populated, struct error *error)
{
	struct extents found = {0};
	uint64_t populated = 0;
	size_t capacity = 0;

	for (unsigned int i = 0; i < ram->region_count; i++) {
		int rc = find_in_region(ram, &ram->regions[i], &found, &capacity, &populated);

		if (rc < 0) {
			extents_done(&found);
			return error_set_errno(error, -rc, "guest RAM: find populated parts");
		}
	}
	merge(ram, &found, merge_gap);
	for (uint64_t gap = merge_gap; found.count > max && gap < ram->size; gap *= 2)
		merge(ram, &found, gap * 2);
	*ret = found;
	*ret_populated = populated;
	return 0;
}

int extents_all(const struct guest_ram *ram, struct extents *ret, struct error *error)
{
	struct extents all = {0};
	size_t capacity = 0;

	for (unsigned int i = 0; i < ram->region_count; i++) {
		if (append(&all, &capacity, ram->regions[i].gpa, ram->regions[i].size) < 0) {
			extents_done(&all);
			return error_set(error, ENOMEM, "guest RAM: no memory for a list");
		}
	}
	*ret = all;
	return 0;
}

static int detach(uint8_t *from, uint8_t *to, struct error *error)
{
	if (from == to)
		return 0;
	if (mmap(from, (size_t)(to - from), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return error_set_errno(error, errno, "guest RAM: map a hole");
	return 0;
}

int extents_detach_holes(const struct guest_ram *ram, const struct extents *populated,
			 struct error *error)
{
	uint8_t *at = ram->host; /* regions follow one another in the mapping, as in gpa */

	for (size_t i = 0; i < populated->count; i++) {
		uint8_t *data = guest_ram_at(ram, populated->list[i].gpa, 0);
		int rc = detach(at, data, error);

		if (rc < 0)
			return rc;
		at = data + populated->list[i].size;
	}
	return detach(at, ram->host + ram->size, error);
}

void extents_done(struct extents *extents)
{
	free(extents->list);
	*extents = (struct extents){0};
}
