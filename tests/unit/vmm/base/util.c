/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/base/util.h. */
#include "vmm/base/util.h"

#include <criterion/criterion.h>

Test(util, rounding)
{
	cr_assert_eq(round_down(0, 4096), 0);
	cr_assert_eq(round_down(4095, 4096), 0);
	cr_assert_eq(round_down(4096, 4096), 4096);
	cr_assert_eq(round_down(UINT64_MAX, 4096), UINT64_MAX - 4095);
	cr_assert_eq(round_up(0, 4096), 0);
	cr_assert_eq(round_up(1, 4096), 4096);
	cr_assert_eq(round_up(4096, 4096), 4096);
	cr_assert_eq(round_up(UINT64_MAX - 4095, 4096), UINT64_MAX - 4095);
}

Test(util, least_and_most)
{
	cr_assert_eq(min_u64(1, UINT64_MAX), 1);
	cr_assert_eq(min_u64(UINT64_MAX, 1), 1);
	cr_assert_eq(max_u64(1, UINT64_MAX), UINT64_MAX);
	cr_assert_eq(max_u64(5, 5), 5);
}

Test(util, units)
{
	cr_assert_eq(GIB, 1024 * MIB);
	cr_assert_eq(MIB, 1024 * KIB);
	cr_assert_eq(6 * GIB, 6442450944ull); /* not cut to 32 bits */
}

Test(util, the_clock_never_runs_backwards)
{
	uint64_t last = now_ns();

	cr_assert_gt(last, 0);
	for (int i = 0; i < 10000; i++) {
		uint64_t now = now_ns();

		cr_assert_geq(now, last);
		last = now;
	}
}
