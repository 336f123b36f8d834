/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/base/metrics.c. */
#include "forkserver/base/metrics.h"

#include <criterion/criterion.h>

Test(histogram, empty)
{
	struct histogram histogram = {0};

	cr_assert_eq(histogram_quantile(&histogram, 500), 0);
	cr_assert_eq(histogram_quantile(&histogram, 1000), 0);
}

Test(histogram, one_value_is_every_quantile)
{
	static const uint64_t values[] = {0, 1, 7, 8, 9, 1000, 123456789, UINT64_MAX};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct histogram histogram = {0};

		histogram_add(&histogram, values[i]);
		cr_assert_eq(histogram.count, 1);
		cr_assert_eq(histogram.min, values[i]);
		cr_assert_eq(histogram.max, values[i]);
		cr_assert_eq(histogram_quantile(&histogram, 1), values[i]);
		cr_assert_eq(histogram_quantile(&histogram, 500), values[i]);
		cr_assert_eq(histogram_quantile(&histogram, 1000), values[i]);
	}
}

Test(histogram, small_values_are_exact)
{
	struct histogram histogram = {0};

	for (uint64_t value = 0; value < 8; value++)
		histogram_add(&histogram, value);
	for (unsigned int i = 1; i <= 8; i++)
		cr_assert_eq(histogram_quantile(&histogram, i * 125), i - 1);
}

/* Within an eighth, as the header promises, and never below the truth. */
Test(histogram, quantiles_are_close)
{
	struct histogram histogram = {0};

	for (uint64_t value = 1; value <= 100000; value++)
		histogram_add(&histogram, value);
	for (unsigned int permille = 1; permille <= 1000; permille++) {
		uint64_t truth = 100ull * permille, told = histogram_quantile(&histogram, permille);

		cr_assert_geq(told, truth);
		cr_assert_leq(told, truth + truth / 8 + 1);
	}
	cr_assert_eq(histogram_quantile(&histogram, 1000), 100000);
}

Test(histogram, every_power_of_two_has_a_bucket)
{
	struct histogram histogram = {0};

	for (unsigned int bit = 0; bit < 64; bit++) {
		histogram_add(&histogram, 1ull << bit);
		histogram_add(&histogram, (1ull << bit) - 1);
	}
	histogram_add(&histogram, UINT64_MAX);
	cr_assert_eq(histogram.count, 129);
	cr_assert_eq(histogram.max, UINT64_MAX);
	cr_assert_eq(histogram_quantile(&histogram, 1000), UINT64_MAX);
}
