/* SPDX-License-Identifier: MIT */
/*
 * Parts of a request's memory: see iov.h.
 */
#include "vmm/block/iov.h"

#include <string.h>

#include "vmm/base/util.h"

uint32_t iov_slice(const struct iovec *iov, uint32_t count, uint64_t skip, uint64_t length,
		   struct iovec *slice, uint32_t max, uint64_t *ret_length)
{
	uint64_t left = length;
	uint32_t used = 0;

	for (uint32_t i = 0; i < count && used < max && left > 0; i++) {
		uint64_t part;

		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		part = min_u64(iov[i].iov_len - skip, left);
		slice[used++] = (struct iovec){(uint8_t *)iov[i].iov_base + skip, part};
		left -= part;
		skip = 0;
	}
	*ret_length = length - left;
	return used;
}

/* Call for each piece of memory of such a part, in order. */
static void for_each(const struct iovec *iov, uint32_t count, uint64_t skip, uint64_t length,
		     void (*call)(void *memory, size_t size, void *ctx), void *ctx)
{
	for (uint32_t i = 0; i < count && length > 0; i++) {
		uint64_t part;

		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		part = min_u64(iov[i].iov_len - skip, length);
		call((uint8_t *)iov[i].iov_base + skip, part, ctx);
		length -= part;
		skip = 0;
	}
}

static void zero(void *memory, size_t size, void *ctx)
{
	(void)ctx;
	memset(memory, 0, size);
}

static void copy(void *memory, size_t size, void *ctx)
{
	uint8_t **to = ctx;

	memcpy(*to, memory, size);
	*to += size;
}

void iov_zero(const struct iovec *iov, uint32_t count, uint64_t skip, uint64_t length)
{
	for_each(iov, count, skip, length, zero, NULL);
}

void iov_copy(const struct iovec *iov, uint32_t count, uint64_t skip, uint64_t length, void *to)
{
	for_each(iov, count, skip, length, copy, &to);
}
