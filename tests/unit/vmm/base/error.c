/* SPDX-License-Identifier: MIT */
/* Unit tests of vmm/base/error.c. */
#include "vmm/base/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(error, set_records_code_and_text)
{
	struct error error;

	cr_assert_eq(error_set(&error, EFBIG, "%d of %s", 7, "nine"), -EFBIG);
	cr_assert_eq(error.code, EFBIG);
	cr_assert_str_eq(error.text, "7 of nine");
}

Test(error, null_is_allowed_everywhere)
{
	cr_assert_eq(error_set(NULL, EIO, "text"), -EIO);
	cr_assert_eq(error_set_errno(NULL, ENOENT, "text"), -ENOENT);
	error_prefix(NULL, "prefix");
	error_clear(NULL);
}

Test(error, set_errno_adds_the_reason)
{
	struct error error;

	cr_assert_eq(error_set_errno(&error, ENOENT, "open %s", "/x"), -ENOENT);
	cr_assert_eq(error.code, ENOENT);
	cr_assert_str_eq(error.text, "open /x: No such file or directory");
}

Test(error, set_keeps_errno)
{
	struct error error;

	errno = EXDEV;
	error_set(&error, EIO, "text");
	cr_assert_eq(errno, EXDEV);
	error_set_errno(&error, EIO, "text");
	cr_assert_eq(errno, EXDEV);
	error_prefix(&error, "prefix");
	cr_assert_eq(errno, EXDEV);
}

Test(error, prefix_goes_in_front_and_keeps_the_code)
{
	struct error error;

	error_set(&error, EINVAL, "bad");
	error_prefix(&error, "file %d", 3);
	cr_assert_eq(error.code, EINVAL);
	cr_assert_str_eq(error.text, "file 3: bad");
}

Test(error, what_does_not_fit_is_cut)
{
	char text[2 * ERROR_TEXT_SIZE];
	struct error error;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&error, EIO, "%s", text);
	cr_assert_eq(strlen(error.text), ERROR_TEXT_SIZE - 1);
	error_set_errno(&error, EIO, "%s", text);
	cr_assert_eq(strlen(error.text), ERROR_TEXT_SIZE - 1);
	error_prefix(&error, "b");
	cr_assert_eq(strlen(error.text), ERROR_TEXT_SIZE - 1);
	cr_assert_eq(memcmp(error.text, "b: aa", 5), 0);
	error_prefix(&error, "%s", text);
	cr_assert_eq(strlen(error.text), ERROR_TEXT_SIZE - 1);
}

Test(error, clear_leaves_none)
{
	struct error error;

	error_set(&error, EIO, "text");
	error_clear(&error);
	cr_assert_eq(error.code, 0);
	cr_assert_str_empty(error.text);
}
