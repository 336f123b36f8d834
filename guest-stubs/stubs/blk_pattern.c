/* SPDX-License-Identifier: MIT */
/*
 * Sectors that say what they are: 64 words, little-endian.
 *
 *	0	magic
 *	1	the sector's number on the disk
 *	2	seed: who wrote it, or a record's sequence number
 *	3	mix(magic ^ mix(sector ^ mix(seed)))
 *	4...	mix(word 3 + index)
 */
#include "guest-stubs/stubs/blk.h"

#define MAGIC 0x314b4c424d564b46ull /* "FKVMBLK1" */

static uint64_t checksum(uint64_t sector, uint64_t seed)
{
	return stub_mix(MAGIC ^ stub_mix(sector ^ stub_mix(seed)));
}

void blk_pattern(char *data, uint64_t sector, uint64_t bytes, uint64_t seed)
{
	for (; bytes >= BLK_SECTOR; bytes -= BLK_SECTOR, sector++, data += BLK_SECTOR) {
		uint64_t sum = checksum(sector, seed);
		uint64_t words[BLK_WORDS] = {MAGIC, sector, seed, sum};

		for (uint64_t i = 4; i < BLK_WORDS; i++)
			words[i] = stub_mix(sum + i);
		memcpy(data, words, BLK_SECTOR);
	}
}

bool blk_pattern_seed(const char *data, uint64_t sector, uint64_t *ret_seed)
{
	uint64_t words[BLK_WORDS], differences;

	memcpy(words, data, BLK_SECTOR);
	differences =
		(words[0] ^ MAGIC) | (words[1] ^ sector) | (words[3] ^ checksum(sector, words[2]));
	for (uint64_t i = 4; i < BLK_WORDS; i++)
		differences |= words[i] ^ stub_mix(words[3] + i);
	*ret_seed = words[2];
	return differences == 0;
}

bool blk_is_zero(const char *data, uint64_t bytes)
{
	char any = 0;

	for (uint64_t i = 0; i < bytes; i++)
		any |= data[i];
	return any == 0;
}
