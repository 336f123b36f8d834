/* SPDX-License-Identifier: MIT */
/*
 * Finds a text in a stream: see matcher.h.
 */
#include "vmm/dev/matcher.h"

#include <errno.h>
#include <string.h>

/* How much is matched once byte follows on matched bytes of the pattern, which are not all of it.
 */
static uint8_t follow(const struct matcher *matcher, uint8_t matched, uint8_t byte)
{
	while (matched && matcher->pattern[matched] != byte)
		matched = matcher->border[matched - 1];
	return (uint8_t)(matched + (matcher->pattern[matched] == byte));
}

int matcher_init(struct matcher *matcher, const void *pattern, size_t len)
{
	if (len == 0 || len > MATCHER_PATTERN_MAX)
		return -EINVAL;
	*matcher = (struct matcher){.len = (uint8_t)len};
	memcpy(matcher->pattern, pattern, len);
	/* The borders are what the pattern, from its second byte on, matches of itself. */
	for (size_t i = 1; i < len; i++)
		matcher->border[i] = follow(matcher, matcher->border[i - 1], matcher->pattern[i]);
	return 0;
}

bool matcher_feed(struct matcher *matcher, const void *data, size_t len, size_t *ret_end)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		matcher->matched = follow(matcher, matcher->matched, bytes[i]);
		if (matcher->matched < matcher->len)
			continue;
		matcher->matched = matcher->border[matcher->len - 1];
		*ret_end = i + 1;
		return true;
	}
	return false;
}
