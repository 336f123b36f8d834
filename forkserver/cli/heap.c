/* SPDX-License-Identifier: MIT */
/*
 * The allocator of the program forkvm, in place of the C library's (which its manual allows: "The
 * GNU C Library", 3.2.5, Replacing malloc).
 *
 * Why: the C library's keeps a static program's heap far from everything else in the address space,
 * and every clone, forked from a server, would pay for that with page tables of its own (see
 * forkserver/base/cradle.h). This one keeps it in the program's own static memory.
 *
 * What is allocated here is little, and long before clones are made: a template's state, a filter,
 * tables of options. So it is as simple as can be: sizes are rounded up to powers of two, each of
 * which has a list of blocks that were given back; what is large has a mapping of its own. A
 * header before each block says what it is, and a block whose header is not in order is the end of
 * the process.
 */
#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/util.h"

#define ALIGNMENT   16u
#define CLASS_FIRST 5u	/* blocks of 32 bytes, the header included */
#define CLASS_LAST  15u /* of 32 KiB; what is larger is mapped     */
#define ARENA_BYTES (288u << 10)
#define CHUNK_BYTES (256u << 10) /* where the arena does not suffice */

#define MAGIC_USED  0x75736564u
#define MAGIC_FREE  0x66726565u

/* Right before what the caller gets. */
struct header {
	uint32_t magic;
	uint16_t class; /* its block has 1 << class bytes; 0: a mapping of its own */
	uint16_t shift; /* from the block's start to here, in units of ALIGNMENT   */
	size_t mapped;	/* bytes of that mapping                                   */
};

struct free_block {
	struct header header;
	struct free_block *next;
};

static_assert(sizeof(struct header) == ALIGNMENT, "the header keeps the alignment");

static struct {
	pthread_mutex_t lock;
	struct free_block *free[CLASS_LAST + 1];
	char *at, *end; /* what was never given out */
} heap = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Alignas(64) char arena[ARENA_BYTES];

/* Not through errno and a message: who is here has a corrupt heap. */
static _Noreturn void die(void)
{
	static const char text[] = "forkvm: a block of memory was given back twice or overrun\n";

	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
	abort();
}

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* The class of blocks that hold size bytes and a header; above CLASS_LAST: none does. */
static unsigned int class_for(size_t size)
{
	unsigned int class = CLASS_FIRST;

	while (class <= CLASS_LAST && ((size_t)1 << class) - sizeof(struct header) < size)
		class ++;
	return class;
}

/* A block of that class that was never given out. With the lock held. NULL: no memory. */
static struct header *carve(unsigned int class)
{
	size_t size = (size_t)1 << class;
	struct header *header;

	if (!heap.at) {
		heap.at = arena;
		heap.end = arena + sizeof(arena);
	}
	/* What is left of the old one is lost: less than a block. */
	if ((size_t)(heap.end - heap.at) < size) {
		char *chunk = map(CHUNK_BYTES);

		if (!chunk)
			return NULL;
		heap.at = chunk;
		heap.end = chunk + CHUNK_BYTES;
	}
	header = (struct header *)heap.at;
	heap.at += size;
	return header;
}

static struct header *take_block(unsigned int class)
{
	struct header *header;

	pthread_mutex_lock(&heap.lock);
	if (heap.free[class]) {
		header = &heap.free[class]->header;
		if (header->magic != MAGIC_FREE || header->class != class)
			die();
		heap.free[class] = heap.free[class]->next;
	} else {
		header = carve(class);
	}
	pthread_mutex_unlock(&heap.lock);
	if (header)
		*header = (struct header){.magic = MAGIC_USED, .class = (uint16_t) class};
	return header;
}

static struct header *take_mapping(size_t size)
{
	size_t mapped = round_up(size + sizeof(struct header), PAGE_BYTES);
	struct header *header = map(mapped);

	if (header)
		*header = (struct header){.magic = MAGIC_USED, .mapped = mapped};
	return header;
}

