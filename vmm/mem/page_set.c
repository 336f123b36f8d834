/* SPDX-License-Identifier: MIT */
/*
 * Sets of pages: see page_set.h.
 */
#include "vmm/mem/page_set.h"

#include "vmm/base/util.h"

#define WORD_BITS 64u

/* Add a run at the end, or to the last one. */
static void append(struct page_set *set, uint32_t first, uint32_t count)
{
	struct page_run *last = set->count ? &set->runs[set->count - 1] : NULL;

	if (last && last->first + last->count == first)
		last->count += count;
	else if (set->count < PAGE_SET_RUNS_MAX)
		set->runs[set->count++] = (struct page_run){.first = first, .count = count};
}

void page_set_add_bitmap(struct page_set *set, uint32_t first, const uint64_t *bitmap,
			 uint32_t pages)
{
	for (uint32_t at = 0; at < pages; at++) {
		uint64_t word = bitmap[at / WORD_BITS];

		if (!word)
			at |= WORD_BITS - 1; /* on to the next word */
		else if (word >> at % WORD_BITS & 1)
			append(set, first + at, 1);
	}
}

void page_set_intersect(struct page_set *set, const struct page_set *other, struct page_set *room)
{
	uint32_t i = 0, j = 0;

	room->count = 0;
	while (i < set->count && j < other->count) {
		const struct page_run *a = &set->runs[i], *b = &other->runs[j];
		uint64_t a_end = (uint64_t)a->first + a->count;
		uint64_t b_end = (uint64_t)b->first + b->count;
		uint64_t from = max_u64(a->first, b->first), to = min_u64(a_end, b_end);

		if (from < to)
			append(room, (uint32_t)from, (uint32_t)(to - from));
		if (a_end < b_end)
			i++;
		else
			j++;
	}
	set->count = room->count;
	for (uint32_t k = 0; k < room->count; k++)
		set->runs[k] = room->runs[k];
}

uint64_t page_set_pages(const struct page_set *set)
{
	uint64_t pages = 0;

	for (uint32_t i = 0; i < set->count; i++)
		pages += set->runs[i].count;
	return pages;
}

bool page_set_is_sound(const struct page_set *set, uint64_t pages)
{
	uint64_t from = 0;

	if (set->count > PAGE_SET_RUNS_MAX)
		return false;
	for (uint32_t i = 0; i < set->count; i++) {
		const struct page_run *run = &set->runs[i];

		if (!run->count || run->first < from || (uint64_t)run->first + run->count > pages)
			return false;
		from = (uint64_t)run->first + run->count + 1;
	}
	return true;
}
