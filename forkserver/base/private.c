/* SPDX-License-Identifier: MIT */
/*
 * Memory that forks do not carry.
 */
#include "forkserver/base/private.h"

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <sys/mman.h>

/*
 * The most memory that parsing one line may take. The costliest line known, objects within an
 * array, takes 100 bytes for each of its own; beyond this jansson reports that memory is out.
 */
#define JSON_ARENA_SIZE (64u << 20)

/* What stays touched between requests. */
#define JSON_ARENA_KEEP (64u << 10)

/* Itself the beginning of its memory: a fork would have to copy the page of what is written. */
static struct json_arena {
	size_t used; /* bytes, from the beginning; at first JSON_ARENA_FIRST */
} * json_arena;

#define JSON_ARENA_FIRST 16u

void *private_map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int saved;

	if (memory == MAP_FAILED)
		return NULL;
	if (madvise(memory, size, MADV_DONTFORK)) {
		saved = errno;
		munmap(memory, size);
		errno = saved;
		return NULL;
	}
	return memory;
}

void private_unmap(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}

void private_discard(void *memory, size_t size)
{
	/* Advice: when it fails, the pages merely stay. */
	(void)madvise(memory, size, MADV_DONTNEED);
}

static void *json_arena_alloc(size_t size)
{
	void *ret = (char *)json_arena + json_arena->used;

	size = (size + 15) & ~(size_t)15;
	if (size > JSON_ARENA_SIZE - json_arena->used)
		return NULL;
	json_arena->used += size;
	return ret;
}

static void json_arena_free(void *memory)
{
	(void)memory;
}

int private_json_init(void)
{
	if (!json_arena)
		json_arena = private_map(JSON_ARENA_SIZE);
	if (!json_arena)
		return -ENOMEM;
	json_arena->used = JSON_ARENA_FIRST;
	json_object_seed(0);
	json_set_alloc_funcs(json_arena_alloc, json_arena_free);
	return 0;
}

void private_json_reset(void)
{
	if (json_arena->used > JSON_ARENA_KEEP)
		private_discard((char *)json_arena + JSON_ARENA_KEEP,
				JSON_ARENA_SIZE - JSON_ARENA_KEEP);
	json_arena->used = JSON_ARENA_FIRST;
}
