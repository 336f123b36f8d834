/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/block/iov.c. */
#include "vmm/block/iov.h"

#include <criterion/criterion.h>
#include <string.h>

#include "vmm/base/util.h"

static char memory[] = "abcdefghij";
static const struct iovec whole[] = {
	{memory, 3}, {memory + 3, 0}, {memory + 3, 6}, {memory + 9, 1}};
#define COUNT ((uint32_t)ARRAY_SIZE(whole))

Test(iov, slice_of_everything)
{
	struct iovec slice[8];
	uint64_t got;

	cr_assert_eq(iov_slice(whole, COUNT, 0, 10, slice, 8, &got), 3, "empty ones are left out");
	cr_assert_eq(got, 10);
	cr_assert_eq(slice[1].iov_base, memory + 3);
	cr_assert_eq(slice[1].iov_len, 6);
}

Test(iov, slice_from_the_middle_to_the_middle)
{
	struct iovec slice[8];
	uint64_t got;

	cr_assert_eq(iov_slice(whole, COUNT, 2, 5, slice, 8, &got), 2);
	cr_assert_eq(got, 5);
	cr_assert_eq(slice[0].iov_base, memory + 2);
	cr_assert_eq(slice[0].iov_len, 1);
	cr_assert_eq(slice[1].iov_base, memory + 3);
	cr_assert_eq(slice[1].iov_len, 4);
	cr_assert_eq(iov_slice(whole, COUNT, 4, 3, slice, 8, &got), 1);
	cr_assert_eq(slice[0].iov_base, memory + 4);
	cr_assert_eq(slice[0].iov_len, 3);
}

Test(iov, slice_without_enough_room_or_memory)
{
	struct iovec slice[8];
	uint64_t got;

	cr_assert_eq(iov_slice(whole, COUNT, 1, 9, slice, 2, &got), 2);
	cr_assert_eq(got, 8);
	cr_assert_eq(iov_slice(whole, COUNT, 8, 9, slice, 8, &got), 2);
	cr_assert_eq(got, 2);
	cr_assert_eq(iov_slice(whole, COUNT, 10, 1, slice, 8, &got), 0);
	cr_assert_eq(got, 0);
}

Test(iov, copy_and_zero_touch_nothing_else)
{
	char copy[] = "..........";

	iov_copy(whole, COUNT, 2, 5, copy + 1);
	cr_assert_str_eq(copy, ".cdefg....");
	iov_zero(whole, COUNT, 2, 5);
	cr_assert_eq(memcmp(memory, "ab\0\0\0\0\0hij", 10), 0);
}