static struct header *header_of(void *memory)
{
	struct header *header = (struct header *)memory - 1;

	if ((uintptr_t)memory % ALIGNMENT || header->magic != MAGIC_USED)
		die();
	return header;
}

static void *block_of(struct header *header)
{
	return (char *)header - (size_t)header->shift * ALIGNMENT;
}

/* Bytes from the caller's memory to the end of its block. */
static size_t room(const struct header *header)
{
	size_t block = header->class ? (size_t)1 << header->class : header->mapped;

	return block - sizeof(*header) - (size_t)header->shift * ALIGNMENT;
}

/* What malloc does; under another name, because the compiler knows what malloc's result may not be.
 */
static void *take(size_t size)
{
	unsigned int class = class_for(size);
	struct header *header = NULL;

	if (class <= CLASS_LAST)
		header = take_block(class);
	else if (size < PTRDIFF_MAX - PAGE_BYTES)
		header = take_mapping(size);
	if (!header) {
		errno = ENOMEM;
		return NULL;
	}
	return header + 1;
}

static void give_back(void *memory)
{
	struct header *header;
	struct free_block *block;
	int saved = errno;

	if (!memory)
		return;
	header = header_of(memory);
	if (!header->class) {
		munmap(block_of(header), header->mapped);
		errno = saved;
		return;
	}
	block = block_of(header);
	header->magic = MAGIC_FREE;
	block->header = (struct header){.magic = MAGIC_FREE, .class = header->class};
	pthread_mutex_lock(&heap.lock);
	block->next = heap.free[block->header.class];
	heap.free[block->header.class] = block;
	pthread_mutex_unlock(&heap.lock);
}

void *malloc(size_t size)
{
	return take(size);
}

void free(void *memory)
{
	give_back(memory);
}

void *calloc(size_t count, size_t size)
{
	size_t bytes;
	void *memory;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	memory = take(bytes);
	/* A mapping is zeros already. */
	if (memory && header_of(memory)->class)
		memset(memory, 0, bytes);
	return memory;
}

void *realloc(void *memory, size_t size)
{
	void *moved;
	size_t have;

	if (!memory)
		return take(size);
	have = room(header_of(memory));
	if (size <= have)
		return memory;
	moved = take(size);
	if (!moved)
		return NULL;
	memcpy(moved, memory, have);
	give_back(memory);
	return moved;
}

/* Memory within a larger block; a header right before it tells where that begins. */
static void *take_aligned(size_t alignment, size_t size)
{
	struct header *header, *inner;
	uintptr_t aligned;
	void *memory;

	if (!alignment || (alignment & (alignment - 1)) || alignment > PAGE_BYTES) {
		errno = EINVAL;
		return NULL;
	}
	if (alignment <= ALIGNMENT || size > PTRDIFF_MAX / 2)
		return take(size);
	memory = take(size + alignment);
	if (!memory)
		return NULL;
	header = header_of(memory);
	aligned = round_up((uintptr_t)memory, alignment);
	inner = (struct header *)aligned - 1;
	*inner = *header;
	inner->shift = (uint16_t)((aligned - (uintptr_t)memory) / ALIGNMENT & UINT16_MAX);
	return (void *)aligned;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return take_aligned(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
	int saved = errno;
	void *memory = take_aligned(alignment, size);
	int rc = memory ? 0 : errno;

	errno = saved;
	if (memory)
		*ret = memory;
	return rc;
}

void *memalign(size_t alignment, size_t size)
{
	return take_aligned(alignment, size);
}

void *valloc(size_t size)
{
	return take_aligned(PAGE_BYTES, size);
}

void *pvalloc(size_t size)
{
	return take_aligned(PAGE_BYTES, round_up(size, PAGE_BYTES));
}

size_t malloc_usable_size(void *memory)
{
	return memory ? room(header_of(memory)) : 0;
}
