/* SPDX-License-Identifier: MIT */
/*
 * Finds a text in a stream of bytes that comes in pieces, such as what a guest prints. It is
 * Knuth, Morris and Pratt's algorithm: no byte is looked at again, whatever text and stream are, so
 * a guest cannot make it slow.
 */
#ifndef FORKVM_VMM_DEV_MATCHER_H
#define FORKVM_VMM_DEV_MATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MATCHER_PATTERN_MAX 255

struct matcher {
	uint8_t pattern[MATCHER_PATTERN_MAX];
	/* For each of its beginnings, pattern[0] to [i]: how much of its end is a beginning, too.
	 */
	uint8_t border[MATCHER_PATTERN_MAX];
	uint8_t len;
	uint8_t matched; /* how much of the stream's end is a beginning of the pattern */
};

/*
 * Look for the len bytes of pattern, which are copied. -EINVAL when they are none or more than
 * MATCHER_PATTERN_MAX.
 */
int matcher_init(struct matcher *matcher, const void *pattern, size_t len);

/*
 * The stream goes on with len bytes of data. True when the pattern ends in them for the first time:
 * *ret_end is then how many of the bytes there are up to its end, 1 or more, and the others were
 * not looked at. Give them to it in a further call for the next match, which may overlap this one.
 * False when all were looked at.
 */
bool matcher_feed(struct matcher *matcher, const void *data, size_t len, size_t *ret_end);

#endif
