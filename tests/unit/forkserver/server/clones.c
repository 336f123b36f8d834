/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/server/clones.c: finding clones by their ids. */
#include "forkserver/server/clone.h"

#include <criterion/criterion.h>

#include "vmm/base/util.h"

#define CAPACITY 4

static struct clones clones;

static void set_up(void)
{
	cr_assert_eq(clones_init(&clones, CAPACITY, 0), 0);
}

static void tear_down(void)
{
	clones_done(&clones);
}

TestSuite(clones, .init = set_up, .fini = tear_down);

static struct clone *enter(uint32_t place, uint64_t id)
{
	clones.records[place].id = id;
	clones_enter(&clones, &clones.records[place]);
	return &clones.records[place];
}

Test(clones, none)
{
	cr_assert_null(clones_find(&clones, 0));
	cr_assert_null(clones_find(&clones, UINT64_MAX));
}

Test(clones, in_one_chain)
{
	struct clone *list[CAPACITY];

	for (uint32_t i = 0; i < CAPACITY; i++)
		list[i] = enter(i, 7 + i * CAPACITY);
	for (uint32_t i = 0; i < CAPACITY; i++)
		cr_assert_eq(clones_find(&clones, 7 + i * CAPACITY), list[i]);
	cr_assert_null(clones_find(&clones, 3));
	/* From the middle, the end and the beginning of the chain. */
	clones_leave(&clones, list[1]);
	cr_assert_null(clones_find(&clones, 7 + CAPACITY));
	clones_leave(&clones, list[0]);
	clones_leave(&clones, list[3]);
	cr_assert_eq(clones_find(&clones, 7 + 2 * CAPACITY), list[2]);
	clones_leave(&clones, list[2]);
	cr_assert_null(clones_find(&clones, 7 + 2 * CAPACITY));
}

Test(clones, records_are_used_again)
{
	for (uint64_t id = 1; id < 1000; id++) {
		struct clone *clone = enter(id % CAPACITY, id);

		cr_assert_eq(clones_find(&clones, id), clone);
		if (id < CAPACITY)
			continue;
		/* The oldest one ends. */
		clone = clones_find(&clones, id + 1 - CAPACITY);
		cr_assert_not_null(clone);
		clones_leave(&clones, clone);
		cr_assert_null(clones_find(&clones, id + 1 - CAPACITY));
	}
}

Test(clones, more_than_there_is_memory_for)
{
	struct clones more;

	cr_assert_eq(clones_init(&more, UINT32_MAX - 1, 1), 0,
		     "pages cost memory when first touched");
	clones_done(&more);
	cr_assert_null(more.records);
	cr_assert_null(more.by_id);
	clones_done(&more);
}
