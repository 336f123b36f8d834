/* SPDX-License-Identifier: MIT */
/*
 * A set of pages of RAM, as runs in order: small enough to be sent in a packet, and quick to go
 * through.
 */
#ifndef FORKVM_VMM_MEM_PAGE_SET_H
#define FORKVM_VMM_MEM_PAGE_SET_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SET_RUNS_MAX 1000u

/* Pages are counted from the beginning of the mapping of RAM (struct ram_region, offset). */
struct page_run {
	uint32_t first;
	uint32_t count; /* not 0 */
};

struct page_set {
	uint32_t count;
	struct page_run runs[PAGE_SET_RUNS_MAX]; /* in order; no two touch or overlap */
};

/*
 * Add the pages first + i for which bit i of bitmap (least significant first, in 64-bit words) is
 * set, of pages bits. first must lie above all that is in the set. What finds no room is left out.
 */
void page_set_add_bitmap(struct page_set *set, uint32_t first, const uint64_t *bitmap,
			 uint32_t pages);

/* Keep in *set what is in *other, too; *room is where it is worked out, and worthless after. */
void page_set_intersect(struct page_set *set, const struct page_set *other, struct page_set *room);

/* How many pages. */
uint64_t page_set_pages(const struct page_set *set);

/* Is that one at all, of a RAM of so many pages? For what comes from somebody not to be believed.
 */
bool page_set_is_sound(const struct page_set *set, uint64_t pages);

#endif
