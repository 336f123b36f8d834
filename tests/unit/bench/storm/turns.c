/* SPDX-License-Identifier: MIT */
/* Which of the floor's loops a storm is compared with, and by how much. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "bench/storm/turns.h"

/* Two loops: plain is faster with one process, lean with four. */
static const struct storm_turns turns = {
	.turns = 3,
	.count = 100,
	.storm = {.ended_per_s = {900, 1000, 500}, .answered_per_s = {910, 1010, 510}},
	.loops = {{.workers = 1,
		   .variants = {{.ended_per_s = {1000, 1000, 1000}},
				{.ended_per_s = {900, 5000, 900}}}},
		  {.workers = 4,
		   .variants = {{.ended_per_s = {800, 5000, 800}},
				{.ended_per_s = {1000, 2000, 1000}}}}},
	.loop_count = 2,
};

Test(storm_turns, the_floor_is_taken_where_its_median_is_highest)
{
	cr_assert_eq(turns_best(&turns, 0)->workers, 1u);
	cr_assert_eq(turns_best(&turns, 1)->workers, 4u);
}

Test(storm_turns, a_ratio_is_the_median_of_the_turns_ratios)
{
	cr_assert_float_eq(turns_ratio(&turns, 0), 0.9, 1e-9); /* 0.9, 1.0, 0.5 */
	cr_assert_float_eq(turns_ratio(&turns, 1), 0.5, 1e-9); /* 0.9, 0.5, 0.5 */
}

Test(storm_turns, of_two_turns_it_is_between)
{
	struct storm_turns two = turns;

	two.turns = 2;
	cr_assert_float_eq(turns_ratio(&two, 1), 0.6, 1e-9); /* 1.0, 0.2 of the first loop */
}

Test(storm_turns, no_turn_or_a_floor_that_made_nothing_is_no_ratio)
{
	struct storm_turns none = turns;

	none.loops[0].variants[0].ended_per_s[1] = 0;
	none.loops[1].variants[0] = (struct turns_series){0};
	cr_assert_eq(turns_ratio(&none, 0), 0);
	none.turns = 0;
	cr_assert_eq(turns_ratio(&none, 1), 0);
}

Test(storm_turns, programs_read_all_loops_and_the_ones_compared_with)
{
	json_t *json = turns_json(&turns);
	const json_t *floor = json_object_get(json, "floor");
	int plain = 0, lean = 0;

	cr_assert_eq(json_unpack(json, "{s:{s:i, s:i}}", "floor_workers", "plain", &plain, "lean",
				 &lean),
		     0);
	cr_assert_eq(plain, 1);
	cr_assert_eq(lean, 4);
	cr_assert_eq(json_array_size(floor), 2u);
	cr_assert(json_is_null(json_object_get(
		json_object_get(json_object_get(json, "forkvm"), "cpu_us_per_clone"), "server")));
	json_decref(json);
}
