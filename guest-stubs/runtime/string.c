/* SPDX-License-Identifier: MIT */
/*
 * The four functions that a compiler may call on its own, on string instructions: no vector
 * registers, little code.
 */
#include "guest-stubs/runtime/stub.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	void *at = to;

	__asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	if ((uintptr_t)to - (uintptr_t)from >= size)
		return memcpy(to, from, size);
	for (volatile char *at = to; size > 0; size--)
		at[size - 1] = ((const char *)from)[size - 1];
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	void *at = to;

	__asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *left = a, *right = b;

	for (; size > 0; size--, left++, right++) {
		if (*left != *right)
			return *left < *right ? -1 : 1;
	}
	return 0;
}
