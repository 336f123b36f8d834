/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of forkserver/cli/heap.c, under other names: this program keeps the C library's own
 * allocator.
 */
#define malloc		   heap_malloc
#define free		   heap_free
#define calloc		   heap_calloc
#define realloc		   heap_realloc
#define aligned_alloc	   heap_aligned_alloc
#define posix_memalign	   heap_posix_memalign
#define memalign	   heap_memalign
#define valloc		   heap_valloc
#define pvalloc		   heap_pvalloc
#define malloc_usable_size heap_malloc_usable_size
#include "forkserver/cli/heap.c"
#undef malloc
#undef free
#undef calloc
#undef realloc
#undef aligned_alloc
#undef posix_memalign
#undef memalign
#undef valloc
#undef pvalloc
#undef malloc_usable_size

#include <criterion/criterion.h>
#include <signal.h>

/* Not to be seen through by the compiler, which knows what may not be done to freed memory. */
static void *volatile seen;

static void *hide(void *memory)
{
	seen = memory;
	return seen;
}

Test(heap, blocks_are_aligned_and_apart)
{
	unsigned char *blocks[200];

	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		size_t size = i * i;

		blocks[i] = hide(heap_malloc(size));
		cr_assert_not_null(blocks[i]);
		cr_assert_eq((uintptr_t)blocks[i] % 16, 0);
		cr_assert_geq(heap_malloc_usable_size(blocks[i]), size);
		memset(blocks[i], (int)i, heap_malloc_usable_size(blocks[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		for (size_t at = 0; at < heap_malloc_usable_size(blocks[i]); at++)
			cr_assert_eq(blocks[i][at], (unsigned char)i);
		heap_free(blocks[i]);
	}
}

Test(heap, what_is_given_back_is_given_out_again)
{
	void *first = hide(heap_malloc(100));

	heap_free(first);
	cr_assert_eq(hide(heap_malloc(90)), first);
	heap_free(NULL);
}

Test(heap, calloc_clears_and_counts)
{
	unsigned char *dirty = hide(heap_malloc(1000));
	volatile size_t most = SIZE_MAX / 2, count = 3;
	unsigned char *clear;

	memset(dirty, 0xff, 1000);
	heap_free(dirty);
	clear = hide(heap_calloc(10, 100));
	cr_assert_eq(clear, dirty);
	for (size_t i = 0; i < 1000; i++)
		cr_assert_eq(clear[i], 0);
	heap_free(clear);
	errno = 0;
	cr_assert_null(hide(heap_calloc(most, count)));
	cr_assert_eq(errno, ENOMEM);
	cr_assert_null(hide(heap_malloc(most)));
}

Test(heap, realloc_keeps_what_was_there)
{
	char *text = hide(heap_realloc(NULL, 6));

	memcpy(text, "hello", 6);
	cr_assert_eq(hide(heap_realloc(text, 16)), text, "there was room");
	for (size_t size = 100; size < 1000000; size *= 7) {
		text = hide(heap_realloc(text, size));
		cr_assert_str_eq(text, "hello");
	}
	heap_free(text);
}

Test(heap, alignment)
{
	const size_t sizes[] = {1, 100, 4096, 20000, 100000};

	for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			unsigned char *block = hide(heap_aligned_alloc(alignment, sizes[i]));

			cr_assert_not_null(block);
			cr_assert_eq((uintptr_t)block % alignment, 0);
			memset(block, 0xaa, heap_malloc_usable_size(block));
			block = hide(heap_realloc(block, sizes[i] * 2));
			cr_assert_eq(block[sizes[i] - 1], 0xaa);
			heap_free(block);
		}
	}
	cr_assert_null(hide(heap_aligned_alloc(24, 100)));
	cr_assert_null(hide(heap_aligned_alloc(8192, 100)));
	errno = EXDEV;
	cr_assert_eq(heap_posix_memalign(&(void *){NULL}, 24, 100), EINVAL);
	cr_assert_eq(errno, EXDEV);
}

Test(heap, more_than_the_arena)
{
	for (unsigned int i = 0; i < 1000; i++) {
		unsigned char *block = hide(heap_malloc(10000));

		cr_assert_not_null(block);
		memset(block, 1, 10000);
	}
}

Test(heap, a_block_given_back_twice_ends_the_process, .signal = SIGABRT)
{
	void *block = hide(heap_malloc(10));

	heap_free(block);
	heap_free(block);
}

Test(heap, a_block_overrun_ends_the_process, .signal = SIGABRT)
{
	unsigned char *block = hide(heap_malloc(16)), *next = hide(heap_malloc(16));

	memset(block, 0, (size_t)(next - block));
	heap_free(next);
}
