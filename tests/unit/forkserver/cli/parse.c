/* SPDX-License-Identifier: MIT */
/* Unit tests of forkserver/cli/parse.c. */
#include "forkserver/cli/parse.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "vmm/base/util.h"

static struct error error;

static void expect_size(const char *text, uint64_t wanted)
{
	uint64_t bytes = 0;

	cr_assert_eq(parse_size("--mem", text, &bytes, &error), 0, "'%s': %s", text, error.text);
	cr_assert_eq(bytes, wanted, "'%s'", text);
}

Test(parse, sizes)
{
	expect_size("0", 0);
	expect_size("128", 128 * MIB);
	expect_size("4096B", 4096);
	expect_size("4096b", 4096);
	expect_size("512K", 512 * KIB);
	expect_size("512kib", 512 * KIB);
	expect_size("2M", 2 * MIB);
	expect_size("2mb", 2 * MIB);
	expect_size("6G", 6 * GIB);
	expect_size("6GiB", 6 * GIB);
	expect_size("1T", 1024 * GIB);
	expect_size("0000000000000000000000001", MIB);
	expect_size("18446744073709551615B", UINT64_MAX);
}

Test(parse, sizes_that_are_none)
{
	static const char *const bad[] = {"",	  " ",	 "x",	  "-1",	 "+1", "1.5", "1,5",
					  "0x10", "1 M", " 1",	  "1 ",	 "M",  "1MM", "1P",
					  "1e3",  "B1",	 "1KiBs", "inf", "\n"};
	static const char *const large[] = {"18446744073709551616B", "17592186044416M", "16777216T",
					    "99999999999999999999999999"};
	uint64_t bytes = 77;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cr_assert_eq(parse_size("--mem", bad[i], &bytes, &error), -EINVAL, "'%s'", bad[i]);
		cr_assert_not_null(strstr(error.text, "--mem"), "%s", error.text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(large); i++)
		cr_assert_eq(parse_size("--mem", large[i], &bytes, &error), -ERANGE, "'%s'",
			     large[i]);
}

static void expect_time(const char *text, uint64_t wanted_ms)
{
	uint64_t ms = 0;

	cr_assert_eq(parse_duration("--timeout", text, &ms, &error), 0, "'%s': %s", text,
		     error.text);
	cr_assert_eq(ms, wanted_ms, "'%s'", text);
}

Test(parse, times)
{
	expect_time("0", 0);
	expect_time("5", 5000);
	expect_time("250ms", 250);
	expect_time("10s", 10000);
	expect_time("10m", 600000);
	expect_time("2h", 7200000);
	expect_time("1d", 86400000);
}

Test(parse, times_that_are_none)
{
	static const char *const bad[] = {"", "x", "-1", "1.5s", "5 s", "5y", "ms", "1h30m"};
	static const char *const large[] = {"18446744073709551616", "18446744073709551615",
					    "1000000d"};
	uint64_t ms = 77;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(parse_duration("--timeout", bad[i], &ms, &error), -EINVAL, "'%s'",
			     bad[i]);
	for (size_t i = 0; i < ARRAY_SIZE(large); i++)
		cr_assert_eq(parse_duration("--timeout", large[i], &ms, &error), -ERANGE, "'%s'",
			     large[i]);
}

Test(parse, numbers)
{
	uint64_t number = 0;

	cr_assert_eq(parse_number("--cpus", "1", 1, 64, &number, &error), 0);
	cr_assert_eq(number, 1);
	cr_assert_eq(parse_number("--cpus", "64", 1, 64, &number, &error), 0);
	cr_assert_eq(number, 64);
	cr_assert_eq(parse_number("--cpus", "65", 1, 64, &number, &error), -ERANGE);
	cr_assert_not_null(strstr(error.text, "1 to 64"), "%s", error.text);
	cr_assert_eq(parse_number("--cpus", "0", 1, 64, &number, &error), -ERANGE);
	cr_assert_eq(parse_number("--cpus", "18446744073709551615", 0, UINT64_MAX, &number, &error),
		     0);
	cr_assert_eq(number, UINT64_MAX);
	cr_assert_eq(parse_number("--cpus", "18446744073709551616", 0, UINT64_MAX, &number, &error),
		     -ERANGE);
	number = 77;
	cr_assert_eq(parse_number("--cpus", "", 0, 9, &number, &error), -EINVAL);
	cr_assert_eq(parse_number("--cpus", "1k", 0, 9, &number, &error), -EINVAL);
	cr_assert_eq(parse_number("--cpus", "-1", 0, 9, &number, &error), -EINVAL);
	cr_assert_eq(number, 77);
}
