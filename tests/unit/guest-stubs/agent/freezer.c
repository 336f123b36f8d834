/* SPDX-License-Identifier: MIT */
/* Unit tests of guest-stubs/agent/freezer.c. */
#include "guest-stubs/agent/freezer.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(freezer, the_agents_own_group)
{
	cr_assert(freezer_holds("/a", "/a"));
	cr_assert(freezer_holds("/a/", "/a"));
	cr_assert(freezer_holds("/a", "/a/b"));
	cr_assert(freezer_holds("/", "/a"));
	cr_assert(freezer_holds("/", "/"));
	cr_assert_not(freezer_holds("/a", "/"));
	cr_assert_not(freezer_holds("/a", "/ab"));
	cr_assert_not(freezer_holds("/a/b", "/a"));
	cr_assert_not(freezer_holds("/a", "/b/a"));
}

Test(freezer, groups_that_are_none)
{
	struct options_list groups = {.items = {"no/such/group"}, .count = 1};
	struct freezer freezer = {.count = 7};

	cr_assert_lt(freezer_stop(&freezer, &groups), 0);
	cr_assert_eq(freezer.count, 0);
	freezer_go(&freezer);
	groups.count = 0;
	cr_assert_eq(freezer_stop(&freezer, &groups), 0);
}
