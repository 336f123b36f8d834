/* SPDX-License-Identifier: MIT */
/*
 * An overlay's bitmaps, and its count of blocks against the limit: see overlay.h.
 */
#include "vmm/block/overlay.h"

#include <assert.h>
#include <string.h>

#define WORD_BLOCKS 64u

static bool test_bit(const uint64_t *map, uint64_t bit)
{
	return map[bit / WORD_BLOCKS] >> (bit % WORD_BLOCKS) & 1;
}

static void set_bit(uint64_t *map, uint64_t bit)
{
	map[bit / WORD_BLOCKS] |= 1ull << (bit % WORD_BLOCKS);
}

/* The blocks of [first, end) that lie in a word of the bitmap, as its bits. */
static uint64_t word_mask(uint64_t word, uint64_t first, uint64_t end)
{
	uint64_t start = word * WORD_BLOCKS, mask = UINT64_MAX;

	if (first > start)
		mask <<= first - start;
	if (end - start < WORD_BLOCKS)
		mask &= (1ull << (end - start)) - 1;
	return mask;
}

static uint64_t count_bits(uint64_t word)
{
	return (uint64_t)__builtin_popcountll(word);
}

/* Is it worth a look: a page of a memfd comes into being when it is read. */
static bool is_touched(const struct overlay *overlay, uint64_t block)
{
	return overlay->touched && test_bit(overlay->touched, block / OVERLAY_PAGE_BLOCKS);
}

static void touch(struct overlay *overlay, uint64_t block)
{
	set_bit(overlay->touched, block / OVERLAY_PAGE_BLOCKS);
	if (overlay->dirty)
		set_bit(overlay->dirty, block / OVERLAY_PAGE_BLOCKS);
}

bool overlay_holds(const struct overlay *overlay, uint64_t block)
{
	return is_touched(overlay, block) && test_bit(overlay->held, block);
}

bool overlay_is_hole(const struct overlay *overlay, uint64_t block)
{
	return overlay->punched && overlay_holds(overlay, block) && test_bit(overlay->holes, block);
}

uint64_t overlay_run(const struct overlay *overlay, uint64_t first, uint64_t end, bool *ret_held)
{
	bool held = overlay_holds(overlay, first);
	uint64_t at = first;

	*ret_held = held;
	while (at < end) {
		uint64_t other;

		if (!is_touched(overlay, at)) {
			if (held)
				break;
			at = (at / OVERLAY_PAGE_BLOCKS + 1) * OVERLAY_PAGE_BLOCKS;
			continue;
		}
		other = overlay->held[at / WORD_BLOCKS];
		other = (held ? ~other : other) >> (at % WORD_BLOCKS);
		if (other) {
			at += (uint64_t)__builtin_ctzll(other);
			break;
		}
		at = (at / WORD_BLOCKS + 1) * WORD_BLOCKS;
	}
	return min_u64(at, end) - first;
}

uint64_t overlay_missing(const struct overlay *overlay, uint64_t first, uint64_t end)
{
	uint64_t missing = 0;

	for (uint64_t word = first / WORD_BLOCKS; word * WORD_BLOCKS < end; word++) {
		uint64_t mask = word_mask(word, first, end), data = 0;

		if (is_touched(overlay, word * WORD_BLOCKS))
			data = overlay->held[word] & ~(overlay->punched ? overlay->holes[word] : 0);
		missing += count_bits(mask & ~data);
	}
	return missing;
}

bool overlay_has_room(const struct overlay *overlay, uint64_t blocks)
{
	uint64_t used = overlay->data + overlay->claimed;

	return used <= overlay->limit && blocks <= overlay->limit - used;
}

bool overlay_claim(struct overlay *overlay, uint64_t blocks)
{
	if (!overlay_has_room(overlay, blocks))
		return false;
	overlay->claimed += blocks;
	return true;
}

void overlay_unclaim(struct overlay *overlay, uint64_t blocks)
{
	assert(blocks <= overlay->claimed);
	overlay->claimed -= blocks;
}

void overlay_wrote(struct overlay *overlay, uint64_t first, uint64_t end, uint64_t claimed)
{
	for (uint64_t word = first / WORD_BLOCKS; word * WORD_BLOCKS < end; word++) {
		uint64_t mask = word_mask(word, first, end);
		uint64_t fresh = mask & ~overlay->held[word];

		if (fresh) {
			touch(overlay, word * WORD_BLOCKS);
			overlay->held[word] |= fresh;
		}
		if (overlay->punched && overlay->holes[word] & mask) {
			fresh |= overlay->holes[word] & mask;
			overlay->holes[word] &= ~mask;
		}
		overlay->data += count_bits(fresh);
	}
	overlay_unclaim(overlay, claimed);
}

void overlay_punched(struct overlay *overlay, uint64_t first, uint64_t end)
{
	overlay->punched = true;
	for (uint64_t word = first / WORD_BLOCKS; word * WORD_BLOCKS < end; word++) {
		uint64_t mask = word_mask(word, first, end);
		uint64_t data = overlay->held[word] & ~overlay->holes[word];

		touch(overlay, word * WORD_BLOCKS);
		overlay->data -= count_bits(data & mask);
		overlay->held[word] |= mask;
		overlay->holes[word] |= mask;
	}
}

bool overlay_take_dirty(struct overlay *overlay, uint64_t from, uint64_t *ret_page, void *copy)
{
	uint64_t pages = overlay_map_bytes(overlay->size) / PAGE_BYTES;

	for (uint64_t page = from; page < pages; page++) {
		if (!overlay->dirty[page / 64]) {
			page = round_up(page + 1, 64) - 1;
			continue;
		}
		if (!test_bit(overlay->dirty, page))
			continue;
		overlay->dirty[page / 64] &= ~(1ull << (page % 64));
		memcpy(copy, (const uint8_t *)overlay->held + page * PAGE_BYTES, PAGE_BYTES);
		*ret_page = page;
		return true;
	}
	return false;
}
