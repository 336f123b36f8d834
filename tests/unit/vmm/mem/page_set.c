/* SPDX-License-Identifier: MIT */
/* Sets of pages: made of bitmaps, cut with one another, judged. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/util.h"
#include "vmm/mem/page_set.h"

#define PAGES 4096u

static bool has(const struct page_set *set, uint32_t page)
{
	for (uint32_t i = 0; i < set->count; i++)
		if (page >= set->runs[i].first && page - set->runs[i].first < set->runs[i].count)
			return true;
	return false;
}

/* A bitmap of pages drawn at random, in stretches. */
static void draw(uint64_t *bitmap, unsigned int seed)
{
	srand(seed);
	memset(bitmap, 0, PAGES / 8);
	for (uint32_t at = 0; at < PAGES; at += 1 + (uint32_t)rand() % 40)
		for (uint32_t n = (uint32_t)rand() % 20; n && at < PAGES; n--, at++)
			bitmap[at / 64] |= 1ull << at % 64;
}

static bool bit(const uint64_t *bitmap, uint32_t page)
{
	return bitmap[page / 64] >> page % 64 & 1;
}

Test(page_set, is_what_the_bitmap_says)
{
	static struct page_set set;
	uint64_t bitmap[PAGES / 64];
	uint64_t pages = 0;

	draw(bitmap, 1);
	page_set_add_bitmap(&set, 100, bitmap, PAGES);
	cr_assert(page_set_is_sound(&set, PAGES + 100));
	cr_assert_not(has(&set, 99));
	for (uint32_t page = 0; page < PAGES; page++) {
		cr_assert_eq(has(&set, 100 + page), bit(bitmap, page), "page %u", page);
		pages += bit(bitmap, page);
	}
	cr_assert_eq(page_set_pages(&set), pages);
}

Test(page_set, neighbours_become_one_run)
{
	static struct page_set set;
	uint64_t ones[2] = {~0ull, ~0ull};

	page_set_add_bitmap(&set, 0, ones, 100);
	page_set_add_bitmap(&set, 100, ones, 128);
	cr_assert_eq(set.count, 1);
	cr_assert_eq(set.runs[0].count, 228);
}

Test(page_set, bits_behind_the_last_page_do_not_count)
{
	static struct page_set set;
	uint64_t ones = ~0ull;

	page_set_add_bitmap(&set, 0, &ones, 3);
	cr_assert_eq(page_set_pages(&set), 3);
}

Test(page_set, what_finds_no_room_is_left_out)
{
	static struct page_set set;
	static uint64_t odd[PAGES / 64];

	memset(odd, 0xaa, sizeof(odd));
	page_set_add_bitmap(&set, 0, odd, PAGES);
	cr_assert_eq(set.count, PAGE_SET_RUNS_MAX);
	cr_assert(page_set_is_sound(&set, PAGES));
}

Test(page_set, intersections)
{
	static struct page_set a, b, room;
	uint64_t first[PAGES / 64], second[PAGES / 64];

	for (unsigned int seed = 0; seed < 50; seed++) {
		draw(first, seed);
		draw(second, seed + 1000);
		a.count = b.count = 0;
		page_set_add_bitmap(&a, 0, first, PAGES);
		page_set_add_bitmap(&b, 0, second, PAGES);
		page_set_intersect(&a, &b, &room);
		cr_assert(page_set_is_sound(&a, PAGES));
		for (uint32_t page = 0; page < PAGES; page++)
			cr_assert_eq(has(&a, page), bit(first, page) && bit(second, page));
	}
	b.count = 0;
	page_set_intersect(&a, &b, &room);
	cr_assert_eq(a.count, 0);
}

Test(page_set, unsound_ones_are_refused)
{
	static struct page_set set;
	const struct {
		uint32_t count;
		struct page_run runs[2];
	} wrong[] = {
		{PAGE_SET_RUNS_MAX + 1, {{0, 1}}},
		{1, {{0, 0}}},
		{1, {{0, 101}}},
		{1, {{100, 1}}},
		{1, {{UINT32_MAX, UINT32_MAX}}},
		{2, {{10, 5}, {14, 1}}},
		{2, {{10, 5}, {15, 1}}},
		{2, {{10, 5}, {0, 1}}},
	};

	cr_assert(page_set_is_sound(&set, 0));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		set.count = wrong[i].count;
		memcpy(set.runs, wrong[i].runs, sizeof(wrong[i].runs));
		cr_assert_not(page_set_is_sound(&set, 100), "case %zu", i);
	}
	set = (struct page_set){.count = 2, .runs = {{0, 5}, {6, 94}}};
	cr_assert(page_set_is_sound(&set, 100));
}
